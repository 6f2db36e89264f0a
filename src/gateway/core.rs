//! The gateway itself: changes are planned and done one after the other, and answered once they are on disk.
//!
//! A thread of its own writes what came together since its last write, so that many pushes share one `fdatasync`. Until
//! then a change can be undone: if the disk refuses, everything that is not on it is undone, the last first, and whoever
//! waits is told.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::change::{Change, Piece, Plan};
use super::record;
use super::state::{Snapshot, State};
use super::sweep::{Expired, Swept};
use crate::store::{Log, MAX_RECORD, OpenError, Records};
use crate::system;

/// All groups, and the log that keeps them.
pub struct Core {
    inner: Mutex<Inner>,
    /// Tells the writer that there is something to write, or that it is to end.
    wake: Condvar,
    is_durable: bool,
}

struct Inner {
    state: State,
    /// Changes that are not on disk, by their positions.
    pending: VecDeque<Pending>,
    batch: Records,
    position: u64,
    is_closed: bool,
}

/// A change that is not on disk yet.
struct Pending {
    position: u64,
    done: Done,
    /// Who waits for it.
    answer: Answer,
}

/// Tells that a change is kept, and gives back what would have undone it: whoever made the change lets go of it, for the
/// writer would be in his way, and he in the writer's, when memory is given back.
type Answer = oneshot::Sender<Result<Done, Unkept>>;
type Answered = oneshot::Receiver<Result<Done, Unkept>>;

/// What undoes it.
enum Done {
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
    /// It is more than one record of the log may hold.
    #[error("the change is larger than the {MAX_RECORD} bytes that can be kept at a time, and was not made")]
    TooLarge,
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
        let mut unreadable = 0;
        let log = folder.map(|folder| {
            Log::open(folder, &mut |payload| match record::decode(payload) {
                Some(record) => state.replay(&record),
                None => unreadable += 1,
            })
        });
        let log = log.transpose()?;
        let is_damaged = log.as_ref().is_some_and(|(_, recovery)| {
            for damage in &recovery.damage {
                tracing::error!("{damage}");
            }
            if recovery.torn > 0 {
                tracing::info!(
                    "{} bytes of a push that was cut off were dropped; nobody was told that it was kept",
                    recovery.torn
                );
            }
            !recovery.damage.is_empty()
        });
        if unreadable > 0 {
            tracing::error!("{unreadable} records of the gateway's state were not understood, and are left out");
        }
        let inner = Inner { state, pending: VecDeque::new(), batch: Records::default(), position: 0, is_closed: false };
        let core = Arc::new(Core { inner: Mutex::new(inner), wake: Condvar::new(), is_durable: log.is_some() });
        if let Some((log, _)) = log {
            let writer = Writer {
                core: core.clone(),
                log,
                snapshot: None,
                wants_snapshot: is_damaged,
                spare: Records::default(),
            };
            let started = thread::Builder::new().name("gateway-store".to_owned()).spawn(move || writer.run());
            started.map_err(|reason| OpenError::Io {
                path: folder.unwrap_or(Path::new("")).to_owned(),
                what: "no thread to write with",
                reason,
            })?;
        }
        Ok(core)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
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
        if record.as_ref().is_some_and(|record| !self.batch.push(record)) {
            return Err(Unkept::TooLarge);
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

    fn undo(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Change(change) => self.state.undo(&change),
            Done::Sweep(swept) => self.state.restore(swept),
        }
    }
}

/// What is written to disk, by a thread of its own.
struct Writer {
    core: Arc<Core>,
    log: Log,
    snapshot: Option<thread::JoinHandle<()>>,
    wants_snapshot: bool,
    /// The batch that was written last, empty, to be filled again.
    spare: Records,
}

/// All groups at one moment.
struct Groups {
    all: Snapshot,
    /// What the pushes of a group are known by, by its number; those that have none are not there.
    seen: HashMap<u32, Vec<u128>>,
    expired: Expired,
}

impl Writer {
    fn run(mut self) {
        while let Some((mut batch, position, groups)) = self.next() {
            let written = self.log.write(&batch);
            batch.clear();
            self.spare = batch;
            match written {
                Ok(()) => {
                    self.keep(position);
                    groups.into_iter().for_each(|groups| self.begin_snapshot(groups));
                }
                Err(error) => self.give_up(&error),
            }
        }
        if let Some(snapshot) = self.snapshot.take() {
            let _ = snapshot.join();
        }
    }

    /// What is to be written, up to which position, and all groups as of then if a snapshot is due.
    fn next(&mut self) -> Option<(Records, u64, Option<Groups>)> {
        let mut inner = self.core.lock();
        while inner.batch.is_empty() && !self.wants_snapshot {
            if inner.is_closed {
                return None;
            }
            inner = self.core.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let is_due = self.wants_snapshot || is_due(self.log.segment_bytes(), inner.state.bytes());
        let is_idle = self.snapshot.as_ref().is_none_or(thread::JoinHandle::is_finished);
        let groups = (is_due && is_idle).then(|| Groups::of(&inner.state));
        self.wants_snapshot = false;
        let spare = std::mem::take(&mut self.spare);
        Some((std::mem::replace(&mut inner.batch, spare), inner.position, groups))
    }

    fn keep(&self, position: u64) {
        let mut inner = self.core.lock();
        let kept = inner.pending.partition_point(|pending| pending.position <= position);
        let kept: Vec<Pending> = inner.pending.drain(..kept).collect();
        drop(inner);
        for pending in kept {
            // Whoever asked may have gone.
            let _ = pending.answer.send(Ok(pending.done));
        }
    }

    /// Undoes everything that is not on disk, also what came after what could not be written.
    fn give_up(&self, error: &std::io::Error) {
        let mut inner = self.core.lock();
        let undone = std::mem::take(&mut inner.pending);
        let mut answers = Vec::with_capacity(undone.len());
        for pending in undone.into_iter().rev() {
            inner.undo(pending.done);
            answers.push(pending.answer);
        }
        inner.batch = Records::default();
        drop(inner);
        tracing::error!("pushes cannot be kept on disk, and are refused: {error}");
        let reason: Arc<str> = error.to_string().to_lowercase().into();
        for answer in answers {
            let _ = answer.send(Err(Unkept::Disk(reason.clone())));
        }
    }

    fn begin_snapshot(&mut self, groups: Groups) {
        let mut snapshot = match self.log.begin_snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return tracing::warn!("no snapshot of the gateway's state can be begun: {error}"),
        };
        let write = move || {
            // A snapshot can wait, pushes cannot.
            system::yield_to_others();
            let written = groups.records().try_for_each(|record| {
                let mut records = Records::default();
                records.push(&record);
                snapshot.write(&records)
            });
            if let Err(error) = written.and_then(|()| snapshot.finish()) {
                tracing::warn!("a snapshot of the gateway's state could not be written; the log goes on: {error}");
            }
        };
        self.snapshot = thread::Builder::new().name("gateway-snap".to_owned()).spawn(write).ok();
    }
}

/// Whether the log has become much longer than what it says.
fn is_due(log: u64, state: usize) -> bool {
    const AT_LEAST: u64 = 32 << 20;
    log > AT_LEAST + 2 * state as u64
}

impl Groups {
    fn of(state: &State) -> Groups {
        let seen = state.numbered_groups().filter(|(_, group)| !group.seen.is_empty());
        let seen = seen.map(|(number, group)| (number, group.seen.iter().copied().collect()));
        Groups { all: state.snapshot(), seen: seen.collect(), expired: state.expired().clone() }
    }

    /// A record for each group, and before them one of what has ended.
    fn records(mut self) -> impl Iterator<Item = Vec<u8>> {
        let mut pieces: HashMap<u32, Vec<Piece>> = HashMap::new();
        for (name, held) in &self.all.families {
            for (number, block) in held.holders.iter() {
                let piece =
                    Piece { name: name.clone(), kind: held.kind, help: held.help.clone(), block: block.clone() };
                pieces.entry(number).or_default().push(piece);
            }
        }
        let expired = record::encode_expired(&self.expired);
        let groups = self.all.groups.into_iter().map(move |(number, key, times)| {
            let seen = self.seen.remove(&number).unwrap_or_default();
            record::encode_group(&key, times, &pieces.remove(&number).unwrap_or_default(), &seen)
        });
        std::iter::once(expired).chain(groups)
    }
}
