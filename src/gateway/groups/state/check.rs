//! The checks of a planned change against all groups.
//!
//! A check costs what the push itself holds. A family that the group already has with the same name, type and metrics was
//! checked when it was first pushed.

use std::collections::HashSet;

use super::State;
use crate::encode::parse::model::{Exposition, Kind};
use crate::gateway::groups::change::{Change, GroupFamily};
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::family::series;
use crate::gateway::groups::names::{Clash, clash, twin};
use crate::gateway::key::Key;

impl State {
    /// Checks the added families against those that remain.
    ///
    /// # Errors
    /// The first conflict, with the other group.
    pub(super) fn check(&self, change: &Change, pushed: &Exposition<'_>, group: Option<u32>) -> Result<(), Conflict> {
        let remaining = |name: &str| self.remaining(name, change, group);
        for family in &change.added {
            if self.families.get(&family.name).is_some_and(|entry| entry.kind == family.kind) {
                continue;
            }
            if let Some((other, kind)) = remaining(&family.name) {
                return Err(Conflict::Kind { name: family.name.to_string(), is: family.kind, elsewhere: kind, other });
            }
            self.check_suffixes(family, change, &remaining)?;
            if let Some(twin) = twin(&family.name) {
                let same_push = change.added(&twin).map(|_| change.key.clone());
                if let Some(other) = same_push.or_else(|| remaining(&twin).map(|(other, _)| other)) {
                    return Err(Conflict::Twin { name: family.name.to_string(), twin, other });
                }
            }
        }
        self.check_metrics(change, pushed, group)
    }

    /// A group that has the family after the change's removals, and the family's type.
    fn remaining(&self, name: &str, change: &Change, group: Option<u32>) -> Option<(Key, Kind)> {
        let entry = self.families.get(name)?;
        let is_removed = change.removed(name).is_some();
        let mut numbers = entry.blocks.iter().map(|(number, _)| number);
        let number = numbers.find(|number| Some(*number) != group || !is_removed)?;
        let other = self.groups.get(number as usize)?.as_ref()?;
        Some((other.key.clone(), entry.kind))
    }

    /// `x_count` is also the name of a sample of a summary `x`.
    fn check_suffixes(
        &self,
        family: &GroupFamily,
        change: &Change,
        remaining: &dyn Fn(&str) -> Option<(Key, Kind)>,
    ) -> Result<(), Conflict> {
        let kind_of = |name: &str| {
            let same_push = change.added(name).map(|other| (change.key.clone(), other.kind));
            same_push.or_else(|| remaining(name))
        };
        match clash(&family.name, family.kind, &kind_of) {
            Some(Clash { part, whole, other }) => Err(Conflict::Suffix { part, whole, other }),
            None => Ok(()),
        }
    }

    fn check_metrics(&self, change: &Change, pushed: &Exposition<'_>, group: Option<u32>) -> Result<(), Conflict> {
        let is_known = |family: &&GroupFamily| {
            change.removed(&family.name).is_some_and(|before| before.block.has_metrics_of(&family.block))
        };
        let new: Vec<&GroupFamily> = change.added.iter().filter(|family| !is_known(family)).collect();
        let count = new.iter().map(|family| family.block.metrics()).sum();
        let mut seen: HashSet<u64, foldhash::fast::RandomState> =
            HashSet::with_capacity_and_hasher(count, Default::default());
        for family in new {
            for (index, hash) in family.block.hashes().enumerate() {
                if !seen.insert(hash) {
                    return Err(Conflict::Twice { series: series(pushed, &family.name, index, &change.key) });
                }
                let Some(other) = self.metrics.get(&hash).filter(|other| Some(**other) != group) else { continue };
                let series = series(pushed, &family.name, index, &change.key);
                if let Some(Some(other)) = self.groups.get(*other as usize) {
                    return Err(Conflict::Elsewhere { series, other: other.key.clone() });
                }
            }
        }
        Ok(())
    }
}
