//! The groups as JSON for `/api/v1/metrics`, compatible with Pushgateway.
//!
//! Groups are written metric by metric and drained in chunks, so that memory holds at most one family of one group.

use serde_json::{Map, Value, json};

use crate::encode::drain::CHUNK;
use crate::encode::number::go_float;
use crate::encode::parse::model::{Histogram, Kind, Measure, Metric};
use crate::gateway::groups::change::GroupFamily;
use crate::gateway::groups::markers::PUSH_FAILURE_TIME;
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;

/// A page of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most this many groups; all if absent.
    pub limit: Option<usize>,
    /// Groups after this one, in the order of keys.
    pub after: Option<Key>,
}

impl Page {
    /// The groups of the page, sorted, and whether more follow.
    pub fn of(&self, mut groups: Vec<(Key, Times)>) -> (Vec<(Key, Times)>, bool) {
        let by_key = |(one, _): &(Key, Times), (other, _): &(Key, Times)| one.cmp(other);
        groups.retain(|(key, _)| self.after.as_ref().is_none_or(|after| key > after));
        let limit = self.limit.unwrap_or(usize::MAX);
        let has_more = groups.len() > limit;
        if has_more {
            groups.select_nth_unstable_by(limit, by_key);
            groups.truncate(limit);
        }
        groups.sort_unstable_by(by_key);
        (groups, has_more)
    }
}

fn push(out: &mut Vec<u8>, value: &Value) {
    // Writing to memory cannot fail.
    serde_json::to_writer(out, value).unwrap_or_default();
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).unwrap_or_default();
}

/// Appends a group: its labels, whether its last push succeeded, why the last refused one was refused, and each family
/// under its name. Passes full chunks to `drain`.
pub fn write_group(
    out: &mut Vec<u8>,
    key: &Key,
    (times, refusal): (Times, Option<&str>),
    families: &[GroupFamily],
    drain: &mut dyn FnMut(&mut Vec<u8>),
) {
    let labels: Map<String, Value> = key.labels().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    out.extend_from_slice(b"{\"labels\":");
    push(out, &Value::Object(labels));
    out.extend_from_slice(b",\"last_push_successful\":");
    push(out, &Value::from(times.failed <= times.pushed));
    if let Some(refusal) = refusal {
        out.extend_from_slice(b",\"last_refusal\":");
        push_text(out, refusal);
    }
    // These names would clash with the fields of a group.
    let is_field = |family: &&GroupFamily| matches!(&*family.name, "labels" | "last_push_successful" | "last_refusal");
    for family in families.iter().filter(|family| !is_field(family)) {
        out.push(b',');
        push_text(out, &family.name);
        out.push(b':');
        write_family(out, family, times, drain);
    }
    out.push(b'}');
}

fn write_family(out: &mut Vec<u8>, family: &GroupFamily, times: Times, drain: &mut dyn FnMut(&mut Vec<u8>)) {
    out.push(b'{');
    if !family.help.is_empty() {
        out.extend_from_slice(b"\"help\":");
        push_text(out, &family.help);
        out.push(b',');
    }
    out.extend_from_slice(b"\"metrics\":[");
    let mut is_first = true;
    family.block.decode(&family.name, family.kind, &family.help, &mut |family| {
        for one in &family.metrics {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            push(out, &metric(one));
            if out.len() >= CHUNK {
                drain(out);
            }
        }
    });
    out.extend_from_slice(b"],\"time_stamp\":");
    push_text(out, &rfc3339(time_of(family, times)));
    out.extend_from_slice(b",\"type\":");
    push_text(out, kind_name(family.kind));
    out.push(b'}');
}

fn time_of(family: &GroupFamily, times: Times) -> f64 {
    match &*family.name {
        PUSH_FAILURE_TIME => times.failed,
        _ => times.pushed,
    }
}

/// A Unix time in RFC 3339 format.
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
