//! One job in one account and region: it discovers, asks on schedule, and leaves what it knows for readers.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::budget::Purse;
use super::discovery;
use super::fetch::{Fetched, Request, shape};
use super::log::{Datum, Log};
use super::metric::{Id, Metric, Names, Place};
use super::resources::Resources;
use super::settings::{Choice, Discovered, Job};
use super::snapshot::{Published, Snapshot};
use super::spending::Spending;
use super::store::{Seconds, Store};
use super::told::Told;
use crate::aws::{Account, Clients, HttpClient, Kind, Problem};

/// Requests that are under way at once, at the most. After a throttled one there is one at a time, and one more after
/// each refresh that goes well.
const MAX_CONCURRENCY: usize = 4;
/// How often what came is shown, while something else is waited for.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// The first pause after something failed; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// What a place needs to run.
pub(super) struct Plan {
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

impl Plan {
    /// Runs for ever.
    pub(super) async fn run(self) {
        let mut told = Told::new(&self.job.name);
        let clients = self.clients(&mut told).await;
        let spending = self.published.spending(self.purse.clone());
        let mut runner = Runner {
            store: Store::default(),
            found: Found::default(),
            discovering: None,
            discover_at: Instant::now(),
            refresh_at: None,
            retry: first_retry(&self.job),
            concurrency: MAX_CONCURRENCY,
            plan: self,
            clients,
            spending,
            told,
        };
        runner.run().await;
    }

    async fn clients(&self, told: &mut Told) -> Clients {
        let mut retry = FIRST_RETRY;
        loop {
            let counts = self.published.counts.clone();
            match Clients::new(&self.account, self.region.as_deref(), self.http.clone(), counts).await {
                Ok(clients) => {
                    told.went_well("region");
                    self.published.set_place(Place { account: String::new(), region: clients.region.clone() });
                    return clients;
                }
                Err(problem) => told.failed("region", &problem),
            }
            self.published.finish(false);
            sleep(retry).await;
            retry = (retry * 2).min(self.job.schedule.interval.max(FIRST_RETRY));
        }
    }
}

fn first_retry(job: &Job) -> Duration {
    FIRST_RETRY.min(job.schedule.interval)
}

/// What the last discovery found, the last good answer of each kind.
#[derive(Clone, Debug, Default)]
struct Found {
    account: Option<String>,
    ids: Option<Vec<Id>>,
    resources: Option<Arc<Resources>>,
}

/// What a discovery brings: each part by itself, so that one that failed leaves the others.
struct Discovery {
    account: Option<Result<String, Problem>>,
    ids: Option<Result<Vec<Id>, Problem>>,
    resources: Option<Result<Resources, Problem>>,
}

struct Runner {
    plan: Plan,
    clients: Clients,
    spending: Arc<Spending>,
    told: Told,
    store: Store,
    found: Found,
    discovering: Option<JoinHandle<Discovery>>,
    discover_at: Instant,
    /// Nothing as long as it is not known which metrics there are.
    refresh_at: Option<Instant>,
    retry: Duration,
    concurrency: usize,
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
                result = discovered => match result {
                    None => self.start_discovery(),
                    Some(result) => {
                        self.discovering = None;
                        if let Ok(discovery) = result {
                            self.take_discovery(discovery);
                        }
                    }
                },
                () = refresh => self.refresh().await,
            }
        }
    }

    fn start_discovery(&mut self) {
        let (job, clients, spending) = (self.plan.job.clone(), self.clients.clone(), self.spending.clone());
        let needs_account = self.found.account.is_none();
        self.discovering = Some(tokio::spawn(async move {
            let account = if needs_account { Some(clients.account_id().await) } else { None };
            let Choice::Discovered(wanted) = &job.choice else {
                return Discovery { account, ids: None, resources: None };
            };
            let resources = match wanted.resource_tags {
                true => Some(discovery::resources(&job, wanted, &clients, &spending).await),
                false => None,
            };
            let ids = discovery::list(&job, wanted, &clients, &spending).await;
            Discovery { account, ids: Some(ids), resources }
        }));
    }

    fn take_discovery(&mut self, discovery: Discovery) {
        let mut has_failed = false;
        let mut good = |told: &mut Told, stage, failed: Option<Problem>| match failed {
            Some(problem) => {
                told.failed(stage, &problem);
                has_failed = true;
            }
            None => told.went_well(stage),
        };
        match discovery.account {
            Some(Ok(account)) => {
                good(&mut self.told, "account", None);
                self.found.account = Some(account);
            }
            Some(Err(problem)) => good(&mut self.told, "account", Some(problem)),
            None => {}
        }
        match discovery.resources {
            Some(Ok(resources)) => {
                good(&mut self.told, "tags", None);
                self.found.resources = Some(Arc::new(resources));
            }
            Some(Err(problem)) => good(&mut self.told, "tags", Some(problem)),
            None => {}
        }
        match discovery.ids {
            Some(Ok(ids)) => {
                good(&mut self.told, "list", None);
                self.found.ids = Some(ids);
                self.plan.published.discovered();
            }
            Some(Err(problem)) => good(&mut self.told, "list", Some(problem)),
            None => {}
        }
        self.take_found();
        let interval = self.plan.job.discovery_interval();
        let wait = match (has_failed, interval) {
            (true, _) => Some(self.next_retry()),
            (false, interval) => interval,
        };
        // A static job has nothing to discover but whose account it is.
        self.discover_at = Instant::now() + wait.unwrap_or(Duration::from_secs(86_400));
        if !has_failed {
            self.retry = first_retry(&self.plan.job);
        }
        if self.store.len() > 0 || self.found.ids.is_some() {
            self.refresh_at = Some(Instant::now());
        } else {
            self.plan.published.finish(false);
        }
    }

    fn next_retry(&mut self) -> Duration {
        let retry = self.retry;
        self.retry = (retry * 2).min(self.plan.job.schedule.interval.max(first_retry(&self.plan.job)));
        retry
    }

    /// Names what was found: whose it is, and of which resource.
    fn take_found(&mut self) {
        let job = &self.plan.job;
        let account = self.found.account.clone().unwrap_or_default();
        let place = Place { account, region: self.clients.region.clone() };
        let none = Arc::new(Resources::default());
        let resources = self.found.resources.as_ref().unwrap_or(&none);
        let ids: Vec<Id> = match &job.choice {
            Choice::Static(given) => given
                .iter()
                .map(|(name, dimensions)| Id { name: name.clone(), dimensions: dimensions.clone(), owner: None })
                .collect(),
            Choice::Discovered(wanted) => {
                self.found.ids.iter().flatten().filter(|id| is_wanted(wanted, resources, id)).cloned().collect()
            }
        };
        let mut names: HashMap<(String, bool), Arc<[Names]>> = HashMap::new();
        let metrics = ids.into_iter().map(|id| {
            // An index of DynamoDB has other names than its table.
            let key = (id.name.clone(), id.dimensions.iter().any(|(name, _)| name == "GlobalSecondaryIndexName"));
            let names = names.entry(key).or_insert_with(|| Names::of(job, &id)).clone();
            let resource = resources.of(&id.dimensions);
            Arc::new(Metric::new(job, &place, id, names, resource))
        });
        self.store.replace(metrics);
        self.plan.published.set_place(place);
        self.plan.published.set_resources(resources.clone());
    }

    /// Asks for everything up to the end of the last period that is due, and says when to ask next.
    async fn refresh(&mut self) {
        let schedule = self.plan.job.schedule;
        let until = schedule.due(SystemTime::now());
        let due = self.store.due(until);
        let failed = if due.is_empty() { None } else { self.fetch(due, until).await };
        let next = schedule.until_next(SystemTime::now());
        match failed {
            Some(problem) => {
                self.told.failed("data", &problem);
                if problem.kind == Kind::Throttled {
                    self.concurrency = 1;
                }
                let retry =
                    if problem.kind == Kind::Budget { next.min(Duration::from_secs(60)) } else { self.next_retry() };
                self.refresh_at = Some(Instant::now() + retry.min(next));
            }
            None => {
                self.told.went_well("data");
                self.concurrency = (self.concurrency + 1).min(MAX_CONCURRENCY);
                self.retry = first_retry(&self.plan.job);
                self.refresh_at = Some(Instant::now() + next);
            }
        }
    }

    /// Asks for `due`, and says what failed. What came is shown while the rest is waited for.
    async fn fetch(&mut self, due: Vec<Arc<Metric>>, until: Seconds) -> Option<Problem> {
        let batches: Vec<Request> =
            shape(&self.plan.job).split(&due).into_iter().map(|batch| self.request(batch, until)).collect();
        let mut waiting = batches.into_iter();
        let mut requests: JoinSet<_> = waiting.by_ref().take(self.concurrency).map(send).collect();
        let mut came = Came::default();
        loop {
            let done = match timeout(SHOWN_EVERY, requests.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok(done))) => done,
                Ok(Some(Err(_))) => continue,
                Err(_) => {
                    self.publish(&mut came, until);
                    continue;
                }
            };
            let (request, fetched) = done;
            came.is_any_good |= fetched.again.len() < request.metrics.len();
            came.problem = self.take(&request, fetched, until, &mut came.new).or(came.problem);
            // What the budget does not allow now it does not allow for the rest either.
            if came.problem.as_ref().is_some_and(|problem| problem.kind == Kind::Budget) {
                let rest: usize = waiting.by_ref().map(|request| request.metrics.len()).sum();
                self.spending.deferred.fetch_add(rest as u64, Relaxed);
            }
            if let Some(request) = waiting.next() {
                requests.spawn(send(request));
            }
        }
        self.store.forget_before(until - seconds(self.plan.job.schedule.window));
        self.publish(&mut came, until);
        self.plan.published.finish(came.problem.is_none());
        came.problem
    }

    fn request(&self, metrics: &[Arc<Metric>], until: Seconds) -> Request {
        Request {
            job: self.plan.job.clone(),
            clients: self.clients.clone(),
            spending: self.spending.clone(),
            metrics: metrics.to_vec(),
            start: until - seconds(self.plan.job.schedule.window),
            end: until,
        }
    }

    fn take(&mut self, request: &Request, fetched: Fetched, until: Seconds, new: &mut Vec<Datum>) -> Option<Problem> {
        for (metric, statistic, datums) in &fetched.datums {
            self.store.take(&request.metrics[*metric].id, *statistic, datums, new);
        }
        let mut again = fetched.again.iter().peekable();
        for (index, metric) in request.metrics.iter().enumerate() {
            if again.next_if_eq(&&index).is_none() {
                self.store.asked(&metric.id, until);
            }
        }
        fetched.problem
    }

    fn publish(&mut self, came: &mut Came, until: Seconds) {
        let new = std::mem::take(&mut came.new);
        let dropped = self.plan.log.lock().unwrap_or_else(PoisonError::into_inner).push(new);
        if dropped > 0 {
            self.told.dropped(dropped);
        }
        let snapshot = Snapshot::new(&self.plan.job, &self.store, until);
        self.plan.published.publish(snapshot, came.is_any_good);
    }
}

/// What has come of a refresh.
#[derive(Default)]
struct Came {
    new: Vec<Datum>,
    problem: Option<Problem>,
    is_any_good: bool,
}

fn is_wanted(wanted: &Discovered, resources: &Resources, id: &Id) -> bool {
    wanted.tags.is_empty() || resources.of(&id.dimensions).is_some()
}

async fn send(request: Request) -> (Request, Fetched) {
    let fetched = request.send().await;
    (request, fetched)
}

fn seconds(duration: Duration) -> Seconds {
    duration.as_secs() as Seconds
}
