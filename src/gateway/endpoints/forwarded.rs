//! Requests that only the writer of several replicas carries out: the other replicas forward them to it.

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::gateway::Gateway;
use crate::client;
use crate::gateway::replication::settings::Scrape;
use crate::gateway::replication::shared::Replication;
use crate::gateway::replication::status::{Role, Status};
use crate::gateway::request::refusal::{Reason, Refusal, Refused};
use crate::percent::decode_text;

/// Marks a request that another replica has forwarded, which is not forwarded again. In a response to it: it was not carried
/// out, as this replica is not the writer.
const FORWARDED: HeaderName = HeaderName::from_static("x-taffrail-forwarded");

/// How long a request waits for a writer.
const WRITER_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Bytes of the writer's reason for refusing a request.
const MAX_REASON: usize = 64 << 10;

/// Pause between two attempts to find the writer.
const PAUSE: Duration = Duration::from_millis(100);

/// A replica that lacks more messages of the stream is not ready.
const MAX_READY_LAG: u64 = 100;

/// Headers about one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that this replica has dealt with: the origin is checked, and the body is received.
const DEALT_WITH: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::EXPECT, header::ORIGIN, HeaderName::from_static("sec-fetch-site")];

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    /// It changes groups or points, which only the writer does.
    Change,
    /// It scrapes the groups. With `scrape = "writer"`, each replica responds as the writer does.
    Exposition,
}

impl Needs {
    /// Whether a replica of this status carries out the request.
    fn are_met(self, replication: &Replication, status: &Status) -> bool {
        match self {
            Needs::Change => status.role == Role::Writer,
            Needs::Exposition => replication.settings.scrape == Scrape::Own || status.exposes(),
        }
    }
}

/// What becomes of a request that this replica could not carry out when it arrived.
enum Outcome {
    Response(Response),
    /// This replica has become the writer.
    Here(Request),
}

/// Why the writer did not respond.
enum SendError {
    /// It did not get the request, or did not carry it out.
    NotDone(String),
    /// It may have carried out the request.
    Unknown(String),
}

impl Gateway {
    /// Whether scrapes of this gateway have groups.
    pub(super) fn exposes_groups(&self) -> bool {
        self.replication.as_ref().is_none_or(|replication| replication.status.get().exposes())
    }

    /// Whether this gateway can answer for the groups: it is alone, or follows the stream closely.
    pub(super) fn is_ready(&self) -> bool {
        let is_ready = |status: &Status| {
            status.role != Role::Stopped
                && status.sees_stream()
                && status.identity.is_some()
                && status.lag() <= MAX_READY_LAG
        };
        self.replication.as_ref().is_none_or(|replication| is_ready(&replication.status.get()))
    }

    /// Answers a request with `answer`, or forwards it to the writer if that is another replica. The user's rights are checked
    /// before.
    pub(super) async fn at_writer(
        &self,
        needs: Needs,
        request: Request,
        answer: impl AsyncFnOnce(Request) -> Result<Response, Refusal>,
    ) -> Result<Response, Refusal> {
        let request = match &self.replication {
            Some(replication) if !needs.are_met(replication, &replication.status.get()) => {
                match self.find_writer(replication, needs, request).await? {
                    Outcome::Response(response) => return Ok(response),
                    Outcome::Here(request) => request,
                }
            }
            _ => request,
        };
        answer(request).await
    }

    /// Sends a request to the writer. While there is none, tries again for [`WRITER_TIMEOUT`], if the request was certainly not
    /// carried out.
    async fn find_writer(&self, replication: &Replication, needs: Needs, request: Request) -> Result<Outcome, Refusal> {
        let (head, body) = request.into_parts();
        // Clients of HTTP remove such segments, even percent-encoded ones.
        if head.uri.path().split('/').any(|segment| matches!(decode_text(segment).as_str(), "." | "..")) {
            return Err(Refusal::bad("a replica cannot forward a path with the segment . or ..; encode it as @base64"));
        }
        let mut received = self.receive_as_sent(&head.headers, body).await?;
        let body = Bytes::from(received.take());
        let is_forwarded = head.headers.contains_key(FORWARDED);
        let deadline = Instant::now() + WRITER_TIMEOUT;
        let mut failure = None;
        loop {
            let status = replication.status.get();
            if needs.are_met(replication, &status) {
                return Ok(Outcome::Here(Request::from_parts(head, Body::from(body))));
            }
            match status.writer_url.as_ref().filter(|url| **url != replication.settings.url) {
                Some(_) if is_forwarded => return Ok(Outcome::Response(not_the_writer())),
                Some(url) => match send(replication, url, &head, &body).await {
                    Ok(response) => return Ok(Outcome::Response(response)),
                    Err(SendError::NotDone(reason)) => failure = Some(reason),
                    Err(SendError::Unknown(reason)) => {
                        return Err(unavailable(&format!(
                            "it is not known whether the writer got the request: {reason}"
                        )));
                    }
                },
                // The next writer may be this replica, unless it has stopped.
                None if status.role == Role::Stopped => failure = Some("this replica has stopped".to_owned()),
                None => {}
            }
            let is_over = Instant::now() >= deadline || (status.role == Role::Stopped && status.writer_url.is_none());
            if is_over && is_forwarded {
                return Ok(Outcome::Response(not_the_writer()));
            }
            if is_over {
                let reason = failure.or_else(|| status.reason.clone());
                return Err(unavailable(reason.as_deref().unwrap_or("there is no writer")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Sends a request to this writer, and returns its response.
async fn send(replication: &Replication, writer: &str, head: &Parts, body: &Bytes) -> Result<Response, SendError> {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let url = reqwest::Url::parse(&format!("{writer}{}", target.replace('\\', "%5C")))
        .map_err(|error| SendError::NotDone(error.to_string()))?;
    let mut headers = head.headers.clone();
    remove_hop_by_hop(&mut headers);
    DEALT_WITH.iter().for_each(|name| drop(headers.remove(name)));
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    let request = replication.client.request(head.method.clone(), url).headers(headers).body(body.clone());
    let lost = match head.method.is_safe() {
        true => SendError::NotDone,
        false => SendError::Unknown,
    };
    let response = tokio::select! {
        response = request.send() => response.map_err(|error| match error.is_connect() {
            true => SendError::NotDone(format!("the writer at {writer}: {}", client::reason(&error))),
            false => lost(format!("the writer at {writer}: {}", client::reason(&error))),
        })?,
        () = replaced(replication, writer) => return Err(lost("another replica writes now".to_owned())),
    };
    let (mut parts, body) = axum::http::Response::<reqwest::Body>::from(response).into_parts();
    if parts.headers.contains_key(FORWARDED) {
        return Err(SendError::NotDone("the writer has changed".to_owned()));
    }
    remove_hop_by_hop(&mut parts.headers);
    let is_refused = parts.status.is_client_error() || parts.status.is_server_error();
    match is_refused && !head.method.is_safe() {
        true => Ok(refused_by(writer, parts, Body::new(body)).await),
        false => Ok(Response::from_parts(parts, Body::new(body))),
    }
}

/// The writer's response to a request that it refused, with its reason for the log of this replica, which knows the client.
async fn refused_by(writer: &str, mut parts: axum::http::response::Parts, body: Body) -> Response {
    let read = tokio::time::timeout(WRITER_TIMEOUT, to_bytes(body, MAX_REASON)).await;
    let body = read.ok().and_then(Result::ok).unwrap_or_else(|| {
        parts.headers.remove(header::CONTENT_LENGTH);
        Bytes::from_static(b"the reason of the writer has not arrived, or is too long\n")
    });
    let text = client::shorten(&String::from_utf8_lossy(&body));
    let refused = Refused(Reason::AtWriter(parts.status), format!("the writer at {writer}: {text}"));
    parts.extensions.insert(refused);
    Response::from_parts(parts, Body::from(body))
}

/// Waits until another replica than `writer` is the writer. A writer that has lost its network or is stopped never responds.
async fn replaced(replication: &Replication, writer: &str) {
    while replication.status.get().writer_url.as_deref().is_none_or(|url| url == writer) {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes the headers about one connection, and those that `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let named: Vec<HeaderName> = named.collect();
    named.iter().chain(&HOP_BY_HOP).for_each(|name| drop(headers.remove(name)));
}

/// The response to another replica that took this one for the writer.
fn not_the_writer() -> Response {
    let refusal = unavailable("this replica is not the writer");
    ([(FORWARDED, HeaderValue::from_static("0"))], refusal).into_response()
}

fn unavailable(reason: &str) -> Refusal {
    Refusal(Reason::Writer, format!("{reason}; try again later"))
}
