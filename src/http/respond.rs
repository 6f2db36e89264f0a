//! The response to one request: validation, the limit of connections, authentication, headers.

use std::convert::Infallible;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, ORIGIN,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::service::Service;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;

use super::access::{Denied, Viewer};
use super::connections::Connection;
use super::denial::Denial;
use super::guard::InForce;
use super::peer::Peer;
use super::{framing, host, is_health};

/// How a request arrived; an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The peer of the connection.
    pub peer: Peer,
    /// Whether it arrived over TLS.
    pub is_tls: bool,
    /// Whether it is a health probe, which needs no credentials.
    pub is_probe: bool,
}

/// Default headers for browsers: no type sniffing, scripts, loading or framing.
const BROWSER_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// The response to a request, with the headers of every response.
pub(super) async fn respond(
    mut request: Request<axum::body::Body>,
    connection: &Connection,
    in_force: &InForce,
    router: TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    let valid = framing::check(&request)
        .and_then(|()| host::resolve(&mut request).map_err(|wrong| (StatusCode::BAD_REQUEST, wrong)));
    let mut response = match valid {
        Ok(()) => respond_within_limit(connection, request, in_force, router).await?,
        // The next request of such a peer cannot be trusted either.
        Err((status, reason)) => {
            drop(request);
            (status, [(CONNECTION, "close")], reason).into_response()
        }
    };
    for (name, value) in BROWSER_HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    for (name, value) in &in_force.headers {
        response.headers_mut().insert(name, value.clone());
    }
    Ok(response)
}

/// Over the limit of connections, only probes are answered.
async fn respond_within_limit(
    connection: &Connection,
    request: Request<axum::body::Body>,
    in_force: &InForce,
    router: TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    if !connection.is_over_limit {
        return respond_to_user(request, in_force, router).await;
    }
    let mut response = if is_open(&request) {
        respond_to_user(request, in_force, router).await?
    } else {
        connection.count_refused();
        (StatusCode::SERVICE_UNAVAILABLE, "all connections are being served; try again later\n").into_response()
    };
    // Makes room for the next probe.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// Whether a request needs no credentials.
fn is_open<B>(request: &Request<B>) -> bool {
    request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.is_probe)
}

/// Whether a path is that of a health probe, with or without the prefix.
pub(super) fn is_probe(path: &str, prefix: &str) -> bool {
    is_health(path) || path.strip_prefix(prefix).is_some_and(is_health)
}

/// Whether a request is a CORS preflight, which browsers send without credentials.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Authenticates the user, who becomes an extension of the request.
async fn respond_to_user(
    mut request: Request<axum::body::Body>,
    in_force: &InForce,
    router: TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    let is_open = is_open(&request);
    if !is_open && !in_force.is_within_rate() {
        return Ok(Denial::Rate.response());
    }
    let viewer = if is_open || is_preflight(request.method(), request.headers()) {
        Ok(Viewer::Anonymous)
    } else {
        in_force.access.viewer(request.headers()).await
    };
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(Denied::Unknown) => {
            let has_credentials = request.headers().contains_key(AUTHORIZATION);
            return Ok(Denial::Unknown { has_credentials }.response());
        }
        Err(Denied::Busy(_)) => return Ok(Denial::Busy.response()),
    };
    request.extensions_mut().insert(viewer);
    router.call(request).await
}
