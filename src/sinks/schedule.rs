//! `[agent]` and `[tags]`: when push sinks read and write, and the tags of every point.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backoff::random_up_to;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::Timestamp;
use crate::host::Host;
use crate::spool;

/// When a sink reads and writes, and the tags of its points. From `[agent]`, unless the sink overrides them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time between readings.
    pub interval: Duration,
    /// Whether readings fall on multiples of the interval.
    pub round_interval: bool,
    /// The longest random delay of a reading.
    pub collection_jitter: Duration,
    /// Time between writes.
    pub flush_interval: Duration,
    /// The longest random delay of a write.
    pub flush_jitter: Duration,
    /// The most points in a write.
    pub metric_batch_size: usize,
    /// The tags of every point, including `host`.
    pub tags: BTreeMap<String, String>,
    /// Where points are persisted.
    pub spool: spool::Settings,
}

const INTERVAL: Key<Duration> = Key::new("interval", "\"10s\"", "Time between readings for push sinks.");
const ROUND_INTERVAL: Key<bool> =
    Key::new("round_interval", "true", "Read at multiples of the interval: at :00, :10, :20 with \"10s\".");
const COLLECTION_JITTER: Key<Duration> = Key::new(
    "collection_jitter",
    "\"0s\"",
    "Delay each reading by a random time up to this, so that many hosts do not read at once.",
);
const FLUSH_INTERVAL: Key<Duration> =
    Key::new("flush_interval", "\"10s\"", "Time between writes; a full batch is written at once.");
const FLUSH_JITTER: Key<Duration> = Key::new(
    "flush_jitter",
    "\"0s\"",
    "Delay each write by a random time up to this, so that many hosts do not write at once.",
);
const METRIC_BATCH_SIZE: Key<usize> = Key::new("metric_batch_size", "1000", "Maximum number of points in a write.");
const HOSTNAME: Key<String> =
    Key::new("hostname", "\"\"", "Value of the tag `host` of every point; the host name if empty.");

/// The settings of `[agent]`.
pub const KEYS: &[KeyInfo] = &[
    INTERVAL.info(),
    ROUND_INTERVAL.info(),
    COLLECTION_JITTER.info(),
    FLUSH_INTERVAL.info(),
    FLUSH_JITTER.info(),
    METRIC_BATCH_SIZE.info(),
    HOSTNAME.info(),
];

impl Schedule {
    /// The settings in `[agent]`. Every point has `tags`, and the host name unless they include it.
    pub fn new(
        section: &mut Section<'_>,
        mut tags: BTreeMap<String, String>,
        spool: spool::Settings,
        host: &Host,
    ) -> Self {
        let hostname = section.get(&HOSTNAME);
        let hostname = if hostname.is_empty() { host.kernel.hostname() } else { hostname };
        tags.entry("host".to_owned()).or_insert(hostname);
        Schedule {
            interval: section.above_zero(&INTERVAL),
            round_interval: section.get(&ROUND_INTERVAL),
            collection_jitter: section.get(&COLLECTION_JITTER),
            flush_interval: section.above_zero(&FLUSH_INTERVAL),
            flush_jitter: section.get(&FLUSH_JITTER),
            metric_batch_size: section.get(&METRIC_BATCH_SIZE),
            tags,
            spool,
        }
    }

    /// The unit that timestamps are rounded to. As in Telegraf, it depends on the interval.
    pub fn precision(&self) -> Duration {
        let units = [Duration::from_secs(1), Duration::from_millis(1), Duration::from_micros(1)];
        units.into_iter().find(|unit| self.interval >= *unit).unwrap_or(Duration::from_nanos(1))
    }

    /// The time from `now` to the next reading.
    pub fn until_next_tick(&self, now: Timestamp) -> Duration {
        let interval = self.interval;
        let until_tick = if self.round_interval {
            let nanoseconds = interval.as_nanos().max(1) as i64;
            Duration::from_nanos((nanoseconds - now.0.rem_euclid(nanoseconds)).unsigned_abs())
        } else {
            interval
        };
        until_tick + random_up_to(self.collection_jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(interval: Duration) -> Schedule {
        Schedule {
            interval,
            round_interval: true,
            collection_jitter: Duration::ZERO,
            flush_interval: interval,
            flush_jitter: Duration::ZERO,
            metric_batch_size: 1,
            tags: BTreeMap::new(),
            spool: spool::Settings::default(),
        }
    }

    #[test]
    fn ticks_fall_on_multiples_of_the_interval() {
        let ten = schedule(Duration::from_secs(10));
        assert_eq!(ten.until_next_tick(Timestamp(1_003_500_000_000)), Duration::from_millis(6500));
        assert_eq!(ten.until_next_tick(Timestamp(1_000_000_000_000)), Duration::from_secs(10));
    }

    #[test]
    fn jitter_puts_a_tick_off_and_never_forward() {
        let mut jittered = schedule(Duration::from_secs(10));
        jittered.collection_jitter = Duration::from_secs(2);
        for _ in 0..100 {
            let wait = jittered.until_next_tick(Timestamp(0));
            assert!(wait >= Duration::from_secs(10) && wait <= Duration::from_secs(12), "{wait:?}");
        }
    }

    #[test]
    fn precision_follows_from_the_interval() {
        let of = |interval| schedule(interval).precision();
        assert_eq!(of(Duration::from_secs(10)), Duration::from_secs(1));
        assert_eq!(of(Duration::from_millis(500)), Duration::from_millis(1));
        assert_eq!(of(Duration::from_nanos(10)), Duration::from_nanos(1));
    }
}
