//! Delimited protobuf: length-prefixed `io.prometheus.client.MetricFamily` messages of prometheus/client_model.

use super::drain::{CHUNK, Drain, Whole};
use super::family::{FamilyEncoder, Kind, Native, Value};
use super::parse::model::{Measure, Metric};
use super::pushed::push_metric_with;
use super::wire::{
    FIXED64, LENGTH_DELIMITED, VARINT, delimited_size, key, push_bytes, push_double, push_varint, push_varint_field,
};
use crate::encode::Timestamp;

/// Field numbers of the messages.
mod field {
    pub(super) const FAMILY_NAME: u8 = 1;
    pub(super) const FAMILY_HELP: u8 = 2;
    pub(super) const FAMILY_TYPE: u8 = 3;
    pub(super) const FAMILY_METRIC: u8 = 4;
    pub(super) const METRIC_LABEL: u8 = 1;
    pub(super) const METRIC_GAUGE: u8 = 2;
    pub(super) const METRIC_COUNTER: u8 = 3;
    pub(super) const METRIC_SUMMARY: u8 = 4;
    pub(super) const METRIC_UNTYPED: u8 = 5;
    pub(super) const METRIC_TIMESTAMP: u8 = 6;
    pub(super) const METRIC_HISTOGRAM: u8 = 7;
    pub(super) const LABEL_NAME: u8 = 1;
    pub(super) const LABEL_VALUE: u8 = 2;
    pub(super) const VALUE: u8 = 1;
    /// Of histograms and of summaries.
    pub(super) const COUNT: u8 = 1;
    pub(super) const SUM: u8 = 2;
    pub(super) const PART: u8 = 3;
    pub(super) const BUCKET_COUNT: u8 = 1;
    pub(super) const BUCKET_BOUND: u8 = 2;
    pub(super) const QUANTILE: u8 = 1;
    pub(super) const QUANTILE_VALUE: u8 = 2;
}

/// Writes families as delimited protobuf.
#[derive(Debug)]
pub struct ProtobufEncoder<D = Whole> {
    out: Vec<u8>,
    drain: D,
    /// The message of the open family. Its length precedes it, so it is buffered.
    family: Vec<u8>,
    metric: Vec<u8>,
    value_field: u8,
    /// The histogram or summary that is being assembled from its samples.
    compound: Compound,
}

/// A histogram or summary, assembled from its samples so far.
#[derive(Debug, Default)]
struct Compound {
    /// The part of the next sample: `_bucket`, `_sum`, `_count`, or empty.
    suffix: &'static str,
    /// Its encoded labels, without `le` or `quantile`.
    labels: Vec<u8>,
    message: Vec<u8>,
}

impl ProtobufEncoder {
    /// An encoder that appends to `out`.
    pub fn new(out: Vec<u8>) -> Self {
        ProtobufEncoder::draining(out, Whole)
    }
}

impl<D: Drain> ProtobufEncoder<D> {
    /// An encoder that appends to `out`, which `drain` empties from time to time.
    pub fn draining(out: Vec<u8>, drain: D) -> Self {
        let value_field = field::METRIC_UNTYPED;
        let compound = Compound::default();
        ProtobufEncoder { out, drain, family: Vec::new(), metric: Vec::new(), value_field, compound }
    }

    /// The remainder of the exposition that was not drained.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

impl<D: Drain> FamilyEncoder for ProtobufEncoder<D> {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let (type_number, value_field) = match kind {
            Kind::Counter => (0, field::METRIC_COUNTER),
            Kind::Gauge => (1, field::METRIC_GAUGE),
            Kind::Untyped => (3, field::METRIC_UNTYPED),
            Kind::Summary => (2, field::METRIC_SUMMARY),
            Kind::Histogram => (4, field::METRIC_HISTOGRAM),
        };
        self.value_field = value_field;
        self.compound = Compound::default();
        self.family.clear();
        push_bytes(&mut self.family, field::FAMILY_NAME, name.as_bytes());
        push_bytes(&mut self.family, field::FAMILY_HELP, help.as_bytes());
        self.family.push(key(field::FAMILY_TYPE, VARINT));
        self.family.push(type_number);
    }

    fn part(&mut self, suffix: &'static str) {
        self.compound.suffix = suffix;
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        if [field::METRIC_SUMMARY, field::METRIC_HISTOGRAM].contains(&self.value_field) {
            return self.compound_sample(names, values, value.as_f64());
        }
        self.metric.clear();
        push_labels(&mut self.metric, names, values);
        const KEY_AND_DOUBLE: u8 = 9;
        self.metric.extend_from_slice(&[key(self.value_field, LENGTH_DELIMITED), KEY_AND_DOUBLE]);
        self.metric.push(key(field::VALUE, FIXED64));
        self.metric.extend_from_slice(&value.as_f64().to_le_bytes());
        if let Some(at) = at {
            self.metric.push(key(field::METRIC_TIMESTAMP, VARINT));
            push_varint(&mut self.metric, at.milliseconds() as u64);
        }
        push_bytes(&mut self.family, field::FAMILY_METRIC, &self.metric);
    }

    fn native(&mut self, names: &[&str], values: &[&str], native: Native<'_>, at: Option<Timestamp>) -> bool {
        self.end_compound();
        let (histogram, kind) = native;
        let measure = Measure::Histogram(Box::new(histogram.clone()));
        let timestamp = at.map(Timestamp::milliseconds);
        let metric = Metric { labels: Vec::new(), measure, timestamp, created: None };
        push_metric_with(&mut self.family, kind, &metric, names.iter().copied().zip(values.iter().copied()));
        true
    }

    fn end(&mut self) {
        self.end_compound();
        push_varint(&mut self.out, self.family.len() as u64);
        self.out.extend_from_slice(&self.family);
        if self.out.len() >= CHUNK {
            self.drain.drain(&mut self.out);
        }
    }
}

impl<D: Drain> ProtobufEncoder<D> {
    /// Adds a sample of a histogram or summary. Other labels than those of the last sample complete the previous
    /// metric.
    fn compound_sample(&mut self, names: &[&str], values: &[&str], value: f64) {
        let bound_label = if self.value_field == field::METRIC_HISTOGRAM { "le" } else { "quantile" };
        let bound_index = names.iter().position(|name| *name == bound_label);
        let bound = bound_index.and_then(|index| values[index].parse::<f64>().ok());
        let mut labels = std::mem::take(&mut self.metric);
        labels.clear();
        for index in (0..names.len()).filter(|index| Some(*index) != bound_index) {
            push_labels(&mut labels, &names[index..=index], &values[index..=index]);
        }
        if labels != self.compound.labels {
            self.end_compound();
            self.compound.labels.clone_from(&labels);
        }
        self.metric = labels;
        let message = &mut self.compound.message;
        let mut part = Vec::new();
        match (self.compound.suffix, bound) {
            ("_bucket", Some(bound)) => {
                push_varint_field(&mut part, field::BUCKET_COUNT, value as u64);
                push_double(&mut part, field::BUCKET_BOUND, bound);
                push_bytes(message, field::PART, &part);
            }
            ("_sum", _) => push_double(message, field::SUM, value),
            ("_count", _) => push_varint_field(message, field::COUNT, value as u64),
            (_, Some(quantile)) => {
                push_double(&mut part, field::QUANTILE, quantile);
                push_double(&mut part, field::QUANTILE_VALUE, value);
                push_bytes(message, field::PART, &part);
            }
            _ => {}
        }
    }

    fn end_compound(&mut self) {
        let Compound { labels, message, .. } = &mut self.compound;
        if message.is_empty() {
            return;
        }
        let mut metric = std::mem::take(labels);
        push_bytes(&mut metric, self.value_field, message);
        push_bytes(&mut self.family, field::FAMILY_METRIC, &metric);
        message.clear();
    }
}

fn push_labels(out: &mut Vec<u8>, names: &[&str], values: &[&str]) {
    for (name, label) in names.iter().zip(values) {
        let length = delimited_size(name.len()) + delimited_size(label.len());
        out.push(key(field::METRIC_LABEL, LENGTH_DELIMITED));
        push_varint(out, length as u64);
        push_bytes(out, field::LABEL_NAME, name.as_bytes());
        push_bytes(out, field::LABEL_VALUE, label.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::FamilyWriter;
    use crate::encode::parse::{Format, Limits, parse};

    #[test]
    fn a_histogram_and_a_summary_are_put_together_of_their_samples() {
        let mut encoder = ProtobufEncoder::new(Vec::new());
        let mut out = FamilyWriter::new(&mut encoder);
        let labels = |of: &[(&str, &str)]| -> Vec<(String, String)> {
            of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut took = out.free_family("took", Kind::Histogram, "Took.");
        for (job, count) in [("a", 3.0), ("b", 5.0)] {
            took.part_sample("_bucket", &labels(&[("job", job), ("le", "0.5")]), 1.0, None);
            took.part_sample("_bucket", &labels(&[("job", job), ("le", "+Inf")]), count, None);
            took.part_sample("_sum", &labels(&[("job", job)]), 7.5, None);
            took.part_sample("_count", &labels(&[("job", job)]), count, None);
        }
        drop(took);
        let mut size = out.free_family("size", Kind::Summary, "Size.");
        size.part_sample("", &labels(&[("quantile", "0.9")]), 100.0, None);
        size.part_sample("_sum", &[], 1000.0, None);
        size.part_sample("_count", &[], 12.0, None);
        drop(size);
        drop(out);
        let written = encoder.finish();
        let read = parse(Format::Protobuf, &written, &Limits::default()).unwrap();
        let metrics: Vec<String> = read
            .families
            .iter()
            .flat_map(|family| family.metrics.iter().map(move |metric| format!("{} {:?}", family.name, metric.measure)))
            .collect();
        assert_eq!(metrics.len(), 3, "{metrics:#?}");
        let mut samples = Vec::new();
        for family in &read.families {
            for metric in &family.metrics {
                metric.measure.samples(&mut |suffix, bound, value| {
                    samples.push(format!("{}{suffix} {bound:?} {value}", family.name));
                });
            }
        }
        assert_eq!(
            samples[..4],
            [
                "took_bucket Some((\"le\", 0.5)) 1",
                "took_bucket Some((\"le\", inf)) 3",
                "took_sum None 7.5",
                "took_count None 3",
            ]
        );
        assert_eq!(samples[8..], ["size Some((\"quantile\", 0.9)) 100", "size_sum None 1000", "size_count None 12"]);
    }
}
