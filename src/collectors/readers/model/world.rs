//! A runner in the model, with those around it, and what must always be true of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::job::Finished;
use super::super::slot::{Note, STALL};
use super::super::state::State;
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
    pub(super) controls: Arc<Controls>,
    ground: Ground,
    /// Whether the shared worker is being woken.
    wakes: bool,
    /// Whether no thread is lacking, and readings neither take time nor panic.
    pub(super) is_calm: bool,
    /// What was read: of which slot, when it began, for whom.
    pub(super) read: Vec<(usize, Instant, Vocabularies)>,
    /// The asks whose bells have rung.
    pub(super) rung: Vec<u64>,
    /// What was answered last.
    pub(super) answers: Vec<Answer>,
    /// What was logged of each collector last.
    pub(super) logged: Vec<Option<Note>>,
}

/// What all worlds stand on.
#[derive(Clone)]
pub(super) struct Ground {
    host: Host,
    watch: Arc<Watch>,
}

impl Ground {
    pub(super) fn new() -> Self {
        let host = Host::new(Roots::default(), Arc::new(LiveKernel::default()));
        Ground { host, watch: Arc::new(Watch::this_thread()) }
    }
}

impl World {
    pub(super) fn new(mut rng: Rng, ground: &Ground) -> Self {
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
            ground: ground.clone(),
            wakes: false,
            is_calm: false,
            read: Vec::new(),
            rung: Vec::new(),
            answers: Vec::new(),
            logged: vec![None; count],
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
    pub(super) fn asker_goes_away(&mut self) -> bool {
        let Some(gone) = self.askers.iter().position(|asker| asker.sleeps_until().is_some()) else { return false };
        if let Some((number, _)) = self.askers.swap_remove(gone).asked {
            self.state.forget(number);
        }
        true
    }

    pub(super) fn wake(&mut self) -> bool {
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

    /// Any of so many that can do something.
    fn any(&mut self, count: usize, can: impl Fn(&mut Self, usize) -> bool) -> Option<usize> {
        let first = self.rng.usize(..count.max(1));
        (0..count).map(|index| (first + index) % count).find(|index| can(self, *index))
    }

    /// One of the readers that can does a step; says whether there was one.
    pub(super) fn reader_step(&mut self) -> bool {
        let Some(index) = self.any(self.readers.len(), |world, index| world.readers[index].is_ready(world.now)) else {
            return false;
        };
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
        self.controls.panics.store(!self.is_calm && self.rng.u32(..32) == 0, Relaxed);
        let wanted = job.wanted;
        let finished = job.read(&self.ground.host, &mut Vec::new());
        if let Ok(taken) = &finished.taken {
            assert_eq!(taken.at.0, self.read.len() as i64);
            self.read.push((finished.slot, began, wanted));
        }
        finished
    }

    /// One of the askers that can does a step; says whether there was one.
    pub(super) fn asker_step(&mut self) -> bool {
        let Some(index) = self.any(self.askers.len(), |world, index| world.askers[index].is_ready(world.now)) else {
            return false;
        };
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
                    self.readers.push(Reader::new(worker, self.ground.watch.clone()));
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
}
