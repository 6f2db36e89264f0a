//! Parses expositions in text 0.0.4, OpenMetrics 1.0 and delimited protobuf into one model.
//!
//! Names, labels and help texts are slices of the input unless they were escaped. What is accepted follows
//! prometheus/common's `expfmt`, the parser of Pushgateway. Errors include the position.

mod error;
pub mod flat;
pub mod json;
pub mod line;
pub mod model;
pub mod nagios;
mod native;
mod parts;
mod protobuf;
mod scan;
pub mod statsd;
mod text;
pub mod value;

pub use error::{Error, Message, Position};
pub use model::{Exposition, Family, Histogram, Kind, Measure, Metric, Native};
pub use text::name_of_line;

use super::number::go_float;

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Length-prefixed `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// The format of a `Content-Type`; text if it is unknown.
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

/// Limits of one exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series. A histogram has one for each bucket, one for its count and one for its sum.
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

/// Parses a whole exposition.
///
/// # Errors
/// The first error found. A truncated body is an error: text without a final line end, OpenMetrics without `#
/// EOF`, a message that is shorter than its length.
pub fn parse<'a>(format: Format, body: &'a [u8], limits: &Limits) -> Result<Exposition<'a>, Error> {
    match format {
        Format::Text => text::parse(body, limits),
        Format::OpenMetrics => text::parse_open_metrics(body, limits),
        Format::Protobuf => protobuf::parse(body, limits, false),
    }
}

/// Parses protobuf as leniently as Prometheus does when it scrapes, without limits.
///
/// # Errors
/// As for [`parse`].
pub fn parse_scraped_protobuf(body: &[u8]) -> Result<Exposition<'_>, Error> {
    protobuf::parse(body, &NO_LIMITS, true)
}

/// No limits: the size of the body and the scraper's own limits apply.
const NO_LIMITS: Limits =
    Limits { series: usize::MAX, labels: usize::MAX, name_bytes: usize::MAX, value_bytes: usize::MAX };

/// Sorts the labels of a metric, and checks their number, their lengths and that they are unique.
fn sort_and_check(labels: &mut Vec<model::Label<'_>>, position: Position, limits: &Limits) -> Result<(), Error> {
    if labels.len() > limits.labels {
        return Err(Error::Limit { position, what: "labels of one series", max: limits.labels });
    }
    labels.sort_by(|(one, _), (other, _)| one.cmp(other));
    for pair in labels.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(Error::Malformed {
                position, message: Message::about("label … is there twice", &*pair[0].0)
            });
        }
    }
    for (name, value) in labels.iter() {
        check_length(name, "bytes of a name", limits.name_bytes, position)?;
        check_length(value, "bytes of a label's value", limits.value_bytes, position)?;
    }
    Ok(())
}

/// Sorts the quantiles or buckets of a metric.
///
/// # Errors
/// If one of them is duplicated.
fn sort_parts(family: &str, metric: &mut model::Metric<'_>) -> Result<(), Error> {
    let (suffix, label, parts) = match &mut metric.measure {
        Measure::Number(_) => return Ok(()),
        Measure::Summary { quantiles, .. } => ("", "quantile", quantiles),
        Measure::Histogram(histogram) => ("_bucket", "le", &mut histogram.buckets),
    };
    parts.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let duplicate = parts.array_windows().find(|[(one, _), (other, _)]| one == other || one.total_cmp(other).is_eq());
    let Some([(bound, _), _]) = duplicate else { return Ok(()) };
    let bound = go_float(*bound);
    Err(duplicate_error(family, suffix, &metric.labels, Some((label, &bound))))
}

/// The error for a duplicated part of a metric.
fn duplicate_error(family: &str, suffix: &str, labels: &[model::Label<'_>], bound: Option<(&str, &str)>) -> Error {
    let labels = labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).chain(bound);
    let shown: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
    Error::Duplicate { series: format!("{family}{suffix}{{{}}}", shown.join(",")) }
}

fn check_length(text: &str, what: &'static str, max: usize, position: Position) -> Result<(), Error> {
    if text.len() > max { Err(Error::Limit { position, what, max }) } else { Ok(()) }
}

/// Whether a metric may have this name: not empty, and without control characters.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests;
