//! Segments damaged while the queue is open: readable points are sent, the others are counted, and the queue
//! continues.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Records of five points each: 0 to 19 in the first segment, 20 to 39 in the second, open one.
fn queue() -> (tempfile::TempDir, [PathBuf; 2], Queue) {
    let folder = tempfile::tempdir().unwrap();
    let fill = |queue: &Queue, first: u64| {
        for record in 0..4 {
            let first = first + record * 5;
            queue.push(points(first..first + 5));
            queue.persist();
        }
    };
    fill(&Queue::on_disk(folder.path(), WIDE), 0);
    let queue = Queue::on_disk(folder.path(), WIDE);
    fill(&queue, 20);
    let files = segments(folder.path()).try_into().unwrap();
    (folder, files, queue)
}

/// Damage that a test does to a file.
type Damage = fn(&Path);

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    // The file keeps its identity, and is not truncated in between.
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    crate::system::write_all_at(&file, &bytes, 0).unwrap();
}

const HARMS: [(&str, Damage); 8] = [
    ("emptied", |path| change(path, Vec::clear)),
    ("cut off", |path| change(path, |bytes| bytes.truncate(bytes.len() / 2))),
    ("cut off within the first bytes", |path| change(path, |bytes| bytes.truncate(3))),
    ("overwritten", |path| change(path, |bytes| bytes.fill(b'x'))),
    ("longer, and overwritten", |path| change(path, |bytes| *bytes = vec![b'x'; 3 * bytes.len()])),
    ("zeros in the middle", |path| {
        change(path, |bytes| {
            let third = bytes.len() / 3;
            bytes[third..2 * third].fill(0);
        });
    }),
    ("its start", |path| change(path, |bytes| bytes[..8].fill(0))),
    ("its end", |path| {
        change(path, |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        });
    }),
];

#[test]
fn whatever_is_done_to_a_segment_all_is_sent_or_counted_and_the_queue_goes_on() {
    for (what, harm) in HARMS {
        for harmed in [&[0][..], &[1], &[0, 1]] {
            let (_folder, files, queue) = queue();
            queue.forget_cached();
            harmed.iter().for_each(|index| harm(&files[*index]));
            queue.push(points(40..45));
            queue.persist();
            let sent = drain(&queue);
            let counts = queue.counts();
            assert_eq!(sent.len() as u64 + counts.damaged, 45, "{what} {harmed:?}: {sent:?}");
            assert_eq!((counts.points, counts.bytes), (0, 0), "{what} {harmed:?}");
            let is_in_order = sent.windows(2).all(|two| two[0] < two[1]);
            let of_others = [0..20, 20..40].into_iter().enumerate().filter(|(index, _)| !harmed.contains(index));
            let has_others =
                of_others.flat_map(|(_, numbers)| numbers).chain(40..45).all(|number| sent.contains(&number));
            assert!(is_in_order && has_others, "{what} {harmed:?}: {sent:?}");
            let is_expected = match what {
                "its start" => counts.damaged == 0,
                "its end" => counts.damaged == 5 * harmed.len() as u64,
                _ => counts.damaged >= 5,
            };
            assert!(is_expected, "{what} {harmed:?}: {counts:?}");
            queue.push(points(45..50));
            assert_eq!(drain(&queue), (45..50).collect::<Vec<_>>(), "{what} {harmed:?}");
        }
    }
}

#[test]
fn what_waits_is_told_as_it_is_at_the_end() {
    for (what, harm) in HARMS {
        let (folder, files, queue) = queue();
        harm(&files[0]);
        assert_eq!(queue.close(), 0);
        let counts = queue.counts();
        drop(queue);
        let next = Queue::on_disk(folder.path(), WIDE);
        assert_eq!((counts.points, counts.points as u64 + counts.damaged), (next.counts().points, 40), "{what}");
        assert_eq!(drain(&next).len(), counts.points, "{what}");
    }
}

#[test]
fn what_is_under_way_while_its_file_is_damaged_takes_nothing_else_with_it() {
    let (_folder, files, queue) = queue();
    let under_way = queue.front(SubQueue::Fresh, 7).unwrap();
    // The first two of four records in the first segment are damaged.
    change(&files[0], |bytes| {
        let half = bytes.len() / 2;
        bytes[8..half - 8].fill(0);
    });
    queue.close();
    assert_eq!(queue.counts().points, 30);
    queue.remove(&under_way, usize::MAX);
    assert_eq!(drain(&queue), (10..40).collect::<Vec<_>>());
    assert_eq!(queue.counts().points, 0);
}

#[test]
fn damage_is_read_once_and_not_each_time() {
    let (_folder, files, queue) = queue();
    queue.forget_cached();
    change(&files[0], |bytes| {
        let end = bytes.len() - 8;
        bytes[8..end].fill(0);
    });
    for _ in 0..3 {
        assert_eq!(numbers(&queue.front(SubQueue::Fresh, 5).unwrap().lines), [20, 21, 22, 23, 24]);
        assert_eq!((queue.counts().points, queue.counts().damaged), (20, 20));
    }
}

#[test]
fn an_older_copy_in_a_segments_place_gives_what_it_has() {
    let (folder, files, queue) = queue();
    queue.forget_cached();
    let copy = folder.path().join("copy");
    fs::write(&copy, &fs::read(&files[0]).unwrap()[..fs::metadata(&files[0]).unwrap().len() as usize / 2]).unwrap();
    fs::rename(&copy, &files[0]).unwrap();
    let sent = drain(&queue);
    assert_eq!(sent, (0..10).chain(20..40).filter(|number| sent.contains(number)).collect::<Vec<_>>());
    assert!(sent.len() >= 25 && sent.len() as u64 + queue.counts().damaged == 40, "{sent:?}");
    assert!(!files[0].exists(), "it is done with");
}

#[test]
fn a_backlog_that_is_damaged_does_not_hold_up_what_is_fresh() {
    let (folder, files, queue) = queue();
    drop(queue);
    let queue = Queue::on_disk(folder.path(), WIDE);
    queue.split_backlog();
    queue.push(points(40..45));
    queue.persist();
    queue.forget_cached();
    files.iter().for_each(|file| change(file, |bytes| bytes.truncate(20)));
    assert_eq!(drain(&queue), (40..45).collect::<Vec<_>>());
    assert_eq!((queue.counts().points, queue.counts().damaged, queue.has_backlog()), (0, 40, false));
}
