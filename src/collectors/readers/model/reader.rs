//! Workers of the model: what `worker.rs` does in a thread, step by step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::job::{Finished, Job};
use super::super::turn::Worker;
use super::span;
use crate::system::progress::{Progress, Watch};

/// A worker.
pub(super) struct Reader {
    pub(super) worker: Worker,
    pub(super) watch: Arc<Watch>,
    pub(super) doing: Doing,
    /// Whether its last reading hung.
    pub(super) is_blocked: bool,
}

/// What it does.
pub(super) enum Doing {
    /// It is about to take the lock.
    Turns(Option<Finished>),
    /// It reads.
    Reads(Box<Reading>),
    /// It waits to be woken, or until then.
    Waits(Option<Instant>),
}

/// A reading in the model.
pub(super) struct Reading {
    pub(super) job: Job,
    pub(super) began: Instant,
    pub(super) ends: Instant,
    /// Whether it hangs all the time, or moves.
    pub(super) is_blocked: bool,
    moves: u64,
}

impl Reading {
    /// One that takes no longer than this.
    pub(super) fn new(job: Job, now: Instant, longest: Duration, rng: &mut Rng) -> Box<Self> {
        let takes = if rng.bool() { span(rng, longest) } else { Duration::ZERO };
        Box::new(Reading { job, began: now, ends: now + takes.min(longest), is_blocked: rng.bool(), moves: 0 })
    }
}

impl Reader {
    pub(super) fn new(worker: Worker, watch: Arc<Watch>) -> Self {
        Reader { worker, watch, doing: Doing::Turns(None), is_blocked: false }
    }

    /// The slot whose collector it has.
    pub(super) fn slot(&self) -> Option<usize> {
        match &self.doing {
            Doing::Turns(finished) => finished.as_ref().map(|finished| finished.slot),
            Doing::Reads(reading) => Some(reading.job.slot),
            Doing::Waits(_) => None,
        }
    }

    /// What the watch of its thread says, while it has a collector.
    pub(super) fn progress(&mut self, now: Instant, rng: &mut Rng) -> Progress {
        match &mut self.doing {
            Doing::Reads(reading) if now < reading.ends => {
                reading.moves += u64::from(!reading.is_blocked);
                if reading.is_blocked || rng.bool() { Progress::Waits(reading.moves) } else { Progress::Runs }
            }
            _ => Progress::Runs,
        }
    }

    /// Whether it can do a step now.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        match &self.doing {
            Doing::Turns(_) => true,
            Doing::Reads(reading) => reading.ends <= now,
            Doing::Waits(until) => until.is_some_and(|until| until <= now),
        }
    }
}
