//! Families: the data model of Prometheus.
//!
//! A collector defines each family once, as a constant, and passes samples to a [`FamilyWriter`]. The writer ensures
//! that the samples of a family are contiguous under one header, that every series is unique, and that every name is
//! valid. An encoder writes the requested format directly into the response's buffer.

use super::parse;
use super::parse::model::Histogram;
pub use super::writer::{FamilyWriter, ForeignFamilies, FreeSamples, Limit, OpenFamily, Samples, Written};
use crate::encode::Timestamp;

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that only increases, or resets to zero.
    Counter,
    /// A value that can go up and down.
    Gauge,
    /// No type, as in node_exporter.
    Untyped,
    /// Observations in buckets. The samples of each metric are `_bucket` in order, then `_sum` and `_count`.
    Histogram,
    /// Observations by quantile. The samples of each metric are its quantiles, then `_sum` and `_count`.
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

    /// Whether it has samples with several names.
    pub fn is_compound(self) -> bool {
        matches!(self, Kind::Histogram | Kind::Summary)
    }

    /// Whether samples of a family of the `other` type can be in a family of this one.
    pub fn goes_with(self, other: Kind) -> bool {
        self == other || !self.is_compound() && !other.is_compound()
    }
}

/// The value of a sample. Integers stay exact if the format allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Unsigned(u64),
    /// A signed integer.
    Signed(i64),
    /// Any number, finite or not.
    Float(f64),
}

impl Value {
    /// The nearest float.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Unsigned(value) => value as f64,
            Value::Signed(value) => value as f64,
            Value::Float(value) => value,
        }
    }

    /// The product of a count and the size of its unit: exact up to 2^64-1, above it the nearest float.
    pub fn product(count: u64, unit: u64) -> Value {
        count.checked_mul(unit).map_or_else(|| Value::Float(count as f64 * unit as f64), Value::Unsigned)
    }
}

/// Exact from `i64::MIN` to `u64::MAX`.
impl From<i128> for Value {
    fn from(value: i128) -> Self {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => Value::Unsigned(value),
            (_, Ok(value)) => Value::Signed(value),
            _ => Value::Float(value as f64),
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

/// A family with a compile-time name and `LABELS` label names.
#[derive(Clone, Copy, Debug)]
pub struct Family<const LABELS: usize> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; LABELS],
}

impl<const LABELS: usize> Family<LABELS> {
    /// A counter. Its name ends with `_total`, with a few historical exceptions; OpenMetrics would rename those, so it
    /// gets them as `unknown`.
    pub const fn counter(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Counter, help, labels }
    }

    /// A family without a type, as in node_exporter.
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

/// Families without labels, named after keys from the kernel: one per key of an open-ended file.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    pub(super) prefix: &'static str,
    pub(super) suffix: &'static str,
    pub(super) kind: Kind,
    /// The part of the help text after the key.
    pub(super) help: &'static str,
    documented_as: &'static str,
}

impl Pattern {
    /// Families named `prefix`, key, `suffix`. The documentation lists them as `documented_as`.
    pub const fn new(prefix: &'static str, suffix: &'static str, kind: Kind, documented_as: &'static str) -> Self {
        Pattern { prefix, suffix, kind, help: "", documented_as }
    }

    /// The pattern with a help text: the key, followed by `help`.
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
    /// The name. In a pattern, `KEY` stands for the key.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The help text; of a pattern, the part after the key.
    pub help: &'static str,
    /// Its label names.
    pub labels: &'static [&'static str],
}

/// A native histogram, and the type of its family on the page that it comes from.
pub type Native<'h> = (&'h Histogram, parse::model::Kind);

/// Encodes families in one format.
pub trait FamilyEncoder {
    /// Begins a family. At least one sample follows. All samples of a family precede the next one.
    fn begin(&mut self, name: &str, kind: Kind, help: &str);

    /// Begins a part of the open family, such as `_bucket`. Samples before it have no suffix.
    fn part(&mut self, suffix: &'static str);

    /// A sample of the open family, with label `names` and their `values`. `at` is its timestamp; none for the time of
    /// the scrape.
    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>);

    /// As [`FamilyEncoder::begin`], with a name that text quotes.
    fn begin_quoted(&mut self, name: &str, kind: Kind, help: &str) {
        self.begin(name, kind, help);
    }

    /// As [`FamilyEncoder::sample`], with a family or label name that text quotes.
    fn sample_quoted(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.sample(names, values, value, at);
    }

    /// A native histogram of the open family. Returns false if the format has none.
    fn native(&mut self, names: &[&str], values: &[&str], native: Native<'_>, at: Option<Timestamp>) -> bool {
        let _ = (names, values, native, at);
        false
    }

    /// Completes the open family.
    fn end(&mut self);

    /// Whether a counter's family is named without `_total`, so that its name may collide with another family's.
    fn names_counters_without_total(&self) -> bool {
        false
    }
}
