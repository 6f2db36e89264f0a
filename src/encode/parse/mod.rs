//! Expositions that others wrote: text 0.0.4, OpenMetrics 1.0 and delimited protobuf, into one model.
//!
//! Nothing is copied that need not be: names, labels and help texts are slices of the input unless they were escaped.
//! What is accepted follows prometheus/common's `expfmt`, which Pushgateway reads with; what is refused names the place.

pub mod line;
pub mod model;
mod native;
mod openmetrics;
mod parts;
mod protobuf;
mod scan;
mod text;

pub use text::name_of_line;

pub use model::{Exposition, Family, Histogram, Kind, Measure, Metric, Native};

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

impl Format {
    /// The format that a `Content-Type` names; text, if it names none that is known.
    pub fn from_content_type(content_type: &str) -> Format {
        let mut parts = content_type.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            return Format::OpenMetrics;
        }
        if !media_type.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            return Format::Text;
        }
        let (mut proto, mut encoding) = ("", "");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "proto" => proto = value.trim().trim_matches('"'),
                "encoding" => encoding = value.trim().trim_matches('"'),
                _ => {}
            }
        }
        if proto == "io.prometheus.client.MetricFamily" && encoding == "delimited" {
            Format::Protobuf
        } else {
            Format::Text
        }
    }
}

/// How much one exposition may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series: a histogram has one for each bucket, one for its count and one for its sum.
    pub series: usize,
    /// Labels of one series.
    pub labels: usize,
    /// Bytes of a name.
    pub name_bytes: usize,
    /// Bytes of a label's value.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { series: 100_000, labels: 64, name_bytes: 1024, value_bytes: 16 << 10 }
    }
}

/// Why an exposition was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not say what an exposition says.
    #[error("{place}: {message}")]
    Malformed {
        /// The line, or the byte in protobuf.
        place: Place,
        /// What was expected, and what was found.
        message: String,
    },
    /// It holds more than it may.
    #[error("{place}: more than {at_most} {what}")]
    Limit {
        /// Where it went beyond.
        place: Place,
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        at_most: usize,
    },
    /// A part of a summary or histogram is there twice, so that one of the two values would be lost.
    #[error("{series} is there twice")]
    Twice {
        /// The part with its labels.
        series: String,
    },
}

/// Where in an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of text, from 1.
    Line(usize),
    /// A byte of protobuf, from 0.
    Byte(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Line(line) => write!(f, "text format parsing error in line {line}"),
            Place::Byte(byte) => write!(f, "protobuf parsing error at byte {byte}"),
        }
    }
}

/// Reads a whole exposition.
///
/// # Errors
/// The first thing that is wrong with it. A body that was cut off is wrong: text that does not end with a line end,
/// OpenMetrics without `# EOF`, a message that is shorter than it says.
pub fn parse<'a>(format: Format, body: &'a [u8], limits: &Limits) -> Result<Exposition<'a>, Error> {
    match format {
        Format::Text => text::parse(body, limits),
        Format::OpenMetrics => openmetrics::parse(body, limits),
        Format::Protobuf => protobuf::parse(body, limits),
    }
}

/// What every format demands of a metric's labels: no more than allowed, each once, in order afterwards.
fn put_in_order(labels: &mut Vec<model::Label<'_>>, place: Place, limits: &Limits) -> Result<(), Error> {
    if labels.len() > limits.labels {
        return Err(Error::Limit { place, what: "labels of one series", at_most: limits.labels });
    }
    labels.sort_by(|(one, _), (other, _)| one.cmp(other));
    for pair in labels.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(Error::Malformed { place, message: format!("label {:?} is there twice", pair[0].0) });
        }
    }
    for (name, value) in labels.iter() {
        check_length(name, "bytes of a name", limits.name_bytes, place)?;
        check_length(value, "bytes of a label's value", limits.value_bytes, place)?;
    }
    Ok(())
}

/// Puts the quantiles or buckets of a metric in order.
///
/// # Errors
/// That one of them is there twice.
fn complete(family: &str, metric: &mut model::Metric<'_>) -> Result<(), Error> {
    let (suffix, label, parts) = match &mut metric.measure {
        Measure::Number(_) => return Ok(()),
        Measure::Summary { quantiles, .. } => ("", "quantile", quantiles),
        Measure::Histogram(histogram) => ("_bucket", "le", &mut histogram.buckets),
    };
    parts.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let twice = parts.array_windows().find(|[(one, _), (other, _)]| one == other || one.total_cmp(other).is_eq());
    let Some([(bound, _), _]) = twice else { return Ok(()) };
    let bound = crate::encode::pushed::go_float(*bound);
    Err(twice_error(family, suffix, &metric.labels, Some((label, &bound))))
}

/// That a part of a metric is there twice.
fn twice_error(family: &str, suffix: &str, labels: &[model::Label<'_>], bound: Option<(&str, &str)>) -> Error {
    let labels = labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).chain(bound);
    let shown: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
    Error::Twice { series: format!("{family}{suffix}{{{}}}", shown.join(",")) }
}

fn check_length(text: &str, what: &'static str, at_most: usize, place: Place) -> Result<(), Error> {
    if text.len() > at_most { Err(Error::Limit { place, what, at_most }) } else { Ok(()) }
}

/// Whether a metric may be called so: not empty, and nothing that could end a line or a quote unseen.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests;
