//! Families that other programs name: parsed, merged from several sources, shared with other collectors, and kept apart
//! from Taffrail's own.

mod blocks;
mod claims;
mod families;
mod merge;
mod problems;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub(super) use self::claims::{Claims, Collision};
pub(super) use self::families::{Family, Labels, put_in_order, read, read_without_times};
use self::merge::{LeftOut, Shown, merge};
pub(super) use self::problems::Problems;
use crate::encode::FamilyWriter;
use crate::encode::family::{ForeignFamilies, Kind, OpenFamily, Value};
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
    shown: Arc<[Shown]>,
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
            self.merged = Arc::new(Merged { shown: shown.into(), left_out });
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
    fn new<F: Named>(families: &[F], claims: &Claims, out: &FamilyWriter<'_>) -> Taken {
        let has_claims = !claims.is_empty();
        let mut is_ours: Vec<bool> = families.iter().map(|family| family.is_taken(out)).collect();
        if is_ours.contains(&true) {
            let ours = families.iter().zip(&is_ours).filter(|(_, is_ours)| **is_ours);
            claims.note(ours.map(|(family, _)| (family.name(), family.source())));
        }
        if has_claims {
            for (family, is_ours) in families.iter().zip(&mut is_ours) {
                *is_ours |= claims.has(family.name());
            }
        }
        Taken(is_ours)
    }

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

    /// The families that have the name of one of Taffrail's own written or reserved so far, which are not exposed.
    pub(super) fn taken(&self, out: &FamilyWriter<'_>) -> Taken {
        Taken::new(&self.merged.shown, &self.claims, out)
    }

    /// Whether families were left out of the last page, as another collector has their names.
    pub(super) fn has_left_out(&self) -> bool {
        self.claims.has_others()
    }

    /// The families, for a page on which all of Taffrail's own are written or reserved.
    pub(super) fn shared(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        shared(&self.merged.shown, &self.claims, out)
    }
}

/// Families that share names with those of other collectors.
pub(super) fn shared<F: Named>(
    families: &Arc<[F]>,
    claims: &Arc<Claims>,
    out: &FamilyWriter<'_>,
) -> Option<Arc<dyn ForeignFamilies>> {
    if families.is_empty() {
        claims.set_others(Vec::new());
        return None;
    }
    let is_done = families.iter().map(|_| AtomicBool::new(false)).collect();
    let taken = Taken::new(families, claims, out);
    let (families, claims, is_written) = (families.clone(), claims.clone(), AtomicBool::new(false));
    Some(Arc::new(Shared { families, taken, is_done, is_written, claims }))
}

/// A family that was named elsewhere.
pub(super) trait Named: Send + Sync + 'static {
    /// Its name, which is unique in its collector. Families are in the order of plain names, and then of others.
    fn name(&self) -> &str;

    /// Its exposed type; `None` if each part becomes a gauge.
    fn kind(&self) -> Option<Kind>;

    /// What has it, for the log.
    fn source(&self) -> Arc<str>;

    /// Whether it would collide with what was written or reserved.
    fn is_taken(&self, out: &FamilyWriter<'_>) -> bool {
        is_plain_metric_name(self.name()) && self.kind().is_some_and(|kind| out.is_taken(self.name(), kind))
    }

    /// Adds its samples to a family.
    fn put(&self, out: &mut dyn OpenFamily);

    /// Writes it as a family of its own.
    fn write(&self, out: &mut FamilyWriter<'_>);
}

/// Families of one page.
struct Shared<F> {
    families: Arc<[F]>,
    taken: Taken,
    /// Whether each has joined another, or was written.
    is_done: Vec<AtomicBool>,
    is_written: AtomicBool,
    claims: Arc<Claims>,
}

impl<F: Named> Shared<F> {
    /// The index of the family with this name, unless Taffrail's own has the name.
    fn find(&self, name: &str) -> Option<usize> {
        let key = (!is_plain_metric_name(name), name);
        let found = self.families.binary_search_by(|family| {
            let other = family.name();
            (!is_plain_metric_name(other), other).cmp(&key)
        });
        found.ok().filter(|index| !self.taken.0[*index])
    }
}

impl<F: Named> ForeignFamilies for Shared<F> {
    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn join(&self, name: &str, kind: Kind, out: &mut dyn OpenFamily) {
        let Some(index) = self.find(name) else { return };
        let goes_with = self.families[index].kind().is_some_and(|own| own.goes_with(kind));
        if goes_with && !self.is_done[index].swap(true, Relaxed) {
            self.families[index].put(out);
        }
    }

    fn write_others(&self, out: &mut FamilyWriter<'_>) {
        if self.is_written.swap(true, Relaxed) {
            return;
        }
        let is_left = |(index, _): &(usize, &F)| !self.taken.0[*index] && !self.is_done[*index].swap(true, Relaxed);
        let left = self.families.iter().enumerate().filter(is_left).map(|(_, family)| family);
        // Before any is written, so that each collides with others only.
        let (collide, free): (Vec<&F>, Vec<&F>) = left.partition(|family| family.is_taken(out));
        let of = |family: &&F| {
            let keeper = out.keeper(family.name(), family.kind().unwrap_or(Kind::Histogram));
            (family.name().to_owned(), family.source(), keeper)
        };
        self.claims.set_others(collide.iter().map(of).collect());
        free.into_iter().for_each(|family| family.write(out));
    }
}

impl Named for Shown {
    fn name(&self) -> &str {
        &self.family.name
    }

    fn kind(&self) -> Option<Kind> {
        self.family.told_as()
    }

    fn source(&self) -> Arc<str> {
        self.file.clone()
    }

    fn is_taken(&self, out: &FamilyWriter<'_>) -> bool {
        let family = &self.family;
        if !is_plain_metric_name(&family.name) {
            return false;
        }
        match family.told_as() {
            Some(kind) => out.is_taken(&family.name, kind),
            None => {
                family.suffixes().iter().any(|suffix| out.is_taken(&format!("{}{suffix}", family.name), Kind::Gauge))
            }
        }
    }

    fn put(&self, out: &mut dyn OpenFamily) {
        let is_compound = self.kind().is_some_and(Kind::is_compound);
        fn texts(labels: &Labels) -> (Vec<&str>, Vec<&str>) {
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip()
        }
        for metric in self.family.metrics.iter() {
            let (names, values) = texts(&metric.labels);
            let is_there = is_compound && out.has_metric(&names, &values);
            metric.samples(&mut |suffix, labels, value| {
                let (names, values) = texts(labels);
                match is_there {
                    true => out.refuse(1),
                    false => out.sample(suffix, &names, &values, Value::Float(value), None),
                }
            });
        }
    }

    fn write(&self, out: &mut FamilyWriter<'_>) {
        let family = &self.family;
        if let Some(kind) = family.told_as() {
            return self.put(out.free_family(&family.name, kind, &family.help).open());
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
}
