//! Writes families so that whatever format comes of it is valid.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use super::family::{Family, FamilyEncoder, Kind, Pattern, Value};
use super::names::{Escaping, is_plain_label_name, is_plain_metric_name};
use crate::host::Timestamp;

/// Writes families, and keeps what every format demands of them. A sample that breaks a rule is left out and counted:
/// one that repeats a series, or one of a family that was written and closed before, or whose name is a part of such a
/// one. Names that are not known when Taffrail is built are escaped, if they need be, as whoever asks wants them; those
/// that meet by that are written by [`Escaping::Values`] instead.
pub struct FamilyWriter<'a> {
    encoder: &'a mut dyn FamilyEncoder,
    escaping: Escaping,
    written: Written,
    name: String,
    help: String,
    refused: u64,
    /// How many samples may come yet, and how many came beyond.
    room: usize,
    beyond: u64,
}

/// The names of all families and all series that were written.
#[derive(Default)]
pub struct Written {
    hasher: foldhash::fast::RandomState,
    /// Their hashes. They are keyed at random and 64 bits long, so that two that differ and hash alike are not to be
    /// expected in the life of a host.
    hashes: HashSet<u64, BuildHasherDefault<Identity>>,
}

impl Written {
    fn has(&self, name: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(name))
    }

    fn has_with(&self, name: &str, suffix: &str) -> bool {
        let mut whole = String::with_capacity(name.len() + suffix.len());
        whole.extend([name, suffix]);
        self.has(&whole)
    }

    /// Enters a family, with the names that its parts go by; nothing if one of the names is taken.
    fn enter(&mut self, name: &str, kind: Kind) -> Option<u64> {
        let hash = self.hasher.hash_one(name);
        if self.hashes.contains(&hash) || parts(kind).iter().any(|part| self.has_with(name, part)) {
            return None;
        }
        for part in parts(kind) {
            self.hashes.insert(self.hasher.hash_one([name, part].concat().as_str()));
        }
        self.hashes.insert(hash);
        Some(hash)
    }
}

/// The suffixes of samples that a family of this type has.
fn parts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Counter | Kind::Gauge | Kind::Untyped => &[],
        Kind::Histogram => &["_bucket", "_sum", "_count"],
        Kind::Summary => &["_sum", "_count"],
    }
}

/// What makes a name that is reserved another than one that was written.
const RESERVED: u8 = 0;

/// About how many families and series a plain host has.
const USUAL_SERIES: usize = 800;

impl<'a> FamilyWriter<'a> {
    /// A writer of one exposition, whose encoder takes any name.
    pub fn new(encoder: &'a mut dyn FamilyEncoder) -> Self {
        FamilyWriter::escaping(encoder, Escaping::AllowUtf8)
    }

    /// A writer of one exposition whose names are escaped so.
    pub fn escaping(encoder: &'a mut dyn FamilyEncoder, escaping: Escaping) -> Self {
        let mut written = Written::default();
        written.hashes.reserve(USUAL_SERIES);
        FamilyWriter { escaping, ..FamilyWriter::continuing(encoder, written) }
    }

    /// A writer of more of what was `written` with another encoder.
    pub fn continuing(encoder: &'a mut dyn FamilyEncoder, written: Written) -> Self {
        FamilyWriter {
            encoder,
            escaping: Escaping::AllowUtf8,
            written,
            name: String::new(),
            help: String::new(),
            refused: 0,
            room: usize::MAX,
            beyond: 0,
        }
    }

    /// What was written, for the next writer.
    pub fn into_written(self) -> Written {
        self.written
    }

    /// Keeps a name for a family that is yet to be written.
    pub fn reserve(&mut self, name: &'static str) {
        let hash = self.written.hasher.hash_one((RESERVED, name));
        self.written.hashes.insert(hash);
    }

    /// Whether a family of this name and type could not stand beside what was written so far.
    pub fn is_taken(&self, name: &str, kind: Kind) -> bool {
        self.written.has(name)
            || self.written.hashes.contains(&self.written.hasher.hash_one((RESERVED, name)))
            || parts(kind).iter().any(|part| self.written.has_with(name, part))
            // OpenMetrics calls that one by this name.
            || self.written.has_with(name, "_total")
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
            is_quoted: false,
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
        let (kind, help_text) = (pattern.kind, help.as_str());
        let state = State::Unopened;
        Samples { writer: self, kind, help: help_text, labels: [], suffix: "", is_quoted: false, state }
            .sample([], value);
        self.help = help;
    }

    /// Opens a family whose name and labels are not known when Taffrail is built.
    pub fn free_family<'w>(&'w mut self, name: &str, kind: Kind, help: &'w str) -> FreeSamples<'w, 'a> {
        self.name.clear();
        let is_plain = is_plain_metric_name(name);
        match is_plain {
            true => self.name.push_str(name),
            false => self.push_escaped(name),
        }
        let is_quoted = !is_plain && self.escaping == Escaping::AllowUtf8;
        // Nothing can be called nothing.
        let state = if name.is_empty() { State::Refused } else { State::Unopened };
        FreeSamples { samples: Samples { writer: self, kind, help, labels: [], suffix: "", is_quoted, state } }
    }

    /// Takes the name as it is to be written, so that it does not meet another.
    fn push_escaped(&mut self, name: &str) {
        self.escaping.push_metric_name(&mut self.name, name);
        let meets_counter = self.encoder.names_counters_without_total() && self.written.has_with(&self.name, "_total");
        let is_lossy = matches!(self.escaping, Escaping::Underscores | Escaping::Dots);
        if is_lossy && (meets_counter || self.written.has(&self.name)) {
            self.name.clear();
            Escaping::Values.push_metric_name(&mut self.name, name);
        }
    }

    /// The type as which the family that is about to begin is told. OpenMetrics calls a counter's family as another may be
    /// called already; then it does not learn that this is a counter, which leaves both their names.
    fn kind_to_tell(&self, kind: Kind) -> Kind {
        if kind != Kind::Counter || !self.encoder.names_counters_without_total() {
            return kind;
        }
        let is_called_so = self.name.strip_suffix("_total").is_some_and(|family| self.written.has(family));
        if is_called_so { Kind::Untyped } else { kind }
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
    /// Whether text writes its name in quotes.
    is_quoted: bool,
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
            State::Open { hash } => values.iter().fold(hash, |hash, v| self.writer.written.hasher.hash_one((hash, v))),
            _ => return self.writer.refused += 1,
        };
        // Without labels the series is the family itself, which `open` has entered.
        if LABELS > 0 && !self.writer.written.hashes.insert(series) {
            return self.writer.refused += 1;
        }
        self.writer.encoder.sample(&self.labels, &values, value.into(), None);
        if LABELS == 0 {
            self.writer.encoder.end();
            self.state = State::Refused;
        }
    }

    /// The same with labels besides whose names are not known when Taffrail is built.
    pub fn sample_and(&mut self, values: [&str; LABELS], more: &[(String, String)], value: impl Into<Value>) {
        if more.is_empty() {
            return self.sample(values, value);
        }
        let names: Vec<&str> = self.labels.into_iter().chain(more.iter().map(|(name, _)| name.as_str())).collect();
        let values: Vec<&str> = values.into_iter().chain(more.iter().map(|(_, value)| value.as_str())).collect();
        self.named_sample("", &names, &values, value.into(), None);
    }

    /// A sample of a part, whose labels may have any names.
    fn named_sample(
        &mut self,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: Value,
        at: Option<Timestamp>,
    ) {
        if names.iter().all(|name| is_plain_label_name(name)) && names.is_sorted_by(|one, next| one < next) {
            return self.sample_of_part(suffix, names, values, value, at);
        }
        if !self.writer.has_room() {
            return;
        }
        let put_as = |samples: &mut Self, escaping| {
            let labels = escaped(names, values, escaping);
            let (names, values): (Vec<&str>, Vec<&str>) = labels.iter().map(|(n, v)| (n.as_str(), *v)).unzip();
            let is_quoted = escaping == Escaping::AllowUtf8;
            samples.put(suffix, (&names, &values, is_quoted), value, at)
        };
        let escaping = self.writer.escaping;
        let is_lossy = matches!(escaping, Escaping::Underscores | Escaping::Dots);
        // Two series may meet when their labels' names are escaped.
        let is_put = put_as(self, escaping) || is_lossy && put_as(self, Escaping::Values);
        if !is_put {
            self.writer.refused += 1;
        }
    }

    fn sample_of_part(
        &mut self,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: Value,
        at: Option<Timestamp>,
    ) {
        if self.writer.has_room() && !self.put(suffix, (names, values, self.is_quoted), value, at) {
            self.writer.refused += 1;
        }
    }

    /// Writes a sample, in which text has quotes or not, unless its series was written before, or its family.
    fn put(
        &mut self,
        suffix: &'static str,
        (names, values, is_quoted): (&[&str], &[&str], bool),
        value: Value,
        at: Option<Timestamp>,
    ) -> bool {
        if let State::Unopened = self.state {
            self.open();
        }
        let State::Open { hash } = self.state else { return false };
        let series = self.writer.written.hasher.hash_one((hash, suffix, names, values));
        if !self.writer.written.hashes.insert(series) {
            return false;
        }
        if std::mem::replace(&mut self.suffix, suffix) != suffix {
            self.writer.encoder.part(suffix);
        }
        match is_quoted {
            true => self.writer.encoder.sample_quoted(names, values, value, at),
            false => self.writer.encoder.sample(names, values, value, at),
        }
        true
    }

    fn open(&mut self) {
        let writer = &mut *self.writer;
        let Some(hash) = writer.written.enter(&writer.name, self.kind) else {
            self.state = State::Refused;
            return;
        };
        self.state = State::Open { hash };
        let kind = writer.kind_to_tell(self.kind);
        match self.is_quoted {
            true => writer.encoder.begin_quoted(&writer.name, kind, self.help),
            false => writer.encoder.begin(&writer.name, kind, self.help),
        }
    }
}

/// The labels in the order of their names, as they are to be written. Where names meet, those that need no escaping
/// stay, and the first of equal ones.
fn escaped<'v>(names: &[&str], values: &[&'v str], escaping: Escaping) -> Vec<(String, &'v str)> {
    let mut labels: Vec<(String, &str)> = Vec::with_capacity(names.len());
    let is_there = |labels: &[(String, &str)], name: &str| labels.iter().any(|(known, _)| known == name);
    let (plain, others): (Vec<_>, Vec<_>) = names.iter().zip(values).partition(|(name, _)| is_plain_label_name(name));
    for (name, value) in plain.into_iter().chain(others) {
        let mut written = String::with_capacity(name.len() + 8);
        escaping.push_label_name(&mut written, name);
        if is_there(&labels, &written) && written != **name {
            written.clear();
            Escaping::Values.push_label_name(&mut written, name);
        }
        if !written.is_empty() && !is_there(&labels, &written) {
            labels.push((written, value));
        }
    }
    labels.sort_unstable();
    labels
}

/// The open family of a [`FamilyWriter`] whose name and labels are not known when Taffrail is built.
pub struct FreeSamples<'w, 'a> {
    samples: Samples<'w, 'a, 0>,
}

impl FreeSamples<'_, '_> {
    /// Adds a sample whose labels `names` have these `values`, one by one.
    pub fn sample_of(&mut self, names: &[&'static str], values: &[&str], value: Value) {
        self.samples.sample_of_part("", names, values, value, None);
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
        self.samples.named_sample(suffix, &names, &values, value.into(), at);
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

    fn pairs(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn escaped_text(dialect: Dialect, escaping: Escaping, write: impl FnOnce(&mut FamilyWriter)) -> (String, u64) {
        let mut encoder = TextEncoder::new(dialect, Vec::new());
        let mut writer = FamilyWriter::escaping(&mut encoder, escaping);
        write(&mut writer);
        let refused = writer.refused();
        (String::from_utf8(encoder.finish()).unwrap(), refused)
    }

    #[test]
    fn names_are_written_as_they_are_wanted() {
        for (escaping, expected) in [
            (Escaping::AllowUtf8, "# HELP \"a.b\" A.\n# TYPE \"a.b\" gauge\n{\"a.b\",\"c d\"=\"e\",f=\"g\"} 1\n"),
            (Escaping::Underscores, "# HELP a_b A.\n# TYPE a_b gauge\na_b{c_d=\"e\",f=\"g\"} 1\n"),
            (Escaping::Dots, "# HELP a_dot_b A.\n# TYPE a_dot_b gauge\na_dot_b{c__d=\"e\",f=\"g\"} 1\n"),
            (Escaping::Values, "# HELP U__a_2e_b A.\n# TYPE U__a_2e_b gauge\nU__a_2e_b{U__c_20_d=\"e\",f=\"g\"} 1\n"),
        ] {
            let written = escaped_text(Dialect::Plain, escaping, |out| {
                let labels = pairs(&[("c d", "e"), ("f", "g")]);
                out.free_family("a.b", Kind::Gauge, "A.").sample(&labels, 1u64, None);
            });
            assert_eq!(written, (expected.to_owned(), 0));
        }
    }

    #[test]
    fn names_that_meet_by_being_escaped_stay_apart() {
        let (text, refused) = escaped_text(Dialect::Plain, Escaping::Underscores, |out| {
            for name in ["a_b", "a.b", "a-b"] {
                out.free_family(name, Kind::Gauge, "").sample(&[], 1u64, None);
            }
            let mut family = out.free_family("c", Kind::Gauge, "");
            family.sample(&pairs(&[("l.m", "1"), ("l_m", "2")]), 1u64, None);
            family.sample(&pairs(&[("n_o", "1")]), 1u64, None);
            family.sample(&pairs(&[("n.o", "1")]), 1u64, None);
        });
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "a_b 1",
            "U__a_2e_b 1",
            "U__a_2d_b 1",
            "c{U__l_2e_m=\"1\",l_m=\"2\"} 1",
            "c{n_o=\"1\"} 1",
            "c{U__n_2e_o=\"1\"} 1",
        ];
        assert_eq!((samples, refused), (expected.to_vec(), 0));
    }

    #[test]
    fn a_label_comes_once() {
        let (text, _) = text(|out| {
            let mut family = out.free_family("a", Kind::Gauge, "");
            family.sample(&pairs(&[("b", "1"), ("c", "2"), ("b", "3")]), 1u64, None);
        });
        assert!(text.ends_with("a{b=\"1\",c=\"2\"} 1\n"), "{text}");
    }

    #[test]
    fn a_family_and_a_part_of_another_do_not_share_a_name() {
        let (text, refused) = text(|out| {
            out.free_family("a", Kind::Summary, "").part_sample("_count", &[], 1u64, None);
            out.free_family("a_count", Kind::Gauge, "").sample(&[], 2u64, None);
            out.free_family("b_bucket", Kind::Gauge, "").sample(&[], 3u64, None);
            out.free_family("b", Kind::Histogram, "").part_sample("_sum", &[], 4u64, None);
            out.free_family("", Kind::Gauge, "").sample(&[], 5u64, None);
        });
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!((samples, refused), (vec!["a_count 1", "b_bucket 3"], 3));
    }

    #[test]
    fn open_metrics_has_quotes_bounds_with_a_point_and_no_counter_that_is_called_as_another() {
        let (text, refused) = escaped_text(Dialect::OpenMetrics, Escaping::AllowUtf8, |out| {
            out.free_family("jobs", Kind::Gauge, "").sample(&[], 1u64, None);
            out.free_family("jobs_total", Kind::Counter, "").sample(&[], 2u64, None);
            out.free_family("my.jobs_total", Kind::Counter, "").sample(&[], 3u64, None);
            let mut family = out.free_family("my.took", Kind::Histogram, "");
            family.part_sample("_bucket", &pairs(&[("le", "1")]), 1u64, None);
            family.part_sample("_bucket", &pairs(&[("le", "+Inf")]), 1u64, None);
        });
        let expected = "# HELP jobs \n# TYPE jobs gauge\njobs 1\n\
                        # HELP jobs_total \n# TYPE jobs_total unknown\njobs_total 2\n\
                        # HELP \"my.jobs\" \n# TYPE \"my.jobs\" counter\n{\"my.jobs_total\"} 3\n\
                        # HELP \"my.took\" \n# TYPE \"my.took\" histogram\n\
                        {\"my.took_bucket\",le=\"1.0\"} 1\n{\"my.took_bucket\",le=\"+Inf\"} 1\n# EOF\n";
        assert_eq!((text.as_str(), refused), (expected, 0));
    }
}
