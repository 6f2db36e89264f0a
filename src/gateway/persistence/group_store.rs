//! The store of all groups: changes are planned and applied one at a time, and acknowledged once they are on disk.
//!
//! A writer thread writes all changes since its last write at once, so that many pushes share one `fdatasync`. Until then a
//! change can be undone: if the disk refuses, every change that is not on disk is undone, the last first, and its caller
//! gets the error. On a full disk, removals are written nevertheless.
//!
//! # Guarantees
//!
//! With a directory, an acknowledged change is on disk, and stays there until a later acknowledged change replaces it:
//! across a crash at any moment, a disk that refuses or is full, snapshots that fail at any byte, and groups of any size. A
//! change answered with an error is neither in memory nor on disk. An unanswered change is there completely or not at all.
//! `tests.rs` checks this against a model.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::pending::{MAX_PENDING, Shared};
use super::replica::ReplicaStore;
use super::replicated::{Copy, Replay, Replicated};
use super::snapshot::SnapshotContent;
use super::writer::{self, Writer};
use crate::gateway::groups::change::{GroupFamily, Plan};
use crate::gateway::groups::state::State;
use crate::gateway::key::Key;
use crate::store::{Log, OpenError, Recovery};

pub use super::pending::PersistError;

/// All groups, and the log that persists them.
pub struct GroupStore {
    shared: Arc<Shared>,
    is_durable: bool,
}

impl GroupStore {
    /// Opens the groups in `directory`, or a store in memory alone.
    ///
    /// # Errors
    /// Why the directory cannot be used.
    pub fn open(directory: Option<&Path>) -> Result<Arc<GroupStore>, OpenError> {
        match directory {
            Some(directory) => Self::open_log(directory, None).map(|(store, _)| store),
            None => Ok(Self::new(State::default(), None, false)),
        }
    }

    /// Whether `directory` is that of a gateway that has persisted something. Nothing is changed.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_at(directory: &Path) -> std::io::Result<bool> {
        Log::is_in(directory)
    }

    /// Opens a replica's copy in `directory`: changes are acknowledged by what drives the returned [`ReplicaStore`]. Also
    /// returns what the directory held.
    ///
    /// # Errors
    /// Why the directory cannot be used.
    pub fn open_replica(directory: &Path) -> Result<(Arc<GroupStore>, ReplicaStore, Copy), OpenError> {
        let (store, copy) = Self::open_log(directory, Some(Replicated::default()))?;
        let replica = ReplicaStore::new(store.shared.clone());
        Ok((store, replica, copy))
    }

    fn new(state: State, replica: Option<Replicated>, is_durable: bool) -> Arc<GroupStore> {
        Arc::new(GroupStore { shared: Arc::new(Shared::new(state, replica)), is_durable })
    }

    fn open_log(directory: &Path, replica: Option<Replicated>) -> Result<(Arc<GroupStore>, Copy), OpenError> {
        let (mut state, mut position) = (State::default(), Replay::default());
        let (log, recovery) = Log::open(directory, &mut |payload| position.replay(&mut state, payload))?;
        let is_damaged = !recovery.damage.is_empty();
        let copy = position.copy(&state, is_damaged);
        log_recovery(directory, &recovery, copy, replica.is_some());
        let replica = replica.map(|replica| replica.opened(copy));
        let store = Self::new(state, replica, true);
        let writer = Writer::new(store.shared.clone(), log, is_damaged);
        let started = thread::Builder::new().name("gateway-store".to_owned()).spawn(move || writer.run());
        let failed = |reason| OpenError::Io { path: directory.to_owned(), what: "no thread to write with", reason };
        started.map_err(failed)?;
        Ok((store, copy))
    }

    /// Passes the persisted state to `read`, and returns its result: no pending change is in it. All other callers wait
    /// meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        self.shared.lock().decided(read)
    }

    /// The persisted families of a group including its markers, sorted by name.
    pub fn families_of(&self, key: &Key) -> Option<Vec<GroupFamily>> {
        let mut inner = self.shared.lock();
        match inner.is_changing(key) {
            true => inner.decided(|state| state.families_of(key)),
            false => inner.state.families_of(key),
        }
    }

    /// Passes the state with all pending changes to `read`, for checks of further changes.
    pub fn read_pending<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.shared.lock().state)
    }

    /// Applies the plan, and waits until it is on disk; returns the number of changed groups. An error of `plan` itself is
    /// the inner result.
    ///
    /// # Errors
    /// The change could not be persisted, and was undone.
    pub async fn change<R>(
        &self,
        plan: impl FnOnce(&State) -> Result<Plan, R>,
    ) -> Result<Result<usize, R>, PersistError> {
        let is_replica;
        let (groups, receiver) = {
            let mut inner = self.shared.lock();
            if inner.waiting_bytes() > MAX_PENDING {
                return Err(PersistError::Busy);
            }
            if inner.replica.as_ref().is_some_and(|replica| !replica.is_writing) {
                return Err(PersistError::NotWriter);
            }
            is_replica = inner.replica.is_some();
            let plan = match plan(&inner.state) {
                Ok(plan) => plan,
                Err(error) => return Ok(Err(error)),
            };
            let groups = match &plan {
                Plan::Nothing => 0,
                Plan::Change(_) => 1,
                Plan::Sweep(selection) => selection.count(),
            };
            // An empty plan depends on changes that may still be undone: its answer waits for them.
            let receiver = if groups > 0 { inner.apply(plan, self.is_durable)? } else { inner.wait_for_all() };
            (groups, receiver)
        };
        if let Some(receiver) = receiver {
            match is_replica {
                true => self.shared.changed.notify_one(),
                false => self.shared.wake.notify_one(),
            }
            let result = receiver.await.unwrap_or_else(|_| Err(PersistError::Disk("the gateway is ending".into())));
            drop(result?);
        }
        Ok(Ok(groups))
    }

    /// Passes the records of a snapshot of the persisted state to `write`.
    ///
    /// # Errors
    /// A record is too long.
    pub fn records(&self, write: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let content = self.read(|state| SnapshotContent::of(state, None));
        content
            .each(&mut |record| {
                write(record);
                Ok(())
            })
            .map_err(|error| error.to_string())
    }

    /// Stops the writer after its last write.
    pub fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.wake.notify_one();
        self.shared.changed.notify_one();
    }

    /// Stops the writer, and waits until it has released the directory.
    pub async fn close_and_wait(&self) {
        self.close();
        // The writer has the only other reference.
        while Arc::strong_count(&self.shared) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What it means that a log ends with this many bytes of an incomplete record.
pub(super) fn of_torn(bytes: u64, copy: Copy, has_stream: bool) -> String {
    // A replica acknowledges a push when the stream has it, before its copy has.
    let (what, then) = match copy {
        _ if has_stream => ("incomplete changes in this copy of the stream", "they are read from the stream again"),
        Copy::At(_) => (
            "incomplete changes in this copy of a stream",
            "only the stream may have them, also if they were acknowledged",
        ),
        _ => ("an incomplete push", "it had not been acknowledged"),
    };
    format!("{bytes} bytes of {what} were dropped; {then}")
}

/// Logs the result of the recovery.
fn log_recovery(directory: &Path, recovery: &Recovery, copy: Copy, has_stream: bool) {
    for damage in &recovery.damage {
        tracing::error!("{damage}");
    }
    if recovery.torn > 0 {
        tracing::info!("{}", of_torn(recovery.torn, copy, has_stream));
    }
    if let Some(reason) = &recovery.unwritable {
        let effect = match has_stream {
            true => "the stream has the groups that the copy lacks",
            false => "the gateway serves what is there, and answers pushes 503 until it can",
        };
        tracing::error!("{} cannot be written: {reason}; {effect}: {}", directory.display(), writer::remedy(reason));
    }
}
