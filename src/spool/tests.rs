#[cfg(unix)]
mod away;
mod damaged;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::encode::lines::{Lines, RecordWriter};

const WIDE: Limits = Limits { memory: 1 << 20, bytes: 1 << 30, age: Duration::from_secs(3600) };

fn points(numbers: impl IntoIterator<Item = u64>) -> Lines {
    let mut lines = Lines::default();
    numbers.into_iter().for_each(|number| lines.push(format!("{number}\n").as_bytes()));
    lines
}

/// One series of remote write.
pub(super) fn series() -> Vec<u8> {
    use crate::encode::{Family, FamilyWriter};
    const FAMILY: Family<0> = Family::gauge("m", "", []);
    let mut lines = Lines::default();
    let labels = [];
    let mut encoder =
        crate::encode::remote::SeriesEncoder::new(&mut lines, &labels, None, crate::encode::Timestamp(0), false);
    FamilyWriter::new(&mut encoder).value(&FAMILY, 1u64);
    lines.iter().next().unwrap().to_vec()
}

fn numbers(lines: &Lines) -> Vec<u64> {
    lines.iter().map(|line| std::str::from_utf8(line).unwrap().trim_end().parse().unwrap()).collect()
}

/// Removes all points, the backlog first.
fn drain(queue: &Queue) -> Vec<u64> {
    let mut drained = Vec::new();
    for lane in [SubQueue::Backlog, SubQueue::Fresh] {
        while let Some(batch) = queue.front(lane, 7) {
            drained.extend(numbers(&batch.lines));
            queue.remove(&batch, usize::MAX);
        }
    }
    drained
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "points")).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_settled_is_there_after_a_kill_and_what_was_taken_out_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::on_disk(folder.path(), WIDE);
    queue.push(points(0..10));
    queue.persist();
    let batch = queue.front(SubQueue::Fresh, 4).unwrap();
    queue.remove(&batch, 3);
    queue.push(points(10..12));
    assert_eq!((queue.counts().points, queue.counts().in_memory), (9, 2));
    // Not closed, as after a kill.
    drop(queue);
    let queue = Queue::on_disk(folder.path(), WIDE);
    assert_eq!((queue.counts().points, queue.counts().in_memory), (7, 0));
    assert_eq!(drain(&queue), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn numbers_of_segments_go_on_where_all_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let queue = Queue::on_disk(folder.path(), WIDE);
        queue.push(points([round]));
        queue.persist();
        assert_eq!(drain(&queue), [round]);
        drop(queue);
        segments(folder.path()).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}

#[test]
fn what_waited_is_apart_from_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::on_disk(folder.path(), WIDE);
    queue.push(points(0..5));
    queue.persist();
    assert!(!queue.has_backlog() && queue.front(SubQueue::Backlog, 9).is_none());
    queue.split_backlog();
    queue.push(points(5..7));
    queue.persist();
    assert!(queue.has_backlog());
    drop(queue);
    let queue = Queue::on_disk(folder.path(), WIDE);
    let fresh = queue.front(SubQueue::Fresh, 9).unwrap();
    let backlog = queue.front(SubQueue::Backlog, 3).unwrap();
    assert_eq!((numbers(&fresh.lines), numbers(&backlog.lines)), (vec![5, 6], vec![0, 1, 2]));
    queue.remove(&fresh, usize::MAX);
    queue.remove(&backlog, usize::MAX);
    assert_eq!(drain(&queue), [3, 4]);
    assert!(!queue.has_backlog());
}

#[test]
fn files_are_deleted_when_nothing_in_them_waits() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 2 << 20, ..WIDE };
    let queue = Queue::on_disk(folder.path(), limits);
    for round in 0..40 {
        queue.push(points(round * 10_000..(round + 1) * 10_000));
        queue.persist();
    }
    assert!(segments(folder.path()).len() > 5);
    let waiting = queue.counts();
    assert!(waiting.overflow > 0 && waiting.points as u64 + waiting.overflow == 400_000, "{waiting:?}");
    let bytes: u64 = segments(folder.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes <= 2 << 20, "{bytes}");
    let left = drain(&queue);
    assert_eq!(left, (400_000 - waiting.points as u64..400_000).collect::<Vec<_>>(), "the newest");
    assert_eq!(segments(folder.path()).len(), 1);
}

#[test]
fn points_that_waited_too_long_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::on_disk(folder.path(), Limits { age: Duration::ZERO, ..WIDE });
    queue.push(points(0..10));
    queue.persist();
    std::thread::sleep(Duration::from_millis(1100));
    queue.push(points(10..15));
    queue.persist();
    assert_eq!((queue.counts().expired, drain(&queue)), (10, (10..15).collect()));
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Queue::on_disk(folder.path(), WIDE);
    let second = Queue::on_disk(folder.path(), WIDE);
    second.push(points(0..3));
    second.persist();
    assert_eq!(second.counts().in_memory, 3);
    drop(first);
    second.persist();
    assert_eq!((second.counts().in_memory, second.counts().points), (0, 3));
}

#[test]
fn while_the_disk_takes_nothing_points_wait_in_memory_and_are_sent_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::on_disk(folder.path(), Limits { memory: 100, ..WIDE });
    queue.push(points(0..3));
    queue.persist();
    // A file opened read-only cannot be written or truncated, so another segment would follow.
    let sound = queue.replace_file(std::fs::File::open(&segments(folder.path())[0]).unwrap()).unwrap();
    std::fs::create_dir(folder.path().join("0000000002.points")).unwrap();
    queue.push(points(3..6));
    queue.persist();
    assert_eq!((queue.counts().points, queue.counts().in_memory), (6, 3));
    let on_disk = queue.front(SubQueue::Fresh, 9).unwrap();
    assert_eq!(numbers(&on_disk.lines), [0, 1, 2], "the oldest first");
    queue.remove(&on_disk, usize::MAX);
    let in_memory = queue.front(SubQueue::Fresh, 9).unwrap();
    assert_eq!(numbers(&in_memory.lines), [3, 4, 5]);
    // Memory is limited; a batch in flight does not move to the disk.
    queue.push(points(100..140));
    assert!(queue.counts().overflow > 0);
    std::fs::remove_dir(folder.path().join("0000000002.points")).unwrap();
    queue.persist();
    assert_eq!(queue.counts().in_memory, queue.counts().points);
    queue.remove(&in_memory, usize::MAX);
    drop(sound);
    queue.push(points(200..203));
    queue.persist();
    assert_eq!(queue.counts().in_memory, 0);
    // Of the many, those that had room.
    let drained = drain(&queue);
    assert_eq!(drained, (143 - drained.len() as u64..140).chain(200..203).collect::<Vec<_>>());
    assert!((4..43).contains(&drained.len()), "{drained:?}");
}

/// Two segments with records of one to four points, as left by a kill. Returns the number of points.
fn recorded(folder: &Path) -> u64 {
    let mut next = 0;
    for _ in 0..2 {
        let queue = Queue::on_disk(folder, WIDE);
        for count in 1..5 {
            queue.push(points(next..next + count));
            queue.persist();
            next += count;
        }
    }
    next
}

#[test]
fn a_segment_that_is_cut_at_any_byte_gives_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path());
    let last = segments(folder.path()).pop().unwrap();
    let whole = std::fs::read(&last).unwrap();
    for length in 0..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        std::fs::write(copy.path().join(last.file_name().unwrap()), &whole[..length]).unwrap();
        let queue = Queue::on_disk(copy.path(), WIDE);
        let waiting = queue.counts().points;
        let found = drain(&queue);
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "cut at {length}");
        let is_sound = found.len() == waiting && found.len() >= 10 && queue.counts().damaged == 0;
        assert!(is_sound, "cut at {length}: {found:?} of {waiting}, {:?}", queue.counts());
        queue.push(points([99]));
        queue.persist();
        assert_eq!(drain(&queue), [99]);
    }
}

#[test]
fn a_bit_that_is_flipped_anywhere_costs_one_record_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let total = recorded(folder.path());
    let files: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        for place in 0..whole.len() {
            let copy = tempfile::tempdir().unwrap();
            for file in &files {
                std::fs::copy(file, copy.path().join(file.file_name().unwrap())).unwrap();
            }
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            std::fs::write(copy.path().join(file.file_name().unwrap()), flipped).unwrap();
            let queue = Queue::on_disk(copy.path(), WIDE);
            let found: BTreeSet<u64> = drain(&queue).into_iter().collect();
            // The last byte of the magic is the version: files of other versions are left alone.
            let lost = total as usize - found.len();
            let is_version = file.extension().is_some_and(|ext| ext == "points") && place == 7;
            assert!(lost <= 4 || is_version, "{} of {}: {lost} lost", place, file.display());
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Push(u64),
    Settle,
    Take(bool, usize),
    Acknowledge(usize),
    Apart,
    Kill,
    Close,
    /// The folder is moved elsewhere.
    Move,
    /// The folder is removed.
    Remove,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1u64..20).prop_map(Action::Push),
        4 => Just(Action::Settle),
        4 => (any::<bool>(), 1usize..30).prop_map(|(fresh, count)| Action::Take(fresh, count)),
        4 => (0usize..30).prop_map(Action::Acknowledge),
        1 => Just(Action::Apart),
        1 => Just(Action::Kill),
        1 => Just(Action::Close),
        1 => Just(Action::Move),
        1 => Just(Action::Remove),
    ]
}

proptest! {
    #[test]
    fn it_behaves_like_lists_of_numbers_whatever_happens(actions in proptest::collection::vec(action(), 1..80)) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("queue");
        let mut queue = Queue::on_disk(&folder, WIDE);
        // The first number in the open segment, which can be read even after its removal.
        let (mut first_of_last, mut damaged, mut moved) = (0, 0, 0);
        // Model of the sub-queues on disk, the last of which grows, and of memory.
        let (mut lanes, mut memory, mut next) = (vec![Vec::new()], Vec::new(), 0);
        let mut in_flight: Option<Batch> = None;
        for action in actions {
            match action {
                Action::Push(count) => {
                    memory.extend(next..next + count);
                    queue.push(points(next..next + count));
                    next += count;
                }
                Action::Settle => {
                    queue.persist();
                    lanes.last_mut().unwrap().append(&mut memory);
                }
                Action::Take(is_fresh, count) => {
                    in_flight = queue.front(if is_fresh { SubQueue::Fresh } else { SubQueue::Backlog }, count);
                    lanes.last_mut().unwrap().append(&mut memory);
                    let lane = match is_fresh {
                        true => lanes.last().cloned(),
                        false => lanes.first().filter(|_| lanes.len() > 1).cloned(),
                    };
                    let expected: Vec<u64> = lane.unwrap_or_default().into_iter().take(count).collect();
                    prop_assert_eq!(in_flight.as_ref().map(|b| numbers(&b.lines)).unwrap_or_default(), expected);
                }
                Action::Acknowledge(count) => {
                    if let Some(batch) = in_flight.take() {
                        queue.remove(&batch, count);
                        let mut gone = numbers(&batch.lines);
                        gone.truncate(count);
                        lanes.iter_mut().for_each(|lane| lane.retain(|number| !gone.contains(number)));
                    }
                }
                Action::Apart => {
                    queue.split_backlog();
                    if lanes.len() < 16 {
                        lanes.push(Vec::new());
                    }
                }
                Action::Kill => {
                    (memory, in_flight) = (Vec::new(), None);
                    drop(queue);
                    queue = Queue::on_disk(&folder, WIDE);
                    first_of_last = next;
                    damaged = 0;
                }
                Action::Close => {
                    prop_assert_eq!(queue.close(), 0);
                    lanes.last_mut().unwrap().append(&mut memory);
                    in_flight = None;
                    drop(queue);
                    queue = Queue::on_disk(&folder, WIDE);
                    first_of_last = next;
                    damaged = 0;
                }
                Action::Move | Action::Remove => {
                    if matches!(action, Action::Move) {
                        moved += 1;
                        std::fs::rename(&folder, root.path().join(moved.to_string())).unwrap();
                    } else {
                        queue.forget_cached();
                        std::fs::remove_dir_all(&folder).unwrap();
                        let before = lanes.iter().map(Vec::len).sum::<usize>();
                        lanes.iter_mut().for_each(|lane| lane.retain(|number| *number >= first_of_last));
                        damaged += (before - lanes.iter().map(Vec::len).sum::<usize>()) as u64;
                    }
                    queue.persist();
                    lanes.last_mut().unwrap().append(&mut memory);
                    // The new folder holds all of it.
                    first_of_last = lanes.iter().flatten().min().copied().unwrap_or(next);
                    in_flight = None;
                }
            }
            let last = lanes.len() - 1;
            let mut index = 0;
            lanes.retain(|lane: &Vec<u64>| { index += 1; !lane.is_empty() || index > last });
            let waiting = lanes.iter().map(Vec::len).sum::<usize>();
            prop_assert_eq!(queue.counts().points, waiting + memory.len());
            prop_assert_eq!(queue.counts().overflow + queue.counts().expired, 0);
            prop_assert_eq!(queue.counts().damaged, damaged);
            prop_assert_eq!(queue.has_backlog(), lanes.len() > 1);
        }
        lanes.last_mut().unwrap().append(&mut memory);
        prop_assert_eq!(drain(&queue), lanes.concat());
    }
}

#[test]
fn what_comes_before_the_folder_is_open_is_kept_behind_what_waits_there() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = Queue::on_disk(folder.path(), WIDE);
    earlier.push(points(0..10));
    earlier.persist();
    drop(earlier);
    let queue = Queue::in_memory(WIDE);
    queue.push(points(10..15));
    queue.persist();
    assert_eq!((queue.counts().points, queue.counts().in_memory), (5, 5));
    queue.attach(folder.path());
    queue.persist();
    assert_eq!((queue.counts().points, queue.counts().in_memory), (15, 0));
    assert_eq!(drain(&queue), (0..15).collect::<Vec<_>>());
}

#[test]
fn a_queue_that_let_go_of_its_folder_leaves_it_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::on_disk(folder.path(), WIDE);
    queue.push(points(0..10));
    assert_eq!(queue.close(), 0);
    queue.release();
    let next = Queue::on_disk(folder.path(), WIDE);
    assert_eq!(drain(&next), (0..10).collect::<Vec<_>>());
    queue.push(points(10..12));
    queue.persist();
    assert_eq!((queue.counts().in_memory, queue.is_on_disk()), (2, false));
}
