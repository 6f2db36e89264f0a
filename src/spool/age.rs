//! How long points have waited. What this process wrote is told by a clock that nobody sets; what was there before by
//! the time of day, which may be wrong when a machine starts, and is believed once it has gone on undisturbed for a while.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The start of 2020, in seconds of Unix. A clock that says less was never set.
const EARLIEST: i64 = 1_577_836_800;
/// How long a clock has to go on undisturbed, unless points wait for less.
const LONGEST_TRIAL: Duration = Duration::from_secs(3600);
/// So many seconds may the time of day and the time that has passed differ; more, and it was set.
const TOLERANCE: i64 = 30;

/// The time of day in seconds of Unix.
pub(super) fn time_of_day() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

/// When the oldest and the newest record of a segment came in, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Since the queue was opened.
    Here {
        /// The first.
        oldest: i64,
        /// The last.
        newest: i64,
    },
    /// By the time of day of an earlier process; nothing if its clock was never set.
    Before(Option<(i64, i64)>),
}

impl Written {
    /// Also a record of an earlier process that came in at `time`.
    pub(super) fn add(&mut self, time: i64) {
        if let Written::Before(times) = self
            && time >= EARLIEST
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
    /// Since when the time of day has gone on undisturbed, and what it was then.
    undisturbed: (Instant, i64),
}

impl Clock {
    /// Both clocks as they are now.
    pub(super) fn start() -> Clock {
        let now = Instant::now();
        Clock { opened: now, undisturbed: (now, time_of_day()) }
    }

    /// Seconds since the queue was opened.
    pub(super) fn now(&self) -> i64 {
        self.opened.elapsed().as_secs() as i64
    }

    /// How long the newest points have waited at the least, where they may wait for `bound`.
    pub(super) fn least_age(&mut self, written: Written, bound: Duration) -> Duration {
        self.least_age_at(Instant::now(), time_of_day(), written, bound)
    }

    fn least_age_at(&mut self, now: Instant, time_of_day: i64, written: Written, bound: Duration) -> Duration {
        let here = now.saturating_duration_since(self.opened).as_secs() as i64;
        let is_believed = self.is_believed(now, time_of_day, bound.min(LONGEST_TRIAL));
        seconds(match written {
            Written::Here { newest, .. } => here - newest,
            Written::Before(Some((_, newest))) if is_believed => here.max(time_of_day - newest),
            Written::Before(_) => here,
        })
    }

    fn is_believed(&mut self, now: Instant, time_of_day: i64, trial: Duration) -> bool {
        let (since, then) = self.undisturbed;
        let passed = now.saturating_duration_since(since);
        if (time_of_day - then - passed.as_secs() as i64).abs() > TOLERANCE {
            self.undisturbed = (now, time_of_day);
            return false;
        }
        passed >= trial && time_of_day >= EARLIEST
    }

    /// How long the oldest points have waited, about.
    pub(super) fn age(&self, written: Written) -> Duration {
        let (here, now) = (self.now(), time_of_day());
        seconds(match written {
            Written::Here { oldest, .. } => here - oldest,
            Written::Before(Some((oldest, _))) if now >= EARLIEST => here.max(now - oldest),
            Written::Before(_) => here,
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

    /// How old what was written at `newest` is after so many seconds, of a clock that said `first` at the start and says
    /// `then` now.
    fn after(passed: u64, first: i64, then: i64, newest: i64) -> i64 {
        let start = Instant::now();
        let mut clock = Clock { opened: start, undisturbed: (start, first) };
        let mut written = Written::Before(None);
        written.add(newest);
        clock.least_age_at(start + Duration::from_secs(passed), then, written, WEEK).as_secs() as i64
    }

    #[test]
    fn a_clock_that_goes_on_undisturbed_is_believed_after_a_while() {
        assert_eq!(after(10, NOW, NOW + 10, NOW - 30 * DAY), 10);
        assert_eq!(after(3600, NOW, NOW + 3600, NOW - 30 * DAY), 30 * DAY + 3600);
    }

    #[test]
    fn a_clock_that_was_wrong_makes_nothing_old() {
        // It said 2038 when the machine started, and is set right later; or the other way round.
        assert_eq!(after(3600, NOW + 4000 * DAY, NOW, NOW - DAY), 3600);
        assert_eq!(after(3600, NOW, NOW + 4000 * DAY, NOW - DAY), 3600);
        // It was never set, now or when the points were written.
        assert_eq!(after(7200, 0, 7200, NOW - DAY), 7200);
        assert_eq!(after(7200, NOW, NOW + 7200, 1000), 7200);
        // It is behind what was written.
        assert_eq!(after(7200, NOW, NOW + 7200, NOW + 30 * DAY), 7200);
    }

    #[test]
    fn after_it_was_set_it_is_believed_again() {
        let start = Instant::now();
        let mut clock = Clock { opened: start, undisturbed: (start, 0) };
        let written = Written::Before(Some((NOW - 30 * DAY, NOW - 30 * DAY)));
        let mut at =
            |passed: u64, time| clock.least_age_at(start + Duration::from_secs(passed), time, written, WEEK).as_secs();
        assert_eq!(at(60, NOW), 60);
        assert_eq!(at(3600, NOW + 3540), 3600);
        assert_eq!(at(3660, NOW + 3600), 30 * DAY as u64 + 3600);
    }
}
