use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;

use super::records::PART;
use super::*;

fn open(folder: &Path) -> (Log, Recovery, Vec<Vec<u8>>) {
    let mut found = Vec::new();
    let (log, recovery) = Log::open(folder, &mut into(&mut found)).unwrap();
    (log, recovery, found)
}

fn into(found: &mut Vec<Vec<u8>>) -> impl FnMut(&[u8]) -> bool {
    |payload| {
        found.push(payload.to_vec());
        true
    }
}

fn records(payloads: &[&[u8]]) -> Records {
    let mut records = Records::default();
    payloads.iter().for_each(|payload| records.push_any(payload));
    records
}

fn only_segment(folder: &Path) -> PathBuf {
    files::list(folder).unwrap().pop().unwrap().path
}

#[test]
fn what_was_written_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/by/it");
    let (mut log, ..) = open(&path);
    log.write(&records(&[b"one", b"two"])).unwrap();
    log.write(&records(&[b"three"])).unwrap();
    drop(log);
    let (mut log, recovery, found) = open(&path);
    assert_eq!(found, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    assert!(recovery.damage.is_empty() && recovery.torn == 0);
    log.write(&records(&[b"four"])).unwrap();
    drop(log);
    assert_eq!(open(&path).2.len(), 4);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (_log, ..) = open(folder.path());
    let second = Log::open(folder.path(), &mut |_| true);
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"old"])).unwrap();
    let mut snapshot = log.begin_snapshot(0).unwrap();
    log.write(&records(&[b"meanwhile"])).unwrap();
    snapshot.write(&records(&[b"state"])).unwrap();
    snapshot.finish().unwrap();
    log.write(&records(&[b"new"])).unwrap();
    drop(log);
    assert_eq!(open(folder.path()).2, [b"state".to_vec(), b"meanwhile".to_vec(), b"new".to_vec()]);
}

#[test]
fn where_a_snapshot_is_not_whole_what_was_before_it_is_read_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"old"])).unwrap();
    let copy = |to: &Path, from: &Path| {
        files::list(from)
            .unwrap()
            .iter()
            .for_each(|file| drop(fs::copy(&file.path, to.join(file.path.file_name().unwrap()))));
    };
    let before = tempfile::tempdir().unwrap();
    copy(before.path(), folder.path());
    let mut snapshot = log.begin_snapshot(0).unwrap();
    snapshot.write(&records(&[b"state", b"more"])).unwrap();
    snapshot.finish().unwrap();
    log.write(&records(&[b"new"])).unwrap();
    drop(log);
    let snapshot = folder.path().join("0000000002.snapshot");
    let whole = fs::read(&snapshot).unwrap();
    let old = before.path().join("0000000001.log");
    for end in 0..=whole.len() {
        let state = tempfile::tempdir().unwrap();
        copy(state.path(), folder.path());
        copy(state.path(), before.path());
        fs::write(state.path().join("0000000002.snapshot"), &whole[..end]).unwrap();
        let (log, recovery, found) = open(state.path());
        drop(log);
        let (first, last) = (found.first().unwrap().clone(), found.last().unwrap().clone());
        assert_eq!(last, b"new", "{end}");
        if end == whole.len() {
            assert_eq!((first.as_slice(), recovery.damage.len()), (b"state".as_slice(), 0));
            assert!(!state.path().join("0000000001.log").exists());
            continue;
        }
        assert_eq!(first, b"old", "{end}: {recovery:?}");
        assert!(!recovery.damage.is_empty(), "{end}");
        assert_eq!(fs::read(state.path().join("0000000001.log")).unwrap(), fs::read(&old).unwrap(), "{end}");
        // The same happens each time until a snapshot replaces all of them.
        assert_eq!(open(state.path()).2, found, "{end}");
    }
    // A damaged snapshot alone is read as far as possible.
    fs::write(&snapshot, &whole[..whole.len() - 8]).unwrap();
    assert_eq!(open(folder.path()).2, [b"state".to_vec(), b"more".to_vec(), b"new".to_vec()]);
}

#[test]
fn a_stray_file_that_is_called_a_snapshot_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"one"])).unwrap();
    drop(log);
    fs::write(folder.path().join("0000000901.snapshot"), [7; 3000]).unwrap();
    for _ in 0..2 {
        let (mut log, recovery, found) = open(folder.path());
        assert_eq!((found, recovery.damage.len()), (vec![b"one".to_vec()], 1));
        let mut snapshot = log.begin_snapshot(0).unwrap();
        snapshot.write(&records(&[b"never"])).unwrap();
    }
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"two"])).unwrap();
    let mut snapshot = log.begin_snapshot(0).unwrap();
    snapshot.write(&records(&[b"both"])).unwrap();
    log.snapshot_finished(snapshot.finish().unwrap());
    drop(log);
    assert_eq!(open(folder.path()).2, [b"both".to_vec()]);
}

#[test]
fn a_snapshot_that_was_not_finished_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"old"])).unwrap();
    let mut snapshot = log.begin_snapshot(0).unwrap();
    snapshot.write(&records(&[b"state"])).unwrap();
    std::mem::forget(snapshot);
    log.write(&records(&[b"new"])).unwrap();
    drop(log);
    assert_eq!(open(folder.path()).2, [b"old".to_vec(), b"new".to_vec()]);
}

#[test]
fn a_record_that_was_cut_off_is_left_out_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"first", b"second"])).unwrap();
    drop(log);
    let whole = fs::read(only_segment(folder.path())).unwrap();
    for end in 0..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("0000000001.log"), &whole[..end]).unwrap();
        let (_, recovery, found) = open(copy.path());
        let expected = if end >= MAGIC.len() + 13 { 1 } else { 0 };
        assert_eq!(found.len(), expected, "cut at {end}");
        assert!(recovery.damage.is_empty(), "cut at {end}: {:?}", recovery.damage);
    }
}

#[test]
fn what_is_damaged_costs_its_own_record_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"first", b"second", b"third"])).unwrap();
    drop(log);
    let whole = fs::read(only_segment(folder.path())).unwrap();
    for at in 0..whole.len() {
        let copy = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(copy.path().join("0000000001.log"), &bytes).unwrap();
        let mut found = Vec::new();
        let opened = Log::open(copy.path(), &mut into(&mut found));
        if at == MAGIC.len() - 1 {
            assert!(matches!(opened, Err(OpenError::Version(_))), "a version that is not ours");
            continue;
        }
        let (_, recovery) = opened.unwrap();
        let sound: Vec<&[u8]> = [b"first".as_slice(), b"second", b"third"].into();
        assert!(found.iter().all(|payload| sound.contains(&payload.as_slice())), "at {at}: {found:?}");
        assert!(found.len() >= 2, "at {at}: {found:?}");
        assert!(recovery.damage.len() + usize::from(recovery.torn > 0) == 1, "at {at}: {recovery:?}");
        let kept =
            fs::read_dir(copy.path()).unwrap().flatten().filter(|e| e.path().to_string_lossy().contains(".damaged-"));
        assert_eq!(kept.count(), recovery.damage.len(), "at {at}");
    }
}

/// Ways to put something other than a regular file at a path.
const SPECIAL: [fn(&Path); 6] = [
    |at| rustix::fs::mkfifoat(rustix::fs::CWD, at, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap(),
    |at| drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
    |at| fs::create_dir(at).unwrap(),
    |at| std::os::unix::fs::symlink("/dev/null", at).unwrap(),
    |at| std::os::unix::fs::symlink("/etc/passwd", at).unwrap(),
    |at| std::os::unix::fs::symlink("nowhere", at).unwrap(),
];

/// Opens a log and writes to it, and returns its error; a thread that hangs is abandoned.
fn open_in_time(folder: &Path) -> Result<(), String> {
    let (folder, (sender, receiver)) = (folder.to_owned(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let opened = Log::open(&folder, &mut |_| true).map_err(|error| error.to_string());
        sender.send(opened.and_then(|(mut log, _)| {
            log.release_reserve();
            log.write(&records(&[b"one"])).map_err(|error| error.to_string())
        }))
    });
    receiver.recv_timeout(std::time::Duration::from_secs(20)).unwrap_or_else(|_| Err("it hangs".to_owned()))
}

#[test]
fn what_is_no_regular_file_is_an_error_that_names_it_and_hangs_nobody() {
    for make in SPECIAL {
        for name in ["0000000001.log", "0000000001.snapshot", "lock"] {
            let folder = tempfile::tempdir().unwrap();
            make(&folder.path().join(name));
            let error = open_in_time(folder.path()).err().unwrap_or_else(|| panic!("{name} was opened"));
            assert!(error.contains(&format!("/{name}: ")), "{error}");
            assert!(error.contains("expected a regular file, found a "), "{error}");
        }
        // Ignored files do no harm.
        for name in ["reserve", "0000000001.unfinished", "0000000001.log.damaged-1"] {
            let folder = tempfile::tempdir().unwrap();
            make(&folder.path().join(name));
            assert_eq!(open_in_time(folder.path()), Ok(()), "{name}");
        }
    }
    assert!(!Path::new("nowhere").exists());
}

#[test]
fn what_could_not_be_written_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"first"])).unwrap();
    // A file opened read-only cannot be written.
    let sound = std::mem::replace(log.segment().file_mut(), File::open(only_segment(folder.path())).unwrap());
    assert!(log.write(&records(&[b"lost"])).is_err());
    *log.segment().file_mut() = sound;
    log.write(&records(&[b"second"])).unwrap();
    drop(log);
    assert_eq!(open(folder.path()).2, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn what_is_taken_away_is_noticed_before_anything_is_acknowledged() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let (mut log, ..) = open(&folder);
    log.write(&records(&[b"first"])).unwrap();
    for (away, is_there) in [("rm", false), ("mv", false), ("segment", true)] {
        match away {
            "rm" => fs::remove_dir_all(&folder).unwrap(),
            "mv" => fs::rename(&folder, parent.path().join("elsewhere")).unwrap(),
            _ => fs::remove_file(only_segment(&folder)).unwrap(),
        }
        assert_eq!(folder.exists(), is_there);
        let refused = log.write(&records(&[b"refused"])).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound, "{away}: {refused}");
        assert!(log.needs_snapshot(), "{away}: a snapshot is due");
        log.write(&records(&[b"meanwhile"])).unwrap();
        let mut snapshot = log.begin_snapshot(0).unwrap();
        snapshot.write(&records(&[b"everything"])).unwrap();
        let finished = snapshot.finish().unwrap();
        log.snapshot_finished(finished);
        assert!(!log.needs_snapshot());
        log.write(&records(&[b"later"])).unwrap();
    }
    drop(log);
    assert_eq!(open(&folder).2, [b"everything".to_vec(), b"later".to_vec()]);
}

#[test]
fn what_is_cut_off_or_removed_is_noticed_before_anything_is_acknowledged() {
    for file in ["0000000001.snapshot", "0000000002.log", "0000000003.log"] {
        for is_removed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (mut log, ..) = open(folder.path());
            let mut snapshot = log.begin_snapshot(0).unwrap();
            snapshot.write(&records(&[b"zero"])).unwrap();
            let finished = snapshot.finish().unwrap();
            log.snapshot_finished(finished);
            log.write(&records(&[b"one"])).unwrap();
            drop(log);
            let (mut log, _, found) = open(folder.path());
            assert_eq!(found, [b"zero".to_vec(), b"one".to_vec()]);
            log.write(&records(&[b"two"])).unwrap();
            let path = folder.path().join(file);
            match is_removed {
                true => fs::remove_file(&path).unwrap(),
                false => fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(12).unwrap(),
            }
            let refused = log.write(&records(&[b"refused"])).unwrap_err();
            assert!(refused.to_string().contains("taken away"), "{file}: {refused}");
            assert!(log.needs_snapshot(), "{file}");
            log.write(&records(&[b"meanwhile"])).unwrap();
            let mut snapshot = log.begin_snapshot(0).unwrap();
            snapshot.write(&records(&[b"everything"])).unwrap();
            let finished = snapshot.finish().unwrap();
            // The replaced files are removed before the log knows of the snapshot.
            log.write(&records(&[b"later"])).unwrap();
            log.snapshot_finished(finished);
            log.write(&records(&[b"last"])).unwrap();
            drop(log);
            assert_eq!(open(folder.path()).2, [b"everything".to_vec(), b"later".to_vec(), b"last".to_vec()], "{file}");
        }
    }
}

#[test]
fn a_log_that_stands_where_ours_was_is_not_written() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let (mut log, ..) = open(&folder);
    log.write(&records(&[b"ours"])).unwrap();
    fs::rename(&folder, parent.path().join("elsewhere")).unwrap();
    let (mut other, ..) = open(&folder);
    other.write(&records(&[b"theirs"])).unwrap();
    for _ in 0..3 {
        assert!(log.write(&records(&[b"refused"])).is_err());
        assert!(log.begin_snapshot(0).is_err());
    }
    drop(other);
    assert!(log.write(&records(&[b"refused"])).unwrap_err().to_string().contains("another process"));
    drop(log);
    assert_eq!(open(&folder).2, [b"theirs".to_vec()]);
}

/// A payload of `count` parts.
fn of_parts(count: usize, fill: u8) -> Vec<u8> {
    vec![fill; (count - 1) * PART + 5]
}

fn bytes_of(folder: &Path) -> Vec<u8> {
    fs::read(only_segment(folder)).unwrap()
}

#[test]
fn what_has_parts_is_there_whole_or_not_at_all_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    let (large, last) = (of_parts(3, b'l'), of_parts(2, b'z'));
    log.write(&records(&[b"first", &large, &last])).unwrap();
    drop(log);
    let whole = bytes_of(folder.path());
    let ends = [13, 13 + 3 * 8 + large.len(), 13 + 5 * 8 + large.len() + last.len()].map(|end| MAGIC.len() + end);
    assert_eq!(ends[2], whole.len());
    for end in 0..=whole.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("0000000001.log"), &whole[..end]).unwrap();
        let (mut log, recovery, found) = open(copy.path());
        let expected = ends.iter().filter(|whole| end >= **whole).count();
        assert_eq!(found.len(), expected, "cut at {end}");
        assert!(found == [b"first".to_vec(), large.clone(), last.clone()][..expected], "cut at {end}");
        assert!(recovery.damage.is_empty(), "cut at {end}: {:?}", recovery.damage);
        log.write(&records(&[b"later"])).unwrap();
        drop(log);
        let (_, recovery, found) = open(copy.path());
        assert_eq!((found.len(), recovery.damage), (expected + 1, Vec::new()), "cut at {end}, and opened again");
    }
}

#[test]
fn damage_in_a_part_costs_the_record_that_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    let sound = [b"first".to_vec(), of_parts(3, b'l'), b"third".to_vec(), of_parts(2, b'z'), b"end".to_vec()];
    log.write(&records(&sound.each_ref().map(Vec::as_slice))).unwrap();
    drop(log);
    let whole = bytes_of(folder.path());
    for at in (0..whole.len()).filter(|at| *at != MAGIC.len() - 1) {
        let copy = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        fs::write(copy.path().join("0000000001.log"), &bytes).unwrap();
        let (_, recovery, found) = open(copy.path());
        assert!(found.iter().all(|payload| sound.contains(payload)), "at {at}: {found:?}");
        assert!(found.len() >= sound.len() - 1, "at {at}: {found:?}");
        assert_eq!(recovery.damage.len() + usize::from(recovery.torn > 0), 1, "at {at}: {recovery:?}");
    }
}

#[test]
fn files_without_parts_are_read_by_programs_that_know_none() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"small"])).unwrap();
    assert!(bytes_of(folder.path()).starts_with(MAGIC));
    log.write(&records(&[&of_parts(2, b'x')])).unwrap();
    assert!(bytes_of(folder.path()).starts_with(MAGIC_WITH_PARTS));
    let mut snapshot = log.begin_snapshot(0).unwrap();
    snapshot.write(&records(&[b"small", &of_parts(2, b'x')])).unwrap();
    let finished = snapshot.finish().unwrap();
    log.snapshot_finished(finished);
    assert_eq!((log.segments(), log.bytes()), (0, 0));
    assert!(bytes_of(folder.path()).starts_with(MAGIC_WITH_PARTS));
    drop(log);
    assert_eq!(open(folder.path()).2, [b"small".to_vec(), of_parts(2, b'x')]);
}

#[test]
fn segments_of_earlier_runs_count_and_go() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..5 {
        let (mut log, _, found) = open(folder.path());
        assert_eq!((found.len(), log.segments()), (run, run));
        log.write(&records(&[&[b'x'; 50]])).unwrap();
        assert_eq!(log.bytes(), (run as u64 + 1) * (8 + 8 + 50));
    }
    fs::write(folder.path().join("0000000002.unfinished"), b"x").unwrap();
    let (mut log, ..) = open(folder.path());
    assert!(!folder.path().join("0000000002.unfinished").exists());
    let mut snapshot = log.begin_snapshot(0).unwrap();
    snapshot.write(&records(&[b"state"])).unwrap();
    let finished = snapshot.finish().unwrap();
    log.snapshot_finished(finished);
    assert_eq!((log.segments(), log.bytes()), (0, 0));
    assert_eq!(files::list(folder.path()).unwrap().len(), 1);
    drop(log);
    assert_eq!(open(folder.path()).2, [b"state".to_vec()]);
}

#[test]
fn a_full_disk_is_read_and_its_files_are_put_in_order_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"first", b"damaged", b"third", b"torn"])).unwrap();
    drop(log);
    let segment = only_segment(folder.path());
    let mut bytes = fs::read(&segment).unwrap();
    let damaged = bytes.windows(7).position(|part| part == b"damaged").unwrap();
    bytes[damaged] ^= 1;
    bytes.truncate(bytes.len() - 1);
    fs::write(&segment, &bytes).unwrap();
    faults::leave(folder.path(), Some(0));
    let (mut log, recovery, found) = open(folder.path());
    assert_eq!(found, [b"first".to_vec(), b"third".to_vec()]);
    assert!(recovery.unwritable.is_some());
    assert_eq!(log.write(&records(&[b"refused"])).unwrap_err().kind(), io::ErrorKind::StorageFull);
    faults::leave(folder.path(), None);
    log.write(&records(&[b"taken"])).unwrap();
    drop(log);
    let (_, recovery, found) = open(folder.path());
    assert_eq!(found, [b"first".to_vec(), b"third".to_vec(), b"taken".to_vec()]);
    assert_eq!((recovery.torn, recovery.damage.len()), (0, 1));
}

#[test]
fn a_folder_that_nobody_could_lock_is_not_written_once_another_has() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    fs::create_dir(&folder).unwrap();
    // There is no lock file and none can be created: another process may lock the folder as soon as it is writable.
    fs::create_dir(folder.join("lock")).unwrap();
    assert!(Log::open(&folder, &mut |_| true).is_err(), "what is in the way of the lock is no full disk");
    fs::remove_dir(folder.join("lock")).unwrap();
    let (mut other, ..) = open(&folder);
    other.write(&records(&[b"other"])).unwrap();
    drop(other);
    let (mut log, ..) = open(&folder);
    log.forget_lock();
    let (mut other, ..) = open(&folder);
    other.write(&records(&[b"more"])).unwrap();
    assert!(log.write(&records(&[b"lost"])).unwrap_err().to_string().contains("another Taffrail"));
    drop(other);
    assert!(log.write(&records(&[b"lost"])).unwrap_err().to_string().contains("another process"));
}

#[derive(Clone, Debug)]
enum Action {
    Write(Vec<Vec<u8>>),
    Snapshot,
    Reopen,
    /// The process ends during a write: this many bytes of the last write are there.
    Crash(Vec<u8>, usize),
    /// The disk accepts this many bytes from now on; `None`: all.
    Room(Option<u64>),
    /// The process ends during a snapshot.
    CrashInSnapshot,
}

fn action() -> impl Strategy<Value = Action> {
    let payload = || prop::collection::vec(any::<u8>(), 1..3 * PART);
    prop_oneof![
        6 => prop::collection::vec(payload(), 1..4).prop_map(Action::Write),
        2 => Just(Action::Snapshot),
        1 => Just(Action::Reopen),
        1 => (payload(), 0usize..400).prop_map(|(payload, bytes)| Action::Crash(payload, bytes)),
        2 => prop::option::of(0u64..700).prop_map(Action::Room),
        1 => Just(Action::CrashInSnapshot),
    ]
}

/// Acknowledged records, and a log that must hold them.
struct Tried {
    folder: tempfile::TempDir,
    log: Log,
    model: Vec<Vec<u8>>,
}

impl Tried {
    fn slices(&self) -> Vec<&[u8]> {
        self.model.iter().map(Vec::as_slice).collect()
    }

    /// Writing a snapshot may fail; what is on disk afterwards is checked separately.
    fn snapshot(&mut self) -> io::Result<()> {
        let mut snapshot = self.log.begin_snapshot(0)?;
        // In two halves, so that the disk can fill up between them.
        let (one, other) = self.model.split_at(self.model.len() / 2);
        for half in [one, other] {
            let slices: Vec<&[u8]> = half.iter().map(Vec::as_slice).collect();
            snapshot.write(&records(&slices))?;
        }
        let finished = snapshot.finish()?;
        self.log.snapshot_finished(finished);
        Ok(())
    }

    fn reopen(self) -> Result<Tried, TestCaseError> {
        let Tried { folder, log, model } = self;
        drop(log);
        let (log, recovery, found) = open(folder.path());
        prop_assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
        prop_assert_eq!(&found, &model);
        Ok(Tried { folder, log, model })
    }

    fn act(mut self, action: Action) -> Result<Tried, TestCaseError> {
        match action {
            Action::Write(payloads) => {
                let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                // Refused records are not in the log.
                if self.log.write(&records(&slices)).is_ok() {
                    self.model.extend(payloads);
                }
            }
            Action::Snapshot => drop(self.snapshot()),
            Action::Reopen => self = self.reopen()?,
            Action::Crash(payload, bytes) => {
                faults::leave(self.folder.path(), None);
                let lost = records(&[&payload]);
                self.log.write(&records(&[b"x"])).unwrap();
                self.model.push(b"x".to_vec());
                let segment = self.log.segment();
                let (cut, length) = (&lost.bytes()[..bytes.min(lost.bytes().len() - 1)], segment.length());
                std::os::unix::fs::FileExt::write_all_at(segment.file_mut(), cut, length).unwrap();
                self = self.reopen()?;
            }
            Action::Room(bytes) => faults::leave(self.folder.path(), bytes),
            Action::CrashInSnapshot => {
                if let Ok(mut snapshot) = self.log.begin_snapshot(0) {
                    let _ = snapshot.write(&records(&self.slices()));
                    std::mem::forget(snapshot);
                }
                self = self.reopen()?;
            }
        }
        Ok(self)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_what_was_written_is_there_in_order(actions in prop::collection::vec(action(), 0..24)) {
        let folder = tempfile::tempdir().unwrap();
        let (log, ..) = open(folder.path());
        let mut tried = Tried { folder, log, model: Vec::new() };
        for action in actions {
            tried = tried.act(action)?;
        }
        tried = tried.reopen()?;
        // With space again, all records are there, and no unfinished file remains.
        faults::leave(tried.folder.path(), None);
        tried = tried.act(Action::Write(vec![b"last".to_vec()]))?;
        prop_assert_eq!(tried.model.last(), Some(&b"last".to_vec()));
        tried = tried.reopen()?;
        let left = files::list(tried.folder.path()).unwrap();
        prop_assert!(left.iter().all(|file| file.kind != files::Kind::Unfinished));
    }
}
