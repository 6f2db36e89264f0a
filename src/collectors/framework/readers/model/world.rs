//! A runner in the model, with its callers and workers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::in_flight::STALL;
use super::super::job::Finished;
use super::super::scheduling::{NextStep, Role};
use super::super::slot::LogLine;
use super::super::state::State;
use super::asker::{Asker, Next};
use super::collector::{self, ABOUTS, Controls};
use super::reader::{Doing, Reader, Reading};
use super::span;
use crate::collectors::framework::Vocabularies;
use crate::collectors::framework::readers::reading::CollectorReading;
use crate::host::{Host, LiveKernel, Roots};
use crate::system::progress::Watch;

/// A runner, with its callers and workers.
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
    wakes_shared: bool,
    /// Whether threads always start, and readings neither take time nor panic.
    pub(super) is_calm: bool,
    /// The readings: slot, start, vocabularies.
    pub(super) read: Vec<(usize, Instant, Vocabularies)>,
    /// Requests that have completed.
    pub(super) rung: Vec<u64>,
    /// The last result.
    pub(super) readings: Vec<CollectorReading>,
    /// The last line logged for each collector.
    pub(super) logged: Vec<Option<LogLine>>,
}

/// What all worlds share.
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
            wakes_shared: false,
            is_calm: false,
            read: Vec::new(),
            rung: Vec::new(),
            readings: Vec::new(),
            logged: vec![None; count],
        }
    }

    /// Takes one random step.
    pub(super) fn step(&mut self) {
        let is_done = match self.rng.u32(..16) {
            0..7 => self.reader_step(),
            7..14 => self.asker_step(),
            14 => self.request(),
            _ if self.rng.u32(..4) == 0 => self.asker_goes_away(),
            _ => self.wake(),
        };
        if !is_done {
            self.now += span(&mut self.rng, Duration::from_secs(1));
        }
    }

    fn request(&mut self) -> bool {
        self.askers.push(Asker::random(self.on.len(), &mut self.rng));
        true
    }

    /// A scrape is cancelled while it waits.
    pub(super) fn asker_goes_away(&mut self) -> bool {
        let Some(gone) = self.askers.iter().position(|asker| asker.sleeps_until().is_some()) else { return false };
        if let Some((number, _)) = self.askers.swap_remove(gone).asked {
            self.state.cancel(number);
        }
        true
    }

    pub(super) fn wake(&mut self) -> bool {
        if std::mem::take(&mut self.wakes_shared) {
            let waits =
                |reader: &&mut Reader| reader.worker.role == Role::Shared && matches!(reader.doing, Doing::Idle(_));
            if let Some(reader) = self.readers.iter_mut().find(waits) {
                reader.doing = Doing::Turns(None);
                return true;
            }
        }
        false
    }

    /// A random one of `count` for which `can` holds.
    fn any(&mut self, count: usize, can: impl Fn(&mut Self, usize) -> bool) -> Option<usize> {
        let first = self.rng.usize(..count.max(1));
        (0..count).map(|index| (first + index) % count).find(|index| can(self, *index))
    }

    /// Takes a step of a random worker that can. Returns whether there was one.
    pub(super) fn reader_step(&mut self) -> bool {
        let Some(index) = self.any(self.readers.len(), |world, index| world.readers[index].is_ready(world.now)) else {
            return false;
        };
        let reader = &mut self.readers[index];
        let doing = std::mem::replace(&mut reader.doing, Doing::Idle(None));
        let finished = match doing {
            Doing::Turns(finished) => finished,
            Doing::Idle(_) => None,
            Doing::Reading(reading) => {
                let finished = self.finish(*reading);
                self.readers[index].doing = Doing::Turns(Some(finished));
                return true;
            }
        };
        let reader = &mut self.readers[index];
        let next_step = self.state.next_step(&mut reader.worker, &reader.watch, finished, self.now);
        let has_effects = !self.state.effects.is_empty();
        match next_step {
            NextStep::Read(job) => {
                assert!(!self.state.is_closed, "nothing is read any more");
                let longest = if self.is_calm { Duration::ZERO } else { Duration::from_secs(4) };
                let reading = Reading::new(job, self.now, longest, &mut self.rng);
                reader.is_blocked = reading.is_blocked;
                reader.doing = Doing::Reading(reading);
            }
            NextStep::Wait(_) if has_effects => reader.doing = Doing::Turns(None),
            NextStep::Wait(until) => reader.doing = Doing::Idle(until),
            NextStep::Exit => drop(self.readers.swap_remove(index)),
        }
        self.follow();
        true
    }

    fn finish(&mut self, reading: Reading) -> Finished {
        let Reading { job, began, .. } = reading;
        self.controls.panics.store(!self.is_calm && self.rng.u32(..32) == 0, Relaxed);
        let wanted = job.wanted;
        let finished = job.read(&self.ground.host, &mut Vec::new());
        if let Ok(collected) = &finished.collected {
            assert_eq!(collected.at.0, self.read.len() as i64);
            self.read.push((finished.slot, began, wanted));
        }
        finished
    }

    /// Takes a step of a random caller that can. Returns whether there was one.
    pub(super) fn asker_step(&mut self) -> bool {
        let Some(index) = self.any(self.askers.len(), |world, index| world.askers[index].is_ready(world.now)) else {
            return false;
        };
        if let Some(readings) = self.one_asker_step(index) {
            let asker = self.askers.swap_remove(index);
            self.check_answers(&asker, &readings);
            self.readings = readings;
        }
        self.follow();
        true
    }

    fn one_asker_step(&mut self, index: usize) -> Option<Vec<CollectorReading>> {
        let now = self.now;
        let asker = &mut self.askers[index];
        let number = asker.asked.map(|(number, _)| number);
        let next = match std::mem::replace(&mut asker.next, Next::Leaves) {
            Next::Suspects | Next::Sleeps(_) => {
                let stalled = self.state.stalled(now);
                let stalled = stalled.into_iter().map(|(slot, reading, _)| {
                    let mut readers = self.readers.iter_mut();
                    let reader = readers.find(|reader| reader.slot() == Some(slot)).expect("somebody has it");
                    (slot, reading, reader.progress(now, &mut self.rng))
                });
                Next::Observes(now, stalled.collect())
            }
            Next::Observes(at, mut seen) => match seen.pop() {
                Some((slot, reading, progress)) => {
                    self.state.observe(slot, reading, progress, at);
                    Next::Observes(at, seen)
                }
                None => Next::Asks,
            },
            Next::Asks => {
                if let Some(completion) = asker.completion.take() {
                    let parts = asker.parts(&self.on);
                    asker.asked = Some((self.state.request(parts, asker.wanted, asker.limit, completion, now), now));
                }
                Next::Staffs
            }
            Next::Staffs => match self.state.missing_worker(now) {
                Some((worker, _)) if !self.is_calm && self.rng.u32(..16) == 0 => Next::Dismisses(worker.role),
                Some((worker, _)) => {
                    self.readers.push(Reader::new(worker, self.ground.watch.clone()));
                    Next::Staffs
                }
                None => Next::Idle,
            },
            Next::Dismisses(role) => {
                self.state.worker_not_started(role, String::new());
                Next::Idle
            }
            Next::Idle => match self.state.wait(number?, now) {
                Some(until) => {
                    assert!(until > now && until <= now + STALL, "it looks again in time");
                    assert!(asker.asked.is_some_and(|(_, asked)| until <= asked + asker.limit), "within its limit");
                    Next::Sleeps(until)
                }
                None => {
                    let request = self.state.requests.iter().find(|request| Some(request.number) == number)?;
                    self.check_waits_for_nothing(request);
                    Next::Leaves
                }
            },
            Next::Leaves => return Some(self.state.finish(number?, now)),
        };
        self.askers[index].next = next;
        None
    }

    /// Carries out the effects of the state.
    fn follow(&mut self) {
        let effects = std::mem::take(&mut self.state.effects);
        self.wakes_shared |= effects.wakes_shared;
        for completion in effects.completions {
            let _ = completion.send(());
        }
        for line in effects.log_lines {
            self.check_note(line);
        }
    }
}
