//! The results of programs and files: the newest of each for scrapes, and all points in order of arrival for sinks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::format::Content;
use super::series::Series;
use crate::collectors::foreign::{Family, Retained, Sources};
use crate::collectors::framework::arrivals::{Cursor, Log};
use crate::collectors::framework::write_generic_points;
use crate::encode::family::ForeignFamilies;
use crate::encode::parse::line::{FieldValue, Point};
use crate::encode::{FamilyWriter, PointWriter, Timestamp, point};
use crate::host::ReadError;

/// A source: the index of the job, that of the command in it, and the path.
pub(super) type Key = (usize, usize, String);

/// The newest result of a source.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The name of the job.
    pub(super) name: Arc<str>,
    /// The name of the program, or the path of the file.
    pub(super) source: Arc<str>,
    /// Whether it succeeded: all of the output was used, or the program runs.
    pub(super) is_success: bool,
    /// The exit status of the program; 128 and the number of the signal that ended it.
    pub(super) status: Option<i32>,
    /// How long it took.
    pub(super) duration: Duration,
    /// When it ended.
    pub(super) at: Instant,
    /// How often the program was started again.
    pub(super) restarts: u64,
    /// The families.
    pub(super) shown: Shown,
    /// What failed.
    pub(super) errors: Vec<String>,
}

/// The families of a source.
#[derive(Debug)]
pub(super) enum Shown {
    /// Those of the last run.
    Fixed(Arc<[Family]>),
    /// Those of a program that writes all the time.
    Live(Arc<Mutex<Series>>),
}

/// A point, and its time.
pub(super) type Arrived = (Timestamp, Point<'static>);

/// The results of all sources of a collector.
pub(super) struct Results {
    current: Mutex<Current>,
    arrived: Arc<Arrivals>,
}

#[derive(Default)]
struct Current {
    outcomes: BTreeMap<Key, Arc<Outcome>>,
    /// The commands that have had a result.
    tried: BTreeSet<(usize, usize)>,
    /// Retains the first points for sinks that have not read yet.
    first: Option<(Instant, Arc<Cursor>)>,
}

/// How long the first points are retained for sinks that have not read yet.
const FIRST_READINGS: Duration = Duration::from_secs(60);
/// Points retained for a sink that does not read.
const MAX_POINTS: usize = 200_000;

impl Results {
    pub(super) fn new() -> Arc<Results> {
        let mut log = Log::new(MAX_POINTS);
        let first = Some((Instant::now(), log.cursor()));
        let current = Mutex::new(Current { first, ..Current::default() });
        Arc::new(Results { current, arrived: Arc::new(Mutex::new(log)) })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the result of a source.
    pub(super) fn publish(&self, key: Key, outcome: Outcome) {
        let mut current = self.current();
        current.tried.insert((key.0, key.1));
        current.outcomes.insert(key, Arc::new(outcome));
    }

    /// Appends points, which are of the time `now` if they have none. Returns how many old ones were dropped.
    pub(super) fn push(&self, points: Vec<Point<'static>>, now: Timestamp) -> usize {
        let timed = points.into_iter().map(|point| (point.time.map_or(now, Timestamp), point)).collect();
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(timed)
    }

    /// Removes the sources of a command that are not among `paths`. Without any, the command has been tried.
    pub(super) fn retain(&self, job: usize, command: usize, paths: &BTreeSet<String>) {
        let mut current = self.current();
        if paths.is_empty() {
            current.tried.insert((job, command));
        }
        current.outcomes.retain(|(of, at, path), _| (*of, *at) != (job, command) || paths.contains(path));
    }

    /// Waits until `commands` have been tried, for at most `limit`.
    pub(super) fn wait(&self, commands: usize, limit: Duration) {
        const POLL_INTERVAL: Duration = Duration::from_millis(10);
        let start = Instant::now();
        while start.elapsed() < limit && self.current().tried.len() < commands {
            sleep(POLL_INTERVAL);
        }
    }

    /// The current results. Points are read up to here if `is_pushed`.
    pub(super) fn read(&self, sources: &mut Sources, is_pushed: bool, problems: &mut Vec<ReadError>) -> Snapshot {
        let outcomes: Vec<Arc<Outcome>> = {
            let mut current = self.current();
            current.first.take_if(|(since, _)| since.elapsed() > FIRST_READINGS);
            current.outcomes.values().cloned().collect()
        };
        let failed = |what: &str, reason: String| ReadError::Refused { what: what.to_owned(), reason };
        for outcome in &outcomes {
            let what = if outcome.name == outcome.source {
                outcome.name.to_string()
            } else {
                format!("{}: {}", outcome.name, outcome.source)
            };
            problems.extend(outcome.errors.iter().map(|error| failed(&what, error.clone())));
        }
        let families = |outcome: &Arc<Outcome>| match &outcome.shown {
            Shown::Fixed(families) => families.clone(),
            Shown::Live(series) => series.lock().unwrap_or_else(PoisonError::into_inner).families(Instant::now()),
        };
        let families =
            sources.update(outcomes.iter().map(|outcome| (outcome.source.clone(), families(outcome))).collect());
        // Points of several programs have the same names unless they are configured.
        let remedy = "give the points of each job tags or a name_override of their own";
        problems.extend(families.left_out().map(|(source, reason)| failed(&source, format!("{reason}: {remedy}"))));
        let cursor = || self.arrived.lock().unwrap_or_else(PoisonError::into_inner).read();
        Snapshot { outcomes, families, read: is_pushed.then(|| (self.arrived.clone(), cursor())) }
    }
}

/// The points of all runs, until each sink has them.
type Arrivals = Mutex<Log<Arrived>>;

/// The results at one time.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) outcomes: Vec<Arc<Outcome>>,
    families: Retained,
    /// The points, and the position to read up to.
    read: Option<(Arc<Arrivals>, Arc<Cursor>)>,
}

impl Snapshot {
    /// Writes the families of the collector itself, by `own`.
    pub(super) fn families(
        &self,
        own: impl FnOnce(&[Arc<Outcome>], &mut FamilyWriter<'_>),
        out: &mut FamilyWriter<'_>,
    ) {
        own(&self.outcomes, out);
    }

    /// The families of the sources.
    pub(super) fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        self.families.shared(out)
    }

    /// Writes the points since the `previous` snapshot for the same sink.
    pub(super) fn points(
        &self,
        own: impl FnOnce(&[Arc<Outcome>], &mut FamilyWriter<'_>),
        previous: Option<&Snapshot>,
        out: &mut PointWriter<'_>,
    ) {
        write_generic_points(|families| own(&self.outcomes, families), out);
        let Some((log, to)) = &self.read else { return };
        // After a reload, the log is a new one without read positions.
        let of_log = |(before, _): &&(Arc<Arrivals>, Arc<Cursor>)| Arc::ptr_eq(before, log);
        let from = previous.and_then(|previous| previous.read.as_ref()).filter(of_log).map(|(_, cursor)| &**cursor);
        let arrived = log.lock().unwrap_or_else(PoisonError::into_inner).between(from, to);
        for (time, point) in arrived.iter().flat_map(|batch| batch.iter()) {
            write_point(*time, point, out);
        }
    }
}

fn write_point(time: Timestamp, point: &Point<'_>, out: &mut PointWriter<'_>) {
    let tags = point.tags.iter().map(|(key, value)| (&**key, &**value));
    let mut written = out.free_point_at(time, &point.measurement, tags);
    for (name, value) in &point.fields {
        match value {
            FieldValue::Integer(number) => written.free_field::<i64>(&[name], *number),
            FieldValue::Unsigned(number) => written.free_field::<u64>(&[name], *number),
            FieldValue::Float(number) => written.free_field::<f64>(&[name], *number),
            FieldValue::Boolean(flag) => written.free_field::<bool>(&[name], *flag),
            FieldValue::Text(text) => written.free_value(name, point::FieldValue::Text(text)),
        };
    }
}

/// The result of reading an output or a file: the content if there is any, and all errors.
pub(super) fn errors_of(read: Result<Content, String>) -> (Content, Vec<String>) {
    match read {
        Ok(content) => {
            let errors = content.problems.messages().collect();
            (content, errors)
        }
        Err(error) => (Content::default(), vec![error]),
    }
}
