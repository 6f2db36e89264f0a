//! State shared by the thread that queries the sources and the readers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::Named;
use super::known::Known;
use super::query::{Failure, FailureKind, Inventory, Query};
use super::running::Running;
use super::schedule::Outcome;
use super::sizes::Sizes;
use super::source::Source;
use super::wanted::{Demand, Wanted};

/// The state. All methods are brief, and none waits but [`Shared::wait_for_all`].
pub(super) struct Shared {
    known: ArcSwap<Known>,
    /// Last successful result of each source, the best source first.
    inventories: Mutex<Vec<Inventory>>,
    wanted: Mutex<Wanted>,
    /// Notifies the sources that a container has come or gone.
    changed: watch::Sender<()>,
    /// Last sizes of each source.
    sizes: Mutex<Vec<Arc<Sizes>>>,
    /// Which sources have been queried at least once, with success or not.
    queried: Mutex<Vec<bool>>,
    all_queried: Condvar,
    pub(super) interval: Duration,
    /// Locations of the sources.
    locations: Vec<String>,
}

/// Locations of sources that did not respond to the first query in time. After a reload readings do not wait for them.
static UNRESPONSIVE: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

impl Shared {
    /// State for the sources at these locations. `interval` is the one of the settings.
    pub(super) fn new(locations: Vec<String>, interval: Duration) -> Shared {
        let is_unresponsive = |location: &String| lock(&UNRESPONSIVE).contains(location);
        Shared {
            known: ArcSwap::default(),
            inventories: Mutex::new(vec![Inventory::default(); locations.len()]),
            wanted: Mutex::default(),
            sizes: Mutex::new(vec![Arc::default(); locations.len()]),
            changed: watch::Sender::new(()),
            queried: Mutex::new(locations.iter().map(is_unresponsive).collect()),
            all_queried: Condvar::new(),
            interval,
            locations,
        }
    }

    pub(super) fn known(&self) -> Guard<Arc<Known>> {
        self.known.load()
    }

    /// Sizes of each source.
    pub(super) fn sizes(&self) -> Vec<Arc<Sizes>> {
        lock(&self.sizes).clone()
    }

    pub(super) fn store_sizes(&self, rank: usize, sizes: Sizes) {
        if let Some(last) = lock(&self.sizes).get_mut(rank) {
            *last = Arc::new(sizes);
        }
    }

    /// Notifications that a container has come or gone.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether the source has a running container.
    pub(super) fn has_running(&self, rank: usize) -> bool {
        let (wanted, inventories) = (lock(&self.wanted), lock(&self.inventories));
        inventories.get(rank).is_some_and(|inventory| inventory.containers.keys().any(|id| wanted.is_running(id)))
    }

    /// IDs of the running containers by namespace, pod and container.
    pub(super) fn running_by_name(&self) -> HashMap<[String; 3], String> {
        let (wanted, known) = (lock(&self.wanted), self.known.load());
        let running =
            known.containers.iter().filter(|(id, named)| wanted.is_running(id) && !named.container.is_empty());
        let names = |named: &Named| [named.namespace.clone(), named.pod.clone(), named.container.clone()];
        running.map(|(id, named)| (names(named), id.clone())).collect()
    }

    /// Waits until every source was queried, at most `timeout`.
    pub(super) fn wait_for_all(&self, timeout: Duration) {
        let is_missing = |queried: &mut Vec<bool>| queried.contains(&false);
        let waited = self.all_queried.wait_timeout_while(lock(&self.queried), timeout, is_missing);
        let queried = waited.unwrap_or_else(PoisonError::into_inner).0;
        let missing = self.locations.iter().zip(&*queried).filter(|(_, queried)| !**queried);
        lock(&UNRESPONSIVE).extend(missing.map(|(location, _)| location.clone()));
    }

    /// Replaces the running containers.
    pub(super) fn want<'i>(&self, running: impl IntoIterator<Item = Running<'i>>) {
        if lock(&self.wanted).replace(running, Instant::now()) {
            self.changed.send_replace(());
        }
    }

    #[cfg(test)]
    pub(super) fn wanted_count(&self) -> usize {
        lock(&self.wanted).len()
    }

    pub(super) fn query(&self, source: &Source, is_regular: bool) -> Query {
        let (wanted, lists_others) = (lock(&self.wanted), source.lists_other_hosts());
        let ids = match source.queries_each() || lists_others {
            true => wanted.ids_for(source).cloned().collect(),
            false => HashSet::new(),
        };
        let cgroups = match source.has_details() {
            true => wanted.cgroups_for(source),
            false => HashMap::new(),
        };
        Query { wanted: ids, pods: lists_others.then(|| wanted.pods()), cgroups, is_regular }
    }

    /// What the source has to be queried for, and the number of the newest container.
    pub(super) fn demand(&self, source: &Source, rank: usize, seen: u64) -> (Demand, u64) {
        let (wanted, inventories) = (lock(&self.wanted), lock(&self.inventories));
        let Some(inventory) = inventories.get(rank) else { return Default::default() };
        let time = (self.interval, Instant::now());
        (wanted.demand(source, inventory, &self.known.load(), seen, time), wanted.newest())
    }

    /// Clears the state of an engine that does not respond. Its names are retained.
    pub(super) fn clear_engine(&self, rank: usize) {
        let last = lock(&self.inventories).get(rank).filter(|inventory| inventory.engine.is_some()).cloned();
        if let Some(last) = last {
            self.store(rank, Inventory { engine: None, ..last });
        }
    }

    /// Stores the result of a source, and publishes the merged names if they have changed.
    fn store(&self, rank: usize, inventory: Inventory) {
        let mut inventories = lock(&self.inventories);
        let Some(last) = inventories.get_mut(rank) else { return };
        if *last == inventory {
            return;
        }
        *last = inventory;
        // Under the lock, so that results are merged in order.
        if let Some(known) = self.known.load().merge(inventories.iter()) {
            self.known.store(Arc::new(known));
        }
    }

    pub(super) fn outcome(&self, rank: usize, result: Result<Inventory, Failure>) -> Outcome {
        let inventory = match result {
            Ok(inventory) => inventory,
            Err(Failure { kind, .. }) => {
                self.clear_engine(rank);
                return if kind == FailureKind::Absent { Outcome::Absent } else { Outcome::Failed };
            }
        };
        let outcome = if inventory.is_partial { Outcome::Partial } else { Outcome::Complete };
        self.store(rank, inventory);
        outcome
    }

    /// Records that the source at this location has responded in time.
    pub(super) fn mark_responsive(location: &str) {
        lock(&UNRESPONSIVE).remove(location);
    }

    /// Records that the source was queried, or need not be.
    pub(super) fn mark_queried(&self, rank: usize) {
        if let Some(queried) = lock(&self.queried).get_mut(rank) {
            *queried = true;
        }
        self.all_queried.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
