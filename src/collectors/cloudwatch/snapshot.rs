//! What readers see of one job in one place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;

use super::budget::Purse;
use super::id::Place;
use super::id::Seconds;
use super::metric::Metric;
use super::resources::Resources;
use super::schedule::now;
use super::settings::{Job, Missing};
use super::spending::Spending;
use super::store::Store;
use crate::aws::Counts;

/// A sample of Prometheus.
#[derive(Debug)]
pub(super) struct Sample {
    /// The metric.
    pub(super) metric: Arc<Metric>,
    /// Which of the job's statistics.
    pub(super) statistic: usize,
    /// When its datum's period begins; nothing where there is no datum.
    pub(super) at: Option<Seconds>,
    /// Its value.
    pub(super) value: f64,
    /// When it is too old to be shown.
    pub(super) until: Seconds,
}

/// The newest datum of each statistic of each metric, by family.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The samples of each family.
    pub(super) families: BTreeMap<String, Vec<Sample>>,
    /// How many metrics are asked for.
    pub(super) metrics: usize,
}

/// How long a value is shown beyond its time, since a refresh takes a moment.
const GRACE: Seconds = 60;

impl Snapshot {
    /// What `store` holds up to `until`.
    pub(super) fn new(job: &Job, store: &Store, until: Seconds) -> Self {
        let schedule = &job.schedule;
        let of = |duration: std::time::Duration| duration.as_secs() as Seconds;
        let age = of(schedule.max_age);
        let lasts = of(schedule.period) + age + of(schedule.delay) + of(schedule.interval) + GRACE;
        let mut families: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for known in store.all() {
            for (statistic, names) in known.metric.names.iter().enumerate() {
                let newest = known.newest(statistic).filter(|(at, _)| at + of(schedule.period) + age > until);
                let (at, value) = match (newest, job.missing) {
                    (Some((at, value)), _) => (Some(at), value),
                    (None, Missing::NaN) => (None, f64::NAN),
                    (None, Missing::Zero) => (None, 0.0),
                    (None, Missing::Absent) => continue,
                };
                let metric = known.metric.clone();
                let until = at.unwrap_or(until) + lasts;
                families.entry(names.family.clone()).or_default().push(Sample { metric, statistic, at, value, until });
            }
        }
        Snapshot { families, metrics: store.len() }
    }
}

/// What one place leaves for readers.
#[derive(Debug)]
pub(super) struct Published {
    /// The job.
    pub(super) job: Arc<Job>,
    /// How often AWS was asked for what.
    pub(super) counts: Arc<Counts>,
    spending: OnceLock<Arc<Spending>>,
    place: ArcSwap<Place>,
    snapshot: ArcSwap<Snapshot>,
    resources: ArcSwap<Resources>,
    discovered_at: AtomicI64,
    succeeded_at: AtomicI64,
    is_up: AtomicBool,
    has_tried: AtomicBool,
}

impl Published {
    /// Nothing yet of `job` in `region`.
    pub(super) fn new(job: Arc<Job>, region: Option<&str>) -> Self {
        let place = Place { account: String::new(), region: region.unwrap_or_default().to_owned() };
        Published {
            job,
            counts: Arc::default(),
            spending: OnceLock::new(),
            place: ArcSwap::from_pointee(place),
            snapshot: ArcSwap::default(),
            resources: ArcSwap::default(),
            discovered_at: AtomicI64::new(0),
            succeeded_at: AtomicI64::new(0),
            is_up: AtomicBool::new(false),
            has_tried: AtomicBool::new(false),
        }
    }

    /// What is spent here, of `purse`.
    pub(super) fn spending(&self, purse: Arc<Mutex<Purse>>) -> Arc<Spending> {
        self.spending.get_or_init(|| Arc::new(Spending::new(purse))).clone()
    }

    /// What was spent here so far.
    pub(super) fn spent(&self) -> Option<&Spending> {
        self.spending.get().map(|spending| &**spending)
    }

    /// Whose metrics they are.
    pub(super) fn place(&self) -> Arc<Place> {
        self.place.load_full()
    }

    /// It became known whose metrics they are.
    pub(super) fn set_place(&self, place: Place) {
        self.place.store(Arc::new(place));
    }

    /// The resources.
    pub(super) fn resources(&self) -> Arc<Resources> {
        self.resources.load_full()
    }

    /// Resources became known.
    pub(super) fn set_resources(&self, resources: Arc<Resources>) {
        self.resources.store(resources);
    }

    /// What is known of the metrics.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The list of metrics is new.
    pub(super) fn discovered(&self) {
        self.discovered_at.store(now(), Relaxed);
    }

    /// When the list of metrics came; nothing if none came yet.
    pub(super) fn discovered_at(&self) -> Option<Seconds> {
        Some(self.discovered_at.load(Relaxed)).filter(|at| *at > 0)
    }

    /// When data came last; nothing if none came yet.
    pub(super) fn succeeded_at(&self) -> Option<Seconds> {
        Some(self.succeeded_at.load(Relaxed)).filter(|at| *at > 0)
    }

    /// Whether all that was asked for last came.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Whether it was tried to ask.
    pub(super) fn has_tried(&self) -> bool {
        self.has_tried.load(Relaxed)
    }

    /// Data came, or some of it.
    pub(super) fn publish(&self, snapshot: Snapshot, is_any_good: bool) {
        self.snapshot.store(Arc::new(snapshot));
        if is_any_good {
            self.succeeded_at.store(now(), Relaxed);
        }
    }

    /// It was asked for everything that was due, and everything came or not.
    pub(super) fn finish(&self, is_up: bool) {
        self.is_up.store(is_up, Relaxed);
        self.has_tried.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::cloudwatch::{id::Id, metric::Names};
    use crate::config::{Document, Section};

    #[test]
    fn a_value_is_shown_until_it_is_too_old() {
        let text = "[[collectors.cloudwatch]]\nnamespace = 'Shop'\nperiod = '1m'\nmax_age = '2m'\n";
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let jobs = Section::check(&document, |root| Job::all(&mut root.table("collectors")));
        let job = jobs.unwrap_or_else(|problems| panic!("{problems}")).remove(0);
        let mut store = Store::default();
        let id = Id { name: "Orders".to_owned(), ..Id::default() };
        let metric = Metric { names: Names::of(&job, &id), id: id.clone(), ..Metric::default() };
        store.replace([Arc::new(metric)]);
        store.take(&id, 0, &[(600, 1.0), (660, 2.0)], &mut Vec::new());
        let shown = |until: Seconds| {
            let snapshot = Snapshot::new(&job, &store, until);
            let samples = snapshot.families.get("aws_shop_orders_average");
            samples.map(|samples| (samples[0].value, samples[0].until))
        };
        // Its minute ended at 720. Of an agent that cannot ask any more it is gone as well: after the minute, its age, the
        // delay, the interval and a minute's grace.
        assert_eq!(shown(720), Some((2.0, 660 + 60 + 120 + 120 + 60 + 60)));
        assert_eq!(shown(839).map(|(value, _)| value), Some(2.0));
        assert_eq!(shown(840), None);
    }
}
