//! All groups, and the index by which a push is checked against them.
//!
//! A check costs what the push itself holds, however many groups there are: families are found by their names, metrics by
//! a hash of name and labels. The markers of a group, when it was pushed to and when that failed, are made of its times when
//! they are asked for; as a key has no empty labels, no two groups can have the same.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::block::{Block, gauge};
use super::change::{Change, Piece, Replace, Times};
use super::check::check_family;
use super::chunks::Chunks;
use super::key::Key;
use super::refusal::Refusal;
use super::room::{self, Table};
use super::sweep::Expired;
use crate::encode::parse::model::{Exposition, Family, Kind};

/// When a group was last pushed to.
pub const PUSH_TIME: &str = "push_time_seconds";
/// When a push to a group last failed.
pub const PUSH_FAILURE_TIME: &str = "push_failure_time_seconds";

/// A gauge that every group has, made of its times when it is asked for.
pub struct Marker {
    /// Its name.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// Its value.
    pub of: fn(Times) -> f64,
}

/// The markers, in the order of their names.
pub const MARKERS: [Marker; 2] = [
    Marker {
        name: PUSH_FAILURE_TIME,
        help: "When a push to this group was last refused, in Unix time; 0 if never.",
        of: |times| times.failed,
    },
    Marker {
        name: PUSH_TIME,
        help: "When this group was last changed by a push, in Unix time.",
        of: |times| times.pushed,
    },
];

/// Everything at one moment.
#[derive(Clone)]
pub struct Snapshot {
    /// The families, in the order of their names, without the markers.
    pub families: Vec<(Arc<str>, Held)>,
    /// The groups with the numbers by which blocks know them.
    pub groups: Vec<(u32, Key, Times)>,
}

/// Everything that was pushed.
#[derive(Default)]
pub struct State {
    pub(super) groups: Vec<Option<Group>>,
    pub(super) free: Vec<u32>,
    pub(super) by_key: Table<Key, u32>,
    pub(super) families: BTreeMap<Arc<str>, Held>,
    /// The group that a metric is in, by the hash of its name and labels.
    pub(super) metrics: Table<u64, u32>,
    pub(super) hasher: foldhash::fast::RandomState,
    /// What families and groups take of memory by themselves.
    pub(super) bytes: usize,
    /// Groups that end by themselves.
    pub(super) expiring: usize,
    /// When groups of a job last ended by themselves.
    pub(super) expired: Expired,
    /// What that takes of memory.
    pub(super) expired_bytes: usize,
}

/// A group: what it is called, and what it has.
pub struct Group {
    /// Its key.
    pub key: Key,
    /// The names of its families, in order, without its markers.
    families: Vec<Arc<str>>,
    /// When it was pushed to.
    pub times: Times,
    /// What its last pushes are known by, the latest last.
    pub(super) seen: VecDeque<u128>,
}

/// How many pushes a group remembers, to know them if they come again.
const MOST_SEEN: usize = 64;

/// A family with those who have it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its type, which is everybody's.
    pub kind: Kind,
    /// The help text that came last.
    pub help: Arc<str>,
    /// Its blocks.
    pub holders: Chunks,
}

impl Held {
    /// What it takes of memory under its name, with all blocks.
    pub fn bytes(&self, name: &str) -> usize {
        room::shared(name.len()) + room::shared(self.help.len()) + self.holders.bytes() + A_FAMILY
    }

    /// Its type and help text, without those who have it.
    pub fn clone_head(&self) -> Held {
        Held { kind: self.kind, help: self.help.clone(), holders: Chunks::default() }
    }
}

/// What a family takes beside its texts and blocks.
const A_FAMILY: usize = room::in_tree::<Arc<str>, Held>();

impl Group {
    /// What it takes of memory by itself, without its place in the lists of groups.
    pub fn bytes(&self) -> usize {
        let (name, push) = (size_of::<Arc<str>>(), size_of::<u128>());
        room::shared(self.key.length()) + self.families.capacity() * name + self.seen.capacity() * push
    }
}

impl State {
    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.by_key.len()
    }

    /// How many metrics there are, markers included.
    pub fn metrics(&self) -> usize {
        self.metrics.len() + MARKERS.len() * self.groups()
    }

    /// How many bytes of memory everything takes together.
    pub fn bytes(&self) -> usize {
        let lists = self.groups.capacity() * size_of::<Option<Group>>() + self.free.capacity() * size_of::<u32>();
        self.bytes + self.expired_bytes + lists + self.by_key.bytes() + self.metrics.bytes()
    }

    /// Whether any group ends by itself.
    pub fn is_any_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// When groups of a job last ended by themselves.
    pub fn expired(&self) -> &Expired {
        &self.expired
    }

    /// The keys and times of all groups.
    pub fn all(&self) -> impl Iterator<Item = (&Key, Times)> {
        self.groups.iter().flatten().map(|group| (&group.key, group.times))
    }

    /// All groups with the numbers by which blocks know them.
    pub fn numbered_groups(&self) -> impl Iterator<Item = (u32, &Group)> {
        let groups = self.groups.iter().enumerate();
        groups.filter_map(|(number, group)| group.as_ref().map(|group| (number as u32, group)))
    }

    /// The type of the family of this name.
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        self.families.get(name).map(|held| held.kind).or_else(|| marker_kind(name))
    }

    /// Everything as it is now. It stays so, whatever is pushed meanwhile.
    pub fn snapshot(&self) -> Snapshot {
        let families = self.families.iter().map(|(name, held)| (name.clone(), held.clone()));
        let groups = self.numbered_groups().map(|(number, group)| (number, group.key.clone(), group.times));
        Snapshot { families: families.collect(), groups: groups.collect() }
    }

    /// A group's times.
    pub fn times(&self, key: &Key) -> Option<Times> {
        self.group(key).map(|(_, group)| group.times)
    }

    /// The families of a group, in the order of their names, its markers among them.
    pub fn pieces(&self, key: &Key) -> Option<Vec<Piece>> {
        let (number, group) = self.group(key)?;
        let own = group.families.iter().filter_map(|name| self.piece(name, number));
        let markers =
            MARKERS.iter().map(|marker| self.encode(&gauge(marker.name, marker.help, (marker.of)(group.times)), key));
        let mut pieces: Vec<Piece> = own.chain(markers).collect();
        pieces.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Some(pieces)
    }

    /// The number of a group.
    pub fn number(&self, key: &Key) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    fn group(&self, key: &Key) -> Option<(u32, &Group)> {
        let number = self.number(key)?;
        Some((number, self.groups.get(number as usize)?.as_ref()?))
    }

    pub(super) fn piece(&self, name: &str, group: u32) -> Option<Piece> {
        let (name, held) = self.families.get_key_value(name)?;
        let block = held.holders.get(group)?.clone();
        Some(Piece { name: name.clone(), kind: held.kind, help: held.help.clone(), block })
    }

    /// The change that a push makes; nothing is changed yet.
    ///
    /// # Errors
    /// Why the push cannot stand beside what there is.
    pub fn plan(&self, key: &Key, pushed: &Exposition<'_>, replace: Replace, times: Times) -> Result<Change, Refusal> {
        let mut added = Vec::with_capacity(pushed.families.len());
        for family in pushed.families.iter().filter(|family| !is_marker(&family.name)) {
            check_family(family, key)?;
            added.push(self.encode(family, key));
        }
        added.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let group = self.group(key);
        let removed = match (group, replace) {
            (None, _) => Vec::new(),
            (Some((number, group)), Replace::Everything) => {
                group.families.iter().filter_map(|name| self.piece(name, number)).collect()
            }
            (Some((number, _)), Replace::Named) => {
                added.iter().filter_map(|piece| self.piece(&piece.name, number)).collect()
            }
        };
        let before = group.map(|(_, group)| group.times);
        let change = Change { key: key.clone(), removed, added, before, after: Some(times), seen: None };
        self.check(&change, pushed, group.map(|(number, _)| number))?;
        Ok(change)
    }

    /// The change that notes that a push was refused.
    pub fn plan_failure(&self, key: &Key, now: f64) -> Change {
        let before = self.times(key);
        let after = Some(Times { failed: now, ..before.unwrap_or_default() });
        Change { key: key.clone(), removed: Vec::new(), added: Vec::new(), before, after, seen: None }
    }

    /// A family as a piece of the group.
    pub fn encode(&self, family: &Family<'_>, key: &Key) -> Piece {
        let mut hash = |name: &str, labels: &[(&str, &str)]| self.hash(name, labels);
        let block = Block::new(family, key, &mut hash);
        // Names and help texts that are there already are shared.
        let known = self.families.get_key_value(family.name.as_ref());
        let name = known.map_or_else(|| family.name.as_ref().into(), |(name, _)| name.clone());
        let help = known.filter(|(_, held)| *held.help == *family.help).map(|(_, held)| held.help.clone());
        // Info and state sets are gauges in the formats that are written.
        let kind = if matches!(family.kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { family.kind };
        Piece { name, kind, help: help.unwrap_or_else(|| family.help.as_ref().into()), block }
    }

    /// A label that is empty is none.
    fn hash(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        labels.fold(self.hasher.hash_one(name), |hash, label| self.hasher.hash_one((hash, label)))
    }

    /// Does what was planned; nothing else was done in between.
    pub fn apply(&mut self, change: &Change) {
        let Change { key, removed, added, after, .. } = change;
        self.replace(key, removed, added, *after);
        change.seen.into_iter().for_each(|push| self.see(key, push));
    }

    /// Remembers a push of a group.
    pub(super) fn see(&mut self, key: &Key, push: u128) {
        let number = self.number(key).unwrap_or(u32::MAX);
        if let Some(Some(group)) = self.groups.get_mut(number as usize) {
            self.bytes -= group.bytes();
            if group.seen.len() >= MOST_SEEN {
                group.seen.pop_front();
            }
            group.seen.push_back(push);
            self.bytes += group.bytes();
        }
    }

    /// How many bytes more a group takes to remember a push.
    pub fn more_seen(&self, change: &Change) -> usize {
        let known = self.group(&change.key).map_or(0, |(_, group)| group.seen.len());
        if change.seen.is_some() && known < MOST_SEEN { 2 * size_of::<u128>() } else { 0 }
    }

    /// Whether the group remembers this push.
    pub fn has_seen(&self, key: &Key, push: u128) -> bool {
        self.group(key).is_some_and(|(_, group)| group.seen.contains(&push))
    }

    /// Bytes and metrics of a group, without its markers; the bytes as if it were the only one.
    pub fn size_of(&self, key: &Key) -> (usize, usize) {
        let Some((number, group)) = self.group(key) else { return (0, 0) };
        let held = group.families.iter().filter_map(|name| Some((name, self.families.get(name)?)));
        held.fold((0, 0), |(bytes, metrics), (name, held)| match held.holders.get(number) {
            Some(block) => (bytes + bytes_of(name, &held.help, block), metrics + block.metrics()),
            None => (bytes, metrics),
        })
    }

    /// How many bytes more a piece takes in the state as it is now: names and help texts that are there are shared.
    pub fn more_of(&self, piece: &Piece) -> usize {
        match self.families.get(&piece.name) {
            Some(held) => of_block(&piece.block) + piece.help.len().saturating_sub(held.help.len()),
            None => bytes_of(&piece.name, &piece.help, &piece.block),
        }
    }

    /// Undoes what was done last.
    pub fn undo(&mut self, change: &Change) {
        let Change { key, removed, added, before, .. } = change;
        self.replace(key, added, removed, *before);
        if let Some(Some(group)) = self.number(key).and_then(|number| self.groups.get_mut(number as usize)) {
            group.seen.retain(|push| Some(*push) != change.seen);
        }
    }

    fn replace(&mut self, key: &Key, removed: &[Piece], added: &[Piece], times: Option<Times>) {
        let number = self.number_of(key);
        let comes_again = |piece: &&Piece| added.binary_search_by(|other| other.name.as_ref().cmp(&piece.name)).is_ok();
        let mut names_change = removed.len() != added.len();
        for piece in removed.iter().filter(|piece| !comes_again(piece)) {
            self.remove_block(&piece.name, number);
            names_change = true;
        }
        for piece in added {
            names_change |= !self.put_block(number, piece);
        }
        if names_change && let Some(Some(group)) = self.groups.get_mut(number as usize) {
            self.bytes -= group.bytes();
            let is_removed = |name: &Arc<str>| removed.binary_search_by(|piece| piece.name.cmp(name)).is_ok();
            group.families.retain(|name| !is_removed(name));
            group.families.extend(added.iter().map(|piece| piece.name.clone()));
            group.families.sort_unstable();
            room::shrink(&mut group.families);
            self.bytes += group.bytes();
        }
        self.mark(key, number, times);
    }

    /// The number of a group, which is made if it is new.
    fn number_of(&mut self, key: &Key) -> u32 {
        if let Some(number) = self.by_key.get(key) {
            return *number;
        }
        let group = Group { key: key.clone(), families: Vec::new(), times: Times::default(), seen: VecDeque::new() };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.groups.push(None);
                // There are never so many: each takes hundreds of bytes.
                u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.bytes += group.bytes();
        self.groups[number as usize] = Some(group);
        self.by_key.insert(key.clone(), number);
        number
    }

    /// Sets a group's times, or ends the group.
    fn mark(&mut self, key: &Key, number: u32, times: Option<Times>) {
        let known = self.groups[number as usize].as_ref().map(|group| group.times);
        let expires = |times: Option<Times>| usize::from(times.is_some_and(|times| times.expires.is_some()));
        self.expiring = self.expiring + expires(times) - expires(known);
        let Some(times) = times else {
            self.by_key.remove(key);
            self.bytes -= self.groups[number as usize].take().map_or(0, |group| group.bytes());
            self.free.push(number);
            self.forget_numbers();
            return;
        };
        if let Some(group) = &mut self.groups[number as usize] {
            group.times = times;
        }
    }

    /// Where there is no group, no number is taken.
    pub(super) fn forget_numbers(&mut self) {
        if self.by_key.is_empty() {
            (self.groups, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Puts a block in the place of the group's block of that name, and says whether it had one.
    fn put_block(&mut self, number: u32, piece: &Piece) -> bool {
        if !self.families.contains_key(&piece.name) {
            let held = Held { kind: piece.kind, help: piece.help.clone(), holders: Chunks::default() };
            self.bytes += held.bytes(&piece.name);
            self.families.insert(piece.name.clone(), held);
        }
        let Some(held) = self.families.get_mut(&piece.name) else { return false };
        self.bytes -= held.bytes(&piece.name);
        held.kind = piece.kind;
        if !Arc::ptr_eq(&held.help, &piece.help) {
            held.help = piece.help.clone();
        }
        let before = held.holders.insert(number, piece.block.clone());
        self.bytes += held.bytes(&piece.name);
        if let Some(before) = &before {
            if before.has_metrics_of(&piece.block) {
                return true;
            }
            self.forget_block(number, before);
        }
        for hash in piece.block.hashes() {
            self.metrics.insert(hash, number);
        }
        before.is_some()
    }

    fn forget_block(&mut self, number: u32, block: &Block) {
        for hash in block.hashes() {
            if self.metrics.get(&hash) == Some(&number) {
                self.metrics.remove(&hash);
            }
        }
    }

    fn remove_block(&mut self, name: &str, number: u32) {
        let Some(held) = self.families.get_mut(name) else { return };
        let bytes = held.bytes(name);
        let Some(block) = held.holders.remove(number) else { return };
        self.bytes -= bytes;
        if held.holders.is_empty() {
            self.families.remove(name);
        } else {
            self.bytes += held.bytes(name);
        }
        self.forget_block(number, &block);
    }
}

/// What a family of a group takes of memory, if no other group has it.
pub fn bytes_of(name: &str, help: &str, block: &Block) -> usize {
    /// The chunk that it is in, with the list of chunks, and its name in the list of the group.
    const ALONE: usize = 128;
    room::shared(name.len()) + room::shared(help.len()) + A_FAMILY + ALONE + of_block(block)
}

/// What a group takes without its families.
pub fn bytes_of_group(key: &Key) -> usize {
    /// Of lists and tables of groups, a third is free as a rule.
    const A_PLACE: usize = (size_of::<Option<Group>>() + size_of::<(Key, u32)>()) * 3 / 2;
    room::shared(key.length()) + A_PLACE
}

/// A block with its entries in the index, of which a third is free as a rule.
fn of_block(block: &Block) -> usize {
    const IN_INDEX: usize = (size_of::<(u64, u32)>() + 1) * 3 / 2;
    block.bytes() + block.metrics() * IN_INDEX
}

impl Snapshot {
    /// The type of the family of this name.
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        let held = self.families.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok();
        held.map(|at| self.families[at].1.kind).or_else(|| marker_kind(name))
    }
}

fn marker_kind(name: &str) -> Option<Kind> {
    is_marker(name).then_some(Kind::Gauge)
}

/// Whether a family tells of groups themselves.
pub fn is_marker(name: &str) -> bool {
    MARKERS.iter().any(|marker| marker.name == name)
}
