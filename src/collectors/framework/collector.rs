//! The trait of a collector, and of what it reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::on_request::OnRequest;
use super::{About, Vocabularies};
use crate::config::Section;
use crate::encode::family::ForeignFamilies;
use crate::encode::generic_points::PointsFromFamilies;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::http::ListenAddress;
use crate::nats::settings::Nats;

/// Reads one subject.
pub trait Collector: Send + Sized + 'static {
    /// Its metadata.
    const ABOUT: About;
    /// What it reads.
    type Reading: Reading;

    /// Creates the collector from its settings. Opens nothing yet.
    fn new(host: &Host, section: &mut Section<'_>) -> Self;

    /// Reads into `reading`, which is empty or holds an older reading whose allocations can be reused. Afterwards it
    /// must not contain older data, even if this fails.
    ///
    /// # Errors
    /// What could not be read. The content of `reading` is used even so. Report the failure of one part to
    /// [`ReadContext::problem`] instead, and read the remaining parts.
    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Self::Reading) -> Result<(), ReadError>;

    /// Gives it the servers of its leases, before all else; returns whether it has leases.
    ///
    /// # Errors
    /// It has a lease, and there are no servers: which of its settings is wrong, and why.
    fn use_servers(&mut self, nats: &Nats) -> Result<bool, String> {
        let _ = nats;
        Ok(false)
    }

    /// The addresses of TCP and the Unix sockets that it listens on, each with its index in its setting `listen`.
    fn listens(&self) -> Vec<(usize, ListenAddress)> {
        Vec::new()
    }

    /// Starts background work, if there is any. Waits until it has a result, or until `limit` has passed.
    fn begin(&mut self, limit: Duration) {
        let _ = limit;
    }

    /// What it does on request, if anything.
    fn on_request(&self) -> Option<Arc<dyn OnRequest>> {
        None
    }

    /// Lines about this host for `taffrail collectors`, such as the optional sources that are available.
    fn report(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What a collector can use while it reads.
pub struct ReadContext<'a> {
    /// The vocabularies to read for. Skip what only the other one needs.
    pub wanted: Vocabularies,
    /// When the round of readings started. Data read since then is current.
    pub round: Instant,
    /// The host.
    pub host: &'a Host,
    /// A buffer for the content of files.
    pub buffer: &'a mut Vec<u8>,
    /// Failures that did not end the reading.
    pub problems: &'a mut Vec<ReadError>,
}

impl ReadContext<'_> {
    /// Reports that one part could not be read. The collector counts as failed; the other parts are used.
    pub fn problem(&mut self, problem: ReadError) {
        self.problems.push(problem);
    }

    /// Returns the value of `part`. A failure is reported, unless the host does not have this part.
    pub fn part<T>(&mut self, part: Result<T, ReadError>) -> Option<T> {
        self.problems.part(part)
    }
}

/// Failures of parts of a reading, such as one line or one value. The others are used.
pub(in crate::collectors) trait Problems {
    /// As [`ReadContext::part`], while the buffer is in use.
    fn part<T>(&mut self, part: Result<T, ReadError>) -> Option<T>;
}

impl Problems for Vec<ReadError> {
    fn part<T>(&mut self, part: Result<T, ReadError>) -> Option<T> {
        match part {
            Ok(value) => Some(value),
            Err(error) => {
                if !error.is_absent() {
                    self.push(error);
                }
                None
            }
        }
    }
}

/// What a collector read, in the units of the source.
pub trait Reading: Default + Send + Sync + 'static {
    /// Whether a sink of series gets the samples since its previous reading, see [`Reading::families_since`].
    const HAS_HISTORY: bool = false;

    /// Writes the reading as Prometheus families.
    fn families(&self, out: &mut FamilyWriter<'_>);

    /// The same for a sink that is sent each sample once, such as remote write, whose previous reading was `previous`. The
    /// default reading ends the series of the previous one: the collector is no longer configured.
    fn families_since(&self, previous: Option<&Self>, out: &mut FamilyWriter<'_>) {
        let _ = previous;
        self.families(out);
    }

    /// Families that were named elsewhere, and that join Taffrail's own, too: those of `/metrics`, or those of the page
    /// below it. `None` if it has no such page.
    fn foreign_families(&self, page: Option<&str>) -> Option<Arc<dyn ForeignFamilies>> {
        let _ = page;
        None
    }

    /// Families that were named elsewhere, and that share names with those of other such collectors, but not with
    /// Taffrail's own, which were written or reserved before. [`Reading::families`] has the collector's own families.
    fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        let _ = out;
        None
    }

    /// Writes the collector's own families, and those that were named elsewhere.
    fn all_families(&self, out: &mut FamilyWriter<'_>) {
        self.families(out);
        if let Some(named) = self.named_elsewhere(out) {
            named.write_others(out);
        }
    }

    /// Writes the reading as InfluxDB points. Rates and differences come from `since`; they are omitted without it.
    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let _ = since;
        write_generic_points(|families| self.all_families(families), out);
    }
}

/// Writes families as points, see [`crate::encode::generic_points`]. A family that was already written to `out` is
/// skipped.
pub fn write_generic_points(write: impl FnOnce(&mut FamilyWriter<'_>), out: &mut PointWriter<'_>) {
    let mut points = PointsFromFamilies::default();
    let mut families = FamilyWriter::continuing(&mut points, out.take_written_generic());
    write(&mut families);
    let written = families.into_written();
    points.write(out);
    out.put_written_generic(written);
}

/// The previous reading for the same sink.
#[derive(Debug)]
pub struct Since<'a, R> {
    /// The reading.
    pub previous: &'a R,
    /// The time between the two readings; greater than zero.
    pub elapsed: Duration,
}

// Not derived, because R need not implement Clone.
impl<R> Clone for Since<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Since<'_, R> {}

/// `part` as a percentage of `whole`; 0 if `whole` is 0.
pub(in crate::collectors) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}
