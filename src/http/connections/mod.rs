//! The open connections, and which of them is closed when the limit is reached.
//!
//! Idle connections lock no client out: a new connection is always accepted. At the limit, the connection that has been
//! idle longest is evicted. If none is idle, one that waits for its client is: for a first head, for the remainder of a
//! body, or for the response to be read. Of these three states, the one with most connections gives up the connection
//! that has waited longest. So a flood in one state evicts itself, and the newest connection stays. Connections whose
//! request is being processed are never closed. If all are, a new one is accepted over the limit, and only its probes
//! are answered.

mod connection;
mod metrics;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::connection::KIND;
pub(super) use self::connection::{Connection, Registration, State, Streaming};
pub use self::metrics::{FAMILIES, write_families};
use super::address::ListenAddress;
use crate::descriptors::Shares;

/// The accepted connections.
pub(super) struct Connections {
    /// Limit for all addresses together, as descriptors are limited.
    max: fn() -> usize,
    /// A logical clock.
    clock: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    connections: BTreeMap<u64, Arc<Connection>>,
    /// Connections within the limits that are not evicted.
    open: usize,
    /// Connections whose response is generated while it is sent.
    streams: BTreeMap<u64, Arc<Connection>>,
    addresses: BTreeMap<u64, Arc<AddressState>>,
    /// The last identifier.
    last_id: u64,
    /// Connections evicted so far, at any address.
    evicted: u64,
}

/// State of a listening address.
struct AddressState {
    id: u64,
    address: ListenAddress,
    limit: AtomicUsize,
    /// Connections within the limit and over it that are not evicted. Changed under the lock.
    open: [AtomicUsize; 2],
    evicted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// The connections of this process.
pub(super) static OF_PROCESS: Connections = Connections::new(|| Shares::current().connections);

impl Connections {
    /// Connections over the limit of an address.
    const MAX_OVER_LIMIT: usize = 8;
    /// Responses generated while they are sent: each takes a thread, which waits for the client.
    const MAX_STREAMS: usize = 32;

    pub(super) const fn new(max: fn() -> usize) -> Connections {
        let inner = Inner {
            connections: BTreeMap::new(),
            open: 0,
            streams: BTreeMap::new(),
            addresses: BTreeMap::new(),
            last_id: 0,
            evicted: 0,
        };
        Connections { max, clock: AtomicU64::new(0), inner: Mutex::new(inner) }
    }

    /// Registers a listening address.
    pub(super) fn open(&'static self, address: ListenAddress, limit: usize) -> Address {
        let mut inner = self.lock();
        let state = Arc::new(AddressState {
            id: inner.next_id(),
            address,
            limit: AtomicUsize::new(limit),
            open: [const { AtomicUsize::new(0) }; 2],
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        inner.addresses.insert(state.id, state.clone());
        Address { all: self, state }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Evicts connections until fewer than `max` are open and fewer than `limit` at this address. Returns whether that
    /// succeeded.
    fn evict_to_limits(&mut self, address: &AddressState, limit: usize, max: usize) -> bool {
        while self.open >= max {
            if !self.evict_one(|connection| !connection.is_over_limit) {
                return false;
            }
        }
        while address.open(false) >= limit {
            if !self.evict_one(|connection| !connection.is_over_limit && connection.address.id == address.id) {
                return false;
            }
        }
        true
    }

    /// Evicts the first of the connections `which`.
    fn evict_one(&mut self, which: impl Fn(&Connection) -> bool) -> bool {
        let first = evict_first(self.connections.values().filter(|connection| which(connection))).cloned();
        first.is_some_and(|connection| self.count_eviction(&connection))
    }

    /// Counts an eviction.
    fn count_eviction(&mut self, connection: &Connection) -> bool {
        connection.address.evicted.fetch_add(1, Relaxed);
        self.evicted += 1;
        if self.connections.contains_key(&connection.id) {
            self.count(connection, usize::wrapping_sub);
        }
        true
    }

    /// Adds a connection to the counts, or subtracts it.
    fn count(&mut self, connection: &Connection, change: fn(usize, usize) -> usize) {
        let open = &connection.address.open[usize::from(connection.is_over_limit)];
        open.store(change(open.load(Relaxed), 1), Relaxed);
        if !connection.is_over_limit {
            self.open = change(self.open, 1);
        }
    }
}

impl AddressState {
    fn open(&self, is_over_limit: bool) -> usize {
        self.open[usize::from(is_over_limit)].load(Relaxed)
    }
}

/// Evicts the first of these connections.
fn evict_first<'s>(connections: impl Iterator<Item = &'s Arc<Connection>> + Clone) -> Option<&'s Arc<Connection>> {
    loop {
        let (first, state) = first_to_evict(connections.clone())?;
        // A request that arrived meanwhile is processed.
        if first.evict(state) {
            return Some(first);
        }
    }
}

/// The connection to evict first, with its state; none if all are processing.
fn first_to_evict<'s>(connections: impl Iterator<Item = &'s Arc<Connection>>) -> Option<(&'s Arc<Connection>, u64)> {
    const KINDS: usize = State::Processing as usize;
    /// The number of connections in a state, and the one that has been in it longest.
    type Waiting<'s> = (usize, Option<(&'s Arc<Connection>, u64)>);
    let mut kinds: [Waiting<'s>; KINDS] = Default::default();
    for connection in connections {
        let state = connection.state.load(Relaxed);
        let Some((count, longest)) = kinds.get_mut((state / KIND) as usize) else { continue };
        *count += 1;
        if longest.is_none_or(|(_, since)| state < since) {
            *longest = Some((connection, state));
        }
    }
    let [(_, idle), waiting @ ..] = kinds;
    let waiting = waiting.into_iter().filter_map(|(count, longest)| Some((count, longest?)));
    let largest = waiting.max_by_key(|(count, (_, since))| (*count, Reverse(since % KIND)));
    idle.or(largest.map(|(_, longest)| longest))
}

/// A listening address.
pub(super) struct Address {
    all: &'static Connections,
    state: Arc<AddressState>,
}

impl Address {
    /// Registers a new connection at this address, which may have `limit`.
    ///
    /// Returns also whether another connection was evicted, at any address.
    pub(super) fn register(&self, limit: usize) -> (Registration, bool) {
        let (all, address) = (self.all, &self.state);
        address.limit.store(limit, Relaxed);
        let mut inner = all.lock();
        let before = inner.evicted;
        let is_within_limits = inner.evict_to_limits(address, limit, (all.max)());
        // Over the limit, requests are short: a connection to evict is soon found.
        let is_at_address = |connection: &Connection| connection.is_over_limit && connection.address.id == address.id;
        while !is_within_limits && address.open(true) >= Connections::MAX_OVER_LIMIT && inner.evict_one(is_at_address) {
        }
        let id = inner.next_id();
        let connection = Arc::new(Connection::new(id, address.clone(), !is_within_limits, all));
        inner.connections.insert(id, connection.clone());
        inner.count(&connection, usize::wrapping_add);
        (Registration { connection }, inner.evicted > before)
    }

    /// Evicts a connection at any address, for one that cannot be accepted.
    pub(super) fn evict_one(&self) -> bool {
        self.all.lock().evict_one(|_| true)
    }

    /// The address, for messages.
    pub(super) fn name(&self) -> String {
        self.state.address.to_string()
    }

    /// Counts a failure to accept.
    pub(super) fn count_failure(&self) {
        self.state.failed.fetch_add(1, Relaxed);
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.all.lock().addresses.remove(&self.state.id);
    }
}
