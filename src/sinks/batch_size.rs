//! Size and rate of batches while a rejected one is split.

use std::time::{Duration, Instant};

/// Requests that may fail in a period while batches are split. After as many failures in a row, one per period may.
const MAX_FAILED: u32 = 20;

/// The size of batches: halved by failures, grown again by successes.
#[derive(Debug)]
pub(super) struct BatchSize {
    whole: usize,
    size: usize,
    /// Whether a batch had too many bytes: there is a size then that passes, and it is approached in small steps.
    is_of_bytes: bool,
    period: Duration,
    started: Instant,
    in_period: u32,
    in_a_row: u32,
}

impl BatchSize {
    /// Batches of `whole` points, and a period of `flush_interval`, but at least a second and at most a minute.
    pub(super) fn new(whole: usize, flush_interval: Duration) -> Self {
        let period = flush_interval.clamp(Duration::from_secs(1), Duration::from_secs(60));
        BatchSize { whole, size: whole, is_of_bytes: false, period, started: Instant::now(), in_period: 0, in_a_row: 0 }
    }

    /// The most points in the next batch.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// A batch of `count` points failed: the next one has half of them. The cause is its bytes, or a point in it.
    pub(super) fn halve(&mut self, count: usize, is_of_bytes: bool) {
        self.size = count.div_ceil(2).max(1);
        self.is_of_bytes = is_of_bytes;
    }

    /// A request failed at `now`. Returns how long to wait if requests fail too fast.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.started);
        if elapsed >= self.period {
            (self.started, self.in_period) = (now, 0);
        }
        (self.in_period, self.in_a_row) = (self.in_period + 1, self.in_a_row.saturating_add(1));
        if self.in_a_row > MAX_FAILED {
            return Some(self.period);
        }
        let left = (self.started + self.period).saturating_duration_since(now);
        (self.in_period >= MAX_FAILED).then_some(left)
    }

    /// A batch passed. Sizes grow back step by step, since several points may be invalid.
    pub(super) fn passed(&mut self) {
        self.in_a_row = 0;
        let step = if self.is_of_bytes { (self.size / 8).max(1) } else { self.size };
        self.size = self.size.saturating_add(step).min(self.whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_wrong_point_of_a_batch_is_found_without_a_pause() {
        let mut batch_size = BatchSize::new(1000, Duration::from_secs(10));
        let (now, wrong, mut next, mut requests) = (Instant::now(), 617, 0, 0);
        while next < 1000 {
            let end = (next + batch_size.size()).min(1000);
            requests += 1;
            if !(next..end).contains(&wrong) {
                next = end;
                batch_size.passed();
            } else if end - next == 1 {
                next = end;
                assert_eq!(batch_size.failed(now), None);
            } else {
                batch_size.halve(end - next, false);
                assert_eq!(batch_size.failed(now), None);
            }
        }
        assert!(requests < 60, "{requests}");
    }

    #[test]
    fn a_server_that_takes_nothing_is_asked_ever_less() {
        let period = Duration::from_secs(10);
        let mut batch_size = BatchSize::new(1000, period);
        let started = Instant::now();
        let (mut now, mut requests) = (started, 0);
        while now < started + 60 * period {
            requests += 1;
            batch_size.halve(batch_size.size(), false);
            now += batch_size.failed(now).unwrap_or_default();
        }
        assert!((20..=20 + 60).contains(&requests), "{requests}");
    }

    #[test]
    fn wrong_points_among_right_ones_do_not_make_a_storm() {
        let period = Duration::from_secs(10);
        let mut batch_size = BatchSize::new(1000, period);
        let started = Instant::now();
        let (mut now, mut failed) = (started, 0);
        while now < started + 6 * period {
            batch_size.passed();
            failed += 1;
            now += batch_size.failed(now).unwrap_or_default();
        }
        assert!((20..=7 * 20).contains(&failed), "{failed}");
    }

    #[test]
    fn of_bytes_the_size_that_passes_is_kept_to_nearly() {
        let mut batch_size = BatchSize::new(1000, Duration::from_secs(10));
        let (mut passed, mut failed) = (0, 0);
        for _ in 0..1000 {
            match batch_size.size() > 60 {
                true => {
                    batch_size.halve(batch_size.size(), true);
                    failed += 1;
                }
                false => {
                    batch_size.passed();
                    passed += 1;
                }
            }
        }
        assert!(failed * 5 < passed, "{failed} {passed}");
    }
}
