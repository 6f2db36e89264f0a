//! Delimited protobuf: `io.prometheus.client.MetricFamily` of prometheus/client_model, each behind its length.

use super::drain::{CHUNK, Drain, Whole};
use super::family::{FamilyEncoder, Kind, Value};
use super::wire::{FIXED64, LENGTH_DELIMITED, VARINT, delimited_size, key, push_bytes, push_varint};
use crate::host::Timestamp;

/// The fields of the messages that are written.
mod field {
    pub(super) const FAMILY_NAME: u8 = 1;
    pub(super) const FAMILY_HELP: u8 = 2;
    pub(super) const FAMILY_TYPE: u8 = 3;
    pub(super) const FAMILY_METRIC: u8 = 4;
    pub(super) const METRIC_LABEL: u8 = 1;
    pub(super) const METRIC_GAUGE: u8 = 2;
    pub(super) const METRIC_COUNTER: u8 = 3;
    pub(super) const METRIC_UNTYPED: u8 = 5;
    pub(super) const METRIC_TIMESTAMP: u8 = 6;
    pub(super) const LABEL_NAME: u8 = 1;
    pub(super) const LABEL_VALUE: u8 = 2;
    pub(super) const VALUE: u8 = 1;
}

/// Writes families as delimited protobuf.
#[derive(Debug)]
pub struct ProtobufEncoder<D = Whole> {
    out: Vec<u8>,
    drain: D,
    /// The open family's message, whose length is known when it is complete.
    family: Vec<u8>,
    metric: Vec<u8>,
    value_field: u8,
}

impl ProtobufEncoder {
    /// An encoder that appends to `out`.
    pub fn new(out: Vec<u8>) -> Self {
        ProtobufEncoder { out, ..ProtobufEncoder::draining(Whole) }
    }
}

impl<D: Drain> ProtobufEncoder<D> {
    /// An encoder whose exposition `drain` takes as it is written.
    pub fn draining(drain: D) -> Self {
        let value_field = field::METRIC_UNTYPED;
        ProtobufEncoder { out: Vec::new(), drain, family: Vec::new(), metric: Vec::new(), value_field }
    }

    /// What is left of the exposition: all of it, unless it was drained.
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
        };
        self.value_field = value_field;
        self.family.clear();
        push_bytes(&mut self.family, field::FAMILY_NAME, name.as_bytes());
        push_bytes(&mut self.family, field::FAMILY_HELP, help.as_bytes());
        self.family.push(key(field::FAMILY_TYPE, VARINT));
        self.family.push(type_number);
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.metric.clear();
        for (name, label) in names.iter().zip(values) {
            let length = delimited_size(name.len()) + delimited_size(label.len());
            self.metric.push(key(field::METRIC_LABEL, LENGTH_DELIMITED));
            push_varint(&mut self.metric, length as u64);
            push_bytes(&mut self.metric, field::LABEL_NAME, name.as_bytes());
            push_bytes(&mut self.metric, field::LABEL_VALUE, label.as_bytes());
        }
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

    fn end(&mut self) {
        push_varint(&mut self.out, self.family.len() as u64);
        self.out.extend_from_slice(&self.family);
        if self.out.len() >= CHUNK {
            self.drain.take(&mut self.out);
        }
    }
}
