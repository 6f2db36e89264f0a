//! Routing: Pushgateway's endpoints, and Taffrail's own.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::forwarded::Needs;
use super::gateway::Gateway;
use super::influxdb::{self, ApiVersion};
use super::{not_found, other_method, redirect};
use crate::gateway::key::Key;
use crate::gateway::page;
use crate::gateway::request::origin::OriginError;
use crate::gateway::request::push_options::PARAMETERS;
use crate::gateway::request::query::Query;
use crate::gateway::request::refusal::{Reason, Refusal, Refused};
use crate::gateway::settings::Settings;
use crate::http::access::{Right, Viewer};
use crate::http::page::STYLE;
use crate::http::{self, Arrival, Peer};

/// The router of all endpoints.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().fallback(respond).with_state(gateway)
}

async fn respond(Extract(gateway): Extract<Arc<Gateway>>, request: Request) -> Response {
    let (method, settings) = (request.method().clone(), gateway.settings.load_full());
    let path = request.uri().path().to_owned();
    let origin_headers = origins(request.headers());
    let is_preflight = http::is_preflight(&method, request.headers());
    let arrival = request.extensions().get::<Arrival>().copied();
    let is_probe = arrival.is_some_and(|arrival| arrival.is_probe);
    let relative = settings.prefix.below(&path).or(is_probe.then_some(path.as_str()));
    let result = match relative {
        None => Err(not_found()),
        Some("") if matches!(method, Method::GET | Method::HEAD) && !settings.prefix.as_str().is_empty() => {
            Ok(redirect(settings.prefix.with_slash().unwrap_or_default()))
        }
        Some(_) if is_preflight => Ok(StatusCode::OK.into_response()),
        Some(relative) => match is_probe.then_some(()).ok_or(()).or_else(|()| check_browser(&settings, &request)) {
            Ok(()) => route(&gateway, relative, request).await,
            Err(error) => Err(Refusal(error.reason(), error.to_string())),
        },
    };
    if may_change(&method)
        && let Some((reason, message)) = refusal(&result)
    {
        let peer = arrival.map_or(Peer::Unknown, |arrival| arrival.peer);
        gateway.refusals.log(reason, peer, &method, &path, &message);
    }
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    let is_public = relative.is_some_and(|path| matches!(path, "/api/v1/status" | "/api/v1/metrics"));
    settings.origins.add_cors_headers(&origin_headers, is_public, &mut response);
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Whether a request of this method may change something.
pub(in crate::gateway) fn may_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Why a request was refused; none if it was accepted.
fn refusal(result: &Result<Response, Refusal>) -> Option<(Reason, String)> {
    match result {
        Err(Refusal(reason, message)) => Some((*reason, message.clone())),
        Ok(response) if response.status().as_u16() < 400 => None,
        Ok(response) => {
            let Refused(reason, message) = response.extensions().get().cloned().unwrap_or_else(|| {
                Refused(Reason::Method, response.status().canonical_reason().unwrap_or_default().to_owned())
            });
            Some((reason, message))
        }
    }
}

fn check_browser(settings: &Settings, request: &Request) -> Result<(), OriginError> {
    let is_tls = request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.is_tls);
    settings.origins.check(request.method(), request.uri(), request.headers(), is_tls)
}

/// The Origin headers of a request.
fn origins(headers: &HeaderMap) -> HeaderMap {
    headers.get_all(header::ORIGIN).iter().map(|origin| (header::ORIGIN, origin.clone())).collect()
}

/// Checks the user's rights and calls the endpoint of a path, which is relative to the prefix. Repeated slashes count as
/// one.
async fn route(gateway: &Arc<Gateway>, raw: &str, request: Request) -> Result<Response, Refusal> {
    let raw = raw.to_owned();
    let parts: Vec<&str> = raw.split('/').filter(|part| !part.is_empty()).collect();
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        other => other.clone(),
    };
    let viewer = request.extensions().get::<Viewer>().cloned().unwrap_or(Viewer::Anonymous);
    if let ["metrics", "job" | "job@base64", _, ..] = parts.as_slice() {
        let start = raw.find("job").unwrap_or_default();
        return group(gateway, &raw[start..], &viewer, request).await;
    }
    // Health checks need no right: clients that may only push use them too.
    if method == Method::GET && !matches!(parts.as_slice(), ["-", ..] | ["ping" | "health"]) {
        viewer.may(Right::Read)?;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let query = query.as_str();
    match (parts.as_slice(), method) {
        (["metrics"], Method::GET) => {
            let scrape = async |request: Request| Ok(gateway.scrape(request.headers()));
            gateway.at_writer(Needs::Exposition, request, scrape).await
        }
        (["metrics"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        // The page's links are relative.
        (["status"], Method::GET) if raw.ends_with('/') => Ok(redirect("../status".to_owned())),
        ([] | ["status"], Method::GET) => Ok(gateway.page(&request, &viewer)),
        ([name], Method::GET)
            if let Some(asset) =
                [&STYLE, &page::STYLE, &page::SCRIPT].into_iter().find(|asset| asset.name == *name) =>
        {
            Ok(asset.response(request.uri().query(), request.headers()))
        }
        (["-", "ready"], Method::GET) if !gateway.is_ready() => {
            Err(Refusal(Reason::Writer, "this replica does not follow the stream".to_owned()))
        }
        (["-", "healthy" | "ready"], Method::GET) => Ok("OK".into_response()),
        (["write"], Method::POST) => gateway.write_points(ApiVersion::One, &viewer, request).await,
        (["api", "v2", "write"], Method::POST) => gateway.write_points(ApiVersion::Two, &viewer, request).await,
        (["ping"], _) => Ok(influxdb::ping()),
        (["query"], Method::GET | Method::POST) => Ok(influxdb::query()),
        (["api", "v2", "query"], Method::POST) => Ok(StatusCode::OK.into_response()),
        (["health"], Method::GET) => Ok(influxdb::health()),
        (["-", "quit"], method) => gateway.quit(&method, &viewer),
        (["api", "v1", ..], Method::OPTIONS) => Ok(StatusCode::OK.into_response()),
        (["api", "v1", "status"], Method::GET) => Ok(gateway.status()),
        (["api", "v1", "metrics"], Method::GET) => gateway.metrics(query),
        (["api", "v1", "admin", "wipe"], method) if gateway.settings.load().admin_api => {
            gateway.wipe(&method, &viewer, query, request).await
        }
        (["api", "v1", "groups"], Method::DELETE) => {
            viewer.may(Right::Admin)?;
            // A client that sends dry_run in the body would delete the groups.
            if !request.body().is_end_stream() {
                return Err(Refusal::bad("expected match[] and dry_run in the query, found a body"));
            }
            gateway.at_writer(Needs::Change, request, async |_| gateway.delete_matching(query).await).await
        }
        (["api", "v1", "groups"], method) => Ok(other_method(&method, "DELETE, OPTIONS")),
        (["api", "v1", "status" | "metrics"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        (["-", "healthy" | "ready"] | [] | ["status"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        _ => Err(not_found()),
    }
}

/// The endpoints of one group.
async fn group(gateway: &Arc<Gateway>, path: &str, viewer: &Viewer, request: Request) -> Result<Response, Refusal> {
    let key = Key::from_path(path)?;
    match *request.method() {
        Method::PUT | Method::POST => {
            viewer.may_push(key.job())?;
            let push = async |request| {
                // In a task of its own: a persisted push is forwarded even if the client disconnects.
                let gateway = gateway.clone();
                match tokio::spawn(async move { gateway.push(key, request).await }).await {
                    Ok(response) => response,
                    Err(failed) => std::panic::resume_unwind(failed.into_panic()),
                }
            };
            gateway.at_writer(Needs::Change, request, push).await
        }
        Method::DELETE => {
            viewer.may_push(key.job())?;
            Query::of(request.uri().query().unwrap_or_default(), PARAMETERS)?;
            gateway.at_writer(Needs::Change, request, async |_| gateway.delete(&key).await).await
        }
        Method::GET | Method::HEAD => {
            viewer.may(Right::Read)?;
            gateway.show(&key)
        }
        ref other => Ok(other_method(other, "DELETE, GET, HEAD, OPTIONS, POST, PUT")),
    }
}

impl Gateway {
    /// Points belong to no job: users with a limited set of jobs may not write them.
    async fn write_points(&self, version: ApiVersion, viewer: &Viewer, request: Request) -> Result<Response, Refusal> {
        viewer.may_push("")?;
        self.at_writer(Needs::Change, request, async |request| self.write(version, request).await).await
    }

    fn quit(&self, method: &Method, viewer: &Viewer) -> Result<Response, Refusal> {
        if ![Method::PUT, Method::POST].contains(method) {
            let message = "Only POST or PUT requests allowed.".to_owned();
            return Err(Refusal(Reason::Method, message));
        }
        if !self.settings.load().lifecycle {
            return Err(Refusal(Reason::Forbidden, "Lifecycle API is not enabled.".to_owned()));
        }
        viewer.may(Right::Admin)?;
        self.quit.notify_one();
        Ok("Requesting termination... Goodbye!".into_response())
    }
}
