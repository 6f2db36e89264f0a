//! The reasons why receivers of remote write reject a series.
//!
//! Points are dropped for these alone. They are whole phrases from the servers' sources: any gateway's response may
//! contain a single word such as `sample` or `timestamp`.

use serde_json::{Map, Value};

use crate::sinks::http::Response;

/// Prometheus, and servers built on its storage: Thanos, Cortex and Mimir forward most of these.
const OF_PROMETHEUS: &[&str] = &[
    "out of order sample",
    "too old sample",
    "duplicate sample for timestamp",
    ": invalid sample",
    "out of order exemplar",
    "duplicate exemplar",
    "label length for exemplar exceeds maximum",
    "out-of-order native histogram",
    "native histograms are disabled",
    "invalid metric name or label names",
    "invalid labels for series",
    "TimeSeries must contain at least one sample",
];

/// Cortex, and Amazon's service, which is built on it.
const OF_CORTEX: &[&str] = &[
    "label name too long: ",
    "label value too long for metric: ",
    "sample invalid label: ",
    "duplicate label name: ",
    "labels not sorted: ",
    "series has too many labels",
    "sample missing metric name",
    "sample invalid metric name: ",
    "timestamp too old: ",
    "timestamp too new: ",
    "exemplar missing labels",
    "exemplar missing timestamp",
    "exemplar combined labelset too long",
    "sample timestamp out of order",
    "sample with repeated timestamp but different value",
    "per-user series limit of ",
    "per-metric series limit of ",
    "per-labelset series limit of ",
];

/// Mimir, where the message has no identifier.
const OF_MIMIR: &[&str] =
    &["received a series whose ", "received a sample whose ", "the sample has been rejected because "];

/// Mimir's identifiers of errors of a request or a tenant, not of a series.
const OF_REQUESTS: &[&str] = &["distributor-", "ingester-", "tenant-"];

/// The exception among these: an error of a series.
const SERIES_TOO_LARGE: &str = "distributor-max-write-request-data-item-size";

/// Whether the server itself rejects a series.
pub(super) fn rejects_a_series(response: &Response) -> bool {
    if response.is_page() {
        return false;
    }
    if let Some(object) = response.object() {
        return is_influxdb_partial_write(&object);
    }
    let body = response.body.trim();
    match identifier(body) {
        Some(SERIES_TOO_LARGE) => true,
        Some(identifier) => !OF_REQUESTS.iter().any(|start| identifier.starts_with(start)),
        None => {
            let mut phrases = OF_PROMETHEUS.iter().chain(OF_CORTEX).chain(OF_MIMIR);
            phrases.any(|phrase| body.contains(phrase)) || is_out_of_bounds(body) || is_conflict(response.status, body)
        }
    }
}

/// Whether the server itself reports that the request is too large.
pub(super) fn is_too_large(response: &Response) -> bool {
    const OF_THANOS_AND_CORTEX: &[&str] = &["write request too large", "received message larger than max"];
    let body = response.body.trim();
    response.object().is_none()
        && !response.is_page()
        && (identifier(body).is_some() || OF_THANOS_AND_CORTEX.iter().any(|start| body.starts_with(start)))
}

/// Mimir's identifier of the error: the end of `err-mimir-…`.
fn identifier(body: &str) -> Option<&str> {
    let rest = body.split_once("(err-mimir-")?.1;
    rest.split_once(')').map(|(identifier, _)| identifier)
}

/// Prometheus reports this of a sample's time, other servers of an index.
fn is_out_of_bounds(body: &str) -> bool {
    const OUT: &str = "out of bounds";
    let after = body.strip_prefix(OUT).or_else(|| body.split_once(": out of bounds").map(|(_, after)| after));
    after.is_some_and(|after| {
        after.is_empty() || after.starts_with(['.', ';', '\n']) || after.starts_with(" for series")
    })
}

/// Thanos reports this of samples that are not newer than those it has, after the store's address. Proxies write it
/// with a capital letter.
fn is_conflict(status: u16, body: &str) -> bool {
    status == 409 && (body == "conflict" || body.ends_with(": conflict"))
}

/// InfluxDB 1.x also receives remote write, and reports errors as it does for points.
fn is_influxdb_partial_write(object: &Map<String, Value>) -> bool {
    let error = object.get("error").and_then(Value::as_str);
    object.len() == 1 && error.is_some_and(|error| error.starts_with("partial write: "))
}
