//! The end of groups, of one or of all: deleted, wiped, or expired.
//!
//! Ten thousand groups end at once at little more than the cost of letting go of their memory: families and index are gone
//! over once, whatever the number of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::Times;
use super::chunks::Chunks;
use super::key::Key;
use super::room;
use super::state::{Group, Held, State};

/// Groups by their numbers.
#[derive(Clone, Debug)]
pub struct Selection {
    bits: Vec<u64>,
    count: usize,
    /// Their keys, for the log; nothing if they are all that there are.
    keys: Option<Vec<Key>>,
    /// When they ended by themselves; nothing if somebody ended them.
    expired: Option<f64>,
}

/// When groups of a job last ended by themselves, in seconds of Unix time.
pub type Expired = Arc<BTreeMap<String, f64>>;

/// How many jobs that is told of.
const MOST_EXPIRED: usize = 1000;

/// What a sweep took away.
pub enum Swept {
    /// All groups.
    All(Box<State>),
    /// Some.
    Some {
        /// The groups with their numbers.
        groups: Vec<(u32, Group)>,
        /// What they had.
        families: Vec<(Arc<str>, Held)>,
        /// What was known of ends before.
        expired: Expired,
    },
}

impl Selection {
    /// How many groups.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The keys; nothing if the groups are all that there are.
    pub fn keys(&self) -> Option<&[Key]> {
        self.keys.as_deref()
    }

    /// The same groups, which end by themselves now.
    pub fn expired(mut self, now: f64) -> Selection {
        self.expired = Some(now);
        self
    }

    /// When they ended by themselves; nothing if somebody ended them.
    pub fn expired_at(&self) -> Option<f64> {
        self.expired
    }

    fn has(&self, number: u32) -> bool {
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

impl State {
    /// The groups that `is_wanted` chooses.
    pub fn select(&self, mut is_wanted: impl FnMut(&Key, Times) -> bool) -> Selection {
        let mut selection = Selection { bits: Vec::new(), count: 0, keys: None, expired: None };
        for (number, group) in self.numbered_groups() {
            if is_wanted(&group.key, group.times) {
                selection.insert(number);
            }
        }
        if selection.count < self.groups() {
            let groups = self.numbered_groups().filter(|(number, _)| selection.has(*number));
            selection.keys = Some(groups.map(|(_, group)| group.key.clone()).collect());
        }
        selection
    }

    /// These groups, as far as they are there.
    pub fn select_keys(&self, keys: &[Key]) -> Selection {
        let mut selection = Selection { bits: Vec::new(), count: 0, keys: Some(keys.to_vec()), expired: None };
        keys.iter().filter_map(|key| self.number(key)).for_each(|number| selection.insert(number));
        selection
    }

    /// Ends the groups.
    pub fn sweep(&mut self, selection: &Selection) -> Swept {
        let expired = self.expired.clone();
        if let Some(now) = selection.expired {
            let jobs: Vec<(String, f64)> = self.jobs(selection).into_iter().map(|job| (job.to_owned(), now)).collect();
            self.tell_expired(jobs.into_iter());
        }
        if selection.keys.is_none() {
            let mut empty = State { hasher: self.hasher.clone(), ..State::default() };
            empty.set_expired(std::mem::replace(&mut self.expired, expired.clone()));
            self.set_expired(expired);
            return Swept::All(Box::new(std::mem::replace(self, empty)));
        }
        let mut families = Vec::new();
        self.families.retain(|name, held| {
            let before = held.bytes(name);
            let swept = take(&mut held.holders, selection);
            let after = if held.holders.is_empty() { 0 } else { held.bytes(name) };
            self.bytes = self.bytes + after - before;
            if !swept.is_empty() {
                families.push((name.clone(), Held { holders: swept, ..held.clone_head() }));
            }
            !held.holders.is_empty()
        });
        self.forget_metrics(selection, &families);
        let mut groups = Vec::with_capacity(selection.count);
        for (index, slot) in self.groups.iter_mut().enumerate() {
            let number = index as u32;
            if let Some(group) = selection.has(number).then(|| slot.take()).flatten() {
                self.by_key.remove(&group.key);
                self.expiring -= usize::from(group.times.expires.is_some());
                self.bytes -= group.bytes();
                self.free.push(number);
                groups.push((number, group));
            }
        }
        self.forget_numbers();
        Swept::Some { groups, families, expired }
    }

    /// The jobs of these groups.
    pub fn jobs(&self, selection: &Selection) -> BTreeSet<&str> {
        let groups = self.numbered_groups().filter(|(number, _)| selection.has(*number));
        groups.map(|(_, group)| group.key.job()).collect()
    }

    /// Adds to what is known of ends; of many jobs, the latest are told of.
    pub(super) fn tell_expired(&mut self, jobs: impl Iterator<Item = (String, f64)>) {
        let mut all = self.expired.clone();
        let expired = Arc::make_mut(&mut all);
        expired.extend(jobs);
        while expired.len() > MOST_EXPIRED {
            let earliest = expired.iter().min_by(|(_, one), (_, other)| one.total_cmp(other));
            let Some(job) = earliest.map(|(job, _)| job.clone()) else { break };
            expired.remove(&job);
        }
        self.set_expired(all);
    }

    fn set_expired(&mut self, expired: Expired) {
        self.expired_bytes = expired.keys().map(|job| job.capacity() + room::in_tree::<String, f64>()).sum();
        self.expired = expired;
    }

    /// Takes the metrics of the groups off the index.
    fn forget_metrics(&mut self, selection: &Selection, swept: &[(Arc<str>, Held)]) {
        /// Looking for a metric takes about as long as passing over so many.
        const A_SEARCH: usize = 8;
        let blocks = || swept.iter().flat_map(|(_, held)| held.holders.iter());
        let count: usize = blocks().map(|(_, block)| block.metrics()).sum();
        if count > self.metrics.len() / A_SEARCH {
            self.metrics.retain(|_, number| !selection.has(*number));
            return;
        }
        for hash in blocks().flat_map(|(_, block)| block.hashes()) {
            self.metrics.remove(&hash);
        }
    }

    /// Undoes a sweep; nothing else was done since, or it was undone.
    pub fn restore(&mut self, swept: Swept) {
        let (groups, families) = match swept {
            Swept::All(before) => return *self = *before,
            Swept::Some { groups, families, expired } => {
                self.set_expired(expired);
                (groups, families)
            }
        };
        for (number, group) in groups {
            self.by_key.insert(group.key.clone(), number);
            self.expiring += usize::from(group.times.expires.is_some());
            self.bytes += group.bytes();
            // Where it was the last, its number was forgotten.
            let places = self.groups.len().max(number as usize + 1);
            self.groups.resize_with(places, || None);
            self.groups[number as usize] = Some(group);
        }
        let numbers = (0..).zip(&self.groups);
        self.free = numbers.filter(|(_, group)| group.is_none()).map(|(number, _)| number).collect();
        for (name, swept) in families {
            for (number, block) in swept.holders.iter() {
                block.hashes().for_each(|hash| _ = self.metrics.insert(hash, number));
            }
            if !self.families.contains_key(&name) {
                let head = swept.clone_head();
                self.bytes += head.bytes(&name);
                self.families.insert(name.clone(), head);
            }
            let Some(held) = self.families.get_mut(&name) else { continue };
            self.bytes -= held.bytes(&name);
            swept.holders.iter().for_each(|(number, block)| drop(held.holders.insert(number, block.clone())));
            self.bytes += held.bytes(&name);
        }
    }
}

fn take(holders: &mut Chunks, selection: &Selection) -> Chunks {
    holders.extract(|number| selection.has(number))
}
