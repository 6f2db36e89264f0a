//! Work in the background: a thread for a collector, and the clock of each of its targets.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// A thread with a runtime for background work. The work is aborted when this is dropped.
#[derive(Debug)]
pub(in crate::collectors) struct Background {
    stop: CancellationToken,
}

impl Background {
    /// Starts a thread `name`, and runs the work that `start` returns there.
    pub(in crate::collectors) fn start<W: Future<Output = ()>>(
        name: &'static str,
        start: impl FnOnce() -> W + Send + 'static,
    ) -> Background {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().thread_name(name).build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("{name}: no runtime for its background work: {error}"),
            };
            runtime.block_on(async { stopped.run_until_cancelled(start()).await });
            runtime.shutdown_background();
        };
        if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(run) {
            tracing::error!("{name}: no thread for its background work: {error}");
        }
        Background { stop }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The clock of one target. Its ticks are spread over the interval by the target's hash, so that targets with the same
/// interval are not queried at once. Ticks that pass while work is in progress are skipped.
#[derive(Clone, Copy, Debug)]
pub(in crate::collectors) struct Clock {
    interval: Duration,
    next: Instant,
    /// The time from the first tick to the second.
    first: Duration,
}

impl Clock {
    /// The time over which the first ticks are spread, so that data is available soon after a start.
    const SPREAD: Duration = Duration::from_secs(1);

    /// A clock with this interval, which must be above zero.
    pub(in crate::collectors) fn new(interval: Duration, hash: u64) -> Clock {
        Clock::starting_at(Instant::now(), interval, hash)
    }

    fn starting_at(now: Instant, interval: Duration, hash: u64) -> Clock {
        let share = hash as f64 / u64::MAX as f64;
        let next = now + Self::SPREAD.min(interval).mul_f64(share);
        Clock { interval, next, first: interval.mul_f64(0.5 + share) }
    }

    /// Waits for the next tick.
    pub(in crate::collectors) async fn tick(&mut self) {
        sleep_until(self.take_next(Instant::now())).await;
    }

    /// The next tick that is not before `now`.
    fn take_next(&mut self, now: Instant) -> Instant {
        if self.next < now {
            let missed = now.duration_since(self.next).as_nanos().div_ceil(self.interval.as_nanos().max(1));
            self.next += self.interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
        }
        let due = self.next;
        self.next += std::mem::replace(&mut self.first, self.interval);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_spread_and_missed_ones_are_skipped() {
        let (start, interval) = (Instant::now(), Duration::from_secs(10));
        for (hash, expected) in [(0, [0, 5, 15, 45]), (u64::MAX, [1, 16, 26, 56])] {
            let mut clock = Clock::starting_at(start, interval, hash);
            let mut now = start;
            let ticks = [0, 0, 0, 21].map(|busy| {
                let due = clock.take_next(now + Duration::from_secs(busy));
                now = due;
                due.duration_since(start).as_secs()
            });
            assert_eq!(ticks, expected);
        }
    }
}
