//! A set of groups to remove.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::gateway::key::Key;

/// Groups by number.
#[derive(Clone, Debug)]
pub struct Selection {
    bits: Vec<u64>,
    count: usize,
    /// Their keys, for the log; none if all groups are selected.
    keys: Option<Vec<Key>>,
    /// When they expired; none if a request removes them.
    expired: Option<f64>,
}

/// When a group of each job last expired, in seconds of Unix time.
pub type ExpiryTimes = Arc<BTreeMap<String, f64>>;

impl Selection {
    /// The groups with these numbers. `keys` are their keys; none if they are all groups.
    pub(super) fn new(numbers: impl Iterator<Item = u32>, keys: Option<Vec<Key>>) -> Selection {
        let mut selection = Selection { bits: Vec::new(), count: 0, keys, expired: None };
        numbers.for_each(|number| selection.insert(number));
        selection
    }

    /// Number of groups.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The keys; none if all groups are selected.
    pub fn keys(&self) -> Option<&[Key]> {
        self.keys.as_deref()
    }

    /// The same groups, which expire at `now`.
    pub fn expired(mut self, now: f64) -> Selection {
        self.expired = Some(now);
        self
    }

    /// When the groups expired; none if a request removes them.
    pub fn expired_at(&self) -> Option<f64> {
        self.expired
    }

    /// Whether the group with this number is selected.
    pub(super) fn has(&self, number: u32) -> bool {
        self.bits.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    fn insert(&mut self, number: u32) {
        let index = number as usize / 64;
        if index >= self.bits.len() {
            self.bits.resize(index + 1, 0);
        }
        self.bits[index] |= 1 << (number % 64);
        self.count += 1;
    }
}
