//! Final states of the model.

use std::sync::Arc;
use std::time::Duration;

use super::super::in_flight::HANG;
use super::super::slot::Slot;
use super::super::state::{State, Task};
use super::asker::Asker;
use super::reader::Doing;
use super::world::World;
use crate::collectors::framework::Vocabularies;

impl World {
    /// Every hung reading returns.
    pub(super) fn end_hangs(&mut self) {
        self.is_calm = true;
        for reader in &mut self.readers {
            if let Doing::Reading(reading) = &mut reader.doing {
                reading.ends = self.now;
            }
        }
    }

    /// Every reading in flight hangs forever.
    pub(super) fn hang(&mut self) {
        self.is_calm = true;
        for reader in &mut self.readers {
            if let Doing::Reading(reading) = &mut reader.doing {
                reading.ends = self.now + Duration::from_secs(3600);
                (reading.is_blocked, reader.is_blocked) = (true, true);
            }
        }
    }

    /// Runs until no step is possible at this moment.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !(self.reader_step() || self.asker_step() || self.wake()) {
                let is_idle = self.state.shared.as_ref().is_some_and(|shared| shared.task == Task::Idle);
                assert!(!(is_idle && self.state.has_work()), "somebody waits, and the worker sleeps");
                return;
            }
            self.check();
        }
        panic!("it does not come to rest");
    }

    /// Runs until no request is pending.
    pub(super) fn come_to_rest(&mut self) {
        self.settle();
        while let Some(next) = self.askers.iter().filter_map(Asker::sleeps_until).min() {
            self.now = self.now.max(next);
            self.settle();
        }
        assert!(self.askers.is_empty());
    }

    /// Background collectors that do not hang are refreshed.
    fn refresh(&mut self) {
        self.now += Duration::from_secs(3);
        self.settle();
    }

    /// Requests every collector, and expects the result at this moment. Returns the number of collectors without a
    /// reading.
    pub(super) fn ask_for_everything_at_once(&mut self) -> usize {
        self.askers.push(Asker::new(Vocabularies::BOTH, vec![true; self.on.len()], Duration::from_secs(60)));
        self.settle();
        assert!(self.askers.is_empty(), "he waits where nothing is to be waited for");
        assert_eq!(self.readings.len(), self.on.len());
        self.readings.iter().filter(|answer| answer.collected.is_err()).count()
    }

    /// Only the first request waits for a hung collector.
    pub(super) fn end_with_hangs(&mut self) {
        self.hang();
        self.come_to_rest();
        self.askers.push(Asker::new(Vocabularies::BOTH, vec![true; self.on.len()], HANG * 2));
        self.come_to_rest();
        let failed =
            |slot: &&Slot| slot.in_flight().is_some() || slot.last.as_ref().is_some_and(|last| last.collected.is_err());
        let failed = self.state.slots.iter().filter(failed).count();
        assert!(self.ask_for_everything_at_once() <= failed, "what does not hang is read");
    }

    /// Once nothing hangs, the initial state is restored.
    pub(super) fn end_in_peace(&mut self) {
        self.end_hangs();
        self.come_to_rest();
        self.refresh();
        assert_eq!(self.ask_for_everything_at_once(), 0, "everything is read");
        assert_eq!((self.state.in_flight_count, self.state.hung()), (0, 0));
        let in_background = self.state.slots.iter().filter(|slot| slot.interval.is_some()).count();
        assert!(self.readers.len() <= in_background + 1, "no worker is left over");
    }

    /// Replaces the collectors, as a reload does.
    pub(super) fn end_by_reload(&mut self) {
        self.settle();
        while !self.askers.is_empty() {
            self.asker_goes_away();
        }
        self.state.close();
        for reader in &mut self.readers {
            if matches!(reader.doing, Doing::Idle(_)) {
                reader.doing = Doing::Turns(None);
            }
        }
        self.settle();
        self.end_hangs();
        self.settle();
        assert!(self.readers.is_empty(), "every thread ends");
        self.state = State::new(Vec::new(), self.now);
        assert_eq!(Arc::strong_count(&self.controls), 1, "no collector is left");
    }
}
