//! Queries the sources in the background. Each source has its own schedule, so a slow one does not delay the others.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::query::{Failure, FailureKind, Query};
use super::schedule::Schedule;
use super::shared::Shared;
use super::sizes::{self, SizeSource};
use super::source::Source;
use crate::log::Episode;

/// How long the first reading waits for all sources. Below the stall limit of the readers.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(400);
/// Timeout of a query for a report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// The thread that queries the sources. Dropping this stops it.
pub(super) struct Background {
    stop: CancellationToken,
}

impl Background {
    /// Queries the sources, and for sizes those of the given ranks at this interval.
    pub(super) fn start(
        sources: Vec<Source>,
        sizes: Vec<(usize, SizeSource)>,
        sizes_interval: Duration,
        shared: Arc<Shared>,
    ) -> Background {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = move || {
            if let Err(error) = run(sources, (sizes, sizes_interval), &shared, &stopped) {
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

fn run(
    sources: Vec<Source>,
    (sizes, sizes_interval): (Vec<(usize, SizeSource)>, Duration),
    shared: &Arc<Shared>,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (rank, source) in sources.into_iter().enumerate() {
            tasks.spawn(poll(source, rank, shared.clone()));
        }
        for (rank, source) in sizes {
            tasks.spawn(poll_sizes(source, rank, sizes_interval, shared.clone()));
        }
        stop.cancelled().await;
    });
    // Does not wait for a directory walk that hangs.
    runtime.shutdown_background();
    Ok(())
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().thread_name("names").max_blocking_threads(32).build()
}

/// Queries the source whenever it is due.
async fn poll(mut source: Source, rank: usize, shared: Arc<Shared>) {
    let mut changed = shared.subscribe();
    let mut schedule = Schedule::new(source.min_delay(), source.refresh_interval(shared.interval));
    let mut state = SourceState { is_optional: source.is_optional, ..SourceState::default() };
    loop {
        changed.mark_unchanged();
        let (demand, newest) = shared.demand(&source, rank, schedule.seen);
        let now = Instant::now();
        let due = schedule.due(demand, now);
        if due.is_none_or(|due| due > now) {
            shared.mark_queried(rank);
            if !demand.is_in_use {
                // Its numbers are no longer refreshed.
                shared.clear_engine(rank);
            }
            let delay = due.map_or(shared.interval, |due| shared.interval.min(due - now));
            tokio::select! {
                () = sleep(delay) => {}
                _ = changed.changed() => {}
            }
            continue;
        }
        let is_refresh = schedule.is_refresh(now);
        let result = source.query(&shared.query(&source, is_refresh)).await;
        if result.is_ok() || now.elapsed() <= FIRST_WAIT {
            Shared::mark_responsive(&source.location());
        }
        state.update(&source.location(), result.as_ref().err());
        let outcome = shared.outcome(rank, result);
        schedule.record(demand, outcome, is_refresh || !source.queries_each(), newest, Instant::now());
        shared.mark_queried(rank);
    }
}

/// Queries the source while the source of names at `rank` has a running container.
async fn poll_sizes(mut source: SizeSource, rank: usize, interval: Duration, shared: Arc<Shared>) {
    let mut changed = shared.subscribe();
    let interval = source.interval(interval);
    let mut is_failing = false;
    loop {
        changed.mark_unchanged();
        sleep(sizes::NAMES_FIRST.min(interval)).await;
        if !shared.has_running(rank) {
            tokio::select! {
                () = sleep(interval) => {}
                _ = changed.changed() => {}
            }
            continue;
        }
        let start = Instant::now();
        let result = source.query(|| shared.running_by_name()).await;
        let is_ok = result.is_ok();
        match result {
            Ok(sizes) => shared.store_sizes(rank, sizes),
            // Optional in every source, and an older result is better than none.
            Err(failure) if !is_failing => {
                tracing::debug!("file-system usage from {}: {}", source.location(), sizes::remedied(&source, failure));
            }
            Err(_) => {}
        }
        is_failing = !is_ok;
        sleep(sizes::delay_after(start.elapsed(), interval, is_ok)).await;
    }
}

/// Failure state of a source. Logs changes.
#[derive(Debug, Default)]
struct SourceState {
    episode: Episode<FailureKind>,
    /// Whether the user has not asked for the source. Its failures are not warnings.
    is_optional: bool,
}

impl SourceState {
    fn update(&mut self, location: &str, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            let was_absent = self.episode.reported() == Some(&FailureKind::Absent);
            if let Some(over) = self.episode.recovered()
                && !was_absent
            {
                tracing::info!("names from {location}: it answers again {over}");
            }
            return;
        };
        if self.episode.fails(failure.kind) {
            match self.level(failure.kind) {
                Level::WARN => tracing::warn!("names from {location}: {}", failure.message),
                Level::INFO => tracing::info!("names from {location}: {}", failure.message),
                _ => tracing::debug!("names from {location}: {}", failure.message),
            }
        }
    }

    fn level(&self, kind: FailureKind) -> Level {
        match (self.is_optional, kind) {
            (false, _) => Level::WARN,
            (true, FailureKind::Absent) => Level::DEBUG,
            (true, _) => Level::INFO,
        }
    }
}

/// Queries each source once. Returns one line per source.
pub(super) fn report(sources: Vec<Source>) -> Vec<String> {
    let query = || -> std::io::Result<Vec<String>> {
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
    // A separate thread, because the caller may already be in an async runtime.
    let lines = thread::scope(|scope| {
        thread::Builder::new()
            .name("names".to_owned())
            .spawn_scoped(scope, query)?
            .join()
            .unwrap_or_else(|_| Ok(Vec::new()))
    });
    lines.unwrap_or_else(|error| vec![format!("names: no thread to ask with: {error}")])
}

async fn report_one(mut source: Source) -> String {
    let query = Query { is_regular: true, ..Query::default() };
    let result = timeout(REPORT_TIMEOUT, source.query(&query)).await;
    let location = source.location();
    match result {
        Ok(Ok(inventory)) => format!("names from {location}: {}", source.describe(&inventory)),
        Ok(Err(failure)) => format!("names from {location}: {}", failure.message),
        Err(_) => format!("names from {location}: no answer in {} s", REPORT_TIMEOUT.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_user_has_set_is_warned_of() {
        let kinds = [FailureKind::Absent, FailureKind::Status(403), FailureKind::Other];
        let levels = |is_optional| kinds.map(|kind| SourceState { is_optional, ..SourceState::default() }.level(kind));
        assert_eq!(levels(false), [Level::WARN; 3]);
        assert_eq!(levels(true), [Level::DEBUG, Level::INFO, Level::INFO]);
    }
}
