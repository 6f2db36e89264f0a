//! `[collectors.statsd]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::templates::Templates;
use crate::config::setting::{ByteSize, FileMode};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::parse::statsd::Dialects;

/// What the collector is configured to do.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) listen: Vec<Address>,
    pub(super) socket_mode: u32,
    pub(super) mapping_file: Option<PathBuf>,
    pub(super) flush_interval: Duration,
    pub(super) max_connections: usize,
    pub(super) receive_buffer: usize,
    pub(super) dialects: Dialects,
    pub(super) has_container_id: bool,
    pub(super) limits: Limits,
    pub(super) expire_after: Duration,
    pub(super) points: PointSettings,
}

/// Bounds of what clients can make it retain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Series of each vocabulary.
    pub(super) metrics: usize,
    /// Values for quantiles, percentiles and sets, of all series together.
    pub(super) values: usize,
    /// Bytes of a line.
    pub(super) line: usize,
    /// Bytes of a name and its tags.
    pub(super) name: usize,
    /// Tags of a sample.
    pub(super) tags: usize,
}

/// What applies to points alone.
#[derive(Clone, Debug)]
pub(super) struct PointSettings {
    pub(super) deletes: Deletes,
    /// Percentiles, by the names of their fields.
    pub(super) percentiles: Vec<(String, f64)>,
    pub(super) percentile_limit: usize,
    pub(super) templates: Templates,
    pub(super) float_counters: bool,
    pub(super) float_timings: bool,
    pub(super) float_sets: bool,
    pub(super) distributions: bool,
}

/// Which values start anew at each interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deletes {
    pub(super) gauges: bool,
    pub(super) counters: bool,
    pub(super) sets: bool,
    pub(super) timings: bool,
}

/// The key that turns the collector on.
pub(super) const LISTEN: Key<Vec<Address>> = Key::optional(
    "listen",
    "Where to listen: udp://HOST:PORT, tcp://HOST:PORT, unixgram:///PATH or unix:///PATH. If enabled without it, at udp://127.0.0.1:8125.",
);
const SOCKET_MODE: Key<FileMode> = Key::new("socket_mode", "\"0660\"", "Permissions of Unix sockets, in octal.");
const MAPPING_FILE: Key<PathBuf> = Key::optional(
    "mapping_file",
    "A mapping file of statsd_exporter, in YAML. It is read again when it changes, and applies to families.",
);
const FLUSH_INTERVAL: Key<Duration> =
    Key::new("flush_interval", "\"10s\"", "The interval over which points are aggregated.");
const EXPIRE_AFTER: Key<Duration> = Key::new(
    "expire_after",
    "\"1h\"",
    "How long a series is exposed after its last sample, unless its mapping has a ttl. \"0s\" is forever.",
);
const TAG_FORMATS: Key<Vec<String>> = Key::new(
    "tag_formats",
    "[\"dogstatsd\", \"influxdb\", \"librato\", \"signalfx\"]",
    "The forms of tags that are read.",
);
const CONTAINER_ID: Key<bool> = Key::new(
    "container_id",
    "false",
    "Adds the container of a dogstatsd client as label `container_id` and tag `container`. Each container has series of its own.",
);
const MAX_METRICS: Key<usize> = Key::new(
    "max_metrics",
    "10000",
    "Series that are retained for families, and as many for points; further ones are refused.",
);
const MAX_VALUES: Key<usize> = Key::new(
    "max_values",
    "500000",
    "Members of sets and values for quantiles and percentiles that are retained, in all series together.",
);
const MAX_LINE_LENGTH: Key<usize> = Key::new("max_line_length", "4096", "Bytes of a line; a longer one is refused.");
const MAX_NAME_LENGTH: Key<usize> =
    Key::new("max_name_length", "1024", "Bytes of a name and its tags; a sample with more is refused.");
const MAX_TAGS: Key<usize> = Key::new("max_tags", "64", "Tags of a sample; one with more is refused.");
const MAX_CONNECTIONS: Key<usize> = Key::new(
    "max_connections",
    "250",
    "Connections by tcp and unix in all. A further one replaces the one that has been idle longest, if for a minute, or is closed.",
);
const RECEIVE_BUFFER: Key<ByteSize> = Key::new(
    "receive_buffer",
    "\"4MiB\"",
    "Size of the kernel's buffer of each datagram socket. The sysctl net.core.rmem_max limits it.",
);
const PERCENTILES: Key<Vec<f64>> =
    Key::new("percentiles", "[]", "Percentiles of timers in points: 90 is the field 90_percentile.");
const PERCENTILE_LIMIT: Key<usize> = Key::new(
    "percentile_limit",
    "1000",
    "Values of a timer that are retained in an interval for its median and percentiles; of more, a random sample.",
);
const METRIC_SEPARATOR: Key<String> = Key::new("metric_separator", "\"_\"", "Joins the parts of a measurement's name.");
const TEMPLATES: Key<Vec<String>> =
    Key::new("templates", "[]", "Telegraf's templates: how the parts of a name become measurement, field and tags.");
const DELETE_GAUGES: Key<bool> =
    Key::new("delete_gauges", "true", "Pushes a gauge only in intervals in which it was set.");
const DELETE_COUNTERS: Key<bool> =
    Key::new("delete_counters", "true", "Starts counters in points at 0 in each interval.");
const DELETE_SETS: Key<bool> = Key::new("delete_sets", "true", "Empties sets in each interval.");
const DELETE_TIMINGS: Key<bool> = Key::new("delete_timings", "true", "Starts timers in points anew in each interval.");
const FLOAT_COUNTERS: Key<bool> = Key::new("float_counters", "false", "Counters in points are floats.");
const FLOAT_TIMINGS: Key<bool> = Key::new("float_timings", "false", "The field count of timers is a float.");
const FLOAT_SETS: Key<bool> = Key::new("float_sets", "false", "Sets in points are floats.");
const DISTRIBUTIONS: Key<bool> = Key::new(
    "distributions",
    "false",
    "Pushes each value of a distribution as a point. Otherwise it is only in families.",
);

/// The documentation.
pub(super) const KEYS: &[KeyInfo] = &[
    LISTEN.info(),
    SOCKET_MODE.info(),
    MAPPING_FILE.info(),
    EXPIRE_AFTER.info(),
    TAG_FORMATS.info(),
    CONTAINER_ID.info(),
    MAX_METRICS.info(),
    MAX_VALUES.info(),
    MAX_LINE_LENGTH.info(),
    MAX_NAME_LENGTH.info(),
    MAX_TAGS.info(),
    MAX_CONNECTIONS.info(),
    RECEIVE_BUFFER.info(),
    FLUSH_INTERVAL.info(),
    PERCENTILES.info(),
    PERCENTILE_LIMIT.info(),
    METRIC_SEPARATOR.info(),
    TEMPLATES.info(),
    DELETE_GAUGES.info(),
    DELETE_COUNTERS.info(),
    DELETE_SETS.info(),
    DELETE_TIMINGS.info(),
    FLOAT_COUNTERS.info(),
    FLOAT_TIMINGS.info(),
    FLOAT_SETS.info(),
    DISTRIBUTIONS.info(),
];

impl Settings {
    pub(super) fn new(section: &mut Section<'_>) -> Settings {
        let listen = section.optional(&LISTEN).unwrap_or_else(|| vec![Address::default()]);
        for (index, address) in listen.iter().enumerate() {
            if let Some(other) = listen[..index].iter().position(|other| other.overlaps(address)) {
                let message = format!("{address} is configured twice: listen[{other}] is {}", listen[other]);
                section.wrong_element("listen", index, message);
            }
        }
        Settings {
            listen,
            socket_mode: section.get(&SOCKET_MODE).0,
            mapping_file: section.optional(&MAPPING_FILE),
            flush_interval: section.above_zero(&FLUSH_INTERVAL),
            max_connections: section.get(&MAX_CONNECTIONS),
            receive_buffer: section.get(&RECEIVE_BUFFER).0,
            dialects: dialects(section),
            has_container_id: section.get(&CONTAINER_ID),
            limits: Limits {
                metrics: section.get(&MAX_METRICS),
                values: section.get(&MAX_VALUES),
                line: section.get(&MAX_LINE_LENGTH),
                name: section.get(&MAX_NAME_LENGTH),
                tags: section.get(&MAX_TAGS),
            },
            expire_after: section.get(&EXPIRE_AFTER),
            points: PointSettings::new(section),
        }
    }
}

fn dialects(section: &mut Section<'_>) -> Dialects {
    let formats = section.some_of(&TAG_FORMATS, &["dogstatsd", "influxdb", "librato", "signalfx"]);
    let has = |name: &str| formats.iter().any(|format| format == name);
    Dialects {
        dogstatsd: has("dogstatsd"),
        influxdb: has("influxdb"),
        librato: has("librato"),
        signalfx: has("signalfx"),
    }
}

impl PointSettings {
    fn new(section: &mut Section<'_>) -> PointSettings {
        let separator = section.get(&METRIC_SEPARATOR);
        let mut templates = Templates::new(&separator);
        for (index, template) in section.get(&TEMPLATES).iter().enumerate() {
            if let Err(error) = templates.push(template) {
                section.wrong_element("templates", index, error);
            }
        }
        let percentiles: BTreeMap<String, f64> = section
            .get(&PERCENTILES)
            .into_iter()
            .map(|percentile| (format!("{percentile}_percentile"), percentile))
            .collect();
        if !percentiles.values().all(|percentile| (0.0..=100.0).contains(percentile)) {
            section.wrong("percentiles", "expected numbers from 0 to 100");
        }
        PointSettings {
            deletes: Deletes {
                gauges: section.get(&DELETE_GAUGES),
                counters: section.get(&DELETE_COUNTERS),
                sets: section.get(&DELETE_SETS),
                timings: section.get(&DELETE_TIMINGS),
            },
            percentiles: percentiles.into_iter().collect(),
            percentile_limit: section.get(&PERCENTILE_LIMIT),
            templates,
            float_counters: section.get(&FLOAT_COUNTERS),
            float_timings: section.get(&FLOAT_TIMINGS),
            float_sets: section.get(&FLOAT_SETS),
            distributions: section.get(&DISTRIBUTIONS),
        }
    }
}
