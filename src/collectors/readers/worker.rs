//! The threads of the workers, and those who wait for them: what happens around the [`State`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::job::{Finished, Job};
use super::slot::Note;
use super::state::{Effects, State};
use super::turn::{Role, Turn, Worker};
use crate::collectors::settings::Configured;
use crate::host::Host;
use crate::system::progress::Watch;

/// The state, and what wakes the threads that wait for it to change.
pub(super) struct Shared {
    pub(super) host: Host,
    state: Mutex<State>,
    /// The shared worker waits for it.
    work: Condvar,
    /// Workers in the background wait for it, which happens once.
    close: Condvar,
}

impl Shared {
    pub(super) fn new(host: Host, configured: Vec<Configured>) -> Arc<Shared> {
        let state = State::new(configured, Instant::now());
        Arc::new(Shared { host, state: Mutex::new(state), work: Condvar::new(), close: Condvar::new() })
    }

    /// Does a step, and what follows from it.
    pub(super) fn step<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = step(&mut state, Instant::now());
        let effects = std::mem::take(&mut state.effects);
        drop(state);
        self.follow(effects);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, effects: Effects) {
        if effects.wakes {
            self.work.notify_one();
        }
        for bell in effects.bells {
            // Nobody waits any more when the scrape was given up.
            let _ = bell.send(());
        }
        for note in &effects.notes {
            log(note);
        }
    }

    /// Looks whether the workers move that have read one collector for a while.
    pub(super) fn look(&self) {
        for (slot, reading, watch) in self.step(|state, now| state.suspects(now)) {
            let at = Instant::now();
            let progress = watch.progress();
            self.step(|state, _| state.observe(slot, reading, progress, at));
        }
    }

    /// Starts the workers that are missing.
    pub(super) fn staff(self: &Arc<Self>) {
        while let Some((worker, name)) = self.step(State::hire) {
            let (shared, role) = (self.clone(), worker.role);
            if let Err(error) = thread::Builder::new().name(name).spawn(move || shared.work(worker)) {
                self.step(|state, _| state.dismiss(role, error.to_string()));
                return;
            }
        }
    }

    /// What the thread of a worker does.
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

    /// Waits for something to read; nothing comes once the worker is to go.
    fn next_job(&self, worker: &mut Worker, watch: &Arc<Watch>, mut finished: Option<Finished>) -> Option<Job> {
        let woken_by = match worker.role {
            Role::Shared => &self.work,
            Role::Background(_) => &self.close,
        };
        loop {
            let mut state = self.lock();
            let now = Instant::now();
            let turn = state.turn(worker, watch, finished.take(), now);
            let effects = std::mem::take(&mut state.effects);
            match turn {
                // While nobody had the lock, there may have come something to do.
                Turn::Wait(until) if effects.is_empty() => match until {
                    None => drop(woken_by.wait(state)),
                    Some(until) => drop(woken_by.wait_timeout(state, until.saturating_duration_since(now))),
                },
                turn => {
                    drop(state);
                    self.follow(effects);
                    match turn {
                        Turn::Wait(_) => {}
                        Turn::Read(job) => return Some(job),
                        Turn::Exit => return None,
                    }
                }
            }
        }
    }

    /// Has all workers go when they have put back what they read.
    pub(super) fn close(&self) {
        self.step(|state, _| state.close());
        self.work.notify_all();
        self.close.notify_all();
    }
}

fn log(note: &Note) {
    match note {
        Note::Failed(collector, failure) if failure.absent => {
            tracing::debug!(collector, "no data: {}", failure.message)
        }
        Note::Failed(collector, failure) => tracing::warn!(collector, "failed: {}", failure.message),
        Note::AnswersAgain(collector) => tracing::info!(collector, "answers again"),
        Note::NoThread(reason) => tracing::error!("cannot start a thread to read with: {reason}"),
    }
}
