//! Reads what a program reports: an exposition, or line protocol.

use super::{Scrape, Value};
use crate::encode::parse::line::{FieldValue, points};
use crate::encode::parse::model::Measure;
use crate::encode::parse::{self, Format, Limits};

/// Reads an exposition.
///
/// # Errors
/// It is malformed.
pub fn exposition(body: &[u8]) -> Result<Scrape, parse::Error> {
    let limits = Limits { series: usize::MAX, labels: 256, value_bytes: 1 << 20, ..Limits::default() };
    let mut scrape = Scrape::default();
    for family in parse::parse(Format::Text, body, &limits)?.families {
        let key = (family.name.to_string(), String::new());
        scrape.types.insert(key.clone(), family.kind.name());
        let values = scrape.values.entry(key).or_default();
        for metric in &family.metrics {
            let mut labels: Vec<String> = metric
                .labels
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            labels.sort();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let value = match &metric.measure {
                Measure::Number(value) => *value,
                Measure::Summary { count, .. } => *count,
                Measure::Histogram(histogram) => histogram.count,
            };
            values.insert(format!("{}{labels}", family.name), vec![Value::Number(value)]);
        }
    }
    Ok(scrape)
}

/// What `telegraf --test` prints before each point. Lines of its log have nothing before them.
const OF_A_TEST: &str = "> ";

/// Reads line protocol, of one time or of several, or what `telegraf --test` prints.
///
/// # Errors
/// It has no point, or a line that is none: the line and the reason.
pub fn line_protocol(text: &str) -> Result<Scrape, String> {
    let of_a_test: String = text.split_inclusive('\n').filter_map(|line| line.strip_prefix(OF_A_TEST)).collect();
    let text = if of_a_test.is_empty() { text } else { &of_a_test };
    let mut scrape = Scrape::default();
    for point in points(text.as_bytes()) {
        let point = point.map_err(|(line, reason)| format!("{reason}: {line}"))?;
        let mut tags: Vec<String> = point.tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
        tags.sort();
        let series = format!("{}{}", point.measurement, tags.concat());
        for (field, value) in &point.fields {
            let (kind, value) = typed(value);
            let family = (point.measurement.to_string(), field.to_string());
            scrape.types.insert(family.clone(), kind);
            let values = scrape.values.entry(family).or_default().entry(format!("{series} {field}")).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    if scrape.types.is_empty() { Err("expected line protocol, found no point".to_owned()) } else { Ok(scrape) }
}

/// The type of a field and its value. Unsigned integers are integers: Telegraf writes them so unless
/// `influx_uint_support` is set, as its `--test` has it.
fn typed(value: &FieldValue<'_>) -> (&'static str, Value) {
    let kind = match value {
        FieldValue::Text(text) => return ("string", Value::Text(text.to_string())),
        FieldValue::Integer(_) | FieldValue::Unsigned(_) => "integer",
        FieldValue::Float(_) => "float",
        FieldValue::Boolean(_) => "boolean",
    };
    (kind, Value::Number(value.number().unwrap_or_default()))
}
