//! Series of Prometheus's remote write, each encoded once, alone, so that a request is put together of those that wait.
//!
//! What waits is a record: a field of `prometheus.WriteRequest` of prompb/remote.proto, remote write 1.0's request, whose
//! records one after the other are a request. What 1.0 has no room for, when a series began, stands before its series as
//! a field that [`first_version`] leaves out; [`second_version`] makes a request of 2.0 of the same records.

pub mod first_version;
pub mod record;
pub mod second_version;
pub mod text;

use super::family::{self, FamilyEncoder, Value};
use super::parse::model::{Histogram, Kind, Measure, Metric};
use super::point::Lines;
use super::pushed::push_native;
use super::wire::{push_bytes, push_double, push_varint_field};
use crate::host::Timestamp;

/// The fields of a record.
mod field {
    pub(super) const TIMESERIES: u8 = 1;
    pub(super) const METADATA: u8 = 3;
    /// None of `prometheus.WriteRequest`'s: when the series behind it began.
    pub(super) const CREATED: u8 = 15;
    pub(super) const SERIES_LABEL: u8 = 1;
    pub(super) const SERIES_SAMPLE: u8 = 2;
    pub(super) const SERIES_HISTOGRAM: u8 = 4;
    pub(super) const LABEL_NAME: u8 = 1;
    pub(super) const LABEL_VALUE: u8 = 2;
    pub(super) const SAMPLE_VALUE: u8 = 1;
    pub(super) const SAMPLE_TIMESTAMP: u8 = 2;
    pub(super) const HISTOGRAM_COUNT: u8 = 1;
    pub(super) const HISTOGRAM_COUNT_FLOAT: u8 = 2;
    pub(super) const HISTOGRAM_SUM: u8 = 3;
    pub(super) const HISTOGRAM_SCHEMA: u8 = 4;
    pub(super) const HISTOGRAM_RESET_HINT: u8 = 14;
    pub(super) const HISTOGRAM_TIMESTAMP: u8 = 15;
    pub(super) const METADATA_TYPE: u8 = 1;
    pub(super) const METADATA_NAME: u8 = 2;
    pub(super) const METADATA_HELP: u8 = 4;
}

/// What is left of series, and under which names.
pub trait Rewrite: Send + Sync {
    /// What a family is called; nothing if none of its series is left.
    fn family(&self, name: &str) -> Option<String>;

    /// A series' name and labels; nothing if it is not left.
    fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)>;
}

/// Writes families as series of one moment.
pub struct SeriesEncoder<'a> {
    lines: &'a mut Lines,
    /// Labels of every series, which one of the sample's own of the same name wins over.
    external: &'a [(String, String)],
    rewrite: Option<&'a dyn Rewrite>,
    time: Timestamp,
    has_metadata: bool,
    name: String,
    /// How long it is without the suffix of a part.
    family_length: usize,
}

/// What a series says at one moment.
enum Sample<'s> {
    Number(f64),
    Native(&'s Histogram, Kind),
}

impl<'a> SeriesEncoder<'a> {
    /// An encoder that appends to `lines`; `has_metadata` says whether families' types and help texts go with them.
    pub fn new(
        lines: &'a mut Lines,
        external: &'a [(String, String)],
        rewrite: Option<&'a dyn Rewrite>,
        time: Timestamp,
        has_metadata: bool,
    ) -> Self {
        SeriesEncoder { lines, external, rewrite, time, has_metadata, name: String::new(), family_length: 0 }
    }

    /// Writes a family's type and help text.
    pub fn metadata(&mut self, name: &str, kind: Kind, help: &str) {
        let name = match self.rewrite {
            None => name.to_owned(),
            Some(rewrite) => match rewrite.family(name) {
                Some(name) => name,
                None => return,
            },
        };
        let mut metadata = Vec::with_capacity(128);
        push_varint_field(&mut metadata, field::METADATA_TYPE, type_number(kind));
        push_bytes(&mut metadata, field::METADATA_NAME, name.as_bytes());
        push_bytes(&mut metadata, field::METADATA_HELP, help.as_bytes());
        self.push(field::METADATA, &metadata, None);
    }

    /// Writes the series of a metric that somebody pushed: those of the text format, and a native histogram's.
    pub fn metric(&mut self, name: &str, kind: Kind, labels: &[(&str, &str)], metric: &Metric<'_>) {
        let at = metric.timestamp.map(|milliseconds| Timestamp(milliseconds.saturating_mul(1_000_000)));
        let created = metric.created.map(|seconds| (seconds * 1e3) as i64);
        metric.measure.samples(&mut |suffix, more, value| {
            let bound = more.map(|(label, bound)| (label, super::pushed::go_float(bound)));
            let more = bound.iter().map(|(label, bound)| (*label, bound.as_str()));
            let labels = labels.iter().copied().chain(more);
            self.put(&format!("{name}{suffix}"), labels, &Sample::Number(value), at, created);
        });
        if let Measure::Histogram(histogram) = &metric.measure
            && histogram.native.is_some()
        {
            self.put(name, labels.iter().copied(), &Sample::Native(histogram, kind), at, created);
        }
    }

    fn put<'l>(
        &mut self,
        name: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        sample: &Sample<'_>,
        at: Option<Timestamp>,
        created: Option<i64>,
    ) {
        let mut all: Vec<(&str, &str)> = labels.collect();
        for (name, value) in self.external {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name, value));
            }
        }
        // A label without a value is none; but where it stands, no other does.
        all.retain(|(_, value)| !value.is_empty());
        match self.rewrite {
            None => self.write(name, all, sample, at, created),
            Some(rewrite) => {
                if let Some((name, labels)) = rewrite.series(name, &all) {
                    let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    self.write(&name, labels, sample, at, created);
                }
            }
        }
    }

    fn write<'l>(
        &mut self,
        name: &'l str,
        mut all: Vec<(&'l str, &'l str)>,
        sample: &Sample<'_>,
        at: Option<Timestamp>,
        created: Option<i64>,
    ) {
        all.push(("__name__", name));
        all.sort_unstable();
        let mut series = Vec::with_capacity(256);
        let mut message = Vec::with_capacity(64);
        for (name, value) in all {
            message.clear();
            push_bytes(&mut message, field::LABEL_NAME, name.as_bytes());
            push_bytes(&mut message, field::LABEL_VALUE, value.as_bytes());
            push_bytes(&mut series, field::SERIES_LABEL, &message);
        }
        message.clear();
        let time = at.unwrap_or(self.time).milliseconds() as u64;
        match sample {
            Sample::Number(value) => {
                push_double(&mut message, field::SAMPLE_VALUE, *value);
                push_varint_field(&mut message, field::SAMPLE_TIMESTAMP, time);
                push_bytes(&mut series, field::SERIES_SAMPLE, &message);
            }
            Sample::Native(histogram, kind) => {
                push_histogram(&mut message, histogram, *kind, time);
                push_bytes(&mut series, field::SERIES_HISTOGRAM, &message);
            }
        }
        self.push(field::TIMESERIES, &series, created);
    }

    fn push(&mut self, field: u8, message: &[u8], created: Option<i64>) {
        let mut whole = Vec::with_capacity(message.len() + 16);
        if let Some(created) = created.filter(|created| *created > 0) {
            push_varint_field(&mut whole, field::CREATED, created as u64);
        }
        push_bytes(&mut whole, field, message);
        self.lines.push(&whole);
    }
}

/// The type's number in `prometheus.MetricMetadata` and in remote write 2.0, where it is the same.
fn type_number(kind: Kind) -> u64 {
    match kind {
        Kind::Untyped => 0,
        Kind::Counter => 1,
        Kind::Gauge => 2,
        Kind::Histogram => 3,
        Kind::GaugeHistogram => 4,
        Kind::Summary => 5,
        Kind::Info => 6,
        Kind::StateSet => 7,
    }
}

/// `prometheus.Histogram`, which 2.0 has too.
fn push_histogram(out: &mut Vec<u8>, histogram: &Histogram, kind: Kind, time: u64) {
    const IS_GAUGE: u64 = 3;
    let Some(native) = &histogram.native else { return };
    match native.is_float {
        true => push_double(out, field::HISTOGRAM_COUNT_FLOAT, histogram.count),
        false => push_varint_field(out, field::HISTOGRAM_COUNT, histogram.count as u64),
    }
    push_double(out, field::HISTOGRAM_SUM, histogram.sum);
    push_native(out, native, field::HISTOGRAM_SCHEMA);
    if kind == Kind::GaugeHistogram {
        push_varint_field(out, field::HISTOGRAM_RESET_HINT, IS_GAUGE);
    }
    push_varint_field(out, field::HISTOGRAM_TIMESTAMP, time);
}

impl FamilyEncoder for SeriesEncoder<'_> {
    fn begin(&mut self, name: &str, kind: family::Kind, help: &str) {
        name.clone_into(&mut self.name);
        if self.has_metadata {
            let kind = match kind {
                family::Kind::Untyped => Kind::Untyped,
                family::Kind::Counter => Kind::Counter,
                family::Kind::Gauge => Kind::Gauge,
                family::Kind::Histogram => Kind::Histogram,
                family::Kind::Summary => Kind::Summary,
            };
            self.metadata(name, kind, help);
        }
        self.family_length = name.len();
    }

    fn part(&mut self, suffix: &'static str) {
        self.name.truncate(self.family_length);
        self.name.push_str(suffix);
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        let name = std::mem::take(&mut self.name);
        let labels = names.iter().copied().zip(values.iter().copied());
        self.put(&name, labels, &Sample::Number(value.as_f64()), at, None);
        self.name = name;
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Family, FamilyWriter};

    #[derive(prost::Message)]
    struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        metadata: Vec<Metadata>,
    }

    #[derive(prost::Message)]
    struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
    }

    #[derive(prost::Message)]
    struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    #[derive(prost::Message)]
    struct Sample {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }

    #[derive(prost::Message)]
    struct Metadata {
        #[prost(int32, tag = "1")]
        kind: i32,
        #[prost(string, tag = "2")]
        name: String,
        #[prost(string, tag = "4")]
        help: String,
    }

    const LOAD: Family<0> = Family::gauge("node_load1", "Load.", []);
    const CPU: Family<2> = Family::counter("node_cpu_seconds_total", "Seconds.", ["cpu", "mode"]);

    #[test]
    fn what_waits_makes_a_request_in_any_number() {
        let external = [("instance".to_owned(), "web-1".to_owned()), ("cpu".to_owned(), "none".to_owned())];
        let mut lines = Lines::default();
        let mut encoder = SeriesEncoder::new(&mut lines, &external, None, Timestamp(1_500_000_000), true);
        let mut out = FamilyWriter::new(&mut encoder);
        out.value(&LOAD, 0.5);
        out.family(&CPU).sample(["0", "idle"], 7u64);
        drop(out);
        assert_eq!(lines.count(), 4, "two series, and two of metadata");
        let request: WriteRequest = prost::Message::decode(lines.bytes()).unwrap();
        let labels = |series: &TimeSeries| -> Vec<(String, String)> {
            series.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect()
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            labels(&request.timeseries[0]),
            pairs(&[("__name__", "node_load1"), ("cpu", "none"), ("instance", "web-1")])
        );
        assert_eq!(
            labels(&request.timeseries[1]),
            pairs(&[("__name__", "node_cpu_seconds_total"), ("cpu", "0"), ("instance", "web-1"), ("mode", "idle")])
        );
        let samples: Vec<(f64, i64)> =
            request.timeseries.iter().map(|series| (series.samples[0].value, series.samples[0].timestamp)).collect();
        assert_eq!(samples, [(0.5, 1500), (7.0, 1500)]);
        let metadata: Vec<(i32, &str, &str)> =
            request.metadata.iter().map(|m| (m.kind, m.name.as_str(), m.help.as_str())).collect();
        assert_eq!(metadata, [(2, "node_load1", "Load."), (1, "node_cpu_seconds_total", "Seconds.")]);
    }
}
