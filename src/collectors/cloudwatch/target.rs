//! One job in one account and region: discovery, scheduled requests, and the data for readers.

use std::future::pending;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::alarms;
use super::batches::Shape;
use super::budget::Ledger;
use super::budget::Spending;
use super::catch_up::{self, CatchUp};
use super::discovered::{Discovered, Discovery, LateAccount};
use super::fetch::{Fetched, Request, shape};
use super::id::Seconds;
use super::id::Target;
use super::log::{Datum, Log};
use super::metric::Metric;
use super::position::PositionFile;
use super::reported::Reported;
use super::schedule::now;
use super::settings::{Job, RECENT};
use super::snapshot::{Published, Snapshot};
use super::store::Store;
use super::terms::Terms;
use crate::aws::{Account, AccountNames, Clients, HttpClient, Kind, Problem};
use crate::backoff::Backoff;

/// Maximum requests in flight. After throttling it drops to one, and rises by one after each successful refresh.
const MAX_CONCURRENCY: usize = 4;
/// How often partial results are published during a refresh.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// The first pause after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// How often to check whether the budget allows requests again.
const BUDGET_RETRY: Duration = Duration::from_secs(60);

/// What a target needs to run.
#[derive(Clone)]
pub(super) struct Setup {
    /// The job.
    pub(super) job: Arc<Job>,
    /// The account.
    pub(super) account: Account,
    /// The region; the default of the SDK if `None`.
    pub(super) region: Option<String>,
    /// The shared client state.
    pub(super) http: HttpClient,
    /// The spending limit that all targets of the job share.
    pub(super) ledger: Arc<Mutex<Ledger>>,
    /// Receives the data points.
    pub(super) log: Arc<Mutex<Log>>,
    /// What readers see.
    pub(super) published: Arc<Published>,
}

impl Setup {
    /// Runs forever.
    pub(super) async fn run(self) {
        let mut reported = Reported::new(&self.job.name, self.account.secrets());
        let clients = self.clients(&mut reported).await;
        let spending = self.published.spending(self.ledger.clone());
        let alarms = alarms::watch(
            self.job.clone(),
            clients.clone(),
            spending.clone(),
            self.published.clone(),
            Reported::new(&self.job.name, self.account.secrets()),
        );
        let position_file = self.position_file();
        let resume = position_file.as_ref().and_then(|file| match file.read() {
            Ok(position) => position,
            Err(error) => {
                reported.failed(POSITION, &unwritable(&error));
                None
            }
        });
        let store = Store::new(resume);
        let mut runner = Runner {
            clients,
            reported,
            spending,
            job: self.job.clone(),
            log: self.log,
            published: self.published,
            store,
            position_file,
            catch_up: CatchUp::new(),
            discovered: Discovered::default(),
            discovering: None,
            late_account: None,
            discover_at: Instant::now(),
            discovery_pauses: pauses(&self.job),
            refresh_at: None,
            refresh_pauses: pauses(&self.job),
            concurrency: MAX_CONCURRENCY,
        };
        tokio::join!(runner.run(), alarms);
    }

    fn position_file(&self) -> Option<PositionFile> {
        let folder = self.job.state.as_ref().filter(|_| !self.job.catch_up.is_zero())?;
        let role = self.account.role.as_ref().map(|role| role.arn.as_str());
        let account = role.or(self.account.profile.as_deref()).unwrap_or_default();
        Some(PositionFile::new(folder, [&self.job.name, account, self.region.as_deref().unwrap_or_default()]))
    }

    async fn clients(&self, reported: &mut Reported) -> Clients {
        let mut pauses = pauses(&self.job);
        loop {
            let counts = self.published.counts.clone();
            match Clients::new(&self.account, self.region.as_deref(), self.http.clone(), counts).await {
                Ok(clients) => {
                    reported.succeeded("the region");
                    self.published.set_target(Target { region: clients.region.clone(), ..Target::default() });
                    return clients;
                }
                Err(problem) => reported.failed("the region", &problem),
            }
            self.published.finish(false);
            sleep(pauses.pause()).await;
        }
    }
}

fn pauses(job: &Job) -> Backoff {
    let interval = job.terms.schedule.interval;
    Backoff::new(FIRST_RETRY.min(interval), interval)
}

struct Runner {
    job: Arc<Job>,
    clients: Clients,
    spending: Arc<Spending>,
    log: Arc<Mutex<Log>>,
    published: Arc<Published>,
    reported: Reported,
    store: Store,
    position_file: Option<PositionFile>,
    catch_up: CatchUp,
    discovered: Discovered,
    discovering: Option<JoinHandle<Discovery>>,
    late_account: Option<LateAccount>,
    discover_at: Instant,
    discovery_pauses: Backoff,
    /// `None` until the metrics are known.
    refresh_at: Option<Instant>,
    refresh_pauses: Backoff,
    concurrency: usize,
}

/// The result of a refresh.
#[derive(Default)]
struct Came {
    new: Vec<Datum>,
    problem: Option<Problem>,
    is_any_good: bool,
}

impl Drop for Runner {
    /// Ends the discovery too, which costs money.
    fn drop(&mut self) {
        self.discovering.iter().for_each(JoinHandle::abort);
    }
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
            let catch_up = self.catch_up.wait();
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
                account = arrived(&mut self.late_account) => self.take_account(account),
                () = refresh => self.refresh().await,
                () = catch_up => self.catch_up().await,
            }
        }
    }

    /// Starts discovery. Data requests continue meanwhile.
    fn start_discovery(&mut self) {
        let steps = self.discovered.due(&self.job, self.late_account.is_some());
        // Metrics that ended during an outage are listed once it is over.
        let position = self.store.position().filter(|_| !self.job.catch_up.is_zero());
        let is_recent = position.is_none_or(|at| now() - at <= RECENT.as_secs() as Seconds);
        let taken = steps.take(self.job.clone(), self.clients.clone(), self.spending.clone(), is_recent);
        self.discovering = Some(tokio::spawn(taken));
    }

    fn take_account(&mut self, account: AccountNames) {
        if self.discovered.take_account(account, &mut self.reported) {
            self.name_metrics();
        } else {
            self.discover_at = self.discover_at.min(Instant::now() + self.discovery_pauses.pause());
        }
    }

    fn take_discovery(&mut self, mut discovery: Discovery) {
        self.late_account = discovery.late_account.take().or(self.late_account.take());
        let is_listed = self.discovered.take(&self.job, discovery, &mut self.reported);
        if is_listed {
            self.published.discovered();
        }
        let wait = if self.discovered.has_failed() {
            self.discovery_pauses.pause()
        } else {
            self.discovery_pauses.reset();
            Discovered::interval(&self.job)
        };
        self.discover_at = Instant::now() + wait;
        let found = self.name_metrics();
        if is_listed && self.discovered.is_up() {
            self.discovered.check_found(&self.job, found, &mut self.reported);
        }
    }

    /// Gives the metrics their names, by what is known now. Returns their number.
    fn name_metrics(&mut self) -> usize {
        let target = self.discovered.target(&self.clients.region);
        let metrics = self.discovered.metrics(&self.job, &target);
        self.published.set_target(target);
        self.published.set_resources(self.discovered.resources());
        let Some(metrics) = metrics else {
            self.published.finish(false);
            return 0;
        };
        let found = metrics.len();
        self.store.replace(metrics);
        self.refresh_at = Some(Instant::now());
        found
    }

    /// Fetches everything up to the end of the last period that is due, and sets when to fetch next.
    async fn refresh(&mut self) {
        let now = SystemTime::now();
        let due = self.store.due(now);
        let failed = self.fetch(due, now).await;
        let now = SystemTime::now();
        let next = self.job.all_terms().map(|terms| terms.schedule.until_next(now)).min().unwrap_or_default();
        let wait = match failed {
            Some(problem) => {
                self.reported.failed("what was asked for", &problem);
                if problem.kind == Kind::Throttled {
                    self.concurrency = 1;
                }
                if problem.kind == Kind::Budget { BUDGET_RETRY } else { self.refresh_pauses.pause() }
            }
            None => {
                self.reported.succeeded("what was asked for");
                self.concurrency = (self.concurrency + 1).min(MAX_CONCURRENCY);
                self.refresh_pauses.reset();
                next
            }
        };
        self.refresh_at = Some(Instant::now() + wait.min(next));
        self.catch_up.start(&self.store);
        self.persist_position();
    }

    /// Persists how far data have been fetched, if a sink reads them.
    fn persist_position(&mut self) {
        let Some(file) = &mut self.position_file else { return };
        if !self.log.lock().unwrap_or_else(PoisonError::into_inner).is_read() {
            return;
        }
        match file.write(self.store.position(), std::time::Instant::now()) {
            Ok(()) => self.reported.succeeded(POSITION),
            Err(error) => self.reported.failed(POSITION, &unwritable(&error)),
        }
    }

    /// Fetches a part of what was missed.
    async fn catch_up(&mut self) {
        let log = self.log.clone();
        let Some(part) = self.catch_up.next(&self.job, &mut self.store, &log) else { return };
        let (range, metrics) = match part {
            Ok(part) => part,
            Err(problem) => return self.reported.failed(CATCH_UP, &problem),
        };
        let Some(terms) = metrics.first().map(|metric| metric.terms.clone()) else { return };
        let request = self.request(&terms, &metrics, range);
        let fetched = request.send().await;
        let datum = |metric: usize, statistic: usize, (at, value): (Seconds, f64)| Datum {
            metric: request.metrics[metric].clone(),
            statistic,
            at,
            value,
        };
        let all = fetched.answers.iter();
        let missed = all
            .flat_map(|answer| answer.datums.iter().rev().map(|found| datum(answer.metric, answer.statistic, *found)));
        let dropped = log.lock().unwrap_or_else(PoisonError::into_inner).push(missed.collect());
        self.reported.dropped(dropped);
        for index in (0..request.metrics.len()).filter(|index| !fetched.again.contains(index)) {
            self.store.filled(&request.metrics[index].id);
        }
        match &fetched.problem {
            Some(problem) => self.reported.failed(CATCH_UP, problem),
            None => self.reported.succeeded(CATCH_UP),
        }
        self.catch_up.done(&self.store, fetched.problem.as_ref());
    }

    /// Fetches `due`, and returns what failed. Results are published as they arrive.
    async fn fetch(&mut self, due: Vec<Arc<Metric>>, now: SystemTime) -> Option<Problem> {
        let mut waiting = self.requests(due, now).into_iter();
        let mut requests: JoinSet<_> = waiting.by_ref().take(self.concurrency).map(send).collect();
        let mut came = Came::default();
        loop {
            match timeout(SHOWN_EVERY, requests.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok((request, fetched)))) => self.take(&request, fetched, now, &mut came),
                Ok(Some(Err(_))) => {}
                Err(_) => {
                    self.publish(&mut came, now);
                    continue;
                }
            }
            // If the budget does not cover this request, it does not cover the remaining ones.
            if came.problem.as_ref().is_some_and(|problem| problem.kind == Kind::Budget) {
                let rest: usize = waiting.by_ref().map(|request| request.metrics.len()).sum();
                self.spending.deferred.fetch_add(rest as u64, Relaxed);
            }
            if let Some(request) = waiting.next() {
                requests.spawn(send(request));
            }
        }
        self.store.forget_old(now);
        self.publish(&mut came, now);
        self.published.finish(came.problem.is_none() && self.discovered.is_up());
        came.problem
    }

    /// The requests for the data of `due`. All metrics of a request have the same terms.
    fn requests(&self, mut due: Vec<Arc<Metric>>, now: SystemTime) -> Vec<Request> {
        let mut requests = Vec::new();
        while let Some(terms) = due.first().map(|metric| metric.terms.clone()) {
            let (same, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|metric| metric.terms == terms);
            let range = catch_up::range(&self.job, &terms, &same, &self.store, now);
            let layout = Shape { periods: terms.schedule.periods(&range), ..shape(&self.job, &terms) };
            let of_metrics = layout.split(&same).into_iter();
            requests.extend(of_metrics.map(|metrics| self.request(&terms, metrics, range.clone())));
            due = others;
        }
        requests
    }

    fn request(&self, terms: &Arc<Terms>, metrics: &[Arc<Metric>], range: Range<Seconds>) -> Request {
        Request {
            job: self.job.clone(),
            terms: terms.clone(),
            clients: self.clients.clone(),
            spending: self.spending.clone(),
            metrics: metrics.to_vec(),
            start: range.start,
            end: range.end,
        }
    }

    fn take(&mut self, request: &Request, fetched: Fetched, now: SystemTime, came: &mut Came) {
        for answer in &fetched.answers {
            let metric = &request.metrics[answer.metric].id;
            self.store.take(metric, answer.statistic, &answer.datums, &mut came.new);
        }
        came.is_any_good |= fetched.again.len() < request.metrics.len();
        let oldest = catch_up::oldest(&self.job, &request.terms, request.end);
        let mut again = fetched.again.into_iter().peekable();
        for (index, metric) in request.metrics.iter().enumerate() {
            if again.next_if_eq(&index).is_none() {
                self.store.fetched(&metric.id, request.start..request.end, oldest, now);
            }
        }
        came.problem = fetched.problem.or(came.problem.take());
    }

    fn publish(&mut self, came: &mut Came, now: SystemTime) {
        let new = std::mem::take(&mut came.new);
        let dropped = self.log.lock().unwrap_or_else(PoisonError::into_inner).push(new);
        self.reported.dropped(dropped);
        self.published.publish(Snapshot::new(&self.store, now), came.is_any_good);
    }
}

const CATCH_UP: &str = "what was missed";
const POSITION: &str = "the time up to which everything was asked for";

fn unwritable(error: &io::Error) -> Problem {
    let message = format!("{POSITION} is not persisted, so that a stop is not caught up on: {error}");
    Problem { kind: Kind::Configuration, message }
}

/// The account, once its request has ended.
async fn arrived(late: &mut Option<LateAccount>) -> AccountNames {
    let Some(asked) = late else { return pending().await };
    let account = asked.await;
    *late = None;
    let ended = |error: JoinError| Problem { kind: Kind::Unavailable, message: error.to_string() };
    account.unwrap_or_else(|error| AccountNames { id: Err(ended(error)), alias: None })
}

async fn send(request: Request) -> (Request, Fetched) {
    let fetched = request.send().await;
    (request, fetched)
}
