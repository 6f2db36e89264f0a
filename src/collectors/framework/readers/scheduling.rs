//! Scheduling of the workers in the [`State`]: which are missing, and what each does next.

use std::sync::Arc;
use std::time::Instant;

use super::in_flight::{InFlight, STALL};
use super::job::{Finished, Job};
use super::slot::{Holder, LogLine};
use super::state::{Round, SharedWorker, State, Task};
use crate::collectors::framework::Vocabularies;
use crate::system::progress::Watch;

/// A worker, which reads collectors in its own thread.
#[derive(Debug)]
pub(super) struct Worker {
    number: u64,
    pub(super) role: Role,
    is_new: bool,
}

/// What a worker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// All collectors without a worker of their own, on request.
    Shared,
    /// The collector of this slot, in the background.
    Background(usize),
}

/// What a worker does next.
pub(super) enum NextStep {
    /// Read this collector.
    Read(Job),
    /// Wait until it is woken, or until this moment.
    Wait(Option<Instant>),
    /// End its thread.
    Exit,
}

impl State {
    /// A worker that must be started, and the name of its thread. If no thread can be started for it, call
    /// [`State::worker_not_started`]. A shared worker that stalls on one collector keeps that collector, and another
    /// worker replaces it.
    pub(super) fn missing_worker(&mut self, now: Instant) -> Option<(Worker, String)> {
        if self.is_closed {
            return None;
        }
        let background = self.slots.iter_mut().position(|slot| slot.interval.is_some() && !slot.has_worker);
        let role = match background {
            Some(index) => {
                self.slots[index].has_worker = true;
                Role::Background(index)
            }
            None if self.lacks_shared_worker(now) => Role::Shared,
            None => return None,
        };
        let number = self.next_worker;
        self.next_worker += 1;
        if role == Role::Shared {
            self.shared = Some(SharedWorker { number, task: Task::Starting });
        }
        // The kernel shows 15 characters.
        let name = match role {
            Role::Shared => "read".to_owned(),
            Role::Background(slot) => format!("read-{}", self.slots[slot].about.name),
        };
        Some((Worker { number, role, is_new: true }, name))
    }

    fn lacks_shared_worker(&self, now: Instant) -> bool {
        let is_stalled = match self.shared.as_ref().map(|shared| shared.task) {
            None => true,
            Some(Task::Starting | Task::Idle) => false,
            Some(Task::Reading(slot)) => {
                self.slots[slot].in_flight().is_some_and(|in_flight| in_flight.age(now) >= STALL)
            }
        };
        is_stalled && self.has_work()
    }

    /// Records that no thread could be started for a missing worker.
    pub(super) fn worker_not_started(&mut self, role: Role, reason: String) {
        match role {
            Role::Background(slot) => self.slots[slot].has_worker = false,
            Role::Shared => self.shared = None,
        }
        if !self.lacks_threads {
            self.lacks_threads = true;
            self.effects.log_lines.push(LogLine::NoThread(reason));
        }
    }

    /// What the worker does next, after it has finished the previous step.
    pub(super) fn next_step(
        &mut self,
        worker: &mut Worker,
        watch: &Arc<Watch>,
        finished: Option<Finished>,
        now: Instant,
    ) -> NextStep {
        if std::mem::take(&mut worker.is_new) {
            self.lacks_threads = false;
        }
        if let Some(finished) = finished {
            self.put_back(finished, now);
        }
        if self.is_closed {
            return NextStep::Exit;
        }
        match worker.role {
            Role::Background(slot) => self.refresh(slot, watch, now),
            Role::Shared => match &self.shared {
                Some(shared) if shared.number != worker.number => {
                    // The collector that this worker kept is available again.
                    self.wake_shared();
                    NextStep::Exit
                }
                _ => self.next_of_round(worker.number, watch, now),
            },
        }
    }

    fn refresh(&mut self, index: usize, watch: &Arc<Watch>, now: Instant) -> NextStep {
        let slot = &self.slots[index];
        let next = slot.last.as_ref().map(|last| last.began + slot.interval.unwrap_or_default());
        if let Some(next) = next.filter(|next| *next > now) {
            return NextStep::Wait(Some(next));
        }
        let round = Round { began: now, before: self.next_request, next: 0 };
        match self.take(index, self.slots[index].on, &round, true, watch, now) {
            Some(job) => NextStep::Read(job),
            None => NextStep::Exit,
        }
    }

    /// The next collector of the round. After the last one, a new round starts for the requests that have arrived
    /// since.
    fn next_of_round(&mut self, number: u64, watch: &Arc<Watch>, now: Instant) -> NextStep {
        let mut is_new = false;
        loop {
            while self.round.next < self.slots.len() {
                let index = self.round.next;
                self.round.next += 1;
                let wanted = std::mem::take(&mut self.slots[index].due);
                if !wanted.any() {
                    continue;
                }
                let round = self.round;
                if let Some(job) = self.take(index, wanted, &round, is_new, watch, now) {
                    self.shared = Some(SharedWorker { number, task: Task::Reading(index) });
                    return NextStep::Read(job);
                }
            }
            if !self.mark_due() {
                self.shared = Some(SharedWorker { number, task: Task::Idle });
                return NextStep::Wait(None);
            }
            self.round = Round { began: now, before: self.next_request, next: 0 };
            is_new = true;
        }
    }

    /// Takes a collector out of its slot, to read it.
    fn take(
        &mut self,
        index: usize,
        wanted: Vocabularies,
        round: &Round,
        begins_round: bool,
        watch: &Arc<Watch>,
        now: Instant,
    ) -> Option<Job> {
        let slot = &mut self.slots[index];
        let in_flight = InFlight::new(self.next_reading, wanted, now, round.before, watch.clone());
        match std::mem::replace(&mut slot.holder, Holder::Worker(in_flight)) {
            Holder::Slot(collector) => {
                self.next_reading += 1;
                self.in_flight_count += 1;
                Some(Job { slot: index, collector, wanted, round: round.began, begins_round })
            }
            in_flight_count @ Holder::Worker(_) => {
                slot.holder = in_flight_count;
                None
            }
        }
    }

    /// From now on, workers start no readings.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }
}
