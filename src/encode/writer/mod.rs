//! Writes families such that every format is valid.

mod foreign;
mod points;
mod samples;
mod written;

use super::family::{Family, FamilyEncoder, Kind, Pattern, Value};
use super::names::{Escaping, is_plain_metric_name};

use self::foreign::Foreign;
pub use self::foreign::{ForeignFamilies, Limit, OpenFamily};
pub use self::points::{Point, PointWriter, reserved_tags};
use self::samples::State;
pub use self::samples::{FreeSamples, Samples};
pub use self::written::Written;

/// Writes families, and enforces the rules of all formats. A sample that breaks a rule is left out and counted: one
/// that repeats a series, or whose family was closed before, or collides with a part of such a family. Invalid dynamic
/// names are escaped by the requested scheme; if two collide, the second is escaped by [`Escaping::Values`].
pub struct FamilyWriter<'a> {
    encoder: &'a mut dyn FamilyEncoder,
    /// Whether the encoder names a counter's family without `_total`, so that it may collide with another one.
    has_bare_counters: bool,
    escaping: Escaping,
    written: Written,
    name: String,
    /// The name before it was escaped; empty if it is the same.
    unescaped: String,
    help: String,
    refused: u64,
    /// The limit on further samples.
    limit: Limit,
    foreign: Foreign,
}

impl<'a> FamilyWriter<'a> {
    /// A writer of one exposition, without escaping.
    pub fn new(encoder: &'a mut dyn FamilyEncoder) -> Self {
        FamilyWriter::escaping(encoder, Escaping::AllowUtf8)
    }

    /// A writer of one exposition with `escaping`.
    pub fn escaping(encoder: &'a mut dyn FamilyEncoder, escaping: Escaping) -> Self {
        FamilyWriter { escaping, ..FamilyWriter::continuing(encoder, Written::with_capacity()) }
    }

    /// A writer that continues after what was `written` with another encoder.
    pub fn continuing(encoder: &'a mut dyn FamilyEncoder, written: Written) -> Self {
        FamilyWriter {
            has_bare_counters: encoder.names_counters_without_total(),
            encoder,
            escaping: Escaping::AllowUtf8,
            written,
            name: String::new(),
            unescaped: String::new(),
            help: String::new(),
            refused: 0,
            limit: Limit::NONE,
            foreign: Foreign::default(),
        }
    }

    /// The record of what was written, for the next writer.
    pub fn into_written(self) -> Written {
        self.written
    }

    /// Reserves a name for a family to be written later.
    pub fn reserve(&mut self, name: &'static str) {
        self.written.reserve(name);
    }

    /// Ends the reservation of a name: its family has been written, or has no samples.
    pub fn release(&mut self, name: &'static str) {
        self.written.release(name);
    }

    /// Whether a family of this name and type would collide with what was written so far.
    pub fn is_taken(&self, name: &str, kind: Kind) -> bool {
        self.written.is_taken(name, kind)
    }

    /// Whether the name is reserved for a family to be written later.
    pub fn is_reserved(&self, name: &str) -> bool {
        self.written.is_reserved(name)
    }

    /// Limits the number of further samples. Returns what is left of the previous limit.
    pub fn set_limit(&mut self, limit: Limit) -> Limit {
        std::mem::replace(&mut self.limit, limit)
    }

    /// Counts a sample against the limit. Returns whether it is within the limit.
    fn is_within_limit(&mut self) -> bool {
        self.limit.admits()
    }

    /// Sets the name of the family that is opened next.
    fn set_name(&mut self, name: &str) {
        self.unescaped.clear();
        self.name.clear();
        self.name.push_str(name);
    }

    /// Opens a family. Its header is written with its first sample, so that a family without samples leaves nothing.
    pub fn family<'w, const LABELS: usize>(&'w mut self, family: &'w Family<LABELS>) -> Samples<'w, 'a, LABELS> {
        self.set_name(family.name);
        Samples::new(self, family.kind, family.help, family.labels)
    }

    /// Writes a family with one sample without labels.
    pub fn value(&mut self, family: &Family<0>, value: impl Into<Value>) {
        self.family(family).sample([], value);
    }

    /// Writes the family of `pattern` for `key`. Invalid characters become `_`.
    pub fn keyed(&mut self, pattern: &Pattern, key: &str, value: impl Into<Value>) {
        self.set_name(pattern.prefix);
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
        Samples::new(self, kind, help_text, []).sample([], value);
        self.help = help;
    }

    /// Opens a family with a dynamic name and labels.
    pub fn free_family<'w>(&'w mut self, name: &str, kind: Kind, help: &'w str) -> FreeSamples<'w, 'a> {
        self.set_name("");
        let is_plain = is_plain_metric_name(name);
        match is_plain {
            true => self.name.push_str(name),
            false => self.push_escaped(name),
        }
        let is_quoted = !is_plain && self.escaping == Escaping::AllowUtf8;
        // An empty name is invalid.
        let state = if name.is_empty() { State::Refused } else { State::Unopened };
        let mut samples = Samples::new(self, kind, help, []);
        (samples.is_quoted, samples.state) = (is_quoted, state);
        FreeSamples::new(samples)
    }

    /// Opens a family with a dynamic name that needs no escaping. All of its samples have the same labels.
    pub fn plain_family<'w>(&'w mut self, name: &str, kind: Kind, help: &'w str) -> FreeSamples<'w, 'a> {
        debug_assert!(is_plain_metric_name(name), "{name:?}");
        self.set_name(name);
        FreeSamples::new(Samples::new(self, kind, help, []))
    }

    /// Sets the escaped name, such that it does not collide with another.
    fn push_escaped(&mut self, name: &str) {
        self.unescaped.push_str(name);
        self.escaping.push_metric_name(&mut self.name, name);
        let collides_with_counter = self.has_bare_counters && self.written.has_with(&self.name, "_total");
        if self.escaping.is_lossy() && (collides_with_counter || self.written.has(&self.name)) {
            self.name.clear();
            Escaping::Values.push_metric_name(&mut self.name, name);
        }
    }

    /// The type to write for the next family. If OpenMetrics would give a counter's family the name of another one, it
    /// is written as untyped, so that both keep their names.
    fn written_kind(&self, kind: Kind) -> Kind {
        if kind != Kind::Counter || !self.has_bare_counters {
            return kind;
        }
        let collides = self.name.strip_suffix("_total").is_some_and(|family| self.written.has(family));
        if collides { Kind::Untyped } else { kind }
    }

    /// A writer that does not know what this one has written. Only an encoder of series accepts a family again.
    pub fn apart(&mut self) -> FamilyWriter<'_> {
        FamilyWriter { limit: self.limit, ..FamilyWriter::continuing(self.encoder, Written::default()) }
    }

    /// The number of samples left out because they broke a rule.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests;
