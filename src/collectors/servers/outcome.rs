//! The result of one query of a server, in both vocabularies.

use std::borrow::Cow;
use std::sync::Arc;

use super::owned::Owned;
use super::protocol::pairs::shown;
use crate::collectors::framework::latest::Results;
use crate::collectors::framework::{Reading, Since};
use crate::encode::family::FamilyInfo;
use crate::encode::point::MeasurementInfo;
use crate::encode::{FamilyWriter, Field, PointWriter, Timestamp, Value};

/// A label or a tag.
pub(super) type Label = (&'static str, String);

/// The labels of a target: that of the server, and those of the settings.
pub(super) type Labels = Arc<[(String, String)]>;

/// The result of a query.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The name of the collector.
    pub(super) input: &'static str,
    /// The target, as it is shown.
    pub(super) shown: Arc<str>,
    /// The labels of its samples.
    pub(super) labels: Labels,
    /// The tags of its points that the settings have.
    pub(super) tags: Labels,
    /// When the query started.
    pub(super) at: Timestamp,
    /// Its duration in seconds.
    pub(super) took: f64,
    /// Whether the server gave its values.
    pub(super) is_up: bool,
    pub(super) found: Found,
}

/// What a query found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) samples: Vec<Sample>,
    pub(super) rows: Vec<Row>,
    /// The first value that is malformed.
    pub(super) malformed: Option<String>,
}

/// A sample.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) family: &'static FamilyInfo,
    /// The part of a summary.
    suffix: &'static str,
    labels: Vec<Label>,
    pub(super) value: Value,
}

/// A point.
#[derive(Debug)]
pub(super) struct Row {
    measurement: &'static str,
    tags: Vec<Label>,
    pub(super) fields: Vec<(Cow<'static, str>, Owned)>,
}

impl Found {
    /// Adds a sample with these labels after that of the server.
    pub(super) fn add(&mut self, family: &'static FamilyInfo, labels: Vec<Label>, value: impl Into<Value>) {
        self.part(family, "", labels, value);
    }

    /// Adds a sample of a part of a summary.
    pub(super) fn part(
        &mut self,
        family: &'static FamilyInfo,
        suffix: &'static str,
        labels: Vec<Label>,
        value: impl Into<Value>,
    ) {
        self.samples.push(Sample { family, suffix, labels, value: value.into() });
    }

    /// Records that a value is malformed, which leaves out the value.
    pub(super) fn malformed(&mut self, key: &str, expected: &str, found: &str) {
        self.malformed.get_or_insert_with(|| format!("{key}: expected {expected}, found {}", shown(found)));
    }

    /// Whether there is a sample of the family with this label.
    pub(super) fn has(&self, family: &FamilyInfo, (name, value): (&str, &str)) -> bool {
        let of_family = self.samples.iter().filter(|sample| sample.family.name == family.name);
        of_family.flat_map(|sample| &sample.labels).any(|(label, text)| *label == name && text == value)
    }

    /// Adds a label to all samples, and the tag of this name to all points.
    pub(super) fn label(&mut self, name: &'static str, value: &str) {
        self.samples.iter_mut().for_each(|sample| sample.labels.push((name, value.to_owned())));
        self.tag(name, value);
    }

    /// Adds a label to the samples from this index on.
    pub(super) fn label_from(&mut self, index: usize, name: &'static str, value: &str) {
        self.samples.iter_mut().skip(index).for_each(|sample| sample.labels.push((name, value.to_owned())));
    }

    /// Adds a tag to all points that lack it.
    pub(super) fn tag(&mut self, name: &'static str, value: &str) {
        let lacking = self.rows.iter_mut().filter(|row| !row.tags.iter().any(|(tag, _)| *tag == name));
        lacking.for_each(|row| row.tags.push((name, value.to_owned())));
    }
}

impl Sample {
    /// Its name and labels, for tests.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{}{}{}", self.family.name, self.suffix, labels.concat())
    }
}

impl Row {
    /// A point without tags and fields.
    pub(super) fn new(measurement: &'static str) -> Row {
        Row { measurement, tags: Vec::new(), fields: Vec::new() }
    }

    /// Adds a tag.
    pub(super) fn tag(mut self, name: &'static str, value: impl Into<String>) -> Row {
        self.tags.push((name, value.into()));
        self
    }

    /// Sets a field.
    pub(super) fn put(&mut self, name: impl Into<Cow<'static, str>>, value: Owned) {
        let name = name.into();
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.fields.push((name, value)),
        }
    }
}

const UP: Field<u64> = Field::new("up", "1 if the last query succeeded, else 0");
const DURATION: Field<f64> = Field::new("duration", "duration of the query in seconds");
/// Whether servers can be reached. Telegraf has no counterpart.
pub(super) const TARGET: MeasurementInfo =
    MeasurementInfo { name: "taffrail_target", tags: &["input", "url"], fields: &[UP.info(), DURATION.info()] };

impl Outcome {
    fn write(&self, out: &mut PointWriter<'_>) {
        let own = [("input", self.input), ("url", &*self.shown)].into_iter();
        let tags = sorted(own, &self.tags);
        let mut point = out.free_point_at(self.at, TARGET.name, tags.into_iter());
        point.free_field::<u64>(&[UP.name()], self.is_up.into()).free_field::<f64>(&[DURATION.name()], self.took);
        drop(point);
        for row in &self.found.rows {
            let own = row.tags.iter().map(|(name, value)| (*name, value.as_str()));
            let tags = sorted(own, &self.tags);
            let mut point = out.free_point_at(self.at, row.measurement, tags.into_iter());
            for (name, value) in &row.fields {
                if let Some(value) = value.value() {
                    point.free_value(name, value);
                }
            }
        }
    }
}

/// Labels in order, without empty values. Those of a sample precede those of its target.
fn sorted<'l>(own: impl Iterator<Item = (&'l str, &'l str)>, of_target: &'l Labels) -> Vec<(&'l str, &'l str)> {
    let of_target = of_target.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut labels: Vec<(&str, &str)> = own.chain(of_target).filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_by_key(|(name, _)| *name);
    labels.dedup_by_key(|(name, _)| *name);
    labels
}

/// The results of all servers of a collector.
#[derive(Default)]
pub(super) struct ServersReading(pub(super) Results<Outcome>);

impl Reading for ServersReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut all: Vec<(&Outcome, &Sample)> = Vec::new();
        for outcome in &self.0.newest {
            all.extend(outcome.found.samples.iter().map(|sample| (&**outcome, sample)));
        }
        all.sort_by_key(|(_, sample)| sample.family.name);
        for family in all.chunk_by(|(_, one), (_, other)| one.family.name == other.family.name) {
            let info = family[0].1.family;
            let mut samples = out.plain_family(info.name, info.kind, info.help);
            for (outcome, sample) in family {
                let own = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
                let (names, values): (Vec<&str>, Vec<&str>) = sorted(own, &outcome.labels).into_iter().unzip();
                samples.borrowed_sample(sample.suffix, &names, &values, sample.value, None);
            }
        }
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let outcomes = self.0.since(since.map(|since| &since.previous.0));
        outcomes.iter().for_each(|outcome| outcome.write(out));
    }
}
