//! Typed settings from a document; all errors are collected.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::Duration;

use regex::Regex;

use super::dependency::{Check, Dependencies, Dependency};
use super::document::Document;
use super::filter::{Filter, filters};
use super::globs::Globs;
use super::problem::{Problem, Problems, Source};
use super::setting::{Mismatch, Setting};
use super::value::{Node, Position, Table, Value};

/// A setting: name, type, default and documentation.
#[derive(Debug)]
pub struct Key<T> {
    name: &'static str,
    /// The default as TOML; empty if there is none.
    default: &'static str,
    help: &'static str,
    of_type: PhantomData<fn(&T)>,
}

impl<T: Setting> Key<T> {
    /// A setting whose default is the TOML value `default`.
    pub const fn new(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Key { name, default, help, of_type: PhantomData }
    }

    /// An optional setting without a default.
    pub const fn optional(name: &'static str, help: &'static str) -> Self {
        Key::new(name, "", help)
    }

    /// The documentation's entry.
    pub const fn info(&self) -> KeyInfo {
        KeyInfo { name: self.name, expected: T::EXPECTED, default: self.default, help: self.help }
    }

    /// The default.
    ///
    /// # Panics
    /// If there is none.
    pub fn default(&self) -> T {
        let text = format!("value = {}", self.default);
        let parsed = Document::parse("default", &text, &|_| None).ok();
        let value = parsed.and_then(|document| T::from_value(&document.root["value"].1.value).ok());
        value.unwrap_or_else(|| panic!("the default of {} is not {}", self.name, T::EXPECTED))
    }
}

/// A setting's entry in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    /// The name.
    pub name: &'static str,
    /// The expected type.
    pub expected: &'static str,
    /// The default as TOML; empty if there is none.
    pub default: &'static str,
    /// The effect.
    pub help: &'static str,
}

/// A table's entry in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct TableInfo {
    /// The name.
    pub name: &'static str,
    /// The purpose.
    pub about: &'static str,
    /// The settings; none if the keys are user-defined.
    pub keys: &'static [KeyInfo],
}

impl TableInfo {
    /// A table with user-defined keys.
    pub const fn open(name: &'static str, about: &'static str) -> Self {
        TableInfo { name, about, keys: &[] }
    }
}

/// The errors of a check, and the texts that they are in.
struct Found<'d> {
    sources: &'d [Source],
    problems: RefCell<Vec<Problem>>,
    dependencies: RefCell<Vec<Dependency>>,
}

/// A table of the configuration. Dropping it reports the keys that were not read.
pub struct Section<'d> {
    table: Option<&'d Table>,
    position: Option<Position>,
    path: String,
    found: &'d Found<'d>,
    asked: BTreeSet<&'static str>,
    /// The secret ones.
    secrets: BTreeSet<&'static str>,
    /// Whether unknown keys are allowed.
    open: bool,
    /// Keys of tables below that another reader of the table knows.
    shared: BTreeMap<&'static str, Vec<&'static str>>,
}

impl<'d> Section<'d> {
    /// Runs `check` over the whole document.
    ///
    /// # Errors
    /// All errors that `check` reports.
    pub fn check<T>(document: &'d Document, check: impl FnOnce(&mut Section<'_>) -> T) -> Result<T, Problems> {
        let found =
            Found { sources: &document.sources, problems: RefCell::default(), dependencies: RefCell::default() };
        let mut root = Section::new(Some(&document.root), None, String::new(), &found);
        let checked = check(&mut root);
        drop(root);
        let mut list = found.problems.into_inner();
        list.extend(document.duplicates.iter().cloned());
        if list.is_empty() {
            return Ok(checked);
        }
        let secrets = document.secrets.clone();
        let mut problems = Problems { sources: document.sources.clone(), list, secrets };
        problems.sort();
        // A table that is no table is found by each of its readers.
        let is_same = |one: &mut Problem, two: &mut Problem| {
            (&one.position, &one.key, &one.message) == (&two.position, &two.key, &two.message)
        };
        problems.list.dedup_by(is_same);
        Err(problems)
    }

    fn new(table: Option<&'d Table>, position: Option<Position>, path: String, found: &'d Found<'d>) -> Section<'d> {
        let (asked, secrets, shared) = Default::default();
        Section { table, position, path, found, asked, secrets, open: false, shared }
    }

    /// The setting, or its default.
    pub fn get<T: Setting>(&mut self, key: &Key<T>) -> T {
        self.optional(key).unwrap_or_else(|| key.default())
    }

    /// The setting, if set.
    pub fn optional<T: Setting>(&mut self, key: &Key<T>) -> Option<T> {
        self.asked.insert(key.name);
        if T::SECRET {
            self.secrets.insert(key.name);
        }
        let (_, node) = self.table?.get(key.name).filter(|(_, node)| !node.is_nothing())?;
        T::from_node(node).map_err(|mismatches| self.mismatched(key.name, mismatches)).ok()
    }

    /// The duration, or its default; zero is an error.
    pub fn above_zero(&mut self, key: &Key<Duration>) -> Duration {
        let duration = self.get(key);
        if duration.is_zero() {
            self.wrong(key.name, "expected a duration above zero, found none");
        }
        duration
    }

    /// All entries of a table with user-defined keys, as strings.
    pub fn strings(self) -> BTreeMap<String, String> {
        self.entries()
    }

    /// The same; an entry that `check` refuses is an error.
    pub fn strings_that(self, check: impl Fn(&str, &str) -> Result<(), &'static str>) -> BTreeMap<String, String> {
        for (key, (_, node)) in self.table.into_iter().flatten() {
            let refused = String::from_value(&node.value).ok().and_then(|value| check(key, &value).err());
            refused.into_iter().for_each(|reason| self.wrong(key, reason));
        }
        self.strings()
    }

    /// All entries of a table with user-defined keys.
    pub fn entries<T: Setting>(mut self) -> BTreeMap<String, T> {
        self.open = true;
        let mut entries = BTreeMap::new();
        for (key, (_, node)) in self.table.into_iter().flatten() {
            match T::from_node(node) {
                Ok(entry) => drop(entries.insert(key.clone(), entry)),
                Err(mismatches) => self.mismatched(key, mismatches),
            }
        }
        entries
    }

    /// Allows unknown keys.
    pub fn open(&mut self) -> &mut Self {
        self.open = true;
        self
    }

    /// Reports settings of CloudWatch, if this build was made without it.
    pub fn refuse_cloudwatch(&mut self) {
        if cfg!(feature = "cloudwatch") {
            return;
        }
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

    /// A filter by `include` or by `exclude`; setting both is an error.
    pub fn include_or_exclude(&mut self, include: &Key<Regex>, exclude: &Key<Regex>) -> Filter {
        let included = self.optional(include).and_then(filters);
        let is_excluded = self.has(exclude);
        let excluded = self.get(exclude);
        if included.is_some() && is_excluded && !excluded.as_str().is_empty() {
            self.wrong(include.name, format!("expected either this or {}, found both", exclude.name));
        }
        match included {
            Some(included) => Filter::new(Some(included), None),
            None => Filter::new(None, Some(excluded)),
        }
    }

    /// As [`Section::include_or_exclude`], for an `exclude` without a default.
    pub fn optional_include_or_exclude(&mut self, include: &Key<Regex>, exclude: &Key<Regex>) -> Filter {
        let (included, excluded) = (self.optional(include).and_then(filters), self.optional(exclude).and_then(filters));
        if included.is_some() && excluded.is_some() {
            self.wrong(include.name, format!("expected either this or {}, found both", exclude.name));
        }
        Filter::new(included, excluded)
    }

    /// The names in a list; those that are not in `known` are errors.
    pub fn some_of(&mut self, key: &Key<Vec<String>>, known: &[&str]) -> Vec<String> {
        let given = self.get(key);
        for (index, name) in given.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
            self.wrong_element(key.name, index, unexpected(name, known));
        }
        given
    }

    /// A filter by glob patterns; without any, it accepts all names.
    pub fn globs(&mut self, key: &Key<Vec<String>>) -> Filter {
        let globs = self.get(key);
        for (index, glob) in globs.iter().enumerate() {
            if let Err(error) = Globs::new(vec![glob.clone()]) {
                self.wrong_element(key.name, index, format!("expected a glob pattern: {error}"));
            }
        }
        Filter::from_globs(&globs).unwrap_or_default()
    }

    /// Whether the setting is set.
    pub fn has<T>(&self, key: &Key<T>) -> bool {
        self.table.is_some_and(|table| table.contains_key(key.name))
    }

    /// A sub-table; empty if absent.
    pub fn table(&mut self, name: &'static str) -> Section<'d> {
        self.asked.insert(name);
        let found = self.table.and_then(|table| table.get(name));
        let mut below = self.below(name, found.map(|(_, node)| node));
        below.asked.extend(self.shared.get(name).into_iter().flatten());
        below
    }

    /// From now on, `keys` are known in the sub-table `name`, as another reader of the table uses them.
    pub fn share(&mut self, name: &'static str, keys: impl Iterator<Item = &'static str>) {
        self.shared.entry(name).or_default().extend(keys);
    }

    /// The tables of a list.
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
                self.report(Some(node.position.clone()), &self.path_of(name), message);
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
                let message = format!("expected a table, [{path}], found {}", node.value.kind());
                self.report(Some(node.position.clone()), &path, message);
                None
            }
            None => None,
        };
        let position = node.map(|node| node.position.clone()).or_else(|| self.position.clone());
        Section::new(table, position, path, self.found)
    }

    /// The keys that are set.
    pub fn keys(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.table.into_iter().flat_map(|table| table.keys().map(String::as_str))
    }

    /// Reports an error in the value of `key`, or in the section if the key is absent.
    pub fn wrong(&self, key: &str, message: impl Into<String>) {
        let position = self.table.and_then(|table| table.get(key)).map(|(_, node)| node.position.clone());
        let (position, secret) = (position.or_else(|| self.position.clone()), self.secrets.contains(key));
        self.found.problems.borrow_mut().push(Problem {
            position,
            key: self.path_of(key),
            message: message.into(),
            secret,
        });
    }

    /// Reports an error in the element `index` of the list that is the value of `key`.
    pub fn wrong_element(&self, key: &str, index: usize, message: impl Into<String>) {
        let (element, message) = (format!("[{index}]"), message.into());
        match self.table.and_then(|table| table.get(key)) {
            Some((_, Node { value: Value::Array(items), .. })) if index < items.len() => {
                self.mismatched(key, vec![Mismatch { element, position: items[index].position.clone(), message }]);
            }
            _ => self.wrong(key, message),
        }
    }

    /// Registers what the value of `key` names on this machine: `check` says whether it is there, see [`Dependencies`].
    pub fn depends(&self, key: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.register(key, Box::new(check), false);
    }

    /// Registers that the value of `key` has no effect, or can never have the wanted one, and why.
    pub fn has_no_effect(&self, key: &str, reason: &'static str) {
        self.register(key, Box::new(|| Err(reason.to_owned())), true);
    }

    fn register(&self, key: &str, check: Box<Check>, is_idle: bool) {
        let position = self.table.and_then(|table| table.get(key)).map(|(_, node)| node.position.clone());
        let dependency = Dependency { position, key: self.path_of(key), check, is_idle };
        self.found.dependencies.borrow_mut().push(dependency);
    }

    /// What the settings that were read so far name, in `document`.
    pub fn dependencies(&self, document: &Document) -> Dependencies {
        Dependencies::new(self.found.dependencies.take(), document)
    }

    fn mismatched(&self, key: &str, mismatches: Vec<Mismatch>) {
        let (path, secret) = (self.path_of(key), self.secrets.contains(key));
        let problems = mismatches.into_iter().map(|Mismatch { element, position, message }| Problem {
            position: Some(position),
            key: format!("{path}{element}"),
            message,
            secret,
        });
        self.found.problems.borrow_mut().extend(problems);
    }

    /// Reports an error in the value of `key`, which is unknown, in place of the general one.
    pub fn refuse(&mut self, key: &'static str, message: impl Into<String>) {
        self.asked.insert(key);
        self.wrong(key, message);
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A suggestion for an unknown key.
    fn hint(&self, key: &str, position: &Position) -> String {
        /// More names, such as those of all collectors, are documentation.
        const MAX_LISTED: usize = 70;
        let known = || self.asked.iter().copied();
        if let Some(close) = typo(key, known()) {
            return format!("; did you mean {close}?");
        }
        if let Some((line, header)) = self.commented_header(position) {
            return format!("; {header} in line {line} is a comment: if the key belongs to it, remove the # there");
        }
        match closest(key, known()) {
            Some(close) => format!("; did you mean {close}?"),
            None if self.asked.len() > MAX_LISTED => String::new(),
            None => format!("; expected one of {}", known().collect::<Vec<_>>().join(", ")),
        }
    }

    /// The last header between the section's start and a key that is a comment, and its line.
    fn commented_header(&self, key: &Position) -> Option<(usize, &'d str)> {
        let source = self.found.sources.get(key.source)?;
        let start = self.position.as_ref().filter(|position| position.source == key.source);
        let start = start.map_or(0, |position| position.span.start);
        let before = source.text.get(start..key.span.start)?;
        // A header is known by its bracket.
        if before.ends_with(['[', '.']) {
            return None;
        }
        let first = source.text[..start].matches('\n').count() + 1;
        let headers = before.lines().enumerate().filter_map(|(index, line)| {
            let header = line.trim().strip_prefix('#')?.trim_start_matches(['#', ' ']);
            let table = header.strip_prefix('[')?.strip_suffix(']')?.trim_matches(['[', ']']);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            (!table.is_empty() && table.chars().all(is_name)).then_some((first + index, header))
        });
        headers.last()
    }

    fn report(&self, position: Option<Position>, key: &str, message: String) {
        self.found.problems.borrow_mut().push(Problem { position, key: key.to_owned(), message, secret: false });
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.open {
            return;
        }
        /// A hint searches all known keys. With more errors, the file belongs to another program.
        const MAX_HINTS: usize = 1000;
        let unknown = self.table.into_iter().flatten().filter(|(key, _)| !self.asked.contains(key.as_str()));
        for (index, (key, (position, _))) in unknown.enumerate() {
            let hint = if index < MAX_HINTS { self.hint(key, position) } else { String::new() };
            self.report(Some(position.clone()), &self.path_of(key), format!("unknown key{hint}"));
        }
    }
}

/// The error for a name that is not among the known ones.
fn unexpected(name: &str, known: &[&str]) -> String {
    let hint = closest(name, known.iter().copied()).map(|close| format!("; did you mean {close}?")).unwrap_or_default();
    format!("expected {}, found {name:?}{hint}", one_of(known))
}

/// The names as `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// The known word that `word` is likely a typo or an abbreviation of.
pub fn closest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let known: Vec<&str> = known.collect();
    let short_for = known.iter().copied().filter(|candidate| is_short_for(word, candidate));
    typo(word, known.iter().copied()).or_else(|| short_for.min_by_key(|candidate| candidate.len()))
}

fn typo<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let (distance, candidate) = known.map(|candidate| (edit_distance(word, candidate), candidate)).min()?;
    (distance <= 1 + word.chars().count() / 5).then_some(candidate)
}

/// Whether `word` is a part of `name`, or has some of its letters in order, from the first on.
fn is_short_for(word: &str, name: &str) -> bool {
    /// Shorter words are parts of most names.
    const MIN: usize = 3;
    let mut letters = name.chars();
    word.len() >= MIN
        && (name.contains(word)
            || word.chars().next() == name.chars().next()
                && word.chars().all(|letter| letters.any(|other| other == letter)))
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
                "t.toml:2:12: agent.interval: expected a duration such as \"10s\" or \"1m 30s\", found the integer 10 (without a unit: \"10s\", \"10m\", \"10h\" or \"10d\")",
                "t.toml:3:1: agent.sizw: unknown key; did you mean size?",
                "t.toml:6:8: sink[0].name: expected a string, found true",
                "t.toml:7:2: colour: unknown key; expected one of agent, sink",
            ]
        );
    }

    #[test]
    fn of_many_mistakes_the_first_are_shown_and_the_others_counted() {
        let text: String = (0..5000).map(|number| format!("key{number} = 1\n")).collect();
        let lines = check(&text).unwrap_err();
        assert_eq!(lines.len(), 101);
        assert_eq!(lines[0], "t.toml:1:1: key0: unknown key; expected one of agent, sink");
        assert_eq!(lines[100], "and 4900 more mistakes");
        let document = Document::parse("t.toml", &text, &|_| None).unwrap();
        let shown = Section::check(&document, |_| ()).unwrap_err().to_string();
        assert_eq!(shown.matches("\n  1 | key0").count(), 1);
        assert!(shown.ends_with("\nerror: and 4900 more mistakes"), "{}", &shown[shown.len() - 200..]);
    }

    #[test]
    fn a_mistake_is_shown_in_its_line() {
        let document = Document::parse("t.toml", "[agent]\nsize = 'ü'\n", &|_| None).unwrap();
        let problems = Section::check(&document, |root| root.table("agent").get(&SIZE)).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "error: t.toml:2:8: agent.size: expected a positive integer, found the string \"ü\"\n\
             \x20 2 | size = 'ü'\n\
             \x20   |        ^^^"
        );
    }

    #[test]
    fn an_abbreviation_is_close_to_its_word() {
        let known = ["cpu", "diskstats", "max_connections", "idle_timeout", "schedstat"];
        for (word, close) in [
            ("dsk", Some("diskstats")),
            ("disks", Some("diskstats")),
            ("cpus", Some("cpu")),
            ("max_conn", Some("max_connections")),
            ("timeout", Some("idle_timeout")),
            ("ks", None),
            ("tats", Some("diskstats")),
            ("xyz", None),
        ] {
            assert_eq!(closest(word, known.into_iter()), close, "{word}");
        }
    }

    #[test]
    fn the_element_of_a_list_that_is_invalid_is_named() {
        const LISTEN: Key<Vec<usize>> = Key::new("sizes", "[]", "");
        const SETS: Key<Vec<Vec<String>>> = Key::new("sets", "[]", "");
        const GLOBS: Key<Globs> = Key::optional("globs", "");
        const NAMES: Key<Vec<String>> = Key::new("names", "[]", "");
        const CHOSEN: Key<Vec<String>> = Key::new("chosen", "[]", "");
        let text = "sizes = [1, 'x',\n 0, 3]\nsets = [['a'], ['b', 5], 'c']\nglobs = ['a*', '[']\nnames = ['b*', '{']\n\
                    chosen = ['read', 'pus']\n";
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let problems = Section::check(&document, |root| {
            drop((root.get(&LISTEN), root.get(&SETS), root.optional(&GLOBS), root.globs(&NAMES)));
            root.some_of(&CHOSEN, &["read", "push", "admin"])
        });
        let lines: Vec<String> = problems.unwrap_err().lines().collect();
        assert_eq!(
            lines,
            [
                "t.toml:1:13: sizes[1]: expected a positive integer, found the string \"x\"",
                "t.toml:2:2: sizes[2]: expected a positive integer, found the integer 0",
                "t.toml:3:22: sets[1][1]: expected a string, found the integer 5",
                "t.toml:3:26: sets[2]: expected a list of strings, found the string \"c\" (write [\"c\"])",
                "t.toml:4:16: globs[1]: expected a glob pattern, found the string \"[\" (unclosed character class; missing ']')",
                "t.toml:5:16: names[1]: expected a glob pattern: error parsing glob '{': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)",
                "t.toml:6:19: chosen[1]: expected read, push or admin, found \"pus\"; did you mean push?",
            ]
        );
    }

    #[test]
    fn a_secret_in_a_list_is_not_shown() {
        const TOKENS: Key<Vec<crate::config::Secret>> = Key::new("list", "[]", "");
        let document = Document::parse("t.toml", "list = ['a', 7654321]\n", &|_| None).unwrap();
        let shown = Section::check(&document, |root| root.get(&TOKENS)).unwrap_err().to_string();
        assert!(shown.starts_with("error: t.toml:1:14: list[1]: expected a string, found something else"), "{shown}");
        assert!(!shown.contains("7654321"), "{shown}");
    }

    #[test]
    fn a_header_that_was_left_a_comment_is_named() {
        let lines = check("[agent]\nsize = 1\n\n# Sinks.\n#[[sink]]\nname = 'a'\n").unwrap_err();
        let expected = "t.toml:6:1: agent.name: unknown key; [[sink]] in line 5 is a comment: if the key belongs to it, remove the # there";
        assert_eq!(lines, [expected]);
        let lines = check("# [agent]\nsize = 1\n# [other] words\n[[sink]]\n").unwrap_err();
        assert!(lines[0].starts_with("t.toml:2:1: size: unknown key; [agent] in line 1 is a comment"), "{lines:?}");
        for text in ["[agent]\n#[sink]\nsizw = 1\n", "#[agent]\n[agent]\ncolour = 1\n", "#[agent]\n[colour]\n"] {
            let lines = check(text).unwrap_err();
            assert!(!lines[0].contains("comment"), "{lines:?}");
        }
    }
}
