//! What a job discovers for one target: account, resources and metrics. Each is a separate step: a step that fails
//! keeps its last result, and is retried alone. Data do not wait for the account, which is only a label.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::budget::Spending;
use super::discovery;
use super::id::{Id, Target};
use super::metric::{Metric, MetricNames};
use super::reported::Reported;
use super::resources::Resources;
use super::settings::{Choice, Job};
use crate::aws::{AccountNames, Clients, Kind, Problem};

/// The steps to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    account: bool,
    resources: bool,
    metrics: bool,
}

/// How long the other steps wait for the account, so that labels do not change just after the start.
const ACCOUNT_GRACE: Duration = Duration::from_secs(2);

/// A request for the account that takes longer than [`ACCOUNT_GRACE`].
pub(super) type LateAccount = JoinHandle<AccountNames>;

/// The results of the steps that ran.
pub(super) struct Discovery {
    /// The account, if it was not known in time.
    pub(super) late_account: Option<LateAccount>,
    account: Option<AccountNames>,
    resources: Option<Result<Resources, Problem>>,
    metrics: Option<Result<Vec<Id>, Problem>>,
}

/// The last good result of each step.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    account: Option<String>,
    alias: Option<String>,
    resources: Option<Arc<Resources>>,
    metrics: Option<Vec<Id>>,
    /// The steps that failed in the last run.
    failed: Steps,
}

impl Steps {
    /// The steps of a discovery for `job`.
    fn all(job: &Job) -> Steps {
        match &job.choice {
            Choice::Discovered(wanted) => Steps { account: true, resources: wanted.resource_tags, metrics: true },
            Choice::Static(_) => Steps { account: true, ..Steps::default() },
        }
    }

    /// Runs the steps at the same time. `is_recent`: metrics without recent data may be left out.
    pub(super) async fn take(
        self,
        job: Arc<Job>,
        clients: Clients,
        spending: Arc<Spending>,
        is_recent: bool,
    ) -> Discovery {
        let (asking, has_alias) = (clients.clone(), job.account_alias);
        let mut late_account = self.account.then(|| tokio::spawn(async move { asking.account_names(has_alias).await }));
        let (mut account, mut resources, mut metrics) = (None, None, None);
        if let Choice::Discovered(wanted) = &job.choice {
            let resources_of = discovery::resources(&job, wanted, &clients, &spending);
            let list = discovery::list(&job, wanted, &clients, &spending, is_recent);
            (resources, metrics) = tokio::join!(given(self.resources, resources_of), given(self.metrics, list));
        }
        if let Some(asked) = &mut late_account
            && let Ok(answered) = timeout(ACCOUNT_GRACE, asked).await
        {
            (account, late_account) = (answered.ok(), None);
        }
        Discovery { late_account, account, resources, metrics }
    }
}

/// The result of a step, if it is to run.
async fn given<T>(is_due: bool, step: impl Future<Output = T>) -> Option<T> {
    if is_due { Some(step.await) } else { None }
}

impl Discovered {
    /// The steps to run next: those that failed, or else all of them. `is_asked`: the account is being requested.
    pub(super) fn due(&self, job: &Job, is_asked: bool) -> Steps {
        let steps = if self.has_failed() { self.failed } else { Steps::all(job) };
        let is_unknown = self.account.is_none() || job.account_alias && self.alias.is_none();
        Steps { account: is_unknown && !is_asked, ..steps }
    }

    /// Whether a step failed in its last run.
    pub(super) fn has_failed(&self) -> bool {
        self.failed != Steps::default()
    }

    /// Whether everything is known except, possibly, the account, which data do not need.
    pub(super) fn is_up(&self) -> bool {
        !self.failed.resources && !self.failed.metrics
    }

    /// When to run the next steps, if none failed.
    pub(super) fn interval(job: &Job) -> Duration {
        // The account does not change.
        const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
        job.discovery_interval().unwrap_or(NEVER)
    }

    /// Stores the results. Returns whether the list of metrics has changed.
    pub(super) fn take(&mut self, job: &Job, discovery: Discovery, reported: &mut Reported) -> bool {
        let is_listed = matches!(discovery.metrics, Some(Ok(_)));
        if let Some(names) = discovery.account {
            self.take_account(names, reported);
        }
        let resources = discovery.resources.map(|result| result.map(Arc::new));
        store_result(&mut self.resources, &mut self.failed.resources, resources, reported, "the list of resources");
        store_result(&mut self.metrics, &mut self.failed.metrics, discovery.metrics, reported, "the list of metrics");
        if is_listed {
            self.check_limit(job, reported);
        }
        is_listed
    }

    /// Stores an account that was late. Returns whether it is known now.
    pub(super) fn take_account(&mut self, names: AccountNames, reported: &mut Reported) -> bool {
        let (mut has_no_id, mut has_no_alias) = (false, false);
        store_result(&mut self.account, &mut has_no_id, Some(names.id), reported, "the account's number");
        store_result(&mut self.alias, &mut has_no_alias, names.alias, reported, "the account's alias");
        self.failed.account = has_no_id || has_no_alias;
        !has_no_id
    }

    /// Reports whether any of the listed metrics, `found` of them, are of the job.
    pub(super) fn check_found(&self, job: &Job, found: usize, reported: &mut Reported) {
        let (Choice::Discovered(wanted), Some(listed)) = (&job.choice, &self.metrics) else { return };
        const STEP: &str = "the choice of metrics";
        if found > 0 {
            return reported.succeeded(STEP);
        }
        let recent = if wanted.recently_active { ", with data of the last three hours," } else { "" };
        let message = match listed.len() {
            0 => format!(
                "nothing found: no metric of {}{recent} is there that metrics and dimensions choose",
                job.namespace
            ),
            listed => format!(
                "nothing found: none of the {listed} metrics of {} has a resource with these tags",
                job.namespace
            ),
        };
        reported.failed(STEP, &Problem { kind: Kind::Configuration, message });
    }

    fn check_limit(&mut self, job: &Job, reported: &mut Reported) {
        let (Choice::Discovered(wanted), Some(metrics)) = (&job.choice, &mut self.metrics) else { return };
        const STEP: &str = "the number of metrics";
        if metrics.len() <= wanted.limit {
            return reported.succeeded(STEP);
        }
        metrics.truncate(wanted.limit);
        let message =
            format!("there are more than {} metrics: the rest is left out; see limit, or choose", wanted.limit);
        reported.failed(STEP, &Problem { kind: Kind::Configuration, message });
    }

    /// The owner of the metrics.
    pub(super) fn target(&self, region: &str) -> Target {
        Target {
            account: self.account.clone().unwrap_or_default(),
            alias: self.alias.clone().unwrap_or_default(),
            region: region.to_owned(),
        }
    }

    /// The resources.
    pub(super) fn resources(&self) -> Arc<Resources> {
        self.resources.clone().unwrap_or_default()
    }

    /// The metrics with their names; `None` until they are known.
    pub(super) fn metrics(&self, job: &Job, target: &Target) -> Option<Vec<Arc<Metric>>> {
        let resources = self.resources();
        let ids: Vec<Id> = match &job.choice {
            Choice::Static(given) => given.clone(),
            Choice::Discovered(wanted) => {
                let is_wanted = |id: &&Id| wanted.tags.is_empty() || resources.of(&id.dimensions).is_some();
                self.metrics.as_ref()?.iter().filter(is_wanted).cloned().collect()
            }
        };
        let mut names = MetricNames::new(job, &ids);
        let metric = |id: Id| {
            let named = names.of(job, &id);
            let resource = resources.of(&id.dimensions);
            Arc::new(Metric::new(job, target, id, named, resource))
        };
        Some(ids.into_iter().map(metric).collect())
    }
}

/// Stores the result of a step; if it failed, the previous one stays.
fn store_result<T>(
    known: &mut Option<T>,
    has_failed: &mut bool,
    came: Option<Result<T, Problem>>,
    reported: &mut Reported,
    step: &'static str,
) {
    match came {
        Some(Ok(value)) => {
            *known = Some(value);
            *has_failed = false;
            reported.succeeded(step);
        }
        Some(Err(problem)) => {
            *has_failed = true;
            reported.failed(step, &problem);
        }
        None => {}
    }
}
