//! Invariants of the model.

use super::super::in_flight::{HANG, STALL};
use super::super::request::{Part, Request};
use super::super::scheduling::Role;
use super::super::slot::{LogLine, Slot};
use super::asker::Asker;
use super::collector::ABOUTS;
use super::world::World;
use crate::collectors::framework::Failure;
use crate::collectors::framework::readers::reading::CollectorReading;

impl World {
    /// Holds after each step.
    pub(super) fn check(&mut self) {
        // The collectors that workers hold, and whether they are blocked.
        let mut out = [None; ABOUTS.len()];
        // One shared worker, one for each background collector, one for each stalled reading.
        let mut shared = 0;
        let mut in_background = [0; ABOUTS.len()];
        for reader in &self.readers {
            let slot = reader.slot();
            if let Some(slot) = slot {
                assert_eq!(out[slot].replace(reader.is_blocked), None, "one worker has the collector");
            }
            let reading = slot.and_then(|slot| self.state.slots[slot].in_flight());
            match reader.worker.role {
                Role::Shared => shared += usize::from(reading.is_none_or(|reading| reading.age(self.now) < STALL)),
                Role::Background(slot) => in_background[slot] += 1,
            }
        }
        assert!(shared <= 1, "{shared} shared workers");
        assert_eq!(self.state.in_flight_count, out.iter().flatten().count());
        for (index, slot) in self.state.slots.iter().enumerate() {
            assert!(in_background[index] <= usize::from(slot.interval.is_some()), "one worker in the background");
            let reading = slot.in_flight();
            assert_eq!(out[index].is_some(), reading.is_some(), "the collector is in its slot or with one worker");
            if reading.is_some_and(|reading| reading.is_hung) {
                assert!(reading.is_some_and(|reading| reading.age(self.now) >= HANG));
                assert_eq!(out[index], Some(true), "what moves does not hang");
            }
        }
        self.check_bells();
    }

    /// A completed request has nothing left to wait for.
    fn check_bells(&mut self) {
        for request in self
            .state
            .requests
            .iter()
            .filter(|request| request.completion.is_none() && !self.rung.contains(&request.number))
        {
            self.check_waits_for_nothing(request);
        }
        self.rung.clear();
        self.rung.extend(
            self.state.requests.iter().filter(|request| request.completion.is_none()).map(|request| request.number),
        );
    }

    /// A completed request does not need the parts that are still pending.
    pub(super) fn check_waits_for_nothing(&self, request: &Request) {
        for (index, part) in request.parts.iter().enumerate() {
            let may_miss = || self.may_miss(request, index, &self.state.slots[index]);
            assert!(!matches!(part, Part::Pending) || may_miss(), "{index} could have been waited for");
        }
    }

    fn may_miss(&self, request: &Request, index: usize, slot: &Slot) -> bool {
        let has_waited = self.now >= request.until.min(request.asked + slot.timeout);
        let Some(reading) = slot.in_flight() else { return has_waited };
        let age = reading.age(self.now);
        // A reading that started in the step that completed the request did not count yet.
        if request.number < reading.before && !age.is_zero() {
            return self.now >= request.until || age >= slot.timeout;
        }
        let is_blocked = self.readers.iter().any(|reader| reader.slot() == Some(index) && reader.is_blocked);
        has_waited || age >= slot.timeout || (is_blocked && age >= HANG)
    }

    /// Each request gets the readings that it asked for, or the failures.
    pub(super) fn check_answers(&self, asker: &Asker, readings: &[CollectorReading]) {
        let Some((_, asked)) = asker.asked else { return };
        let parts = asker.parts(&self.on);
        let wanted: Vec<usize> = (0..parts.len()).filter(|index| matches!(parts[*index], Part::Pending)).collect();
        assert_eq!(readings.len(), wanted.len());
        for (answer, index) in readings.iter().zip(wanted) {
            let slot = &self.state.slots[index];
            assert!(std::ptr::eq(answer.about, slot.about), "they come in their order");
            if let Ok(collected) = &answer.collected {
                let (of, began, vocabularies) = self.read[collected.at.0 as usize];
                assert_eq!(of, index);
                let needed = self.on[index].and(asker.wanted);
                assert_eq!(vocabularies.and(needed), needed, "with his vocabularies");
                assert!(slot.interval.is_some() || began >= asked, "not read before he asked");
            }
        }
    }

    /// A failure is logged when it starts, changes or ends, and belongs to the collector.
    pub(super) fn check_note(&mut self, line: LogLine) {
        let (LogLine::Failed(name, _) | LogLine::Recovered(name, _)) = &line else { return };
        let is_its = |slot: &Slot| slot.about.name == *name;
        let index = self.state.slots.iter().position(is_its).expect("there is such a collector");
        let slot = &self.state.slots[index];
        match &line {
            LogLine::Failed(_, failure) if !is_panic(failure) => {
                let limit = slot.timeout.max(slot.interval.unwrap_or_default());
                assert!(slot.in_flight().is_some_and(|reading| reading.age(self.now) >= limit), "it is late");
            }
            LogLine::Recovered(..) => assert!(matches!(self.logged[index], Some(LogLine::Failed(..)))),
            _ => {}
        }
        assert_ne!(self.logged[index].as_ref(), Some(&line), "nothing is logged twice");
        self.logged[index] = Some(line);
    }
}

fn is_panic(failure: &Failure) -> bool {
    failure.message.contains("a defect")
}
