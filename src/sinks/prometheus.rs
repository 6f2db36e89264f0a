//! `GET /metrics`: readings when Prometheus asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::negotiate::{Wanted, accepts_gzip};
use super::render;
use super::state::{self, SinkState};
use crate::collectors::readers::{Answer, Readers, write_families};
use crate::collectors::settings::unknown;
use crate::collectors::{About, Vocabularies, list};
use crate::descriptors;
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};
use crate::http::access::{Right, Viewer};
use crate::http::connections;
use crate::log;

/// What the endpoints answer from. It outlives reloads; what a reload changes is swapped in.
pub struct Exposition {
    /// The collectors that are on.
    pub readers: ArcSwap<Readers>,
    /// The push sinks, by name.
    pub sinks: ArcSwap<Vec<(String, Arc<SinkState>)>>,
    /// What waits in the spool for no sink.
    pub orphans: state::Orphans,
    /// How many scrapes may be in flight.
    pub max_requests: AtomicUsize,
    /// Whether the process is on its way out.
    pub draining: AtomicBool,
    in_flight: AtomicUsize,
    refused_samples: AtomicU64,
    /// The size of the last body before it was compressed: the next will be about as long.
    body_size: AtomicUsize,
}

impl Exposition {
    /// An exposition of what `readers` read.
    pub fn new(readers: Arc<Readers>, max_requests: usize) -> Self {
        Exposition {
            readers: ArcSwap::new(readers),
            sinks: ArcSwap::default(),
            orphans: state::Orphans::default(),
            max_requests: AtomicUsize::new(max_requests),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            refused_samples: AtomicU64::new(0),
            body_size: AtomicUsize::new(usize::MAX),
        }
    }

    /// Everything that was read and everything that Taffrail knows of itself, as it is `wanted`.
    pub fn render(&self, answers: &[Answer], wanted: impl Into<Wanted>) -> Vec<u8> {
        /// Numbers have a digit more now and then.
        const MORE: usize = 256;
        let last = self.body_size.load(Ordering::Relaxed);
        let expected = if last > LARGE { 0 } else { last + MORE };
        render::whole(wanted, expected, |out| self.write(answers, out))
    }

    pub(super) fn write(&self, answers: &[Answer], out: &mut FamilyWriter<'_>) {
        out.reserve(REFUSED_SAMPLES.name());
        self.readers.load().write_families(out);
        state::write_families(&self.sinks.load(), out);
        self.orphans.write_families(out);
        descriptors::write_families(out);
        connections::write_families(out);
        log::write_families(out);
        // After all that is ours, as somebody else may have called his families the same.
        write_families(answers, out);
        let refused = self.refused_samples.fetch_add(out.refused(), Ordering::Relaxed) + out.refused();
        out.value(&REFUSED_SAMPLES, refused);
    }
}

/// A body of more bytes than this is sent while it is written; for less, a thread would cost more than memory.
const LARGE: usize = 512 << 10;

const REFUSED_SAMPLES: Family<0> = Family::counter(
    "taffrail_refused_samples_total",
    "Samples that were left out of expositions because they repeat a series or a family.",
    [],
);

/// The families that tell of the exposition itself.
pub const FAMILIES: &[FamilyInfo] = &[REFUSED_SAMPLES.info()];

/// The endpoints.
pub fn router(exposition: Arc<Exposition>) -> Router {
    Router::new()
        .route("/", get(landing_page))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(|| async { "Taffrail is healthy.\n" }))
        .route("/-/ready", get(ready))
        .with_state(exposition)
}

async fn landing_page() -> Html<&'static str> {
    Html(include_str!("landing.html"))
}

async fn ready(State(exposition): State<Arc<Exposition>>) -> Response {
    if exposition.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "Taffrail is shutting down.\n").into_response();
    }
    "Taffrail is ready.\n".into_response()
}

async fn metrics(
    State(exposition): State<Arc<Exposition>>,
    viewer: Option<Extension<Viewer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(Err(forbidden)) = viewer.map(|Extension(viewer)| viewer.may(Right::Read)) {
        return (StatusCode::FORBIDDEN, format!("{forbidden}\n")).into_response();
    }
    let Some(_in_flight) = InFlight::enter(&exposition) else {
        let limit = exposition.max_requests.load(Ordering::Relaxed);
        let message = format!("there are {limit} scrapes in flight already, the limit of [http] max_requests\n");
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    };
    let readers = exposition.readers.load_full();
    let selection = match Selection::from_query(query.as_deref().unwrap_or_default(), &readers) {
        Ok(selection) => selection,
        Err(message) => return (StatusCode::BAD_REQUEST, message + "\n").into_response(),
    };
    let answers = readers.read(Vocabularies::FAMILIES, |about| selection.has(about), time_limit(&headers)).await;

    let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = Wanted::from_accept(header(header::ACCEPT));
    let vary = (header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    let content_type = (header::CONTENT_TYPE, wanted.content_type());
    if accepts_gzip(header(header::ACCEPT_ENCODING)) {
        let (compressed, size) = render::gzipped(render::families(wanted, |out| exposition.write(&answers, out)));
        exposition.body_size.store(size, Ordering::Relaxed);
        return ([content_type, vary, (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], compressed)
            .into_response();
    }
    if exposition.body_size.load(Ordering::Relaxed) > LARGE {
        let written = exposition.clone();
        let write = move |out: &mut FamilyWriter<'_>| written.write(&answers, out);
        // How long it takes to send is whoever asked's, and no reason to refuse others.
        let done = move |size| exposition.body_size.store(size, Ordering::Relaxed);
        return ([content_type, vary], Body::new(render::streamed(render::families(wanted, write), done)))
            .into_response();
    }
    let body = exposition.render(&answers, wanted);
    exposition.body_size.store(body.len(), Ordering::Relaxed);
    ([content_type, vary], body).into_response()
}

/// Prometheus says how long it waits; an answer that comes later is lost whole.
fn time_limit(headers: &HeaderMap) -> Duration {
    const AT_MOST: Duration = Duration::from_secs(3600);
    /// What is left of Prometheus's time to encode and send the answer.
    const SHARE: f64 = 0.9;
    let timeout =
        headers.get("x-prometheus-scrape-timeout-seconds").and_then(|value| value.to_str().ok()?.parse().ok());
    let timeout = timeout.filter(|seconds: &f64| *seconds > 0.0);
    timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds * SHARE).ok()).unwrap_or(AT_MOST).min(AT_MOST)
}

/// A scrape in flight.
struct InFlight(Arc<Exposition>);

impl InFlight {
    fn enter(exposition: &Arc<Exposition>) -> Option<Self> {
        let before = exposition.in_flight.fetch_add(1, Ordering::Relaxed);
        // Leaves again by being dropped.
        Some(InFlight(exposition.clone())).filter(|_| before < exposition.max_requests.load(Ordering::Relaxed))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which collectors a scrape wants: `collect[]` or `exclude[]`, as node_exporter has them.
#[derive(Debug, PartialEq, Eq)]
enum Selection {
    Collect(Vec<&'static str>),
    Exclude(Vec<&'static str>),
}

impl Selection {
    fn from_query(query: &str, readers: &Readers) -> Result<Self, String> {
        let named = |parameter: &str| {
            let values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == parameter);
            values.map(|(_, name)| find(&name, readers)).collect::<Result<Vec<_>, String>>()
        };
        let (collect, exclude) = (named("collect[]")?, named("exclude[]")?);
        match (collect.is_empty(), exclude.is_empty()) {
            (false, false) => Err("expected either collect[] or exclude[], found both".to_owned()),
            (false, true) => Ok(Selection::Collect(collect)),
            (true, _) => Ok(Selection::Exclude(exclude)),
        }
    }

    fn has(&self, about: &About) -> bool {
        match self {
            Selection::Collect(names) => names.contains(&about.name),
            Selection::Exclude(names) => !names.contains(&about.name),
        }
    }
}

fn find(name: &str, readers: &Readers) -> Result<&'static str, String> {
    let Some(entry) = list::find(name) else { return Err(unknown(name)) };
    let on = || readers.on().filter(|(_, on)| on.families).map(|(about, _)| about.name);
    match on().find(|on| *on == entry.about.name) {
        Some(name) => Ok(name),
        None => Err(format!("the collector {name:?} is not on; on are {}", on().collect::<Vec<_>>().join(", "))),
    }
}
