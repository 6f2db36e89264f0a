//! What an outage or a stop missed: fetched after it, up to a bound in time and cost.
//!
//! Little is fetched with the next regular request, and costs nothing: metrics are billed, not time. More is fetched
//! after it in parts, so that current data come first and no sink overflows.

use std::future::pending;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::batches::Shape;
use super::budget::Cost;
use super::fetch::shape;
use super::id::Seconds;
use super::log::Log;
use super::metric::Metric;
use super::settings::Job;
use super::store::Store;
use super::terms::Terms;
use crate::aws::{Kind, Problem};

/// Data points in a part, unless one metric has more. Sinks hold several times as many in memory.
const MAX_DATUMS: usize = 20_000;
/// How often to check whether sinks have read the previous part.
const LOG_RETRY: Duration = Duration::from_secs(1);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Progress of catching up.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// When to fetch the next part; `None` if nothing is missing.
    at: Option<Instant>,
    dollars: f64,
}

/// A range, and metrics with the same terms.
type Part = (Range<Seconds>, Vec<Arc<Metric>>);

impl CatchUp {
    /// Nothing is missing.
    pub(super) fn new() -> Self {
        CatchUp { at: None, dollars: 0.0 }
    }

    /// Waits for the next part.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let at = self.at;
        async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        }
    }

    /// Starts, if something is missing in `store`.
    pub(super) fn start(&mut self, store: &Store) {
        if self.at.is_none() && store.has_gaps() {
            *self = CatchUp { at: Some(Instant::now()), dollars: 0.0 };
        }
    }

    /// The next part, or why there is none; `None` if it is not time yet.
    pub(super) fn next(&mut self, job: &Job, store: &mut Store, log: &Mutex<Log>) -> Option<Result<Part, Problem>> {
        let Some((range, mut metrics)) = store.gap() else {
            self.at = None;
            return None;
        };
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if !log.is_read() || !log.has_room(MAX_DATUMS) {
            self.at = Some(Instant::now() + LOG_RETRY);
            return None;
        }
        let terms = metrics.first()?.terms.clone();
        let layout = Shape { periods: terms.schedule.periods(&range), ..shape(job, &terms) };
        let fit = MAX_DATUMS / layout.periods.max(1) / terms.statistics.len().max(1);
        metrics.truncate(layout.split(&metrics).first()?.len().min(fit.max(1)));
        let dollars = self.dollars + Cost::of_data(metrics.len() * layout.billed()).dollars;
        // Tolerates rounding.
        if job.budget.dollars_per_catch_up.is_some_and(|max| dollars > max + 1e-9) {
            self.at = None;
            let count = store.forget_gaps();
            let message = format!("{count} metrics are not caught up on: dollars_per_catch_up is used up");
            return Some(Err(Problem { kind: Kind::Budget, message }));
        }
        self.dollars = dollars;
        Some(Ok((range, metrics)))
    }

    /// Records the end of a part.
    pub(super) fn done(&mut self, store: &Store, problem: Option<&Problem>) {
        let pause = if problem.is_some() { RETRY } else { Duration::ZERO };
        self.at = store.has_gaps().then(|| Instant::now() + pause);
    }
}

/// The start of what is fetched after an outage that ends at `end`.
pub(super) fn oldest(job: &Job, terms: &Terms, end: Seconds) -> Seconds {
    end - job.catch_up.min(terms.schedule.retention()).as_secs() as Seconds
}

/// The range of the next regular request for `metrics`, which have the same terms: the window, or everything since the
/// last response if that is little.
pub(super) fn range(
    job: &Job,
    terms: &Terms,
    metrics: &[Arc<Metric>],
    store: &Store,
    now: SystemTime,
) -> Range<Seconds> {
    let schedule = &terms.schedule;
    let end = schedule.due(now);
    let start = end - schedule.window.as_secs() as Seconds;
    let complete = metrics.iter().filter_map(|metric| store.complete_until(&metric.id)).min();
    let Some(from) = complete.map(|from| from.max(oldest(job, terms, end))).filter(|from| *from < start) else {
        return start..end;
    };
    let period = schedule.period.as_secs() as Seconds;
    let extended = from - from.rem_euclid(period)..end;
    let datums = metrics.len() * terms.statistics.len() * schedule.periods(&extended);
    if datums <= MAX_DATUMS { extended } else { start..end }
}
