//! What all push sinks can be told: when to read and write, how much may wait, and when to try again.

use std::time::Duration;

use super::filter::Filter;
use super::schedule::Schedule;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};

/// How a sink delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What the sink is called in metrics, the log and the spool.
    pub name: String,
    /// When to read, when to write, and what every point carries.
    pub schedule: Schedule,
    /// What is sent of what is measured.
    pub filter: Filter,
    /// How many bytes of points may wait in memory.
    pub buffer_size: usize,
    /// The first pause after a failed write; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest pause after a failed write.
    pub retry_max: Duration,
    /// The pause after the server refused credentials or does not know the database.
    pub refused_retry: Duration,
}

pub(super) const NAME: Key<String> = Key::optional(
    "name",
    "What the sink is called in metrics, the log and the spool; made of where it sends to if absent.",
);
pub(super) const INTERVAL: Key<Duration> =
    Key::optional("interval", "Time between readings for this sink, instead of the agent's.");
pub(super) const FLUSH_INTERVAL: Key<Duration> =
    Key::optional("flush_interval", "Time between writes, instead of the agent's.");
pub(super) const FLUSH_JITTER: Key<Duration> =
    Key::optional("flush_jitter", "Jitter of the writes, instead of the agent's.");
pub(super) const METRIC_BATCH_SIZE: Key<usize> =
    Key::optional("metric_batch_size", "Points in a write, at the most, instead of the agent's.");
pub(super) const BUFFER_SIZE: Key<ByteSize> = Key::new(
    "buffer_size",
    "\"8MiB\"",
    "How much may wait in memory: without a spool, or while its disk takes nothing. When it is full, the oldest points are dropped, and counted.",
);
pub(super) const RETRY_MIN: Key<Duration> =
    Key::new("retry_min", "\"1s\"", "The first pause after a failed write; each further one is twice as long.");
pub(super) const RETRY_MAX: Key<Duration> = Key::new("retry_max", "\"1m\"", "The longest pause after a failed write.");
pub(super) const REFUSED_RETRY: Key<Duration> = Key::new(
    "refused_retry",
    "\"1m\"",
    "The pause after the server refused the credentials or does not know the database; the points are kept.",
);

/// The settings of every sink, but for its name.
pub(super) const KEYS: [KeyInfo; 7] = [
    INTERVAL.info(),
    FLUSH_INTERVAL.info(),
    FLUSH_JITTER.info(),
    METRIC_BATCH_SIZE.info(),
    BUFFER_SIZE.info(),
    RETRY_MIN.info(),
    RETRY_MAX.info(),
];

impl Delivery {
    /// The settings in a sink's section, over those of the agent.
    pub(super) fn new(section: &mut Section<'_>, default_name: String, common: &Schedule) -> Delivery {
        let mut tags = common.tags.clone();
        tags.extend(section.table("tags").strings());
        let schedule = Schedule {
            interval: section.optional(&INTERVAL).filter(|interval| !interval.is_zero()).unwrap_or(common.interval),
            flush_interval: section.optional(&FLUSH_INTERVAL).unwrap_or(common.flush_interval),
            flush_jitter: section.optional(&FLUSH_JITTER).unwrap_or(common.flush_jitter),
            metric_batch_size: section.optional(&METRIC_BATCH_SIZE).unwrap_or(common.metric_batch_size),
            tags,
            ..common.clone()
        };
        Delivery {
            name: section.optional(&NAME).unwrap_or(default_name),
            schedule,
            filter: Filter::new(section),
            buffer_size: section.get(&BUFFER_SIZE).0,
            retry_min: section.above_zero(&RETRY_MIN),
            retry_max: section.above_zero(&RETRY_MAX),
            refused_retry: section.above_zero(&REFUSED_RETRY),
        }
    }
}
