//! Passes a translation through the parser of the configuration.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::lines::Lines;
use super::output::Rendered;
use super::translation::{EntryId, Outcome, Translation};
use crate::config::{Document, Environment, Problems, Secrets};
use crate::settings::{Overrides, Settings};

/// The name of the translated file.
pub const FILE: &str = "50-migrated.toml";

/// A translation whose output is valid.
#[derive(Debug)]
pub struct Checked {
    /// The translation. What the configuration refuses is missing in it.
    pub translation: Translation,
    /// The output.
    pub toml: String,
}

/// Values for variables that are not set here. A line that is refused with each of them is refused with any value.
const ASSUMED: [&str; 8] =
    ["placeholder", "10s", "http://localhost:1", "127.0.0.1:1", "/placeholder", "8MiB", "0660", "gzip"];

/// As [`check_in`], in the environment of this process.
pub fn check(translation: Translation) -> Checked {
    check_in(translation, &|name| std::env::var_os(name))
}

/// Removes what the configuration refuses from the output, and reports it as missing. Lists the variables that the
/// environment does not have.
pub fn check_in(mut translation: Translation, environment: Environment<'_>) -> Checked {
    let left = translation.output.entries();
    for (lost, holds) in translation.output.replaced().into_iter().filter(|(lost, _)| !left.contains(lost)) {
        let source = translation.entries[holds].source.comment();
        let instead = format!("{source} sets the same to another value, which holds");
        translation.entries[lost].outcome = Outcome::Missing(instead);
    }
    loop {
        let rendered = translation.output.render(&translation.entries);
        let unset = unset_variables(&rendered.text, environment);
        let refused = refused(&rendered, &unset.keys().map(String::as_str).collect(), environment);
        if refused.is_empty() {
            for inputs in &translation.inputs {
                inputs.report_whole(&mut translation.entries);
            }
            translation.variables = sources_of(&translation, &rendered, unset);
            return Checked { translation, toml: rendered.text };
        }
        let refused = without_elements(refused, &mut translation);
        let removed = translation.output.remove(&refused.keys().copied().collect());
        let left = translation.output.entries();
        for (lost, entry) in removed.into_iter().filter(|(lost, _)| !left.contains(lost)) {
            let source = translation.entries[entry].source.comment();
            let reason = format!("it is a part of what Taffrail refuses: {source}");
            translation.entries[lost].outcome = Outcome::Missing(reason);
        }
        for (entry, message) in refused {
            translation.entries[entry].outcome = Outcome::Missing(format!("Taffrail refuses it: {message}"));
        }
    }
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    entry: EntryId,
    /// The name of a list, and the index of one of its elements.
    element: Option<(String, usize)>,
}

/// The list and the index in a key such as `collectors.file[0].files[1]`.
fn element_of(key: &str) -> Option<(String, usize)> {
    let (list, index) = key.rsplit('.').next()?.strip_suffix(']')?.split_once('[')?;
    Some((list.to_owned(), index.parse().ok()?))
}

/// Removes elements of lists that have others, and reports each as missing. Returns the entries that are refused as a
/// whole.
fn without_elements(refused: BTreeMap<Part, String>, translation: &mut Translation) -> BTreeMap<EntryId, String> {
    let (mut whole, mut lost) = (BTreeMap::new(), Vec::new());
    // From the last one, so that the indexes of the others stay.
    for (Part { entry, element }, message) in refused.into_iter().rev() {
        let removed = element.and_then(|(key, index)| translation.output.remove_element(entry, &key, index));
        match removed {
            Some(text) => lost.push((entry, text, message)),
            None => drop(whole.insert(entry, message)),
        }
    }
    lost.retain(|(entry, ..)| !whole.contains_key(entry));
    for (entry, text, message) in lost {
        let mut secrets = Secrets::default();
        secrets.add_parts_of_url(text.trim_matches(['"', '\'']));
        let outcome = Outcome::Missing(format!("Taffrail refuses it: {message}"));
        translation.insert_after(entry, &secrets.hide(&text), outcome);
        whole = whole.into_iter().map(|(of, message)| (if of > entry { of + 1 } else { of }, message)).collect();
    }
    whole
}

/// The problems of a configuration, if it has any.
pub fn problems_of(toml: &str, environment: Environment<'_>) -> Option<Problems> {
    let checked = Document::parse(FILE, toml, environment)
        .and_then(|document| Settings::check(&document, &Overrides::default()).map(drop));
    checked.err()
}

/// The variables without a default that are not set, each with the numbers of its lines.
fn unset_variables(toml: &str, environment: Environment<'_>) -> BTreeMap<String, Vec<usize>> {
    let mut unset: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (line, number) in toml.lines().zip(1..) {
        for reference in references(line).filter(|reference| !reference.contains(":-")) {
            if environment(reference).is_none() {
                unset.entry(reference.to_owned()).or_default().push(number);
            }
        }
    }
    unset
}

/// What is between `${` and `}`.
fn references(line: &str) -> impl Iterator<Item = &str> {
    let starts = line.match_indices("${").filter(|(at, _)| !line[..*at].ends_with('$'));
    starts.filter_map(|(at, _)| line[at + 2..].split_once('}')).map(|(inside, _)| inside)
}

/// The lines of the input that each variable is in.
fn sources_of(
    translation: &Translation,
    rendered: &Rendered,
    variables: BTreeMap<String, Vec<usize>>,
) -> BTreeMap<String, BTreeSet<String>> {
    let entry = |number: &usize| rendered.entries.get(number - 1).copied().flatten();
    let source = |number: &usize| entry(number).map(|entry| translation.entries[entry].source.comment());
    variables.into_iter().map(|(name, numbers)| (name, numbers.iter().filter_map(source).collect())).collect()
}

/// The entries that are refused whatever values the variables of `unset` have, each with the message.
fn refused(rendered: &Rendered, unset: &BTreeSet<&str>, environment: Environment<'_>) -> BTreeMap<Part, String> {
    let mut refused: Option<BTreeMap<Part, String>> = None;
    for assumed in ASSUMED {
        let is_asked = Cell::new(false);
        let with_assumed = |name: &str| {
            let is_assumed = unset.contains(name);
            is_asked.set(is_asked.get() || is_assumed);
            if is_assumed { Some(OsString::from(assumed)) } else { environment(name) }
        };
        let problems = problems_of(&rendered.text, &with_assumed);
        let found = problems.map(|problems| refused_of(rendered, &problems)).unwrap_or_default();
        let both = match refused {
            Some(mut before) => {
                before.retain(|entry, _| found.contains_key(entry));
                before
            }
            None => found,
        };
        if both.is_empty() || !is_asked.get() {
            return both;
        }
        refused = Some(both);
    }
    refused.unwrap_or_default()
}

/// The entries that have a problem, with its message.
fn refused_of(rendered: &Rendered, problems: &Problems) -> BTreeMap<Part, String> {
    let lines = Lines::new(&rendered.text);
    let mut refused: BTreeMap<Part, String> = BTreeMap::new();
    for problem in &problems.list {
        let number = problem.position.as_ref().map_or(1, |position| lines.number_at(position.span.start));
        let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        let message = match (references(lines.line(number)).next(), problem.message.split_once(", found ")) {
            // What was found is the value of a variable, which may be a word of what is expected.
            (Some(reference), Some((expected, _))) if !problem.secret => {
                format!("{expected}; write the value in place of ${{{reference}}}")
            }
            _ => problems.message(problem),
        };
        for entry in entries_of(rendered, &lines, number) {
            let part = Part { entry, element: element_of(&problem.key) };
            refused.entry(part).or_insert_with(|| format!("{key}{message}"));
        }
    }
    refused
}

/// The entries of a line; of the head of a table that has none, those of its settings.
fn entries_of(rendered: &Rendered, lines: &Lines<'_>, number: usize) -> Vec<EntryId> {
    let entries = &rendered.entries;
    if let Some(entry) = entries.get(number - 1).copied().flatten() {
        return vec![entry];
    }
    let is_head = |number: usize| lines.line(number).starts_with('[');
    let below = (number + 1..=entries.len()).take_while(|number| !is_head(*number));
    let of_table: Vec<EntryId> = below.filter(|_| is_head(number)).filter_map(|number| entries[number - 1]).collect();
    if !of_table.is_empty() {
        return of_table;
    }
    // What cannot be attributed must not stay: the entry of the closest line.
    let before = entries.iter().take(number).rev().flatten();
    before.chain(entries.iter().flatten()).take(1).copied().collect()
}
