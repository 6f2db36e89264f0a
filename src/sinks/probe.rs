//! `GET /probe?target=&module=`: one probe, as of blackbox_exporter.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::negotiate::Wanted;
use super::prometheus::{Exporter, forbidden, scrape_timeout};
use super::render;
use crate::collectors::framework::on_request::Answer;
use crate::http::access::Viewer;

/// `GET /probe`. It does not count as a scrape, which `[http] max_requests` limits: a probe waits for other servers.
pub async fn probe(
    State(exporter): State<Arc<Exporter>>,
    viewer: Option<Extension<Viewer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(forbidden) = forbidden(viewer) {
        return forbidden;
    }
    let readers = exporter.readers.load_full();
    let Some(prober) = readers.on_request() else {
        return (StatusCode::NOT_FOUND, "there is no module: see [[collectors.probe]] in docs/probes.md\n")
            .into_response();
    };
    match prober.respond(query.as_deref().unwrap_or_default(), scrape_timeout(&headers)).await {
        Answer::Families(families) => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let wanted = Wanted::from_accept(accept);
            let body = render::whole(wanted, 0, |out| families.write(out));
            ([(header::CONTENT_TYPE, wanted.content_type())], body).into_response()
        }
        Answer::Text(text) => text.into_response(),
        Answer::Wrong(reason) => (StatusCode::BAD_REQUEST, reason + "\n").into_response(),
        Answer::Later(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}
