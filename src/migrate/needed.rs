//! What another program still needs, where it runs beside Taffrail, for the inputs that Taffrail does not have.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Entry, Outcome};

/// Lines of files, from 1.
pub type FileLines = BTreeMap<String, BTreeSet<usize>>;

/// The inputs of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The lines without which no input would work as before, such as those of outputs.
    pub shared: FileLines,
    /// Each input: its file, and its lines with those of the tables below it.
    pub each: Vec<(String, BTreeSet<usize>)>,
}

impl Inputs {
    /// The inputs that are missing as a whole: those whose first line is.
    fn missing<'i>(&'i self, entries: &'i [Entry]) -> impl Iterator<Item = &'i (String, BTreeSet<usize>)> {
        let missing = entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Missing(_)));
        let missing: BTreeSet<(&str, usize)> = missing.filter_map(place).collect();
        self.each
            .iter()
            .filter(move |(file, lines)| lines.first().is_some_and(|first| missing.contains(&(file.as_str(), *first))))
    }

    /// Adds the lines that are still needed; none if all inputs are there.
    pub(super) fn add_needed(&self, entries: &[Entry], needed: &mut FileLines) {
        let mut missing = self.missing(entries).peekable();
        let shared = missing.peek().is_some().then_some(&self.shared).into_iter().flatten();
        for (file, lines) in shared.chain(missing.map(|(file, lines)| (file, lines))) {
            needed.entry(file.clone()).or_default().extend(lines);
        }
        needed.retain(|_, lines| !lines.is_empty());
    }

    /// Reports the other lines of inputs that are missing as missing, too.
    pub(super) fn report_whole(&self, entries: &mut [Entry]) {
        let missing: Vec<_> = self.missing(entries).cloned().collect();
        for (file, lines) in missing {
            let of_input =
                |entry: &&mut Entry| place(entry).is_some_and(|(of, line)| of == file && lines.contains(&line));
            for entry in entries.iter_mut().filter(of_input) {
                if !matches!(entry.outcome, Outcome::Missing(_)) {
                    entry.outcome = Outcome::Missing("it is a part of an input that is missing".to_owned());
                }
            }
        }
    }
}

/// The file of an entry, and its first line.
fn place(entry: &Entry) -> Option<(&str, usize)> {
    Some((entry.source.file.as_str(), entry.source.lines?.0))
}
