//! Applying and undoing the change of one group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FamilyEntry, Group, State};
use crate::gateway::groups::block::Block;
use crate::gateway::groups::change::{Change, GroupFamily};
use crate::gateway::groups::chunks::Chunks;
use crate::gateway::groups::history::History;
use crate::gateway::groups::size;
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;

impl State {
    /// Applies a change. The state must be the one that it was planned on.
    pub fn apply(&mut self, change: &Change) {
        let Change { key, removed, added, after, .. } = change;
        self.replace(key, removed, added, *after);
        let duration = change.duration();
        if change.seen.is_none() && duration.is_none() {
            return;
        }
        self.change_history(key, |history| {
            change.seen.into_iter().for_each(|push| history.push_seen(push));
            duration.into_iter().for_each(|duration| history.push_duration(duration));
        });
    }

    /// Undoes the change that was applied last.
    pub fn undo(&mut self, change: &Change) {
        let Change { key, removed, added, before, .. } = change;
        self.replace(key, added, removed, *before);
        self.change_history(key, |history| {
            change.seen.into_iter().for_each(|push| history.forget_seen(push));
            if change.duration().is_some() {
                history.pop_duration();
            }
        });
    }

    /// Remembers the digest of a push's idempotency key.
    pub(in crate::gateway) fn remember(&mut self, key: &Key, push: u128) {
        self.change_history(key, |history| history.push_seen(push));
    }

    fn change_history(&mut self, key: &Key, change: impl FnOnce(&mut History)) {
        if let Some(Some(group)) = self.number(key).and_then(|number| self.groups.get_mut(number as usize)) {
            self.size -= group.size();
            change(&mut group.history);
            self.size += group.size();
        }
    }

    fn replace(&mut self, key: &Key, removed: &[GroupFamily], added: &[GroupFamily], times: Option<Times>) {
        let number = self.number_of(key);
        let is_added =
            |family: &&GroupFamily| added.binary_search_by(|other| other.name.as_ref().cmp(&family.name)).is_ok();
        let mut names_change = removed.len() != added.len();
        for family in removed.iter().filter(|family| !is_added(family)) {
            self.remove_block(&family.name, number);
            names_change = true;
        }
        for family in added {
            names_change |= !self.put_block(number, family);
        }
        if names_change && let Some(Some(group)) = self.groups.get_mut(number as usize) {
            self.size -= group.size();
            let is_removed = |name: &Arc<str>| removed.binary_search_by(|family| family.name.cmp(name)).is_ok();
            group.families.retain(|name| !is_removed(name));
            group.families.extend(added.iter().map(|family| family.name.clone()));
            group.families.sort_unstable();
            size::shrink(&mut group.families);
            self.size += group.size();
        }
        self.set_times(key, number, times);
    }

    /// The number of a group, which is created if it is new.
    fn number_of(&mut self, key: &Key) -> u32 {
        if let Some(number) = self.by_key.get(key) {
            return *number;
        }
        let group =
            Group { key: key.clone(), families: Vec::new(), times: Times::default(), history: History::default() };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.groups.push(None);
                // 2^32 groups would need hundreds of GiB.
                u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.size += group.size();
        self.groups[number as usize] = Some(group);
        self.by_key.insert(key.clone(), number);
        number
    }

    /// Sets a group's times; without times, removes the group.
    fn set_times(&mut self, key: &Key, number: u32, times: Option<Times>) {
        let known = self.groups[number as usize].as_ref().map(|group| group.times);
        let expires = |times: Option<Times>| usize::from(times.is_some_and(|times| times.expires.is_some()));
        self.expiring = self.expiring + expires(times) - expires(known);
        let Some(times) = times else {
            self.by_key.remove(key);
            self.size -= self.groups[number as usize].take().map(|group| group.size()).unwrap_or_default();
            self.free.push(number);
            self.release_if_empty();
            return;
        };
        if let Some(group) = &mut self.groups[number as usize] {
            group.times = times;
        }
    }

    /// Without groups, frees the numbers and the tree of families, which would keep an empty node.
    pub(super) fn release_if_empty(&mut self) {
        if self.by_key.is_empty() {
            (self.groups, self.free) = (Vec::new(), Vec::new());
            self.families = BTreeMap::new();
        }
    }

    /// Sets the group's block of a family; returns whether the group had one.
    fn put_block(&mut self, number: u32, family: &GroupFamily) -> bool {
        if !self.families.contains_key(&family.name) {
            let entry = FamilyEntry { kind: family.kind, help: family.help.clone(), blocks: Chunks::default() };
            self.size += entry.size(&family.name);
            self.families.insert(family.name.clone(), entry);
        }
        let Some(entry) = self.families.get_mut(&family.name) else { return false };
        self.size -= entry.size(&family.name);
        entry.kind = family.kind;
        if !Arc::ptr_eq(&entry.help, &family.help) {
            entry.help = family.help.clone();
        }
        let before = entry.blocks.insert(number, family.block.clone());
        self.size += entry.size(&family.name);
        if let Some(before) = &before {
            if before.has_metrics_of(&family.block) {
                return true;
            }
            self.unindex(number, before);
        }
        for hash in family.block.hashes() {
            self.metrics.insert(hash, number);
        }
        before.is_some()
    }

    fn remove_block(&mut self, name: &str, number: u32) {
        let Some(entry) = self.families.get_mut(name) else { return };
        let size = entry.size(name);
        let Some(block) = entry.blocks.remove(number) else { return };
        self.size -= size;
        if entry.blocks.is_empty() {
            self.families.remove(name);
        } else {
            self.size += entry.size(name);
        }
        self.unindex(number, &block);
    }

    /// Removes a block's metrics from the index.
    fn unindex(&mut self, number: u32, block: &Block) {
        for hash in block.hashes() {
            if self.metrics.get(&hash) == Some(&number) {
                self.metrics.remove(&hash);
            }
        }
    }
}
