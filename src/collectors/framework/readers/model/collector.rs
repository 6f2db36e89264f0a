//! Collectors of the model: each reading is a number.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::collectors::framework::Configured;
use crate::collectors::framework::{About, AnyCollector, Collected, Reading, Vocabularies};
use crate::encode::FamilyWriter;
use crate::encode::Timestamp;
use crate::host::Host;

/// The collectors.
pub(super) static ABOUTS: [About; 4] = [
    About { name: "0", ..About::PLAIN },
    About { name: "1", ..About::PLAIN },
    About { name: "2", ..About::PLAIN },
    About { name: "3", ..About::PLAIN },
];

/// State that all collectors of a world share.
#[derive(Default)]
pub(super) struct Controls {
    /// The number of the next reading.
    pub(super) next: AtomicI64,
    /// Whether the next reading panics.
    pub(super) panics: AtomicBool,
}

struct Numbered(Arc<Controls>);

#[derive(Default)]
struct Nothing;

impl Reading for Nothing {
    fn families(&self, _: &mut FamilyWriter<'_>) {}
}

impl AnyCollector for Numbered {
    fn collect(&mut self, _: Vocabularies, _: Instant, _: &Host, _: &mut Vec<u8>) -> Collected {
        if self.0.panics.swap(false, Relaxed) {
            // Does not print to standard error.
            resume_unwind(Box::new("for the test"));
        }
        Collected {
            at: Timestamp(self.0.next.fetch_add(1, Relaxed)),
            monotonic: Duration::ZERO,
            took: Duration::ZERO,
            failure: None,
            reading: Arc::new(Nothing),
        }
    }

    fn begin(&mut self, _: Duration) {}

    fn report(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// A collector with random settings.
pub(super) fn random(about: &'static About, controls: &Arc<Controls>, rng: &mut fastrand::Rng) -> Configured {
    let on = [Vocabularies::BOTH, Vocabularies::BOTH, Vocabularies::FAMILIES, Vocabularies::POINTS];
    Configured {
        about,
        on: on[rng.usize(..on.len())],
        interval: (rng.u32(..6) == 0).then(|| Duration::from_millis(rng.u64(100..3000))),
        max_series: usize::MAX,
        points: None,
        timeout: Duration::from_millis(rng.u64(200..6000)),
        collector: Box::new(Numbered(controls.clone())),
    }
}
