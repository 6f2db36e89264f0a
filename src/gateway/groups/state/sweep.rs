//! Removing groups, one or all: on deletion, on a wipe, on expiry.
//!
//! Families and index are traversed once per sweep, however many groups it removes: ten thousand groups cost little more
//! than freeing their memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{FamilyEntry, Group, State};
use crate::gateway::groups::selection::{ExpiryTimes, Selection};
use crate::gateway::groups::size::{self, Size};
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;

/// How many jobs have an expiry time.
const MAX_EXPIRED: usize = 1000;

/// What a sweep removed, for its undo.
pub enum Swept {
    /// All groups.
    All(Box<State>),
    /// Some groups.
    Some {
        /// The groups with their numbers.
        groups: Vec<(u32, Group)>,
        /// Their families.
        families: Vec<(Arc<str>, FamilyEntry)>,
        /// The expiry times before the sweep.
        expired: ExpiryTimes,
    },
}

impl Default for Swept {
    fn default() -> Swept {
        Swept::Some { groups: Vec::new(), families: Vec::new(), expired: ExpiryTimes::default() }
    }
}

impl State {
    /// Selects the groups for which `is_wanted` returns true.
    pub fn select(&self, mut is_wanted: impl FnMut(&Key, Times) -> bool) -> Selection {
        let wanted = self.numbered_groups().filter(|(_, group)| is_wanted(&group.key, group.times));
        let (numbers, keys): (Vec<u32>, Vec<&Key>) = wanted.map(|(number, group)| (number, &group.key)).unzip();
        let keys = (numbers.len() < self.groups()).then(|| keys.into_iter().cloned().collect());
        Selection::new(numbers.into_iter(), keys)
    }

    /// Selects the groups whose time to live is over.
    pub fn select_expired(&self, now: f64) -> Selection {
        let is_over = |_: &Key, times: Times| times.expires.is_some_and(|expires| expires <= now);
        self.select(is_over).expired(now)
    }

    /// Repeats an earlier selection on the present groups.
    pub fn select_again(&self, before: &Selection) -> Selection {
        match (before.expired_at(), before.keys()) {
            (Some(then), _) => self.select_expired(then),
            (None, Some(keys)) => self.select_keys(keys),
            (None, None) => self.select(|_, _| true),
        }
    }

    /// Selects the groups with these keys; unknown keys select nothing.
    pub fn select_keys(&self, keys: &[Key]) -> Selection {
        Selection::new(keys.iter().filter_map(|key| self.number(key)), Some(keys.to_vec()))
    }

    /// The jobs of the selected groups.
    pub fn jobs(&self, selection: &Selection) -> BTreeSet<&str> {
        let groups = self.numbered_groups().filter(|(number, _)| selection.has(*number));
        groups.map(|(_, group)| group.key.job()).collect()
    }

    /// Removes the selected groups.
    pub fn sweep(&mut self, selection: &Selection) -> Swept {
        let expired = self.expired.clone();
        if let Some(now) = selection.expired_at() {
            let jobs: Vec<(String, f64)> = self.jobs(selection).into_iter().map(|job| (job.to_owned(), now)).collect();
            self.record_expired(jobs.into_iter());
        }
        if selection.keys().is_none() {
            let mut empty = State { hasher: self.hasher.clone(), ..State::default() };
            empty.set_expired(std::mem::replace(&mut self.expired, expired.clone()));
            self.set_expired(expired);
            return Swept::All(Box::new(std::mem::replace(self, empty)));
        }
        let mut families = Vec::new();
        self.families.retain(|name, entry| {
            let before = entry.size(name);
            let swept = entry.blocks.extract(|number| selection.has(number));
            let after = if entry.blocks.is_empty() { Size::default() } else { entry.size(name) };
            self.size = self.size + after - before;
            if !swept.is_empty() {
                families.push((name.clone(), FamilyEntry { blocks: swept, ..entry.clone_head() }));
            }
            !entry.blocks.is_empty()
        });
        self.unindex_selected(selection, &families);
        let mut groups = Vec::with_capacity(selection.count());
        for (index, slot) in self.groups.iter_mut().enumerate() {
            let number = index as u32;
            if let Some(group) = selection.has(number).then(|| slot.take()).flatten() {
                self.by_key.remove(&group.key);
                self.expiring -= usize::from(group.times.expires.is_some());
                self.size -= group.size();
                self.free.push(number);
                groups.push((number, group));
            }
        }
        self.release_if_empty();
        Swept::Some { groups, families, expired }
    }

    /// Undoes a sweep. Every later change must have been undone before.
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
            self.size += group.size();
            // The list is empty if the sweep removed the last group.
            let slots = self.groups.len().max(number as usize + 1);
            self.groups.resize_with(slots, || None);
            self.groups[number as usize] = Some(group);
        }
        let numbers = (0..).zip(&self.groups);
        self.free = numbers.filter(|(_, group)| group.is_none()).map(|(number, _)| number).collect();
        for (name, swept) in families {
            for (number, block) in swept.blocks.iter() {
                block.hashes().for_each(|hash| _ = self.metrics.insert(hash, number));
            }
            if !self.families.contains_key(&name) {
                let head = swept.clone_head();
                self.size += head.size(&name);
                self.families.insert(name.clone(), head);
            }
            let Some(entry) = self.families.get_mut(&name) else { continue };
            self.size -= entry.size(&name);
            swept.blocks.iter().for_each(|(number, block)| drop(entry.blocks.insert(number, block.clone())));
            self.size += entry.size(&name);
        }
    }

    /// Adds expiry times. Over 1,000 jobs, the earliest are dropped.
    pub(super) fn record_expired(&mut self, jobs: impl Iterator<Item = (String, f64)>) {
        let mut all = self.expired.clone();
        let expired = Arc::make_mut(&mut all);
        expired.extend(jobs);
        while expired.len() > MAX_EXPIRED {
            let earliest = expired.iter().min_by(|(_, one), (_, other)| one.total_cmp(other));
            let Some(job) = earliest.map(|(job, _)| job.clone()) else { break };
            expired.remove(&job);
        }
        self.set_expired(all);
    }

    fn set_expired(&mut self, expired: ExpiryTimes) {
        self.expired_bytes = expired.keys().map(|job| job.capacity() + size::tree_entry::<String, f64>()).sum();
        self.expired = expired;
    }

    /// Removes the metrics of the selected groups from the index.
    fn unindex_selected(&mut self, selection: &Selection, swept: &[(Arc<str>, FamilyEntry)]) {
        /// A lookup costs about as much as visiting this many entries.
        const LOOKUP_COST: usize = 8;
        let blocks = || swept.iter().flat_map(|(_, entry)| entry.blocks.iter());
        let count: usize = blocks().map(|(_, block)| block.metrics()).sum();
        if count > self.metrics.len() / LOOKUP_COST {
            self.metrics.retain(|_, number| !selection.has(*number));
            return;
        }
        for hash in blocks().flat_map(|(_, block)| block.hashes()) {
            self.metrics.remove(&hash);
        }
    }
}
