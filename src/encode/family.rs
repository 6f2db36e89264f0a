//! Families: what Prometheus pulls.
//!
//! A collector names each family once, as a constant, and hands samples to a [`FamilyWriter`]. The writer sees to it
//! that a family's samples are contiguous under one head, that every series is there once, and that every name is
//! valid; whatever format the scrape wants, an encoder below writes it straight into the response's buffer.

pub use super::writer::{FamilyWriter, FreeSamples, Samples, Written};
use crate::host::Timestamp;

/// What a family's values mean: the exposition formats' types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that only grows, or starts again from zero.
    Counter,
    /// A value of the moment.
    Gauge,
    /// Not said: what node_exporter leaves untyped, Taffrail leaves untyped.
    Untyped,
    /// Observations in buckets: each metric is its samples `_bucket` in order, then `_sum` and `_count`.
    Histogram,
    /// Observations by quantile: each metric is its quantiles, then `_sum` and `_count`.
    Summary,
}

impl Kind {
    /// The type's name in text 0.0.4.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Untyped => "untyped",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// A sample's value. Integers stay exact as far as the format goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Unsigned(u64),
    /// A signed integer.
    Signed(i64),
    /// Any number, also one that is not finite.
    Float(f64),
}

impl Value {
    /// The nearest number that a format without integers has.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Unsigned(value) => value as f64,
            Value::Signed(value) => value as f64,
            Value::Float(value) => value,
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Unsigned(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Signed(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Unsigned(value.into())
    }
}

/// A family whose name is known when Taffrail is built, with its `LABELS` label names.
#[derive(Clone, Copy, Debug)]
pub struct Family<const LABELS: usize> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; LABELS],
}

impl<const LABELS: usize> Family<LABELS> {
    /// A counter. Its name ends in `_total`, but for a few that the field has always called otherwise; OpenMetrics, which
    /// would rename those, does not learn that they are counters.
    pub const fn counter(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Counter, help, labels }
    }

    /// A family whose type is not said, as node_exporter has it.
    pub const fn untyped(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Untyped, help, labels }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Gauge, help, labels }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The family as the documentation lists it.
    pub const fn info(&'static self) -> FamilyInfo {
        FamilyInfo { name: self.name, kind: self.kind, help: self.help, labels: &self.labels }
    }
}

/// Families without labels whose names the kernel makes: one per key of an open-ended file.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    pub(super) prefix: &'static str,
    pub(super) suffix: &'static str,
    pub(super) kind: Kind,
    /// What follows the key in the help text.
    pub(super) help: &'static str,
    documented_as: &'static str,
}

impl Pattern {
    /// Families called `prefix`, key, `suffix`; `documented_as` is how the documentation writes the name.
    pub const fn new(prefix: &'static str, suffix: &'static str, kind: Kind, documented_as: &'static str) -> Self {
        Pattern { prefix, suffix, kind, help: "", documented_as }
    }

    /// The same with a help text: the key, followed by `help`.
    pub const fn help(self, help: &'static str) -> Self {
        Pattern { help, ..self }
    }

    /// The families as the documentation lists them.
    pub const fn info(&'static self) -> FamilyInfo {
        FamilyInfo { name: self.documented_as, kind: self.kind, help: self.help, labels: &[] }
    }
}

/// A family, or a pattern of families, as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct FamilyInfo {
    /// The name; in a pattern a key stands as `KEY`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// What it says; of a pattern, what follows the key.
    pub help: &'static str,
    /// Its label names.
    pub labels: &'static [&'static str],
}

/// What writes families in one format.
pub trait FamilyEncoder {
    /// A family begins; at least one sample follows, and all of its samples do before the next family begins.
    fn begin(&mut self, name: &str, kind: Kind, help: &str);

    /// What follows are samples of this part of the family that was begun last, such as `_bucket`; of a whole family until
    /// this is said.
    fn part(&mut self, suffix: &'static str);

    /// A sample of the family that was begun last: `values` belong to `names`, one by one. `at` is its time, where that
    /// is not the time of the scrape.
    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>);

    /// As [`FamilyEncoder::begin`], of a name that text writes in quotes.
    fn begin_quoted(&mut self, name: &str, kind: Kind, help: &str) {
        self.begin(name, kind, help);
    }

    /// As [`FamilyEncoder::sample`], where text writes the family's name or that of a label in quotes.
    fn sample_quoted(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.sample(names, values, value, at);
    }

    /// The family that was begun last is complete.
    fn end(&mut self);

    /// Whether a counter's family goes without the `_total` of its samples, and so by a name that may be another's.
    fn names_counters_without_total(&self) -> bool {
        false
    }
}
