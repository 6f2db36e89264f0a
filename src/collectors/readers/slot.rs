//! One collector, and the reading that a worker takes by it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Answer, Cap, Outcome};
use super::ask::Ask;
use crate::collectors::settings::Configured;
use crate::collectors::{About, AnyCollector, Failure, Vocabularies};
use crate::system::progress::{Progress, Watch};

/// A reading that takes this long is left to its worker, and another worker goes on with the rest.
pub(super) const STALL: Duration = Duration::from_millis(250);
/// A collector whose worker has not moved for this long hangs.
pub(super) const HANG: Duration = Duration::from_millis(500);
/// No time limit is longer, so that it can be added to any moment.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A collector, and what is known of it.
pub(super) struct Slot {
    pub(super) about: &'static About,
    pub(super) on: Vocabularies,
    /// How often it is refreshed in the background; nothing if it is read when somebody asks.
    pub(super) interval: Option<Duration>,
    /// How long a reading is waited for.
    pub(super) timeout: Duration,
    pub(super) cap: Arc<Cap>,
    pub(super) place: Place,
    /// For whom it is still to be read in this round.
    pub(super) due: Vocabularies,
    /// The last reading of one that is refreshed in the background. Others are not kept, so that what they have allocated
    /// serves the next reading.
    pub(super) last: Option<Outcome>,
    /// Whether there is a worker for it alone.
    pub(super) has_worker: bool,
    /// The failure that was logged last.
    logged: Option<Arc<Failure>>,
}

/// Where the collector is: in its slot, or in the hands of one worker.
pub(super) enum Place {
    Here(Box<dyn AnyCollector>),
    Out(Reading),
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The collector failed, or fails in another way than before.
    Failed(&'static str, Arc<Failure>),
    /// The collector is complete again.
    AnswersAgain(&'static str),
    /// There is no thread for a worker; why.
    NoThread(String),
}

impl Slot {
    pub(super) fn new(configured: Configured) -> Self {
        Slot {
            about: configured.about,
            on: configured.on,
            interval: configured.interval.map(|interval| interval.min(LONGEST)),
            timeout: configured.timeout.min(LONGEST),
            cap: Arc::new(Cap::new(configured.max_series)),
            place: Place::Here(configured.collector),
            due: Vocabularies::NONE,
            last: None,
            has_worker: false,
            logged: None,
        }
    }

    pub(super) fn reading(&self) -> Option<&Reading> {
        match &self.place {
            Place::Here(_) => None,
            Place::Out(reading) => Some(reading),
        }
    }

    /// Whether the shared worker could read it now.
    pub(super) fn is_free(&self) -> bool {
        self.interval.is_none() && matches!(self.place, Place::Here(_))
    }

    /// Whether it hangs.
    pub(super) fn hangs(&self) -> bool {
        self.reading().is_some_and(|reading| reading.hangs)
    }

    /// Until when `ask` waits for this collector; nothing if it does not, or no longer.
    pub(super) fn awaited_until(&self, ask: &Ask, now: Instant) -> Option<Instant> {
        let until = match self.reading() {
            Some(reading) if reading.is_refused_by(ask, self.timeout, now) => return None,
            Some(reading) if ask.number < reading.before => ask.until.min(reading.began + self.timeout),
            _ => ask.until.min(ask.asked + self.timeout),
        };
        (until > now).then_some(until)
    }

    /// Notices that a reading is late. Asks from `next_ask` on do not wait for it while it hangs or is late.
    pub(super) fn look(&mut self, next_ask: u64, now: Instant) -> Option<Note> {
        let (timeout, limit) = (self.timeout, self.limit());
        let Place::Out(reading) = &mut self.place else { return None };
        if reading.refused_from.is_none() && reading.is_hopeless(timeout, now) {
            reading.refused_from = Some(next_ask);
        }
        if reading.age(now) < limit {
            return None;
        }
        self.report(Some(Arc::new(late())))
    }

    /// Takes note of what a reading brought that began at `began`. One that came too late ends no failure: the next would
    /// be another.
    pub(super) fn report_outcome(&mut self, outcome: &Outcome, now: Instant) -> Option<Note> {
        if now.saturating_duration_since(outcome.began) >= self.limit() {
            return None;
        }
        self.report(match &outcome.taken {
            Ok(taken) => taken.failure.clone(),
            Err(failure) => Some(Arc::new(failure.clone())),
        })
    }

    /// How long a reading takes at the most that is in time. In the background, it has until the next is due.
    fn limit(&self) -> Duration {
        self.timeout.max(self.interval.unwrap_or_default())
    }

    /// What to log of it: a failure when it begins, changes or ends, not at each reading.
    fn report(&mut self, failure: Option<Arc<Failure>>) -> Option<Note> {
        if self.logged == failure {
            return None;
        }
        self.logged.clone_from(&failure);
        Some(match failure {
            Some(failure) => Note::Failed(self.about.name, failure),
            None => Note::AnswersAgain(self.about.name),
        })
    }

    /// What one gets who has got this outcome, or none.
    pub(super) fn answer(&self, outcome: Option<Outcome>, now: Instant) -> Answer {
        let age = outcome
            .as_ref()
            .and_then(|outcome| Some(now.saturating_duration_since(outcome.began)).filter(|_| self.interval.is_some()));
        let taken = match outcome {
            Some(outcome) => outcome.taken,
            None if self.reading().is_some() => Err(late()),
            None => Err(Failure { absent: false, message: "not read in time".to_owned() }),
        };
        Answer { about: self.about, taken, age, cap: self.cap.clone() }
    }
}

fn late() -> Failure {
    let message = "no answer in time; its samples are left out until it answers".to_owned();
    Failure { absent: false, message }
}

/// A reading that a worker takes.
pub(super) struct Reading {
    /// No other has this number.
    pub(super) number: u64,
    pub(super) began: Instant,
    /// It is for asks with a lower number: those were there before it began.
    pub(super) before: u64,
    watch: Arc<Watch>,
    progress: Option<Progress>,
    /// When the worker was last known to move.
    moved: Instant,
    /// Whether it waits, and for nothing that comes.
    pub(super) hangs: bool,
    /// When its time began to run: when it began, or when it moved again after it had hung.
    clock: Instant,
    /// Asks with this number or a higher one came when it was known to hang, or to be late.
    refused_from: Option<u64>,
}

impl Reading {
    pub(super) fn new(number: u64, began: Instant, before: u64, watch: Arc<Watch>) -> Self {
        Reading {
            number,
            began,
            before,
            watch,
            progress: None,
            moved: began,
            hangs: false,
            clock: began,
            refused_from: None,
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Whether one who comes now would wait in vain.
    fn is_hopeless(&self, timeout: Duration, now: Instant) -> bool {
        self.hangs || now.saturating_duration_since(self.clock) >= timeout
    }

    fn is_refused_by(&self, ask: &Ask, timeout: Duration, now: Instant) -> bool {
        self.refused_from.is_some_and(|number| ask.number >= number) && self.is_hopeless(timeout, now)
    }

    /// The worker's watch, if one should look whether it moves.
    pub(super) fn suspicion(&self, now: Instant) -> Option<Arc<Watch>> {
        (self.age(now) >= STALL).then(|| self.watch.clone())
    }

    /// When to look at it again.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        let times = [self.began + STALL, self.began + HANG];
        times.into_iter().find(|time| *time > now).unwrap_or(now + STALL)
    }

    /// Takes note of what the watch said at this moment.
    pub(super) fn observe(&mut self, progress: Progress, at: Instant) {
        let moves = match (self.progress, progress) {
            (_, Progress::Runs) | (Some(Progress::Runs), Progress::Waits(_)) => true,
            (Some(Progress::Waits(before)), Progress::Waits(after)) => before != after,
            (None | Some(Progress::Unknown), Progress::Waits(_)) | (_, Progress::Unknown) => false,
        };
        if moves {
            if self.hangs {
                self.clock = self.clock.max(at);
            }
            self.moved = self.moved.max(at);
        } else if self.progress.is_none() && progress != Progress::Unknown {
            // Whether it waits for one thing only is seen at the second look.
            self.moved = self.moved.max(at.checked_sub(HANG - STALL).unwrap_or(at));
        }
        self.hangs = at.saturating_duration_since(self.moved) >= HANG;
        self.progress = Some(progress);
    }
}
