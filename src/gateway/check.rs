//! Whether a push can stand beside what there is.
//!
//! A check costs what the push itself holds. What a group has already, by the same name and type and with the same metrics,
//! was checked when it came, and is not looked at again.

use std::collections::HashSet;

use super::block::shown_labels;
use super::change::{Change, Piece};
use super::key::Key;
use super::names::{Clash, clash, is_taken};
use super::refusal::Refusal;
use super::state::State;
use crate::encode::parse::model::{Exposition, Family, Kind};

impl State {
    /// Whether what a push adds can stand beside what stays.
    pub(super) fn check(&self, change: &Change, pushed: &Exposition<'_>, group: Option<u32>) -> Result<(), Refusal> {
        let stays = |name: &str| self.stays(name, change, group);
        for piece in &change.added {
            if self.families.get(&piece.name).is_some_and(|held| held.kind == piece.kind) {
                continue;
            }
            if let Some((other, kind)) = stays(&piece.name) {
                return Err(Refusal::Kind { name: piece.name.to_string(), is: piece.kind, elsewhere: kind, other });
            }
            self.check_suffixes(piece, change, &stays)?;
        }
        self.check_metrics(change, pushed, group)
    }

    /// Who has the family besides what the change takes away, and with which type.
    fn stays(&self, name: &str, change: &Change, group: Option<u32>) -> Option<(Key, Kind)> {
        let held = self.families.get(name)?;
        let is_removed = change.removed(name).is_some();
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
            let own = change.added(name).map(|other| (change.key.clone(), other.kind));
            own.or_else(|| stays(name))
        };
        match clash(&piece.name, piece.kind, &kind_of) {
            Some(Clash { part, whole, other }) => Err(Refusal::Suffix { part, whole, other }),
            None => Ok(()),
        }
    }

    fn check_metrics(&self, change: &Change, pushed: &Exposition<'_>, group: Option<u32>) -> Result<(), Refusal> {
        let was_there = |piece: &&Piece| {
            change.removed(&piece.name).is_some_and(|before| before.block.has_metrics_of(&piece.block))
        };
        let new: Vec<&Piece> = change.added.iter().filter(|piece| !was_there(piece)).collect();
        let count = new.iter().map(|piece| piece.block.metrics()).sum();
        let mut seen: HashSet<u64, foldhash::fast::RandomState> =
            HashSet::with_capacity_and_hasher(count, Default::default());
        for piece in new {
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

/// What holds of a family by itself.
pub(super) fn check_family(family: &Family<'_>, key: &Key) -> Result<(), Refusal> {
    if is_taken(&family.name, family.kind, &super::own::kind_of) {
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
