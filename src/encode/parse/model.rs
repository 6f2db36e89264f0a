//! What an exposition says, whichever format it came in.

use std::borrow::Cow;

/// A label: name and value.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// All families of an exposition, each once, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition<'a> {
    /// The families; none without metrics.
    pub families: Vec<Family<'a>>,
}

/// A family.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// The name; in OpenMetrics that of the family, in the others that of its samples. A counter's is what its sample
    /// carries, with `_total` if it has that.
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

/// What a family's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A value of the moment.
    Gauge,
    /// Not said.
    Untyped,
    /// Quantiles with a count and a sum.
    Summary,
    /// Buckets with a count and a sum.
    Histogram,
    /// The same of values of the moment.
    GaugeHistogram,
    /// OpenMetrics: labels that do not change, as a gauge of 1.
    Info,
    /// OpenMetrics: which states are on, as gauges of 0 and 1.
    StateSet,
}

impl Kind {
    /// The type's name in text 0.0.4, which knows fewer.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info | Kind::StateSet => "gauge",
            Kind::Untyped => "untyped",
            Kind::Summary => "summary",
            Kind::Histogram | Kind::GaugeHistogram => "histogram",
        }
    }

    /// The type's name for people, whom the difference may concern.
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
    /// What it measured.
    pub measure: Measure,
    /// When, in milliseconds of Unix time, if the exposition says.
    pub timestamp: Option<i64>,
    /// When counting began, in seconds of Unix time, if the exposition says.
    pub created: Option<f64>,
}

impl Metric<'_> {
    /// The metric without its labels, and without what it borrows.
    pub fn clone_without_labels(&self) -> Metric<'static> {
        Metric { labels: Vec::new(), measure: self.measure.clone(), timestamp: self.timestamp, created: self.created }
    }
}

/// What a metric measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// A number.
    Number(f64),
    /// Quantiles.
    Summary {
        /// How many observations.
        count: f64,
        /// Their sum.
        sum: f64,
        /// Quantile and value, in the order of quantiles.
        quantiles: Vec<(f64, f64)>,
    },
    /// Buckets.
    Histogram(Box<Histogram>),
}

/// A histogram: classic buckets, native ones, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Upper bound and cumulative count, in the order of bounds.
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
    /// Whether counts are floats: then buckets are absolute, or else differences.
    pub is_float: bool,
    /// Buckets of negative observations.
    pub negative: Buckets,
    /// Buckets of positive observations.
    pub positive: Buckets,
}

/// Buckets of a native histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Gap before the span, and its length.
    pub spans: Vec<(i32, u32)>,
    /// Differences from bucket to bucket, for integer histograms.
    pub deltas: Vec<i64>,
    /// Counts, for float histograms.
    pub counts: Vec<f64>,
}

/// What is done with each of [`Measure::samples`].
pub type EachSample<'e> = dyn FnMut(&str, Option<(&'static str, f64)>, f64) + 'e;

impl Measure {
    /// The samples that the text format makes of it: what follows the family's name, the label that a sample has more
    /// than its metric, and the value.
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

    /// How many series text makes of it.
    pub fn series(&self) -> usize {
        match self {
            Measure::Number(_) => 1,
            Measure::Summary { quantiles, .. } => quantiles.len() + 2,
            Measure::Histogram(histogram) => histogram.buckets.len() + 2,
        }
    }
}
