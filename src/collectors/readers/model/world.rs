//! A runner in the model, with those around it, and what must always be true of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::job::Finished;
use super::super::slot::{HANG, Note, STALL, Slot};
use super::super::state::{State, Task};
use super::super::turn::{Role, Turn};
use super::asker::{Asker, Next};
use super::collector::{self, ABOUTS, Controls};
use super::reader::{Doing, Reader, Reading};
use super::span;
use crate::collectors::Vocabularies;
use crate::collectors::readers::answer::Answer;
use crate::host::{Host, LiveKernel, Roots};
use crate::system::progress::Watch;

/// A runner and those around it.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) state: State,
    pub(super) now: Instant,
    pub(super) readers: Vec<Reader>,
    pub(super) askers: Vec<Asker>,
    pub(super) on: Vec<Vocabularies>,
    controls: Arc<Controls>,
    host: Host,
    watch: Arc<Watch>,
    /// Whether the shared worker is being woken.
    wakes: bool,
    /// Whether no thread is lacking, and readings neither take time nor panic.
    is_calm: bool,
    /// What was read: of which slot, when it began, for whom.
    pub(super) read: HashMap<i64, (usize, Instant, Vocabularies)>,
    /// The asks whose bells have rung.
    pub(super) rung: HashSet<u64>,
    /// What was answered last.
    pub(super) answers: Vec<Answer>,
    /// What was logged of each collector last.
    pub(super) logged: HashMap<&'static str, Note>,
}

impl World {
    pub(super) fn new(mut rng: Rng) -> Self {
        let controls = Arc::new(Controls::default());
        let count = [1, 2, 3, 4, 4, 4][rng.usize(..6)];
        let configured: Vec<_> =
            ABOUTS[..count].iter().map(|about| collector::random(about, &controls, &mut rng)).collect();
        let on = configured.iter().map(|configured| configured.on).collect();
        let now = Instant::now();
        World {
            state: State::new(configured, now),
            rng,
            now,
            readers: Vec::new(),
            askers: Vec::new(),
            on,
            controls,
            host: Host::new(Roots::default(), Arc::new(LiveKernel::default())),
            watch: Arc::new(Watch::this_thread()),
            wakes: false,
            is_calm: false,
            read: HashMap::new(),
            rung: HashSet::new(),
            answers: Vec::new(),
            logged: HashMap::new(),
        }
    }

    /// Something happens.
    pub(super) fn step(&mut self) {
        let is_done = match self.rng.u32(..16) {
            0..7 => self.reader_step(),
            7..14 => self.asker_step(),
            14 => self.ask(),
            _ if self.rng.u32(..4) == 0 => self.asker_goes_away(),
            _ => self.wake(),
        };
        if !is_done {
            self.now += span(&mut self.rng, Duration::from_secs(1));
        }
    }

    fn ask(&mut self) -> bool {
        self.askers.push(Asker::random(self.on.len(), &mut self.rng));
        true
    }

    /// A scrape is given up, which happens while it waits.
    fn asker_goes_away(&mut self) -> bool {
        let Some(gone) = self.askers.iter().position(|asker| asker.sleeps_until().is_some()) else { return false };
        if let Some((number, _)) = self.askers.swap_remove(gone).asked {
            self.state.forget(number);
        }
        true
    }

    fn wake(&mut self) -> bool {
        if std::mem::take(&mut self.wakes) {
            let waits =
                |reader: &&mut Reader| reader.worker.role == Role::Shared && matches!(reader.doing, Doing::Waits(_));
            if let Some(reader) = self.readers.iter_mut().find(waits) {
                reader.doing = Doing::Turns(None);
                return true;
            }
        }
        false
    }

    /// One of the readers that can does a step; says whether there was one.
    fn reader_step(&mut self) -> bool {
        let ready: Vec<usize> =
            (0..self.readers.len()).filter(|index| self.readers[*index].is_ready(self.now)).collect();
        if ready.is_empty() {
            return false;
        }
        let index = ready[self.rng.usize(..ready.len())];
        let reader = &mut self.readers[index];
        let doing = std::mem::replace(&mut reader.doing, Doing::Waits(None));
        let finished = match doing {
            Doing::Turns(finished) => finished,
            Doing::Waits(_) => None,
            Doing::Reads(reading) => {
                let finished = self.finish(*reading);
                self.readers[index].doing = Doing::Turns(Some(finished));
                return true;
            }
        };
        let reader = &mut self.readers[index];
        let turn = self.state.turn(&mut reader.worker, &reader.watch, finished, self.now);
        let has_effects = !self.state.effects.is_empty();
        match turn {
            Turn::Read(job) => {
                assert!(!self.state.is_closed, "nothing is read any more");
                let longest = if self.is_calm { Duration::ZERO } else { Duration::from_secs(4) };
                let reading = Reading::new(job, self.now, longest, &mut self.rng);
                reader.is_blocked = reading.is_blocked;
                reader.doing = Doing::Reads(reading);
            }
            Turn::Wait(_) if has_effects => reader.doing = Doing::Turns(None),
            Turn::Wait(until) => reader.doing = Doing::Waits(until),
            Turn::Exit => drop(self.readers.swap_remove(index)),
        }
        self.follow();
        true
    }

    fn finish(&mut self, reading: Reading) -> Finished {
        let Reading { job, began, .. } = reading;
        self.controls.panics.store(!self.is_calm && self.rng.u32(..8) == 0, Relaxed);
        let wanted = job.wanted;
        let finished = job.read(&self.host, &mut Vec::new());
        if let Ok(taken) = &finished.taken {
            self.read.insert(taken.at.0, (finished.slot, began, wanted));
        }
        finished
    }

    /// One of the askers that can does a step; says whether there was one.
    fn asker_step(&mut self) -> bool {
        let ready: Vec<usize> = (0..self.askers.len()).filter(|index| self.askers[*index].is_ready(self.now)).collect();
        if ready.is_empty() {
            return false;
        }
        let index = ready[self.rng.usize(..ready.len())];
        if let Some(answers) = self.one_asker_step(index) {
            let asker = self.askers.swap_remove(index);
            self.check_answers(&asker, &answers);
            self.answers = answers;
        }
        self.follow();
        true
    }

    fn one_asker_step(&mut self, index: usize) -> Option<Vec<Answer>> {
        let now = self.now;
        let asker = &mut self.askers[index];
        let number = asker.asked.map(|(number, _)| number);
        let next = match std::mem::replace(&mut asker.next, Next::Leaves) {
            Next::Suspects | Next::Sleeps(_) => {
                let suspects = self.state.suspects(now);
                let suspects = suspects.into_iter().map(|(slot, reading, _)| {
                    let mut readers = self.readers.iter_mut();
                    let reader = readers.find(|reader| reader.slot() == Some(slot)).expect("somebody has it");
                    (slot, reading, reader.progress(now, &mut self.rng))
                });
                Next::Observes(now, suspects.collect())
            }
            Next::Observes(at, mut seen) => match seen.pop() {
                Some((slot, reading, progress)) => {
                    self.state.observe(slot, reading, progress, at);
                    Next::Observes(at, seen)
                }
                None => Next::Asks,
            },
            Next::Asks => {
                if let Some(bell) = asker.bell.take() {
                    let parts = asker.parts(&self.on);
                    asker.asked = Some((self.state.ask(parts, asker.wanted, asker.limit, bell, now), now));
                }
                Next::Staffs
            }
            Next::Staffs => match self.state.hire(now) {
                Some((worker, _)) if !self.is_calm && self.rng.u32(..16) == 0 => Next::Dismisses(worker.role),
                Some((worker, _)) => {
                    self.readers.push(Reader::new(worker, self.watch.clone()));
                    Next::Staffs
                }
                None => Next::Waits,
            },
            Next::Dismisses(role) => {
                self.state.dismiss(role, String::new());
                Next::Waits
            }
            Next::Waits => match self.state.wait(number?, now) {
                Some(until) => {
                    assert!(until > now && until <= now + STALL, "it looks again in time");
                    assert!(asker.asked.is_some_and(|(_, asked)| until <= asked + asker.limit), "within its limit");
                    Next::Sleeps(until)
                }
                None => {
                    let ask = self.state.asks.iter().find(|ask| Some(ask.number) == number)?;
                    self.check_waits_for_nothing(ask);
                    Next::Leaves
                }
            },
            Next::Leaves => return Some(self.state.leave(number?, now)),
        };
        self.askers[index].next = next;
        None
    }

    /// Does what the state says is to be done.
    fn follow(&mut self) {
        let effects = std::mem::take(&mut self.state.effects);
        self.wakes |= effects.wakes;
        for bell in effects.bells {
            let _ = bell.send(());
        }
        for note in effects.notes {
            self.check_note(note);
        }
    }

    /// All that hangs comes back.
    pub(super) fn end_hangs(&mut self) {
        self.is_calm = true;
        for reader in &mut self.readers {
            if let Doing::Reads(reading) = &mut reader.doing {
                reading.ends = self.now;
            }
        }
    }

    /// All that takes time now hangs for good.
    pub(super) fn hang(&mut self) {
        self.is_calm = true;
        for reader in &mut self.readers {
            if let Doing::Reads(reading) = &mut reader.doing {
                reading.ends = self.now + Duration::from_secs(3600);
                (reading.is_blocked, reader.is_blocked) = (true, true);
            }
        }
    }

    /// Goes on until nobody can do anything at this moment.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !(self.reader_step() || self.asker_step() || self.wake()) {
                let is_idle = self.state.shared.as_ref().is_some_and(|shared| shared.task == Task::Waits);
                assert!(!(is_idle && self.state.has_work()), "somebody waits, and the worker sleeps");
                return;
            }
            self.check();
        }
        panic!("it does not come to rest");
    }

    /// Goes on until nobody waits for an answer.
    pub(super) fn come_to_rest(&mut self) {
        self.settle();
        while let Some(next) = self.askers.iter().filter_map(Asker::sleeps_until).min() {
            self.now = self.now.max(next);
            self.settle();
        }
        assert!(self.askers.is_empty());
    }

    /// What is read in the background, and does not hang, is read anew.
    fn refresh(&mut self) {
        self.now += Duration::from_secs(3);
        self.settle();
    }

    /// Somebody asks for everything, and is answered at this moment. Says of how many collectors he got no reading.
    pub(super) fn ask_for_everything_at_once(&mut self) -> usize {
        self.askers.push(Asker::new(Vocabularies::BOTH, vec![true; self.on.len()], Duration::from_secs(60)));
        self.settle();
        assert!(self.askers.is_empty(), "he waits where nothing is to be waited for");
        assert_eq!(self.answers.len(), self.on.len());
        self.answers.iter().filter(|answer| answer.taken.is_err()).count()
    }

    /// What hangs is waited for once.
    pub(super) fn end_with_hangs(&mut self) {
        self.hang();
        self.come_to_rest();
        self.askers.push(Asker::new(Vocabularies::BOTH, vec![true; self.on.len()], HANG * 2));
        self.come_to_rest();
        let failed =
            |slot: &&Slot| slot.reading().is_some() || slot.last.as_ref().is_some_and(|last| last.taken.is_err());
        let failed = self.state.slots.iter().filter(failed).count();
        assert!(self.ask_for_everything_at_once() <= failed, "what does not hang is read");
    }

    /// Once nothing hangs, all is as it was.
    pub(super) fn end_in_peace(&mut self) {
        self.end_hangs();
        self.come_to_rest();
        self.refresh();
        assert_eq!(self.ask_for_everything_at_once(), 0, "everything is read");
        assert_eq!((self.state.out, self.state.hung()), (0, 0));
        let in_background = self.state.slots.iter().filter(|slot| slot.interval.is_some()).count();
        assert!(self.readers.len() <= in_background + 1, "no worker is left over");
    }

    /// Other collectors come in the place of these.
    pub(super) fn end_by_reload(&mut self) {
        self.settle();
        while !self.askers.is_empty() {
            self.asker_goes_away();
        }
        self.state.close();
        for reader in &mut self.readers {
            if matches!(reader.doing, Doing::Waits(_)) {
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
