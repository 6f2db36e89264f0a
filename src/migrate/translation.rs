//! The lines of an input with their outcomes, and the settings that they become.

use std::collections::{BTreeMap, BTreeSet};

use super::needed::{FileLines, Inputs};
use super::output::Output;

pub use super::entry::{Entry, EntryId, Outcome, Source};

/// What a set-up becomes.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    /// All lines of the input except blank ones and comments, in their order.
    pub entries: Vec<Entry>,
    /// The settings.
    pub output: Output,
    /// Lines of the input that are blank or comments.
    pub comments: usize,
    /// The inputs of each configuration that is translated.
    pub inputs: Vec<Inputs>,
    /// Variables in the settings that are not set here, with the lines that they are in.
    pub variables: BTreeMap<String, BTreeSet<String>>,
}

impl Translation {
    /// Adds a line to the report.
    pub fn add(&mut self, source: Source, text: impl Into<String>, outcome: Outcome) -> EntryId {
        self.entries.push(Entry { source, text: text.into(), outcome });
        self.entries.len() - 1
    }

    /// Adds a line to the report for a part of the line of `entry`, behind it.
    pub fn insert_after(&mut self, entry: EntryId, text: &str, outcome: Outcome) {
        let source = self.entries[entry].source.clone();
        self.entries.insert(entry + 1, Entry { source, text: text.to_owned(), outcome });
        self.output.renumber(&|id| if id > entry { id + 1 } else { id });
    }

    /// Drops the element of the entry `head`, whose entries begin at `first`: without `key` it would do more.
    pub(super) fn drop_element(&mut self, head: EntryId, first: EntryId, key: &str, more: &str) {
        self.output.remove(&[head].into());
        let instead = format!("without {key} {more}: write it by hand");
        for entry in &mut self.entries[first..] {
            if !matches!(entry.outcome, Outcome::Missing(_)) {
                entry.outcome = Outcome::Missing(instead.clone());
            }
        }
    }

    /// Whether an entry from `first` on is missing.
    pub(super) fn has_missing(&self, first: EntryId) -> bool {
        self.entries[first..].iter().any(|entry| matches!(entry.outcome, Outcome::Missing(_)))
    }

    /// Whether a line has nothing in Taffrail.
    pub fn is_incomplete(&self) -> bool {
        self.missing().next().is_some()
    }

    /// The lines that have nothing in Taffrail.
    pub fn missing(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Missing(_)))
    }

    /// By file, the lines that the other program still needs for the inputs that are missing. What the configuration
    /// refuses is missing only after [`check`](super::check::check).
    pub fn kept(&self) -> FileLines {
        let mut kept = FileLines::new();
        self.inputs.iter().for_each(|inputs| inputs.add_needed(&self.entries, &mut kept));
        kept
    }

    /// Sorts the entries by their files, in this order, and lines.
    pub fn sort_by_line(&mut self, files: &[&str]) {
        let mut order: Vec<EntryId> = (0..self.entries.len()).collect();
        order.sort_by_key(|&id| {
            let source = &self.entries[id].source;
            (files.iter().position(|file| *file == source.file), source.lines, id)
        });
        let mut numbers = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(&old, new)| numbers[old] = new);
        self.entries = order.iter().map(|&id| self.entries[id].clone()).collect();
        self.output.renumber(&|entry| numbers[entry]);
    }

    /// Appends another translation.
    pub fn append(&mut self, other: Translation) {
        let first = self.entries.len();
        self.entries.extend(other.entries);
        self.output.append(other.output, first);
        self.comments += other.comments;
        self.inputs.extend(other.inputs);
        self.variables.extend(other.variables);
    }
}
