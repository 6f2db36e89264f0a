//! The state, and its changes that are not on disk yet. Callers and the writer share it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::replicated::Replicated;
use crate::gateway::groups::change::{Change, Plan};
use crate::gateway::groups::record::{self, TooLong};
use crate::gateway::groups::selection::Selection;
use crate::gateway::groups::state::{State, Swept};
use crate::gateway::key::Key;
use crate::store::{Finished, Records};

/// Bytes that may wait to be written.
pub(super) const MAX_PENDING: usize = 256 << 20;

/// Why a change was not persisted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersistError {
    /// The disk refused it.
    #[error("the push cannot be kept on disk, and was not taken: {0}")]
    Disk(Arc<str>),
    /// The disk is slower than the pushes.
    #[error("more than {MAX_PENDING} bytes wait to be written; try again later")]
    Busy,
    /// This replica is not the writer.
    #[error("this replica does not accept changes at the moment; try again later")]
    NotWriter,
    /// The stream has not acknowledged it in time, or another replica writes now.
    #[error("it is not known whether the change was made: {0}; try again later")]
    Undecided(Arc<str>),
    /// It exceeds the log's length fields.
    #[error("the change cannot be kept, and was not made: {0}")]
    TooLarge(#[from] TooLong),
}

/// The state behind a lock, and the signal to the writer.
#[derive(Default)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the writer: there is work, or the store is closed.
    pub(super) wake: Condvar,
    /// Wakes the replication: changes are to be sent, or the store is closed.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(state: State, replica: Option<Replicated>) -> Shared {
        Shared { inner: Mutex::new(Inner { state, replica, ..Inner::default() }), ..Shared::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) state: State,
    /// Changes that are not on disk, sorted by position.
    pub(super) pending: VecDeque<Pending>,
    /// The records of these changes; of a replica, the decided batches for its log.
    pub(super) batch: Records,
    /// The position of the last change.
    pub(super) position: u64,
    pub(super) is_closed: bool,
    /// The result of a snapshot that has ended; its inner value is none if it failed.
    pub(super) snapshot_ended: Option<Option<Finished>>,
    /// None if the gateway is alone.
    pub(super) replica: Option<Replicated>,
}

/// A change that is not on disk yet.
pub(super) struct Pending {
    pub(super) position: u64,
    pub(super) applied: Applied,
    pub(super) ack: Ack,
}

/// Acknowledges a change, and returns what would have undone it: the caller frees that memory, not the writer, so that
/// neither waits for the other.
pub(super) type Ack = oneshot::Sender<Result<Applied, PersistError>>;
pub(super) type AckReceiver = oneshot::Receiver<Result<Applied, PersistError>>;

/// The undone removal, if the change was one, and the acknowledgement that it waits for.
pub(super) type Undone = (Option<Selection>, Ack);

/// An applied change with what undoes it.
pub(super) enum Applied {
    Nothing,
    Change(Change),
    Sweep(Selection, Swept),
}

impl Inner {
    /// Applies a plan. If it is to be durable, the receiver gets the acknowledgement.
    ///
    /// # Errors
    /// The change is too large; then nothing is applied.
    pub(super) fn apply(&mut self, plan: Plan, is_durable: bool) -> Result<Option<AckReceiver>, PersistError> {
        let record = match &plan {
            Plan::Nothing => return Ok(None),
            Plan::Change(change) => is_durable.then(|| record::encode(change)),
            Plan::Sweep(selection) => is_durable.then(|| self.encode_removal(selection)),
        };
        if let Some(record) = record.transpose()? {
            match &mut self.replica {
                None => self.batch.push_any(&record),
                Some(replica) => replica.append(self.position + 1, record),
            }
        }
        let applied = match plan {
            Plan::Nothing => Applied::Nothing,
            Plan::Change(change) => {
                self.state.apply(&change);
                Applied::Change(change)
            }
            Plan::Sweep(selection) => {
                let swept = self.state.sweep(&selection);
                Applied::Sweep(selection, swept)
            }
        };
        if !is_durable {
            return Ok(None);
        }
        let (ack, receiver) = oneshot::channel();
        self.enqueue(applied, ack);
        Ok(Some(receiver))
    }

    fn encode_removal(&self, selection: &Selection) -> Result<Vec<u8>, TooLong> {
        record::encode_removal(selection, &self.state.jobs(selection))
    }

    fn enqueue(&mut self, applied: Applied, ack: Ack) {
        self.position += 1;
        self.pending.push_back(Pending { position: self.position, applied, ack });
    }

    /// Passes the state without the pending changes to `read`. They are undone, and applied again afterwards.
    pub(super) fn decided<T>(&mut self, read: impl FnOnce(&State) -> T) -> T {
        for pending in self.pending.iter_mut().rev() {
            match &mut pending.applied {
                Applied::Nothing => {}
                Applied::Change(change) => self.state.undo(change),
                Applied::Sweep(_, swept) => self.state.restore(std::mem::take(swept)),
            }
        }
        let result = read(&self.state);
        for pending in &mut self.pending {
            match &mut pending.applied {
                Applied::Nothing => {}
                Applied::Change(change) => self.state.apply(change),
                Applied::Sweep(selection, swept) => {
                    // The groups may have other numbers now.
                    *selection = self.state.select_again(selection);
                    *swept = self.state.sweep(selection);
                }
            }
        }
        result
    }

    /// Whether a pending change is one of this group.
    pub(super) fn is_changing(&self, key: &Key) -> bool {
        self.pending.iter().any(|pending| match &pending.applied {
            Applied::Nothing => false,
            Applied::Change(change) => change.key == *key,
            Applied::Sweep(selection, _) => selection.keys().is_none_or(|keys| keys.contains(key)),
        })
    }

    /// The acknowledgement of every change applied so far; none if all are on disk.
    pub(super) fn wait_for_all(&mut self) -> Option<AckReceiver> {
        let position = self.pending.back()?.position;
        let (ack, receiver) = oneshot::channel();
        self.pending.push_back(Pending { position, applied: Applied::Nothing, ack });
        Some(receiver)
    }

    /// Bytes of the records that wait to be written or sent.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.batch.bytes().len() + self.replica.as_ref().map_or(0, |replica| replica.unsent_bytes)
    }

    /// What the log is at once it holds the batch: the position of the last change, or a replica's sequence.
    pub(super) fn log_position(&self) -> u64 {
        self.replica.as_ref().map_or(self.position, Replicated::sequence)
    }

    /// Removes the changes up to this position from the pending ones.
    pub(super) fn take_pending(&mut self, position: u64) -> Vec<Pending> {
        let count = self.pending.partition_point(|pending| pending.position <= position);
        self.pending.drain(..count).collect()
    }

    /// Undoes every change that is not on disk, the last first; returns them in the order in which they were applied.
    pub(super) fn undo_all(&mut self) -> Vec<Undone> {
        if self.replica.is_none() {
            self.batch = Records::default();
        }
        let pending = std::mem::take(&mut self.pending).into_iter().rev();
        let mut undone: Vec<Undone> = pending.map(|Pending { applied, ack, .. }| (self.undo(applied), ack)).collect();
        undone.reverse();
        undone
    }

    /// Repeats a removal that was undone.
    pub(super) fn remove_again(&mut self, before: &Selection, ack: Ack) {
        let selection = self.state.select_again(before);
        match self.encode_removal(&selection) {
            Ok(record) => {
                self.batch.push_any(&record);
                let swept = self.state.sweep(&selection);
                self.enqueue(Applied::Sweep(selection, swept), ack);
            }
            Err(error) => drop(ack.send(Err(error.into()))),
        }
    }

    /// Undoes the change that was applied last; returns its selection if it was a removal.
    fn undo(&mut self, applied: Applied) -> Option<Selection> {
        match applied {
            Applied::Nothing => {}
            Applied::Change(change) => self.state.undo(&change),
            Applied::Sweep(selection, swept) => {
                self.state.restore(swept);
                return Some(selection);
            }
        }
        None
    }
}
