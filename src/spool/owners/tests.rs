use std::time::Duration;

use super::*;
use crate::encode::point::Lines;
use crate::spool::Queue;

const BOUNDS: Bounds = Bounds { memory: 1 << 20, bytes: 1 << 30, age: Duration::from_secs(3600) };
const KINDS: &[&str] = &["influxdb", "remote_write"];

fn owner(name: &str, kind: &str, position: usize) -> Owner {
    let held = if kind == "remote_write" { Held::Series } else { Held::Points };
    Owner { name: name.to_owned(), kind: kind.to_owned(), held, position }
}

fn influxdb(name: &str, position: usize) -> Owner {
    owner(name, "influxdb", position)
}

/// What waits, as of an earlier version where `owner` is none.
fn keep(folder: &Path, owner: Option<Owner>, point: &[u8]) {
    let queue = Queue::on_disk(folder, BOUNDS);
    if let Some(owner) = owner {
        queue.belongs_to(owner, None);
    }
    let mut lines = Lines::default();
    lines.push(point);
    queue.push(lines);
    assert_eq!(queue.close(), 0);
}

fn waiting(folder: &Path) -> Vec<String> {
    let queue = Queue::on_disk(folder, BOUNDS);
    let Some(batch) = queue.front(Lane::Fresh, 9) else { return Vec::new() };
    batch.lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
}

/// The points of each of the owners after the start, and how many folders are nobody's.
fn start(root: &Path, owners: &[Owner]) -> (Vec<Vec<String>>, usize) {
    let (folders, orphans) = Folders::new(root, KINDS, BOUNDS).settle(owners, &vec![false; owners.len()]);
    assert!(orphans.iter().all(|orphan| orphan.points == 1 && orphan.bytes > 0));
    let found = folders.iter().zip(owners).map(|(folder, owner)| {
        let queue = Queue::on_disk(folder, BOUNDS);
        queue.belongs_to(owner.clone(), None);
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
        // It is delivered.
        let queue = Queue::on_disk(&root.path().join(encoded(new)), BOUNDS);
        let batch = queue.front(Lane::Fresh, 9).unwrap();
        queue.remove(&batch, usize::MAX);
    }
}

#[test]
fn folders_of_earlier_versions_are_found() {
    let of_series = crate::spool::tests::series();
    let cases: [(&str, &[u8], Owner, bool); 5] = [
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
    // Once one of them is known by its name, there is none.
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

#[test]
fn what_another_process_has_is_no_orphan() {
    let root = root();
    let folder = root.path().join("a");
    keep(&folder, Some(influxdb("a", 0)), b"m v=1 1\n");
    let other = Queue::on_disk(&folder, BOUNDS);
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
    let queue = Queue::on_disk(&root.path().join("a"), BOUNDS);
    let push = |text: &str| {
        let mut lines = Lines::default();
        lines.push(text.as_bytes());
        queue.push(lines);
        queue.settle();
    };
    push("1\n");
    queue.belongs_to(influxdb("b", 0), Some(root.path().join("b")));
    push("2\n");
    assert!(!root.path().join("a").exists());
    queue.belongs_to(influxdb("b", 0), Some(other.path().join("b")));
    push("3\n");
    assert_eq!(queue.counts().in_memory, 0);
    drop(queue);
    assert_eq!(waiting(&other.path().join("b")), ["1", "2", "3"]);
    assert_eq!(waiting(&root.path().join("b")), [] as [&str; 0]);
    // From memory alone.
    let queue = Queue::in_memory(BOUNDS);
    let mut lines = Lines::default();
    lines.push(b"4\n");
    queue.push(lines);
    queue.belongs_to(influxdb("c", 0), Some(root.path().join("c")));
    assert_eq!((queue.counts().points, queue.counts().in_memory), (1, 0));
}
