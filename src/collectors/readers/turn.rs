//! The workers' side of the [`State`]: whom it needs, and what each is to do next.

use std::sync::Arc;
use std::time::Instant;

use super::job::{Finished, Job};
use super::slot::{Note, Place, Reading, STALL};
use super::state::{Round, SharedWorker, State, Task};
use crate::collectors::Vocabularies;
use crate::system::progress::Watch;

/// One who reads collectors, in a thread of his own.
#[derive(Debug)]
pub(super) struct Worker {
    number: u64,
    pub(super) role: Role,
    is_new: bool,
}

/// What a worker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// All collectors that have no other worker, when somebody asks.
    Shared,
    /// The collector of this slot, in the background.
    Background(usize),
}

/// What a worker is to do.
pub(super) enum Turn {
    /// To read.
    Read(Job),
    /// To wait, until then or until it is woken.
    Wait(Option<Instant>),
    /// To go.
    Exit,
}

impl State {
    /// A worker that is needed and not there, and the name of its thread; if it gets none it is to be
    /// [dismissed](State::dismiss). A shared worker that has read one collector for too long keeps it, and is replaced.
    pub(super) fn hire(&mut self, now: Instant) -> Option<(Worker, String)> {
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
            self.shared = Some(SharedWorker { number, task: Task::Starts });
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
            Some(Task::Starts | Task::Waits) => false,
            Some(Task::Reads(slot)) => self.slots[slot].reading().is_some_and(|reading| reading.age(now) >= STALL),
        };
        is_stalled && self.has_work()
    }

    /// There is no thread for the worker that was hired for this.
    pub(super) fn dismiss(&mut self, role: Role, reason: String) {
        match role {
            Role::Background(slot) => self.slots[slot].has_worker = false,
            Role::Shared => self.shared = None,
        }
        if !self.lacks_threads {
            self.lacks_threads = true;
            self.effects.notes.push(Note::NoThread(reason));
        }
    }

    /// What the worker is to do next, now that it has done what it did before.
    pub(super) fn turn(
        &mut self,
        worker: &mut Worker,
        watch: &Arc<Watch>,
        finished: Option<Finished>,
        now: Instant,
    ) -> Turn {
        if std::mem::take(&mut worker.is_new) {
            self.lacks_threads = false;
        }
        if let Some(finished) = finished {
            self.put_back(finished, now);
        }
        if self.is_closed {
            return Turn::Exit;
        }
        match worker.role {
            Role::Background(slot) => self.refresh(slot, watch, now),
            Role::Shared => match &self.shared {
                Some(shared) if shared.number != worker.number => {
                    // What this one kept has come back.
                    self.wake_shared();
                    Turn::Exit
                }
                _ => self.next_of_round(worker.number, watch, now),
            },
        }
    }

    fn refresh(&mut self, index: usize, watch: &Arc<Watch>, now: Instant) -> Turn {
        let slot = &self.slots[index];
        let next = slot.last.as_ref().map(|last| last.began + slot.interval.unwrap_or_default());
        if let Some(next) = next.filter(|next| *next > now) {
            return Turn::Wait(Some(next));
        }
        let round = Round { began: now, before: self.next_ask, next: 0 };
        match self.take(index, self.slots[index].on, &round, true, watch, now) {
            Some(job) => Turn::Read(job),
            None => Turn::Exit,
        }
    }

    /// The next collector of the round; after the last, a round for those who have asked in the meantime.
    fn next_of_round(&mut self, number: u64, watch: &Arc<Watch>, now: Instant) -> Turn {
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
                    self.shared = Some(SharedWorker { number, task: Task::Reads(index) });
                    return Turn::Read(job);
                }
            }
            if !self.mark_due() {
                self.shared = Some(SharedWorker { number, task: Task::Waits });
                return Turn::Wait(None);
            }
            self.round = Round { began: now, before: self.next_ask, next: 0 };
            is_new = true;
        }
    }

    /// Takes a collector out of its slot, to be read.
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
        let reading = Reading::new(self.next_reading, now, round.before, watch.clone());
        match std::mem::replace(&mut slot.place, Place::Out(reading)) {
            Place::Here(collector) => {
                self.next_reading += 1;
                self.out += 1;
                Some(Job { slot: index, collector, wanted, round: round.began, begins_round })
            }
            out @ Place::Out(_) => {
                slot.place = out;
                None
            }
        }
    }

    /// No worker reads anything new.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }
}
