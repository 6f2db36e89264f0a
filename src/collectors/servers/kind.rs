//! A collector of servers: its sections, and one task for each server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;

use super::items::SERVER;
use super::outcome::{Found, Label, Labels, Outcome, ServersReading};
use crate::collectors::framework::background::{Background, Clock};
use crate::collectors::framework::latest::{Index, Latest};
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, KeyInfo, Section, TableInfo};
use crate::encode::family::FamilyInfo;
use crate::encode::names::check_label_name;
use crate::host::{Host, ReadError};
use crate::log::Episode;

/// A kind of server.
pub(super) trait Kind: Sized + Send + Sync + 'static {
    /// The metadata of its collector.
    const ABOUT: About;
    /// The label of its families that has the server.
    const LABEL: &'static str = SERVER;
    /// Whether the server gave its values.
    const UP: &'static FamilyInfo;
    /// The number of failed queries, if the exporter counts them.
    const FAILURES: Option<&'static FamilyInfo> = None;
    /// The setting with the servers.
    const TARGETS: Key<Vec<String>>;
    /// How a server is reached.
    type Target: Send + Sync;
    /// What a task remembers from one query of its server to the next.
    type Memory: Default + Send;

    /// The settings in a section.
    fn new(section: &mut Section<'_>, timeout: Duration) -> Self;

    /// A server, and the name that is shown, which has no secret.
    ///
    /// # Errors
    /// What was expected, without `text`, which may have a password.
    fn target(text: &str) -> Result<(String, Self::Target), &'static str>;

    /// Queries a server.
    ///
    /// # Errors
    /// Why it gives no values, without credentials.
    fn query(
        &self,
        target: &Self::Target,
        memory: &mut Self::Memory,
        found: &mut Found,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Labels of [`Kind::UP`] and of [`Kind::FAILURES`] that are known from an earlier query.
    fn labels(memory: &Self::Memory) -> Vec<Label> {
        let _ = memory;
        Vec::new()
    }
}

/// The settings of every kind.
pub(super) const INTERVAL: Key<Duration> = Key::new("interval", "\"10s\"", "Interval of the queries of a server.");
pub(super) const TIMEOUT: Key<Duration> =
    Key::new("timeout", "\"5s\"", "Time within which a query is complete, with the look-up of names.");
pub(super) const KEYS: &[KeyInfo] = &[INTERVAL.info(), TIMEOUT.info()];
/// Labels and tags of the settings.
pub(super) const LABELS: TableInfo =
    TableInfo::open("labels", "Labels of all samples and tags of all points: any name, with a string value.");

/// Metadata to start from.
pub(super) const PLAIN: About = About {
    reads: &["the servers"],
    remarks: "Each server is queried at its own interval, with its own deadline, and never twice at a time. A scrape gets the last \
              values; a sink gets the points of each query once. docs/applications.md has examples and differences.",
    on_by_default: Vocabularies::BOTH,
    is_list: true,
    shows_failures: true,
    is_portable: true,
    ..About::PLAIN
};

/// The collector of a kind.
pub(super) struct Servers<K: Kind> {
    jobs: Vec<Arc<Job<K>>>,
    running: Option<(Latest<Outcome>, Background)>,
}

/// A section.
struct Job<K: Kind> {
    kind: K,
    interval: Duration,
    timeout: Duration,
    targets: Vec<Target<K>>,
    tags: Labels,
}

struct Target<K: Kind> {
    name: Arc<str>,
    target: K::Target,
    labels: Labels,
}

/// Results retained for a sink that does not read.
const MAX_RESULTS: usize = 2_000;

impl<K: Kind> Collector for Servers<K> {
    const ABOUT: About = K::ABOUT;
    type Reading = ServersReading;

    fn new(_: &Host, collectors: &mut Section<'_>) -> Self {
        let mut known = BTreeSet::new();
        let mut sections = collectors.tables(K::ABOUT.name);
        let jobs = sections.iter_mut().map(|section| Arc::new(Job::new(section, &mut known))).collect();
        Servers { jobs, running: None }
    }

    fn read(&mut self, _: &mut ReadContext<'_>, reading: &mut ServersReading) -> Result<(), ReadError> {
        *reading = ServersReading(self.running().read());
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let targets = self.jobs.iter().map(|job| job.targets.len()).sum();
        self.running().wait(targets, limit);
    }

    fn report(&mut self) -> Vec<String> {
        let line = |job: &Arc<Job<K>>| {
            let names: Vec<&str> = job.targets.iter().map(|target| &*target.name).collect();
            format!("{}, every {}", names.join(", "), humantime::format_duration(job.interval))
        };
        self.jobs.iter().map(line).collect()
    }
}

impl<K: Kind> Servers<K> {
    fn running(&mut self) -> &Latest<Outcome> {
        let (latest, _) = self.running.get_or_insert_with(|| start(&self.jobs));
        latest
    }
}

impl<K: Kind> Job<K> {
    /// The job of a section. `known` has the labels of all servers so far.
    fn new(section: &mut Section<'_>, known: &mut BTreeSet<Labels>) -> Job<K> {
        let (interval, timeout) = (section.above_zero(&INTERVAL), section.above_zero(&TIMEOUT));
        let kind = K::new(section, timeout);
        let labels = section.table(LABELS.name).strings_that(|name, _| match name {
            _ if name.starts_with("__") => Err("expected the name of a label, not first two underscores"),
            _ if name == K::LABEL => Err("expected another name: it is that of the label of the server"),
            name => check_label_name(name),
        });
        let tags: Vec<(String, String)> = labels.into_iter().collect();
        let targets = Target::all(section, &tags, known);
        Job { kind, interval, timeout, targets, tags: tags.into() }
    }
}

impl<K: Kind> Target<K> {
    /// The servers of a section. The series of each have labels of their own.
    fn all(section: &mut Section<'_>, tags: &[(String, String)], known: &mut BTreeSet<Labels>) -> Vec<Target<K>> {
        let key = K::TARGETS.info().name;
        let (is_absent, texts) = (!section.has(&K::TARGETS), section.optional(&K::TARGETS));
        if is_absent || texts.as_ref().is_some_and(Vec::is_empty) {
            section.wrong(key, "required: at least one server");
        }
        let mut targets = Vec::new();
        for (index, text) in texts.unwrap_or_default().iter().enumerate() {
            match K::target(text) {
                Err(expected) => section.wrong_element(key, index, expected),
                Ok((name, target)) => {
                    let labels: Labels = tags.iter().cloned().chain([(K::LABEL.to_owned(), name.clone())]).collect();
                    if !known.insert(labels.clone()) {
                        section.wrong_element(key, index, "this server is there twice, with the same labels");
                    }
                    targets.push(Target { name: name.into(), target, labels });
                }
            }
        }
        targets
    }
}

/// Starts the queries in the background.
fn start<K: Kind>(jobs: &[Arc<Job<K>>]) -> (Latest<Outcome>, Background) {
    let latest = Latest::new(MAX_RESULTS);
    let (jobs, all) = (jobs.to_vec(), latest.clone());
    let background = Background::start(K::ABOUT.name, || async move {
        let mut running = JoinSet::new();
        for (index, job) in jobs.into_iter().enumerate() {
            for target in 0..job.targets.len() {
                running.spawn(run(job.clone(), (index, target), all.clone()));
            }
        }
        while running.join_next().await.is_some() {}
    });
    (latest, background)
}

/// Queries a server forever.
async fn run<K: Kind>(job: Arc<Job<K>>, at: Index, latest: Latest<Outcome>) {
    let target = &job.targets[at.1];
    let mut clock = Clock::new(job.interval, hash(&target.name));
    let mut memory = K::Memory::default();
    let (mut failing, mut malformed) = (Episode::default(), Episode::default());
    let mut failures = 0_u64;
    loop {
        clock.tick().await;
        let (start, at_start, mut found) = (Instant::now(), SystemTime::now().into(), Found::default());
        let queried = tokio::time::timeout(job.timeout, job.kind.query(&target.target, &mut memory, &mut found)).await;
        let failure = match queried {
            Ok(done) => done.err(),
            Err(_) => Some(format!("no complete response within {}", humantime::format_duration(job.timeout))),
        };
        if failure.is_some() {
            found = Found::default();
            failures += 1;
        }
        report(K::ABOUT.name, &target.name, failure.as_ref(), &mut failing, "cannot be read", "can be read");
        let is_malformed = found.malformed.as_ref();
        report(
            K::ABOUT.name,
            &target.name,
            is_malformed,
            &mut malformed,
            "has values that are left out",
            "has sound values",
        );
        found.add(K::UP, K::labels(&memory), failure.is_none());
        if let Some(family) = K::FAILURES {
            found.add(family, K::labels(&memory), failures);
        }
        let outcome = Outcome {
            input: K::ABOUT.name,
            shown: target.name.clone(),
            labels: target.labels.clone(),
            tags: job.tags.clone(),
            at: at_start,
            took: start.elapsed().as_secs_f64(),
            is_up: failure.is_none(),
            found,
        };
        latest.publish(at, outcome);
    }
}

/// Logs the beginning and the end of a failure.
fn report(
    collector: &str,
    name: &str,
    failure: Option<&String>,
    failing: &mut Episode<String>,
    fails: &str,
    recovers: &str,
) {
    match failure {
        Some(reason) => {
            if failing.fails(reason.clone()) {
                tracing::warn!(collector, "{name} {fails}: {reason}");
            }
        }
        None => {
            if let Some(over) = failing.recovered() {
                tracing::info!(collector, "{name} {recovers} again {over}");
            }
        }
    }
}

/// FNV-1a: spreads the clocks of targets, and is the same at each start.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
