//! Folders and files that are removed or replaced while in use.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;

/// A queue in a subfolder, with points 0 to 9 on disk.
fn queue() -> (tempfile::TempDir, PathBuf, Queue) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("central");
    let queue = Queue::on_disk(&folder, WIDE);
    queue.push(points(0..10));
    queue.persist();
    assert_eq!(queue.counts().in_memory, 0);
    (root, folder, queue)
}

fn push(queue: &Queue, numbers: std::ops::Range<u64>) {
    queue.push(points(numbers));
    queue.persist();
}

/// The points that another process would find.
fn found_after_a_kill(folder: &Path, queue: Queue) -> Vec<u64> {
    drop(queue);
    drain(&Queue::on_disk(folder, WIDE))
}

#[test]
fn a_folder_that_is_removed_is_made_again_with_what_waited() {
    let (_root, folder, queue) = queue();
    fs::remove_dir_all(&folder).unwrap();
    push(&queue, 10..15);
    let counts = queue.counts();
    assert_eq!((counts.points, counts.in_memory, counts.damaged), (15, 0, 0));
    assert_eq!(found_after_a_kill(&folder, queue), (0..15).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_read_any_more_is_counted_and_not_said_to_wait() {
    let (_root, folder, queue) = queue();
    drop(queue);
    // Of two segments the second is open, and can still be read.
    let queue = Queue::on_disk(&folder, WIDE);
    push(&queue, 10..15);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(queue.close(), 0);
    assert_eq!((queue.counts().points, queue.counts().damaged), (5, 10));
    assert_eq!(found_after_a_kill(&folder, queue), (10..15).collect::<Vec<_>>());
}

#[test]
fn the_folder_above_may_be_removed_too() {
    let (root, folder, queue) = queue();
    let queue = {
        drop(queue);
        let deeper = root.path().join("spool/central");
        let queue = Queue::on_disk(&deeper, WIDE);
        push(&queue, 0..3);
        fs::remove_dir_all(root.path().join("spool")).unwrap();
        assert_eq!(drain(&queue), [0, 1, 2]);
        assert!(deeper.is_dir());
        queue
    };
    assert!(folder.is_dir());
    assert_eq!(queue.counts().damaged, 0);
}

#[test]
fn a_folder_that_is_moved_away_leaves_all_that_waited_in_the_new_one() {
    let (root, folder, queue) = queue();
    drop(queue);
    let queue = Queue::on_disk(&folder, WIDE);
    queue.split_backlog();
    push(&queue, 10..15);
    let batch = queue.front(SubQueue::Fresh, 2).unwrap();
    let aside = root.path().join("aside");
    fs::rename(&folder, &aside).unwrap();
    push(&queue, 15..17);
    // Points in flight may be sent twice, and no others are removed instead.
    queue.remove(&batch, usize::MAX);
    assert_eq!((queue.counts().points, queue.counts().in_memory, queue.counts().damaged), (17, 0, 0));
    assert!(queue.has_backlog());
    assert_eq!(drain(&Queue::on_disk(&aside, WIDE)), [] as [u64; 0], "nothing is sent twice should it come back");
    assert_eq!(found_after_a_kill(&folder, queue), (0..17).collect::<Vec<_>>());
}

#[test]
fn nothing_is_written_through_a_link_in_the_folders_place() {
    let (root, folder, queue) = queue();
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&folder, root.path().join("aside")).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    push(&queue, 10..15);
    assert_eq!((queue.counts().points, queue.counts().in_memory), (15, 15));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    // Points in memory keep their order, and return to disk once that is possible.
    let batch = queue.front(SubQueue::Fresh, 12).unwrap();
    assert_eq!(numbers(&batch.lines), (0..12).collect::<Vec<_>>());
    queue.remove(&batch, 3);
    fs::remove_file(&folder).unwrap();
    queue.persist();
    assert_eq!((queue.counts().points, queue.counts().in_memory), (12, 0));
    assert_eq!(found_after_a_kill(&folder, queue), (3..15).collect::<Vec<_>>());
}

#[test]
fn nor_through_one_in_the_place_of_the_folder_above() {
    let root = tempfile::tempdir().unwrap();
    let (spool, elsewhere) = (root.path().join("spool"), root.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let queue = Queue::on_disk(&spool.join("central"), WIDE);
    push(&queue, 0..10);
    fs::rename(&spool, root.path().join("aside")).unwrap();
    symlink(&elsewhere, &spool).unwrap();
    push(&queue, 10..15);
    assert_eq!((queue.counts().points, queue.counts().in_memory), (15, 15));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn whoever_configures_may_use_a_link_to_the_folder_above() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("large")).unwrap();
    symlink(root.path().join("large"), root.path().join("spool")).unwrap();
    let queue = Queue::on_disk(&root.path().join("spool/central"), WIDE);
    push(&queue, 0..3);
    assert_eq!(queue.counts().in_memory, 0);
    assert!(root.path().join("large/central").is_dir());
}

#[test]
fn what_is_put_in_a_segments_place_is_not_touched() {
    let secret = b"secret".as_slice();
    type Put = fn(&Path, &Path);
    let puts: [Put; 5] = [
        |at, other| symlink(other, at).unwrap(),
        |at, _| fs::create_dir(at).unwrap(),
        |at, _| rustix::fs::mkfifoat(rustix::fs::CWD, at, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap(),
        |at, _| drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
        |at, other| assert!(fs::copy(other, at).is_ok()),
    ];
    for put in puts {
        let (root, folder, queue) = queue();
        let other = root.path().join("other");
        fs::write(&other, secret).unwrap();
        drop(queue);
        let queue = Queue::on_disk(&folder, WIDE);
        push(&queue, 10..12);
        let [closed, open] = segments(&folder).try_into().unwrap();
        for path in [&closed, &open] {
            fs::remove_file(path).unwrap();
            put(path, &other);
        }
        push(&queue, 12..15);
        assert_eq!((queue.counts().points, queue.counts().damaged), (5, 10));
        assert_eq!(fs::read(&other).unwrap(), secret);
        assert!(closed.symlink_metadata().is_ok() && open.symlink_metadata().is_ok());
        // Startup does not touch it either.
        assert_eq!(found_after_a_kill(&folder, queue), (10..15).collect::<Vec<_>>());
        assert_eq!(fs::read(&other).unwrap(), secret);
    }
}

#[test]
fn a_folder_that_is_emptied_is_filled_again() {
    let (_root, folder, queue) = queue();
    let batch = queue.front(SubQueue::Fresh, 4).unwrap();
    queue.remove(&batch, usize::MAX);
    for entry in fs::read_dir(&folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(queue.close(), 0);
    assert_eq!((queue.counts().points, queue.counts().damaged), (6, 0));
    let other = Queue::on_disk(&folder, WIDE);
    push(&other, 99..100);
    assert_eq!(other.counts().in_memory, 1, "it is locked again");
    drop(other);
    assert_eq!(found_after_a_kill(&folder, queue), (4..10).collect::<Vec<_>>());
}

#[test]
fn links_in_the_place_of_the_other_files_are_not_followed() {
    for name in ["places", "lock"] {
        let (root, folder, queue) = queue();
        drop(queue);
        let other = root.path().join("other");
        fs::write(&other, "secret").unwrap();
        fs::remove_file(folder.join(name)).unwrap();
        symlink(&other, folder.join(name)).unwrap();
        let queue = Queue::on_disk(&folder, WIDE);
        push(&queue, 10..12);
        assert_eq!((queue.counts().points, queue.counts().in_memory), (2, 2), "{name}");
        assert_eq!(fs::read(&other).unwrap(), b"secret");
        fs::remove_file(folder.join(name)).unwrap();
        queue.persist();
        assert_eq!(drain(&queue), (0..12).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_folder_that_anybody_may_write_to_is_not_used() {
    let (_root, folder, queue) = queue();
    drop(queue);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let queue = Queue::on_disk(&folder, WIDE);
    push(&queue, 10..12);
    assert_eq!(queue.counts().in_memory, 2);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    queue.persist();
    assert_eq!(drain(&queue), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_file_that_claims_to_be_a_huge_segment_is_passed_over() {
    let (_root, folder, queue) = queue();
    drop(queue);
    let huge = fs::File::create(folder.join("0000000077.points")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(drain(&Queue::on_disk(&folder, WIDE)), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_was_written_by_a_clock_that_was_wrong_does_not_expire_at_once() {
    for time in [0, 1_000_000_000, super::super::age::time_of_day() - 40 * 86_400] {
        let (_root, folder, queue) = queue();
        drop(queue);
        let mut records = crate::store::Records::default();
        records.push(&super::super::segments::encode(&points(10..15), time)).unwrap();
        let bytes = [super::super::segments::MAGIC.as_slice(), records.bytes()].concat();
        fs::write(folder.join("0000000002.points"), bytes).unwrap();
        let queue = Queue::on_disk(&folder, WIDE);
        push(&queue, 15..16);
        assert_eq!(queue.counts().expired, 0);
        assert_eq!(drain(&queue), (0..16).collect::<Vec<_>>());
    }
}

#[test]
fn of_more_than_memory_holds_the_newest_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("central");
    let queue = Queue::on_disk(&folder, Limits { memory: 100_000, ..WIDE });
    for round in 0..10 {
        push(&queue, round * 5000..(round + 1) * 5000);
    }
    fs::rename(&folder, root.path().join("aside")).unwrap();
    symlink("/", &folder).unwrap();
    queue.persist();
    let counts = queue.counts();
    assert!(counts.bytes <= 100_000 && counts.points > 10_000 && counts.points == counts.in_memory, "{counts:?}");
    assert_eq!(counts.points as u64 + counts.damaged, 50_000);
    let left = drain(&queue);
    assert_eq!(left, (50_000 - left.len() as u64..50_000).collect::<Vec<_>>());
    // Points that did not fit stay where they were.
    assert_eq!(drain(&Queue::on_disk(&root.path().join("aside"), WIDE)).len(), 50_000);
}
