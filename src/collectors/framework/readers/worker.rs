//! The worker threads, and the callers that wait for them: everything around the [`State`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::job::{Finished, Job};
use super::scheduling::{NextStep, Role, Worker};
use super::slot::LogLine;
use super::state::{Effects, State};
use crate::collectors::framework::Configured;
use crate::host::Host;
use crate::system::progress::Watch;

/// The state, and the condition variables that signal its changes.
pub(super) struct Shared {
    pub(super) host: Host,
    state: Mutex<State>,
    /// Wakes the shared worker.
    work: Condvar,
    /// Wakes the background workers, once, when the runner closes.
    close: Condvar,
}

impl Shared {
    pub(super) fn new(host: Host, configured: Vec<Configured>) -> Arc<Shared> {
        let state = State::new(configured, Instant::now());
        Arc::new(Shared { host, state: Mutex::new(state), work: Condvar::new(), close: Condvar::new() })
    }

    /// Runs one step of the state, and its effects.
    pub(super) fn step<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = step(&mut state, Instant::now());
        let effects = take_effects(&mut state);
        drop(state);
        self.follow(effects);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, effects: Effects) {
        if effects.wakes_shared {
            self.work.notify_one();
        }
        for completion in effects.completions {
            // The receiver is gone if the scrape was cancelled.
            let _ = completion.send(());
        }
    }

    /// Checks whether workers with stalled readings make progress.
    pub(super) fn check_progress(&self) {
        for (slot, reading, watch) in self.step(|state, now| state.stalled(now)) {
            let at = Instant::now();
            let progress = watch.progress();
            self.step(|state, _| state.observe(slot, reading, progress, at));
        }
    }

    /// Starts the missing workers.
    pub(super) fn start_workers(self: &Arc<Self>) {
        while let Some((worker, name)) = self.step(State::missing_worker) {
            let (shared, role) = (self.clone(), worker.role);
            if let Err(error) = thread::Builder::new().name(name).spawn(move || shared.work(worker)) {
                self.step(|state, _| state.worker_not_started(role, error.to_string()));
                return;
            }
        }
    }

    /// The main function of a worker thread.
    fn work(&self, mut worker: Worker) {
        let watch = Arc::new(Watch::this_thread());
        let mut buffer = Vec::new();
        let mut finished = None;
        while let Some(job) = self.next_job(&mut worker, &watch, finished.take()) {
            if job.begins_round {
                self.host.changes().look();
            }
            finished = Some(job.read(&self.host, &mut buffer));
        }
    }

    /// Waits for a collector to read. `None` ends the worker.
    fn next_job(&self, worker: &mut Worker, watch: &Arc<Watch>, mut finished: Option<Finished>) -> Option<Job> {
        let condvar = match worker.role {
            Role::Shared => &self.work,
            Role::Background(_) => &self.close,
        };
        loop {
            let mut state = self.lock();
            let now = Instant::now();
            let next_step = state.next_step(worker, watch, finished.take(), now);
            let effects = take_effects(&mut state);
            match next_step {
                // An effect may have created work while the lock was released.
                NextStep::Wait(until) if effects.is_empty() => match until {
                    None => drop(condvar.wait(state)),
                    Some(until) => drop(condvar.wait_timeout(state, until.saturating_duration_since(now))),
                },
                next_step => {
                    drop(state);
                    self.follow(effects);
                    match next_step {
                        NextStep::Wait(_) => {}
                        NextStep::Read(job) => return Some(job),
                        NextStep::Exit => return None,
                    }
                }
            }
        }
    }

    /// Ends all workers, once they have returned what they are reading.
    pub(super) fn close(&self) {
        self.step(|state, _| state.close());
        self.work.notify_all();
        self.close.notify_all();
    }
}

/// Takes the effects of a step and logs its lines, which does not block. The state is still locked: a failure is in the log
/// before a caller gets the reading.
fn take_effects(state: &mut State) -> Effects {
    let effects = std::mem::take(&mut state.effects);
    effects.log_lines.iter().for_each(log);
    effects
}

fn log(line: &LogLine) {
    match line {
        LogLine::Failed(collector, failure) if failure.absent => {
            tracing::debug!(collector, "no data: {}", failure.message)
        }
        LogLine::Failed(collector, failure) => tracing::warn!(collector, "failed: {}", failure.message),
        LogLine::Recovered(collector, over) => tracing::info!(collector, "answers again {over}"),
        LogLine::NoThread(reason) => tracing::error!("cannot start a thread to read with: {reason}"),
    }
}
