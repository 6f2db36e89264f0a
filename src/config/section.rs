//! Typed settings out of a document, with every mistake gathered.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::Duration;

use regex::Regex;

use super::document::{Document, Node, Table, Value};
use super::filter::Filter;
use super::problem::{Place, Problem, Problems};
use super::setting::Setting;

/// A setting: its name, type, default and documentation, written here and nowhere else.
#[derive(Debug)]
pub struct Key<T> {
    name: &'static str,
    /// The default as TOML; empty where there is none.
    default: &'static str,
    help: &'static str,
    of_type: PhantomData<fn(&T)>,
}

impl<T: Setting> Key<T> {
    /// A setting whose default is the TOML value `default`.
    pub const fn new(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Key { name, default, help, of_type: PhantomData }
    }

    /// A setting that need not be there and has no default.
    pub const fn optional(name: &'static str, help: &'static str) -> Self {
        Key::new(name, "", help)
    }

    /// The setting as the documentation lists it.
    pub const fn info(&self) -> KeyInfo {
        KeyInfo { name: self.name, expected: T::EXPECTED, default: self.default, help: self.help }
    }

    /// The default.
    ///
    /// # Panics
    /// Where there is none.
    pub fn default(&self) -> T {
        let text = format!("value = {}", self.default);
        let parsed = Document::parse("default", &text, &|_| None).ok();
        let value = parsed.and_then(|document| T::from_value(&document.root["value"].1.value).ok());
        value.unwrap_or_else(|| panic!("the default of {} is not {}", self.name, T::EXPECTED))
    }
}

/// A setting as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    /// The name.
    pub name: &'static str,
    /// What it takes.
    pub expected: &'static str,
    /// The default as TOML; empty where there is none.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// A table of the configuration from which settings are taken. When it is dropped, keys that nobody asked for are
/// reported.
pub struct Section<'d> {
    table: Option<&'d Table>,
    place: Option<Place>,
    path: String,
    problems: &'d RefCell<Vec<Problem>>,
    asked: BTreeSet<&'static str>,
    /// Those of them whose values must not be shown.
    secrets: BTreeSet<&'static str>,
    /// Whether the keys are the user's own.
    open: bool,
}

impl<'d> Section<'d> {
    /// Runs `check` over the whole document.
    ///
    /// # Errors
    /// Every mistake that `check` came upon.
    pub fn check<T>(document: &'d Document, check: impl FnOnce(&mut Section<'_>) -> T) -> Result<T, Problems> {
        let problems = RefCell::new(Vec::new());
        let mut root = Section::new(Some(&document.root), None, String::new(), &problems);
        let checked = check(&mut root);
        drop(root);
        let list = problems.into_inner();
        if list.is_empty() {
            return Ok(checked);
        }
        let secrets = document.secrets.clone();
        let mut problems = Problems { sources: document.sources.clone(), list, secrets };
        problems.sort();
        Err(problems)
    }

    fn new(
        table: Option<&'d Table>,
        place: Option<Place>,
        path: String,
        problems: &'d RefCell<Vec<Problem>>,
    ) -> Section<'d> {
        Section { table, place, path, problems, asked: BTreeSet::new(), secrets: BTreeSet::new(), open: false }
    }

    /// The setting, or its default.
    pub fn get<T: Setting>(&mut self, key: &Key<T>) -> T {
        self.optional(key).unwrap_or_else(|| key.default())
    }

    /// The setting, if it is there.
    pub fn optional<T: Setting>(&mut self, key: &Key<T>) -> Option<T> {
        self.asked.insert(key.name);
        if T::SECRET {
            self.secrets.insert(key.name);
        }
        let (_, node) = self.table?.get(key.name).filter(|(_, node)| !node.is_nothing())?;
        match T::from_value(&node.value) {
            Ok(setting) => Some(setting),
            Err(reason) => {
                let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                self.wrong(key.name, format!("expected {}, found {}{because}", T::EXPECTED, found::<T>(&node.value)));
                None
            }
        }
    }

    /// The duration, or its default; zero is a mistake.
    pub fn above_zero(&mut self, key: &Key<Duration>) -> Duration {
        let duration = self.get(key);
        if duration.is_zero() {
            self.wrong(key.name, "expected a duration above zero, found none");
        }
        duration
    }

    /// All entries, which must be strings: the section is a table of the user's own keys.
    pub fn strings(self) -> BTreeMap<String, String> {
        self.entries()
    }

    /// All entries, which must be of one type: the section is a table of the user's own keys.
    pub fn entries<T: Setting>(mut self) -> BTreeMap<String, T> {
        self.open = true;
        let mut entries = BTreeMap::new();
        for (key, (_, node)) in self.table.into_iter().flatten() {
            match T::from_value(&node.value) {
                Ok(entry) => drop(entries.insert(key.clone(), entry)),
                Err(_) => self.wrong(key, format!("expected {}, found {}", T::EXPECTED, found::<T>(&node.value))),
            }
        }
        entries
    }

    /// The section, of which only some keys are asked for: others are no mistake.
    pub fn open(&mut self) -> &mut Self {
        self.open = true;
        self
    }

    /// Reports settings of CloudWatch, which this build does not have.
    #[cfg(not(feature = "cloudwatch"))]
    pub fn has_no_cloudwatch(&mut self) {
        let mut tables = self.tables("cloudwatch");
        for table in &mut tables {
            table.open();
        }
        if !tables.is_empty() {
            let message =
                "this Taffrail was built without CloudWatch; cargo build has it, unless told --no-default-features";
            self.wrong("cloudwatch", message);
        }
    }

    /// The filter that includes what `include` matches, or else excludes what `exclude` matches; only one may be there.
    pub fn include_or_exclude(&mut self, include: &Key<Regex>, exclude: &Key<Regex>) -> Filter {
        let included = self.optional(include);
        if included.is_some() && self.has(exclude) {
            self.wrong(include.name, format!("expected either this or {}, found both", exclude.name));
        }
        let excluded = self.get(exclude);
        match included {
            Some(included) => Filter::new(Some(included), None),
            None => Filter::new(None, Some(excluded)),
        }
    }

    /// The same for an exclusion that is not there unless it is set.
    pub fn optional_include_or_exclude(&mut self, include: &Key<Regex>, exclude: &Key<Regex>) -> Filter {
        let (included, excluded) = (self.optional(include), self.optional(exclude));
        if included.is_some() && excluded.is_some() {
            self.wrong(include.name, format!("expected either this or {}, found both", exclude.name));
        }
        Filter::new(included, excluded)
    }

    /// The filter that wants what one of the glob patterns matches; everything, if there are none.
    pub fn globs(&mut self, key: &Key<Vec<String>>) -> Filter {
        let globs = self.get(key);
        Filter::from_globs(&globs).unwrap_or_else(|error| {
            self.wrong(key.name, format!("expected glob patterns: {error}"));
            Filter::default()
        })
    }

    /// Whether the setting is there.
    pub fn has<T>(&self, key: &Key<T>) -> bool {
        self.table.is_some_and(|table| table.contains_key(key.name))
    }

    /// The table below this one, empty if it is not there.
    pub fn table(&mut self, name: &'static str) -> Section<'d> {
        self.asked.insert(name);
        let found = self.table.and_then(|table| table.get(name));
        self.below(name, found.map(|(_, node)| node))
    }

    /// The tables of the list of tables below this one.
    pub fn tables(&mut self, name: &'static str) -> Vec<Section<'d>> {
        self.asked.insert(name);
        match self.table.and_then(|table| table.get(name)) {
            Some((_, Node { value: Value::Array(nodes), .. })) => {
                let each = |(index, node)| self.below(&format!("{name}[{index}]"), Some(node));
                nodes.iter().enumerate().map(each).collect()
            }
            Some((_, node)) => {
                let message =
                    format!("expected a list of tables, [[{}]], found {}", self.path_of(name), node.value.kind());
                self.report(Some(node.place.clone()), &self.path_of(name), message);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn below(&self, name: &str, node: Option<&'d Node>) -> Section<'d> {
        let path = self.path_of(name);
        let table = match node {
            Some(Node { value: Value::Table(table), .. }) => Some(table),
            Some(node) if node.is_nothing() => None,
            Some(node) => {
                let message = format!("expected a table, found {}", node.value.kind());
                self.report(Some(node.place.clone()), &path, message);
                None
            }
            None => None,
        };
        let place = node.map(|node| node.place.clone()).or_else(|| self.place.clone());
        Section::new(table, place, path, self.problems)
    }

    /// The keys that are there.
    pub fn keys(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.table.into_iter().flat_map(|table| table.keys().map(String::as_str))
    }

    /// Reports a mistake in the value of `key`, or in the section if the key is not there.
    pub fn wrong(&self, key: &str, message: impl Into<String>) {
        let place = self.table.and_then(|table| table.get(key)).map(|(_, node)| node.place.clone());
        let (place, secret) = (place.or_else(|| self.place.clone()), self.secrets.contains(key));
        self.problems.borrow_mut().push(Problem { place, key: self.path_of(key), message: message.into(), secret });
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn report(&self, place: Option<Place>, key: &str, message: String) {
        self.problems.borrow_mut().push(Problem { place, key: key.to_owned(), message, secret: false });
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.open {
            return;
        }
        for (key, (place, _)) in self.table.into_iter().flatten() {
            if !self.asked.contains(key.as_str()) {
                let known = self.asked.iter().copied().collect::<Vec<_>>().join(", ");
                let hint = match closest(key, self.asked.iter().copied()) {
                    Some(close) => format!("did you mean {close}?"),
                    None => format!("expected one of {known}"),
                };
                self.report(Some(place.clone()), &self.path_of(key), format!("unknown key; {hint}"));
            }
        }
    }
}

/// What was found in the place of a setting, as far as it may be shown.
fn found<T: Setting>(value: &Value) -> String {
    if T::SECRET { "something else".to_owned() } else { value.describe() }
}

/// The known word that `word` is most likely a slip of, if any is close.
pub fn closest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let distances = known.map(|candidate| (edit_distance(word, candidate), candidate));
    let (distance, candidate) = distances.min()?;
    (distance <= 1 + word.chars().count() / 5).then_some(candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Key<Duration> = Key::new("interval", "\"10s\"", "");
    const SIZE: Key<usize> = Key::new("size", "5", "");
    const NAME: Key<String> = Key::optional("name", "");

    type Checked = (Duration, usize, Vec<Option<String>>);

    fn check(text: &str) -> Result<Checked, Vec<String>> {
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let checked = Section::check(&document, |root| {
            let mut agent = root.table("agent");
            let names = root.tables("sink").iter_mut().map(|sink| sink.optional(&NAME)).collect();
            (agent.get(&INTERVAL), agent.get(&SIZE), names)
        });
        checked.map_err(|problems| problems.lines().collect())
    }

    #[test]
    fn what_is_not_there_has_its_default() {
        assert_eq!(check(""), Ok((Duration::from_secs(10), 5, vec![])));
        let names = vec![Some("a".to_owned()), None];
        assert_eq!(check("agent.size = 7\n[[sink]]\nname = 'a'\n[[sink]]"), Ok((Duration::from_secs(10), 7, names)));
    }

    #[test]
    fn all_mistakes_are_shown_at_once_with_place_key_and_expectation() {
        let text = "[agent]\ninterval = 10\nsizw = 1\n\n[[sink]]\nname = true\n[colour]\n";
        let lines = check(text).unwrap_err();
        assert_eq!(
            lines,
            [
                "t.toml:2:12: agent.interval: expected a duration such as \"10s\" or \"1m 30s\", found the integer 10",
                "t.toml:3:1: agent.sizw: unknown key; did you mean size?",
                "t.toml:6:8: sink[0].name: expected a string, found true",
                "t.toml:7:2: colour: unknown key; expected one of agent, sink",
            ]
        );
    }

    #[test]
    fn a_mistake_is_shown_in_its_line() {
        let document = Document::parse("t.toml", "[agent]\nsize = 'ü'\n", &|_| None).unwrap();
        let problems = Section::check(&document, |root| root.table("agent").get(&SIZE)).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "error: t.toml:2:8: agent.size: expected a whole number above zero, found the string \"ü\"\n\
             \x20 2 | size = 'ü'\n\
             \x20   |        ^^^"
        );
    }
}
