//! A collector whose jobs work in the background: what `exec`, `execd` and `file` share.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::results::{Outcome, Results, Snapshot};
use crate::collectors::foreign::Sources;
use crate::collectors::framework::background::Background;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::family::ForeignFamilies;
use crate::encode::{Family, FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::nats::settings::{self, Nats};
use crate::nats::turn::Turn;

/// What distinguishes a collector of jobs: the settings of one job, and the work.
pub(super) trait Kind: Send + Sync + Sized + 'static {
    /// The collector's metadata.
    const ABOUT: About;
    /// What the sources are, for the log.
    const SOURCES: &'static str;

    /// Reads the settings of a job from its table.
    fn new(host: &Host, table: &mut Section<'_>) -> Self;

    /// The name of a job that has none in the configuration.
    fn default_name(&self) -> String;

    /// The number of its commands or patterns. Each is tried on its own.
    fn commands(&self) -> usize;

    /// What it does, for `taffrail collectors`.
    fn describe(&self) -> String;

    /// Does the work of one command or pattern, forever.
    fn work(job: Arc<Job<Self>>, at: (usize, usize), results: Arc<Results>) -> impl Future<Output = ()> + Send;

    /// Writes the families about the sources.
    fn families(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>);

    /// Whether jobs may have a lease.
    const MAY_HAVE_LEASE: bool;

    /// Checks what all jobs need, once, and logs what is missing.
    fn warn() {}
}

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Job<K> {
    /// The label `name` of its metrics.
    pub(super) name: Arc<str>,
    /// The lease that it needs.
    lease: Option<String>,
    pub(super) settings: K,
}

/// The collector.
pub(super) struct Jobs<K> {
    jobs: Vec<Arc<Job<K>>>,
    sources: Sources,
    /// The servers of leases.
    nats: Nats,
    /// Started by the first reading.
    running: Option<(Arc<Results>, Background)>,
}

impl<K: Kind> Jobs<K> {
    fn results(&mut self) -> Arc<Results> {
        let (results, _) = self.running.get_or_insert_with(|| {
            let (jobs, nats, results) = (self.jobs.clone(), self.nats.clone(), Results::new());
            let shared = results.clone();
            let work = async move || {
                let mut work = JoinSet::new();
                for (index, job) in jobs.iter().enumerate() {
                    let turn = Turn::of(&nats, job.lease.as_deref());
                    for command in 0..job.settings.commands() {
                        work.spawn(in_turn(turn.clone(), job.clone(), (index, command), shared.clone()));
                    }
                }
                work.join_all().await;
            };
            (results, Background::start(K::ABOUT.name, work))
        });
        results.clone()
    }
}

/// Does the work of one command or pattern whenever it is this process's turn. Without it, the command has no results.
async fn in_turn<K: Kind>(turn: Turn, job: Arc<Job<K>>, at: (usize, usize), results: Arc<Results>) {
    let report = |runs: bool| {
        if !runs {
            results.retain(at.0, at.1, &BTreeSet::new());
        }
    };
    turn.run(report, || K::work(job.clone(), at, results.clone())).await;
}

impl<K: Kind> Collector for Jobs<K> {
    const ABOUT: About = About {
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        shows_failures: true,
        is_named_by_others: true,
        is_portable: true,
        ..K::ABOUT
    };
    type Reading = ResultsReading<K>;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let lease = |table: &mut Section<'_>| if K::MAY_HAVE_LEASE { settings::lease(table) } else { None };
        let jobs = named(section, K::ABOUT.name, |table| K::new(host, table), lease, K::default_name);
        if !jobs.is_empty() {
            K::warn();
        }
        Jobs { jobs, sources: Sources::new(K::ABOUT.name, K::SOURCES), nats: Nats::default(), running: None }
    }

    fn use_servers(&mut self, nats: &Nats) -> Result<bool, String> {
        self.nats = nats.clone();
        nats.check_leases(self.jobs.iter().map(|job| (&*job.name, &job.lease)))
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Self::Reading) -> Result<(), ReadError> {
        reading.0 = self.results().read(&mut self.sources, cx.wanted.points, cx.problems);
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let commands = self.jobs.iter().map(|job| job.settings.commands()).sum();
        self.results().wait(commands, limit);
    }

    fn report(&mut self) -> Vec<String> {
        self.jobs.iter().map(|job| format!("{}: {}", job.name, job.settings.describe())).collect()
    }
}

/// The jobs of the tables of a list. A name that is not configured is `default_name` of the settings, and is numbered if
/// another job has it.
fn named<K>(
    section: &mut Section<'_>,
    list: &'static str,
    mut read: impl FnMut(&mut Section<'_>) -> K,
    lease: impl Fn(&mut Section<'_>) -> Option<String>,
    default_name: impl Fn(&K) -> String,
) -> Vec<Arc<Job<K>>> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut jobs = Vec::new();
    for mut table in section.tables(list) {
        let name = table.optional(&NAME);
        let (settings, lease) = (read(&mut table), lease(&mut table));
        if let Some(given) = &name
            && names.contains_key(given)
        {
            table.wrong("name", format!("another {list} has the name {given:?}"));
        }
        let name = name.unwrap_or_else(|| default_name(&settings));
        let count = names.entry(name.clone()).or_default();
        *count += 1;
        let name = if *count > 1 { format!("{name}#{count}") } else { name }.into();
        jobs.push(Arc::new(Job { name, lease, settings }));
    }
    jobs
}

pub(super) const NAME: Key<String> = Key::optional(
    "name",
    "The label `name` of the metrics about it, and its name in the log; if absent, the file name of the program, or the pattern of \
     the files.",
);
pub(super) const INTERVAL: Key<Duration> = Key::new("interval", "\"10s\"", "How often it is run, read or signalled.");

/// The settings of several parts, in their order. `N` must be their number.
pub(super) const fn all_of<const N: usize>(parts: &[&[KeyInfo]]) -> [KeyInfo; N] {
    let mut all = [NAME.info(); N];
    let (mut part, mut count) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[count] = parts[part][index];
            index += 1;
            count += 1;
        }
        part += 1;
    }
    assert!(count == N, "N must be the number of the settings");
    all
}

/// The value of a family for a source, if the source has one.
pub(super) type ValueOf = fn(&Outcome) -> Option<f64>;

/// Writes families with one sample for each source.
pub(super) fn write_families<const N: usize>(
    families: &[(&Family<N>, ValueOf)],
    labels: for<'a> fn(&'a Outcome) -> [&'a str; N],
    outcomes: &[Arc<Outcome>],
    out: &mut FamilyWriter<'_>,
) {
    for (family, value) in families {
        let mut samples = out.family(family);
        for outcome in outcomes {
            if let Some(value) = value(outcome) {
                samples.sample(labels(outcome), value);
            }
        }
    }
}

/// The results of a collector's sources.
pub(super) struct ResultsReading<K>(Snapshot, PhantomData<fn() -> K>);

impl<K> Default for ResultsReading<K> {
    fn default() -> Self {
        ResultsReading(Snapshot::default(), PhantomData)
    }
}

impl<K: Kind> Reading for ResultsReading<K> {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.0.families(K::families, out);
    }

    fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        self.0.named_elsewhere(out)
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.0.points(K::families, since.map(|since| &since.previous.0), out);
    }
}
