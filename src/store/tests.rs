use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn open(folder: &Path) -> (Log, Recovery, Vec<Vec<u8>>) {
    let mut found = Vec::new();
    let (log, recovery) = Log::open(folder, &mut |payload| found.push(payload.to_vec())).unwrap();
    (log, recovery, found)
}

fn records(payloads: &[&[u8]]) -> Records {
    let mut records = Records::default();
    payloads.iter().for_each(|payload| assert!(records.push(payload)));
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
    let second = Log::open(folder.path(), &mut |_| {});
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"old"])).unwrap();
    let mut snapshot = log.begin_snapshot().unwrap();
    log.write(&records(&[b"meanwhile"])).unwrap();
    snapshot.write(&records(&[b"state"])).unwrap();
    snapshot.finish().unwrap();
    log.write(&records(&[b"new"])).unwrap();
    drop(log);
    assert_eq!(open(folder.path()).2, [b"state".to_vec(), b"meanwhile".to_vec(), b"new".to_vec()]);
}

#[test]
fn a_snapshot_that_was_not_finished_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"old"])).unwrap();
    let mut snapshot = log.begin_snapshot().unwrap();
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
        let opened = Log::open(copy.path(), &mut |payload| found.push(payload.to_vec()));
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

#[test]
fn what_could_not_be_written_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(folder.path());
    log.write(&records(&[b"first"])).unwrap();
    // A file that was opened to be read cannot be written.
    let sound = std::mem::replace(log.segment.file_mut(), File::open(only_segment(folder.path())).unwrap());
    assert!(log.write(&records(&[b"lost"])).is_err());
    *log.segment.file_mut() = sound;
    log.write(&records(&[b"second"])).unwrap();
    drop(log);
    assert_eq!(open(folder.path()).2, [b"first".to_vec(), b"second".to_vec()]);
}

#[derive(Clone, Debug)]
enum Action {
    Write(Vec<Vec<u8>>),
    Snapshot,
    Reopen,
    /// The process ends while it writes: so many bytes of what it wrote last are there.
    Crash(Vec<u8>, usize),
}

fn action() -> impl Strategy<Value = Action> {
    let payload = || prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        4 => prop::collection::vec(payload(), 1..4).prop_map(Action::Write),
        1 => Just(Action::Snapshot),
        1 => Just(Action::Reopen),
        1 => (payload(), 0usize..60).prop_map(|(payload, bytes)| Action::Crash(payload, bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_what_was_written_is_there_in_order(actions in prop::collection::vec(action(), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(folder.path());
        let mut model: Vec<Vec<u8>> = Vec::new();
        for action in actions {
            match action {
                Action::Write(payloads) => {
                    let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                    log.write(&records(&slices)).unwrap();
                    model.extend(payloads);
                }
                Action::Snapshot => {
                    let mut snapshot = log.begin_snapshot().unwrap();
                    let slices: Vec<&[u8]> = model.iter().map(Vec::as_slice).collect();
                    snapshot.write(&records(&slices)).unwrap();
                    snapshot.finish().unwrap();
                }
                Action::Reopen => {
                    drop(log);
                    let (again, recovery, found) = open(folder.path());
                    prop_assert!(recovery.damage.is_empty());
                    prop_assert_eq!(&found, &model);
                    log = again;
                }
                Action::Crash(payload, bytes) => {
                    let lost = records(&[&payload]);
                    let cut = &lost.bytes()[..bytes.min(lost.bytes().len() - 1)];
                    let length = log.segment_bytes();
                    std::os::unix::fs::FileExt::write_all_at(log.segment.file_mut(), cut, length).unwrap();
                    drop(log);
                    let (again, recovery, found) = open(folder.path());
                    prop_assert!(recovery.damage.is_empty());
                    prop_assert_eq!(&found, &model);
                    log = again;
                }
            }
        }
        drop(log);
        prop_assert_eq!(open(folder.path()).2, model);
    }
}
