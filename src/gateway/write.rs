//! Line protocol in: `/write` and `/api/v2/write` as InfluxDB answers them, and what its clients ask besides.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::Refused;
use super::base::{Gateway, json_answer, now};
use super::names;
use super::own::{self, count_by};
use super::points::Terms;
use super::push::read_body;
use super::state::State;
use crate::encode::parse::line::points;
use crate::encode::parse::model::Kind;

/// Which InfluxDB is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `/write`, errors as `{"error": …}`.
    One,
    /// `/api/v2/write`, errors as `{"code": …, "message": …}`.
    Two,
}

/// Where InfluxDB says what is wrong, beside the body.
pub const ERROR: &str = "x-influxdb-error";

impl Version {
    fn error(self, status: StatusCode, message: &str) -> Response {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "request too large",
            _ => "invalid",
        };
        let body = match self {
            Version::One => json!({"error": message}),
            Version::Two => json!({"code": code, "message": message}),
        };
        let header = HeaderValue::from_str(&message.replace(|c: char| c.is_control() || !c.is_ascii(), " "));
        let named = header.map(|value| [(ERROR, value)]).ok();
        (status, named.map(axum::response::AppendHeaders), json_answer(&body)).into_response()
    }
}

/// How many nanoseconds a unit of the request's times has.
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
    /// Takes every point that can be taken, and tells of the first that cannot.
    pub(super) async fn write(&self, version: Version, request: Request) -> Result<Response, Refused> {
        let settings = self.settings.load_full();
        let query = request.uri().query().unwrap_or_default();
        let precision = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "precision");
        let precision = precision.map(|(_, value)| value.into_owned()).unwrap_or_default();
        let Some(unit) = nanoseconds(&precision) else {
            let message = format!("invalid precision {precision:?}: expected n, u, ms, s, m or h");
            return Ok(version.error(StatusCode::BAD_REQUEST, &message));
        };
        let body = match read_body(request, settings.max_body).await {
            Ok(body) => body,
            Err(unread) => {
                let Refused(status, message) = unread.into();
                return Ok(version.error(status, &message));
            }
        };
        let terms = Terms {
            ttl: settings.point_ttl,
            most: settings.max_point_series,
            most_bytes: settings.kept.bytes.saturating_sub(self.core.look(State::bytes)),
            labels: settings.limits.labels,
        };
        let now = (now() * 1e9) as i64;
        let is_taken = |name: &str| self.is_taken(name);
        let (mut taken, mut dropped, mut first) = (0, 0, None);
        for point in points(&body) {
            let put = point.map_err(|(line, reason)| format!("unable to parse '{}': {reason}", shortened(&line)));
            let put = put.and_then(|point| {
                let time = point.time.map_or(now, |time| time.saturating_mul(unit));
                self.points.put(&point, time, &terms, &is_taken)
            });
            match put {
                Ok(()) => taken += 1,
                Err(reason) => {
                    dropped += 1;
                    first.get_or_insert(reason);
                }
            }
        }
        count_by(&self.counts.points, taken);
        count_by(&self.counts.points_dropped, dropped);
        Ok(match first {
            None => (StatusCode::NO_CONTENT, [("x-influxdb-version", env!("CARGO_PKG_VERSION"))]).into_response(),
            Some(reason) => {
                version.error(StatusCode::BAD_REQUEST, &format!("partial write: {reason} dropped={dropped}"))
            }
        })
    }

    /// Whether a point's name is that of a sample that was pushed, or of what the gateway tells of itself.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        let is_taken = |kind_of: &dyn Fn(&str) -> Option<Kind>| names::is_taken(name, Kind::Untyped, kind_of);
        is_taken(&own::kind_of) || self.core.look(|state| is_taken(&|name| state.kind_of(name)))
    }
}

fn shortened(line: &str) -> String {
    const SHOWN: usize = 200;
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// `/ping`: that somebody is there who speaks line protocol.
pub fn ping() -> Response {
    let head = [("x-influxdb-version", env!("CARGO_PKG_VERSION")), ("x-influxdb-build", "taffrail")];
    (StatusCode::NO_CONTENT, head).into_response()
}

/// `/query`: clients create their database before they write; there is nothing to create, and nothing to ask for.
pub fn query() -> Response {
    json_answer(&json!({"results": [{"statement_id": 0}]}))
}

/// `/health`, as InfluxDB 2.x has it.
pub fn health() -> Response {
    let health: Value = json!({
        "name": "taffrail", "message": "ready for writes", "status": "pass", "checks": [],
        "version": env!("CARGO_PKG_VERSION"),
    });
    ([(header::CACHE_CONTROL, "no-store")], json_answer(&health)).into_response()
}
