//! Writes in line protocol, compatible with InfluxDB: `/write`, `/api/v2/write`, and the other endpoints that its clients use.

use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::json as json_response;
use crate::encode::parse::line::points;
use crate::encode::parse::model::Kind;
use crate::gateway::groups::names;
use crate::gateway::groups::state::State;
use crate::gateway::groups::times::unix_now;
use crate::gateway::points::PointLimits;
use crate::gateway::request::query::Query;
use crate::gateway::request::refusal::{Reason, Refusal, Refused};
use crate::gateway::self_metrics::{self, count_by};

/// The version of InfluxDB's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// `/write`, errors as `{"error": …}`.
    One,
    /// `/api/v2/write`, errors as `{"code": …, "message": …}`.
    Two,
}

/// InfluxDB's header with the error message.
pub const ERROR: &str = "x-influxdb-error";

impl ApiVersion {
    fn error(self, reason: Reason, message: &str) -> Response {
        let code = match reason {
            Reason::TooLarge => "request too large",
            Reason::Memory => "unavailable",
            _ => "invalid",
        };
        let body = match self {
            ApiVersion::One => json!({"error": message}),
            ApiVersion::Two => json!({"code": code, "message": message}),
        };
        let header = HeaderValue::from_str(&message.replace(|c: char| c.is_control() || !c.is_ascii(), " "));
        let named = header.map(|value| [(ERROR, value)]).ok();
        (
            reason.status(),
            reason.headers(),
            Extension(Refused(reason, message.to_owned())),
            named.map(axum::response::AppendHeaders),
            json_response(&body),
        )
            .into_response()
    }
}

/// Nanoseconds of a precision.
fn nanoseconds(precision: &str) -> Option<i64> {
    match precision {
        "" | "n" | "ns" => Some(1),
        "u" | "us" | "µ" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

impl Gateway {
    /// Stores all valid points, and returns the first error.
    pub(super) async fn write(&self, version: ApiVersion, request: Request) -> Result<Response, Refusal> {
        let settings = self.settings.load_full();
        let query = request.uri().query().unwrap_or_default();
        // Other parameters, such as the database, have no meaning here.
        let query = Query::new(query);
        let precision = match query.one(&["precision"]) {
            Ok(precision) => precision.unwrap_or_default(),
            Err(Refusal(reason, message)) => return Ok(version.error(reason, &message)),
        };
        let Some(unit) = nanoseconds(precision) else {
            let message = format!("invalid precision {precision:?}: expected n, u, ms, s, m or h");
            return Ok(version.error(Reason::Request, &message));
        };
        let body = match self.receive(request, &settings).await {
            Ok(body) => body,
            Err(error) => {
                let Refusal(reason, message) = error.into();
                return Ok(version.error(reason, &message));
            }
        };
        let limits = PointLimits {
            ttl: settings.point_ttl,
            max_series: settings.max_point_series,
            max_bytes: settings.group_limits.bytes.saturating_sub(self.store.read_pending(State::bytes)),
            max_labels: settings.push_limits.labels,
        };
        // A point without a time is of the request's precision, as in InfluxDB.
        let now = (unix_now() * 1e9) as i64 / unit * unit;
        let is_taken = |name: &str| self.is_taken(name);
        let (mut accepted, mut dropped, mut first) = (0, 0, None);
        for point in points(&body) {
            let point = point.map_err(|(line, reason)| format!("unable to parse '{}': {reason}", shortened(&line)));
            let put = point.and_then(|point| {
                let point = point.without_time()?;
                let time = point.nanoseconds(unit)?.unwrap_or(now);
                self.points.put(&point, time, &limits, &is_taken)
            });
            match put {
                Ok(()) => accepted += 1,
                Err(reason) => {
                    dropped += 1;
                    first.get_or_insert(reason);
                }
            }
        }
        count_by(&self.counters.points, accepted);
        count_by(&self.counters.points_dropped, dropped);
        Ok(match first {
            None => (StatusCode::NO_CONTENT, [("x-influxdb-version", env!("CARGO_PKG_VERSION"))]).into_response(),
            Some(reason) => version.error(Reason::Points, &format!("partial write: {reason} dropped={dropped}")),
        })
    }

    /// Whether a pushed family or a self-metric occupies a point's name.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        let is_taken = |kind_of: &dyn Fn(&str) -> Option<Kind>| names::is_taken(name, Kind::Untyped, kind_of);
        is_taken(&self_metrics::kind_of) || self.store.read_pending(|state| is_taken(&|name| state.kind_of(name)))
    }
}

fn shortened(line: &str) -> String {
    const MAX_SHOWN: usize = 200;
    let mut shown: String = line.chars().take(MAX_SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// `/ping`: the server accepts line protocol.
pub fn ping() -> Response {
    let head = [("x-influxdb-version", env!("CARGO_PKG_VERSION")), ("x-influxdb-build", "taffrail")];
    (StatusCode::NO_CONTENT, head).into_response()
}

/// `/query`: clients create their database before they write. The response is always empty.
pub fn query() -> Response {
    json_response(&json!({"results": [{"statement_id": 0}]}))
}

/// `/health` of InfluxDB 2.x.
pub fn health() -> Response {
    let health: Value = json!({
        "name": "taffrail", "message": "ready for writes", "status": "pass", "checks": [],
        "version": env!("CARGO_PKG_VERSION"),
    });
    ([(header::CACHE_CONTROL, "no-store")], json_response(&health)).into_response()
}
