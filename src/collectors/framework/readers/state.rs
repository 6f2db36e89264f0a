//! The complete state of the runner: where each collector is, the requests in progress, and the workers.
//!
//! It starts nothing itself. Threads and callers invoke it under one lock, pass in the current time, and carry out the
//! [`Effects`]. Each method is one atomic step, so a test can run the steps in any order (`model/`). A collector is
//! either in its slot, or with the one worker to which [`State::next_step`] gave it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::in_flight::STALL;
use super::job::Finished;
use super::reading::{CollectorReading, Outcome};
use super::request::{Completion, Part, Request};
use super::slot::{Holder, LogLine, Slot};

use crate::collectors::framework::Configured;
use crate::collectors::framework::Vocabularies;
use crate::system::progress::{Progress, Watch};

/// Collectors, requests and workers.
pub(super) struct State {
    pub(super) slots: Vec<Slot>,
    pub(super) requests: Vec<Request>,
    pub(super) next_request: u64,
    pub(super) round: Round,
    pub(super) shared: Option<SharedWorker>,
    pub(super) next_worker: u64,
    pub(super) next_reading: u64,
    /// Number of collectors that workers hold.
    pub(super) in_flight_count: usize,
    pub(super) is_closed: bool,
    pub(super) lacks_threads: bool,
    pub(super) effects: Effects,
}

/// One pass of the shared worker over the collectors.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub(super) began: Instant,
    /// The round serves requests with a lower number.
    pub(super) before: u64,
    /// The next slot to read.
    pub(super) next: usize,
}

/// The worker that reads all collectors without a worker of their own.
pub(super) struct SharedWorker {
    /// Its number. A worker that finds another number here has been replaced.
    pub(super) number: u64,
    pub(super) task: Task,
}

/// What the shared worker is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Its thread is starting.
    Starting,
    /// It is reading the collector of this slot.
    Reading(usize),
    /// It is waiting to be woken.
    Idle,
}

/// What the caller must do once it has released the lock.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) completions: Vec<Completion>,
    pub(super) log_lines: Vec<LogLine>,
    /// Whether to wake the shared worker.
    pub(super) wakes_shared: bool,
}

impl Effects {
    pub(super) fn is_empty(&self) -> bool {
        self.completions.is_empty() && self.log_lines.is_empty() && !self.wakes_shared
    }
}

impl State {
    /// All collectors in their slots, without requests or workers.
    pub(super) fn new(configured: Vec<Configured>, now: Instant) -> Self {
        State {
            slots: configured.into_iter().map(Slot::new).collect(),
            requests: Vec::new(),
            next_request: 0,
            round: Round { began: now, before: 0, next: 0 },
            shared: None,
            next_worker: 0,
            next_reading: 0,
            in_flight_count: 0,
            is_closed: false,
            lacks_threads: false,
            effects: Effects::default(),
        }
    }

    /// Registers a request for the pending `parts`, with a deadline of `limit` from now. Returns its number.
    pub(super) fn request(
        &mut self,
        mut parts: Vec<Part>,
        wanted: Vocabularies,
        limit: Duration,
        completion: Completion,
        now: Instant,
    ) -> u64 {
        self.check_progress(now);
        let mut pending = 0;
        for (slot, part) in self.slots.iter().zip(&mut parts).filter(|(_, part)| matches!(part, Part::Pending)) {
            match &slot.last {
                Some(last) => *part = Part::Read(last.clone()),
                None => pending += 1,
            }
        }
        let number = self.next_request;
        self.next_request += 1;
        self.requests.push(Request {
            number,
            wanted,
            asked: now,
            until: now + limit,
            parts,
            pending,
            completion: Some(completion),
        });
        self.wake_shared();
        number
    }

    /// When the request must check again, at the latest. `None` once it has nothing left to wait for.
    pub(super) fn wait(&mut self, number: u64, now: Instant) -> Option<Instant> {
        self.check_progress(now);
        let request = self.requests.iter().find(|request| request.number == number)?;
        let until = self.wait_deadline(request, now)?;
        let looks = self.slots.iter().filter_map(Slot::in_flight).map(|in_flight| in_flight.next_check(now));
        Some(looks.fold(until.min(now + STALL), Instant::min))
    }

    fn wait_deadline(&self, request: &Request, now: Instant) -> Option<Instant> {
        if request.pending == 0 {
            return None;
        }
        let pending = request.parts.iter().zip(&self.slots).filter(|(part, _)| matches!(part, Part::Pending));
        pending.filter_map(|(_, slot)| slot.wait_deadline(request, now)).max()
    }

    /// Ends the request, and returns what has arrived for it.
    pub(super) fn finish(&mut self, number: u64, now: Instant) -> Vec<CollectorReading> {
        self.check_progress(now);
        let Some(request) = self.cancel(number) else { return Vec::new() };
        let reading_of = |(part, slot): (Part, &Slot)| match part {
            Part::NotRequested => None,
            Part::Pending => Some(slot.reading_of(None, now)),
            Part::Read(outcome) => Some(slot.reading_of(Some(outcome), now)),
        };
        request.parts.into_iter().zip(&self.slots).filter_map(reading_of).collect()
    }

    /// Ends the request without a result.
    pub(super) fn cancel(&mut self, number: u64) -> Option<Request> {
        let index = self.requests.iter().position(|request| request.number == number)?;
        Some(self.requests.swap_remove(index))
    }

    /// Readings that have stalled, to be [observed](State::observe).
    pub(super) fn stalled(&self, now: Instant) -> Vec<(usize, u64, Arc<Watch>)> {
        if self.in_flight_count == 0 {
            return Vec::new();
        }
        let in_flight = self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.in_flight()?)));
        in_flight
            .filter_map(|(index, in_flight)| Some((index, in_flight.number, in_flight.watch_if_stalled(now)?)))
            .collect()
    }

    /// Records the progress that a worker had made at that moment, unless its reading is over.
    pub(super) fn observe(&mut self, slot: usize, number: u64, progress: Progress, at: Instant) {
        if let Holder::Worker(in_flight) = &mut self.slots[slot].holder
            && in_flight.number == number
        {
            in_flight.observe(progress, at);
        }
    }

    /// Number of collectors that hang.
    pub(super) fn hung(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_hung()).count()
    }

    fn check_progress(&mut self, now: Instant) {
        if self.in_flight_count > 0 {
            let log_lines = self.slots.iter_mut().filter_map(|slot| slot.check_progress(self.next_request, now));
            self.effects.log_lines.extend(log_lines);
        }
    }

    /// Returns a collector to its slot, and its reading to the requests that preceded it.
    pub(super) fn put_back(&mut self, finished: Finished, now: Instant) {
        let Finished { slot: index, collector, collected } = finished;
        let slot = &mut self.slots[index];
        let Holder::Worker(in_flight) = std::mem::replace(&mut slot.holder, Holder::Slot(collector)) else { return };
        self.in_flight_count -= 1;
        let outcome = Outcome { began: in_flight.began, collected };
        self.effects.log_lines.extend(slot.report_outcome(in_flight.wanted, &outcome, now));
        let is_in_background = slot.interval.is_some();
        for request in &mut self.requests {
            if matches!(request.parts[index], Part::Pending) && (is_in_background || request.number < in_flight.before)
            {
                request.parts[index] = Part::Read(outcome.clone());
                request.pending -= 1;
            }
        }
        if is_in_background {
            slot.last = Some(outcome);
        }
        self.complete_requests(now);
    }

    /// Completes the requests that have nothing left to wait for.
    fn complete_requests(&mut self, now: Instant) {
        for index in 0..self.requests.len() {
            let request = &self.requests[index];
            // With more parts pending than collectors in flight, the request waits for something that cannot hang.
            if request.pending <= self.in_flight_count && self.wait_deadline(request, now).is_none() {
                self.effects.completions.extend(self.requests[index].completion.take());
            }
        }
    }

    /// Whether there is a collector for the shared worker to read.
    pub(super) fn has_work(&self) -> bool {
        let is_wanted = |request: &Request| {
            request.pending > 0
                && request
                    .parts
                    .iter()
                    .zip(&self.slots)
                    .any(|(part, slot)| matches!(part, Part::Pending) && slot.is_free())
        };
        self.slots.iter().any(|slot| slot.due.any()) || self.requests.iter().any(is_wanted)
    }

    /// Marks the collectors that the current requests need. Returns whether there are any.
    pub(super) fn mark_due(&mut self) -> bool {
        let mut is_any_due = false;
        for request in self.requests.iter().filter(|request| request.pending > 0) {
            for (part, slot) in request.parts.iter().zip(&mut self.slots) {
                if matches!(part, Part::Pending) && slot.is_free() {
                    slot.due = slot.due.or(slot.on.and(request.wanted));
                    is_any_due |= slot.due.any();
                }
            }
        }
        is_any_due
    }

    /// Wakes the shared worker if it is idle and there is work.
    pub(super) fn wake_shared(&mut self) {
        if self.shared.as_ref().is_some_and(|shared| shared.task == Task::Idle) && self.has_work() {
            self.effects.wakes_shared = true;
        }
    }
}
