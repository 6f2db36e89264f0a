//! Age of points. Points of this process are timed by the monotonic clock. Points of earlier processes are timed by
//! the time of day, which may be wrong at boot and is trusted only after it has run undisturbed for a while.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The start of 2020, in Unix seconds. A clock before it was never set.
const MIN_TIME: i64 = 1_577_836_800;
/// How long a clock must run undisturbed before it is trusted; less if the age limit is shorter.
const MAX_TRIAL: Duration = Duration::from_secs(3600);
/// Seconds by which the wall clock may drift from the monotonic clock before it counts as set.
const TOLERANCE: i64 = 30;

/// The time of day in Unix seconds.
pub(super) fn time_of_day() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

/// Arrival times of the oldest and newest record of a segment, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Since the queue was opened.
    Here {
        /// The first.
        oldest: i64,
        /// The last.
        newest: i64,
    },
    /// By the wall clock of an earlier process; `None` if that clock was never set.
    Before(Option<(i64, i64)>),
}

impl Arrival {
    /// Adds a record of an earlier process that arrived at `time`.
    pub(super) fn add(&mut self, time: i64) {
        if let Arrival::Before(times) = self
            && time >= MIN_TIME
        {
            let (oldest, newest) = times.unwrap_or((time, time));
            *times = Some((oldest.min(time), newest.max(time)));
        }
    }
}

/// The clocks of a queue.
#[derive(Debug)]
pub(super) struct Clock {
    opened: Instant,
    /// When the undisturbed run of the wall clock began, and its value then.
    undisturbed: (Instant, i64),
}

impl Clock {
    /// Starts both clocks.
    pub(super) fn start() -> Clock {
        let now = Instant::now();
        Clock { opened: now, undisturbed: (now, time_of_day()) }
    }

    /// Seconds since the queue was opened.
    pub(super) fn now(&self) -> i64 {
        self.opened.elapsed().as_secs() as i64
    }

    /// Minimum age of the newest points, whose age limit is `limit`.
    pub(super) fn min_age(&mut self, written: Arrival, bound: Duration) -> Duration {
        self.min_age_at(Instant::now(), time_of_day(), written, bound)
    }

    fn min_age_at(&mut self, now: Instant, time_of_day: i64, written: Arrival, bound: Duration) -> Duration {
        let here = now.saturating_duration_since(self.opened).as_secs() as i64;
        let is_trusted = self.is_trusted(now, time_of_day, bound.min(MAX_TRIAL));
        seconds(match written {
            Arrival::Here { newest, .. } => here - newest,
            Arrival::Before(Some((_, newest))) if is_trusted => here.max(time_of_day - newest),
            Arrival::Before(_) => here,
        })
    }

    fn is_trusted(&mut self, now: Instant, time_of_day: i64, trial: Duration) -> bool {
        let (since, then) = self.undisturbed;
        let passed = now.saturating_duration_since(since);
        if (time_of_day - then - passed.as_secs() as i64).abs() > TOLERANCE {
            self.undisturbed = (now, time_of_day);
            return false;
        }
        passed >= trial && time_of_day >= MIN_TIME
    }

    /// Approximate age of the oldest points.
    pub(super) fn age(&self, written: Arrival) -> Duration {
        let (here, now) = (self.now(), time_of_day());
        seconds(match written {
            Arrival::Here { oldest, .. } => here - oldest,
            Arrival::Before(Some((oldest, _))) if now >= MIN_TIME => here.max(now - oldest),
            Arrival::Before(_) => here,
        })
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    const NOW: i64 = 1_800_000_000;

    /// Age of a record written at `newest`, `passed` seconds after startup, with a clock that read `first` then and
    /// reads `then` now.
    fn after(passed: u64, first: i64, then: i64, newest: i64) -> i64 {
        let start = Instant::now();
        let mut clock = Clock { opened: start, undisturbed: (start, first) };
        let mut written = Arrival::Before(None);
        written.add(newest);
        clock.min_age_at(start + Duration::from_secs(passed), then, written, WEEK).as_secs() as i64
    }

    #[test]
    fn a_clock_that_goes_on_undisturbed_is_believed_after_a_while() {
        assert_eq!(after(10, NOW, NOW + 10, NOW - 30 * DAY), 10);
        assert_eq!(after(3600, NOW, NOW + 3600, NOW - 30 * DAY), 30 * DAY + 3600);
    }

    #[test]
    fn a_clock_that_was_wrong_makes_nothing_old() {
        // The clock read 2038 at boot and is corrected later; or the other way round.
        assert_eq!(after(3600, NOW + 4000 * DAY, NOW, NOW - DAY), 3600);
        assert_eq!(after(3600, NOW, NOW + 4000 * DAY, NOW - DAY), 3600);
        // It was never set, either now or when the points were written.
        assert_eq!(after(7200, 0, 7200, NOW - DAY), 7200);
        assert_eq!(after(7200, NOW, NOW + 7200, 1000), 7200);
        // It is behind the recorded times.
        assert_eq!(after(7200, NOW, NOW + 7200, NOW + 30 * DAY), 7200);
    }

    #[test]
    fn after_it_was_set_it_is_believed_again() {
        let start = Instant::now();
        let mut clock = Clock { opened: start, undisturbed: (start, 0) };
        let written = Arrival::Before(Some((NOW - 30 * DAY, NOW - 30 * DAY)));
        let mut at =
            |passed: u64, time| clock.min_age_at(start + Duration::from_secs(passed), time, written, WEEK).as_secs();
        assert_eq!(at(60, NOW), 60);
        assert_eq!(at(3600, NOW + 3540), 3600);
        assert_eq!(at(3660, NOW + 3600), 30 * DAY as u64 + 3600);
    }
}
