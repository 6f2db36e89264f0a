//! The result of a probe, in both vocabularies.

use std::sync::Arc;

use super::points::Row;
use crate::encode::family::FamilyInfo;
use crate::encode::{FamilyWriter, Kind, Timestamp, Value};

/// The result of one probe of one target.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The name of the module.
    pub(super) module: Arc<str>,
    /// The target, as configured.
    pub(super) target: Arc<str>,
    /// When the probe started.
    pub(super) at: Timestamp,
    /// Why it failed; none if it succeeded.
    pub(super) failure: Option<String>,
    /// The samples.
    pub(super) samples: Vec<Sample>,
    /// The points.
    pub(super) rows: Vec<Row>,
}

/// What a prober finds: why it failed, the samples, and the points.
pub(super) type Found = (Option<String>, Samples, Vec<Row>);

/// A sample of a probe.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    family: &'static FamilyInfo,
    /// The values of the labels after those of the target.
    labels: Vec<String>,
    value: f64,
}

/// Collects samples.
#[derive(Debug, Default)]
pub(super) struct Samples(pub(super) Vec<Sample>);

impl Samples {
    /// Adds a sample without further labels.
    pub(super) fn add(&mut self, family: &'static FamilyInfo, value: f64) {
        self.labelled(family, Vec::new(), value);
    }

    /// Adds a sample with the values of further labels.
    pub(super) fn labelled(&mut self, family: &'static FamilyInfo, labels: Vec<String>, value: f64) {
        debug_assert_eq!(family.labels.len(), labels.len() + TARGET.len(), "{}", family.name);
        self.0.push(Sample { family, labels, value });
    }

    /// Adds a sample for each phase.
    pub(super) fn phases(&mut self, family: &'static FamilyInfo, phases: &[(&str, f64)]) {
        for (phase, seconds) in phases {
            self.labelled(family, vec![(*phase).to_owned()], *seconds);
        }
    }
}

/// The labels of a target in an exposition of several.
const TARGET: [&str; 2] = ["module", "target"];

/// Writes the families of several targets.
pub(super) fn write(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
    let mut all: Vec<(&Outcome, &Sample)> = Vec::new();
    for outcome in outcomes {
        all.extend(outcome.samples.iter().map(|sample| (&**outcome, sample)));
    }
    all.sort_by_key(|(_, sample)| sample.family.name);
    for family in all.chunk_by(|(_, one), (_, other)| one.family.name == other.family.name) {
        let info = family[0].1.family;
        let mut samples = out.plain_family(info.name, info.kind, info.help);
        for (outcome, sample) in family {
            let mut values = vec![&*outcome.module, &*outcome.target];
            values.extend(sample.labels.iter().map(String::as_str));
            samples.sample_of(info.labels, &values, false, Value::Float(sample.value));
        }
    }
}

impl Outcome {
    /// Writes the families of this target alone, without the labels of the target.
    pub(super) fn write(&self, out: &mut FamilyWriter<'_>) {
        let mut all: Vec<&Sample> = self.samples.iter().collect();
        all.sort_by_key(|sample| sample.family.name);
        for family in all.chunk_by(|one, other| one.family.name == other.family.name) {
            let info = family[0].family;
            let mut samples = out.plain_family(info.name, info.kind, info.help);
            for sample in family {
                let values: Vec<&str> = sample.labels.iter().map(String::as_str).collect();
                samples.sample_of(&info.labels[TARGET.len()..], &values, false, Value::Float(sample.value));
            }
        }
    }
}

/// A gauge with the labels of the target.
pub(super) const fn gauge(name: &'static str, help: &'static str) -> FamilyInfo {
    with(name, help, &TARGET)
}

/// A gauge with further labels.
pub(super) const fn with(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> FamilyInfo {
    FamilyInfo { name, kind: Kind::Gauge, help, labels }
}
