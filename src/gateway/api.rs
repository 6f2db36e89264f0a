//! The gateway's endpoints: Pushgateway's, and a few that it does not have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};

use super::body::{BodyError, unpack};
use super::change::{Plan, Replace, Times};
use super::core::{Core, Unkept};
use super::json;
use super::key::{Key, KeyError};
use super::page;
use super::refusal::Refusal;
use super::scrape::{self, Shape};
use super::settings::Settings;
use super::state::State;
use super::sweep::Selection;
use crate::encode::family::FamilyInfo;
use crate::encode::parse::{self, Format};
use crate::encode::pushed::Names;
use crate::encode::{Family, FamilyWriter};
use crate::http::timed::TooSlow;
use crate::sinks::negotiate::{self, accepts_gzip};
use crate::sinks::render;

/// What the endpoints answer from.
pub struct Gateway {
    core: Arc<Core>,
    /// What a reload changes is swapped in.
    pub settings: ArcSwap<Settings>,
    started: SystemTime,
    /// Told when the process is asked to end.
    quit: tokio::sync::Notify,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    refused: AtomicU64,
    deleted: AtomicU64,
    expired: AtomicU64,
    unkept: AtomicU64,
}

/// An answer that is an error, in a line of text.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        Refused(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Unsound { .. } => StatusCode::BAD_REQUEST,
        };
        Refused(status, error.to_string())
    }
}

impl From<parse::Error> for Refused {
    fn from(error: parse::Error) -> Self {
        let status = match error {
            parse::Error::Malformed { .. } => StatusCode::BAD_REQUEST,
            parse::Error::Limit { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Refused(status, error.to_string())
    }
}

impl From<Unkept> for Refused {
    fn from(error: Unkept) -> Self {
        Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// Why a push that could be read was not taken.
enum NotTaken {
    Inconsistent(Refusal),
    Limit(String),
}

impl Gateway {
    /// A gateway with the groups of `core`.
    pub fn new(core: Arc<Core>, settings: Settings) -> Arc<Self> {
        Arc::new(Gateway {
            core,
            settings: ArcSwap::from_pointee(settings),
            started: SystemTime::now(),
            quit: tokio::sync::Notify::new(),
            counts: Counts::default(),
        })
    }

    /// Waits until a request asks for the end.
    pub async fn asked_to_quit(&self) {
        self.quit.notified().await;
    }

    /// Lets go of the disk once everything is written.
    pub fn close(&self) {
        self.core.close();
    }

    /// Ends the groups whose time has come, and says how many.
    pub async fn expire(&self) -> usize {
        if !self.core.look(State::is_any_expiring) {
            return 0;
        }
        let now = now();
        let is_over = |_: &Key, times: Times| times.expires.is_some_and(|expires| expires <= now);
        let plan = |state: &State| Ok::<_, Refusal>(Plan::Sweep(state.select(is_over)));
        let ended = self.core.change(plan).await.ok().and_then(Result::ok).unwrap_or(0);
        self.counts.expired.fetch_add(ended as u64, Ordering::Relaxed);
        ended
    }
}

/// The endpoints.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().fallback(answer).with_state(gateway)
}

async fn answer(Extract(gateway): Extract<Arc<Gateway>>, request: Request) -> Response {
    let method = request.method().clone();
    let answered = route(&gateway, request).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Which endpoint a path is for; slashes that follow each other are one.
async fn route(gateway: &Arc<Gateway>, request: Request) -> Result<Response, Refused> {
    let raw = request.uri().path().to_owned();
    let parts: Vec<&str> = raw.split('/').filter(|part| !part.is_empty()).collect();
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        other => other.clone(),
    };
    match (parts.as_slice(), method) {
        (["metrics"], Method::GET) => Ok(gateway.scrape(request.headers())),
        (["metrics"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        (["metrics", "job" | "job@base64"], _) => Err(not_found()),
        (["metrics", "job" | "job@base64", ..], _) => {
            let start = raw.find("job").unwrap_or_default();
            group(gateway, &raw[start..], request).await
        }
        ([], Method::GET) => Ok(page::page(gateway.core.as_ref(), request.uri().query().unwrap_or_default())),
        (["-", "healthy" | "ready"], Method::GET) => Ok("OK".into_response()),
        (["-", "quit"], method) => gateway.quit(&method),
        (["api", "v1", ..], Method::OPTIONS) => Ok(with_cors(StatusCode::OK.into_response())),
        (["api", "v1", "status"], Method::GET) => Ok(with_cors(gateway.status().into_response())),
        (["api", "v1", "metrics"], Method::GET) => Ok(with_cors(gateway.metrics().into_response())),
        (["api", "v1", "admin", "wipe"], method) if gateway.settings.load().admin_api => gateway.wipe(&method).await,
        (["api", "v1", "groups"], Method::DELETE) => gateway.delete_matching(request.uri().query()).await,
        (["api", "v1", "status" | "metrics"], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
        (["-", "healthy" | "ready"] | [], method) => Ok(other_method(&method, "GET, HEAD, OPTIONS")),
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

fn with_cors(mut response: Response) -> Response {
    for (name, value) in [
        ("access-control-allow-headers", "Accept, Authorization, Content-Type, Origin"),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Date"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Seconds of Unix time.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The endpoints of one group.
async fn group(gateway: &Arc<Gateway>, path: &str, request: Request) -> Result<Response, Refused> {
    let key = Key::from_path(path)?;
    match *request.method() {
        Method::PUT => gateway.push(key, request, Replace::Everything).await,
        Method::POST => gateway.push(key, request, Replace::Named).await,
        Method::DELETE => gateway.delete(&key).await,
        Method::GET | Method::HEAD => gateway.show(&key),
        ref other => Ok(other_method(other, "DELETE, GET, HEAD, OPTIONS, POST, PUT")),
    }
}

impl Gateway {
    async fn push(&self, key: Key, request: Request, replace: Replace) -> Result<Response, Refused> {
        let settings = self.settings.load_full();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let content_type = text_of(request.headers(), &header::CONTENT_TYPE).to_owned();
        let encoding = text_of(request.headers(), &header::CONTENT_ENCODING).to_owned();
        let ttl = time_to_live(&query, request.headers())?;
        let body = read_body(request, settings.max_body).await?;
        let body = unpack(body, &encoding, settings.max_body)?;
        let pushed = parse::parse(Format::from_content_type(&content_type), &body, &settings.limits);
        let pushed = pushed.inspect_err(|_| count(&self.counts.refused))?;
        let now = now();
        let plan = |state: &State| -> Result<Plan, NotTaken> {
            let known = state.times(&key).unwrap_or_default();
            let expires = ttl.map_or(known.expires, |ttl| Some(now + ttl));
            let times = Times { pushed: now, failed: known.failed, expires };
            check_limits(state, &key, &settings)?;
            state.plan(&key, &pushed, replace, times).map(Plan::Change).map_err(NotTaken::Inconsistent)
        };
        match self.core.change(plan).await.inspect_err(|_| count(&self.counts.unkept))? {
            Ok(_) => {
                count(&self.counts.taken);
                Ok(StatusCode::OK.into_response())
            }
            Err(NotTaken::Limit(message)) => {
                count(&self.counts.refused);
                Err(Refused(StatusCode::TOO_MANY_REQUESTS, message))
            }
            Err(NotTaken::Inconsistent(refusal)) => {
                count(&self.counts.refused);
                self.note_failure(&key, now, &settings).await;
                let message = format!("pushed metrics are invalid or inconsistent with existing metrics: {refusal}");
                Err(Refused(StatusCode::BAD_REQUEST, message))
            }
        }
    }

    /// Marks the group; one that was never pushed to is made for it, within the limit.
    async fn note_failure(&self, key: &Key, now: f64, settings: &Settings) {
        let plan = |state: &State| -> Result<Plan, NotTaken> {
            check_limits(state, key, settings)?;
            Ok(Plan::Change(state.plan_failure(key, now)))
        };
        // The push is refused anyway.
        drop(self.core.change(plan).await);
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
        Ok(([content_type], scrape::group(&pieces, Names::Quoted)).into_response())
    }

    async fn wipe(&self, method: &Method) -> Result<Response, Refused> {
        if *method != Method::PUT {
            return Ok(other_method(method, "PUT, OPTIONS"));
        }
        self.end(|state| state.select(|_, _| true)).await?;
        Ok(with_cors(StatusCode::ACCEPTED.into_response()))
    }

    /// Ends the groups that `select` selects, and says how many they were.
    async fn end(&self, select: impl FnOnce(&State) -> Selection) -> Result<usize, Refused> {
        let plan = |state: &State| Ok::<_, Refusal>(Plan::Sweep(select(state)));
        let ended = self.core.change(plan).await?.unwrap_or(0);
        self.counts.deleted.fetch_add(ended as u64, Ordering::Relaxed);
        Ok(ended)
    }

    /// `DELETE /api/v1/groups?match[]=job="x",instance=~"a.*"&dry_run=true`: a group goes that one of them matches.
    async fn delete_matching(&self, query: Option<&str>) -> Result<Response, Refused> {
        let parameters: Vec<_> = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        let mut matchers = Vec::new();
        for (_, text) in parameters.iter().filter(|(name, _)| name == "match[]") {
            matchers.push(super::matcher::parse(text).map_err(|error| Refused(StatusCode::BAD_REQUEST, error))?);
        }
        if matchers.is_empty() {
            let message = "expected match[], such as match[]=job=\"backup\",host=~\"web-.*\"".to_owned();
            return Err(Refused(StatusCode::BAD_REQUEST, message));
        }
        let is_wanted = |key: &Key| matchers.iter().any(|all| all.iter().all(|matcher| matcher.matches(key)));
        let is_dry =
            parameters.iter().any(|(name, value)| name == "dry_run" && matches!(value.as_ref(), "" | "1" | "true"));
        let count = match is_dry {
            true => self.core.look(|state| state.all().filter(|(key, _)| is_wanted(key)).count()),
            false => self.end(|state| state.select(|key, _| is_wanted(key))).await?,
        };
        Ok(axum_json(&json!({"status": "success", "data": {"groups": count, "dry_run": is_dry}})))
    }

    fn quit(&self, method: &Method) -> Result<Response, Refused> {
        if ![Method::PUT, Method::POST].contains(method) {
            let message = "Only POST or PUT requests allowed.".to_owned();
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        if !self.settings.load().lifecycle {
            return Err(Refused(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.".to_owned()));
        }
        self.quit.notify_one();
        Ok("Requesting termination... Goodbye!".into_response())
    }

    fn status(&self) -> Response {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        axum_json(&json!({
            "status": "success",
            "data": {
                "flags": {},
                "start_time": json::rfc3339(started),
                "build_information": {"version": env!("CARGO_PKG_VERSION"), "program": "taffrail"},
            },
        }))
    }

    fn metrics(&self) -> Response {
        let groups = self.core.look(|state| {
            let keys: Vec<(Key, Times)> = state.all().map(|(key, times)| (key.clone(), times)).collect();
            let pieces = keys.into_iter().map(|(key, times)| (state.pieces(&key).unwrap_or_default(), key, times));
            pieces.collect::<Vec<_>>()
        });
        let groups: Vec<Value> = groups.iter().map(|(pieces, key, times)| json::group(key, *times, pieces)).collect();
        axum_json(&json!({"status": "success", "data": groups}))
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
        let (families, bytes) = self.core.look(|state| (state.snapshot(), state.bytes()));
        tracing::debug!("a scrape saw everything within {:?}", begun.elapsed());
        let gateway = self.clone();
        let produce = move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut rest = scrape::families(&families, shape, drain);
            rest.extend(gateway.own_families(shape));
            rest
        };
        let head = [(header::CONTENT_TYPE, shape.content_type()), (header::VARY, "Accept, Accept-Encoding")];
        let is_gzip = accepts_gzip(text_of(headers, &header::ACCEPT_ENCODING));
        let encoding = is_gzip.then_some((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        let body = match (is_gzip, bytes < LARGE) {
            (true, true) => Body::from(render::collected(render::compressed(produce))),
            (true, false) => Body::new(render::streamed(render::compressed(produce), |_| {})),
            (false, true) => Body::from(render::collected(produce)),
            (false, false) => Body::new(render::streamed(produce, |_| {})),
        };
        (head, encoding.into_iter().collect::<HeaderMap>(), body).into_response()
    }

    /// What the gateway tells of itself.
    fn own_families(&self, shape: Shape) -> Vec<u8> {
        let (groups, metrics, bytes) = self.core.look(|state| (state.groups(), state.metrics(), state.bytes()));
        let format = match shape {
            Shape::Protobuf => negotiate::Format::Protobuf,
            Shape::Text(_) => negotiate::Format::Text,
        };
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        render::whole(format, |out: &mut FamilyWriter<'_>| {
            out.value(&BYTES, bytes as u64);
            out.value(&DELETED, get(&self.counts.deleted));
            out.value(&EXPIRED, get(&self.counts.expired));
            out.value(&GROUPS, groups as u64);
            out.value(&METRICS, metrics as u64);
            let mut pushes = out.family(&PUSHES);
            pushes.sample(["refused"], get(&self.counts.refused));
            pushes.sample(["taken"], get(&self.counts.taken));
            pushes.sample(["unkept"], get(&self.counts.unkept));
        })
    }
}

/// A body of more bytes is sent while it is made.
const LARGE: usize = 512 << 10;

const BYTES: Family<0> = Family::gauge("taffrail_gateway_bytes", "Memory that what was pushed takes, about.", []);
const DELETED: Family<0> = Family::counter("taffrail_gateway_deleted_groups_total", "Groups that were deleted.", []);
const EXPIRED: Family<0> = Family::counter("taffrail_gateway_expired_groups_total", "Groups whose time was over.", []);
const GROUPS: Family<0> = Family::gauge("taffrail_gateway_groups", "Groups that there are.", []);
const METRICS: Family<0> =
    Family::gauge("taffrail_gateway_metrics", "Metrics that there are in all groups, their markers included.", []);
const PUSHES: Family<1> = Family::counter(
    "taffrail_gateway_pushes_total",
    "Pushes that were taken, refused for what they hold, or not kept because the disk would not.",
    ["outcome"],
);

/// The families that the gateway tells of itself.
pub const FAMILIES: &[FamilyInfo] =
    &[BYTES.info(), DELETED.info(), EXPIRED.info(), GROUPS.info(), METRICS.info(), PUSHES.info()];

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A header's value; empty if it is not there, or not text.
fn text_of<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn axum_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn check_limits(state: &State, key: &Key, settings: &Settings) -> Result<(), NotTaken> {
    if state.times(key).is_none() && state.groups() >= settings.max_groups {
        let limit = settings.max_groups;
        return Err(NotTaken::Limit(format!("there are {limit} groups already, the limit of [gateway] max_groups")));
    }
    if state.metrics() >= settings.max_total_series {
        let limit = settings.max_total_series;
        return Err(NotTaken::Limit(format!(
            "there are {limit} metrics already, the limit of [gateway] max_total_series"
        )));
    }
    Ok(())
}

/// How long the group is to live: `?ttl=1h`, or the header `X-Taffrail-TTL`.
fn time_to_live(query: &str, headers: &HeaderMap) -> Result<Option<f64>, Refused> {
    let in_query = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ttl").map(|(_, value)| value);
    let in_header = headers.get("x-taffrail-ttl").and_then(|value| value.to_str().ok()).map(Into::into);
    let Some(text) = in_query.or(in_header) else { return Ok(None) };
    let wrong = || Refused(StatusCode::BAD_REQUEST, format!("expected a time to live such as ttl=90m, found {text:?}"));
    let duration = humantime::parse_duration(&text).map_err(|_| wrong())?;
    if duration.is_zero() { Err(wrong()) } else { Ok(Some(duration.as_secs_f64())) }
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<TooSlow>() || error.source().is_some_and(is_too_slow)
}

/// The whole body; one that was cut off is none.
async fn read_body(request: Request, limit: usize) -> Result<Vec<u8>, Refused> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(BodyError::TooLong(limit).into());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLong(limit).into()),
        Err(error) if is_too_slow(&*error) => Err(Refused(StatusCode::REQUEST_TIMEOUT, TooSlow.to_string())),
        Err(_) => Err(Refused(StatusCode::BAD_REQUEST, "the body was cut off".to_owned())),
    }
}
