//! Collectors of any type: how they are listed and run.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::on_request::OnRequest;
use super::{About, Collector, Failure, ReadContext, Reading, Since, Vocabularies};
use crate::collectors::filter::CollectorPoints;
use crate::config::Section;
use crate::encode::Timestamp;
use crate::encode::family::ForeignFamilies;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::http::ListenAddress;
use crate::nats::settings::Nats;

/// A completed reading.
pub struct Collected {
    /// The wall clock when the reading started.
    pub at: Timestamp,
    /// The monotonic clock when the reading started.
    pub monotonic: Duration,
    /// How long the reading took.
    pub took: Duration,
    /// Why the reading is incomplete, if it is.
    pub failure: Option<Arc<Failure>>,
    pub(super) reading: Arc<dyn AnyReading>,
}

impl Collected {
    /// Writes the reading as families.
    pub fn families(&self, out: &mut FamilyWriter<'_>) {
        self.reading.families(out);
    }

    /// Whether [`Collected::families_since`] depends on the previous reading.
    pub fn has_history(&self) -> bool {
        self.reading.has_history()
    }

    /// Writes the reading as families for a sink that is sent each sample once, and had `previous` before.
    pub fn families_since(&self, previous: Option<&Collected>, out: &mut FamilyWriter<'_>) {
        self.reading.families_since(previous.map(|previous| &*previous.reading), out);
    }

    /// Writes what ends the series of this reading, the last one of its collector, for a sink that had it.
    pub fn families_of_end(&self, out: &mut FamilyWriter<'_>) {
        self.reading.families_of_end(out);
    }

    /// See [`Reading::foreign_families`].
    pub fn foreign_families(&self, page: Option<&str>) -> Option<Arc<dyn ForeignFamilies>> {
        self.reading.foreign_families(page)
    }

    /// See [`Reading::named_elsewhere`].
    pub fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        self.reading.named_elsewhere(out)
    }

    /// Writes the reading as points, with differences since `previous`, an earlier reading of the same collector.
    pub fn points(&self, previous: Option<&Collected>, out: &mut PointWriter<'_>) {
        let since = previous.and_then(|previous| {
            let elapsed = self.monotonic.checked_sub(previous.monotonic)?;
            (!elapsed.is_zero()).then_some((&*previous.reading, elapsed))
        });
        self.reading.points(since, out);
    }
}

/// A reading of any type.
pub(super) trait AnyReading: Any + Send + Sync {
    fn has_history(&self) -> bool;
    fn families(&self, out: &mut FamilyWriter<'_>);
    fn families_since(&self, previous: Option<&dyn AnyReading>, out: &mut FamilyWriter<'_>);
    fn families_of_end(&self, out: &mut FamilyWriter<'_>);
    fn foreign_families(&self, page: Option<&str>) -> Option<Arc<dyn ForeignFamilies>>;
    fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>>;
    fn points(&self, since: Option<(&dyn AnyReading, Duration)>, out: &mut PointWriter<'_>);
}

impl<R: Reading> AnyReading for R {
    fn has_history(&self) -> bool {
        R::HAS_HISTORY
    }

    fn families(&self, out: &mut FamilyWriter<'_>) {
        Reading::families(self, out);
    }

    fn families_since(&self, previous: Option<&dyn AnyReading>, out: &mut FamilyWriter<'_>) {
        let previous = previous.and_then(|previous| (previous as &dyn Any).downcast_ref::<R>());
        Reading::families_since(self, previous, out);
    }

    fn families_of_end(&self, out: &mut FamilyWriter<'_>) {
        Reading::families_since(&R::default(), Some(self), out);
    }

    fn foreign_families(&self, page: Option<&str>) -> Option<Arc<dyn ForeignFamilies>> {
        Reading::foreign_families(self, page)
    }

    fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        Reading::named_elsewhere(self, out)
    }

    fn points(&self, since: Option<(&dyn AnyReading, Duration)>, out: &mut PointWriter<'_>) {
        let since = since.and_then(|(previous, elapsed)| {
            let previous = (previous as &dyn Any).downcast_ref::<R>()?;
            Some(Since { previous, elapsed })
        });
        Reading::points(self, since, out);
    }
}

/// A collector of any type.
pub trait AnyCollector: Send {
    /// Takes a reading, in the round that started at `round`.
    fn collect(&mut self, wanted: Vocabularies, round: Instant, host: &Host, buffer: &mut Vec<u8>) -> Collected;

    /// See [`Collector::use_servers`].
    ///
    /// # Errors
    /// It has a lease, and there are no servers.
    fn use_servers(&mut self, nats: &Nats) -> Result<bool, String> {
        let _ = nats;
        Ok(false)
    }

    /// See [`Collector::listens`].
    fn listens(&self) -> Vec<(usize, ListenAddress)> {
        Vec::new()
    }

    /// See [`Collector::begin`].
    fn begin(&mut self, limit: Duration);

    /// See [`Collector::on_request`].
    fn on_request(&self) -> Option<Arc<dyn OnRequest>> {
        None
    }

    /// See [`Collector::report`].
    fn report(&mut self) -> Vec<String>;
}

/// A collector with its last reading. The next reading reuses the allocations once no one else holds it.
struct Instance<C: Collector> {
    collector: C,
    reading: Arc<C::Reading>,
    failed: LastFailure,
}

/// The problems of the last reading. They are usually the same at the next one, which then reuses the failure.
#[derive(Default)]
struct LastFailure {
    problems: Vec<ReadError>,
    failure: Option<Arc<Failure>>,
}

impl LastFailure {
    /// The failure for a reading with these problems, if there are any.
    fn update(&mut self, problems: Vec<ReadError>) -> Option<Arc<Failure>> {
        if self.problems != problems {
            self.failure = Failure::of(&problems).map(Arc::new);
            self.problems = problems;
        }
        self.failure.clone()
    }
}

impl<C: Collector> AnyCollector for Instance<C> {
    fn collect(&mut self, wanted: Vocabularies, round: Instant, host: &Host, buffer: &mut Vec<u8>) -> Collected {
        let at = host.kernel.now();
        let monotonic = host.kernel.monotonic();
        let start = Instant::now();
        if Arc::get_mut(&mut self.reading).is_none() {
            self.reading = Arc::default();
        }
        let mut problems = Vec::new();
        if let Some(reading) = Arc::get_mut(&mut self.reading) {
            let mut cx = ReadContext { wanted, round, host, buffer, problems: &mut problems };
            if let Err(error) = self.collector.read(&mut cx, reading) {
                problems.push(error);
            }
        }
        let mut failure = self.failed.update(problems);
        failure.take_if(|failure| C::ABOUT.may_be_absent && failure.absent);
        Collected { at, monotonic, took: start.elapsed(), failure, reading: self.reading.clone() }
    }

    fn use_servers(&mut self, nats: &Nats) -> Result<bool, String> {
        self.collector.use_servers(nats)
    }

    fn listens(&self) -> Vec<(usize, ListenAddress)> {
        self.collector.listens()
    }

    fn begin(&mut self, limit: Duration) {
        self.collector.begin(limit);
    }

    fn on_request(&self) -> Option<Arc<dyn OnRequest>> {
        self.collector.on_request()
    }

    fn report(&mut self) -> Vec<String> {
        self.collector.report()
    }
}

/// A registered collector.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its metadata.
    pub about: &'static About,
    pub(in crate::collectors) build: fn(&Host, &mut Section<'_>) -> Box<dyn AnyCollector>,
}

impl Entry {
    pub(in crate::collectors) const fn of<C: Collector>() -> Entry {
        Entry {
            about: &C::ABOUT,
            build: |host, section| {
                Box::new(Instance {
                    collector: C::new(host, section),
                    reading: Arc::default(),
                    failed: LastFailure::default(),
                })
            },
        }
    }
}

/// A collector that is on.
pub struct Configured {
    /// Its metadata.
    pub about: &'static About,
    /// The vocabularies for which it is on.
    pub on: Vocabularies,
    /// Its interval of refresh in the background; `None` if it is read on request.
    pub interval: Option<Duration>,
    /// How long a request waits for it.
    pub timeout: Duration,
    /// Most series that it may expose.
    pub max_series: usize,
    /// What is done with its points, if anything.
    pub points: Option<Arc<CollectorPoints>>,
    /// The collector.
    pub collector: Box<dyn AnyCollector>,
}
