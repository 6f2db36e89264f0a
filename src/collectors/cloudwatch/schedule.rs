//! When to fetch, and which range.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::id::Seconds;
use crate::config::{Key, Section};

/// When to fetch, and which range. All are multiples of the period, except the delay, and an interval that divides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The period of one data point.
    pub(super) period: Duration,
    /// The interval between requests. If it is shorter than the period, a metric is polled until its data point is
    /// published.
    pub(super) interval: Duration,
    /// The time between the end of a period and the request for its data point.
    pub(super) delay: Duration,
    /// The range of each request.
    pub(super) window: Duration,
    /// Maximum age of a data point that is exposed to Prometheus.
    pub(super) max_age: Duration,
}

pub(super) const PERIOD: Key<Duration> =
    Key::new("period", "\"5m\"", "Period of a data point: 1s, 5s, 10s, 30s or a multiple of a minute.");
pub(super) const INTERVAL: Key<Duration> = Key::optional(
    "interval",
    "Interval of requests; if absent, the period, but at most 1h. With a multiple of the period, one request returns several data points for the price of one. With a fraction of it, only data points that are not published yet are requested again.",
);
pub(super) const DELAY: Key<Duration> = Key::new(
    "delay",
    "\"2m\"",
    "How long after the end of its period a data point is requested. CloudWatch takes about two minutes to complete it.",
);
pub(super) const WINDOW: Key<Duration> = Key::optional(
    "window",
    "How far back each request reaches, which costs nothing and includes late and corrected data. If absent, at least 15m and three periods.",
);
pub(super) const MAX_AGE: Key<Duration> = Key::optional(
    "max_age",
    "Maximum age, in addition to the interval, of a data point that is exposed to Prometheus; two periods if absent.",
);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The minimum range of a request, unless configured.
const USUAL_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The times of a job as configured, from which the schedule of each period follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    period: Duration,
    interval: Option<Duration>,
    delay: Duration,
    window: Option<Duration>,
    max_age: Option<Duration>,
}

impl Times {
    /// The times in a job's section.
    pub(super) fn new(section: &mut Section<'_>) -> Times {
        let period = section.get(&PERIOD);
        Times {
            period: sound_period(section, period),
            interval: section.optional(&INTERVAL),
            delay: section.get(&DELAY),
            window: section.optional(&WINDOW),
            max_age: section.optional(&MAX_AGE),
        }
    }

    /// The schedule for `period`. All times are rounded up to multiples of it, and an interval to the usual one.
    pub(super) fn schedule(&self, period: Duration) -> Schedule {
        let multiple = |duration: Duration| period * (duration.as_secs().div_ceil(period.as_secs()).max(1) as u32);
        let interval = match self.interval.unwrap_or(usual_interval(self.period)) {
            given if period == self.period && is_multiple(period, given) => given,
            usual if usual < period => usual_interval(period),
            longer => multiple(longer),
        };
        let usual = USUAL_WINDOW.max(3 * period).max(interval + 2 * period);
        let window = multiple(self.window.unwrap_or(usual).max(interval));
        let max_age = multiple(self.max_age.unwrap_or(2 * period));
        Schedule { period, interval, delay: self.delay, window, max_age }
    }
}

/// Data of a day are published some hours after it.
fn usual_interval(period: Duration) -> Duration {
    if period > HOUR && is_multiple(period, HOUR) { HOUR } else { period }
}

/// The period, or a minute if CloudWatch does not have it.
pub(super) fn sound_period(section: &mut Section<'_>, period: Duration) -> Duration {
    let high_resolution = [1, 5, 10, 30].map(Duration::from_secs);
    if high_resolution.contains(&period) || is_multiple(period, MINUTE) {
        return period;
    }
    section.wrong("period", "expected 1s, 5s, 10s, 30s or a multiple of a minute");
    MINUTE
}

impl Schedule {
    /// The schedule in a job's section.
    pub(super) fn new(section: &mut Section<'_>, times: &Times) -> Schedule {
        let schedule = times.schedule(times.period);
        let given = [("interval", times.interval), ("window", times.window), ("max_age", times.max_age)];
        for (name, given) in given {
            let is_part = |given| name == "interval" && is_multiple(schedule.period, given);
            if given.is_some_and(|given| !is_multiple(given, schedule.period) && !is_part(given)) {
                let period = humantime::format_duration(schedule.period);
                section.wrong(name, format!("expected a multiple of the period, which is {period}"));
            }
        }
        if times.window.is_some_and(|window| window < schedule.interval) {
            section.wrong("window", "expected at least the interval, or data would be missed");
        }
        schedule
    }

    /// The end of the data that are due at `now`: the end of the last interval, or period if that is longer, that ended
    /// at least the delay ago.
    pub(super) fn due(&self, now: SystemTime) -> Seconds {
        self.last_end(self.spacing(), now)
    }

    /// The time between two data points, or between two requests for several of them.
    pub(super) fn spacing(&self) -> Duration {
        self.interval.max(self.period)
    }

    /// The end of the last interval that ended at least the delay ago.
    pub(super) fn tick(&self, now: SystemTime) -> Seconds {
        self.last_end(self.interval, now)
    }

    fn last_end(&self, step: Duration, now: SystemTime) -> Seconds {
        let over = since_epoch(now).saturating_sub(self.delay).as_secs() as Seconds;
        over - over.rem_euclid(step.as_secs() as Seconds)
    }

    /// How long CloudWatch retains data of the period.
    pub(super) fn retention(&self) -> Duration {
        const DAY: Duration = Duration::from_secs(86_400);
        match self.period {
            period if period < MINUTE => 3 * HOUR,
            period if period < 5 * MINUTE => 15 * DAY,
            period if period < HOUR => 63 * DAY,
            _ => 455 * DAY,
        }
    }

    /// Number of periods in a range.
    pub(super) fn periods(&self, range: &Range<Seconds>) -> usize {
        ((range.end - range.start).max(0) / self.period.as_secs() as Seconds) as usize
    }

    /// Whether metrics are polled until their data point is published.
    pub(super) fn polls(&self) -> bool {
        self.interval < self.period
    }

    /// How often a metric is billed, on average. Polling adapts to the time of publication: it takes about one request
    /// before, and one after it.
    pub(super) fn billing_interval(&self) -> Duration {
        if self.polls() { self.interval.max(self.period / 2) } else { self.interval }
    }

    /// The time from `now` until more data are due.
    pub(super) fn until_next(&self, now: SystemTime) -> Duration {
        let next = Duration::from_secs(self.tick(now) as u64) + self.interval + self.delay;
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
        let polling = Schedule { period: of(300), interval: of(60), ..schedule };
        assert_eq!((polling.due(at(3200)), polling.tick(at(3200))), (3000, 3060));
        assert_eq!(polling.until_next(at(3200)), of(40));
        assert_eq!((schedule.spacing(), polling.spacing()), (of(300), of(300)));
    }
}
