//! Series of Prometheus remote write. Each is encoded once, as a record of its own; a request is assembled from queued
//! records.
//!
//! A record is a sample: a field of `prometheus.WriteRequest` of prompb/remote.proto, so that concatenated records are
//! a request of remote write 1.0. Two fields may precede the sample: the creation time of the series, which 1.0 does
//! not have and [`record::first_version`] removes, and the metadata of its family, which does not count as a sample.
//! [`second_version`] converts records to a request of 2.0.

mod ended;
pub mod record;
pub mod second_version;
pub mod text;

use std::cmp::Ordering;
use std::mem;

pub use self::ended::Present;
use super::family::{self, FamilyEncoder, Value};
use super::lines::RecordWriter;
use super::parse::model::{Histogram, Kind, Measure, Metric};
use super::pushed::push_native;
use super::wire::{delimited_size, push_bytes, push_double, push_head, push_varint_field, put_bytes, put_head};
use crate::encode::Timestamp;

/// Field numbers of a record.
mod field {
    pub(super) const TIMESERIES: u8 = 1;
    pub(super) const METADATA: u8 = 3;
    /// Creation time of the following series. Not a field of `prometheus.WriteRequest`.
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

/// The value of a series that ended: the NaN that Prometheus recognizes as a stale marker.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Filters and renames series.
pub trait Rewrite: Send + Sync {
    /// The new name of a family; none if all of its series are filtered out.
    fn family(&self, name: &str) -> Option<String>;

    /// The new name and labels of a series; none if it is filtered out.
    fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)>;
}

/// Writes families as series with one timestamp.
pub struct SeriesEncoder<'a> {
    lines: &'a mut dyn RecordWriter,
    /// Labels of every series. Labels of the sample override them.
    external: &'a [(String, String)],
    rewrite: Option<&'a dyn Rewrite>,
    time: Timestamp,
    has_metadata: bool,
    /// Encoded metadata of the family, until its first series is written.
    metadata: Vec<u8>,
    name: String,
    /// Its length without the suffix of a part.
    family_length: usize,
    /// The series without times of their own.
    present: Present,
    /// For the sample that is being encoded.
    buffer: Vec<u8>,
}

/// Space for the labels of most series.
const USUAL_LABELS: usize = 16;

/// One sample of a series.
enum Sample<'s> {
    Number(f64),
    Native(&'s Histogram, Kind),
}

impl<'a> SeriesEncoder<'a> {
    /// An encoder that appends to `lines`, with the metadata of families if `has_metadata`.
    pub fn new(
        lines: &'a mut dyn RecordWriter,
        external: &'a [(String, String)],
        rewrite: Option<&'a dyn Rewrite>,
        time: Timestamp,
        has_metadata: bool,
    ) -> Self {
        SeriesEncoder {
            lines,
            external,
            rewrite,
            time,
            has_metadata,
            metadata: Vec::new(),
            name: String::new(),
            family_length: 0,
            present: Present::default(),
            buffer: Vec::new(),
        }
    }

    /// Writes a stale marker for each series that was `before` and was not written now. Returns those that were.
    /// Series whose samples have times of their own are left out: their source decides when they end.
    pub fn end_missing(self, before: &Present) -> Present {
        before.each_missing_in(&self.present, |labels| {
            let (mut series, mut message) = (labels.to_vec(), Vec::new());
            push_double(&mut message, field::SAMPLE_VALUE, STALE);
            push_varint_field(&mut message, field::SAMPLE_TIMESTAMP, self.time.milliseconds() as u64);
            push_bytes(&mut series, field::SERIES_SAMPLE, &message);
            let mut record = Vec::new();
            push_bytes(&mut record, field::TIMESERIES, &series);
            self.lines.push(&record);
        });
        self.present
    }

    /// Sets the type and help text of a family. They are written with its first series, or not at all.
    pub fn metadata(&mut self, name: &str, kind: Kind, help: &str) {
        self.metadata.clear();
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
        push_bytes(&mut self.metadata, field::METADATA, &metadata);
    }

    /// Writes the series of a pushed metric: the samples of the text format, and a native histogram.
    pub fn metric(&mut self, name: &str, kind: Kind, labels: &[(&str, &str)], metric: &Metric<'_>) {
        let at = metric.timestamp.map(|milliseconds| Timestamp(milliseconds.saturating_mul(1_000_000)));
        let created = metric.created.map(|seconds| (seconds * 1e3) as i64);
        metric.measure.samples(&mut |suffix, more, value| {
            let bound = more.map(|(label, bound)| (label, super::number::go_float(bound)));
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
        let mut all: Vec<(&str, &str)> = Vec::with_capacity(USUAL_LABELS);
        labels.for_each(|label| all.push(label));
        for (name, value) in self.external {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name, value));
            }
        }
        // An empty label counts as missing, but still overrides an external one.
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
        all.sort_unstable_by(|(one, _), (other, _)| compare(one, other));
        let time = at.unwrap_or(self.time).milliseconds() as u64;
        let message = &mut self.buffer;
        message.clear();
        let field = match sample {
            Sample::Number(value) => {
                push_double(message, field::SAMPLE_VALUE, *value);
                push_varint_field(message, field::SAMPLE_TIMESTAMP, time);
                field::SERIES_SAMPLE
            }
            Sample::Native(histogram, kind) => {
                push_histogram(message, histogram, *kind, time);
                field::SERIES_HISTOGRAM
            }
        };
        let record = self.lines.open();
        if let Some(created) = created.filter(|created| *created > 0) {
            push_varint_field(record, field::CREATED, created as u64);
        }
        record.append(&mut self.metadata);
        let labels_size: usize = all.iter().map(|label| delimited_size(label_size(label))).sum();
        push_head(record, field::TIMESERIES, labels_size + delimited_size(message.len()));
        let start = record.len();
        record.resize(start + labels_size, 0);
        let mut rest = &mut record[start..];
        for label @ (name, value) in &all {
            rest = put_head(rest, field::SERIES_LABEL, label_size(label));
            rest = put_bytes(rest, field::LABEL_NAME, name.as_bytes());
            rest = put_bytes(rest, field::LABEL_VALUE, value.as_bytes());
        }
        if at.is_none() && matches!(sample, Sample::Number(_)) {
            self.present.add(&record[start..]);
        }
        push_bytes(record, field, message);
        self.lines.close();
    }
}

/// The size of `prometheus.Label`.
fn label_size((name, value): &(&str, &str)) -> usize {
    delimited_size(name.len()) + delimited_size(value.len())
}

/// The order of label names. Most differ in their first byte.
fn compare(one: &str, other: &str) -> Ordering {
    one.as_bytes().first().cmp(&other.as_bytes().first()).then_with(|| one.cmp(other))
}

/// The number of the type in `prometheus.MetricMetadata`, and in remote write 2.0.
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

/// `prometheus.Histogram`, which is the same in 2.0.
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
        let name = mem::take(&mut self.name);
        let labels = names.iter().copied().zip(values.iter().copied());
        self.put(&name, labels, &Sample::Number(value.as_f64()), at, None);
        self.name = name;
    }

    fn native(&mut self, names: &[&str], values: &[&str], native: family::Native<'_>, at: Option<Timestamp>) -> bool {
        let (name, (histogram, kind)) = (mem::take(&mut self.name), native);
        let labels = names.iter().copied().zip(values.iter().copied());
        self.put(&name[..self.family_length], labels, &Sample::Native(histogram, kind), at, None);
        self.name = name;
        true
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::lines::Lines;
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
        encoder.metadata("without_series", Kind::Gauge, "Never written.");
        assert_eq!(lines.count(), 2, "metadata does not count as a sample");
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
