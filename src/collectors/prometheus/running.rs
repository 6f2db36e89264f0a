//! The background work: finds the targets of each job, and scrapes each of them by its own clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};

use super::discovery::Group;
use super::families::OWN;
use super::job::Job;
use super::page::{PageError, Pages, Read};
use super::relabel::Labels;
use super::scrape::{Failed, Report, Scrape};
use super::target::{self, Target};
use crate::client::target::Page;
use crate::client::{SCRAPER, process_id};
use crate::collectors::framework::arrivals::{Cursor, Log};
use crate::collectors::framework::background::{Background, Clock};
use crate::encode::Timestamp;
use crate::encode::parse::Format;
use crate::log::Episode;
use crate::nats::settings::Nats;
use crate::nats::turn::Turn;

/// What the background work has so far.
pub(super) struct State {
    /// The newest scrape of each target, by the index of its job, its labels and its URL.
    newest: BTreeMap<(usize, Labels, String), Arc<Scrape>>,
    /// All scrapes, for sinks that push each of them.
    pub(super) log: Log<Arc<Scrape>>,
    /// The number of targets of each job, once they were found.
    found: Vec<Option<usize>>,
}

/// Maximum samples retained for a sink that does not read.
const MAX_SAMPLES: usize = 500_000;

/// The state, shared with the background.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest scrapes, and a cursor behind them.
    pub(super) fn read(&self) -> (Arc<[Arc<Scrape>]>, Arc<Cursor>) {
        let mut state = self.state();
        (state.newest.values().cloned().collect(), state.log.read())
    }

    /// Whether both share the same state.
    pub(super) fn is_same(&self, other: &Shared) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether all targets were found, and scraped once.
    pub(super) fn has_tried(&self) -> bool {
        let state = self.state();
        let scraped = |job: usize| state.newest.keys().filter(|(of, ..)| *of == job).count();
        state.found.iter().enumerate().all(|(job, found)| found.is_some_and(|found| scraped(job) >= found))
    }

    fn publish(&self, job: usize, scrape: Arc<Scrape>) {
        let mut state = self.state();
        let key = key(job, &scrape.target);
        match scrape.report {
            Some(_) => drop(state.newest.insert(key, scrape.clone())),
            None => drop(state.newest.remove(&key)),
        }
        if state.log.is_read() {
            let weight = scrape.samples.len() + scrape.ended.len() + 1;
            state.log.push_weighing(vec![scrape], weight);
        }
    }

    /// Records that a job begins, or has ended: its targets are gone.
    fn set_runs(&self, job: usize, runs: bool) {
        let gone: Vec<Arc<Scrape>> = {
            let mut state = self.state();
            state.found[job] = (!runs).then_some(0);
            let is_of_job = |((of, ..), _): &(&(usize, Labels, String), &Arc<Scrape>)| *of == job;
            state.newest.iter().filter(is_of_job).map(|(_, scrape)| scrape.clone()).collect()
        };
        for last in gone {
            self.publish(job, Arc::new(Scrape::without_page(last.target.clone(), now(), None, Some(&last))));
        }
    }

    fn newest(&self, job: usize, target: &Target) -> Option<Arc<Scrape>> {
        self.state().newest.get(&key(job, target)).cloned()
    }
}

fn key(job: usize, target: &Target) -> (usize, Labels, String) {
    let (labels, url) = target.key();
    (job, labels, url)
}

/// Starts the background work for these jobs. Those with a lease at the servers are done when it is held.
pub(super) fn start(jobs: &[Arc<Job>], nats: &Nats) -> (Shared, Background) {
    let state = State { newest: BTreeMap::new(), log: Log::new(MAX_SAMPLES), found: vec![None; jobs.len()] };
    let shared = Shared(Arc::new(Mutex::new(state)));
    let (jobs, nats, all) = (jobs.to_vec(), nats.clone(), shared.clone());
    let background = Background::start("prometheus", || async move {
        let run = |(index, job): (usize, Arc<Job>)| {
            let (turn, ended, shared) = (Turn::of(&nats, job.lease.as_deref()), all.clone(), all.clone());
            turn.run(move |runs| ended.set_runs(index, runs), move || run(index, job.clone(), shared.clone()))
        };
        let mut running: JoinSet<()> = jobs.into_iter().enumerate().map(run).collect();
        while running.join_next().await.is_some() {}
    });
    (shared, background)
}

/// What the sources of a job have found so far.
struct Found {
    groups: Mutex<Vec<Option<Vec<Group>>>>,
    changed: Notify,
}

/// Runs a job.
async fn run(index: usize, job: Arc<Job>, shared: Shared) {
    let found = Arc::new(Found { groups: Mutex::new(vec![None; job.sources.len()]), changed: Notify::new() });
    let mut tasks = JoinSet::new();
    for source in 0..job.sources.len() {
        let (job, found) = (job.clone(), found.clone());
        tasks.spawn(async move {
            let publish = |groups| {
                let mut all = found.groups.lock().unwrap_or_else(PoisonError::into_inner);
                if all[source].as_ref() != Some(&groups) {
                    all[source] = Some(groups);
                    found.changed.notify_one();
                }
            };
            job.sources[source].watch(&job.name, publish).await;
        });
    }
    let (running, refused, invalid, same) = Default::default();
    let mut targets = Targets { index, job, shared, running, refused, invalid, same };
    loop {
        tokio::select! {
            () = found.changed.notified() => {
                let groups = found.groups.lock().unwrap_or_else(PoisonError::into_inner).clone();
                targets.update(&groups, &mut tasks);
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Why no target of a job is scraped: there are too many.
type Refused = Arc<Mutex<Option<String>>>;

/// The running targets of a job.
struct Targets {
    index: usize,
    job: Arc<Job>,
    shared: Shared,
    running: HashMap<(Labels, String), (Arc<Target>, AbortHandle)>,
    refused: Refused,
    invalid: Episode<String>,
    same: Episode<String>,
}

impl Targets {
    /// Starts new targets, and ends those that are gone.
    fn update(&mut self, groups: &[Option<Vec<Group>>], tasks: &mut JoinSet<()>) {
        let targets = groups.iter().flatten().flatten().flat_map(|group| Target::all(&self.job, group));
        let wanted: target::Targets = targets.map(|target| (target.key(), target)).collect();
        let invalid = wanted.values().filter_map(|target| target.url.as_ref().err());
        let count = invalid.clone().count();
        // The reason of the first in order: their `up` is 0.
        let problem = invalid.min().map(|reason| (reason.clone(), format!("invalid targets: {count}; {reason}")));
        report(&mut self.invalid, &self.job.name, problem, "all targets are valid");
        let problem = target::same_labels(&wanted).map(|message| (message.clone(), message));
        report(&mut self.same, &self.job.name, problem, "all targets have labels of their own");
        let limit = self.job.target_limit;
        let refused =
            (wanted.len() > limit).then(|| format!("target_limit: {} targets, more than {limit}", wanted.len()));
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        let gone: Vec<_> = self.running.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for (target, task) in gone.iter().filter_map(|key| self.running.remove(key)) {
            task.abort();
            let previous = self.shared.newest(self.index, &target);
            let end = Scrape::without_page(target, now(), None, previous.as_deref());
            self.shared.publish(self.index, Arc::new(end));
        }
        for (key, target) in wanted {
            if !self.running.contains_key(&key) {
                let target = Arc::new(target);
                let task = Scraper::new(self.index, target.clone(), self.shared.clone(), self.refused.clone());
                self.running.insert(key, (target, tasks.spawn(task.run())));
            }
        }
        let is_complete = groups.iter().all(Option::is_some);
        self.shared.state().found[self.index] = is_complete.then_some(self.running.len());
    }
}

/// Logs the beginning and the end of a problem with the targets of a job: its reason, and the message about it.
fn report(episode: &mut Episode<String>, job: &str, problem: Option<(String, String)>, recovered: &str) {
    match problem {
        Some((reason, message)) => {
            if episode.fails(reason) {
                tracing::warn!(job, "{message}");
            }
        }
        None => {
            if let Some(over) = episode.recovered() {
                tracing::info!(job, "{recovered} again {over}");
            }
        }
    }
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Scrapes one target.
struct Scraper {
    job: usize,
    target: Arc<Target>,
    shared: Shared,
    refused: Refused,
    /// What is known about its pages; `None` while one is read.
    pages: Option<Pages>,
    previous: Option<Arc<Scrape>>,
    /// What is known of pages while scrapes fail.
    failed: Option<Failed>,
    failure: Episode<String>,
}

/// Why a scrape failed.
struct Failure {
    reason: String,
    scraped: u64,
    kept: u64,
    /// The series up to the error.
    series: Vec<u64>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure { reason, scraped: 0, kept: 0, series: Vec::new() }
    }
}

impl Scraper {
    fn new(job: usize, target: Arc<Target>, shared: Shared, refused: Refused) -> Scraper {
        let pages = Some(Pages::new(target.labels.clone(), &OWN));
        Scraper { job, target, shared, refused, pages, previous: None, failed: None, failure: Episode::default() }
    }

    async fn run(mut self) {
        let mut clock = Clock::new(self.target.interval, self.target.hash());
        loop {
            clock.tick().await;
            let scrape = Arc::new(self.scrape().await);
            self.previous = Some(scrape.clone());
            self.shared.publish(self.job, scrape);
        }
    }

    async fn scrape(&mut self) -> Scrape {
        let (at, start) = (now(), std::time::Instant::now());
        let read = self.read().await;
        let (target, duration) = (self.target.clone(), start.elapsed().as_secs_f64());
        self.report(&read);
        let previous = self.previous.as_deref();
        match read {
            Ok(read) => Scrape::of_page(target, at, read, duration, previous, self.failed.take()),
            Err(Failure { scraped, kept, series, .. }) => {
                let added = self.failed.get_or_insert_with(|| Failed::after(previous)).add(&series);
                let report = Report { duration, scraped, kept, added, ..Report::default() };
                Scrape::without_page(target, at, Some(report), previous)
            }
        }
    }

    /// Requests and reads the page.
    async fn read(&mut self) -> Result<Read, Failure> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(reason) = refused {
            return Err(reason.into());
        }
        let Target { job, url, timeout, .. } = &*self.target;
        let url = url.as_ref().map_err(Clone::clone)?;
        let page = job.client.get(url, headers(&self.target), *timeout).await;
        let page = page.and_then(Page::ok).map_err(|failure| failure.to_string())?;
        let format = Format::from_content_type(page.content_type());
        let mut pages = self.pages.take().unwrap_or_else(|| Pages::new(self.target.labels.clone(), &OWN));
        let (is_small, job) = (page.body.len() <= SMALL, job.clone());
        let reading = move || {
            let read = pages.read(format, &page.body, &job.rules);
            (pages, read)
        };
        let (pages, read) = match is_small {
            true => reading(),
            // Other targets are scraped meanwhile.
            false => spawn_blocking(reading).await.map_err(|error| Failure::from(error.to_string()))?,
        };
        self.pages = Some(pages);
        read.map_err(|PageError { message, scraped, kept, series }| Failure { reason: message, scraped, kept, series })
    }

    /// Logs the beginning and the end of failures.
    fn report(&mut self, read: &Result<Read, Failure>) {
        let (job, url) = (&self.target.job.name, &self.target.shown_url);
        match read {
            // The job reports these.
            Err(_) if self.target.url.is_err() => {}
            Err(Failure { reason, .. }) => {
                if self.failure.fails(reason.clone()) {
                    tracing::warn!(job, "{url} cannot be scraped: {reason}");
                }
            }
            Ok(_) => {
                if let Some(over) = self.failure.recovered() {
                    tracing::info!(job, "{url} can be scraped again {over}");
                }
            }
        }
    }
}

/// Bodies up to this size are read at once.
const SMALL: usize = 256 << 10;

/// The headers of a scrape. The formats are those of Prometheus.
fn headers(target: &Target) -> HeaderMap {
    const TEXT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
        application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let accept = if target.job.native_histograms { PROTOBUF } else { TEXT };
    let mut headers = HeaderMap::new();
    // A header of the settings replaces this one.
    if !target.job.client.settings().http.headers.keys().any(|name| name.eq_ignore_ascii_case("accept")) {
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(HeaderName::from_static(SCRAPER), HeaderValue::from_static(process_id()));
    if let Ok(seconds) = HeaderValue::from_str(&target.timeout.as_secs_f64().to_string()) {
        headers.insert(HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), seconds);
    }
    headers
}
