//! The results of background work: the newest of each target, and all of them for sinks that push each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::arrivals::{Cursor, Log};

/// Identifies a target: the index of its job, and its index there.
pub(in crate::collectors) type Index = (usize, usize);

/// Results, shared with the background work.
pub(in crate::collectors) struct Latest<O>(Arc<Mutex<State<O>>>);

struct State<O> {
    newest: BTreeMap<Index, Arc<O>>,
    log: Log<Arc<O>>,
}

impl<O> Clone for Latest<O> {
    fn clone(&self) -> Self {
        Latest(self.0.clone())
    }
}

impl<O> Latest<O> {
    /// No results. At most `max` are retained for a sink that does not read.
    pub(in crate::collectors) fn new(max: usize) -> Self {
        Latest(Arc::new(Mutex::new(State { newest: BTreeMap::new(), log: Log::new(max) })))
    }

    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the result of a target.
    pub(in crate::collectors) fn publish(&self, of: Index, result: O) {
        let (mut state, result) = (self.state(), Arc::new(result));
        if state.log.is_read() {
            state.log.push(vec![result.clone()]);
        }
        state.newest.insert(of, result);
    }

    /// A reading of the results so far.
    pub(in crate::collectors) fn read(&self) -> Results<O> {
        let mut state = self.state();
        Results { newest: state.newest.values().cloned().collect(), read: Some((self.clone(), state.log.read())) }
    }

    /// Waits until `targets` have results, or until `limit` has passed.
    pub(in crate::collectors) fn wait(&self, targets: usize, limit: Duration) {
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let start = Instant::now();
        while start.elapsed() < limit && self.state().newest.len() < targets {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// A reading of results.
pub(in crate::collectors) struct Results<O> {
    /// The newest result of each target.
    pub(in crate::collectors) newest: Vec<Arc<O>>,
    read: Option<(Latest<O>, Arc<Cursor>)>,
}

impl<O> Default for Results<O> {
    fn default() -> Self {
        Results { newest: Vec::new(), read: None }
    }
}

impl<O> Results<O> {
    /// The results since the `previous` reading of the same sink, oldest first; the newest ones without it.
    pub(in crate::collectors) fn since(&self, previous: Option<&Self>) -> Vec<Arc<O>> {
        let before = previous.and_then(|previous| previous.read.as_ref());
        match (&self.read, before) {
            (Some((latest, to)), Some((of, from))) if Arc::ptr_eq(&of.0, &latest.0) => {
                latest.state().log.between(Some(from), to).iter().flat_map(|batch| batch.iter().cloned()).collect()
            }
            _ => self.newest.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_gets_the_newest_and_a_sink_each_result_once() {
        let latest = Latest::new(100);
        let first = latest.read();
        [1, 2].into_iter().for_each(|result| latest.publish((0, 0), result));
        latest.publish((1, 0), 3);
        let second = latest.read();
        let numbers = |results: Vec<Arc<i32>>| results.iter().map(|result| **result).collect::<Vec<_>>();
        assert_eq!(numbers(second.newest.clone()), [2, 3]);
        assert_eq!(numbers(second.since(Some(&first))), [1, 2, 3]);
        assert_eq!(numbers(latest.read().since(Some(&second))), [] as [i32; 0]);
        assert_eq!(numbers(second.since(None)), [2, 3], "a sink that has not read");
    }
}
