//! The runner's whole bookkeeping: which collector is where, who asks for what, and which workers there are.
//!
//! It does nothing by itself: threads and those who ask call it under one lock, say what time it is, and do what it says.
//! So each of its methods is a step that nothing comes between, and a test can put the steps in any order
//! (`model.rs`). A collector is in its slot, or in the hands of the one worker that [`State::turn`] gave it to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Answer, Outcome};
use super::ask::{Ask, Bell, Part};
use super::job::Finished;
use super::slot::{Note, Place, STALL, Slot};

use crate::collectors::Vocabularies;
use crate::collectors::settings::Configured;
use crate::system::progress::{Progress, Watch};

/// What is known of collectors, asks and workers.
pub(super) struct State {
    pub(super) slots: Vec<Slot>,
    pub(super) asks: Vec<Ask>,
    pub(super) next_ask: u64,
    pub(super) round: Round,
    pub(super) shared: Option<SharedWorker>,
    pub(super) next_worker: u64,
    pub(super) next_reading: u64,
    /// How many collectors workers have.
    pub(super) out: usize,
    pub(super) is_closed: bool,
    pub(super) lacks_threads: bool,
    pub(super) effects: Effects,
}

/// The readings that the shared worker takes one after the other.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub(super) began: Instant,
    /// It is for asks with a lower number.
    pub(super) before: u64,
    /// The slot to go on with.
    pub(super) next: usize,
}

/// The worker that reads all collectors which have none of their own.
pub(super) struct SharedWorker {
    /// Its number; one that finds another here was replaced.
    pub(super) number: u64,
    pub(super) task: Task,
}

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Its thread starts.
    Starts,
    /// It reads the collector of this slot.
    Reads(usize),
    /// It waits to be woken.
    Waits,
}

/// What is to be done outside the lock.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) bells: Vec<Bell>,
    pub(super) notes: Vec<Note>,
    /// Whether the shared worker is to be woken.
    pub(super) wakes: bool,
}

impl Effects {
    pub(super) fn is_empty(&self) -> bool {
        self.bells.is_empty() && self.notes.is_empty() && !self.wakes
    }
}

impl State {
    /// The collectors in their slots; nobody asks, and nobody works.
    pub(super) fn new(configured: Vec<Configured>, now: Instant) -> Self {
        State {
            slots: configured.into_iter().map(Slot::new).collect(),
            asks: Vec::new(),
            next_ask: 0,
            round: Round { began: now, before: 0, next: 0 },
            shared: None,
            next_worker: 0,
            next_reading: 0,
            out: 0,
            is_closed: false,
            lacks_threads: false,
            effects: Effects::default(),
        }
    }

    /// Asks for the readings that `parts` leaves open, within `limit`. The number is the ask's.
    pub(super) fn ask(
        &mut self,
        mut parts: Vec<Part>,
        wanted: Vocabularies,
        limit: Duration,
        bell: Bell,
        now: Instant,
    ) -> u64 {
        self.look(now);
        let mut open = 0;
        for (slot, part) in self.slots.iter().zip(&mut parts).filter(|(_, part)| matches!(part, Part::Open)) {
            match &slot.last {
                Some(last) => *part = Part::Read(last.clone()),
                None => open += 1,
            }
        }
        let number = self.next_ask;
        self.next_ask += 1;
        self.asks.push(Ask { number, wanted, asked: now, until: now + limit, parts, open, bell: Some(bell) });
        self.wake_shared();
        number
    }

    /// When the ask is to look again at the latest; nothing once it waits for nothing any more.
    pub(super) fn wait(&mut self, number: u64, now: Instant) -> Option<Instant> {
        self.look(now);
        let ask = self.asks.iter().find(|ask| ask.number == number)?;
        let until = self.awaited_until(ask, now)?;
        let looks = self.slots.iter().filter_map(Slot::reading).map(|reading| reading.next_look(now));
        Some(looks.fold(until.min(now + STALL), Instant::min))
    }

    fn awaited_until(&self, ask: &Ask, now: Instant) -> Option<Instant> {
        if ask.open == 0 {
            return None;
        }
        let open = ask.parts.iter().zip(&self.slots).filter(|(part, _)| matches!(part, Part::Open));
        open.filter_map(|(_, slot)| slot.awaited_until(ask, now)).max()
    }

    /// The ask goes, with what has come.
    pub(super) fn leave(&mut self, number: u64, now: Instant) -> Vec<Answer> {
        self.look(now);
        let Some(ask) = self.forget(number) else { return Vec::new() };
        let answer = |(part, slot): (Part, &Slot)| match part {
            Part::Unasked => None,
            Part::Open => Some(slot.answer(None, now)),
            Part::Read(outcome) => Some(slot.answer(Some(outcome), now)),
        };
        ask.parts.into_iter().zip(&self.slots).filter_map(answer).collect()
    }

    /// The ask goes without.
    pub(super) fn forget(&mut self, number: u64) -> Option<Ask> {
        let index = self.asks.iter().position(|ask| ask.number == number)?;
        Some(self.asks.swap_remove(index))
    }

    /// The readings that have taken a while, to be [observed](State::observe).
    pub(super) fn suspects(&self, now: Instant) -> Vec<(usize, u64, Arc<Watch>)> {
        if self.out == 0 {
            return Vec::new();
        }
        let readings = self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.reading()?)));
        readings.filter_map(|(index, reading)| Some((index, reading.number, reading.suspicion(now)?))).collect()
    }

    /// Takes note of how far the worker of a reading had come at that moment, unless the reading is over.
    pub(super) fn observe(&mut self, slot: usize, number: u64, progress: Progress, at: Instant) {
        if let Place::Out(reading) = &mut self.slots[slot].place
            && reading.number == number
        {
            reading.observe(progress, at);
        }
    }

    /// How many collectors hang.
    pub(super) fn hung(&self) -> usize {
        self.slots.iter().filter(|slot| slot.hangs()).count()
    }

    fn look(&mut self, now: Instant) {
        if self.out > 0 {
            let notes = self.slots.iter_mut().filter_map(|slot| slot.look(self.next_ask, now));
            self.effects.notes.extend(notes);
        }
    }

    /// A worker puts the collector back, with what it has read for those who were there before.
    pub(super) fn put_back(&mut self, finished: Finished, now: Instant) {
        let Finished { slot: index, collector, taken } = finished;
        let slot = &mut self.slots[index];
        let Place::Out(reading) = std::mem::replace(&mut slot.place, Place::Here(collector)) else { return };
        self.out -= 1;
        let outcome = Outcome { began: reading.began, taken };
        self.effects.notes.extend(slot.report_outcome(&outcome, now));
        let is_in_background = slot.interval.is_some();
        for ask in &mut self.asks {
            if matches!(ask.parts[index], Part::Open) && (is_in_background || ask.number < reading.before) {
                ask.parts[index] = Part::Read(outcome.clone());
                ask.open -= 1;
            }
        }
        if is_in_background {
            slot.last = Some(outcome);
        }
        self.ring(now);
    }

    /// Rings for those who wait for nothing any more.
    fn ring(&mut self, now: Instant) {
        for index in 0..self.asks.len() {
            let ask = &self.asks[index];
            // As long as more is missing than can hang, something else is waited for.
            if ask.open <= self.out && self.awaited_until(ask, now).is_none() {
                self.effects.bells.extend(self.asks[index].bell.take());
            }
        }
    }

    /// Whether there is something to read for the shared worker.
    pub(super) fn has_work(&self) -> bool {
        let is_wanted = |ask: &Ask| {
            ask.open > 0
                && ask.parts.iter().zip(&self.slots).any(|(part, slot)| matches!(part, Part::Open) && slot.is_free())
        };
        self.slots.iter().any(|slot| slot.due.any()) || self.asks.iter().any(is_wanted)
    }

    /// Marks what those want who ask now, and says whether that is anything.
    pub(super) fn mark_due(&mut self) -> bool {
        let mut is_any_due = false;
        for ask in self.asks.iter().filter(|ask| ask.open > 0) {
            for (part, slot) in ask.parts.iter().zip(&mut self.slots) {
                if matches!(part, Part::Open) && slot.is_free() {
                    slot.due = slot.due.or(slot.on.and(ask.wanted));
                    is_any_due |= slot.due.any();
                }
            }
        }
        is_any_due
    }

    /// Has the shared worker woken if it waits and there is work.
    pub(super) fn wake_shared(&mut self) {
        if self.shared.as_ref().is_some_and(|shared| shared.task == Task::Waits) && self.has_work() {
            self.effects.wakes = true;
        }
    }
}
