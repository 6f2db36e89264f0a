//! Families: what Prometheus pulls.
//!
//! A collector names each family once, as a constant, and hands samples to a [`FamilyWriter`]. The writer sees to it
//! that a family's samples are contiguous under one head, that every series is there once, and that every name is
//! valid; whatever format the scrape wants, an encoder below writes it straight into the response's buffer.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use crate::host::Timestamp;

/// What a family's values mean: the exposition formats' types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that only grows, or starts again from zero.
    Counter,
    /// A value of the moment.
    Gauge,
    /// Not said: what node_exporter leaves untyped, Taffrail leaves untyped.
    Untyped,
    /// Observations in buckets: each metric is its samples `_bucket` in order, then `_sum` and `_count`.
    Histogram,
    /// Observations by quantile: each metric is its quantiles, then `_sum` and `_count`.
    Summary,
}

impl Kind {
    /// The type's name in text 0.0.4.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Untyped => "untyped",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// A sample's value. Integers stay exact as far as the format goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Unsigned(u64),
    /// A signed integer.
    Signed(i64),
    /// Any number, also one that is not finite.
    Float(f64),
}

impl Value {
    /// The nearest number that a format without integers has.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Unsigned(value) => value as f64,
            Value::Signed(value) => value as f64,
            Value::Float(value) => value,
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Unsigned(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Signed(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Unsigned(value.into())
    }
}

/// A family whose name is known when Taffrail is built, with its `LABELS` label names.
#[derive(Clone, Copy, Debug)]
pub struct Family<const LABELS: usize> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: [&'static str; LABELS],
}

impl<const LABELS: usize> Family<LABELS> {
    /// A counter. Its name ends in `_total`, but for a few that the field has always called otherwise; OpenMetrics, which
    /// would rename those, does not learn that they are counters.
    pub const fn counter(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Counter, help, labels }
    }

    /// A family whose type is not said, as node_exporter has it.
    pub const fn untyped(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Untyped, help, labels }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Family { name, kind: Kind::Gauge, help, labels }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The family as the documentation lists it.
    pub const fn info(&'static self) -> FamilyInfo {
        FamilyInfo { name: self.name, kind: self.kind, help: self.help, labels: &self.labels }
    }
}

/// Families without labels whose names the kernel makes: one per key of an open-ended file.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    prefix: &'static str,
    suffix: &'static str,
    kind: Kind,
    /// What follows the key in the help text.
    help: &'static str,
    documented_as: &'static str,
}

impl Pattern {
    /// Families called `prefix`, key, `suffix`; `documented_as` is how the documentation writes the name.
    pub const fn new(prefix: &'static str, suffix: &'static str, kind: Kind, documented_as: &'static str) -> Self {
        Pattern { prefix, suffix, kind, help: "", documented_as }
    }

    /// The same with a help text: the key, followed by `help`.
    pub const fn help(self, help: &'static str) -> Self {
        Pattern { help, ..self }
    }

    /// The families as the documentation lists them.
    pub const fn info(&'static self) -> FamilyInfo {
        FamilyInfo { name: self.documented_as, kind: self.kind, help: self.help, labels: &[] }
    }
}

/// A family, or a pattern of families, as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct FamilyInfo {
    /// The name; in a pattern a key stands as `KEY`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// What it says; of a pattern, what follows the key.
    pub help: &'static str,
    /// Its label names.
    pub labels: &'static [&'static str],
}

/// What writes families in one format.
pub trait FamilyEncoder {
    /// A family begins; at least one sample follows, and all of its samples do before the next family begins.
    fn begin(&mut self, name: &str, kind: Kind, help: &str);

    /// What follows are samples of this part of the family that was begun last, such as `_bucket`; of a whole family until
    /// this is said.
    fn part(&mut self, suffix: &'static str);

    /// A sample of the family that was begun last: `values` belong to `names`, one by one. `at` is its time, where that
    /// is not the time of the scrape.
    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>);

    /// The family that was begun last is complete.
    fn end(&mut self);
}

/// Writes families, and keeps what every format demands of them. A sample that breaks a rule is left out and counted:
/// one that repeats a series, or one of a family that was written and closed before.
pub struct FamilyWriter<'a> {
    encoder: &'a mut dyn FamilyEncoder,
    hasher: foldhash::fast::RandomState,
    /// The hashes of all family names and all series written. They are keyed at random and 64 bits long, so that
    /// two that differ and hash alike are not to be expected in the life of a host.
    written: HashSet<u64, BuildHasherDefault<Identity>>,
    name: String,
    help: String,
    refused: u64,
    /// How many samples may come yet, and how many came beyond.
    room: usize,
    beyond: u64,
}

/// About how many families and series a plain host has.
const USUAL_SERIES: usize = 800;

impl<'a> FamilyWriter<'a> {
    /// A writer of one exposition.
    pub fn new(encoder: &'a mut dyn FamilyEncoder) -> Self {
        FamilyWriter {
            encoder,
            hasher: foldhash::fast::RandomState::default(),
            written: HashSet::with_capacity_and_hasher(USUAL_SERIES, BuildHasherDefault::default()),
            name: String::new(),
            help: String::new(),
            refused: 0,
            room: usize::MAX,
            beyond: 0,
        }
    }

    /// From here on takes so many samples at the most; gives how many came beyond what could come until now.
    pub fn set_room(&mut self, room: usize) -> u64 {
        self.room = room;
        std::mem::take(&mut self.beyond)
    }

    /// Whether another sample may come; if not, it is counted.
    fn has_room(&mut self) -> bool {
        let left = self.room.checked_sub(1);
        self.room = left.unwrap_or(0);
        self.beyond += u64::from(left.is_none());
        left.is_some()
    }

    /// Opens a family. Its head is written with its first sample, so that a family without samples is not there at all.
    pub fn family<'w, const LABELS: usize>(&'w mut self, family: &'w Family<LABELS>) -> Samples<'w, 'a, LABELS> {
        self.name.clear();
        self.name.push_str(family.name);
        Samples {
            writer: self,
            kind: family.kind,
            help: family.help,
            labels: family.labels,
            suffix: "",
            state: State::Unopened,
        }
    }

    /// Writes a family of one sample without labels.
    pub fn value(&mut self, family: &Family<0>, value: impl Into<Value>) {
        self.family(family).sample([], value);
    }

    /// Writes the family that `pattern` makes of `key`; characters that a name cannot have become `_`.
    pub fn keyed(&mut self, pattern: &Pattern, key: &str, value: impl Into<Value>) {
        self.name.clear();
        self.name.push_str(pattern.prefix);
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        match key.bytes().all(is_valid) {
            true => self.name.push_str(key),
            false => self.name.extend(key.chars().map(|c| if c.is_ascii() && is_valid(c as u8) { c } else { '_' })),
        }
        self.name.push_str(pattern.suffix);
        let mut help = std::mem::take(&mut self.help);
        help.clear();
        help.extend([key, pattern.help]);
        Samples { writer: self, kind: pattern.kind, help: &help, labels: [], suffix: "", state: State::Unopened }
            .sample([], value);
        self.help = help;
    }

    /// Opens a family whose name, which is valid, and labels are not known when Taffrail is built.
    pub fn free_family<'w>(&'w mut self, name: &str, kind: Kind, help: &'w str) -> FreeSamples<'w, 'a> {
        self.name.clear();
        self.name.push_str(name);
        FreeSamples { samples: Samples { writer: self, kind, help, labels: [], suffix: "", state: State::Unopened } }
    }

    /// How many samples were left out because they broke a rule.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

enum State {
    Unopened,
    Open { hash: u64 },
    Refused,
}

/// The open family of a [`FamilyWriter`].
pub struct Samples<'w, 'a, const LABELS: usize> {
    writer: &'w mut FamilyWriter<'a>,
    kind: Kind,
    help: &'w str,
    labels: [&'static str; LABELS],
    /// The part of the family that the last sample was of.
    suffix: &'static str,
    state: State,
}

impl<const LABELS: usize> Samples<'_, '_, LABELS> {
    /// Adds a sample whose labels have these values, in the order of the family's label names.
    pub fn sample(&mut self, values: [&str; LABELS], value: impl Into<Value>) {
        if !self.writer.has_room() {
            return;
        }
        if let State::Unopened = self.state {
            self.open();
        }
        let series = match self.state {
            State::Open { hash } => values.iter().fold(hash, |hash, v| self.writer.hasher.hash_one((hash, v))),
            _ => return self.writer.refused += 1,
        };
        // Without labels the series is the family itself, which `open` has entered.
        if LABELS > 0 && !self.writer.written.insert(series) {
            return self.writer.refused += 1;
        }
        self.writer.encoder.sample(&self.labels, &values, value.into(), None);
        if LABELS == 0 {
            self.writer.encoder.end();
            self.state = State::Refused;
        }
    }

    /// The same with labels besides whose names are not known when Taffrail is built; they must differ from each other
    /// and from the family's own.
    pub fn sample_and(&mut self, values: [&str; LABELS], more: &[(String, String)], value: impl Into<Value>) {
        if more.is_empty() {
            return self.sample(values, value);
        }
        let names: Vec<&str> = self.labels.into_iter().chain(more.iter().map(|(name, _)| name.as_str())).collect();
        let values: Vec<&str> = values.into_iter().chain(more.iter().map(|(_, value)| value.as_str())).collect();
        self.free_sample(&names, &values, value.into(), None);
    }

    fn free_sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.sample_of_part("", names, values, value, at);
    }

    fn sample_of_part(
        &mut self,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: Value,
        at: Option<Timestamp>,
    ) {
        if !self.writer.has_room() {
            return;
        }
        if let State::Unopened = self.state {
            self.open();
        }
        let State::Open { hash } = self.state else { return self.writer.refused += 1 };
        let series = self.writer.hasher.hash_one((hash, suffix, names, values));
        if !self.writer.written.insert(series) {
            return self.writer.refused += 1;
        }
        if std::mem::replace(&mut self.suffix, suffix) != suffix {
            self.writer.encoder.part(suffix);
        }
        self.writer.encoder.sample(names, values, value, at);
    }

    fn open(&mut self) {
        let writer = &mut *self.writer;
        let hash = writer.hasher.hash_one(&writer.name);
        if writer.written.insert(hash) {
            writer.encoder.begin(&writer.name, self.kind, self.help);
            self.state = State::Open { hash };
        } else {
            self.state = State::Refused;
        }
    }
}

/// The open family of a [`FamilyWriter`] whose name and labels are not known when Taffrail is built.
pub struct FreeSamples<'w, 'a> {
    samples: Samples<'w, 'a, 0>,
}

impl FreeSamples<'_, '_> {
    /// Adds a sample whose labels `names` have these `values`, one by one.
    pub fn sample_of(&mut self, names: &[&str], values: &[&str], value: Value) {
        self.samples.free_sample(names, values, value, None);
    }

    /// Adds a sample; labels whose value is empty are no labels. `at` is its time, where that is not the scrape's.
    pub fn sample(&mut self, labels: &[(String, String)], value: impl Into<Value>, at: Option<Timestamp>) {
        self.part_sample("", labels, value, at);
    }

    /// The same of a part of the family, such as `_bucket`.
    pub fn part_sample(
        &mut self,
        suffix: &'static str,
        labels: &[(String, String)],
        value: impl Into<Value>,
        at: Option<Timestamp>,
    ) {
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let (names, values): (Vec<&str>, Vec<&str>) = labels.map(|(n, v)| (n.as_str(), v.as_str())).unzip();
        self.samples.sample_of_part(suffix, &names, &values, value.into(), at);
    }
}

impl<const LABELS: usize> Drop for Samples<'_, '_, LABELS> {
    fn drop(&mut self) {
        if let State::Open { .. } = self.state {
            self.writer.encoder.end();
        }
    }
}

/// The hasher of values that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole u64 are hashed")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::text::{Dialect, TextEncoder};

    const REQUESTS: Family<2> = Family::counter("requests_total", "Requests.", ["method", "path"]);
    const UP: Family<0> = Family::gauge("up", "Whether it is up.", []);
    const KEYS: Pattern = Pattern::new("node_vmstat_", "", Kind::Untyped, "node_vmstat_KEY").help(" of it.");

    fn text(write: impl FnOnce(&mut FamilyWriter)) -> (String, u64) {
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        let mut writer = FamilyWriter::new(&mut encoder);
        write(&mut writer);
        let refused = writer.refused();
        (String::from_utf8(encoder.finish()).unwrap(), refused)
    }

    #[test]
    fn a_family_has_one_head_and_each_series_once() {
        let (text, refused) = text(|out| {
            let mut requests = out.family(&REQUESTS);
            requests.sample(["get", "/"], 1u64);
            requests.sample(["get", "/"], 2u64);
            requests.sample(["ge", "t/"], 3u64);
        });
        assert_eq!(
            text,
            "# HELP requests_total Requests.\n# TYPE requests_total counter\n\
             requests_total{method=\"get\",path=\"/\"} 1\nrequests_total{method=\"ge\",path=\"t/\"} 3\n"
        );
        assert_eq!(refused, 1);
    }

    #[test]
    fn a_family_that_comes_again_is_left_out() {
        let (text, refused) = text(|out| {
            out.value(&UP, 1u64);
            out.value(&UP, 0u64);
            out.keyed(&KEYS, "a b", 1u64);
            out.keyed(&KEYS, "a_b", 2u64);
        });
        assert_eq!(
            text,
            "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
             # HELP node_vmstat_a_b a b of it.\n# TYPE node_vmstat_a_b untyped\nnode_vmstat_a_b 1\n"
        );
        assert_eq!(refused, 2);
    }

    #[test]
    fn what_comes_beyond_the_room_is_left_out_and_counted() {
        let mut beyond = 0;
        let (text, refused) = text(|out| {
            out.set_room(2);
            let mut requests = out.family(&REQUESTS);
            ["a", "b", "c"].into_iter().for_each(|path| requests.sample(["get", path], 1u64));
            drop(requests);
            out.value(&UP, 1u64);
            beyond = out.set_room(usize::MAX);
            out.keyed(&KEYS, "a", 1u64);
        });
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 3, "{text}");
        assert!(!text.contains("# TYPE up"));
        assert_eq!((beyond, refused), (2, 0));
    }

    #[test]
    fn a_family_without_samples_is_not_there() {
        let (text, refused) = text(|out| drop(out.family(&REQUESTS)));
        assert_eq!((text.as_str(), refused), ("", 0));
    }
}
