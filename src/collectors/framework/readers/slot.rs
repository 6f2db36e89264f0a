//! One collector, and its reading in flight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::condition::Condition;
use super::in_flight::InFlight;
use super::reading::{CollectorReading, Outcome, SeriesLimit, Ticks};
use super::request::Request;
use super::status::{CollectorState, CollectorStatus, LastReading};
use crate::collectors::filter::CollectorPoints;
use crate::collectors::framework::Configured;
use crate::collectors::framework::{About, AnyCollector, Failure, Vocabularies};
use crate::log::Outage;

/// Upper bound of all durations, so that they can be added to any instant.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// A collector with its state.
pub(super) struct Slot {
    pub(super) about: &'static About,
    pub(super) on: Vocabularies,
    /// Its interval of refresh in the background; `None` if it is read on request.
    pub(super) interval: Option<Duration>,
    /// How long a request waits for its reading.
    pub(super) timeout: Duration,
    pub(super) series_limit: Arc<SeriesLimit>,
    pub(super) ticks: Arc<Ticks>,
    points: Option<Arc<CollectorPoints>>,
    pub(super) holder: Holder,
    /// The vocabularies for which this round still has to read it.
    pub(super) due: Vocabularies,
    /// The last reading, if it refreshes in the background. Other readings are not retained, so that the next one can
    /// reuse their allocations.
    pub(super) last: Option<Outcome>,
    /// Whether it has its own worker.
    pub(super) has_worker: bool,
    /// Its last completed reading, and when one was last complete.
    last_reading: Option<LastReading>,
    last_success: Option<Instant>,
    /// Its failure, as far as it was logged.
    condition: Condition<Arc<str>>,
}

/// Where the collector is.
pub(super) enum Holder {
    Slot(Box<dyn AnyCollector>),
    Worker(InFlight),
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogLine {
    /// The collector failed, or its kind of failure changed.
    Failed(&'static str, Arc<Failure>),
    /// The collector is complete again.
    Recovered(&'static str, Outage),
    /// No thread could be started for a worker, with the reason.
    NoThread(String),
}

impl Slot {
    pub(super) fn new(configured: Configured) -> Self {
        Slot {
            about: configured.about,
            on: configured.on,
            interval: configured.interval.map(|interval| interval.min(MAX_DURATION)),
            timeout: configured.timeout.min(MAX_DURATION),
            series_limit: Arc::new(SeriesLimit::new(configured.max_series)),
            ticks: Arc::default(),
            points: configured.points,
            holder: Holder::Slot(configured.collector),
            due: Vocabularies::NONE,
            last: None,
            has_worker: false,
            last_reading: None,
            last_success: None,
            condition: Condition::default(),
        }
    }

    pub(super) fn in_flight(&self) -> Option<&InFlight> {
        match &self.holder {
            Holder::Slot(_) => None,
            Holder::Worker(in_flight) => Some(in_flight),
        }
    }

    /// Whether the shared worker can read it now.
    pub(super) fn is_free(&self) -> bool {
        self.interval.is_none() && matches!(self.holder, Holder::Slot(_))
    }

    /// Whether it hangs.
    pub(super) fn is_hung(&self) -> bool {
        self.in_flight().is_some_and(|in_flight| in_flight.is_hung)
    }

    /// Until when the request waits for this collector; `None` if it does not wait.
    pub(super) fn wait_deadline(&self, request: &Request, now: Instant) -> Option<Instant> {
        let until = match self.in_flight() {
            Some(in_flight) if in_flight.is_refused_by(request, self.timeout, now) => return None,
            Some(in_flight) if request.number < in_flight.before => request.until.min(in_flight.began + self.timeout),
            _ => request.until.min(request.asked + self.timeout),
        };
        (until > now).then_some(until)
    }

    /// Checks whether the reading in flight is late. Requests from `next_request` on do not wait for it while it hangs
    /// or is late.
    pub(super) fn check_progress(&mut self, next_request: u64, now: Instant) -> Option<LogLine> {
        let (timeout, limit) = (self.timeout, self.limit());
        let Holder::Worker(in_flight) = &mut self.holder else { return None };
        in_flight.refuse_if_overdue(timeout, next_request, now);
        if in_flight.age(now) < limit {
            return None;
        }
        let wanted = in_flight.wanted;
        self.report(wanted, Some(Arc::new(late())), now)
    }

    /// Records a reading for `wanted`, and updates the failure state. A late reading does not end a failure: the next
    /// would start another.
    pub(super) fn report_outcome(&mut self, wanted: Vocabularies, outcome: &Outcome, now: Instant) -> Option<LogLine> {
        let elapsed = now.saturating_duration_since(outcome.began);
        let (took, failure) = match &outcome.collected {
            Ok(collected) => (collected.took, collected.failure.clone()),
            Err(failure) => (elapsed, Some(Arc::new(failure.clone()))),
        };
        if failure.is_none() {
            self.last_success = Some(outcome.began);
        }
        self.last_reading = Some(LastReading { began: outcome.began, took, failure: failure.clone() });
        if elapsed >= self.limit() {
            return None;
        }
        self.report(wanted, failure, now)
    }

    /// How long a reading may take. A background reading may take until the next one is due.
    fn limit(&self) -> Duration {
        self.timeout.max(self.interval.unwrap_or_default())
    }

    /// The line to log, if a failure starts, changes or ends.
    fn report(&mut self, wanted: Vocabularies, failure: Option<Arc<Failure>>, now: Instant) -> Option<LogLine> {
        let (name, condition) = (self.about.name, &mut self.condition);
        match failure {
            None => condition.is_well_at(wanted, now).map(|over| LogLine::Recovered(name, over)),
            Some(failure) => condition.fails_at(wanted, &failure.kind, now).then_some(LogLine::Failed(name, failure)),
        }
    }

    /// Its state at `now`.
    pub(super) fn status(&self, now: Instant) -> CollectorStatus {
        let last = self.last_reading.as_ref();
        let (is_hung, is_late) = self
            .in_flight()
            .map_or((false, false), |in_flight| (in_flight.is_hung, in_flight.age(now) >= self.limit()));
        let failure = last.and_then(|last| last.failure.as_deref());
        let state = match (last, failure) {
            _ if is_hung => CollectorState::Hung,
            _ if is_late => CollectorState::Late,
            (None, _) => CollectorState::Unread,
            (_, Some(failure)) if failure.absent => CollectorState::Absent,
            (_, Some(_)) => CollectorState::Failing,
            (_, None) => CollectorState::Ok,
        };
        let age = |at: Instant| now.saturating_duration_since(at);
        let late = (is_hung || is_late).then(late);
        CollectorStatus {
            about: self.about,
            on: self.on,
            state,
            took: last.map(|last| last.took),
            age: last.map(|last| age(last.began)),
            success_age: self.last_success.map(age),
            error: late.as_ref().or(failure).map(|failure| failure.message.clone()),
        }
    }

    /// The entry of a request with this outcome, or without one.
    pub(super) fn reading_of(&self, outcome: Option<Outcome>, now: Instant) -> CollectorReading {
        let age = outcome
            .as_ref()
            .and_then(|outcome| Some(now.saturating_duration_since(outcome.began)).filter(|_| self.interval.is_some()));
        let collected = match outcome {
            Some(outcome) => outcome.collected,
            None if self.in_flight().is_some() => Err(late()),
            None => Err(Failure::new("not read in time")),
        };
        let (series_limit, ticks) = (self.series_limit.clone(), self.ticks.clone());
        CollectorReading { about: self.about, collected, age, series_limit, ticks, points: self.points.clone() }
    }
}

fn late() -> Failure {
    Failure::new("no answer in time; its samples are left out until it answers")
}
