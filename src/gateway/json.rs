//! `/api/v1`: the groups and the gateway itself as JSON, as Pushgateway has it.

use serde_json::{Map, Value, json};

use super::change::{Piece, Times};
use super::key::Key;
use super::state::PUSH_FAILURE_TIME;
use crate::encode::parse::model::{Histogram, Kind, Measure, Metric};
use crate::encode::pushed::go_float;

/// A group: its labels, whether its last push succeeded, and each family under its name.
pub fn group(key: &Key, times: Times, pieces: &[Piece]) -> Value {
    let mut object = Map::new();
    for piece in pieces {
        object.insert(piece.name.to_string(), family(piece, times));
    }
    // A family that is called so cannot take the place of what every group has.
    let labels: Map<String, Value> = key.labels().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    object.insert("labels".to_owned(), Value::Object(labels));
    object.insert("last_push_successful".to_owned(), Value::from(times.failed <= times.pushed));
    Value::Object(object)
}

fn family(piece: &Piece, times: Times) -> Value {
    let mut metrics = Vec::new();
    piece.block.read(&piece.name, piece.kind, &piece.help, &mut |family| {
        metrics.extend(family.metrics.iter().map(metric));
    });
    let mut object = Map::new();
    object.insert("time_stamp".to_owned(), Value::from(rfc3339(time_of(piece, times))));
    object.insert("type".to_owned(), Value::from(kind_name(piece.kind)));
    if !piece.help.is_empty() {
        object.insert("help".to_owned(), Value::from(&*piece.help));
    }
    object.insert("metrics".to_owned(), Value::from(metrics));
    Value::Object(object)
}

fn time_of(piece: &Piece, times: Times) -> f64 {
    match &*piece.name {
        PUSH_FAILURE_TIME => times.failed,
        _ => times.pushed,
    }
}

/// A time in seconds as RFC 3339 has it.
pub fn rfc3339(seconds: f64) -> String {
    let since = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since).to_string()
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "COUNTER",
        Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
        Kind::Untyped => "UNTYPED",
        Kind::Summary => "SUMMARY",
        Kind::Histogram => "HISTOGRAM",
        Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
    }
}

fn metric(metric: &Metric<'_>) -> Value {
    let labels: Map<String, Value> =
        metric.labels.iter().map(|(name, value)| (name.to_string(), Value::from(value.as_ref()))).collect();
    match &metric.measure {
        Measure::Number(number) => json!({"labels": labels, "value": go_float(*number)}),
        Measure::Summary { count, sum, quantiles } => {
            let quantiles: Map<String, Value> =
                quantiles.iter().map(|(quantile, value)| (go_float(*quantile), go_float(*value).into())).collect();
            json!({"labels": labels, "quantiles": quantiles, "count": go_float(*count), "sum": go_float(*sum)})
        }
        Measure::Histogram(histogram) => {
            json!({
                "labels": labels,
                "buckets": buckets(histogram),
                "count": go_float(histogram.count),
                "sum": go_float(histogram.sum),
            })
        }
    }
}

fn buckets(histogram: &Histogram) -> Value {
    let buckets = histogram.buckets.iter();
    Value::Object(buckets.map(|(bound, count)| (go_float(*bound), go_float(*count).into())).collect())
}
