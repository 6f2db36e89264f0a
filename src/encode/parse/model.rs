//! The model of a parsed exposition, independent of its format.

use std::borrow::Cow;

/// A label: name and value.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The families of an exposition, unique, in their original order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition<'a> {
    /// The families. Each has at least one metric.
    pub families: Vec<Family<'a>>,
}

/// A family.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// The name. A counter has the name of its samples, with `_total` if they have it.
    pub name: Cow<'a, str>,
    /// The type.
    pub kind: Kind,
    /// The help text; empty if there is none.
    pub help: Cow<'a, str>,
    /// The unit; empty if there is none.
    pub unit: Cow<'a, str>,
    /// The metrics.
    pub metrics: Vec<Metric<'a>>,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A count that only increases.
    Counter,
    /// A value that can go up and down.
    Gauge,
    /// No type.
    Untyped,
    /// Quantiles with a count and a sum.
    Summary,
    /// Buckets with a count and a sum.
    Histogram,
    /// A histogram of current values, which can go up and down.
    GaugeHistogram,
    /// OpenMetrics: constant labels, as a gauge of 1.
    Info,
    /// OpenMetrics: a set of states, as gauges of 0 and 1.
    StateSet,
}

impl Kind {
    /// The name of the type in text 0.0.4, which has fewer types.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info | Kind::StateSet => "gauge",
            Kind::Untyped => "untyped",
            Kind::Summary => "summary",
            Kind::Histogram | Kind::GaugeHistogram => "histogram",
        }
    }

    /// The name of the type for messages, where the difference may matter.
    pub fn full_name(self) -> &'static str {
        match self {
            Kind::GaugeHistogram => "gaugehistogram",
            other => other.name(),
        }
    }
}

/// A metric: one set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<'a> {
    /// The labels, in the order of their names.
    pub labels: Vec<Label<'a>>,
    /// Its measure.
    pub measure: Measure,
    /// The timestamp, in milliseconds of Unix time, if any.
    pub timestamp: Option<i64>,
    /// The creation time, in seconds of Unix time, if any.
    pub created: Option<f64>,
}

impl Metric<'_> {
    /// A copy without labels, which borrows nothing.
    pub fn clone_without_labels(&self) -> Metric<'static> {
        Metric { labels: Vec::new(), measure: self.measure.clone(), timestamp: self.timestamp, created: self.created }
    }
}

/// The value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// A number.
    Number(f64),
    /// Quantiles.
    Summary {
        /// Number of observations.
        count: f64,
        /// Their sum.
        sum: f64,
        /// Quantile and value, sorted by quantile.
        quantiles: Vec<(f64, f64)>,
    },
    /// Buckets.
    Histogram(Box<Histogram>),
}

/// A histogram: classic buckets, native ones, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Number of observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Upper bound and cumulative count, sorted by bound.
    pub buckets: Vec<(f64, f64)>,
    /// The native part, as protobuf holds it: the fields of `io.prometheus.client.Histogram` from `schema` on.
    pub native: Option<Native>,
}

/// The native part of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Native {
    /// The resolution.
    pub schema: i32,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Whether counts are floats. Float buckets are absolute, integer buckets are deltas.
    pub is_float: bool,
    /// Buckets of negative observations.
    pub negative: Buckets,
    /// Buckets of positive observations.
    pub positive: Buckets,
}

/// Buckets of a native histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Offset from the previous span, and length.
    pub spans: Vec<(i32, u32)>,
    /// Differences between adjacent buckets, for integer histograms.
    pub deltas: Vec<i64>,
    /// Counts, for float histograms.
    pub counts: Vec<f64>,
}

/// The callback of [`Measure::samples`].
pub type EachSample<'e> = dyn FnMut(&str, Option<(&'static str, f64)>, f64) + 'e;

impl Measure {
    /// Calls `each` for every sample of the text format, with the suffix of its name, its additional label, and its
    /// value.
    pub fn samples(&self, each: &mut EachSample<'_>) {
        match self {
            Measure::Number(value) => each("", None, *value),
            Measure::Summary { count, sum, quantiles } => {
                quantiles.iter().for_each(|(quantile, value)| each("", Some(("quantile", *quantile)), *value));
                each("_sum", None, *sum);
                each("_count", None, *count);
            }
            Measure::Histogram(histogram) => {
                histogram.buckets.iter().for_each(|(bound, count)| each("_bucket", Some(("le", *bound)), *count));
                each("_sum", None, histogram.sum);
                each("_count", None, histogram.count);
            }
        }
    }

    /// The number of series in the text format.
    pub fn series(&self) -> usize {
        match self {
            Measure::Number(_) => 1,
            Measure::Summary { quantiles, .. } => quantiles.len() + 2,
            Measure::Histogram(histogram) => histogram.buckets.len() + 2,
        }
    }
}
