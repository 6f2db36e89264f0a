//! Families that other programs name: parsed, merged from several sources, and kept apart from Taffrail's own.

mod blocks;
mod claims;
mod families;
mod merge;
mod problems;

use std::collections::HashSet;
use std::sync::Arc;

pub(super) use self::claims::Claims;
pub(super) use self::families::{Family, Labels, put_in_order, read, read_without_times};
use self::merge::{LeftOut, Shown, merge};
pub(super) use self::problems::Problems;
use crate::encode::FamilyWriter;
use crate::encode::family::{Kind, Value};
use crate::encode::names::is_plain_metric_name;

/// The name of a source, and its families.
pub(super) type Source = (Arc<str>, Arc<[Family]>);

/// The families of some sources, which are merged again when a source has others.
pub(super) struct Sources {
    sources: Vec<Source>,
    merged: Arc<Merged>,
    claims: Arc<Claims>,
}

/// The merged families of some sources.
#[derive(Debug, Default)]
struct Merged {
    shown: Vec<Shown>,
    left_out: LeftOut,
}

impl Sources {
    /// No sources yet. Logs collisions with Taffrail's own families as those of `collector`, whose sources are called
    /// `kind`, such as "files".
    pub(super) fn new(collector: &'static str, kind: &'static str) -> Self {
        Sources { sources: Vec::new(), merged: Arc::default(), claims: Arc::new(Claims::new(collector, kind)) }
    }

    /// Merges the families of these sources, unless they are those of the last call. The first source of a family
    /// determines its type, and the first source of a series its value.
    pub(super) fn update(&mut self, sources: Vec<Source>) -> Retained {
        let mut pairs = sources.iter().zip(&self.sources);
        let is_same = pairs.all(|((one, families), (other, before))| one == other && Arc::ptr_eq(families, before));
        if sources.len() != self.sources.len() || !is_same {
            let (shown, left_out) = merge(sources.iter().map(|(name, families)| (name.clone(), &**families)));
            self.merged = Arc::new(Merged { shown, left_out });
            self.sources = sources;
            if !self.claims.is_empty() {
                let there: HashSet<&str> = self.merged.shown.iter().map(|shown| shown.family.name.as_str()).collect();
                self.claims.keep(|family| there.contains(family));
            }
        }
        Retained { merged: self.merged.clone(), claims: self.claims.clone() }
    }
}

/// Families of a reading.
#[derive(Clone, Default)]
pub(super) struct Retained {
    merged: Arc<Merged>,
    claims: Arc<Claims>,
}

/// Which families have the name of one of Taffrail's own.
pub(super) struct Taken(Vec<bool>);

impl Taken {
    /// Whether a family has.
    pub(super) fn any(&self) -> bool {
        self.0.contains(&true)
    }
}

impl Retained {
    /// The families.
    #[cfg(test)]
    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.merged.shown.iter().map(|shown| &shown.family)
    }

    /// What the merge omitted: the source, and why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (Arc<str>, String)> {
        let of = |(source, omitted): (&'_ Arc<str>, &'_ Problems)| {
            omitted.messages().map(|message| (source.clone(), message)).collect::<Vec<_>>()
        };
        self.merged.left_out.iter().flat_map(of)
    }

    /// The families that have the name of one of Taffrail's own, which are not written. Call this before the families
    /// of the collector itself are written, whose names must be reserved.
    pub(super) fn taken(&self, out: &FamilyWriter<'_>) -> Taken {
        let has_claims = !self.claims.is_empty();
        let shown = &self.merged.shown;
        let mut is_ours: Vec<bool> = shown.iter().map(|Shown { family, .. }| is_taken(family, out)).collect();
        if is_ours.contains(&true) {
            let ours = shown.iter().zip(&is_ours).filter(|(_, is_ours)| **is_ours);
            self.claims.note(ours.map(|(Shown { family, file, .. }, _)| (family.name.as_str(), file)));
        }
        if has_claims {
            for (Shown { family, .. }, is_ours) in shown.iter().zip(&mut is_ours) {
                *is_ours |= self.claims.has(&family.name);
            }
        }
        Taken(is_ours)
    }

    /// Writes the families except those that are taken.
    pub(super) fn write(&self, taken: &Taken, out: &mut FamilyWriter<'_>) {
        for (Shown { family, .. }, _) in self.merged.shown.iter().zip(&taken.0).filter(|(_, is_ours)| !**is_ours) {
            write(family, out);
        }
    }
}

fn is_taken(family: &Family, out: &FamilyWriter<'_>) -> bool {
    if !is_plain_metric_name(&family.name) {
        return false;
    }
    match family.told_as() {
        Some(kind) => out.is_taken(&family.name, kind),
        None => family.suffixes().iter().any(|suffix| out.is_taken(&format!("{}{suffix}", family.name), Kind::Gauge)),
    }
}

fn write(family: &Family, out: &mut FamilyWriter<'_>) {
    if let Some(kind) = family.told_as() {
        let mut samples = out.free_family(&family.name, kind, &family.help);
        for metric in family.metrics.iter() {
            metric.samples(&mut |suffix, labels, value| {
                samples.part_sample(suffix, labels, Value::Float(value), None);
            });
        }
        return;
    }
    for wanted in family.suffixes() {
        let mut samples = out.free_family(&format!("{}{wanted}", family.name), Kind::Gauge, &family.help);
        for metric in family.metrics.iter() {
            metric.samples(&mut |suffix, labels, value| {
                if suffix == *wanted {
                    samples.sample(labels, Value::Float(value), None);
                }
            });
        }
    }
}
