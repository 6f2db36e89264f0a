//! The settings that all push sinks share: when to read and write, how much to queue, and when to retry.

use std::time::Duration;

use super::form::{Form, PointForm, PointFormat};
use super::schedule::Schedule;
use crate::collectors::filter::{self, Filter};
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section, TableInfo};
use crate::encode::tags::CommonTags;

/// The delivery settings of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The sink's name in metrics, the log and the spool.
    pub name: String,
    /// When to read and to write, and the tags of every point.
    pub schedule: Schedule,
    /// Selects and renames points.
    pub filter: Filter,
    /// The limit of points in memory, in bytes.
    pub buffer_size: usize,
    /// The first pause after a failed write; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest pause after a failed write.
    pub retry_max: Duration,
    /// The pause after the server refused credentials or does not know the database.
    pub refused_retry: Duration,
}

const NAME: Key<String> = Key::optional(
    "name",
    "Name of the sink in metrics, the log and the spool; derived from its destination if absent.",
);
const INTERVAL: Key<Duration> =
    Key::optional("interval", "Time between readings for this sink, instead of the agent's.");
const FLUSH_INTERVAL: Key<Duration> = Key::optional("flush_interval", "Time between writes, instead of the agent's.");
const FLUSH_JITTER: Key<Duration> = Key::optional("flush_jitter", "Jitter of the writes, instead of the agent's.");
const METRIC_BATCH_SIZE: Key<usize> =
    Key::optional("metric_batch_size", "Maximum number of points in a write, instead of the agent's.");
const BUFFER_SIZE: Key<ByteSize> = Key::new(
    "buffer_size",
    "\"8MiB\"",
    "Limit of points in memory: without a spool, or while its disk accepts nothing. Over the limit, the oldest points are dropped and counted.",
);
const RETRY_MIN: Key<Duration> =
    Key::new("retry_min", "\"1s\"", "The first pause after a failed write; each further one is twice as long.");
const RETRY_MAX: Key<Duration> = Key::new("retry_max", "\"1m\"", "The longest pause after a failed write.");
const REFUSED_RETRY: Key<Duration> = Key::new(
    "refused_retry",
    "\"1m\"",
    "The pause after the server has rejected the credentials or does not know the database. The points are kept.",
);

/// The settings of every sink.
pub(crate) const KEYS: &[KeyInfo] = &[
    NAME.info(),
    INTERVAL.info(),
    FLUSH_INTERVAL.info(),
    FLUSH_JITTER.info(),
    METRIC_BATCH_SIZE.info(),
    BUFFER_SIZE.info(),
    RETRY_MIN.info(),
    RETRY_MAX.info(),
    REFUSED_RETRY.info(),
];
/// The table of tags.
pub(crate) const TAGS: TableInfo = TableInfo::open(
    "tags",
    "Tags of every point of this sink, in addition to `[tags]`; labels of series, dimensions in CloudWatch.",
);

impl Delivery {
    /// The settings in a sink's section, over those of the agent.
    pub(super) fn new(section: &mut Section<'_>, default_name: String, common: &Schedule) -> Delivery {
        let mut tags = common.tags.clone();
        tags.extend(filter::tags(section.table(TAGS.name)));
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

    /// The form of a sink of points in `format`.
    pub(super) fn points(&self, format: impl PointFormat + 'static) -> Form {
        Form::Points(PointForm::new(CommonTags::new(&self.schedule.tags), &self.filter, format))
    }
}
