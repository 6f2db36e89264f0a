//! When to ask, and for which time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::id::Seconds;
use crate::config::{Key, Section};

/// When to ask, and for which time. All are whole multiples of the period but the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// What one datum is of.
    pub(super) period: Duration,
    /// How often to ask.
    pub(super) interval: Duration,
    /// How long after a period's end its datum is asked for.
    pub(super) delay: Duration,
    /// How far back each request reaches.
    pub(super) window: Duration,
    /// How old a datum may be to be shown to Prometheus.
    pub(super) max_age: Duration,
}

pub(super) const PERIOD: Key<Duration> =
    Key::new("period", "\"5m\"", "What one datum is of: 1s, 5s, 10s, 30s or a multiple of a minute.");
pub(super) const INTERVAL: Key<Duration> = Key::optional(
    "interval",
    "How often to ask; the period if absent. A multiple of it brings several datums for the price of one.",
);
pub(super) const DELAY: Key<Duration> = Key::new(
    "delay",
    "\"2m\"",
    "How long after its period's end a datum is asked for. CloudWatch takes about two minutes to have it right.",
);
pub(super) const WINDOW: Key<Duration> = Key::optional(
    "window",
    "How far back each request reaches, which costs nothing: so late data come, and corrected ones. At least 15m and three periods if absent.",
);
pub(super) const MAX_AGE: Key<Duration> = Key::optional(
    "max_age",
    "How old the newest datum may be to be shown to Prometheus, beyond the interval; two periods if absent.",
);

const MINUTE: Duration = Duration::from_secs(60);
/// What a request reaches back at the least, unless told otherwise.
const USUAL_WINDOW: Duration = Duration::from_secs(15 * 60);

impl Schedule {
    /// The schedule in a job's section.
    pub(super) fn new(section: &mut Section<'_>) -> Schedule {
        let mut period = section.get(&PERIOD);
        let high_resolution = [1, 5, 10, 30].map(Duration::from_secs);
        if !high_resolution.contains(&period) && !is_multiple(period, MINUTE) {
            section.wrong("period", "expected 1s, 5s, 10s, 30s or a multiple of a minute");
            period = MINUTE;
        }
        let mut multiple = |key: &Key<Duration>, name: &str, default: Duration| {
            let given = section.optional(key).unwrap_or(default);
            if is_multiple(given, period) {
                return given;
            }
            let period = humantime::format_duration(period);
            section.wrong(name, format!("expected a multiple of the period, which is {period}"));
            default
        };
        let interval = multiple(&INTERVAL, "interval", period);
        let at_least = USUAL_WINDOW.max(3 * period).max(interval + 2 * period);
        let usual = period * (at_least.as_secs().div_ceil(period.as_secs()) as u32);
        let window = multiple(&WINDOW, "window", usual);
        let max_age = multiple(&MAX_AGE, "max_age", 2 * period);
        if window < interval {
            section.wrong("window", "expected at least the interval, or data would be missed");
        }
        Schedule { period, interval, delay: section.get(&DELAY), window, max_age }
    }

    /// Up to when data are due at `now`: the end of the last interval that is over for the delay.
    pub(super) fn due(&self, now: SystemTime) -> Seconds {
        let interval = self.interval.as_secs() as Seconds;
        let over = since_epoch(now).saturating_sub(self.delay).as_secs() as Seconds;
        over - over.rem_euclid(interval)
    }

    /// How long it is from `now` until more is due.
    pub(super) fn until_next(&self, now: SystemTime) -> Duration {
        let next = Duration::from_secs(self.due(now) as u64) + self.interval + self.delay;
        next.saturating_sub(since_epoch(now))
    }
}

fn is_multiple(duration: Duration, of: Duration) -> bool {
    !duration.is_zero() && duration.as_nanos().is_multiple_of(of.as_nanos())
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock.
pub(super) fn now() -> Seconds {
    since_epoch(SystemTime::now()).as_secs() as Seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_due_once_the_delay_is_over() {
        let of = |seconds: u64| Duration::from_secs(seconds);
        let schedule =
            Schedule { period: of(60), interval: of(300), delay: of(120), window: of(900), max_age: of(120) };
        let at = |seconds: u64| UNIX_EPOCH + of(seconds);
        assert_eq!((schedule.due(at(3000)), schedule.until_next(at(3000))), (2700, of(120)));
        assert_eq!((schedule.due(at(3119)), schedule.until_next(at(3119))), (2700, of(1)));
        assert_eq!((schedule.due(at(3120)), schedule.until_next(at(3120))), (3000, of(300)));
    }
}
