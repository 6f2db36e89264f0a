//! Callers in the model: what `Readers::read` does, step by step.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::oneshot;

use super::super::request::Part;
use super::super::scheduling::Role;
use crate::collectors::framework::Vocabularies;
use crate::system::progress::Progress;

/// A caller.
pub(super) struct Asker {
    pub(super) wanted: Vocabularies,
    pub(super) chosen: Vec<bool>,
    pub(super) limit: Duration,
    /// The number of its request, and when it was made.
    pub(super) asked: Option<(u64, Instant)>,
    pub(super) completion: Option<oneshot::Sender<()>>,
    pub(super) rung: oneshot::Receiver<()>,
    pub(super) next: Next,
}

/// Its next step.
pub(super) enum Next {
    /// Finds stalled readings.
    Suspects,
    /// Reports the progress that it has seen.
    Observes(Instant, Vec<(usize, u64, Progress)>),
    /// Makes its request, if it has not yet.
    Asks,
    /// Starts missing workers.
    Staffs,
    /// Failed to start a thread.
    Dismisses(Role),
    /// Computes how long to wait.
    Idle,
    /// Waits until then, or until the request completes.
    Sleeps(Instant),
    /// Ends.
    Leaves,
}

impl Asker {
    /// A caller that requests these vocabularies of these collectors.
    pub(super) fn new(wanted: Vocabularies, chosen: Vec<bool>, limit: Duration) -> Self {
        let (completion, rung) = oneshot::channel();
        Asker { wanted, chosen, limit, asked: None, completion: Some(completion), rung, next: Next::Suspects }
    }

    /// A caller with a random request.
    pub(super) fn random(collectors: usize, rng: &mut Rng) -> Self {
        let kinds = [Vocabularies::FAMILIES, Vocabularies::POINTS, Vocabularies::BOTH];
        let wanted = kinds[rng.usize(..kinds.len())];
        let takes_all = rng.u32(..4) > 0;
        let chosen = (0..collectors).map(|_| takes_all || rng.bool()).collect();
        Asker::new(wanted, chosen, super::span(rng, Duration::from_secs(20)))
    }

    /// Its part for each collector; `on` has the vocabularies for which each collector is on.
    pub(super) fn parts(&self, on: &[Vocabularies]) -> Vec<Part> {
        let parts = on.iter().zip(&self.chosen);
        parts
            .map(|(on, chosen)| if *chosen && on.and(self.wanted).any() { Part::Pending } else { Part::NotRequested })
            .collect()
    }

    /// Whether it can take a step now.
    pub(super) fn is_ready(&mut self, now: Instant) -> bool {
        let Next::Sleeps(until) = self.next else { return true };
        if self.rung.try_recv().is_ok() {
            self.next = Next::Leaves;
            return true;
        }
        until <= now
    }

    /// Until when it sleeps, if it does.
    pub(super) fn sleeps_until(&self) -> Option<Instant> {
        match self.next {
            Next::Sleeps(until) => Some(until),
            _ => None,
        }
    }
}
