//! Running the collectors, so that a scrape always answers.
//!
//! One *worker* reads the collectors one after the other in its thread: what they read takes microseconds, and changing
//! threads would cost more. A collector with an interval has a worker of its own, which refreshes it in the background. A
//! collector is moved out of its slot while it is read, so that it is in its slot or in the hands of one worker. If that
//! takes long, whoever waits leaves the worker to it and starts another, which goes on with the rest; the one that was
//! replaced puts the collector back when it answers, and its thread ends. So one hung collector costs its own samples until it
//! answers, and one thread, however often it is asked.
//!
//! Whoever asks while a round of readings has not begun shares it: two sinks that are due at the same moment cost one
//! reading. Nobody gets a reading that began before he asked, but from the background.

mod answer;
mod ask;
mod families;
mod job;
mod slot;
mod state;
mod turn;
mod worker;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use self::ask::Part;
use self::slot::LONGEST;
use self::worker::Shared;
use super::settings::Configured;
use super::{About, Vocabularies};
use crate::host::Host;

pub use self::answer::Answer;
pub use self::families::{FAMILIES, write_families, write_points};

/// The collectors that are on, with the threads that read them.
pub struct Readers {
    on: Vec<(&'static About, Vocabularies)>,
    shared: Arc<Shared>,
}

impl Readers {
    /// Takes the collectors on. Threads start for what is refreshed in the background; for the others, when somebody asks.
    pub fn new(host: Host, mut configured: Vec<Configured>) -> Self {
        for configured in &mut configured {
            configured.collector.begin(Duration::ZERO);
        }
        let on = configured.iter().map(|configured| (configured.about, configured.on)).collect();
        let shared = Shared::new(host, configured);
        shared.staff();
        Readers { on, shared }
    }

    /// What is on, and for which vocabularies.
    pub fn on(&self) -> impl Iterator<Item = (&'static About, Vocabularies)> {
        self.on.iter().copied()
    }

    /// The host that is read.
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// Readings of all collectors that are on for `wanted` and that `selected` chooses, in their order. It answers within
    /// `limit`, and waits for no reading longer than the collector's own timeout; one that has not come has failed. A
    /// collector that is known to hang is not waited for.
    pub async fn read(&self, wanted: Vocabularies, selected: impl Fn(&About) -> bool, limit: Duration) -> Vec<Answer> {
        let is_asked = |about, on: Vocabularies| on.and(wanted).any() && selected(about);
        let part = |&(about, on): &(_, _)| if is_asked(about, on) { Part::Open } else { Part::Unasked };
        let parts = self.on.iter().map(part).collect();
        let (bell, mut rung) = oneshot::channel();
        self.shared.look();
        let number = self.shared.step(|state, now| state.ask(parts, wanted, limit.min(LONGEST), bell, now));
        let asked = Asked { shared: &self.shared, number };
        loop {
            self.shared.staff();
            let Some(look) = self.shared.step(|state, now| state.wait(number, now)) else { break };
            if timeout_at(look.into(), &mut rung).await.is_ok() {
                break;
            }
            self.shared.look();
        }
        asked.answers()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// An ask, which leaves also when the scrape is given up.
struct Asked<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Asked<'_> {
    fn answers(self) -> Vec<Answer> {
        self.shared.step(|state, now| state.leave(self.number, now))
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.shared.step(|state, _| state.forget(self.number));
    }
}
