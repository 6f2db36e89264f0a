//! What a job looks for in one place beside data: whose account it is, the resources, the metrics. Each is a step of its
//! own: one that fails leaves what the last one found, and is taken again alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::discovery;
use super::id::{Id, Place};
use super::metric::{Metric, Names};
use super::resources::Resources;
use super::settings::{Choice, Job};
use super::spending::Spending;
use super::told::Told;
use crate::aws::{Clients, Kind, Problem};

/// Which steps to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    account: bool,
    resources: bool,
    metrics: bool,
}

/// What the steps that were taken brought.
pub(super) struct Discovery {
    account: Option<Result<String, Problem>>,
    resources: Option<Result<Resources, Problem>>,
    metrics: Option<Result<Vec<Id>, Problem>>,
}

/// The last good answer of each step.
#[derive(Debug, Default)]
pub(super) struct Found {
    account: Option<String>,
    resources: Option<Arc<Resources>>,
    metrics: Option<Vec<Id>>,
    /// The steps that failed when they were taken last.
    failed: Steps,
}

impl Steps {
    /// Those that a discovery of `job` takes.
    fn all(job: &Job) -> Steps {
        match &job.choice {
            Choice::Discovered(wanted) => Steps { account: true, resources: wanted.resource_tags, metrics: true },
            Choice::Static(_) => Steps { account: true, ..Steps::default() },
        }
    }

    /// Takes them.
    pub(super) async fn take(self, job: Arc<Job>, clients: Clients, spending: Arc<Spending>) -> Discovery {
        let mut discovery = Discovery { account: None, resources: None, metrics: None };
        if self.account {
            discovery.account = Some(clients.account_id().await);
        }
        if let Choice::Discovered(wanted) = &job.choice {
            if self.resources {
                discovery.resources = Some(discovery::resources(&job, wanted, &clients, &spending).await);
            }
            if self.metrics {
                discovery.metrics = Some(discovery::list(&job, wanted, &clients, &spending).await);
            }
        }
        discovery
    }
}

impl Found {
    /// The steps to take next: those that failed, or all, if none did.
    pub(super) fn due(&self, job: &Job) -> Steps {
        match self.has_failed() {
            true => self.failed,
            false => Steps { account: self.account.is_none(), ..Steps::all(job) },
        }
    }

    /// Whether a step failed when it was taken last.
    pub(super) fn has_failed(&self) -> bool {
        self.failed != Steps::default()
    }

    /// Whether nothing is missing but, perhaps, whose account it is: data come without.
    pub(super) fn is_up(&self) -> bool {
        !self.failed.resources && !self.failed.metrics
    }

    /// When to take the next steps, unless one failed.
    pub(super) fn interval(job: &Job) -> Duration {
        // Whose account it is does not change.
        const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
        job.discovery_interval().unwrap_or(NEVER)
    }

    /// Takes what came, and says whether the list of metrics is new.
    pub(super) fn take(&mut self, job: &Job, discovery: Discovery, told: &mut Told) -> bool {
        let is_listed = matches!(discovery.metrics, Some(Ok(_)));
        keep(&mut self.account, &mut self.failed.account, discovery.account, told, "the account's number");
        let resources = discovery.resources.map(|result| result.map(Arc::new));
        keep(&mut self.resources, &mut self.failed.resources, resources, told, "the list of resources");
        keep(&mut self.metrics, &mut self.failed.metrics, discovery.metrics, told, "the list of metrics");
        if is_listed {
            self.keep_limit(job, told);
        }
        is_listed
    }

    fn keep_limit(&mut self, job: &Job, told: &mut Told) {
        let (Choice::Discovered(wanted), Some(metrics)) = (&job.choice, &mut self.metrics) else { return };
        const STEP: &str = "the number of metrics";
        if metrics.len() <= wanted.limit {
            return told.went_well(STEP);
        }
        metrics.truncate(wanted.limit);
        let message =
            format!("there are more than {} metrics: the rest is left out; see limit, or choose", wanted.limit);
        told.failed(STEP, &Problem { kind: Kind::Configuration, message });
    }

    /// Whose metrics they are.
    pub(super) fn place(&self, region: &str) -> Place {
        Place { account: self.account.clone().unwrap_or_default(), region: region.to_owned() }
    }

    /// The resources.
    pub(super) fn resources(&self) -> Arc<Resources> {
        self.resources.clone().unwrap_or_default()
    }

    /// The metrics, named; nothing as long as they are not known.
    pub(super) fn metrics(&self, job: &Job, place: &Place) -> Option<Vec<Arc<Metric>>> {
        let resources = self.resources();
        let ids: Vec<Id> = match &job.choice {
            Choice::Static(given) => given.clone(),
            Choice::Discovered(wanted) => {
                let is_wanted = |id: &&Id| wanted.tags.is_empty() || resources.of(&id.dimensions).is_some();
                self.metrics.as_ref()?.iter().filter(is_wanted).cloned().collect()
            }
        };
        let mut names: HashMap<(String, bool), Arc<[Names]>> = HashMap::new();
        let metric = |id: Id| {
            // An index of DynamoDB has other names than its table.
            let key = (id.name.clone(), id.dimensions.iter().any(|(name, _)| name == "GlobalSecondaryIndexName"));
            let names = names.entry(key).or_insert_with(|| Names::of(job, &id)).clone();
            let resource = resources.of(&id.dimensions);
            Arc::new(Metric::new(job, place, id, names, resource))
        };
        Some(ids.into_iter().map(metric).collect())
    }
}

/// Keeps what a step brought, or what was there if it failed.
fn keep<T>(
    known: &mut Option<T>,
    has_failed: &mut bool,
    came: Option<Result<T, Problem>>,
    told: &mut Told,
    step: &'static str,
) {
    match came {
        Some(Ok(value)) => {
            *known = Some(value);
            *has_failed = false;
            told.went_well(step);
        }
        Some(Err(problem)) => {
            *has_failed = true;
            told.failed(step, &problem);
        }
        None => {}
    }
}
