use std::time::Duration;

use super::*;
use crate::encode::lines::{Lines, RecordWriter};
use crate::spool::Queue;

const LIMITS: Limits = Limits { memory: 1 << 20, bytes: 1 << 30, age: Duration::from_secs(3600) };
const KINDS: &[&str] = &["influxdb", "remote_write"];

fn owner(name: &str, kind: &str, position: usize) -> SinkId {
    let held = if kind == "remote_write" { Content::Series } else { Content::Points };
    SinkId { name: name.to_owned(), kind: kind.to_owned(), held, position }
}

fn influxdb(name: &str, position: usize) -> SinkId {
    owner(name, "influxdb", position)
}

/// Queues a point, without an identity file if `owner` is `None`, as earlier versions did.
fn keep(folder: &Path, owner: Option<SinkId>, point: &[u8]) {
    let queue = Queue::on_disk(folder, LIMITS);
    if let Some(owner) = owner {
        queue.assign(owner, None);
    }
    let mut lines = Lines::default();
    lines.push(point);
    queue.push(lines);
    assert_eq!(queue.close(), 0);
}

fn waiting(folder: &Path) -> Vec<String> {
    let queue = Queue::on_disk(folder, LIMITS);
    let Some(batch) = queue.front(SubQueue::Fresh, 9) else { return Vec::new() };
    batch.lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
}

/// Waiting points of each owner after a start, and the number of orphans.
fn start(root: &Path, owners: &[SinkId]) -> (Vec<Vec<String>>, usize) {
    let (folders, orphans) = Folders::new(root, KINDS, LIMITS).assign(owners, &vec![false; owners.len()]);
    assert!(orphans.iter().all(|orphan| orphan.points == 1 && orphan.bytes > 0));
    let found = folders.iter().zip(owners).map(|(folder, owner)| {
        let queue = Queue::on_disk(folder, LIMITS);
        queue.assign(owner.clone(), None);
        drop(queue);
        waiting(folder)
    });
    (found.collect(), orphans.len())
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_sink_that_sends_elsewhere_goes_on_with_what_waits_there_and_back() {
    let root = root();
    for (old, new) in [("influxdb:a/d", "influxdb:b/d"), ("influxdb:b/d", "influxdb:a/d"), ("influxdb:a/d", "central")]
    {
        keep(&root.path().join(encoded(old)), Some(influxdb(old, 0)), b"m v=1 1\n");
        let (found, orphans) = start(root.path(), &[influxdb(new, 0)]);
        assert_eq!((found, orphans), (vec![vec!["m v=1 1".to_owned()]], 0), "{old} to {new}");
        // The point is delivered.
        let queue = Queue::on_disk(&root.path().join(encoded(new)), LIMITS);
        let batch = queue.front(SubQueue::Fresh, 9).unwrap();
        queue.remove(&batch, usize::MAX);
    }
}

#[test]
fn every_name_has_a_folder_of_its_own() {
    let root = root();
    let (long, longer) = ("é".repeat(150), "é".repeat(151));
    let names = ["lock", "places", "sink", ".", "..", "...", "a/b", "a%2Fb", "~", &long, &longer];
    let owners: Vec<SinkId> = names.iter().enumerate().map(|(position, name)| influxdb(name, position)).collect();
    let (folders, _) = Folders::new(root.path(), KINDS, LIMITS).assign(&owners, &vec![false; owners.len()]);
    for (folder, owner) in folders.iter().zip(&owners) {
        assert_eq!(folder.parent(), Some(root.path()));
        keep(folder, Some(owner.clone()), owner.name.as_bytes());
    }
    let (found, orphans) = start(root.path(), &owners);
    assert_eq!((found, orphans), (names.iter().map(|name| vec![(*name).to_owned()]).collect(), 0));
    // A folder with a truncated name is found by its successor too.
    fs::remove_dir_all(&folders[10]).unwrap();
    let heirs: Vec<SinkId> = (0..10).map(|at| if at == 9 { influxdb("new", 9) } else { owners[at].clone() }).collect();
    let (found, orphans) = start(root.path(), &heirs);
    assert_eq!((&found[9], orphans), (&vec![long], 0));
}

#[test]
fn folders_of_earlier_versions_are_found() {
    let of_series = crate::spool::tests::series();
    let cases: [(&str, &[u8], SinkId, bool); 5] = [
        ("influxdb:a/d", b"m v=1 1\n", influxdb("influxdb:b/d", 0), true),
        ("central", b"m v=1 1\n", influxdb("other", 0), true),
        ("central", &of_series, owner("other", "remote_write", 0), true),
        ("central", b"m v=1 1\n", owner("other", "remote_write", 0), false),
        ("remote_write:a", &of_series, influxdb("other", 0), false),
    ];
    for (name, point, heir, is_adopted) in cases {
        let root = root();
        keep(&root.path().join(encoded(name)), None, point);
        let (found, orphans) = start(root.path(), &[heir]);
        assert_eq!((found[0].len(), orphans), if is_adopted { (1, 0) } else { (0, 1) }, "{name}");
    }
}

#[test]
fn where_there_is_doubt_nothing_is_moved() {
    let root = root();
    for name in ["influxdb:a/d", "influxdb:b/d"] {
        keep(&root.path().join(encoded(name)), Some(influxdb(name, 0)), name.as_bytes());
    }
    let (found, orphans) = start(root.path(), &[influxdb("influxdb:c/d", 0)]);
    assert_eq!((found, orphans), (vec![vec![]], 2));
    // Once one of them is known by name, there is no doubt.
    let (found, orphans) = start(root.path(), &[influxdb("influxdb:b/d", 0), influxdb("influxdb:c/d", 1)]);
    assert_eq!((found, orphans), (vec![vec!["influxdb:b/d".to_owned()], vec!["influxdb:a/d".to_owned()]], 0));
}

#[test]
fn of_several_that_changed_each_is_where_it_stood() {
    let root = root();
    for (position, name) in ["a", "b"].into_iter().enumerate() {
        keep(&root.path().join(name), Some(influxdb(name, position)), name.as_bytes());
    }
    let (found, orphans) = start(root.path(), &[influxdb("c", 0), influxdb("d", 1)]);
    assert_eq!((found, orphans), (vec![vec!["a".to_owned()], vec!["b".to_owned()]], 0));
}

#[test]
fn a_name_that_another_kind_had_is_not_what_waited_for_that() {
    let root = root();
    let old = influxdb("central", 0);
    keep(&root.path().join("central"), Some(old.clone()), b"m v=1 1\n");
    let new = owner("central", "remote_write", 0);
    let (found, orphans) = start(root.path(), &[new]);
    assert_eq!((found, orphans), (vec![vec![]], 1));
    let (found, orphans) = start(root.path(), &[old]);
    assert_eq!((found[0].len(), orphans), (1, 0));
}

/// Each kind used the name in turn, and has the plain or the second folder.
#[test]
fn what_waits_under_a_name_is_found_by_its_kind_wherever_it_is() {
    let root = root();
    let (points, series) = (influxdb("central", 0), owner("central", "remote_write", 0));
    keep(&root.path().join("central"), Some(points.clone()), b"m v=1 1\n");
    let (folders, _) =
        Folders::new(root.path(), KINDS, LIMITS).assign(std::slice::from_ref(&series), std::slice::from_ref(&false));
    keep(&folders[0], Some(series.clone()), &crate::spool::tests::series());
    let (_, orphans) = Folders::new(root.path(), KINDS, LIMITS).assign(&[points], &[false]);
    let [orphan] = orphans.as_slice() else { panic!("{orphans:?}") };
    assert_eq!((&*orphan.name, orphan.kind.as_deref()), ("central", Some("remote_write")));
    // The advised sink finds its points, even without the other's folder.
    fs::remove_dir_all(root.path().join("central")).unwrap();
    let (found, orphans) = start(root.path(), &[series]);
    assert_eq!((found[0].len(), orphans), (1, 0));
}

#[test]
fn what_another_process_has_is_no_orphan() {
    let root = root();
    let folder = root.path().join("a");
    keep(&folder, Some(influxdb("a", 0)), b"m v=1 1\n");
    let other = Queue::on_disk(&folder, LIMITS);
    let (found, orphans) = start(root.path(), &[influxdb("b", 0)]);
    assert_eq!((found, orphans), (vec![vec![]], 0));
    assert_eq!(other.counts().points, 1);
}

#[test]
fn what_is_no_queues_folder_is_left_alone() {
    let root = root();
    fs::create_dir(root.path().join("lost+found")).unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/", root.path().join("link")).unwrap();
    let (found, orphans) = start(root.path(), &[influxdb("b", 0)]);
    assert_eq!((found, orphans), (vec![vec![]], 0));
    assert_eq!(fs::read_dir(root.path().join("lost+found")).unwrap().count(), 0);
}

#[test]
fn a_running_queue_moves_with_its_name_and_to_another_spool() {
    let (root, other) = (root(), root());
    let queue = Queue::on_disk(&root.path().join("a"), LIMITS);
    let push = |text: &str| {
        let mut lines = Lines::default();
        lines.push(text.as_bytes());
        queue.push(lines);
        queue.persist();
    };
    push("1\n");
    queue.assign(influxdb("b", 0), Some(root.path().join("b")));
    push("2\n");
    assert!(!root.path().join("a").exists());
    queue.assign(influxdb("b", 0), Some(other.path().join("b")));
    push("3\n");
    assert_eq!(queue.counts().in_memory, 0);
    drop(queue);
    assert_eq!(waiting(&other.path().join("b")), ["1", "2", "3"]);
    assert_eq!(waiting(&root.path().join("b")), [] as [&str; 0]);
    // From memory only.
    let queue = Queue::in_memory(LIMITS);
    let mut lines = Lines::default();
    lines.push(b"4\n");
    queue.push(lines);
    queue.assign(influxdb("c", 0), Some(root.path().join("c")));
    assert_eq!((queue.counts().points, queue.counts().in_memory), (1, 0));
}

#[test]
fn to_look_into_a_folder_takes_nothing_out_of_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a");
    let queue = Queue::on_disk(&folder, LIMITS);
    drop(queue);
    let segment = folder.join("0000000001.points");
    std::fs::write(&segment, [0xff; 100]).unwrap();
    // Without an identity file, the folder's contents are inspected.
    let _ = Folders::new(root.path(), &[], LIMITS).assign(&[influxdb("a", 0)], &[false]);
    assert!(segment.exists());
}
