//! Which request goes where: Pushgateway's endpoints, and a few that it does not have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::Refused;
use super::base::{Gateway, json_answer, text_of};
use super::change::{Piece, Plan};
use super::json::{self, Page};
use super::key::{Key, path_of};
use super::names;
use super::origin::Foreign;
use super::own;
use super::page;
use super::refusal::Refusal;
use super::scrape::{self, Shape};
use super::settings::Settings;
use super::state::State;
use super::sweep::Selection;
use super::write::{self, Version};
use crate::encode::parse::model::Kind;
use crate::encode::pushed::Names;
use crate::http::access::{Right, Viewer};
use crate::http::{self, Asked};
use crate::sinks::negotiate::{self, accepts_gzip};
use crate::sinks::render;

/// The endpoints.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().fallback(answer).with_state(gateway)
}

async fn answer(Extract(gateway): Extract<Arc<Gateway>>, request: Request) -> Response {
    let (method, settings) = (request.method().clone(), gateway.settings.load_full());
    let path = request.uri().path().to_owned();
    let from = origins(request.headers());
    let is_preflight = http::server::is_preflight(&method, request.headers());
    let asked = request.extensions().get::<Asked>().copied();
    let is_probe = asked.is_some_and(|asked| asked.is_probe);
    let below = settings.prefix.below(&path).or(is_probe.then_some(path.as_str()));
    let answered = match below {
        None => Err(not_found()),
        Some("") if matches!(method, Method::GET | Method::HEAD) && !settings.prefix.as_str().is_empty() => {
            Ok(see(settings.prefix.with_slash().unwrap_or_default()))
        }
        Some(_) if is_preflight => Ok(StatusCode::OK.into_response()),
        Some(below) => match is_probe.then_some(()).ok_or(()).or_else(|()| check_browser(&settings, &request)) {
            Ok(()) => route(&gateway, below, request).await,
            Err(foreign) => Err(Refused(foreign.status(), foreign.to_string())),
        },
    };
    if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS)
        && let Some((status, reason)) = refusal(&answered)
    {
        let peer = asked.and_then(|asked| asked.peer);
        gateway.refusals.tell(peer, &method, &path, status, &reason);
    }
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let is_public = below.is_some_and(|below| matches!(below, "/api/v1/status" | "/api/v1/metrics"));
    settings.browsers.let_read(&from, is_public, &mut response);
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Why a request was refused, if it was.
fn refusal(answered: &Result<Response, Refused>) -> Option<(StatusCode, String)> {
    match answered {
        Err(Refused(status, reason)) => Some((*status, reason.clone())),
        Ok(response) if response.status().as_u16() < 400 => None,
        Ok(response) => {
            let told = response.headers().get(write::ERROR).and_then(|reason| reason.to_str().ok());
            let reason = told.or(response.status().canonical_reason()).unwrap_or_default();
            Some((response.status(), reason.to_owned()))
        }
    }
}

fn check_browser(settings: &Settings, request: &Request) -> Result<(), Foreign> {
    let is_tls = request.extensions().get::<Asked>().is_some_and(|asked| asked.is_tls);
    settings.browsers.check(request.method(), request.uri(), request.headers(), is_tls)
}

/// The origins that a request names, which answers are for.
fn origins(headers: &HeaderMap) -> HeaderMap {
    headers.get_all(header::ORIGIN).iter().map(|origin| (header::ORIGIN, origin.clone())).collect()
}

/// Leads a browser to another path.
fn see(path: String) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, path)]).into_response()
}

/// Which endpoint a path is for, and what it takes to ask; slashes that follow each other are one. `raw` is below the
/// prefix.
async fn route(gateway: &Arc<Gateway>, raw: &str, request: Request) -> Result<Response, Refused> {
    let raw = raw.to_owned();
    let parts: Vec<&str> = raw.split('/').filter(|part| !part.is_empty()).collect();
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        other => other.clone(),
    };
    let viewer = request.extensions().get::<Viewer>().cloned().unwrap_or(Viewer::Anybody);
    if let ["metrics", "job" | "job@base64", _, ..] = parts.as_slice() {
        let start = raw.find("job").unwrap_or_default();
        return group(gateway, &raw[start..], &viewer, request).await;
    }
    // Whoever may only push still asks whether somebody is there.
    if method == Method::GET && !matches!(parts.as_slice(), ["-", ..] | ["ping" | "health"]) {
        viewer.may(Right::Read)?;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let query = query.as_str();
    match (parts.as_slice(), method) {
        (["metrics"], Method::GET) => Ok(gateway.scrape(request.headers())),
        (["metrics"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        // What the page names is beside it.
        (["status"], Method::GET) if raw.ends_with('/') => Ok(see("../status".to_owned())),
        ([] | ["status"], Method::GET) => Ok(page::page(gateway.core.as_ref(), query, &viewer)),
        (["-", "healthy" | "ready"], Method::GET) => Ok("OK".into_response()),
        (["write"], Method::POST) => gateway.write_points(Version::One, &viewer, request).await,
        (["api", "v2", "write"], Method::POST) => gateway.write_points(Version::Two, &viewer, request).await,
        (["ping"], _) => Ok(write::ping()),
        (["query"], Method::GET | Method::POST) => Ok(write::query()),
        (["api", "v2", "query"], Method::POST) => Ok(StatusCode::OK.into_response()),
        (["health"], Method::GET) => Ok(write::health()),
        (["-", "quit"], method) => gateway.quit(&method, &viewer),
        (["api", "v1", ..], Method::OPTIONS) => Ok(StatusCode::OK.into_response()),
        (["api", "v1", "status"], Method::GET) => Ok(gateway.status()),
        (["api", "v1", "metrics"], Method::GET) => gateway.metrics(query),
        (["api", "v1", "admin", "wipe"], method) if gateway.settings.load().admin_api => {
            gateway.wipe(&method, &viewer).await
        }
        (["api", "v1", "groups"], Method::DELETE) => {
            viewer.may(Right::Admin)?;
            gateway.delete_matching(query).await
        }
        (["api", "v1", "status" | "metrics"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        (["-", "healthy" | "ready"] | [] | ["status"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        _ => Err(not_found()),
    }
}

fn not_found() -> Refused {
    Refused(StatusCode::NOT_FOUND, "404 page not found".to_owned())
}

/// What a method is answered that an endpoint does not have.
fn other_method(method: &Method, allowed: &'static str) -> Response {
    let status = if *method == Method::OPTIONS { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED };
    (status, [(header::ALLOW, allowed)]).into_response()
}

/// The endpoints of one group.
async fn group(gateway: &Arc<Gateway>, path: &str, viewer: &Viewer, request: Request) -> Result<Response, Refused> {
    let key = Key::from_path(path)?;
    match *request.method() {
        Method::PUT | Method::POST => {
            viewer.may_push(key.job())?;
            gateway.push(key, request).await
        }
        Method::DELETE => {
            viewer.may_push(key.job())?;
            gateway.delete(&key).await
        }
        Method::GET | Method::HEAD => {
            viewer.may(Right::Read)?;
            gateway.show(&key)
        }
        ref other => Ok(other_method(other, "DELETE, GET, HEAD, OPTIONS, POST, PUT")),
    }
}

impl Gateway {
    /// Points belong to no job: whoever is limited to some may not write any.
    async fn write_points(&self, version: Version, viewer: &Viewer, request: Request) -> Result<Response, Refused> {
        viewer.may_push("")?;
        self.write(version, request).await
    }

    async fn delete(&self, key: &Key) -> Result<Response, Refused> {
        self.end(|state| state.select_keys(std::slice::from_ref(key))).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// What a group has, as text.
    fn show(&self, key: &Key) -> Result<Response, Refused> {
        let pieces = self.core.look(|state| state.pieces(key));
        let pieces = pieces.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no group {key}")))?;
        let content_type = (header::CONTENT_TYPE, Shape::Text(Names::Quoted).content_type());
        let bytes = pieces.iter().map(Piece::bytes).sum();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| scrape::group(&pieces, Names::Quoted, drain);
        Ok(([content_type], body(produce, bytes)).into_response())
    }

    async fn wipe(&self, method: &Method, viewer: &Viewer) -> Result<Response, Refused> {
        if *method != Method::PUT {
            return Ok(other_method(method, "PUT, OPTIONS"));
        }
        viewer.may(Right::Admin)?;
        self.end(|state| state.select(|_, _| true)).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// Ends the groups that `select` selects, and says how many they were.
    async fn end(&self, select: impl FnOnce(&State) -> Selection) -> Result<usize, Refused> {
        let plan = |state: &State| Ok::<_, Refusal>(Plan::Sweep(select(state)));
        let ended = self.core.change(plan).await?.unwrap_or(0);
        self.counts.deleted.fetch_add(ended as u64, Ordering::Relaxed);
        Ok(ended)
    }

    /// `DELETE /api/v1/groups?match[]=job="x",instance=~"a.*"&dry_run=true`: a group goes that one of them matches.
    async fn delete_matching(&self, query: &str) -> Result<Response, Refused> {
        let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let mut matchers = Vec::new();
        for (_, text) in parameters.iter().filter(|(name, _)| name == "match[]") {
            matchers.push(super::matcher::parse(text).map_err(Refused::bad)?);
        }
        if matchers.is_empty() {
            let message = "expected match[], such as match[]=job=\"backup\",host=~\"web-.*\"".to_owned();
            return Err(Refused::bad(message));
        }
        let is_wanted = |key: &Key| matchers.iter().any(|all| all.iter().all(|matcher| matcher.matches(key)));
        let is_dry =
            parameters.iter().any(|(name, value)| name == "dry_run" && matches!(value.as_ref(), "" | "1" | "true"));
        let count = match is_dry {
            true => self.core.look(|state| state.all().filter(|(key, _)| is_wanted(key)).count()),
            false => self.end(|state| state.select(|key, _| is_wanted(key))).await?,
        };
        Ok(json_answer(&json!({"status": "success", "data": {"groups": count, "dry_run": is_dry}})))
    }

    fn quit(&self, method: &Method, viewer: &Viewer) -> Result<Response, Refused> {
        if ![Method::PUT, Method::POST].contains(method) {
            let message = "Only POST or PUT requests allowed.".to_owned();
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        if !self.settings.load().lifecycle {
            return Err(Refused(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.".to_owned()));
        }
        viewer.may(Right::Admin)?;
        self.quit.notify_one();
        Ok("Requesting termination... Goodbye!".into_response())
    }

    fn status(&self) -> Response {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        json_answer(&json!({
            "status": "success",
            "data": {
                "flags": {},
                "start_time": json::rfc3339(started),
                "build_information": {"version": env!("CARGO_PKG_VERSION"), "program": "taffrail"},
            },
        }))
    }

    /// `GET /api/v1/metrics`; with `limit`, and `after` as the answer before said, a page at a time.
    fn metrics(self: &Arc<Self>, query: &str) -> Result<Response, Refused> {
        let page = page_of(query)?;
        let (keys, bytes) = self
            .core
            .look(|state| (state.all().map(|(key, times)| (key.clone(), times)).collect::<Vec<_>>(), state.bytes()));
        let (groups, has_more) = page.of(keys);
        let gateway = self.clone();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut out = b"{\"data\":[".to_vec();
            let mut separator: &[u8] = b"";
            // A group at a time, so that pushes are not held up; one that has ended meanwhile is left out.
            for (key, times) in &groups {
                let Some(pieces) = gateway.core.look(|state| state.pieces(key)) else { continue };
                out.extend_from_slice(std::mem::replace(&mut separator, b","));
                json::write_group(&mut out, key, *times, &pieces, drain);
            }
            out.push(b']');
            if let Some((last, _)) = groups.last().filter(|_| has_more) {
                out.extend_from_slice(b",\"next\":");
                out.extend_from_slice(Value::from(path_of_key(last)).to_string().as_bytes());
            }
            out.extend_from_slice(b",\"status\":\"success\"}");
            out
        };
        Ok(([(header::CONTENT_TYPE, "application/json")], body(produce, bytes)).into_response())
    }

    fn scrape(self: &Arc<Self>, headers: &HeaderMap) -> Response {
        let accept = text_of(headers, &header::ACCEPT);
        let shape = match negotiate::Format::from_accept(accept) {
            negotiate::Format::Protobuf => Shape::Protobuf,
            // What was pushed as text 0.0.4 may not have the names that OpenMetrics demands.
            _ if accept.contains("escaping=allow-utf-8") => Shape::Text(Names::Quoted),
            _ => Shape::Text(Names::Escaped),
        };
        let begun = Instant::now();
        let (all, bytes) = self.core.look(|state| (state.snapshot(), state.bytes()));
        let bytes = bytes + A_LINE * (2 * all.groups.len() + self.points.series());
        tracing::debug!("a scrape saw everything within {:?}", begun.elapsed());
        let gateway = self.clone();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut rest = scrape::families(&all, shape, drain);
            let has = |name: &str| names::is_taken(name, Kind::Untyped, &|name| all.kind_of(name));
            drain(&mut rest);
            rest.extend(gateway.points.write(shape, &has, drain));
            rest.extend(gateway.own_families(shape));
            rest
        };
        let head = [(header::CONTENT_TYPE, shape.content_type()), (header::VARY, "Accept, Accept-Encoding")];
        let is_gzip = accepts_gzip(text_of(headers, &header::ACCEPT_ENCODING));
        let encoding = is_gzip.then_some((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        let body = if is_gzip { body(render::compressed(produce), bytes) } else { body(produce, bytes) };
        (head, encoding.into_iter().collect::<HeaderMap>(), body).into_response()
    }

    /// What the gateway tells of itself.
    fn own_families(&self, shape: Shape) -> Vec<u8> {
        let (series, bytes) = (self.points.series(), self.points.bytes());
        let gauges = self.core.look(|state| own::Gauges::of(state, series, bytes));
        let format = match shape {
            Shape::Protobuf => negotiate::Format::Protobuf,
            Shape::Text(_) => negotiate::Format::Text,
        };
        render::whole(format, 0, |out| own::write(out, &self.counts, &gauges))
    }
}

/// A body that is made of about so many bytes: at once, or while it is sent.
fn body(produce: impl render::Produce + Send + 'static, bytes: usize) -> Body {
    match bytes < LARGE {
        true => Body::from(render::collected(produce)),
        false => Body::new(render::streamed(produce, |_| {})),
    }
}

/// Which groups a query asks for.
fn page_of(query: &str) -> Result<Page, Refused> {
    let mut page = Page::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit > 0);
                let wrong = || Refused::bad(format!("expected a limit such as limit=100, found {value:?}"));
                page.limit = Some(limit.ok_or_else(wrong)?);
            }
            "after" => page.after = Some(Key::from_path(value.strip_prefix("metrics/").unwrap_or(&value))?),
            _ => {}
        }
    }
    Ok(page)
}

/// The path of a group, by which it can be asked for.
fn path_of_key(key: &Key) -> String {
    path_of(key.job(), key.labels().filter(|(name, _)| *name != "job"))
}

/// What a line takes that no block holds, about: a marker's, or a point's.
const A_LINE: usize = 100;
/// A body of more bytes is sent while it is made.
const LARGE: usize = 512 << 10;
