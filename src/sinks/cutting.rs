//! How large the next batch is, while one that was not taken is cut up, and how soon it may be sent.

use std::time::{Duration, Instant};

/// Requests that may fail in a period while batches are cut up; after as many in a row, one per period may.
const MOST: u32 = 20;

/// The size of batches: halved by what fails, grown again by what passes.
#[derive(Debug)]
pub(super) struct Cutting {
    whole: usize,
    size: usize,
    /// Whether it was cut for its bytes: there is a size then that passes, and it is approached in small steps.
    is_of_bytes: bool,
    period: Duration,
    begun: Instant,
    in_period: u32,
    in_a_row: u32,
}

impl Cutting {
    /// Batches of `whole` points, and a period near to `flush_interval`: between a second and a minute.
    pub(super) fn new(whole: usize, flush_interval: Duration) -> Self {
        let period = flush_interval.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Cutting { whole, size: whole, is_of_bytes: false, period, begun: Instant::now(), in_period: 0, in_a_row: 0 }
    }

    /// Points in the next batch, at the most.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// A batch of `count` points did not pass: the next one is half of it. For its bytes, or for a point in it.
    pub(super) fn halve(&mut self, count: usize, is_of_bytes: bool) {
        self.size = count.div_ceil(2).max(1);
        self.is_of_bytes = is_of_bytes;
    }

    /// A request failed at `now`: how long to wait, if its like come too fast.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.begun);
        if elapsed >= self.period {
            (self.begun, self.in_period) = (now, 0);
        }
        (self.in_period, self.in_a_row) = (self.in_period + 1, self.in_a_row.saturating_add(1));
        if self.in_a_row > MOST {
            return Some(self.period);
        }
        let left = (self.begun + self.period).saturating_duration_since(now);
        (self.in_period >= MOST).then_some(left)
    }

    /// A batch passed. Sizes grow back step by step, for the point that made one fail may be one of several.
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
        let mut cutting = Cutting::new(1000, Duration::from_secs(10));
        let (now, wrong, mut next, mut requests) = (Instant::now(), 617, 0, 0);
        while next < 1000 {
            let end = (next + cutting.size()).min(1000);
            requests += 1;
            if !(next..end).contains(&wrong) {
                next = end;
                cutting.passed();
            } else if end - next == 1 {
                next = end;
                assert_eq!(cutting.failed(now), None);
            } else {
                cutting.halve(end - next, false);
                assert_eq!(cutting.failed(now), None);
            }
        }
        assert!(requests < 60, "{requests}");
    }

    #[test]
    fn a_server_that_takes_nothing_is_asked_ever_less() {
        let period = Duration::from_secs(10);
        let mut cutting = Cutting::new(1000, period);
        let begun = Instant::now();
        let (mut now, mut requests) = (begun, 0);
        while now < begun + 60 * period {
            requests += 1;
            cutting.halve(cutting.size(), false);
            now += cutting.failed(now).unwrap_or_default();
        }
        assert!((20..=20 + 60).contains(&requests), "{requests}");
    }

    #[test]
    fn wrong_points_among_right_ones_do_not_make_a_storm() {
        let period = Duration::from_secs(10);
        let mut cutting = Cutting::new(1000, period);
        let begun = Instant::now();
        let (mut now, mut failed) = (begun, 0);
        while now < begun + 6 * period {
            cutting.passed();
            failed += 1;
            now += cutting.failed(now).unwrap_or_default();
        }
        assert!((20..=7 * 20).contains(&failed), "{failed}");
    }

    #[test]
    fn of_bytes_the_size_that_passes_is_kept_to_nearly() {
        let mut cutting = Cutting::new(1000, Duration::from_secs(10));
        let (mut passed, mut failed) = (0, 0);
        for _ in 0..1000 {
            match cutting.size() > 60 {
                true => {
                    cutting.halve(cutting.size(), true);
                    failed += 1;
                }
                false => {
                    cutting.passed();
                    passed += 1;
                }
            }
        }
        assert!(failed * 5 < passed, "{failed} {passed}");
    }
}
