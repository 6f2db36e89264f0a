//! The copy of a replica, checked against what the stream has decided: restarts, crashes and full disks.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::group_store::{GroupStore, PersistError, of_torn};
use super::replica::ReplicaStore;
use super::replicated::Copy;
use super::tests::copied;
use crate::gateway::groups::change::{Plan, Replace};
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::position::{Identity, Position};
use crate::gateway::groups::state::State;
use crate::gateway::groups::tests::{key, plan, pushed_lines};
use crate::store::{OpenError, faults};

#[derive(Clone, Debug)]
enum Action {
    /// This replica writes a group, with help of this many bytes.
    Push(u8, usize),
    /// This replica removes a group.
    Remove(u8),
    /// Its push is not decided.
    Undo(u8),
    /// A message without effect.
    Skip,
    /// It continues with a copy of the files on disk.
    Crash,
    /// The free space on disk; unlimited if none.
    Space(Option<u64>),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0u8..5, 0usize..400).prop_map(|(group, help)| Action::Push(group, help)),
        2 => (0u8..5).prop_map(Action::Remove),
        1 => (0u8..5).prop_map(Action::Undo),
        1 => Just(Action::Skip),
        2 => Just(Action::Crash),
        2 => prop::option::of(0u64..6000).prop_map(Action::Space),
    ]
}

fn open(folder: &Path) -> (Arc<GroupStore>, ReplicaStore, Copy) {
    loop {
        match GroupStore::open_replica(folder) {
            Ok(opened) => return opened,
            // The previous writer may not have released its lock yet.
            Err(OpenError::InUse(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits for what the threads of a store do. That of the snapshot has the lowest priority: on a busy machine, it waits.
fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    for _ in 0..60_000 {
        if let Some(value) = done() {
            return value;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("waited in vain: {what}");
}

fn position(sequence: u64) -> Position {
    Position { sequence, ..Position::start(Identity { id: 7, created: 1 }) }
}

/// A decided message: its records, and all groups after it.
type Message = (Vec<u8>, String);

struct Tried {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    store: Arc<GroupStore>,
    replica: ReplicaStore,
    /// The stream; its first message has sequence 1.
    stream: Vec<Message>,
}

impl Tried {
    fn next(&self) -> Position {
        position(self.stream.len() as u64 + 1)
    }

    /// Makes a change that the stream decides or, unless `is_decided`, does not.
    fn change(&mut self, change: impl FnOnce(&State) -> Plan, is_decided: bool) -> Result<usize, PersistError> {
        let (replica, at) = (self.replica.clone(), self.next());
        let pushed = self.store.change(|state| Ok::<_, Conflict>(change(state)));
        let mut records = Vec::new();
        let decided = async {
            match replica.next_batch(1000) {
                Some(batch) if is_decided => {
                    records.clone_from(&batch.records);
                    replica.acknowledge(&batch, at);
                }
                Some(_) => {
                    replica.stop_writing("a test");
                    replica.begin_writing();
                }
                None => {}
            }
        };
        let (changed, ()) = self.runtime.block_on(async { tokio::join!(pushed, decided) });
        if is_decided && !records.is_empty() {
            self.stream.push((records, self.store.read(pushed_lines)));
        }
        changed.map(Result::unwrap)
    }

    fn push(&mut self, group: u8, help: usize, is_decided: bool) -> Result<usize, PersistError> {
        let value = self.stream.len();
        let body = format!("# HELP f{group} {}\nf{group} {value}\n", "h".repeat(help));
        let path = format!("job/g{group}");
        self.change(|state| Plan::Change(plan(state, &path, &body, Replace::Everything).unwrap()), is_decided)
    }

    /// Continues with what is on disk, and reads the rest of the stream.
    fn crash(&mut self) -> Result<(), TestCaseError> {
        let folder = copied(self.folder.path());
        self.store.close();
        faults::leave(self.folder.path(), None);
        let (store, replica, copy) = open(folder.path());
        (self.store, self.replica, self.folder) = (store, replica, folder);
        let sequence = match copy {
            Copy::Empty => 0,
            Copy::At(at) => at.sequence,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(self.replica.persisted(), sequence);
        let expected = sequence.checked_sub(1).map_or("", |index| &self.stream[index as usize].1);
        prop_assert_eq!(self.store.read(pushed_lines), expected);
        for (index, (records, expected)) in (0..).zip(&self.stream).skip(sequence as usize) {
            prop_assert!(self.replica.apply(position(index + 1), records));
            prop_assert_eq!(&self.store.read(pushed_lines), expected);
        }
        self.replica.begin_writing();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_copy_is_the_beginning_of_what_was_decided(actions in prop::collection::vec(action(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (store, replica, copy) = open(folder.path());
        prop_assert_eq!(copy, Copy::Empty);
        let mut tried = Tried { runtime, folder, store, replica, stream: Vec::new() };
        prop_assert_eq!(tried.push(0, 0, true), Err(PersistError::NotWriter));
        tried.replica.begin_writing();
        for action in actions {
            let before = tried.store.read(pushed_lines);
            match action {
                // A full disk costs the copy, not the push.
                Action::Push(group, help) => prop_assert_eq!(tried.push(group, help, true), Ok(1)),
                Action::Remove(group) => {
                    let removed = [key(&format!("job/g{group}"))];
                    let removed = tried.change(|state| Plan::Sweep(state.select_keys(&removed)), true);
                    prop_assert!(removed.is_ok());
                }
                Action::Undo(group) => {
                    prop_assert_eq!(tried.push(group, 0, false), Err(PersistError::Undecided("a test".into())));
                    prop_assert_eq!(tried.store.read(pushed_lines), before);
                }
                Action::Skip => {
                    prop_assert!(tried.replica.apply(tried.next(), &[]));
                    tried.stream.push((Vec::new(), before));
                }
                Action::Crash => tried.crash()?,
                Action::Space(bytes) => faults::leave(tried.folder.path(), bytes),
            }
        }
        // With free space, the copy is whole again.
        faults::leave(tried.folder.path(), None);
        prop_assert_eq!(tried.push(0, 0, true), Ok(1));
        let expected = tried.stream.len() as u64;
        wait_until("the copy", || (tried.replica.persisted() == expected).then_some(()));
        tried.crash()?;
        prop_assert_eq!(tried.replica.persisted(), expected);
        // Another replica begins with a snapshot for the stream.
        let base = tried.replica.begin_snapshot(100);
        let mut snapshot = Vec::new();
        loop {
            let Some((part, is_last)) = tried.replica.next_part() else { continue };
            prop_assert!(part.len() <= 100);
            snapshot.extend(part);
            if is_last {
                break;
            }
        }
        let other = tempfile::tempdir().unwrap();
        let (store, replica, _) = open(other.path());
        prop_assert_eq!(replica.load(&snapshot), tried.replica.decided());
        prop_assert_eq!(base, expected);
        prop_assert_eq!(store.read(pushed_lines), tried.store.read(pushed_lines));
        store.close();
        tried.store.close();
    }
}

#[test]
fn a_directory_that_served_a_single_gateway_meanwhile_has_no_position() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (store, replica, _) = open(folder.path());
    replica.begin_writing();
    let mut tried = Tried { runtime, folder, store, replica, stream: Vec::new() };
    tried.push(1, 0, true).unwrap();
    let folder = copied_when_persisted(&tried);
    let single = GroupStore::open(Some(folder.path())).unwrap();
    assert_eq!(single.read(State::groups), 1);
    let change = single.change(|state| plan(state, "job/other", "x 1\n", Replace::Everything).map(Plan::Change));
    assert_eq!(tried.runtime.block_on(change), Ok(Ok(1)));
    single.close();
    assert_eq!(open(folder.path()).2, Copy::Foreign);
}

fn copied_when_persisted(tried: &Tried) -> tempfile::TempDir {
    while tried.replica.persisted() < tried.stream.len() as u64 {
        std::thread::yield_now();
    }
    copied(tried.folder.path())
}

/// What a replica has acknowledged is in the stream, also if its copy is torn.
#[test]
fn a_torn_copy_does_not_claim_that_nothing_was_acknowledged() {
    for (copy, has_stream, expected) in [
        (
            Copy::At(position(1)),
            true,
            "3 bytes of incomplete changes in this copy of the stream were dropped; they are read from the stream again",
        ),
        (
            Copy::Empty,
            true,
            "3 bytes of incomplete changes in this copy of the stream were dropped; they are read from the stream again",
        ),
        (
            Copy::At(position(1)),
            false,
            "3 bytes of incomplete changes in this copy of a stream were dropped; only the stream may have them, also if they were acknowledged",
        ),
        (Copy::Foreign, false, "3 bytes of an incomplete push were dropped; it had not been acknowledged"),
        (Copy::Empty, false, "3 bytes of an incomplete push were dropped; it had not been acknowledged"),
    ] {
        assert_eq!(of_torn(3, copy, has_stream), expected);
    }
}

/// The disk's error, where, and what to do, for as long as it lasts.
#[test]
fn a_copy_that_cannot_be_written_has_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (store, replica, _) = open(folder.path());
    replica.begin_writing();
    let mut tried = Tried { runtime, folder, store, replica, stream: Vec::new() };
    assert_eq!(tried.replica.copy_failure(), None);
    faults::leave(tried.folder.path(), Some(0));
    assert_eq!(tried.push(1, 0, true), Ok(1));
    let reason = wait_until("the failure", || tried.replica.copy_failure());
    let expected = format!("the copy of the groups in {} cannot be written: ", tried.folder.path().display());
    assert!(reason.starts_with(&expected), "{reason}");
    assert!(reason.ends_with("; make room on the gateway's disk; no restart is needed"), "{reason}");
    faults::leave(tried.folder.path(), None);
    assert_eq!(tried.push(2, 0, true), Ok(1));
    wait_until("its end", || (tried.replica.copy_failure().is_none() && tried.replica.persisted() >= 2).then_some(()));
    tried.store.close();
}
