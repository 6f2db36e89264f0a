//! What those who ask get.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::collectors::{About, Failure, Taken};

/// What became of one collector.
#[derive(Clone)]
pub struct Answer {
    /// The collector.
    pub about: &'static About,
    /// Its reading, complete or not, or why there is none.
    pub taken: Result<Arc<Taken>, Failure>,
    /// How old the reading is, for a collector that refreshes in the background.
    pub age: Option<Duration>,
    /// How much of it is shown.
    pub(super) cap: Arc<Cap>,
}

/// What one reading brought.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) began: Instant,
    pub(super) taken: Result<Arc<Taken>, Failure>,
}

/// How many series of a collector are shown.
#[derive(Debug)]
pub(super) struct Cap {
    pub(super) most: usize,
    /// Whether it was logged that there are more.
    is_logged: AtomicBool,
}

impl Cap {
    pub(super) fn new(most: usize) -> Self {
        Cap { most, is_logged: AtomicBool::new(false) }
    }

    /// Logs when there begin to be more.
    pub(super) fn report(&self, about: &About, beyond: u64) {
        if !self.is_logged.swap(beyond > 0, Relaxed) && beyond > 0 {
            tracing::warn!(
                "the collector {} has {beyond} series more than [collectors.{}] max_series = {} lets it show",
                about.name,
                about.name,
                self.most
            );
        }
    }
}
