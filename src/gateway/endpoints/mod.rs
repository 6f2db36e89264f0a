//! The HTTP endpoints: routing, pushes, deletions, reads, and InfluxDB's write API.
//!
//! [`gateway::Gateway`] is the state that all of them share; each file adds its endpoints to it.

mod delete;
mod forwarded;
pub mod gateway;
pub mod influxdb;
mod push;
mod read;
pub mod refusal_log;
pub mod routes;

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::gateway::request::refusal::{Reason, Refusal};

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A permanent redirect.
fn redirect(path: String) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, path)]).into_response()
}

fn not_found() -> Refusal {
    Refusal(Reason::NotFound, "404 page not found".to_owned())
}

/// The response to a method that the endpoint does not support, or to OPTIONS.
fn other_method(method: &Method, allowed: &'static str) -> Response {
    let status = if *method == Method::OPTIONS { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED };
    (status, [(header::ALLOW, allowed)]).into_response()
}
