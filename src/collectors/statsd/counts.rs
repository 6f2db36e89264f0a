//! What the collector counts about itself, under the names of statsd_exporter.

use crate::encode::family::{FamilyInfo, Kind};
use crate::encode::parse::statsd::Refusal;
use crate::encode::{Family, FamilyWriter};

use super::mapping::MetricKind;

/// Counts since the start, and current numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) lines: u64,
    pub(super) samples: u64,
    /// In the order of [`Refusal::ALL`].
    pub(super) sample_errors: [u64; Refusal::ALL.len()],
    pub(super) tags: u64,
    pub(super) tag_errors: u64,
    pub(super) udp_packets: u64,
    pub(super) udp_drops: u64,
    pub(super) unix_packets: u64,
    pub(super) connections: u64,
    pub(super) connection_errors: u64,
    pub(super) long_lines: u64,
    /// Of counters, gauges and observers.
    pub(super) events: [u64; 3],
    pub(super) conflicts: [u64; 3],
    pub(super) unmapped: u64,
    pub(super) mapped: u64,
    pub(super) dropped: u64,
    pub(super) negative_counters: u64,
    pub(super) empty_names: u64,
    /// In the order of [`Limit::ALL`].
    pub(super) refused: [u64; Limit::ALL.len()],
    /// Successful and failed ones.
    pub(super) reloads: [u64; 2],
    pub(super) dropped_points: u64,
    pub(super) numbers: Numbers,
}

/// Current numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub(super) mappings: usize,
    /// Counters, gauges, histograms and summaries.
    pub(super) families: [usize; 4],
    pub(super) series: usize,
    pub(super) point_series: usize,
    pub(super) values: usize,
    pub(super) connections: usize,
}

/// A setting that bounds what clients can make Taffrail retain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Limit {
    Metrics,
    Values,
    Tags,
    NameLength,
    Connections,
}

impl Limit {
    pub(super) const ALL: [Limit; 5] =
        [Limit::Metrics, Limit::Values, Limit::Tags, Limit::NameLength, Limit::Connections];

    /// The name of the setting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Limit::Metrics => "max_metrics",
            Limit::Values => "max_values",
            Limit::Tags => "max_tags",
            Limit::NameLength => "max_name_length",
            Limit::Connections => "max_connections",
        }
    }
}

/// The types of families that statsd_exporter counts.
pub(super) const FAMILY_KINDS: [Kind; 4] = [Kind::Counter, Kind::Gauge, Kind::Histogram, Kind::Summary];
const EVENTS: [&str; 3] = ["counter", "gauge", "observer"];

/// The index of a type in the counts of events.
pub(super) fn event(kind: MetricKind) -> usize {
    match kind {
        MetricKind::Counter => 0,
        MetricKind::Gauge => 1,
        MetricKind::Observer => 2,
    }
}

type ValueOf = fn(&Counts) -> u64;

const PLAIN: [(Family<0>, ValueOf); 17] = [
    (Family::counter("statsd_exporter_lines_total", "Lines received", []), |counts| counts.lines),
    (Family::counter("statsd_exporter_samples_total", "Samples received", []), |counts| counts.samples),
    (Family::counter("statsd_exporter_tags_total", "Samples with tags", []), |counts| counts.tags),
    (Family::counter("statsd_exporter_tag_errors_total", "Tags without a name or a value", []), |counts| {
        counts.tag_errors
    }),
    (Family::counter("statsd_exporter_udp_packets_total", "UDP packets received", []), |counts| counts.udp_packets),
    (
        Family::counter(
            "statsd_exporter_udp_packet_drops_total",
            "UDP packets that the kernel dropped, as the socket's buffer was full",
            [],
        ),
        |counts| counts.udp_drops,
    ),
    (Family::counter("statsd_exporter_unixgram_packets_total", "Unix datagrams received", []), |counts| {
        counts.unix_packets
    }),
    (Family::counter("statsd_exporter_tcp_connections_total", "Connections accepted", []), |counts| counts.connections),
    (
        Family::counter(
            "statsd_exporter_tcp_connection_errors_total",
            "Connections that failed, or were one too many",
            [],
        ),
        |counts| counts.connection_errors,
    ),
    (Family::counter("statsd_exporter_tcp_too_long_lines_total", "Lines longer than max_line_length", []), |counts| {
        counts.long_lines
    }),
    (Family::counter("statsd_exporter_events_unmapped_total", "Events that no mapping matches", []), |counts| {
        counts.unmapped
    }),
    (Family::gauge("statsd_exporter_loaded_mappings", "Mappings in use", []), |counts| counts.numbers.mappings as u64),
    (Family::gauge("taffrail_statsd_series", "Series of families", []), |counts| counts.numbers.series as u64),
    (Family::gauge("taffrail_statsd_point_series", "Series of points", []), |counts| {
        counts.numbers.point_series as u64
    }),
    (
        Family::gauge("taffrail_statsd_retained_values", "Values retained for quantiles, percentiles and sets", []),
        |counts| counts.numbers.values as u64,
    ),
    (Family::gauge("taffrail_statsd_connections", "Open connections", []), |counts| counts.numbers.connections as u64),
    (
        Family::counter("taffrail_statsd_dropped_points_total", "Points dropped because a sink did not read them", []),
        |counts| counts.dropped_points,
    ),
];

const SAMPLE_ERRORS: Family<1> = Family::counter("statsd_exporter_sample_errors_total", "Samples refused", ["reason"]);
const EVENTS_TOTAL: Family<1> =
    Family::counter("statsd_exporter_events_total", "Events that changed a family", ["type"]);
const CONFLICTS: Family<1> = Family::counter(
    "statsd_exporter_events_conflict_total",
    "Events refused because of the name of a family of another type",
    ["type"],
);
const ERRORS: Family<1> =
    Family::counter("statsd_exporter_events_error_total", "Events refused because of an error", ["reason"]);
const ACTIONS: Family<1> =
    Family::counter("statsd_exporter_events_actions_total", "Events that a mapping matches", ["action"]);
const METRICS: Family<1> = Family::gauge("statsd_exporter_metrics_total", "Families", ["type"]);
const RELOADS: Family<1> =
    Family::counter("statsd_exporter_config_reloads_total", "Readings of a changed mapping file", ["outcome"]);
const REFUSED: Family<1> =
    Family::counter("taffrail_statsd_refused_total", "Samples and connections refused by a limit", ["setting"]);

/// The documentation.
pub(super) const FAMILIES: [FamilyInfo; PLAIN.len() + 8] = crate::encode::infos::concat(&[
    &crate::encode::infos::infos!(PLAIN.0),
    &[
        SAMPLE_ERRORS.info(),
        EVENTS_TOTAL.info(),
        CONFLICTS.info(),
        ERRORS.info(),
        ACTIONS.info(),
        METRICS.info(),
        RELOADS.info(),
        REFUSED.info(),
    ],
]);

impl Counts {
    pub(super) fn write(&self, out: &mut FamilyWriter<'_>) {
        for (family, value) in &PLAIN {
            out.value(family, value(self));
        }
        let errors = Refusal::ALL.iter().zip(self.sample_errors).filter(|(_, count)| *count > 0);
        write(&SAMPLE_ERRORS, errors.map(|(reason, count)| (reason.name(), count)), out);
        write(&EVENTS_TOTAL, EVENTS.into_iter().zip(self.events), out);
        write(&CONFLICTS, EVENTS.into_iter().zip(self.conflicts), out);
        let errors = [("illegal_negative_counter", self.negative_counters), ("empty_metric_name", self.empty_names)];
        write(&ERRORS, errors, out);
        write(&ACTIONS, [("map", self.mapped), ("drop", self.dropped)], out);
        let families = FAMILY_KINDS.iter().zip(self.numbers.families);
        write(&METRICS, families.map(|(kind, count)| (kind.name(), count as u64)), out);
        write(&RELOADS, ["success", "failure"].into_iter().zip(self.reloads), out);
        write(&REFUSED, Limit::ALL.iter().map(|limit| limit.name()).zip(self.refused), out);
    }
}

fn write<'l>(family: &Family<1>, samples: impl IntoIterator<Item = (&'l str, u64)>, out: &mut FamilyWriter<'_>) {
    let mut written = out.family(family);
    for (label, count) in samples {
        written.sample([label], count);
    }
}

/// Whether a family has one of these names.
pub(super) fn is_own(name: &str) -> bool {
    FAMILIES.iter().any(|family| family.name == name)
}
