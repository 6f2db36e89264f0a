//! Families that were named elsewhere, and share their names.

use std::sync::Arc;

use super::FamilyWriter;
use super::samples::{FreeSamples, Samples, State};
use super::written::parts;
use crate::encode::Timestamp;
use crate::encode::family::{Kind, Native, Value};
use crate::encode::names::{escaped_labels, is_plain_label_name};
use crate::encode::number::go_float;

/// Families of one collector that were named elsewhere. Their samples join a family of the same name that is written.
pub trait ForeignFamilies: Send + Sync {
    /// Whether one of them has this name.
    fn has(&self, name: &str) -> bool;

    /// Adds the samples of the family `name`, if its type goes with `kind`.
    fn join(&self, name: &str, kind: Kind, out: &mut dyn OpenFamily);

    /// Writes the families that have joined none.
    fn write_others(&self, out: &mut FamilyWriter<'_>);
}

/// The family that is being written.
pub trait OpenFamily {
    /// Whether the histogram or summary with these labels, without `le` and `quantile`, was written. `names` are in order.
    fn has_metric(&self, names: &[&str], values: &[&str]) -> bool;

    /// Counts samples that are left out, as their series was written.
    fn refuse(&mut self, samples: usize);

    /// Adds a sample of a part of the family, with label `names` in order and their `values`, none of which is empty.
    /// `at` is its timestamp; none for the time of the scrape.
    fn sample(&mut self, suffix: &'static str, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>);

    /// The same for a series with an identifier, which stands for its name and its labels in this process. The names of
    /// its labels are plain, and no sample of the family lacks an identifier.
    fn identified_sample(
        &mut self,
        id: u64,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: Value,
        at: Option<Timestamp>,
    );

    /// Adds a native histogram. In a format without native histograms, it becomes the samples of a classic one if
    /// `is_alone`.
    fn native(&mut self, names: &[&str], values: &[&str], native: Native<'_>, is_alone: bool, at: Option<Timestamp>);
}

impl<const LABELS: usize> OpenFamily for Samples<'_, '_, LABELS> {
    fn has_metric(&self, names: &[&str], values: &[&str]) -> bool {
        let State::Open { hash } = self.state else { return false };
        // Each histogram or summary has a count.
        let has = |names: &[&str], values: &[&str]| self.writer.written.has_series(hash, "_count", names, values);
        if names.iter().all(|name| is_plain_label_name(name)) {
            return has(names, values);
        }
        let labels = escaped_labels(names.iter().copied().zip(values.iter().copied()), self.writer.escaping);
        let (names, values): (Vec<&str>, Vec<&str>) = labels.iter().map(|(n, v)| (n.as_str(), *v)).unzip();
        has(&names, &values)
    }

    fn refuse(&mut self, samples: usize) {
        self.writer.refused += samples as u64;
    }

    fn sample(&mut self, suffix: &'static str, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.named_sample(suffix, names, values, value, at);
    }

    fn identified_sample(
        &mut self,
        id: u64,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: Value,
        at: Option<Timestamp>,
    ) {
        self.sample_with_id(id, suffix, names, values, value, at);
    }

    fn native(&mut self, names: &[&str], values: &[&str], native: Native<'_>, is_alone: bool, at: Option<Timestamp>) {
        if self.put_native(names, values, native, at) || !is_alone {
            return;
        }
        let (histogram, _) = native;
        let index = names.partition_point(|name| *name < "le");
        let (mut names_and_bound, mut values_and_bound) = (names.to_vec(), values.to_vec());
        names_and_bound.insert(index, "le");
        let bounds = histogram.buckets.iter().filter(|(bound, _)| bound.is_finite()).copied();
        for (bound, count) in bounds.chain([(f64::INFINITY, histogram.count)]) {
            let bound = go_float(bound);
            values_and_bound.insert(index, &bound);
            self.named_sample("_bucket", &names_and_bound, &values_and_bound, count.into(), at);
            values_and_bound = values.to_vec();
        }
        self.named_sample("_sum", names, values, histogram.sum.into(), at);
        self.named_sample("_count", names, values, histogram.count.into(), at);
    }
}

impl FreeSamples<'_, '_> {
    /// The family as such, for samples with labels in order.
    pub fn open(&mut self) -> &mut (dyn OpenFamily + '_) {
        &mut self.samples
    }
}

/// A limit on the number of samples.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    remaining: usize,
    exceeded: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Limit = Limit::new(usize::MAX);

    /// At most `max` samples.
    pub const fn new(max: usize) -> Limit {
        Limit { remaining: max, exceeded: 0 }
    }

    /// The number of samples that exceeded it.
    pub fn exceeded(&self) -> u64 {
        self.exceeded
    }

    /// Counts a sample. Returns whether it is within the limit.
    pub(super) fn admits(&mut self) -> bool {
        let left = self.remaining.checked_sub(1);
        self.remaining = left.unwrap_or(0);
        self.exceeded += u64::from(left.is_none());
        left.is_some()
    }
}

/// All families that were named elsewhere, by the names of their collectors.
#[derive(Default)]
pub(super) struct Foreign {
    collectors: Vec<OfCollector>,
    /// The one that is written.
    current: Option<usize>,
}

struct OfCollector {
    name: &'static str,
    families: Arc<dyn ForeignFamilies>,
    limit: Limit,
}

impl Foreign {
    fn others(&self) -> impl Iterator<Item = &OfCollector> {
        self.collectors.iter().enumerate().filter(|(index, _)| Some(*index) != self.current).map(|(_, other)| other)
    }
}

impl FamilyWriter<'_> {
    /// Adds families of `collector` that were named elsewhere. They join those of the same name that follow, the ones of
    /// the collector with the first name first, and count against `limit`.
    pub fn add_foreign(&mut self, collector: &'static str, families: Arc<dyn ForeignFamilies>, limit: Limit) {
        let collectors = &mut self.foreign.collectors;
        let index = collectors.partition_point(|other| other.name < collector);
        collectors.insert(index, OfCollector { name: collector, families, limit });
    }

    /// Writes the families of `collector` that were named elsewhere and have joined none. Returns what is left of its
    /// limit; none if it has no such families.
    pub fn write_foreign(&mut self, collector: &str) -> Option<Limit> {
        let index = self.foreign.collectors.iter().position(|other| other.name == collector)?;
        self.swap_limit(index);
        self.foreign.current = Some(index);
        let families = self.foreign.collectors[index].families.clone();
        families.write_others(self);
        self.foreign.current = None;
        self.swap_limit(index);
        Some(self.foreign.collectors[index].limit)
    }

    /// Whether a collector other than the one that is written has a family with this name, too.
    pub fn is_shared(&self, name: &str) -> bool {
        self.foreign.others().any(|other| other.families.has(name))
    }

    /// The collector, other than the one that is written, whose families keep a family of this name and type out.
    pub fn keeper(&self, name: &str, kind: Kind) -> Option<&'static str> {
        const SUFFIXES: [&str; 4] = ["_bucket", "_sum", "_count", "_total"];
        self.foreign.others().next()?;
        let longer = parts(kind).iter().chain(&["_total"]).map(|suffix| format!("{name}{suffix}"));
        let shorter = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix)).map(str::to_owned);
        let names: Vec<String> = longer.chain(shorter).collect();
        let keeps =
            |other: &&OfCollector| other.families.has(name) || names.iter().any(|name| other.families.has(name));
        self.foreign.others().find(keeps).map(|other| other.name)
    }

    /// The number of collectors whose families were named elsewhere.
    pub(super) fn foreign_count(&self) -> usize {
        self.foreign.collectors.len()
    }

    /// The families of a collector, by its index.
    pub(super) fn foreign(&self, index: usize) -> Arc<dyn ForeignFamilies> {
        self.foreign.collectors[index].families.clone()
    }

    /// Exchanges the current limit for that of a collector, or back.
    pub(super) fn swap_limit(&mut self, index: usize) {
        if self.foreign.current != Some(index) {
            std::mem::swap(&mut self.limit, &mut self.foreign.collectors[index].limit);
        }
    }
}
