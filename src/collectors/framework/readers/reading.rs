//! The result of a request, one entry for each collector.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::condition::Condition;
use crate::collectors::filter::CollectorPoints;
use crate::collectors::framework::{About, Collected, Failure, Vocabularies};

/// The reading of one collector, as a request gets it.
#[derive(Clone)]
pub struct CollectorReading {
    /// The collector.
    pub about: &'static About,
    /// The reading, complete or not; or why there is none.
    pub collected: Result<Arc<Collected>, Failure>,
    /// Age of the reading, if the collector refreshes in the background.
    pub age: Option<Duration>,
    /// The limit on its series.
    pub(super) series_limit: Arc<SeriesLimit>,
    /// Counts of its ticks.
    pub(super) ticks: Arc<Ticks>,
    /// What is done with its points, if anything.
    pub(super) points: Option<Arc<CollectorPoints>>,
}

impl CollectorReading {
    /// Whether the families of the next reading for a sink of series depend on this one.
    pub fn has_history(&self) -> bool {
        self.collected.as_ref().is_ok_and(|collected| collected.has_history())
    }
}

/// Counts of a collector since it was configured, over the ticks of all sinks.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// Points written.
    pub(super) points: AtomicU64,
    /// Incomplete readings.
    pub(super) errors: AtomicU64,
    /// Readings that were not there in time.
    pub(super) timeouts: AtomicU64,
}

/// The outcome of one reading.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) began: Instant,
    pub(super) collected: Result<Arc<Collected>, Failure>,
}

/// The limit on the series of a collector.
#[derive(Debug)]
pub(super) struct SeriesLimit {
    pub(super) max: usize,
    /// Whether the limit is exceeded, as logged: scrapes and sinks see different numbers of series.
    excess: Mutex<Condition<()>>,
}

impl SeriesLimit {
    pub(super) fn new(max: usize) -> Self {
        SeriesLimit { max, excess: Mutex::default() }
    }

    /// Logs when the limit is first exceeded in either vocabulary, and when it is exceeded in neither any more.
    /// `excess` is the number of series over the limit in `vocabulary`.
    pub(super) fn report(&self, about: &About, vocabulary: Vocabularies, excess: u64) {
        let mut condition = self.excess.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, max) = (about.name, self.max);
        if excess == 0 {
            if let Some(over) = condition.is_well(vocabulary) {
                tracing::info!("all series of the collector {name} are shown again {over}");
            }
        } else if condition.fails_at(vocabulary, &(), Instant::now()) {
            tracing::warn!(
                "the collector {name} has {excess} series more than [collectors.{name}] max_series = {max} lets it show"
            );
        }
    }

    /// Whether an excess was logged, and no end since.
    #[cfg(test)]
    fn is_reported(&self) -> bool {
        self.excess.lock().unwrap_or_else(PoisonError::into_inner).is_reported()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_that_has_no_more_does_not_end_what_a_scrape_has() {
        static ABOUT: About = About { name: "some", ..About::PLAIN };
        let (families, points) = (Vocabularies::FAMILIES, Vocabularies::POINTS);
        // In any order of scrapes and ticks: one log line in total.
        for order in 0_u32..64 {
            let series_limit = SeriesLimit::new(3);
            let mut has_begun = false;
            for step in 0..6 {
                match order >> step & 1 {
                    0 => series_limit.report(&ABOUT, points, 0),
                    _ => series_limit.report(&ABOUT, families, 10),
                }
                has_begun |= order >> step & 1 == 1;
                assert_eq!(series_limit.is_reported(), has_begun);
            }
            series_limit.report(&ABOUT, families, 0);
            assert!(!series_limit.is_reported());
        }
    }
}
