//! Planning changes: nothing is modified.

use std::hash::BuildHasher;

use super::State;
use crate::encode::parse::model::{Exposition, Family, Kind};
use crate::gateway::groups::block::Block;
use crate::gateway::groups::change::{Change, GroupFamily, Replace};
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::family::check_family;
use crate::gateway::groups::markers::is_marker;
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;

impl State {
    /// The change that a push makes.
    ///
    /// # Errors
    /// The conflict between the push and the groups.
    pub fn plan(&self, key: &Key, pushed: &Exposition<'_>, replace: Replace, times: Times) -> Result<Change, Conflict> {
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
                group.families.iter().filter_map(|name| self.family_of(name, number)).collect()
            }
            (Some((number, _)), Replace::Named) => {
                added.iter().filter_map(|family| self.family_of(&family.name, number)).collect()
            }
        };
        let before = group.map(|(_, group)| group.times);
        let change = Change { key: key.clone(), removed, added, before, after: Some(times), seen: None };
        self.check(&change, pushed, group.map(|(number, _)| number))?;
        Ok(change)
    }

    /// The change that records a refused push.
    pub fn plan_failure(&self, key: &Key, now: f64) -> Change {
        let before = self.times(key);
        let after = Some(Times { failed: now, ..before.unwrap_or_default() });
        Change { key: key.clone(), removed: Vec::new(), added: Vec::new(), before, after, seen: None }
    }

    /// Encodes a family of a group. Names and help texts that the state already has are shared.
    pub fn encode(&self, family: &Family<'_>, key: &Key) -> GroupFamily {
        let mut hash = |name: &str, labels: &[(&str, &str)]| self.hash(name, labels);
        let block = Block::new(family, key, &mut hash);
        let known = self.families.get_key_value(family.name.as_ref());
        let name = known.map_or_else(|| family.name.as_ref().into(), |(name, _)| name.clone());
        let help = known.filter(|(_, entry)| *entry.help == *family.help).map(|(_, entry)| entry.help.clone());
        // The written formats have no info and no state set: both are gauges there.
        let kind = if matches!(family.kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { family.kind };
        GroupFamily { name, kind, help: help.unwrap_or_else(|| family.help.as_ref().into()), block }
    }

    /// Empty labels do not count.
    fn hash(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        labels.fold(self.hasher.hash_one(name), |hash, label| self.hasher.hash_one((hash, label)))
    }
}
