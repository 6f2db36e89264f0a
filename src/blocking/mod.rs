//! Runs blocking calls that may hang: on a mount whose server is down, or a service that does not respond.
//!
//! Callers wait up to a timeout, once for all calls of a batch. A call that has not returned by then is *known to
//! hang*: its thread stays blocked, and no caller waits for it again. Its late result goes to the next caller. Until
//! a call returns quickly again, it runs in the background only: a slow source delivers late results, and a recovered
//! one is waited for as before.
//!
//! A call whose thread has no processor does not hang: it gets several times as long, as the kernel reports that
//! its thread is runnable.
//!
//! Each hanging call occupies a thread, up to a limit; one more thread is kept for the next call.

mod heartbeat;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::heartbeat::{CallTimeout, Heartbeat};
pub use self::pool::ThreadPool;
use crate::log::Episode;
use crate::system::progress::{Progress as ThreadProgress, Watch};

/// If no call returned for this long, those not started yet wait behind one that hangs, and get more threads.
const GRACE: Duration = Duration::from_millis(25);
/// How many timeouts a call gets at most whose thread is runnable: the machine is busy, or the cgroup is throttled.
const STARVED: u32 = 5;
/// Maximum age of a late result that is still delivered.
const MAX_LATE_AGE: Duration = Duration::from_secs(120);
/// How long a late call is remembered if it is not repeated.
const RETENTION: Duration = Duration::from_secs(3600);

/// Calls of one kind, with arguments `Q` and results `A`, and those known to hang. Clones share this state.
pub struct BlockingCalls<Q, A> {
    shared: Arc<Shared<Q, A>>,
}

impl<Q, A> Clone for BlockingCalls<Q, A> {
    fn clone(&self) -> Self {
        BlockingCalls { shared: self.shared.clone() }
    }
}

/// The function that makes the call.
pub type CallFn<Q, A> = Arc<dyn Fn(&Q, &Heartbeat) -> A + Send + Sync>;

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome<A> {
    /// The result.
    Completed(A),
    /// The late result of an earlier call.
    Late(A),
    /// The call hangs. No caller waits for it until it returns.
    Hung,
    /// The call was not started: hanging calls occupy all threads.
    NotStarted,
}

struct Shared<Q, A> {
    late: Mutex<HashMap<Q, Late<A>>>,
    logged: Mutex<Episode<Vec<Q>>>,
    threads: Arc<ThreadPool>,
    /// Threads in use, and their limit.
    busy: Arc<AtomicUsize>,
    max_threads: usize,
}

/// A thread in use.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A call that timed out.
struct Late<A> {
    is_running: bool,
    /// The last result, and when it arrived.
    last: Option<(Instant, A)>,
}

impl<A> Late<A> {
    fn is_relevant(&self) -> bool {
        self.is_running || self.last.as_ref().is_some_and(|(at, _)| at.elapsed() < RETENTION)
    }
}

impl<Q, A> BlockingCalls<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + 'static,
{
    /// Calls on the threads of a pool, at most `max_threads` at a time.
    pub fn new(threads: Arc<ThreadPool>, max_threads: usize) -> Self {
        let busy = Arc::default();
        BlockingCalls {
            shared: Arc::new(Shared { late: Mutex::default(), logged: Mutex::default(), threads, busy, max_threads }),
        }
    }

    /// Makes all calls, whose arguments must be distinct, and waits for them together. Calls known to hang are not
    /// waited for. Outcomes are in the order of the arguments.
    pub fn run_all(&self, calls: Vec<Q>, call: &CallFn<Q, A>, timeout: CallTimeout) -> Vec<CallOutcome<A>> {
        let known: Vec<Option<CallOutcome<A>>> = {
            let mut late = lock(&self.shared.late);
            if late.is_empty() {
                drop(late);
                return self.run_unknown(calls, call, timeout);
            }
            calls.iter().map(|argument| self.recall(&mut late, argument, call, timeout)).collect()
        };
        let unknown = calls.into_iter().zip(&known).filter(|(_, known)| known.is_none());
        let unknown = unknown.map(|(argument, _)| argument).collect();
        let mut asked = self.run_unknown(unknown, call, timeout).into_iter();
        known.into_iter().map(|known| known.or_else(|| asked.next()).unwrap_or(CallOutcome::NotStarted)).collect()
    }

    /// Number of calls known to hang, each of which occupies a thread.
    pub fn hanging(&self) -> usize {
        lock(&self.shared.late).values().filter(|late| late.is_running).count()
    }

    /// The hanging calls as logged last; shared by all callers, so that a reload does not log them again.
    pub fn logged(&self) -> MutexGuard<'_, Episode<Vec<Q>>> {
        lock(&self.shared.logged)
    }

    /// Number of threads in use, including blocked ones.
    pub fn busy_threads(&self) -> usize {
        self.shared.busy.load(Relaxed)
    }

    /// The outcome without waiting, for a call that timed out before.
    fn recall(
        &self,
        known: &mut HashMap<Q, Late<A>>,
        argument: &Q,
        call: &CallFn<Q, A>,
        timeout: CallTimeout,
    ) -> Option<CallOutcome<A>> {
        let late = known.get_mut(argument)?;
        let fresh = late.last.as_ref().filter(|(at, _)| at.elapsed() < MAX_LATE_AGE);
        let outcome = fresh.map_or(CallOutcome::Hung, |(_, result)| CallOutcome::Late(result.clone()));
        // It has returned: test in the background whether it is quick again.
        if !late.is_running {
            late.is_running = true;
            if !self.run_in_background(argument, call, timeout) {
                known.remove(argument);
            }
        }
        Some(outcome)
    }

    /// Runs a call in the background; `false` if there is no thread for it.
    fn run_in_background(&self, argument: &Q, call: &CallFn<Q, A>, timeout: CallTimeout) -> bool {
        let (shared, argument, call) = (self.shared.clone(), argument.clone(), call.clone());
        self.run(move |slot| {
            let (began, heartbeat) = (Instant::now(), Heartbeat::begin());
            let result = catch_unwind(AssertUnwindSafe(|| call(&argument, &heartbeat))).ok();
            let is_quick = heartbeat.longest_gap() < timeout.idle && began.elapsed() < timeout.total;
            drop(slot);
            shared.store_late(&argument, result.filter(|_| !is_quick));
        })
    }

    /// Runs a job on a thread; `false` if there is none. The job releases the slot before it delivers its result: the
    /// next caller may need it.
    fn run(&self, job: impl FnOnce(Slot) + Send + 'static) -> bool {
        let more = |busy: usize| (busy < self.shared.max_threads).then_some(busy + 1);
        if self.shared.busy.fetch_update(Relaxed, Relaxed, more).is_err() {
            return false;
        }
        let slot = Slot(self.shared.busy.clone());
        self.shared.threads.run(Box::new(move || job(slot)))
    }

    fn run_unknown(&self, calls: Vec<Q>, call: &CallFn<Q, A>, timeout: CallTimeout) -> Vec<CallOutcome<A>> {
        let count = calls.len();
        let outcomes = vec![CallOutcome::NotStarted; count];
        let progress =
            Progress { queued: 0, running: Vec::new(), started: 0, pending: count, outcomes, is_over: false };
        let batch = Arc::new(Batch {
            calls,
            call: call.clone(),
            heartbeat: Heartbeat::begin(),
            progress: Mutex::new(progress),
            all_done: Condvar::new(),
        });
        if count > 0 && self.start(&batch) {
            self.wait(&batch, timeout);
        }
        std::mem::take(&mut lock(&batch.progress).outcomes)
    }

    fn start(&self, batch: &Arc<Batch<Q, A>>) -> bool {
        let (worker, shared) = (batch.clone(), self.shared.clone());
        lock(&batch.progress).queued += 1;
        let is_run = self.run(move |slot| worker.work(&shared, slot));
        if !is_run {
            lock(&batch.progress).queued -= 1;
        }
        is_run
    }

    /// Waits until all calls have returned or the timeout is over; the remaining ones are then known to hang.
    fn wait(&self, batch: &Arc<Batch<Q, A>>, timeout: CallTimeout) {
        let (began, mut more) = (Instant::now(), 1);
        let mut moves = Moves { seen: Vec::new(), last: began };
        let mut progress = lock(&batch.progress);
        while progress.pending > 0 {
            let deadline = (began + timeout.total).min(batch.heartbeat.last() + timeout.idle);
            let mut left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if moves.last.elapsed() >= GRACE * 2 || began.elapsed() >= timeout.total * STARVED {
                    break;
                }
                left = GRACE;
            }
            let pending = progress.pending;
            let waited = batch.all_done.wait_timeout(progress, left.min(GRACE));
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
            if progress.pending < pending {
                moves.last = Instant::now();
                continue;
            }
            moves.observe(&progress);
            let not_started = batch.calls.len() - progress.started;
            if not_started > 0 {
                drop(progress);
                // Calls not started yet are queued behind one that hangs. Double the number of threads each time.
                let _all_started = (0..more.min(not_started)).all(|_| self.start(batch));
                more = (more * 2).min(not_started);
                progress = lock(&batch.progress);
            }
        }
        // Under the lock: results from here on are late.
        progress.is_over = true;
        let mut late = lock(&self.shared.late);
        for (argument, outcome) in batch.calls.iter().zip(&progress.outcomes) {
            if matches!(outcome, CallOutcome::Hung) {
                late.retain(|_, late| late.is_relevant());
                late.insert(argument.clone(), Late { is_running: true, last: None });
            }
        }
    }
}

impl<Q: Eq + Hash, A> Shared<Q, A> {
    /// Stores a late result. Without one, the call is treated as new again.
    fn store_late(&self, argument: &Q, result: Option<A>) {
        let mut known = lock(&self.late);
        match (known.get_mut(argument), result) {
            (Some(late), Some(result)) => *late = Late { is_running: false, last: Some((Instant::now(), result)) },
            _ => _ = known.remove(argument),
        }
    }
}

/// A batch of calls, made by one or several threads.
struct Batch<Q, A> {
    calls: Vec<Q>,
    call: CallFn<Q, A>,
    heartbeat: Heartbeat,
    progress: Mutex<Progress<A>>,
    all_done: Condvar,
}

struct Progress<A> {
    /// Number of workers that a thread has not begun yet.
    queued: usize,
    /// Calls that a thread is making.
    running: Vec<(usize, Watch)>,
    /// Number of calls started.
    started: usize,
    pending: usize,
    /// Outcomes; a started call counts as hung until it returns.
    outcomes: Vec<CallOutcome<A>>,
    is_over: bool,
}

/// When the threads of a batch last made progress: a thread that hangs stays in one wait.
struct Moves {
    seen: Vec<(usize, ThreadProgress)>,
    last: Instant,
}

impl Moves {
    fn observe<A>(&mut self, batch: &Progress<A>) {
        let seen: Vec<_> = batch.running.iter().map(|(number, watch)| (*number, watch.progress())).collect();
        let is_runnable = batch.queued > 0 || seen.iter().any(|(_, thread)| *thread == ThreadProgress::Runs);
        if is_runnable || seen != self.seen {
            self.last = Instant::now();
        }
        self.seen = seen;
    }
}

impl<Q: Eq + Hash, A> Batch<Q, A> {
    /// Makes calls until none are left to start.
    fn work(&self, shared: &Shared<Q, A>, slot: Slot) {
        let (watch, mut slot) = (Watch::this_thread(), Some(slot));
        lock(&self.progress).queued -= 1;
        while let Some(number) = self.begin(&watch) {
            let argument = &self.calls[number];
            let result = catch_unwind(AssertUnwindSafe(|| (self.call)(argument, &self.heartbeat))).ok();
            let mut progress = lock(&self.progress);
            progress.running.retain(|(running, _)| *running != number);
            if progress.is_over || progress.started == self.calls.len() {
                slot = None;
            }
            if progress.is_over {
                drop(progress);
                return shared.store_late(argument, result);
            }
            progress.outcomes[number] = result.map_or(CallOutcome::NotStarted, CallOutcome::Completed);
            progress.pending -= 1;
            if progress.pending == 0 {
                self.all_done.notify_one();
            }
        }
        drop(slot);
    }

    fn begin(&self, watch: &Watch) -> Option<usize> {
        let mut progress = lock(&self.progress);
        let number = progress.started;
        if progress.is_over || number == self.calls.len() {
            return None;
        }
        progress.outcomes[number] = CallOutcome::Hung;
        progress.running.push((number, watch.clone()));
        progress.started += 1;
        Some(number)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
