//! Workers of the model: what `worker.rs` does in a thread, step by step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::job::{Finished, Job};
use super::super::scheduling::Worker;
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

/// What it is doing.
pub(super) enum Doing {
    /// It is about to take the lock.
    Turns(Option<Finished>),
    /// It is reading.
    Reading(Box<Reading>),
    /// It waits until it is woken, or until this moment.
    Idle(Option<Instant>),
}

/// A reading in the model.
pub(super) struct Reading {
    pub(super) job: Job,
    pub(super) began: Instant,
    pub(super) ends: Instant,
    /// Whether it hangs throughout, or makes progress.
    pub(super) is_blocked: bool,
    moves: u64,
}

impl Reading {
    /// A reading that takes no longer than this.
    pub(super) fn new(job: Job, now: Instant, longest: Duration, rng: &mut Rng) -> Box<Self> {
        let takes = if rng.bool() { span(rng, longest) } else { Duration::ZERO };
        Box::new(Reading { job, began: now, ends: now + takes.min(longest), is_blocked: rng.bool(), moves: 0 })
    }
}

impl Reader {
    pub(super) fn new(worker: Worker, watch: Arc<Watch>) -> Self {
        Reader { worker, watch, doing: Doing::Turns(None), is_blocked: false }
    }

    /// The slot of the collector that it holds.
    pub(super) fn slot(&self) -> Option<usize> {
        match &self.doing {
            Doing::Turns(finished) => finished.as_ref().map(|finished| finished.slot),
            Doing::Reading(reading) => Some(reading.job.slot),
            Doing::Idle(_) => None,
        }
    }

    /// The progress of its thread, while it holds a collector.
    pub(super) fn progress(&mut self, now: Instant, rng: &mut Rng) -> Progress {
        match &mut self.doing {
            Doing::Reading(reading) if now < reading.ends => {
                reading.moves += u64::from(!reading.is_blocked);
                if reading.is_blocked || rng.bool() { Progress::Waits(reading.moves) } else { Progress::Runs }
            }
            _ => Progress::Runs,
        }
    }

    /// Whether it can take a step now.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        match &self.doing {
            Doing::Turns(_) => true,
            Doing::Reading(reading) => reading.ends <= now,
            Doing::Idle(until) => until.is_some_and(|until| until <= now),
        }
    }
}
