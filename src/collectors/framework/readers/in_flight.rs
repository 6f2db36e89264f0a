//! A reading in flight: how long it has taken, and whether its worker makes progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::request::Request;
use crate::collectors::framework::Vocabularies;
use crate::system::progress::{Progress, Watch};

/// A reading that takes this long has stalled: it keeps its worker, and another worker reads the remaining collectors.
pub(super) const STALL: Duration = Duration::from_millis(250);
/// A collector whose worker has made no progress for this long hangs.
pub(super) const HANG: Duration = Duration::from_millis(500);

/// A reading that a worker is taking.
pub(super) struct InFlight {
    /// Unique number of the reading.
    pub(super) number: u64,
    pub(super) wanted: Vocabularies,
    pub(super) began: Instant,
    /// It serves requests with a lower number, which arrived before it started.
    pub(super) before: u64,
    watch: Arc<Watch>,
    progress: Option<Progress>,
    /// When the worker was last seen to make progress.
    moved: Instant,
    /// Whether it waits without progress.
    pub(super) is_hung: bool,
    /// Start of its timeout: when it started, or when it made progress again after a hang.
    timeout_start: Instant,
    /// Requests from this number on arrived when it was known to hang, or to be late.
    refused_from: Option<u64>,
}

impl InFlight {
    pub(super) fn new(number: u64, wanted: Vocabularies, began: Instant, before: u64, watch: Arc<Watch>) -> Self {
        InFlight {
            number,
            wanted,
            began,
            before,
            watch,
            progress: None,
            moved: began,
            is_hung: false,
            timeout_start: began,
            refused_from: None,
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Whether a new request would wait in vain.
    fn is_overdue(&self, timeout: Duration, now: Instant) -> bool {
        self.is_hung || now.saturating_duration_since(self.timeout_start) >= timeout
    }

    /// Refuses requests from `next_request` on, if the reading hangs or is late.
    pub(super) fn refuse_if_overdue(&mut self, timeout: Duration, next_request: u64, now: Instant) {
        if self.refused_from.is_none() && self.is_overdue(timeout, now) {
            self.refused_from = Some(next_request);
        }
    }

    /// Whether `request` does not wait for this reading.
    pub(super) fn is_refused_by(&self, request: &Request, timeout: Duration, now: Instant) -> bool {
        self.refused_from.is_some_and(|number| request.number >= number) && self.is_overdue(timeout, now)
    }

    /// The watch on its thread, if it has stalled.
    pub(super) fn watch_if_stalled(&self, now: Instant) -> Option<Arc<Watch>> {
        (self.age(now) >= STALL).then(|| self.watch.clone())
    }

    /// When to check its progress again.
    pub(super) fn next_check(&self, now: Instant) -> Instant {
        let times = [self.began + STALL, self.began + HANG];
        times.into_iter().find(|time| *time > now).unwrap_or(now + STALL)
    }

    /// Records the progress seen at this moment.
    pub(super) fn observe(&mut self, progress: Progress, at: Instant) {
        let moves = match (self.progress, progress) {
            (_, Progress::Runs) | (Some(Progress::Runs), Progress::Waits(_)) => true,
            (Some(Progress::Waits(before)), Progress::Waits(after)) => before != after,
            (None | Some(Progress::Unknown), Progress::Waits(_)) | (_, Progress::Unknown) => false,
        };
        if moves {
            if self.is_hung {
                self.timeout_start = self.timeout_start.max(at);
            }
            self.moved = self.moved.max(at);
        } else if self.progress.is_none() && progress != Progress::Unknown {
            // Only a second observation shows whether it still waits for the same thing.
            self.moved = self.moved.max(at.checked_sub(HANG - STALL).unwrap_or(at));
        }
        self.is_hung = at.saturating_duration_since(self.moved) >= HANG;
        self.progress = Some(progress);
    }
}
