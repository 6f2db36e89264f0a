//! The keys of a YAML file, in their order, with their lines.

use super::lines::Lines;
use super::translation::{EntryId, Outcome, Source, Translation};
use crate::config::{Node, Secrets, Table, Value, is_secret_name};

/// What is reported of a key that the program does not have.
pub(super) const NO_SUCH_KEY: &str = "there is no such key";

/// A file that is being translated.
#[derive(Debug)]
pub(super) struct YamlFile<'t> {
    pub(super) file: &'t str,
    pub(super) lines: Lines<'t>,
    pub(super) translation: Translation,
}

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'n> {
    pub(super) key: &'n str,
    pub(super) node: &'n Node,
    start: usize,
}

impl<'n> Pair<'n> {
    /// The scalar; empty of a list or a mapping.
    pub(super) fn text(&self) -> &'n str {
        text_of(self.node)
    }

    /// The scalars of a list, or the one scalar.
    pub(super) fn texts(&self) -> Vec<&'n str> {
        match &self.node.value {
            Value::Array(nodes) => nodes.iter().map(text_of).collect(),
            Value::String(text) if text.is_empty() => Vec::new(),
            _ => vec![self.text()],
        }
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        match &self.node.value {
            Value::String(text) => text.is_empty(),
            Value::Array(nodes) => nodes.is_empty(),
            Value::Table(table) => table.is_empty(),
            _ => false,
        }
    }

    /// The mappings of a list.
    pub(super) fn mappings(&self) -> Vec<Vec<Pair<'n>>> {
        match &self.node.value {
            Value::Array(nodes) => nodes.iter().map(pairs_of).collect(),
            _ => Vec::new(),
        }
    }

    /// The entries of a mapping.
    pub(super) fn pairs(&self) -> Vec<Pair<'n>> {
        pairs_of(self.node)
    }
}

/// A scalar; empty of a list or a mapping.
pub(super) fn text_of(node: &Node) -> &str {
    match &node.value {
        Value::String(text) => text,
        _ => "",
    }
}

fn pairs_of(node: &Node) -> Vec<Pair<'_>> {
    match &node.value {
        Value::Table(table) => pairs(table),
        _ => Vec::new(),
    }
}

/// The entries of a table, in the order of the file.
pub(super) fn pairs(table: &Table) -> Vec<Pair<'_>> {
    let entries = table.iter().map(|(key, (at, node))| Pair { key, node, start: at.span.start });
    let mut pairs: Vec<_> = entries.collect();
    pairs.sort_by_key(|pair| pair.start);
    pairs
}

/// Whether a line is blank, a comment or a marker of a document.
pub(super) fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || matches!(line, "---" | "...")
}

/// A line of a key that is not translated: no table says which texts are secret.
pub(super) fn without_text(line: &str) -> String {
    let Some((key, value)) = line.split_once(':') else { return "…".to_owned() };
    let value = value.split(" #").next().unwrap_or_default().trim();
    match value.is_empty() || value.parse::<f64>().is_ok() || matches!(value, "true" | "false" | "{}" | "[]") {
        true => line.to_owned(),
        false => format!("{key}: …"),
    }
}

/// A line without the value of a key that is secret.
fn without_secrets(line: &str) -> String {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'));
    match line.split_once('{') {
        Some((before, _)) if words.any(is_secret) => format!("{before}{{ … }}"),
        None if is_secret(key_of(line)) => format!("{}: …", line.split(':').next().unwrap_or_default()),
        _ => line.to_owned(),
    }
}

/// A text without users, passwords and queries of URLs.
fn without_parts_of_urls(text: &str) -> String {
    let mut secrets = Secrets::default();
    let words = text.split([' ', '"', '\'', ',', '[', ']', '{', '}']);
    words.filter(|word| word.contains("://") || word.contains('@')).for_each(|word| secrets.add_parts_of_url(word));
    secrets.hide(text)
}

fn key_of(line: &str) -> &str {
    let key = line.split(':').next().unwrap_or_default();
    key.trim_start_matches(['-', ' ']).trim_matches([' ', '"', '\''])
}

/// Whether a key is secret. The `key` of a tag is none.
fn is_secret(key: &str) -> bool {
    key.eq_ignore_ascii_case("externalId") || (key != "key" && is_secret_name(key))
}

impl YamlFile<'_> {
    /// Reports the line of a key.
    pub(super) fn head(&mut self, pair: &Pair<'_>, outcome: Outcome) -> EntryId {
        let line = self.line(pair.start);
        self.entry(line, line, outcome)
    }

    /// Reports an item of a list.
    pub(super) fn item(&mut self, node: &Node, outcome: Outcome) -> EntryId {
        let (first, last) = (self.line_of_item(node), self.last_line(node));
        self.entry(first, last.max(first), outcome)
    }

    /// The line of an item of a list.
    pub(super) fn line_of_item(&self, node: &Node) -> usize {
        self.line(node.position.span.start)
    }

    /// The line of a key.
    pub(super) fn line_of(&self, pair: &Pair<'_>) -> usize {
        self.line(pair.start)
    }

    /// Reports an item that is no mapping.
    pub(super) fn no_mapping(&mut self, node: &Node) {
        self.item(node, Outcome::Missing("expected a mapping".to_owned()));
    }

    /// Reports the line of a key whose value is a list of mappings, and what is none. Returns the mappings.
    pub(super) fn list<'n>(&mut self, pair: &Pair<'n>) -> Vec<Vec<Pair<'n>>> {
        let nodes = match &pair.node.value {
            Value::Array(nodes) => nodes,
            // Nothing behind the colon.
            Value::String(text) if text.is_empty() => {
                self.whole(pair, Outcome::NotNeeded("it is empty".to_owned()));
                return Vec::new();
            }
            _ => {
                self.whole(pair, Outcome::Missing("expected a list of mappings".to_owned()));
                return Vec::new();
            }
        };
        self.head(pair, Outcome::Same);
        let mut mappings = Vec::new();
        for node in nodes {
            match pairs_of(node) {
                mapping if mapping.is_empty() => self.no_mapping(node),
                mapping => mappings.push(mapping),
            }
        }
        mappings
    }

    /// Reports the line of a key whose value is a mapping, and what is none. Returns the entries.
    pub(super) fn mapping<'n>(&mut self, pair: &Pair<'n>) -> Vec<Pair<'n>> {
        let pairs = pair.pairs();
        match pairs.is_empty() {
            true => drop(self.whole(pair, Outcome::Missing("expected a mapping".to_owned()))),
            false => drop(self.head(pair, Outcome::Same)),
        }
        pairs
    }

    /// Reports a key with all lines of its value.
    pub(super) fn whole(&mut self, pair: &Pair<'_>, outcome: Outcome) -> EntryId {
        let first = self.line(pair.start);
        let last = self.last_line(pair.node).max(first);
        self.entry(first, last, outcome)
    }

    fn entry(&mut self, first: usize, last: usize, outcome: Outcome) -> EntryId {
        let last_shown = if is_secret(key_of(self.lines.line(first))) { first } else { last };
        let lines = (first..=last_shown).map(|number| self.lines.line(number).trim());
        let text = lines.filter(|line| !line.is_empty()).map(without_secrets).collect::<Vec<_>>().join(" ");
        let text = without_parts_of_urls(&text);
        let source = Source { file: self.file.to_owned(), lines: Some((first, last)), ..Source::default() };
        self.translation.add(source, text, outcome)
    }

    fn line(&self, byte: usize) -> usize {
        self.lines.number_at(byte)
    }

    /// The last line of a value. The span of a scalar ends with it; that of a list or a mapping may end later.
    fn last_line(&self, node: &Node) -> usize {
        match &node.value {
            Value::Table(table) if !table.is_empty() => {
                table.values().map(|(_, node)| self.last_line(node)).max().unwrap_or(0)
            }
            Value::Array(nodes) if !nodes.is_empty() => {
                nodes.iter().map(|node| self.last_line(node)).max().unwrap_or(0)
            }
            _ => {
                let text = self.lines.text.get(..node.position.span.end).unwrap_or_default();
                self.line(text.trim_end().len())
            }
        }
    }

    /// Counts blank lines and comments, and reports what is left. Sorts the entries.
    pub(super) fn finish(mut self) -> Translation {
        let lines = self.translation.entries.iter().filter_map(|entry| entry.source.lines);
        let covered: std::collections::BTreeSet<usize> = lines.flat_map(|(first, last)| first..=last).collect();
        for (line, number) in self.lines.text.lines().zip(1..).filter(|(_, number)| !covered.contains(number)) {
            if is_blank(line) {
                self.translation.comments += 1;
            } else {
                // A bracket, or a part of a value that spans lines.
                self.entry(number, number, Outcome::Same);
            }
        }
        for entry in &mut self.translation.entries {
            if let (Outcome::Missing(reason), Some((first, _))) = (&entry.outcome, entry.source.lines)
                && reason == NO_SUCH_KEY
            {
                entry.text = without_text(self.lines.line(first).trim());
            }
        }
        self.translation.sort_by_line(&[self.file]);
        self.translation
    }
}
