//! Asking the sources in the background: each at its own pace, so that a slow one delays no other.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::known::Known;
use super::source::{Answer, Failure, FailureKind, MAX_ENTRIES, MAX_ID, Question, Source};
use crate::log::Episode;

/// How long the very first reading waits for all sources: less than what the readers take for a stall.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(400);
/// The first pause after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LAST_RETRY: Duration = Duration::from_secs(60);
/// How long a source that is asked for a report may take.
const REPORT_DEADLINE: Duration = Duration::from_secs(2);

/// The thread that asks. It ends when this is dropped.
pub(super) struct Background {
    stop: CancellationToken,
}

impl Background {
    pub(super) fn start(sources: Vec<Source>, shared: Arc<Shared>) -> Background {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = move || {
            if let Err(error) = run(sources, &shared, &stopped) {
                tracing::warn!("names: no runtime to ask with: {error}");
            }
        };
        let thread = thread::Builder::new().name("names".to_owned()).spawn(run);
        if let Err(error) = thread {
            tracing::warn!("names: no thread to ask with: {error}");
        }
        Background { stop }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn run(sources: Vec<Source>, shared: &Arc<Shared>, stop: &CancellationToken) -> std::io::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (rank, source) in sources.into_iter().enumerate() {
            tasks.spawn(keep_asking(source, rank, shared.clone()));
        }
        stop.cancelled().await;
    });
    // A walk that hangs is not waited for.
    runtime.shutdown_background();
    Ok(())
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().thread_name("names").max_blocking_threads(32).build()
}

/// What the thread and the readers share.
pub(super) struct Shared {
    known: ArcSwap<Known>,
    /// The last good answers, the best source's first.
    answers: Mutex<Vec<Answer>>,
    wanted: Mutex<Wanted>,
    /// Tells the sources when a container is wanted that was not wanted before.
    newly_wanted: watch::Sender<()>,
    /// Which sources have answered or failed, each at least once.
    asked: Mutex<Vec<bool>>,
    all_asked: Condvar,
    interval: Duration,
    /// Where the sources are.
    places: Vec<String>,
}

/// Where somebody waited in vain for a source's first answer: after a reload that is not waited for again.
static SILENT: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Wanted {
    ids: HashMap<String, WantedId>,
    round: u64,
}

struct WantedId {
    since: Instant,
    round: u64,
}

impl Shared {
    /// What the sources at these places know, which are asked every `interval`.
    pub(super) fn new(places: Vec<String>, interval: Duration) -> Shared {
        let is_silent = |place: &String| lock(&SILENT).contains(place);
        Shared {
            known: ArcSwap::default(),
            answers: Mutex::new(vec![Answer::default(); places.len()]),
            wanted: Mutex::default(),
            newly_wanted: watch::Sender::new(()),
            asked: Mutex::new(places.iter().map(is_silent).collect()),
            all_asked: Condvar::new(),
            interval,
            places,
        }
    }

    pub(super) fn known(&self) -> Guard<Arc<Known>> {
        self.known.load()
    }

    /// Waits until every source has answered or failed, but no longer than `patience`.
    pub(super) fn wait_for_all(&self, patience: Duration) {
        let is_missing = |asked: &mut Vec<bool>| asked.contains(&false);
        let waited = self.all_asked.wait_timeout_while(lock(&self.asked), patience, is_missing);
        let asked = waited.unwrap_or_else(PoisonError::into_inner).0;
        let missing = self.places.iter().zip(&*asked).filter(|(_, asked)| !**asked);
        lock(&SILENT).extend(missing.map(|(place, _)| place.clone()));
    }

    /// Replaces what is wanted. What a reading leaves out stays wanted for an interval: who knew it first may be the one
    /// who knows least of it.
    pub(super) fn want<'i>(&self, ids: impl IntoIterator<Item = &'i str>) {
        let mut wanted = lock(&self.wanted);
        let Wanted { ids: wanted_ids, round } = &mut *wanted;
        *round += 1;
        let mut is_any_new = false;
        for id in ids.into_iter().filter(|id| id.len() <= MAX_ID).take(MAX_ENTRIES) {
            if let Some(known) = wanted_ids.get_mut(id) {
                known.round = *round;
            } else if wanted_ids.len() < MAX_ENTRIES {
                wanted_ids.insert(id.to_owned(), WantedId { since: Instant::now(), round: *round });
                is_any_new = true;
            }
        }
        wanted_ids.retain(|_, id| id.round == *round || id.since.elapsed() < self.interval);
        drop(wanted);
        if is_any_new {
            self.newly_wanted.send_replace(());
        }
    }

    #[cfg(test)]
    pub(super) fn wanted_count(&self) -> usize {
        lock(&self.wanted).ids.len()
    }

    fn question(&self, source: &Source, is_regular: bool) -> Question {
        let wanted = match source.asks_for_each() {
            true => lock(&self.wanted).ids.keys().cloned().collect(),
            false => HashSet::new(),
        };
        Question { wanted, is_regular }
    }

    /// Whether a container is wanted that the source does not know.
    fn lacks_wanted(&self, rank: usize) -> bool {
        let wanted = lock(&self.wanted);
        let answers = lock(&self.answers);
        answers.get(rank).is_some_and(|answer| wanted.ids.keys().any(|id| !answer.containers.contains_key(id)))
    }

    /// Waits for something to be wanted that was not wanted before and that the source does not know.
    async fn lacking(&self, rank: usize, newly_wanted: &mut watch::Receiver<()>) {
        while newly_wanted.changed().await.is_ok() {
            if self.lacks_wanted(rank) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Takes a source's answer, and tells the readers if it is news.
    fn take(&self, rank: usize, answer: Answer) {
        let mut answers = lock(&self.answers);
        let Some(last) = answers.get_mut(rank) else { return };
        if *last == answer {
            return;
        }
        *last = answer;
        // Within the lock, so that nobody else's answer comes in between.
        if let Some(known) = self.known.load().merge(answers.iter()) {
            self.known.store(Arc::new(known));
        }
    }

    fn outcome(&self, rank: usize, asked: Result<Answer, Failure>) -> Outcome {
        let answer = match asked {
            Ok(answer) => answer,
            Err(Failure { kind: FailureKind::Absent, .. }) => return Outcome::Absent,
            Err(_) => return Outcome::Failed,
        };
        let is_partial = answer.is_partial;
        self.take(rank, answer);
        match is_partial {
            true => Outcome::Partial,
            false if self.lacks_wanted(rank) => Outcome::Lacking,
            false => Outcome::Complete,
        }
    }

    fn note_asked(&self, rank: usize, is_silent: bool) {
        if let Some(place) = self.places.get(rank).filter(|_| !is_silent) {
            lock(&SILENT).remove(place);
        }
        if let Some(asked) = lock(&self.asked).get_mut(rank) {
            *asked = true;
        }
        self.all_asked.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the source again and again.
async fn keep_asking(mut source: Source, rank: usize, shared: Arc<Shared>) {
    let mut newly_wanted = shared.newly_wanted.subscribe();
    let mut pace = Pace::new(shared.interval, source.shortest_pause());
    let mut condition = Condition::default();
    loop {
        newly_wanted.mark_unchanged();
        let question = shared.question(&source, pace.is_regular());
        let began = Instant::now();
        let asked = source.ask(&question).await;
        let is_silent = asked.is_err() && began.elapsed() > FIRST_WAIT;
        drop(question);
        condition.follow(&source.place(), asked.as_ref().err());
        let outcome = shared.outcome(rank, asked);
        shared.note_asked(rank, is_silent);
        let pause = pace.pause_after(outcome);
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.lacking(rank, &mut newly_wanted), if outcome != Outcome::Failed => pace.hurry().await,
        }
    }
}

/// What came of asking a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It knows all that is wanted.
    Complete,
    /// It does not.
    Lacking,
    /// It was cut short.
    Partial,
    /// There is no such source; asking costs nothing.
    Absent,
    /// It failed.
    Failed,
}

/// When a source is asked.
struct Pace {
    interval: Duration,
    shortest: Duration,
    /// The last pause while something wanted is unknown.
    lacking: Option<Duration>,
    /// The last pause while it fails.
    failing: Option<Duration>,
    /// When it was last asked for everything.
    regular: Option<Instant>,
    /// When it last answered.
    answered: Instant,
}

impl Pace {
    fn new(interval: Duration, shortest: Duration) -> Pace {
        Pace { interval, shortest, lacking: None, failing: None, regular: None, answered: Instant::now() }
    }

    /// Whether it is time to ask for everything; it is then taken to be asked.
    fn is_regular(&mut self) -> bool {
        let is_due = self.regular.is_none_or(|regular| regular.elapsed() >= self.interval);
        if is_due {
            self.regular = Some(Instant::now());
        }
        is_due
    }

    fn pause_after(&mut self, outcome: Outcome) -> Duration {
        self.answered = Instant::now();
        let (lacking, failing) = (self.lacking.take(), self.failing.take());
        match outcome {
            Outcome::Complete => self.interval.max(self.shortest),
            Outcome::Partial => self.shortest,
            Outcome::Lacking => {
                let pause = lacking.map_or(self.shortest, |last| last.saturating_mul(2).min(self.interval));
                *self.lacking.insert(pause.max(self.shortest))
            }
            Outcome::Absent | Outcome::Failed => {
                self.regular = None;
                *self.failing.insert(failing.map_or(FIRST_RETRY, |last| last.saturating_mul(2).min(LAST_RETRY)))
            }
        }
    }

    /// Something new is wanted: begins anew with short pauses, and waits for the shortest since the last answer.
    async fn hurry(&mut self) {
        self.lacking = None;
        sleep(self.shortest.saturating_sub(self.answered.elapsed())).await;
    }
}

/// How a source is, to tell the log when that changes.
#[derive(Debug, Default)]
struct Condition(Episode<FailureKind>);

impl Condition {
    fn follow(&mut self, place: &str, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            let was_absent = self.0.told() == Some(&FailureKind::Absent);
            if let Some(over) = self.0.is_well()
                && !was_absent
            {
                tracing::info!("names from {place}: it answers again {over}");
            }
            return;
        };
        if self.0.fails(failure.kind) {
            match failure.kind {
                FailureKind::Absent => tracing::debug!("names from {place}: {}", failure.message),
                _ => tracing::warn!("names from {place}: {}", failure.message),
            }
        }
    }
}

/// Asks each source once, and says in a line of each what it answers.
pub(super) fn report(sources: Vec<Source>) -> Vec<String> {
    let ask = || -> std::io::Result<Vec<String>> {
        let runtime = runtime()?;
        let lines = runtime.block_on(async {
            let tasks: Vec<_> = sources.into_iter().map(|source| tokio::spawn(report_one(source))).collect();
            let mut lines = Vec::new();
            for task in tasks {
                lines.extend(task.await);
            }
            lines
        });
        runtime.shutdown_background();
        Ok(lines)
    };
    // A thread of its own, for the caller may run in a runtime already.
    let asked = thread::scope(|scope| {
        thread::Builder::new()
            .name("names".to_owned())
            .spawn_scoped(scope, ask)?
            .join()
            .unwrap_or_else(|_| Ok(Vec::new()))
    });
    asked.unwrap_or_else(|error| vec![format!("names: no thread to ask with: {error}")])
}

async fn report_one(mut source: Source) -> String {
    let question = Question { is_regular: true, ..Question::default() };
    let asked = timeout(REPORT_DEADLINE, source.ask(&question)).await;
    let place = source.place();
    match asked {
        Ok(Ok(answer)) => format!("names from {place}: {}", source.describe(&answer)),
        Ok(Err(failure)) => format!("names from {place}: {}", failure.message),
        Err(_) => format!("names from {place}: no answer in {} s", REPORT_DEADLINE.as_secs()),
    }
}
