//! All groups, and the index that checks a push against them.
//!
//! A check costs what the push itself holds, however many groups there are: families are found by name, metrics by a hash
//! of name and labels. This file has the data and its read access; each other file adds one operation.

mod apply;
mod check;
mod merged;
mod plan;
mod replay;
mod sizes;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::block::gauge;
use super::change::GroupFamily;
use super::chunks::Chunks;
use super::history::History;
use super::markers::{self, MARKERS};
use super::selection::ExpiryTimes;
use super::size::{MeasuredMap, Size};
use super::times::Times;
use crate::encode::parse::model::Kind;
use crate::gateway::key::Key;

pub use sizes::{bytes_of, bytes_of_group};
pub use sweep::Swept;

/// All groups at one moment.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The families, sorted by name, without the markers.
    pub families: Vec<(Arc<str>, FamilyEntry)>,
    /// The groups with the numbers that the blocks refer to.
    pub groups: Vec<(u32, Key, Times)>,
}

/// All pushed groups.
#[derive(Default)]
pub struct State {
    /// The groups by number; freed numbers are reused.
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    by_key: MeasuredMap<Key, u32>,
    families: BTreeMap<Arc<str>, FamilyEntry>,
    /// The group of each metric, by the hash of its name and labels.
    metrics: MeasuredMap<u64, u32>,
    hasher: foldhash::fast::RandomState,
    /// Size of families and groups, without indexes.
    size: Size,
    /// Number of groups with an expiry time.
    expiring: usize,
    expired: ExpiryTimes,
    expired_bytes: usize,
}

/// A group: its key, its times, and the names of its families.
pub struct Group {
    /// Its key.
    pub key: Key,
    /// The names of its families, sorted, without the markers.
    families: Vec<Arc<str>>,
    /// When it was pushed to.
    pub times: Times,
    /// What it remembers of earlier pushes.
    pub history: History,
}

/// A family with the blocks of all groups that have it.
#[derive(Clone, Debug)]
pub struct FamilyEntry {
    /// Its type, the same in all groups.
    pub kind: Kind,
    /// The help text of the last push.
    pub help: Arc<str>,
    /// Its blocks, by group.
    pub blocks: Chunks,
}

impl FamilyEntry {
    /// Its type and help text, without blocks.
    fn clone_head(&self) -> FamilyEntry {
        FamilyEntry { kind: self.kind, help: self.help.clone(), blocks: Chunks::default() }
    }
}

impl State {
    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.by_key.len()
    }

    /// Number of metrics, including the markers.
    pub fn metrics(&self) -> usize {
        self.metrics.len() + MARKERS.len() * self.groups()
    }

    /// Whether any group has an expiry time.
    pub fn has_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// When a group of each job last expired.
    pub fn expired(&self) -> &ExpiryTimes {
        &self.expired
    }

    /// The keys and times of all groups.
    pub fn all(&self) -> impl Iterator<Item = (&Key, Times)> {
        self.groups.iter().flatten().map(|group| (&group.key, group.times))
    }

    /// All groups with the numbers that the blocks refer to.
    pub fn numbered_groups(&self) -> impl Iterator<Item = (u32, &Group)> {
        let groups = self.groups.iter().enumerate();
        groups.filter_map(|(number, group)| group.as_ref().map(|group| (number as u32, group)))
    }

    /// The type of the family of this name.
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        self.families.get(name).map(|entry| entry.kind).or_else(|| markers::kind_of(name))
    }

    /// The family of this name with the blocks of all groups, which are shared, not copied.
    pub fn family(&self, name: &str) -> Option<FamilyEntry> {
        self.families.get(name).cloned()
    }

    /// All groups at this moment. Blocks are shared, not copied.
    pub fn snapshot(&self) -> Snapshot {
        let families = self.families.iter().map(|(name, entry)| (name.clone(), entry.clone()));
        let groups = self.numbered_groups().map(|(number, group)| (number, group.key.clone(), group.times));
        Snapshot { families: families.collect(), groups: groups.collect() }
    }

    /// A group's times.
    pub fn times(&self, key: &Key) -> Option<Times> {
        self.group(key).map(|(_, group)| group.times)
    }

    /// The families of a group including its markers, sorted by name.
    pub fn families_of(&self, key: &Key) -> Option<Vec<GroupFamily>> {
        let (number, group) = self.group(key)?;
        let pushed = group.families.iter().filter_map(|name| self.family_of(name, number));
        let markers =
            MARKERS.iter().map(|marker| self.encode(&gauge(marker.name, marker.help, (marker.of)(group.times)), key));
        let mut families: Vec<GroupFamily> = pushed.chain(markers).collect();
        families.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Some(families)
    }

    /// The number of a group.
    pub fn number(&self, key: &Key) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Whether the group has accepted a push with this idempotency key's digest.
    pub fn has_seen(&self, key: &Key, push: u128) -> bool {
        self.group(key).is_some_and(|(_, group)| group.history.seen().any(|seen| seen == push))
    }

    /// A group with its number.
    pub fn group(&self, key: &Key) -> Option<(u32, &Group)> {
        let number = self.number(key)?;
        Some((number, self.groups.get(number as usize)?.as_ref()?))
    }

    fn family_of(&self, name: &str, group: u32) -> Option<GroupFamily> {
        let (name, entry) = self.families.get_key_value(name)?;
        let block = entry.blocks.get(group)?.clone();
        Some(GroupFamily { name: name.clone(), kind: entry.kind, help: entry.help.clone(), block })
    }
}

impl Snapshot {
    /// The type of the family of this name.
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        let found = self.families.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok();
        found.map(|at| self.families[at].1.kind).or_else(|| markers::kind_of(name))
    }
}
