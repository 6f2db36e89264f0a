//! All groups, and the index by which a push is checked against them.
//!
//! A check costs what the push itself holds, however many groups there are: families are found by their names, metrics by
//! a hash of name and labels. The markers of a group, when it was pushed to and when that failed, are families like any
//! other; as a key has no empty labels, no two groups can have the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::block::{Block, gauge, shown_labels};
use super::chunks::Chunks;
use super::key::Key;
use super::refusal::Refusal;
use crate::encode::parse::model::{Exposition, Family, Kind};

/// When a group was last pushed to.
pub const PUSH_TIME: &str = "push_time_seconds";
/// When a push to a group last failed.
pub const PUSH_FAILURE_TIME: &str = "push_failure_time_seconds";
const PUSH_TIME_HELP: &str = "When this group was last changed by a push, in Unix time.";
const PUSH_FAILURE_TIME_HELP: &str = "When a push to this group was last refused, in Unix time; 0 if never.";

/// Everything that was pushed.
#[derive(Default)]
pub struct State {
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, foldhash::fast::RandomState>,
    families: BTreeMap<Arc<str>, Held>,
    /// The group that a metric is in, by the hash of its name and labels.
    metrics: HashMap<u64, u32, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    bytes: usize,
    /// Groups that end by themselves.
    expiring: usize,
}

struct Group {
    key: Key,
    families: Vec<Arc<str>>,
    times: Times,
}

/// When a group was pushed to, in seconds of Unix time; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// When it was last changed.
    pub pushed: f64,
    /// When a push was last refused.
    pub failed: f64,
    /// When it ends by itself; never, if not at all.
    pub expires: Option<f64>,
}

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

/// A family of a group, as it comes and goes.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The family's name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Kind,
    /// Its help text.
    pub help: Arc<str>,
    /// What the group has of it.
    pub block: Block,
}

/// What a push, a deletion or an expiry does to one group. It can be done, and undone.
#[derive(Clone, Debug)]
pub struct Change {
    /// The group.
    pub key: Key,
    /// What goes.
    pub removed: Vec<Piece>,
    /// What comes.
    pub added: Vec<Piece>,
    /// The group's times before; nothing if there was no group.
    pub before: Option<Times>,
    /// The group's times after; nothing if there is no group then.
    pub after: Option<Times>,
}

/// Which families of a group a push replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// All: `PUT`.
    Everything,
    /// Those that it names: `POST`.
    Named,
}

impl State {
    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.by_key.len()
    }

    /// How many metrics there are, markers included.
    pub fn metrics(&self) -> usize {
        self.metrics.len()
    }

    /// How many bytes all blocks take together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether any group ends by itself.
    pub fn is_any_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// The keys and times of all groups.
    pub fn all(&self) -> impl Iterator<Item = (&Key, Times)> {
        self.groups.iter().flatten().map(|group| (&group.key, group.times))
    }

    /// The keys and times of all groups with the numbers by which blocks know them.
    pub fn numbered(&self) -> Vec<(u32, Key, Times)> {
        let groups = self.groups.iter().enumerate();
        groups.filter_map(|(number, group)| group.as_ref().map(|g| (number as u32, g.key.clone(), g.times))).collect()
    }

    /// All families as they are now. They stay so, whatever is pushed meanwhile.
    pub fn snapshot(&self) -> Vec<(Arc<str>, Held)> {
        self.families.iter().map(|(name, held)| (name.clone(), held.clone())).collect()
    }

    /// A group's times.
    pub fn times(&self, key: &Key) -> Option<Times> {
        self.group(key).map(|(_, group)| group.times)
    }

    /// The families of a group, in the order of their names, its markers among them.
    pub fn pieces(&self, key: &Key) -> Option<Vec<Piece>> {
        let (number, group) = self.group(key)?;
        let mut names: Vec<&str> = group.families.iter().map(AsRef::as_ref).collect();
        names.extend([PUSH_TIME, PUSH_FAILURE_TIME]);
        names.sort_unstable();
        Some(names.into_iter().filter_map(|name| self.piece(name, number)).collect())
    }

    fn group(&self, key: &Key) -> Option<(u32, &Group)> {
        let number = *self.by_key.get(key)?;
        Some((number, self.groups.get(number as usize)?.as_ref()?))
    }

    fn piece(&self, name: &str, group: u32) -> Option<Piece> {
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
        let change = Change { key: key.clone(), removed, added, before, after: Some(times) };
        self.check(&change, pushed, group.map(|(number, _)| number))?;
        Ok(change)
    }

    /// The change that notes that a push was refused.
    pub fn plan_failure(&self, key: &Key, now: f64) -> Change {
        let before = self.times(key);
        let after = Some(Times { failed: now, ..before.unwrap_or_default() });
        Change { key: key.clone(), removed: Vec::new(), added: Vec::new(), before, after }
    }

    /// The change that deletes a group, if there is one.
    pub fn plan_deletion(&self, key: &Key) -> Option<Change> {
        let (number, group) = self.group(key)?;
        let removed = group.families.iter().filter_map(|name| self.piece(name, number)).collect();
        Some(Change { key: key.clone(), removed, added: Vec::new(), before: Some(group.times), after: None })
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
    }

    /// Undoes what was done last.
    pub fn undo(&mut self, change: &Change) {
        let Change { key, removed, added, before, .. } = change;
        self.replace(key, added, removed, *before);
    }

    fn replace(&mut self, key: &Key, removed: &[Piece], added: &[Piece], times: Option<Times>) {
        let number = self.number_of(key);
        for piece in removed {
            self.remove_block(&piece.name, number);
        }
        for piece in added {
            self.add_block(number, piece);
        }
        let names_removed: HashSet<&str> = removed.iter().map(|piece| piece.name.as_ref()).collect();
        if let Some(Some(group)) = self.groups.get_mut(number as usize) {
            group.families.retain(|name| !names_removed.contains(name.as_ref()));
            group.families.extend(added.iter().map(|piece| piece.name.clone()));
        }
        self.mark(key, number, times);
    }

    /// The number of a group, which is made if it is new.
    fn number_of(&mut self, key: &Key) -> u32 {
        if let Some(number) = self.by_key.get(key) {
            return *number;
        }
        let group = Group { key: key.clone(), families: Vec::new(), times: Times::default() };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.groups.push(None);
                // There are never so many: each takes hundreds of bytes.
                u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.groups[number as usize] = Some(group);
        self.by_key.insert(key.clone(), number);
        number
    }

    /// Sets a group's times and the markers that show them, or ends the group.
    fn mark(&mut self, key: &Key, number: u32, times: Option<Times>) {
        let known = self.groups[number as usize].as_ref().map(|group| group.times);
        let expires = |times: Option<Times>| usize::from(times.is_some_and(|times| times.expires.is_some()));
        self.expiring = self.expiring + expires(times) - expires(known);
        let Some(times) = times else {
            self.remove_block(PUSH_TIME, number);
            self.remove_block(PUSH_FAILURE_TIME, number);
            self.by_key.remove(key);
            self.groups[number as usize] = None;
            self.free.push(number);
            return;
        };
        for (name, help, value, was) in [
            (PUSH_TIME, PUSH_TIME_HELP, times.pushed, known.map(|times| times.pushed)),
            (PUSH_FAILURE_TIME, PUSH_FAILURE_TIME_HELP, times.failed, known.map(|times| times.failed)),
        ] {
            let is_there = self.families.get(name).is_some_and(|held| held.holders.get(number).is_some());
            if !is_there || was != Some(value) {
                let piece = self.encode(&gauge(name, help, value), key);
                self.remove_block(name, number);
                self.add_block(number, &piece);
            }
        }
        if let Some(group) = &mut self.groups[number as usize] {
            group.times = times;
        }
    }

    fn add_block(&mut self, number: u32, piece: &Piece) {
        self.bytes += piece.block.bytes();
        for hash in piece.block.hashes() {
            self.metrics.insert(hash, number);
        }
        let held = self.families.entry(piece.name.clone()).or_insert_with(|| Held {
            kind: piece.kind,
            help: piece.help.clone(),
            holders: Chunks::default(),
        });
        (held.kind, held.help) = (piece.kind, piece.help.clone());
        held.holders.insert(number, piece.block.clone());
    }

    fn remove_block(&mut self, name: &str, number: u32) {
        let Some(held) = self.families.get_mut(name) else { return };
        let Some(block) = held.holders.remove(number) else { return };
        if held.holders.is_empty() {
            self.families.remove(name);
        }
        self.bytes -= block.bytes();
        for hash in block.hashes() {
            if self.metrics.get(&hash) == Some(&number) {
                self.metrics.remove(&hash);
            }
        }
    }

    /// Whether what a push adds can stand beside what stays.
    fn check(&self, change: &Change, pushed: &Exposition<'_>, group: Option<u32>) -> Result<(), Refusal> {
        let stays = |name: &str| self.stays(name, change, group);
        for piece in &change.added {
            if let Some((other, kind)) = stays(&piece.name).filter(|(_, kind)| *kind != piece.kind) {
                return Err(Refusal::Kind { name: piece.name.to_string(), is: piece.kind, elsewhere: kind, other });
            }
            self.check_suffixes(piece, change, &stays)?;
        }
        self.check_metrics(change, pushed, group)
    }

    /// Who has the family besides what the change takes away, and with which type.
    fn stays(&self, name: &str, change: &Change, group: Option<u32>) -> Option<(Key, Kind)> {
        let held = self.families.get(name)?;
        let is_removed = change.removed.iter().any(|piece| *piece.name == *name);
        let mut holders = held.holders.iter().map(|(number, _)| number);
        let holder = holders.find(|number| Some(*number) != group || !is_removed)?;
        let other = self.groups.get(holder as usize)?.as_ref()?;
        Some((other.key.clone(), held.kind))
    }

    /// `x_count` beside a summary `x` could be a part of it.
    fn check_suffixes(
        &self,
        piece: &Piece,
        change: &Change,
        stays: &dyn Fn(&str) -> Option<(Key, Kind)>,
    ) -> Result<(), Refusal> {
        let kind_of = |name: &str| {
            let own =
                change.added.iter().find(|other| *other.name == *name).map(|other| (change.key.clone(), other.kind));
            own.or_else(|| stays(name))
        };
        let refusal = |part: &str, whole: &str, other: Key| {
            Err(Refusal::Suffix { part: part.to_owned(), whole: whole.to_owned(), other })
        };
        for suffix in ["_count", "_sum", "_bucket"] {
            if has_part(piece.kind, suffix) {
                let part = format!("{}{suffix}", piece.name);
                if let Some((other, _)) = kind_of(&part) {
                    return refusal(&part, &piece.name, other);
                }
            }
            if let Some(whole) = piece.name.strip_suffix(suffix)
                && let Some((other, _)) = kind_of(whole).filter(|(_, kind)| has_part(*kind, suffix))
            {
                return refusal(&piece.name, whole, other);
            }
        }
        Ok(())
    }

    fn check_metrics(&self, change: &Change, pushed: &Exposition<'_>, group: Option<u32>) -> Result<(), Refusal> {
        let count = change.added.iter().map(|piece| piece.block.metrics()).sum();
        let mut seen: HashSet<u64, foldhash::fast::RandomState> =
            HashSet::with_capacity_and_hasher(count, Default::default());
        for piece in &change.added {
            for (index, hash) in piece.block.hashes().enumerate() {
                if !seen.insert(hash) {
                    return Err(Refusal::Twice { series: series(pushed, &piece.name, index, &change.key) });
                }
                let Some(other) = self.metrics.get(&hash).filter(|other| Some(**other) != group) else { continue };
                let series = series(pushed, &piece.name, index, &change.key);
                if let Some(Some(other)) = self.groups.get(*other as usize) {
                    return Err(Refusal::Elsewhere { series, other: other.key.clone() });
                }
            }
        }
        Ok(())
    }
}

/// Whether a family of this type has samples with this suffix.
fn has_part(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Summary => suffix != "_bucket",
        Kind::Histogram | Kind::GaugeHistogram => true,
        _ => false,
    }
}

/// Whether a family tells of groups themselves.
pub fn is_marker(name: &str) -> bool {
    name == PUSH_TIME || name == PUSH_FAILURE_TIME
}

/// What holds of a family by itself.
fn check_family(family: &Family<'_>, key: &Key) -> Result<(), Refusal> {
    if super::api::FAMILIES.iter().any(|own| own.name == family.name) {
        return Err(Refusal::Own(family.name.to_string()));
    }
    let series = |index: usize| described(family, index, key);
    for (index, metric) in family.metrics.iter().enumerate() {
        if metric.timestamp.is_some() {
            return Err(Refusal::Timestamp { series: series(index) });
        }
        let reserved = match family.kind {
            Kind::Summary => "quantile",
            Kind::Histogram | Kind::GaugeHistogram => "le",
            _ => "",
        };
        for (name, _) in &metric.labels {
            if name.starts_with("__") || (!reserved.is_empty() && name == reserved) {
                return Err(Refusal::Label { series: series(index), label: name.to_string() });
            }
        }
    }
    Ok(())
}

/// A metric as one would write it, for errors.
fn series(pushed: &Exposition<'_>, name: &str, index: usize, key: &Key) -> String {
    let family = pushed.families.iter().find(|family| family.name == name);
    family.map(|family| described(family, index, key)).unwrap_or_default()
}

fn described(family: &Family<'_>, index: usize, key: &Key) -> String {
    let Some(metric) = family.metrics.get(index) else { return family.name.to_string() };
    let labels = shown_labels(metric, key);
    let shown: Vec<String> =
        labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", family.name, shown.join(","))
}
