//! The samples of the open family.

use super::FamilyWriter;
use crate::encode::Timestamp;
use crate::encode::family::{Kind, Native, Value};
use crate::encode::names::{Escaping, escaped_labels, is_plain_label_name};

/// The state of the family.
pub(super) enum State {
    Unopened,
    Open { hash: u64 },
    Refused,
}

/// The open family of a [`FamilyWriter`].
pub struct Samples<'w, 'a, const LABELS: usize> {
    pub(super) writer: &'w mut FamilyWriter<'a>,
    kind: Kind,
    help: &'w str,
    labels: [&'static str; LABELS],
    /// The part that the last sample belongs to.
    suffix: &'static str,
    /// Whether a series may have samples at several times.
    has_times: bool,
    /// Whether text quotes its name.
    pub(super) is_quoted: bool,
    pub(super) state: State,
}

impl<'w, 'a, const LABELS: usize> Samples<'w, 'a, LABELS> {
    /// The samples of the family named by `writer.name`.
    pub(super) fn new(
        writer: &'w mut FamilyWriter<'a>,
        kind: Kind,
        help: &'w str,
        labels: [&'static str; LABELS],
    ) -> Self {
        Samples { writer, kind, help, labels, suffix: "", has_times: false, is_quoted: false, state: State::Unopened }
    }

    /// Adds a sample with label `values`, in the order of the family's label names.
    pub fn sample(&mut self, values: [&str; LABELS], value: impl Into<Value>) {
        if !self.writer.is_within_limit() {
            return;
        }
        let Some(hash) = self.opened() else { return self.writer.refused += 1 };
        // Without labels, `open` has already entered the only series.
        if LABELS > 0 && !self.writer.written.enter_values(hash, &values) {
            return self.writer.refused += 1;
        }
        self.writer.encoder.sample(&self.labels, &values, value.into(), None);
        if LABELS == 0 {
            self.join();
            self.writer.encoder.end();
            self.state = State::Refused;
        }
    }

    /// Adds a sample with additional labels that have dynamic names.
    pub fn sample_and(&mut self, values: [&str; LABELS], more: &[(String, String)], value: impl Into<Value>) {
        if more.is_empty() {
            return self.sample(values, value);
        }
        let names: Vec<&str> = self.labels.into_iter().chain(more.iter().map(|(name, _)| name.as_str())).collect();
        let values: Vec<&str> = values.into_iter().chain(more.iter().map(|(_, value)| value.as_str())).collect();
        self.named_sample("", &names, &values, value.into(), None);
    }

    /// Adds samples of families from elsewhere.
    fn join(&mut self) {
        if self.writer.foreign_count() == 0 {
            return;
        }
        let (name, unescaped) = (std::mem::take(&mut self.writer.name), std::mem::take(&mut self.writer.unescaped));
        for index in 0..self.writer.foreign_count() {
            let families = self.writer.foreign(index);
            self.writer.swap_limit(index);
            families.join(if unescaped.is_empty() { &name } else { &unescaped }, self.kind, self);
            self.writer.swap_limit(index);
        }
        (self.writer.name, self.writer.unescaped) = (name, unescaped);
    }

    /// Adds a sample of a part, with labels of any names.
    pub(super) fn named_sample(
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
        if !self.writer.is_within_limit() {
            return;
        }
        let put_escaped = |samples: &mut Self, escaping| {
            let labels = escaped_labels(names.iter().copied().zip(values.iter().copied()), escaping);
            let (names, values): (Vec<&str>, Vec<&str>) = labels.iter().map(|(n, v)| (n.as_str(), *v)).unzip();
            let is_quoted = escaping == Escaping::AllowUtf8;
            samples.put(suffix, (&names, &values, is_quoted), value, at)
        };
        let escaping = self.writer.escaping;
        // Escaping may make two series collide.
        let is_put = put_escaped(self, escaping) || escaping.is_lossy() && put_escaped(self, Escaping::Values);
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
        if self.writer.is_within_limit() && !self.put(suffix, (names, values, self.is_quoted), value, at) {
            self.writer.refused += 1;
        }
    }

    /// Writes a sample. Returns false if its series was written before, or its family is closed.
    fn put(
        &mut self,
        suffix: &'static str,
        (names, values, is_quoted): (&[&str], &[&str], bool),
        value: Value,
        at: Option<Timestamp>,
    ) -> bool {
        let Some(hash) = self.opened() else { return false };
        let time = at.filter(|_| self.has_times);
        if !self.writer.written.enter_series(hash, suffix, names, values, time) {
            return false;
        }
        self.write(suffix, (names, values, is_quoted), value, at);
        true
    }

    /// Adds a sample of a series with an identifier. Its label names are plain and sorted.
    pub(super) fn sample_with_id(
        &mut self,
        id: u64,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: Value,
        at: Option<Timestamp>,
    ) {
        // Another name may become one of these.
        if self.writer.escaping.is_lossy() {
            return self.sample_of_part(suffix, names, values, value, at);
        }
        if !self.writer.is_within_limit() {
            return;
        }
        let time = at.filter(|_| self.has_times);
        match self.opened().filter(|hash| self.writer.written.enter_identified(*hash, id, time)) {
            Some(_) => self.write(suffix, (names, values, self.is_quoted), value, at),
            None => self.writer.refused += 1,
        }
    }

    fn write(
        &mut self,
        suffix: &'static str,
        (names, values, is_quoted): (&[&str], &[&str], bool),
        value: Value,
        at: Option<Timestamp>,
    ) {
        if std::mem::replace(&mut self.suffix, suffix) != suffix {
            self.writer.encoder.part(suffix);
        }
        match is_quoted {
            true => self.writer.encoder.sample_quoted(names, values, value, at),
            false => self.writer.encoder.sample(names, values, value, at),
        }
    }

    /// Writes a native histogram. Returns false if it was not written, because the format has none.
    pub(super) fn put_native(
        &mut self,
        names: &[&str],
        values: &[&str],
        native: Native<'_>,
        at: Option<Timestamp>,
    ) -> bool {
        /// Distinguishes it from the classic samples with the same labels.
        const PART: &str = "native";
        let Some(hash) = self.opened() else { return false };
        if self.is_quoted || !names.iter().all(|name| is_plain_label_name(name)) {
            return false;
        }
        let time = at.filter(|_| self.has_times);
        if !self.writer.written.enter_series(hash, PART, names, values, time) {
            self.writer.refused += 1;
            return true;
        }
        self.writer.encoder.native(names, values, native, at)
    }

    /// The key of the family, which its first sample opens; none if it is closed.
    fn opened(&mut self) -> Option<u64> {
        if let State::Unopened = self.state {
            self.open();
        }
        match self.state {
            State::Open { hash } => Some(hash),
            _ => None,
        }
    }

    fn open(&mut self) {
        let writer = &mut *self.writer;
        let Some(hash) = writer.written.enter(&writer.name, self.kind) else {
            self.state = State::Refused;
            return;
        };
        self.state = State::Open { hash };
        let kind = writer.written_kind(self.kind);
        match self.is_quoted {
            true => writer.encoder.begin_quoted(&writer.name, kind, self.help),
            false => writer.encoder.begin(&writer.name, kind, self.help),
        }
    }
}

/// The open family of a [`FamilyWriter`], with a dynamic name and labels.
pub struct FreeSamples<'w, 'a> {
    pub(super) samples: Samples<'w, 'a, 0>,
}

impl<'w, 'a> FreeSamples<'w, 'a> {
    pub(super) fn new(samples: Samples<'w, 'a, 0>) -> Self {
        FreeSamples { samples }
    }

    /// Adds a sample with the label `names`, which are the same for the whole family, and their `values`. If
    /// `is_sparse`, labels with an empty value are left out.
    pub fn sample_of(&mut self, names: &[&'static str], values: &[&str], is_sparse: bool, value: Value) {
        let samples = &mut self.samples;
        if !samples.writer.is_within_limit() {
            return;
        }
        let Some(hash) = samples.opened() else { return samples.writer.refused += 1 };
        if !samples.writer.written.enter_values(hash, values) {
            return samples.writer.refused += 1;
        }
        if is_sparse && values.contains(&"") {
            let present = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
            let (names, values): (Vec<&str>, Vec<&str>) = present.unzip();
            return samples.writer.encoder.sample(&names, &values, value, None);
        }
        samples.writer.encoder.sample(names, values, value, None);
    }

    /// Lets a series have samples at several times, oldest first.
    pub fn with_times(mut self) -> Self {
        self.samples.has_times = true;
        self
    }

    /// Adds a sample. Labels with an empty value are left out. `at` is its timestamp; none for the time of the scrape.
    pub fn sample(&mut self, labels: &[(String, String)], value: impl Into<Value>, at: Option<Timestamp>) {
        self.part_sample("", labels, value, at);
    }

    /// Adds a sample of a part of the family, with label `names` in order and their `values`, none of which is empty.
    pub fn borrowed_sample(
        &mut self,
        suffix: &'static str,
        names: &[&str],
        values: &[&str],
        value: impl Into<Value>,
        at: Option<Timestamp>,
    ) {
        self.samples.named_sample(suffix, names, values, value.into(), at);
    }

    /// Adds a sample of a part of the family, such as `_bucket`.
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
            self.join();
            self.writer.encoder.end();
        }
    }
}
