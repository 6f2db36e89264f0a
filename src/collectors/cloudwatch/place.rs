//! One job in one account and region: it discovers, asks on schedule, and leaves what it knows for readers.

use std::future::pending;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::budget::Purse;
use super::fetch::{Fetched, Request, shape};
use super::found::{Discovery, Found};
use super::id::Place;
use super::id::Seconds;
use super::log::{Datum, Log};
use super::metric::Metric;
use super::settings::Job;
use super::snapshot::{Published, Snapshot};
use super::spending::Spending;
use super::store::Store;
use super::told::Told;
use crate::aws::{Account, Clients, HttpClient, Kind, Problem};
use crate::backoff::Backoff;

/// Requests that are under way at once, at the most. After a throttled one there is one at a time, and one more after
/// each refresh that goes well.
const MAX_CONCURRENCY: usize = 4;
/// How often what came is shown, while something else is waited for.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// The first pause after something failed.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// How often it is looked whether the budget has room again.
const BUDGET_RETRY: Duration = Duration::from_secs(60);

/// What it takes to run.
pub(super) struct Setup {
    /// The job.
    pub(super) job: Arc<Job>,
    /// Whose metrics.
    pub(super) account: Account,
    /// Where; the SDK's default if not said.
    pub(super) region: Option<String>,
    /// What requests go through.
    pub(super) http: HttpClient,
    /// What all places of the job may spend.
    pub(super) purse: Arc<Mutex<Purse>>,
    /// Where datums go.
    pub(super) log: Arc<Mutex<Log>>,
    /// Where readers look.
    pub(super) published: Arc<Published>,
}

impl Setup {
    /// Runs for ever.
    pub(super) async fn run(self) {
        let mut told = Told::new(&self.job.name);
        let clients = self.clients(&mut told).await;
        let mut runner = Runner {
            clients,
            told,
            spending: self.published.spending(self.purse.clone()),
            job: self.job.clone(),
            log: self.log,
            published: self.published,
            store: Store::default(),
            found: Found::default(),
            discovering: None,
            discover_at: Instant::now(),
            discovery_pauses: pauses(&self.job),
            refresh_at: None,
            refresh_pauses: pauses(&self.job),
            concurrency: MAX_CONCURRENCY,
        };
        runner.run().await;
    }

    async fn clients(&self, told: &mut Told) -> Clients {
        let mut pauses = pauses(&self.job);
        loop {
            let counts = self.published.counts.clone();
            match Clients::new(&self.account, self.region.as_deref(), self.http.clone(), counts).await {
                Ok(clients) => {
                    told.went_well("the region");
                    self.published.set_place(Place { account: String::new(), region: clients.region.clone() });
                    return clients;
                }
                Err(problem) => told.failed("the region", &problem),
            }
            self.published.finish(false);
            sleep(pauses.pause()).await;
        }
    }
}

fn pauses(job: &Job) -> Backoff {
    let interval = job.schedule.interval;
    Backoff::new(FIRST_RETRY.min(interval), interval)
}

struct Runner {
    job: Arc<Job>,
    clients: Clients,
    spending: Arc<Spending>,
    log: Arc<Mutex<Log>>,
    published: Arc<Published>,
    told: Told,
    store: Store,
    found: Found,
    discovering: Option<JoinHandle<Discovery>>,
    discover_at: Instant,
    discovery_pauses: Backoff,
    /// Nothing as long as it is not known which metrics there are.
    refresh_at: Option<Instant>,
    refresh_pauses: Backoff,
    concurrency: usize,
}

/// What has come of a refresh.
#[derive(Default)]
struct Came {
    new: Vec<Datum>,
    problem: Option<Problem>,
    is_any_good: bool,
}

impl Runner {
    async fn run(&mut self) {
        loop {
            let refresh_at = self.refresh_at;
            let refresh = async {
                match refresh_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            let discover_at = self.discover_at;
            let discovered = async {
                match &mut self.discovering {
                    Some(task) => Some(task.await),
                    None => {
                        sleep_until(discover_at).await;
                        None
                    }
                }
            };
            tokio::select! {
                came = discovered => match came {
                    None => self.start_discovery(),
                    Some(came) => {
                        self.discovering = None;
                        if let Ok(discovery) = came {
                            self.take_discovery(discovery);
                        }
                    }
                },
                () = refresh => self.refresh().await,
            }
        }
    }

    /// Begins to discover; data are asked for meanwhile.
    fn start_discovery(&mut self) {
        let steps = self.found.due(&self.job);
        let taken = steps.take(self.job.clone(), self.clients.clone(), self.spending.clone());
        self.discovering = Some(tokio::spawn(taken));
    }

    fn take_discovery(&mut self, discovery: Discovery) {
        if self.found.take(&self.job, discovery, &mut self.told) {
            self.published.discovered();
        }
        let wait = if self.found.has_failed() {
            self.discovery_pauses.pause()
        } else {
            self.discovery_pauses.reset();
            Found::interval(&self.job)
        };
        self.discover_at = Instant::now() + wait;
        let place = self.found.place(&self.clients.region);
        match self.found.metrics(&self.job, &place) {
            Some(metrics) => {
                self.store.replace(metrics);
                self.refresh_at = Some(Instant::now());
            }
            None => self.published.finish(false),
        }
        self.published.set_place(place);
        self.published.set_resources(self.found.resources());
    }

    /// Asks for everything up to the end of the last period that is due, and says when to ask next.
    async fn refresh(&mut self) {
        let schedule = self.job.schedule;
        let until = schedule.due(SystemTime::now());
        let due = self.store.due(until);
        let failed = self.fetch(due, until).await;
        let next = schedule.until_next(SystemTime::now());
        let wait = match failed {
            Some(problem) => {
                self.told.failed("what was asked for", &problem);
                if problem.kind == Kind::Throttled {
                    self.concurrency = 1;
                }
                if problem.kind == Kind::Budget { BUDGET_RETRY } else { self.refresh_pauses.pause() }
            }
            None => {
                self.told.went_well("what was asked for");
                self.concurrency = (self.concurrency + 1).min(MAX_CONCURRENCY);
                self.refresh_pauses.reset();
                next
            }
        };
        self.refresh_at = Some(Instant::now() + wait.min(next));
    }

    /// Asks for `due`, and says what failed. What came is shown while the rest is waited for.
    async fn fetch(&mut self, due: Vec<Arc<Metric>>, until: Seconds) -> Option<Problem> {
        let batches = shape(&self.job).split(&due);
        let batches: Vec<Request> = batches.into_iter().map(|batch| self.request(batch, until)).collect();
        let mut waiting = batches.into_iter();
        let mut requests: JoinSet<_> = waiting.by_ref().take(self.concurrency).map(send).collect();
        let mut came = Came::default();
        loop {
            match timeout(SHOWN_EVERY, requests.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok((request, fetched)))) => self.take(&request, fetched, until, &mut came),
                Ok(Some(Err(_))) => {}
                Err(_) => {
                    self.publish(&mut came, until);
                    continue;
                }
            }
            // What the budget does not allow now it does not allow for the rest either.
            if came.problem.as_ref().is_some_and(|problem| problem.kind == Kind::Budget) {
                let rest: usize = waiting.by_ref().map(|request| request.metrics.len()).sum();
                self.spending.deferred.fetch_add(rest as u64, Relaxed);
            }
            if let Some(request) = waiting.next() {
                requests.spawn(send(request));
            }
        }
        self.store.forget_before(until - seconds(self.job.schedule.window));
        self.publish(&mut came, until);
        self.published.finish(came.problem.is_none() && self.found.is_up());
        came.problem
    }

    fn request(&self, metrics: &[Arc<Metric>], until: Seconds) -> Request {
        Request {
            job: self.job.clone(),
            clients: self.clients.clone(),
            spending: self.spending.clone(),
            metrics: metrics.to_vec(),
            start: until - seconds(self.job.schedule.window),
            end: until,
        }
    }

    fn take(&mut self, request: &Request, fetched: Fetched, until: Seconds, came: &mut Came) {
        for answer in &fetched.answers {
            let metric = &request.metrics[answer.metric].id;
            self.store.take(metric, answer.statistic, &answer.datums, &mut came.new);
        }
        came.is_any_good |= fetched.again.len() < request.metrics.len();
        let mut again = fetched.again.into_iter().peekable();
        for (index, metric) in request.metrics.iter().enumerate() {
            if again.next_if_eq(&index).is_none() {
                self.store.asked(&metric.id, until);
            }
        }
        came.problem = fetched.problem.or(came.problem.take());
    }

    fn publish(&mut self, came: &mut Came, until: Seconds) {
        let new = std::mem::take(&mut came.new);
        let dropped = self.log.lock().unwrap_or_else(PoisonError::into_inner).push(new);
        self.told.dropped(dropped);
        self.published.publish(Snapshot::new(&self.job, &self.store, until), came.is_any_good);
    }
}

async fn send(request: Request) -> (Request, Fetched) {
    let fetched = request.send().await;
    (request, fetched)
}

fn seconds(duration: Duration) -> Seconds {
    duration.as_secs() as Seconds
}
