//! The gateway itself: changes are planned and done one after the other, and answered once they are on disk.
//!
//! A thread of its own ([`super::writer`]) writes what came together since its last write, so that many pushes share one
//! `fdatasync`. Until then a change can be undone: if the disk refuses, everything that is not on it is undone, the last
//! first, and whoever waits is told.
//!
//! # What holds
//!
//! With a folder, a change that was answered as done is on disk, and stays there until a later change that was answered as
//! done takes it back: over the end of the process at any moment, over a disk that refuses or is full, over snapshots that
//! fail at any byte, and whatever the size of the group. A change that was answered as not kept is neither in memory nor
//! on disk. Of one that was not answered, all is there or nothing. `tests.rs` holds this against a model.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::change::{Change, Plan};
use super::record::{self, TooLong};
use super::state::State;
use super::sweep::Swept;
use super::writer::Writer;
use crate::store::{Finished, Log, OpenError, Records, Recovery};

/// All groups, and the log that keeps them.
pub struct Core {
    inner: Mutex<Inner>,
    /// Tells the writer that there is something to do, or that it is to end.
    pub(super) wake: Condvar,
    is_durable: bool,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) state: State,
    /// Changes that are not on disk, by their positions.
    pub(super) pending: VecDeque<Pending>,
    pub(super) batch: Records,
    pub(super) position: u64,
    pub(super) is_closed: bool,
    /// A snapshot has ended; well, or not.
    pub(super) snapshot_ended: Option<Option<Finished>>,
}

/// A change that is not on disk yet.
pub(super) struct Pending {
    pub(super) position: u64,
    pub(super) done: Done,
    /// Who waits for it.
    pub(super) answer: Answer,
}

/// Tells that a change is kept, and gives back what would have undone it: whoever made the change lets go of it, for the
/// writer would be in his way, and he in the writer's, when memory is given back.
type Answer = oneshot::Sender<Result<Done, Unkept>>;
type Answered = oneshot::Receiver<Result<Done, Unkept>>;

/// What undoes it.
pub(super) enum Done {
    Nothing,
    Change(Change),
    Sweep(Swept),
}

/// Why a change was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// The disk refused it.
    #[error("the push cannot be kept on disk, and was not taken: {0}")]
    Disk(Arc<str>),
    /// The disk is too slow for what comes.
    #[error("more than {MOST_WAITING} bytes wait to be written; try again later")]
    Busy,
    /// It is more than the log has numbers for.
    #[error("the change cannot be kept, and was not made: {0}")]
    TooLarge(#[from] TooLong),
}

/// Bytes that may wait to be written.
const MOST_WAITING: usize = 256 << 20;

impl Core {
    /// A gateway that keeps its groups in `folder`, or in memory alone.
    ///
    /// # Errors
    /// Why the folder cannot be used.
    pub fn open(folder: Option<&Path>) -> Result<Arc<Core>, OpenError> {
        let mut state = State::default();
        let log = folder.map(|folder| {
            let opened =
                Log::open(folder, &mut |payload| record::decode(payload).is_some_and(|record| state.replay(&record)));
            opened.inspect(|(_, recovery)| tell(folder, recovery))
        });
        let log = log.transpose()?;
        let inner = Inner { state, ..Inner::default() };
        let core = Arc::new(Core { inner: Mutex::new(inner), wake: Condvar::new(), is_durable: log.is_some() });
        if let Some((log, recovery)) = log {
            let writer = Writer::new(core.clone(), log, !recovery.damage.is_empty());
            let started = thread::Builder::new().name("gateway-store".to_owned()).spawn(move || writer.run());
            started.map_err(|reason| OpenError::Io {
                path: folder.unwrap_or(Path::new("")).to_owned(),
                what: "no thread to write with",
                reason,
            })?;
        }
        Ok(core)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `look` sees in all groups as they are now. It is in everybody's way while it looks.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// Does what `plan` plans, and waits until that is on disk; says how many groups it was. The plan's own refusal comes
    /// back as it is.
    ///
    /// # Errors
    /// That it could not be kept; then it was undone.
    pub async fn change<R>(&self, plan: impl FnOnce(&State) -> Result<Plan, R>) -> Result<Result<usize, R>, Unkept> {
        let (groups, answered) = {
            let mut inner = self.lock();
            if inner.batch.bytes().len() > MOST_WAITING {
                return Err(Unkept::Busy);
            }
            let plan = match plan(&inner.state) {
                Ok(plan) => plan,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let groups = match &plan {
                Plan::Nothing => 0,
                Plan::Change(_) => 1,
                Plan::Sweep(selection) => selection.count(),
            };
            // Whoever is told that nothing was to be done is told so once that is certain.
            let answered = if groups > 0 { inner.make(plan, self.is_durable)? } else { inner.wait_for_all() };
            (groups, answered)
        };
        if let Some(answered) = answered {
            self.wake.notify_one();
            let kept = answered.await.unwrap_or_else(|_| Err(Unkept::Disk("the gateway is ending".into())));
            drop(kept?);
        }
        Ok(Ok(groups))
    }

    /// Ends the writer once everything is written.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }
}

/// Says what was found when the log was opened.
fn tell(folder: &Path, recovery: &Recovery) {
    for damage in &recovery.damage {
        tracing::error!("{damage}");
    }
    if recovery.torn > 0 {
        let torn = recovery.torn;
        tracing::info!("{torn} bytes of a push that was cut off were dropped; nobody was told that it was kept");
    }
    if let Some(reason) = &recovery.unwritable {
        tracing::error!(
            "{} cannot be written: {reason}; the gateway serves what is there, and answers pushes 503 until it can: {}",
            folder.display(),
            super::writer::remedy(reason),
        );
    }
}

impl Inner {
    /// Does what was planned; if it is to be on disk, what comes back tells when it is.
    ///
    /// # Errors
    /// That it is too large to be kept; then nothing is done.
    fn make(&mut self, plan: Plan, is_durable: bool) -> Result<Option<Answered>, Unkept> {
        let record = match &plan {
            Plan::Nothing => return Ok(None),
            Plan::Change(change) => is_durable.then(|| record::encode(change)),
            Plan::Sweep(selection) => is_durable.then(|| record::encode_end(selection, &self.state)),
        };
        if let Some(record) = record.transpose()? {
            self.batch.push_any(&record);
        }
        let done = match plan {
            Plan::Nothing => Done::Nothing,
            Plan::Change(change) => {
                self.state.apply(&change);
                Done::Change(change)
            }
            Plan::Sweep(selection) => Done::Sweep(self.state.sweep(&selection)),
        };
        if !is_durable {
            return Ok(None);
        }
        self.position += 1;
        let (answer, answered) = oneshot::channel();
        self.pending.push_back(Pending { position: self.position, done, answer });
        Ok(Some(answered))
    }

    /// What comes back tells when everything that was done so far is on disk.
    fn wait_for_all(&mut self) -> Option<Answered> {
        let position = self.pending.back()?.position;
        let (answer, answered) = oneshot::channel();
        self.pending.push_back(Pending { position, done: Done::Nothing, answer });
        Some(answered)
    }

    pub(super) fn undo(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Change(change) => self.state.undo(&change),
            Done::Sweep(swept) => self.state.restore(swept),
        }
    }
}
