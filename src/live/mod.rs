//! The live page of the agent, `GET /status.json`, and the reference of this version.
//!
//! The page is rendered from one reading, so that it has numbers without JavaScript. Its script then scrapes the
//! collectors that it shows every two seconds, and computes rates and lines itself. Nothing is retained for it.

mod html;
mod reference;
mod samples;
mod status;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use crate::config::Secrets;
use crate::gateway::request::address::PageAddress;
use crate::http::access::Viewer;
use crate::http::page::{Asset, POLICY, STYLE};
use crate::sinks::probe;
use crate::sinks::prometheus::{self, Exporter, forbidden};

/// The page's script.
static SCRIPT: Asset =
    Asset { name: "live.js", content_type: "text/javascript; charset=utf-8", text: include_str!("live.js") };

/// The collectors that the script scrapes.
const LIVE: [&str; 7] = ["container", "cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev"];
/// The collectors that are read for the page itself besides.
const ONCE: [&str; 3] = ["os", "stat", "uname"];

/// The timeout of the page's own reading. What hangs is left out of the page.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The state behind the page and `/status.json`.
pub struct Live {
    exporter: Arc<Exporter>,
    started: SystemTime,
    configuration: ArcSwap<Configuration>,
    gateway: ArcSwapOption<PageAddress>,
}

/// The configuration in force, as far as the page shows it.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The files that were read.
    pub files: Vec<String>,
    /// Its secrets, which no message may repeat.
    pub secrets: Secrets,
}

impl Live {
    /// The page of what `exporter` exposes.
    pub fn new(exporter: Arc<Exporter>) -> Live {
        Live {
            exporter,
            started: SystemTime::now(),
            configuration: ArcSwap::default(),
            gateway: ArcSwapOption::empty(),
        }
    }

    /// Shows this configuration from now on.
    pub fn apply(&self, configuration: Configuration) {
        self.configuration.store(Arc::new(configuration));
    }

    /// Links to this page of the gateway, or to none.
    pub fn link(&self, gateway: Option<PageAddress>) {
        self.gateway.store(gateway.map(Arc::new));
    }
}

/// The endpoints of the agent.
pub fn router(live: Arc<Live>) -> Router {
    Router::new()
        .route("/-/healthy", get(|| async { "Taffrail is healthy.\n" }))
        .route("/-/ready", get(prometheus::ready).with_state(live.exporter.clone()))
        .fallback(respond)
        .with_state(live)
}

/// The endpoint of a path. That of scrapes depends on a setting, and takes precedence.
async fn respond(State(live): State<Arc<Live>>, request: Request) -> Response {
    let path = request.uri().path();
    if path == live.exporter.telemetry_path().as_str() {
        return get(prometheus::metrics).call(request, live.exporter.clone()).await;
    }
    if path.strip_prefix(live.exporter.telemetry_path().as_str()).is_some_and(|below| below.starts_with('/')) {
        return get(prometheus::scraped).call(request, live.exporter.clone()).await;
    }
    match path {
        "/probe" => get(probe::probe).call(request, live.exporter.clone()).await,
        "/" => get(page).call(request, live).await,
        "/status.json" => get(status).call(request, live).await,
        "/reference" => get(reference).call(request, live).await,
        _ => match [&STYLE, &SCRIPT].into_iter().find(|asset| path.strip_prefix('/') == Some(asset.name)) {
            Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")]).into_response()
            }
            Some(asset) => asset.response(request.uri().query(), request.headers()),
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

/// The name and port by which the client reached the agent.
fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

async fn page(
    State(live): State<Arc<Live>>,
    viewer: Option<Extension<Viewer>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if let Some(forbidden) = forbidden(viewer) {
        return forbidden;
    }
    if method == Method::HEAD {
        return (HEAD, Html("")).into_response();
    }
    let is_shown = |name: &str| LIVE.contains(&name) || ONCE.contains(&name);
    let samples = match live.exporter.read(is_shown, READ_TIMEOUT).await {
        Some(readings) => samples::Samples::new(&readings),
        None => return live.exporter.too_many(),
    };
    (HEAD, Html(html::page(&live, &samples, host(&headers)))).into_response()
}

/// The head of a page that must not be stored.
const HEAD: [(header::HeaderName, HeaderValue); 2] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The reference of this version: it has nothing of the host.
async fn reference() -> Response {
    (HEAD, Html(reference::page())).into_response()
}

async fn status(State(live): State<Arc<Live>>, viewer: Option<Extension<Viewer>>, headers: HeaderMap) -> Response {
    if let Some(forbidden) = forbidden(viewer) {
        return forbidden;
    }
    let body = status::Status::new(&live, host(&headers)).to_json().to_string();
    ([(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")], body).into_response()
}
