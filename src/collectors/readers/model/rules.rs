//! What must always be true in the model.

use super::super::ask::{Ask, Part};
use super::super::slot::{HANG, Note, STALL, Slot};
use super::super::turn::Role;
use super::asker::Asker;
use super::collector::ABOUTS;
use super::world::World;
use crate::collectors::Failure;
use crate::collectors::readers::answer::Answer;

impl World {
    /// What is true after each step.
    pub(super) fn check(&mut self) {
        // The collectors that workers have, and whether they are blocked.
        let mut out = [None; ABOUTS.len()];
        // One shared, one for each in the background, one for each that takes long.
        let mut shared = 0;
        let mut in_background = [0; ABOUTS.len()];
        for reader in &self.readers {
            let slot = reader.slot();
            if let Some(slot) = slot {
                assert_eq!(out[slot].replace(reader.is_blocked), None, "one worker has the collector");
            }
            let reading = slot.and_then(|slot| self.state.slots[slot].reading());
            match reader.worker.role {
                Role::Shared => shared += usize::from(reading.is_none_or(|reading| reading.age(self.now) < STALL)),
                Role::Background(slot) => in_background[slot] += 1,
            }
        }
        assert!(shared <= 1, "{shared} shared workers");
        assert_eq!(self.state.out, out.iter().flatten().count());
        for (index, slot) in self.state.slots.iter().enumerate() {
            assert!(in_background[index] <= usize::from(slot.interval.is_some()), "one worker in the background");
            let reading = slot.reading();
            assert_eq!(out[index].is_some(), reading.is_some(), "the collector is in its slot or with one worker");
            if reading.is_some_and(|reading| reading.hangs) {
                assert!(reading.is_some_and(|reading| reading.age(self.now) >= HANG));
                assert_eq!(out[index], Some(true), "what moves does not hang");
            }
        }
        self.check_bells();
    }

    /// Whose bell rings has everything that he waits for.
    fn check_bells(&mut self) {
        for ask in self.state.asks.iter().filter(|ask| ask.bell.is_none() && !self.rung.contains(&ask.number)) {
            self.check_waits_for_nothing(ask);
        }
        self.rung.clear();
        self.rung.extend(self.state.asks.iter().filter(|ask| ask.bell.is_none()).map(|ask| ask.number));
    }

    /// What has not come to an ask that waits no more is not to be waited for.
    pub(super) fn check_waits_for_nothing(&self, ask: &Ask) {
        for (index, part) in ask.parts.iter().enumerate() {
            let may_miss = || self.may_miss(ask, index, &self.state.slots[index]);
            assert!(!matches!(part, Part::Open) || may_miss(), "{index} could have been waited for");
        }
    }

    fn may_miss(&self, ask: &Ask, index: usize, slot: &Slot) -> bool {
        let has_waited = self.now >= ask.until.min(ask.asked + slot.timeout);
        let Some(reading) = slot.reading() else { return has_waited };
        let age = reading.age(self.now);
        // One that has begun in the step in which the bell rang was not there yet.
        if ask.number < reading.before && !age.is_zero() {
            return self.now >= ask.until || age >= slot.timeout;
        }
        let is_blocked = self.readers.iter().any(|reader| reader.slot() == Some(index) && reader.is_blocked);
        has_waited || age >= slot.timeout || (is_blocked && age >= HANG)
    }

    /// Each gets what he asked for, or why not.
    pub(super) fn check_answers(&self, asker: &Asker, answers: &[Answer]) {
        let Some((_, asked)) = asker.asked else { return };
        let parts = asker.parts(&self.on);
        let wanted: Vec<usize> = (0..parts.len()).filter(|index| matches!(parts[*index], Part::Open)).collect();
        assert_eq!(answers.len(), wanted.len());
        for (answer, index) in answers.iter().zip(wanted) {
            let slot = &self.state.slots[index];
            assert!(std::ptr::eq(answer.about, slot.about), "they come in their order");
            if let Ok(taken) = &answer.taken {
                let (of, began, vocabularies) = self.read[taken.at.0 as usize];
                assert_eq!(of, index);
                let needed = self.on[index].and(asker.wanted);
                assert_eq!(vocabularies.and(needed), needed, "with his vocabularies");
                assert!(slot.interval.is_some() || began >= asked, "not read before he asked");
            }
        }
    }

    /// A failure is logged when it begins, changes or ends, and is the collector's own.
    pub(super) fn check_note(&mut self, note: Note) {
        let (Note::Failed(name, _) | Note::AnswersAgain(name)) = &note else { return };
        let is_its = |slot: &Slot| slot.about.name == *name;
        let index = self.state.slots.iter().position(is_its).expect("there is such a collector");
        let slot = &self.state.slots[index];
        match &note {
            Note::Failed(_, failure) if !is_panic(failure) => {
                let limit = slot.timeout.max(slot.interval.unwrap_or_default());
                assert!(slot.reading().is_some_and(|reading| reading.age(self.now) >= limit), "it is late");
            }
            Note::AnswersAgain(_) => assert!(matches!(self.logged[index], Some(Note::Failed(..)))),
            _ => {}
        }
        assert_ne!(self.logged[index].as_ref(), Some(&note), "nothing is logged twice");
        self.logged[index] = Some(note);
    }
}

fn is_panic(failure: &Failure) -> bool {
    failure.message.contains("a defect")
}
