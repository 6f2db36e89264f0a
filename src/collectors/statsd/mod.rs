//! `[collectors.statsd]`: metrics that programs send in the protocol of statsd.
//!
//! One thread receives datagrams ([`datagrams`]) and streams ([`lines`]), see [`running`]. The [`store`] finds the series of a
//! sample by its name, type and tags as they were sent, so that a known one costs a hash. It has both vocabularies:
//! [`families`] are cumulative, mapped ([`mapping`]) and named as statsd_exporter does; points are the aggregates of an
//! interval ([`intervals`]), named by Telegraf's templates ([`templates`]). Sinks get each interval once.

mod address;
mod aggregate;
mod counts;
mod datagrams;
mod families;
mod intervals;
mod mapping;
mod names;
mod pool;
mod quantiles;
mod running;
mod settings;
mod shared;
mod store;
mod streams;
mod templates;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use self::address::Transport;
use self::counts::Counts;
use self::families::FamilyValues;
use self::settings::{KEYS, LISTEN, Settings};
use self::shared::{Arrivals, Shared};
use super::foreign::{self, Claims};
use super::framework::arrivals::Cursor;
use super::framework::background::Background;
use super::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies, write_generic_points};
use crate::config::Section;
use crate::encode::family::ForeignFamilies;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::http::ListenAddress;

/// What is wrong in the text of a mapping file, if anything is.
pub(crate) fn mapping_problems(name: &str, text: &str) -> Option<String> {
    mapping::parse(name, text).err()
}

/// The collector.
pub(super) struct Statsd {
    settings: Arc<Settings>,
    /// The state that outlives reloads, while a collector has it.
    retained: Arc<Mutex<Weak<Shared>>>,
    /// The state of the collector before a reload, if there is one.
    former: Option<Arc<Shared>>,
    running: Option<(Arc<Shared>, Background)>,
    claims: Arc<Claims>,
}

/// What programs have sent.
#[derive(Default)]
pub(super) struct StatsdReading {
    counts: Option<Box<Counts>>,
    families: Arc<[FamilyValues]>,
    claims: Arc<Claims>,
    /// The points of intervals, and the position to read up to.
    read: Option<(Arc<Arrivals>, Arc<Cursor>)>,
}

const REMARKS: &str = "\
Names, labels and types are those of statsd_exporter, with its mapping file; measurements, fields and tags are those of \
Telegraf's inputs.statsd. docs/statsd.md has examples, and what differs.

Timestamps of points are the ends of intervals. Sets are in points only.";

impl Collector for Statsd {
    const ABOUT: About = About {
        name: "statsd",
        summary: "metrics that programs send by statsd, in the dialects of dogstatsd, InfluxDB, Librato and SignalFX",
        reads: &["UDP, TCP and Unix sockets"],
        remarks: REMARKS,
        on_by_default: Vocabularies::NONE,
        turned_on_by: &[LISTEN.info().name],
        is_named_by_others: true,
        is_portable: true,
        keys: KEYS,
        families: &counts::FAMILIES,
        ..About::PLAIN
    };
    type Reading = StatsdReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let settings = Arc::new(Settings::new(section));
        if let Some(Err(reason)) = settings.mapping_file.as_deref().map(mapping::read) {
            section.wrong("mapping_file", reason);
        }
        let retained = host.retained(Weak::new);
        let former = retained.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        Statsd { settings, retained, former, running: None, claims: Arc::new(Claims::new("statsd", "samples")) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut StatsdReading) -> Result<(), ReadError> {
        let claims = self.claims.clone();
        let shared = self.shared().clone();
        let read = cx.wanted.points.then(|| {
            let cursor = shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner).read();
            (shared.arrivals.clone(), cursor)
        });
        let problems = shared.failures().into_iter();
        cx.problems.extend(problems.map(|(what, reason)| ReadError::Refused { what, reason }));
        let mut store = shared.store();
        let families = if cx.wanted.families { store.families(Instant::now()) } else { Vec::new() };
        let counts = store.counts(shared.connections());
        *reading = StatsdReading { counts: Some(Box::new(counts)), families: families.into(), claims, read };
        Ok(())
    }

    fn listens(&self) -> Vec<(usize, ListenAddress)> {
        let addresses = self.settings.listen.iter().enumerate();
        let shared = addresses.filter(|(_, address)| address.transport != Transport::Udp);
        shared.map(|(index, address)| (index, address.address.clone())).collect()
    }

    fn begin(&mut self, limit: Duration) {
        let (count, start) = (self.settings.listen.len(), Instant::now());
        let shared = self.shared();
        while start.elapsed() < limit && !shared.has_tried(count) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn report(&mut self) -> Vec<String> {
        let reach = |address: &address::Address| if address.is_local() { "" } else { ", from other hosts" };
        self.settings.listen.iter().map(|address| format!("{address}{}", reach(address))).collect()
    }
}

impl Statsd {
    fn shared(&mut self) -> &Arc<Shared> {
        let (settings, former, retained) = (&self.settings, &mut self.former, &self.retained);
        let (shared, _) = self.running.get_or_insert_with(|| {
            let shared = former.take().unwrap_or_else(|| Arc::new(Shared::new(settings.clone())));
            *retained.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&shared);
            let (of, settings) = (shared.clone(), settings.clone());
            (shared, Background::start("statsd", move || running::run(of, settings)))
        });
        shared
    }
}

impl Reading for StatsdReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.write_own(out);
    }

    fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        let named = foreign::shared(&self.families, &self.claims, out);
        if !self.claims.is_empty() {
            self.claims.keep(|name| self.families.iter().any(|family| &*family.name == name));
        }
        named
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        write_generic_points(|families| self.write_own(families), out);
        let Some((log, to)) = &self.read else { return };
        let of_log = |(before, _): &&(Arc<Arrivals>, Arc<Cursor>)| Arc::ptr_eq(before, log);
        let from = since.and_then(|since| since.previous.read.as_ref()).filter(of_log).map(|(_, cursor)| &**cursor);
        let flushed = log.lock().unwrap_or_else(PoisonError::into_inner).between(from, to);
        flushed.iter().flat_map(|interval| interval.iter()).for_each(|point| point.write(out));
    }
}

impl StatsdReading {
    fn write_own(&self, out: &mut FamilyWriter<'_>) {
        if let Some(counts) = &self.counts {
            counts.write(out);
        }
    }
}
