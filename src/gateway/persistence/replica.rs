//! The store of a replica: its changes go to a stream in batches, and what the stream has decided goes to the log.
//!
//! The log is a copy. It holds decided batches only, each as one record with its position, so that a crash leaves all of a
//! batch or none. Acknowledgements do not wait for it. If the disk refuses, batches are missing from it until a snapshot
//! has succeeded.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use super::pending::{Inner, MAX_PENDING, PersistError, Shared};
use super::replicated::Replicated;
use super::snapshot::SnapshotContent;
use crate::gateway::groups::position::Position;
use crate::gateway::groups::record::{self, Record};
use crate::gateway::groups::state::State;
use crate::system;

/// Changes for one message or, if the first is large, for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The number of its last change.
    pub last_change: u64,
    /// The records, each with its length before it.
    pub records: Vec<u8>,
}

/// The store of a replica, as the replication sees it.
#[derive(Clone)]
pub struct ReplicaStore {
    shared: Arc<Shared>,
    /// The parts of the snapshot for the stream that is being encoded.
    parts: Arc<Mutex<Option<Receiver<Part>>>>,
}

/// A part of a snapshot, and whether it is the last.
type Part = (Vec<u8>, bool);

/// Parts that are encoded before they are sent.
const ENCODED_PARTS: usize = 4;

impl ReplicaStore {
    pub(super) fn new(shared: Arc<Shared>) -> ReplicaStore {
        ReplicaStore { shared, parts: Arc::default() }
    }

    /// Waits until changes are to be sent, or the store is closed.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Whether the store is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed
    }

    /// Whether no change is pending.
    pub fn is_idle(&self) -> bool {
        self.shared.lock().pending.is_empty()
    }

    /// Accepts changes from now on.
    pub fn begin_writing(&self) {
        self.with(|_, replica| replica.is_writing = true);
    }

    /// Bytes of the changes that are in no batch yet.
    pub fn waiting_bytes(&self) -> usize {
        self.with(|_, replica| replica.unsent_bytes)
    }

    /// The changes that are in no batch yet, about `max` bytes of them; at least one.
    pub fn next_batch(&self, max: usize) -> Option<Batch> {
        self.with(|_, replica| {
            let mut batch = Batch { last_change: replica.unsent.front()?.0, records: Vec::new() };
            while let Some((change, record)) = replica.unsent.front() {
                if !batch.records.is_empty() && batch.records.len() + record.len() + 4 > max {
                    break;
                }
                // Its length was checked when it was encoded.
                let _ = record::push_to_batch(&mut batch.records, record);
                batch.last_change = *change;
                replica.unsent_bytes -= record.len();
                replica.unsent.pop_front();
            }
            Some(batch)
        })
    }

    /// The stream has decided a batch of this replica.
    pub fn acknowledge(&self, batch: &Batch, position: Position) {
        let mut inner = self.shared.lock();
        inner.copy(position, &batch.records);
        let acknowledged = inner.take_pending(batch.last_change);
        drop(inner);
        self.shared.wake.notify_one();
        for pending in acknowledged {
            // The caller may have been dropped.
            let _ = pending.ack.send(Ok(pending.applied));
        }
    }

    /// The stream has decided a message of another replica, or one without effect. Returns whether the records were readable.
    /// No change may be pending.
    pub fn apply(&self, position: Position, records: &[u8]) -> bool {
        let mut inner = self.shared.lock();
        let is_readable = inner.state.replay_batch(records);
        if is_readable {
            inner.copy(position, records);
        }
        drop(inner);
        self.shared.wake.notify_one();
        is_readable
    }

    /// Undoes all changes that are not decided, and accepts no others.
    pub fn stop_writing(&self, reason: &str) {
        let mut inner = self.shared.lock();
        let undone = inner.undo_all();
        if let Some(replica) = &mut inner.replica {
            replica.is_writing = false;
            replica.clear_unsent();
        }
        drop(inner);
        let error = PersistError::Undecided(reason.into());
        for (_, ack) in undone {
            let _ = ack.send(Err(error.clone()));
        }
    }

    /// Begins to encode a snapshot of the decided groups, in parts of at most `max` bytes; returns the sequence of their
    /// position.
    pub fn begin_snapshot(&self, max: usize) -> u64 {
        let mut inner = self.shared.lock();
        let (content, base) = (SnapshotContent::of_log(&mut inner), inner.log_position());
        drop(inner);
        let (sender, receiver) = mpsc::sync_channel(ENCODED_PARTS);
        let shared = self.shared.clone();
        let encode = move || {
            system::lower_priority();
            let mut part = Vec::new();
            let send = |bytes, is_last| {
                let sent = sender.send((bytes, is_last)).map_err(|_| io::Error::other("it is not wanted any more"));
                shared.changed.notify_one();
                sent
            };
            let encoded = content.each(&mut |record| {
                // The length was checked when the record was encoded.
                let _ = record::push_to_batch(&mut part, record);
                while part.len() > max {
                    let rest = part.split_off(max);
                    send(std::mem::replace(&mut part, rest), false)?;
                }
                Ok(())
            });
            if let Err(error) = encoded.and_then(|()| send(part, true)) {
                tracing::debug!("a snapshot for the stream was given up: {error}");
            }
        };
        let started = thread::Builder::new().name("gateway-snap".to_owned()).spawn(encode);
        *self.parts() = started.ok().map(|_| receiver);
        base
    }

    /// The next part of the snapshot; none if it is not ready.
    pub fn next_part(&self) -> Option<(Vec<u8>, bool)> {
        let mut parts = self.parts();
        let part = parts.as_ref()?.try_recv().ok()?;
        if part.1 {
            *parts = None;
        }
        Some(part)
    }

    fn parts(&self) -> MutexGuard<'_, Option<Receiver<Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a snapshot, approximately.
    pub fn snapshot_bytes(&self) -> u64 {
        self.shared.lock().state.snapshot_bytes()
    }

    /// Replaces everything by the groups of a snapshot from the stream; returns their position, or none if it is unreadable.
    /// No change may be pending.
    pub fn load(&self, snapshot: &[u8]) -> Option<Position> {
        let (mut state, mut position) = (State::default(), None);
        for record in record::records_of_batch(snapshot) {
            match record? {
                Record::Decided(decided) => position = Some(decided.position),
                record => state.replay(&record).then_some(())?,
            }
        }
        let position = position?;
        self.with(|before, replica| {
            *before = state;
            replica.decided = Some(position);
            // The log gets a snapshot.
            replica.lacks_batches = true;
        });
        self.shared.wake.notify_one();
        Some(position)
    }

    /// The sequence up to which the log is a copy.
    pub fn persisted(&self) -> u64 {
        self.with(|_, replica| replica.persisted)
    }

    /// Why the log cannot be written, and what to do; none if it can.
    pub fn copy_failure(&self) -> Option<String> {
        self.with(|_, replica| replica.failure.clone())
    }

    /// The position of the decided state.
    pub fn decided(&self) -> Option<Position> {
        self.with(|_, replica| replica.decided)
    }

    fn with<T: Default>(&self, change: impl FnOnce(&mut State, &mut Replicated) -> T) -> T {
        let mut inner = self.shared.lock();
        let Inner { state, replica, .. } = &mut *inner;
        replica.as_mut().map(|replica| change(state, replica)).unwrap_or_default()
    }
}

impl Inner {
    /// Appends a decided batch to what the log gets.
    fn copy(&mut self, position: Position, records: &[u8]) {
        let Some(replica) = &mut self.replica else { return };
        let previous = replica.sequence();
        replica.decided = Some(position);
        if self.batch.bytes().len() + records.len() > MAX_PENDING {
            replica.lacks_batches = true;
        }
        match replica.lacks_batches {
            true => self.batch.clear(),
            false => self.batch.push_any(&record::encode_decided(previous, position, records)),
        }
    }
}
