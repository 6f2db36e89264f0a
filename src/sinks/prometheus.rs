//! `GET /metrics`: one reading for each scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::negotiate::{Wanted, accepts_gzip};
use super::render;
use super::state::{self, RunningSink};
use crate::client;
use crate::collectors::readers::{self, CollectorReading, Readers, add_scraped, scraped_below, write_families};
use crate::collectors::settings::unknown;
use crate::collectors::{About, Vocabularies, list};
use crate::descriptors;
use crate::encode::family::{FamilyInfo, Limit};
use crate::encode::{Family, FamilyWriter};
use crate::http::access::{Right, Viewer};
use crate::http::{self, connections};
use crate::log;
use crate::nats::turn;
use crate::percent::decode_text;

/// The state behind the endpoints. It survives reloads, which replace its fields.
pub struct Exporter {
    /// The enabled collectors.
    pub readers: ArcSwap<Readers>,
    /// The push sinks.
    pub sinks: ArcSwap<Vec<RunningSink>>,
    /// The points in the spool that belong to no sink.
    pub orphans: state::Orphans,
    /// The path of scrapes.
    telemetry_path: ArcSwap<String>,
    /// Limit of scrapes in flight; 0 for none.
    max_requests: AtomicUsize,
    /// Whether the process is shutting down.
    pub draining: AtomicBool,
    in_flight: AtomicUsize,
    refused_samples: AtomicU64,
    /// Uncompressed size of the last body, as an estimate for the next one.
    body_size: AtomicUsize,
}

impl Exporter {
    /// An exporter of the readings of `readers`, without a limit.
    pub fn new(readers: Arc<Readers>) -> Self {
        Exporter {
            readers: ArcSwap::new(readers),
            sinks: ArcSwap::default(),
            orphans: state::Orphans::default(),
            telemetry_path: ArcSwap::default(),
            max_requests: AtomicUsize::default(),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            refused_samples: AtomicU64::new(0),
            body_size: AtomicUsize::new(usize::MAX),
        }
    }

    /// Applies the settings of `[http]` that concern scrapes.
    pub fn apply(&self, settings: &http::Settings) {
        self.telemetry_path.store(Arc::new(settings.telemetry_path.clone()));
        self.max_requests.store(settings.max_requests, Ordering::Relaxed);
    }

    /// The path of scrapes.
    pub fn telemetry_path(&self) -> Arc<String> {
        self.telemetry_path.load_full()
    }

    /// Readings of the collectors that `is_wanted` names, within `limit`; none if too many scrapes are in flight. It
    /// counts as a scrape.
    pub async fn read(
        self: &Arc<Self>,
        is_wanted: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Option<Vec<CollectorReading>> {
        let _in_flight = InFlight::enter(self)?;
        let readers = self.readers.load_full();
        Some(readers.read(Vocabularies::FAMILIES, |about| is_wanted(about.name), limit).await)
    }

    /// The response if too many scrapes are in flight.
    pub fn too_many(&self) -> Response {
        let limit = self.max_requests.load(Ordering::Relaxed);
        let message = format!("there are {limit} scrapes in flight already, the limit of [http] max_requests\n");
        (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
    }

    /// Encodes the readings and the self-metrics in the `wanted` format.
    pub fn render(&self, readings: &[CollectorReading], wanted: impl Into<Wanted>) -> Vec<u8> {
        /// Space for numbers that gain a digit.
        const MARGIN: usize = 256;
        let last = self.body_size.load(Ordering::Relaxed);
        let expected = if last > LARGE { 0 } else { last + MARGIN };
        render::whole(wanted, expected, |out| self.write(readings, None, out))
    }

    /// As [`Exporter::render`], with the self-metrics at the end, for a reader who looks for certain readings.
    pub fn render_readings_first(&self, readings: &[CollectorReading], wanted: impl Into<Wanted>) -> Vec<u8> {
        render::whole(wanted, 0, |out| {
            let of_process = [descriptors::FAMILIES, connections::FAMILIES, log::FAMILIES, turn::FAMILIES];
            let of_self = [readers::FAMILIES, state::FAMILIES, FAMILIES];
            of_self.into_iter().chain(of_process).flatten().for_each(|family| out.reserve(family.name));
            add_scraped(readings, out);
            write_families(readings, None, out);
            self.write_self_metrics(out);
            out.value(&REFUSED_SAMPLES, out.refused());
        })
    }

    /// Writes the readings and the self-metrics, with `previous` as for [`write_families`].
    pub(super) fn write(
        &self,
        readings: &[CollectorReading],
        previous: Option<&[CollectorReading]>,
        out: &mut FamilyWriter<'_>,
    ) {
        out.reserve(REFUSED_SAMPLES.name());
        if previous.is_none() {
            add_scraped(readings, out);
        }
        self.write_self_metrics(out);
        // Last: jobs and textfiles may use the names of the families above.
        write_families(readings, previous, out);
        let refused = self.refused_samples.fetch_add(out.refused(), Ordering::Relaxed) + out.refused();
        out.value(&REFUSED_SAMPLES, refused);
    }

    fn write_self_metrics(&self, out: &mut FamilyWriter<'_>) {
        self.readers.load().write_families(out);
        state::write_families(&self.sinks.load(), out);
        self.orphans.write_families(out);
        descriptors::write_families(out);
        connections::write_families(out);
        log::write_families(out);
        turn::write_families(out);
    }
}

/// Bodies above this size are streamed. For smaller ones, a thread costs more than the memory.
const LARGE: usize = 512 << 10;

const REFUSED_SAMPLES: Family<0> = Family::counter(
    "taffrail_refused_samples_total",
    "Samples left out of expositions because they repeat a series or a family",
    [],
);

/// The self-metrics of the exporter.
pub const FAMILIES: &[FamilyInfo] = &[REFUSED_SAMPLES.info()];

/// The refusal for a user who may not read.
pub fn forbidden(viewer: Option<Extension<Viewer>>) -> Option<Response> {
    let Extension(viewer) = viewer?;
    let forbidden = viewer.may(Right::Read).err()?;
    Some((StatusCode::FORBIDDEN, format!("{forbidden}\n")).into_response())
}

/// `GET /-/ready`.
pub async fn ready(State(exporter): State<Arc<Exporter>>) -> Response {
    if exporter.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "Taffrail is shutting down.\n").into_response();
    }
    "Taffrail is ready.\n".into_response()
}

/// `GET /metrics`.
pub async fn metrics(
    State(exporter): State<Arc<Exporter>>,
    viewer: Option<Extension<Viewer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(forbidden) = forbidden(viewer) {
        return forbidden;
    }
    let Some(_in_flight) = InFlight::enter(&exporter) else { return exporter.too_many() };
    let readers = exporter.readers.load_full();
    let selection = match Selection::from_query(query.as_deref().unwrap_or_default(), &readers) {
        Ok(selection) => selection,
        Err(message) => return (StatusCode::BAD_REQUEST, message + "\n").into_response(),
    };
    // A page with what was scraped of itself would grow without end.
    let is_own = is_own_scrape(&headers);
    let is_wanted = |about: &About| selection.has(about) && !(is_own && about.name == SCRAPED);
    let readings = readers.read(Vocabularies::FAMILIES, is_wanted, time_limit(&headers)).await;

    let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = Wanted::from_accept(header(header::ACCEPT));
    let vary = (header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    let content_type = (header::CONTENT_TYPE, wanted.content_type());
    if accepts_gzip(header(header::ACCEPT_ENCODING)) {
        let (compressed, size) = render::gzipped(render::families(wanted, |out| exporter.write(&readings, None, out)));
        exporter.body_size.store(size, Ordering::Relaxed);
        return ([content_type, vary, (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], compressed)
            .into_response();
    }
    if exporter.body_size.load(Ordering::Relaxed) > LARGE {
        let written = exporter.clone();
        let write = move |out: &mut FamilyWriter<'_>| written.write(&readings, None, out);
        // Streaming is not limited: its duration depends on the client.
        let done = move |size| exporter.body_size.store(size, Ordering::Relaxed);
        return ([content_type, vary], Body::new(render::streamed(render::families(wanted, write), done)))
            .into_response();
    }
    let body = exporter.render(&readings, wanted);
    exporter.body_size.store(body.len(), Ordering::Relaxed);
    ([content_type, vary], body).into_response()
}

/// `GET /metrics/JOB` and `GET /metrics/JOB/INSTANCE`: what was scraped from the targets of a job.
pub async fn scraped(
    State(exporter): State<Arc<Exporter>>,
    viewer: Option<Extension<Viewer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(forbidden) = forbidden(viewer) {
        return forbidden;
    }
    if is_own_scrape(&headers) {
        let reason = "this page has what the same Taffrail scrapes: it cannot be a target of its own\n";
        return (StatusCode::LOOP_DETECTED, reason).into_response();
    }
    let is_wanted = |name: &str| name == SCRAPED;
    let Some(readings) = exporter.read(is_wanted, time_limit(&headers)).await else { return exporter.too_many() };
    let path = uri.path().strip_prefix(exporter.telemetry_path().as_str()).unwrap_or_default();
    let page = decode_text(path.trim_start_matches('/'));
    let Some(families) = scraped_below(&readings, &page) else { return StatusCode::NOT_FOUND.into_response() };
    let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = Wanted::from_accept(header(header::ACCEPT));
    let produce = render::families(wanted, |out: &mut FamilyWriter<'_>| {
        out.add_foreign(SCRAPED, families, Limit::NONE);
        out.write_foreign(SCRAPED);
    });
    let head = [
        (header::CONTENT_TYPE, wanted.content_type()),
        (header::VARY, HeaderValue::from_static("Accept, Accept-Encoding")),
    ];
    match accepts_gzip(header(header::ACCEPT_ENCODING)) {
        true => {
            let gzip = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            (head, [gzip], render::gzipped(produce).0).into_response()
        }
        false => (head, render::collected(produce)).into_response(),
    }
}

/// The collector of what is scraped.
const SCRAPED: &str = "prometheus";

/// Whether this process scrapes itself.
fn is_own_scrape(headers: &HeaderMap) -> bool {
    headers.get(client::SCRAPER).is_some_and(|id| id == client::process_id())
}

/// The time limit of a scrape. Prometheus sends its timeout, and drops later responses.
fn time_limit(headers: &HeaderMap) -> Duration {
    const MAX: Duration = Duration::from_secs(3600);
    /// The fraction of the timeout for readings. The remainder is for encoding and sending.
    const SHARE: f64 = 0.9;
    scrape_timeout(headers).map_or(MAX, |timeout| timeout.mul_f64(SHARE)).min(MAX)
}

/// The timeout that Prometheus sends.
pub(super) fn scrape_timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|timeout| !timeout.is_zero())
}

/// A scrape in flight.
struct InFlight(Arc<Exporter>);

impl InFlight {
    fn enter(exporter: &Arc<Exporter>) -> Option<Self> {
        let before = exporter.in_flight.fetch_add(1, Ordering::Relaxed);
        let limit = exporter.max_requests.load(Ordering::Relaxed);
        // If it exceeds the limit, dropping it decrements the count.
        Some(InFlight(exporter.clone())).filter(|_| limit == 0 || before < limit)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The collectors that a scrape selects with `collect[]` or `exclude[]`, as in node_exporter.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host, Roots};

    #[test]
    fn scrapes_in_flight_are_limited_unless_the_limit_is_0() {
        let exporter = Arc::new(Exporter::new(Arc::new(Readers::new(Host::live(Roots::default()), Vec::new()))));
        let accepted = || (0..100).map_while(|_| InFlight::enter(&exporter)).collect::<Vec<_>>().len();
        assert_eq!(accepted(), 100);
        exporter.max_requests.store(2, Ordering::Relaxed);
        assert_eq!(accepted(), 2);
        assert_eq!(accepted(), 2);
    }
}
