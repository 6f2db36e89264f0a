//! Timeouts of calls, and the signals that extend them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lock;

/// Timeouts of a batch of calls.
#[derive(Clone, Copy, Debug)]
pub struct CallTimeout {
    /// Maximum time without a heartbeat.
    pub idle: Duration,
    /// Maximum time in total.
    pub total: Duration,
}

impl From<Duration> for CallTimeout {
    fn from(total: Duration) -> Self {
        CallTimeout { idle: total, total }
    }
}

/// Lets a long call signal progress.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Mutex<Gaps>>);

#[derive(Debug)]
struct Gaps {
    since: Instant,
    longest: Duration,
}

impl Heartbeat {
    pub(super) fn begin() -> Heartbeat {
        Heartbeat(Arc::new(Mutex::new(Gaps { since: Instant::now(), longest: Duration::ZERO })))
    }

    /// Signals progress.
    pub fn beat(&self) {
        let mut gaps = lock(&self.0);
        gaps.longest = gaps.longest.max(gaps.since.elapsed());
        gaps.since = Instant::now();
    }

    /// Time of the last signal.
    pub(super) fn last(&self) -> Instant {
        lock(&self.0).since
    }

    /// The longest time without progress so far.
    pub fn longest_gap(&self) -> Duration {
        let gaps = lock(&self.0);
        gaps.longest.max(gaps.since.elapsed())
    }
}
