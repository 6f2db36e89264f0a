//! What the background work and the readings share.

use std::collections::BTreeMap;
#[cfg(windows)]
use std::net::TcpStream as StdUnixStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio_util::either::Either;

use super::address::Address;
use super::datagrams::Bound;
use super::intervals::Flushed;
use super::settings::Settings;
use super::store::Store;
use crate::collectors::framework::arrivals::{Cursor, Log};
use crate::collectors::framework::lines::Lines;
use crate::encode::Timestamp;

/// Points retained for a sink that does not read.
const MAX_POINTS: usize = 200_000;
/// How long points are aggregated before a sink has read.
const FIRST_READINGS: Duration = Duration::from_secs(60);

/// The points of all intervals, until each sink has them.
pub(super) type Arrivals = Mutex<Log<Flushed>>;

/// What the background work and the readings share. It outlives reloads.
pub(super) struct Shared {
    store: Mutex<Store>,
    pub(super) arrivals: Arc<Arrivals>,
    /// Sockets of datagrams.
    bound: Mutex<BTreeMap<Address, Vec<Bound>>>,
    pub(super) connections: AtomicUsize,
    pub(super) parking: Parking,
    status: Mutex<Status>,
}

/// The connections that a reload has interrupted, until they are read again.
#[derive(Default)]
pub(super) struct Parking {
    pub(super) parked: Mutex<Vec<Parked>>,
    pub(super) has_more: Notify,
}

/// A stream outside of a runtime.
pub(super) type Stream = Either<std::net::TcpStream, StdUnixStream>;

/// A connection that nobody reads.
pub(super) struct Parked {
    /// The address that it was accepted at.
    pub(super) address: Address,
    pub(super) stream: Stream,
    /// The beginning of a line.
    pub(super) lines: Lines,
}

/// What readings report.
#[derive(Debug, Default)]
struct Status {
    /// Addresses that cannot be listened on, and why.
    failures: BTreeMap<Address, String>,
    mapping: Option<String>,
    /// The addresses that were tried.
    tried: usize,
    /// Retains the first points for sinks that have not read yet.
    first: Option<(Instant, Arc<Cursor>)>,
}

impl Shared {
    pub(super) fn new(settings: Arc<Settings>) -> Shared {
        let mut log = Log::new(MAX_POINTS);
        let first = Some((Instant::now(), log.cursor()));
        Shared {
            store: Mutex::new(Store::new(settings)),
            arrivals: Arc::new(Mutex::new(log)),
            bound: Mutex::default(),
            connections: AtomicUsize::new(0),
            parking: Parking::default(),
            status: Mutex::new(Status { first, ..Status::default() }),
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what a former run had of other addresses than these.
    pub(super) fn begin(&self, addresses: &[Address]) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, _| addresses.contains(address));
        let mut status = self.status();
        *status = Status { first: status.first.take(), ..Status::default() };
    }

    /// The sockets of an address.
    pub(super) fn bound(&self, address: &Address) -> Option<Vec<Bound>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    pub(super) fn retain(&self, address: &Address, bound: Vec<Bound>) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone(), bound);
    }

    /// Closes the sockets of an address, whose file is gone.
    pub(super) fn release(&self, address: &Address) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }

    pub(super) fn has_begun(&self, address: &Address) {
        let mut status = self.status();
        if status.failures.remove(address).is_none() {
            status.tried += 1;
        }
    }

    pub(super) fn has_failed(&self, address: &Address, reason: String) {
        let mut status = self.status();
        if status.failures.insert(address.clone(), reason).is_none() {
            status.tried += 1;
        }
    }

    pub(super) fn set_mapping_failure(&self, reason: Option<String>) {
        self.status().mapping = reason;
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Whether `count` addresses have been tried.
    pub(super) fn has_tried(&self, count: usize) -> bool {
        self.status().tried >= count
    }

    /// What does not work.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let status = self.status();
        let addresses = status.failures.iter().map(|(address, reason)| (address.to_string(), reason.clone()));
        addresses.chain(status.mapping.iter().map(|reason| ("mapping_file".to_owned(), reason.clone()))).collect()
    }

    /// Ends an interval.
    pub(super) fn flush(&self) {
        let has_readers = {
            let mut status = self.status();
            status.first.take_if(|(since, _)| since.elapsed() > FIRST_READINGS);
            status.first.is_some()
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = self.store();
        store.set_points(has_readers || arrivals.is_read());
        let flushed = store.flush(at, Instant::now());
        let weight = flushed.iter().map(Flushed::weight).sum();
        store.counts.dropped_points += arrivals.push_weighing(flushed, weight) as u64;
    }
}
