//! The endpoints that read: the scrape, one group, all groups as JSON, and the gateway's status.

use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::gateway::{Gateway, text_of};
use super::json as json_response;
use crate::encode::parse::model::Kind;
use crate::gateway::exposition::escaping::FamilyNames;
use crate::gateway::exposition::json::{Page, rfc3339, write_group};
use crate::gateway::exposition::scrape::{self, OutputFormat};
use crate::gateway::groups::change::GroupFamily;
use crate::gateway::groups::names;
use crate::gateway::groups::state::Snapshot;
use crate::gateway::key::Key;
use crate::gateway::page;
use crate::gateway::request::query::Query;
use crate::gateway::request::refusal::{Reason, Refusal};
use crate::gateway::self_metrics::{self, Gauges};
use crate::http::Arrival;
use crate::http::access::Viewer;
use crate::sinks::negotiate::{Format, Wanted, accepts_gzip};
use crate::sinks::render;

/// The Content-Type of text with names in quotes where needed.
const QUOTED: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
/// Bytes of a marker's or a point's line, approximately.
const LINE_BYTES: usize = 100;
/// Bodies of at least this many bytes are streamed.
const STREAMED_BYTES: usize = 512 << 10;

impl Gateway {
    /// One group, as text. A comment says why its last refused push was refused.
    pub(super) fn show(&self, key: &Key) -> Result<Response, Refusal> {
        let group = self.store.read(|state| state.families_of(key).zip(state.times(key)));
        let (families, times) = group.ok_or_else(|| Refusal(Reason::NotFound, format!("there is no group {key}")))?;
        let reason = self.last_refusals.reason(key, times);
        let comment = reason.map(|reason| format!("# Push refused at {}: {reason}\n", rfc3339(times.failed)));
        let content_type = (header::CONTENT_TYPE, QUOTED);
        let bytes = families.iter().map(GroupFamily::bytes).sum();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
            drain(&mut comment.unwrap_or_default().into_bytes());
            scrape::group(&families, drain)
        };
        Ok(([content_type], body(produce, bytes)).into_response())
    }

    /// The page, for the client of `request`.
    pub(super) fn page(&self, request: &Request, viewer: &Viewer) -> Response {
        let is_tls = request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.is_tls);
        let url = page::url(&self.settings.load(), request.headers(), is_tls);
        let context = page::Context {
            store: &self.store,
            last_refusals: &self.last_refusals,
            started: self.started,
            url,
            viewer,
            replica: self.replication.as_ref().map(|replication| &*replication.status),
        };
        page::page(&context, request.uri().query().unwrap_or_default())
    }

    /// `GET /api/v1/status`.
    pub(super) fn status(&self) -> Response {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut data = json!({
            "flags": {},
            "start_time": rfc3339(started),
            "build_information": {"version": env!("CARGO_PKG_VERSION"), "program": "taffrail"},
        });
        if let Some(replication) = &self.replication {
            data["replica"] = replication.to_json();
        }
        json_response(&json!({"status": "success", "data": data}))
    }

    /// `GET /api/v1/metrics`. `limit` makes it a page; `after` is the `next` of the page before.
    pub(super) fn metrics(self: &Arc<Self>, query: &str) -> Result<Response, Refusal> {
        let page = page_of(query)?;
        let (keys, bytes) = self
            .store
            .read(|state| (state.all().map(|(key, times)| (key.clone(), times)).collect::<Vec<_>>(), state.bytes()));
        let (groups, has_more) = page.of(keys);
        let gateway = self.clone();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut out = b"{\"data\":[".to_vec();
            let mut separator: &[u8] = b"";
            // Locks the state for one group at a time, so that pushes do not wait. Skips groups removed meanwhile.
            for (key, times) in &groups {
                let Some(families) = gateway.store.families_of(key) else { continue };
                out.extend_from_slice(std::mem::replace(&mut separator, b","));
                let refusal = gateway.last_refusals.reason(key, *times);
                write_group(&mut out, key, (*times, refusal.as_deref()), &families, drain);
            }
            out.push(b']');
            if let Some((last, _)) = groups.last().filter(|_| has_more) {
                out.extend_from_slice(b",\"next\":");
                out.extend_from_slice(Value::from(last.path()).to_string().as_bytes());
            }
            out.extend_from_slice(b",\"status\":\"success\"}");
            out
        };
        Ok(([(header::CONTENT_TYPE, "application/json")], body(produce, bytes)).into_response())
    }

    /// `GET /metrics`.
    pub(super) fn scrape(self: &Arc<Self>, headers: &HeaderMap) -> Response {
        // Pushes in text 0.0.4 may have names that OpenMetrics forbids.
        let wanted = Wanted::among(text_of(headers, &header::ACCEPT), |format| format != Format::OpenMetrics);
        let format = OutputFormat::from(wanted);
        let started = Instant::now();
        let exposes_groups = self.exposes_groups();
        let (all, bytes) = match exposes_groups {
            true => self.store.read(|state| (state.snapshot(), state.bytes())),
            false => (Snapshot::default(), 0),
        };
        let bytes = bytes + LINE_BYTES * (2 * all.groups.len() + self.points.series());
        tracing::debug!("a scrape saw everything within {:?}", started.elapsed());
        let gateway = self.clone();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
            let others = |name: &str| self_metrics::kind_of(name).or_else(|| gateway.points.kind_of(name));
            let mut family_names = FamilyNames::new(format.escaping(), &all, &others);
            let mut chunk = scrape::families(&all, format, &mut family_names, drain);
            // A new point may have a name that was assigned since.
            let is_taken = |name: &str| names::is_taken(name, Kind::Untyped, &|name| family_names.kind_of_pushed(name));
            drain(&mut chunk);
            if exposes_groups {
                chunk.extend(gateway.points.write(format, &is_taken, drain));
            }
            chunk.extend(gateway.self_metrics(wanted));
            chunk
        };
        let head = [
            (header::CONTENT_TYPE, wanted.content_type()),
            (header::VARY, HeaderValue::from_static("Accept, Accept-Encoding")),
        ];
        let is_gzip = accepts_gzip(text_of(headers, &header::ACCEPT_ENCODING));
        let encoding = is_gzip.then_some((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        let body = if is_gzip { body(render::compressed(produce), bytes) } else { body(produce, bytes) };
        (head, encoding.into_iter().collect::<HeaderMap>(), body).into_response()
    }

    fn self_metrics(&self, wanted: Wanted) -> Vec<u8> {
        let (point_series, point_bytes, body_bytes) =
            (self.points.series(), self.points.bytes(), self.bodies.reserved());
        let gauges = self.store.read(|state| Gauges {
            groups: state.groups(),
            metrics: state.metrics(),
            bytes: state.bytes() + point_bytes,
            body_bytes,
            expired: state.expired().clone(),
            point_series,
            started: self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        });
        render::whole(wanted, 0, |out| {
            self_metrics::write(out, &self.counters, &gauges);
            self.replication.iter().for_each(|replication| self_metrics::write_replica(out, &replication.status));
        })
    }
}

/// A body of approximately `bytes` bytes, streamed if it is large.
fn body(produce: impl render::Produce + Send + 'static, bytes: usize) -> Body {
    match bytes < STREAMED_BYTES {
        true => Body::from(render::collected(produce)),
        false => Body::new(render::streamed(produce, |_| {})),
    }
}

/// The page of groups that a query requests.
fn page_of(query: &str) -> Result<Page, Refusal> {
    let query = Query::new(query);
    let mut page = Page::default();
    if let Some(value) = query.one(&["limit"])? {
        let limit = value.parse().ok().filter(|limit| *limit > 0);
        let invalid = || Refusal::bad(format!("expected a limit such as limit=100, found {value:?}"));
        page.limit = Some(limit.ok_or_else(invalid)?);
    }
    if let Some(value) = query.one(&["after"])? {
        page.after = Some(Key::from_path(value.strip_prefix("metrics/").unwrap_or(value))?);
    }
    Ok(page)
}
