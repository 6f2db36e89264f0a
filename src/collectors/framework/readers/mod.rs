//! Runs the collectors, so that a scrape always gets a response.
//!
//! One *worker* thread reads the collectors one after the other: each takes microseconds, and switching threads would
//! cost more. A collector with an interval has its own worker, which refreshes it in the background. A worker takes a
//! collector out of its slot to read it, so the collector is either in its slot or with one worker. If a reading
//! stalls, the caller leaves that worker to it and starts another, which continues with the remaining collectors. The
//! replaced worker returns its collector when the reading ends, and its thread exits. A hung collector therefore costs
//! its own samples until it recovers, and one thread, however many requests arrive.
//!
//! Requests that arrive before a round of readings starts share that round: two sinks that are due at the same moment
//! cost one reading. No request gets a reading that started before it, except from the background.

mod condition;
mod families;
mod in_flight;
mod job;
mod points;
mod reading;
mod request;
mod scheduling;
mod slot;
mod state;
mod status;
mod worker;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use self::request::Part;
use self::slot::MAX_DURATION;
use self::worker::Shared;
use crate::collectors::framework::Configured;
use crate::collectors::framework::on_request::OnRequest;
use crate::collectors::framework::{About, Vocabularies};
use crate::host::Host;
use crate::system::regular_file;

pub use self::families::{FAMILIES, add_scraped, scraped_below, write_families};
pub use self::points::{MEASUREMENTS, Totals, VERSION, write_points};
pub use self::reading::CollectorReading;
pub use self::status::{CollectorState, CollectorStatus};

/// The collectors that are on, and the threads that read them.
pub struct Readers {
    on: Vec<(&'static About, Vocabularies)>,
    on_request: Option<Arc<dyn OnRequest>>,
    shared: Arc<Shared>,
}

impl Readers {
    /// Creates the runner. Workers for background collectors start at once, others on request.
    pub fn new(host: Host, mut configured: Vec<Configured>) -> Self {
        for configured in &mut configured {
            configured.collector.begin(Duration::ZERO);
        }
        let on_request = configured.iter().find_map(|configured| configured.collector.on_request());
        let on = configured.iter().map(|configured| (configured.about, configured.on)).collect();
        let shared = Shared::new(host, configured);
        shared.start_workers();
        Readers { on, on_request, shared }
    }

    /// The collectors that are on, with the vocabularies for which they are on.
    pub fn on(&self) -> impl Iterator<Item = (&'static About, Vocabularies)> {
        self.on.iter().copied()
    }

    /// What responds to `GET /probe`, if a collector does.
    pub fn on_request(&self) -> Option<&Arc<dyn OnRequest>> {
        self.on_request.as_ref()
    }

    /// The number of collectors that are blocked in a call that does not return.
    pub fn hung_collectors(&self) -> usize {
        self.shared.step(|state, _| state.hung())
    }

    /// The number of threads that are blocked on a mount, service or file that does not respond.
    pub fn hung_threads(&self) -> usize {
        self.host().hanging() + regular_file::hung()
    }

    /// The host that is read.
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// Readings of all collectors that are on for `wanted` and that `selected` accepts, in their order. Returns within
    /// `limit`, and waits for no reading longer than the timeout of its collector; a reading that has not arrived by
    /// then has failed. A collector that is known to hang is not waited for.
    pub async fn read(
        &self,
        wanted: Vocabularies,
        selected: impl Fn(&About) -> bool,
        limit: Duration,
    ) -> Vec<CollectorReading> {
        let is_asked = |about, on: Vocabularies| on.and(wanted).any() && selected(about);
        let part = |&(about, on): &(_, _)| if is_asked(about, on) { Part::Pending } else { Part::NotRequested };
        let parts = self.on.iter().map(part).collect();
        let (completion, mut rung) = oneshot::channel();
        self.shared.check_progress();
        let number =
            self.shared.step(|state, now| state.request(parts, wanted, limit.min(MAX_DURATION), completion, now));
        let asked = PendingRequest { shared: &self.shared, number };
        loop {
            self.shared.start_workers();
            let Some(check_progress) = self.shared.step(|state, now| state.wait(number, now)) else { break };
            if timeout_at(check_progress.into(), &mut rung).await.is_ok() {
                break;
            }
            self.shared.check_progress();
        }
        asked.readings()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A request in progress. Dropping it cancels the request.
struct PendingRequest<'a> {
    shared: &'a Shared,
    number: u64,
}

impl PendingRequest<'_> {
    fn readings(self) -> Vec<CollectorReading> {
        self.shared.step(|state, now| state.finish(self.number, now))
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.shared.step(|state, _| state.cancel(self.number));
    }
}
