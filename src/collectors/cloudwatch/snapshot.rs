//! What readers see of one job and target.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::budget::Ledger;
use super::budget::Spending;
use super::id::Seconds;
use super::id::Target;
use super::metric::Metric;
use super::resources::Resources;
use super::schedule::now;
use super::settings::Job;
use super::store::Store;
use super::terms::{Missing, Terms};
use crate::aws::Counts;

/// A Prometheus sample.
#[derive(Debug)]
pub(super) struct Sample {
    /// The metric.
    pub(super) metric: Arc<Metric>,
    /// Index of the statistic in the job.
    pub(super) statistic: usize,
    /// Start of the period; `None` if there are no data.
    pub(super) at: Option<Seconds>,
    /// Its value.
    pub(super) value: f64,
    /// When it becomes too old to be exposed.
    pub(super) until: Seconds,
}

/// The newest data point of each statistic of each metric, or all data points, by family.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The samples of each family.
    pub(super) families: BTreeMap<String, Vec<Sample>>,
    /// Number of metrics that are fetched.
    pub(super) metrics: usize,
    /// The shortest time between two successful requests; `None` without metrics.
    pub(super) interval: Option<Duration>,
}

/// Grace period after the maximum age, because a refresh takes a moment.
const GRACE: Seconds = 60;

impl Snapshot {
    /// The data in `store` that are due at `now`.
    pub(super) fn new(store: &Store, now: SystemTime) -> Self {
        let of = |duration: Duration| duration.as_secs() as Seconds;
        let mut families: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for known in store.all() {
            let Terms { schedule, missing, all_data_points, .. } = &*known.metric.terms;
            let (until, age) = (schedule.due(now), of(schedule.max_age));
            let lasts = of(schedule.period) + age + of(schedule.delay) + of(schedule.interval) + GRACE;
            for (statistic, names) in known.metric.names.iter().enumerate() {
                let metric = &known.metric;
                if *all_data_points {
                    let until = until + lasts;
                    let all = known.all(statistic).iter();
                    let sample =
                        |&(at, value)| Sample { metric: metric.clone(), statistic, at: Some(at), value, until };
                    families.entry(names.family.clone()).or_default().extend(all.map(sample));
                    continue;
                }
                let newest = known.newest(statistic).filter(|(at, _)| at + of(schedule.period) + age > until);
                let (at, value) = match (newest, missing) {
                    (Some((at, value)), _) => (Some(at), value),
                    (None, Missing::NaN) => (None, f64::NAN),
                    (None, Missing::Zero) => (None, 0.0),
                    (None, Missing::Absent) => continue,
                };
                let metric = metric.clone();
                let until = at.unwrap_or(until) + lasts;
                families.entry(names.family.clone()).or_default().push(Sample { metric, statistic, at, value, until });
            }
        }
        // It is retained until the next one is complete.
        families.values_mut().for_each(Vec::shrink_to_fit);
        let interval = store.all().map(|known| known.metric.terms.schedule.spacing()).min();
        Snapshot { families, metrics: store.len(), interval }
    }
}

/// The state of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    /// Its name.
    pub(super) name: String,
    /// `metric` or `composite`.
    pub(super) kind: &'static str,
    /// As AWS names it, such as `OK`.
    pub(super) state: String,
}

/// The published state of one target.
#[derive(Debug)]
pub(super) struct Published {
    /// The job.
    pub(super) job: Arc<Job>,
    /// API request counts.
    pub(super) counts: Arc<Counts>,
    spending: OnceLock<Arc<Spending>>,
    target: ArcSwap<Target>,
    snapshot: ArcSwap<Snapshot>,
    resources: ArcSwap<Resources>,
    alarms: ArcSwap<Vec<Alarm>>,
    discovered_at: AtomicI64,
    succeeded_at: AtomicI64,
    is_up: AtomicBool,
    has_tried: AtomicBool,
    /// Whether this process runs the job. It does if the job has no lease, or it holds the lease.
    runs: AtomicBool,
}

impl Published {
    /// An empty state for `job` in `region`.
    pub(super) fn new(job: Arc<Job>, region: Option<&str>) -> Self {
        let target = Target { region: region.unwrap_or_default().to_owned(), ..Target::default() };
        Published {
            job,
            counts: Arc::default(),
            spending: OnceLock::new(),
            target: ArcSwap::from_pointee(target),
            snapshot: ArcSwap::default(),
            resources: ArcSwap::default(),
            alarms: ArcSwap::default(),
            discovered_at: AtomicI64::new(0),
            succeeded_at: AtomicI64::new(0),
            is_up: AtomicBool::new(false),
            has_tried: AtomicBool::new(false),
            runs: AtomicBool::new(false),
        }
    }

    /// Spending of this target, within `ledger`.
    pub(super) fn spending(&self, ledger: Arc<Mutex<Ledger>>) -> Arc<Spending> {
        self.spending.get_or_init(|| Arc::new(Spending::new(ledger))).clone()
    }

    /// Spending of this target so far.
    pub(super) fn spent(&self) -> Option<&Spending> {
        self.spending.get().map(|spending| &**spending)
    }

    /// The owner of the metrics.
    pub(super) fn target(&self) -> Arc<Target> {
        self.target.load_full()
    }

    /// Sets the owner.
    pub(super) fn set_target(&self, target: Target) {
        self.target.store(Arc::new(target));
    }

    /// The resources.
    pub(super) fn resources(&self) -> Arc<Resources> {
        self.resources.load_full()
    }

    /// Sets the resources.
    pub(super) fn set_resources(&self, resources: Arc<Resources>) {
        self.resources.store(resources);
    }

    /// The alarms.
    pub(super) fn alarms(&self) -> Arc<Vec<Alarm>> {
        self.alarms.load_full()
    }

    /// Sets the alarms.
    pub(super) fn set_alarms(&self, alarms: Vec<Alarm>) {
        self.alarms.store(Arc::new(alarms));
    }

    /// The current metrics and data.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Records a new list of metrics.
    pub(super) fn discovered(&self) {
        self.discovered_at.store(now(), Relaxed);
    }

    /// When the metrics were last listed; `None` before the first time.
    pub(super) fn discovered_at(&self) -> Option<Seconds> {
        Some(self.discovered_at.load(Relaxed)).filter(|at| *at > 0)
    }

    /// When data last arrived; `None` before the first time.
    pub(super) fn succeeded_at(&self) -> Option<Seconds> {
        Some(self.succeeded_at.load(Relaxed)).filter(|at| *at > 0)
    }

    /// Whether the last refresh was complete.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Whether a refresh has been attempted.
    pub(super) fn has_tried(&self) -> bool {
        self.has_tried.load(Relaxed)
    }

    /// Whether this process runs the job.
    pub(super) fn runs(&self) -> bool {
        self.runs.load(Relaxed)
    }

    /// Records that this process begins to run the job, or no longer does. Nothing that was published before is exposed again.
    pub(super) fn set_runs(&self, runs: bool) {
        self.snapshot.store(Arc::default());
        self.alarms.store(Arc::default());
        self.discovered_at.store(0, Relaxed);
        self.succeeded_at.store(0, Relaxed);
        self.is_up.store(false, Relaxed);
        self.runs.store(runs, Relaxed);
    }

    /// Records that some data arrived.
    pub(super) fn publish(&self, snapshot: Snapshot, is_any_good: bool) {
        self.snapshot.store(Arc::new(snapshot));
        if is_any_good {
            self.succeeded_at.store(now(), Relaxed);
        }
    }

    /// How often data are expected.
    pub(super) fn interval(&self) -> Option<Duration> {
        let of_job = || self.job.all_terms().map(|terms| terms.schedule.spacing()).min();
        self.snapshot.load().interval.or_else(of_job)
    }

    /// Records the end of a refresh, and whether it was complete.
    pub(super) fn finish(&self, is_up: bool) {
        self.is_up.store(is_up, Relaxed);
        self.has_tried.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::cloudwatch::{
        id::Id,
        metric::{MetricNames, Named},
    };
    use crate::config::{Document, Section};

    #[test]
    fn a_value_is_shown_until_it_is_too_old() {
        let text = "[[collectors.cloudwatch]]\nnamespace = 'Shop'\nperiod = '1m'\nmax_age = '2m'\n";
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let jobs = Section::check(&document, |root| Job::all(&mut root.table("collectors")));
        let job = jobs.unwrap_or_else(|problems| panic!("{problems}")).remove(0);
        let mut store = Store::default();
        let id = Id { name: "Orders".to_owned(), ..Id::default() };
        let Named { terms, names, .. } = MetricNames::new(&job, &[]).of(&job, &id);
        let metric = Metric { terms, names, id: id.clone(), ..Metric::default() };
        store.replace([Arc::new(metric)]);
        store.take(&id, 0, &[(600, 1.0), (660, 2.0)], &mut Vec::new());
        let shown = |until: Seconds| {
            const DELAY: Seconds = 120;
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs((until + DELAY) as u64);
            let snapshot = Snapshot::new(&store, now);
            let samples = snapshot.families.get("aws_shop_orders_average");
            samples.map(|samples| (samples[0].value, samples[0].until))
        };
        // Its minute ended at 720. It also disappears if the agent can no longer fetch: after the minute, the maximum
        // age, the delay, the interval and a minute of grace.
        assert_eq!(shown(720), Some((2.0, 660 + 60 + 120 + 120 + 60 + 60)));
        assert_eq!(shown(839).map(|(value, _)| value), Some(2.0));
        assert_eq!(shown(840), None);
    }
}
