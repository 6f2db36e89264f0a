//! Those who ask in the model: what `Readers::read` does, step by step.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::oneshot;

use super::super::ask::Part;
use super::super::turn::Role;
use crate::collectors::Vocabularies;
use crate::system::progress::Progress;

/// Somebody who asks.
pub(super) struct Asker {
    pub(super) wanted: Vocabularies,
    pub(super) chosen: Vec<bool>,
    pub(super) limit: Duration,
    /// The ask's number, and when it was asked.
    pub(super) asked: Option<(u64, Instant)>,
    pub(super) bell: Option<oneshot::Sender<()>>,
    pub(super) rung: oneshot::Receiver<()>,
    pub(super) next: Next,
}

/// What he does next.
pub(super) enum Next {
    /// Looks which readings have taken a while.
    Suspects,
    /// Says how far these had come then.
    Observes(Instant, Vec<(usize, u64, Progress)>),
    /// Asks, if he has not yet.
    Asks,
    /// Starts workers that are missing.
    Staffs,
    /// Found that there is no thread.
    Dismisses(Role),
    /// Asks until when he waits.
    Waits,
    /// Waits until then, or until the bell rings.
    Sleeps(Instant),
    /// Goes.
    Leaves,
}

impl Asker {
    /// Somebody who wants this of these.
    pub(super) fn new(wanted: Vocabularies, chosen: Vec<bool>, limit: Duration) -> Self {
        let (bell, rung) = oneshot::channel();
        Asker { wanted, chosen, limit, asked: None, bell: Some(bell), rung, next: Next::Suspects }
    }

    /// Somebody who wants anything.
    pub(super) fn random(collectors: usize, rng: &mut Rng) -> Self {
        let kinds = [Vocabularies::FAMILIES, Vocabularies::POINTS, Vocabularies::BOTH];
        let wanted = kinds[rng.usize(..kinds.len())];
        let takes_all = rng.u32(..4) > 0;
        let chosen = (0..collectors).map(|_| takes_all || rng.bool()).collect();
        Asker::new(wanted, chosen, super::span(rng, Duration::from_secs(20)))
    }

    /// What he wants of each collector, which are on for these.
    pub(super) fn parts(&self, on: &[Vocabularies]) -> Vec<Part> {
        let parts = on.iter().zip(&self.chosen);
        parts
            .map(|(on, chosen)| if *chosen && on.and(self.wanted).any() { Part::Open } else { Part::Unasked })
            .collect()
    }

    /// Whether he can do a step now.
    pub(super) fn is_ready(&mut self, now: Instant) -> bool {
        let Next::Sleeps(until) = self.next else { return true };
        if self.rung.try_recv().is_ok() {
            self.next = Next::Leaves;
            return true;
        }
        until <= now
    }

    /// Until when he sleeps, if he does.
    pub(super) fn sleeps_until(&self) -> Option<Instant> {
        match self.next {
            Next::Sleeps(until) => Some(until),
            _ => None,
        }
    }
}
