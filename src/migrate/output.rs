//! The translated settings as TOML, each with the comment of its source.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

use super::entry::{Entry, EntryId};

mod elements;

use self::elements::{ADDRESSES, remove};

/// A TOML document in the order in which its tables were first used.
#[derive(Clone, Debug, Default)]
pub struct Output {
    tables: Vec<Table>,
}

/// A table, or an element of a list of tables.
#[derive(Clone, Debug)]
pub struct Table {
    /// The whole path, such as `sinks.influxdb.tagpass`.
    path: String,
    is_element: bool,
    /// The line that it comes from, if it has one.
    entry: Option<EntryId>,
    settings: Vec<Setting>,
    /// The keys of the settings, and of some that were removed.
    keys: HashSet<String>,
    children: Vec<Table>,
}

#[derive(Clone, Debug)]
struct Setting {
    key: String,
    values: Vec<(String, EntryId)>,
    is_list: bool,
    /// Earlier values that these replaced.
    replaced: Vec<(String, EntryId)>,
}

/// The rendered text, with the entry of each of its lines.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The TOML.
    pub text: String,
    /// The entry that each line comes from, by its index.
    pub entries: Vec<Option<EntryId>>,
}

impl Output {
    /// The table of this path.
    pub fn table(&mut self, path: &str) -> &mut Table {
        find_or_add(&mut self.tables, path)
    }

    /// A new element of a list of tables.
    pub fn element(&mut self, path: &str, entry: EntryId) -> &mut Table {
        self.tables.push(Table { is_element: true, entry: Some(entry), ..Table::new(path) });
        let last = self.tables.len() - 1;
        &mut self.tables[last]
    }

    /// The element of a list of tables that was added last.
    ///
    /// # Panics
    /// There is none.
    pub fn last_element(&mut self, path: &str) -> &mut Table {
        let mut elements = self.tables.iter_mut().filter(|table| table.is_element && table.path == path);
        elements.next_back().expect("an element was added")
    }

    /// All elements of a list of tables.
    pub fn elements(&mut self, path: &str) -> impl Iterator<Item = &mut Table> {
        self.tables.iter_mut().filter(move |table| table.is_element && table.path == path)
    }

    /// The entry of the element of a list of tables that was added last; 0 if there is none.
    pub fn last_entry(&self, path: &str) -> EntryId {
        let mut elements = self.tables.iter().filter(|table| table.is_element && table.path == path);
        elements.next_back().and_then(|table| table.entry).unwrap_or_default()
    }

    /// Gives every entry another number.
    pub fn renumber(&mut self, number: &dyn Fn(EntryId) -> EntryId) {
        self.tables.iter_mut().for_each(|table| table.renumber(number));
    }

    /// Whether there is no setting and no element.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(Table::is_empty)
    }

    /// Appends the tables of another document, whose entries now start at `first`. Of a setting of both, the later one
    /// holds; lists append.
    pub fn append(&mut self, other: Output, first: EntryId) {
        for mut table in other.tables {
            table.renumber(&|entry| entry + first);
            if table.is_element {
                self.tables.push(table);
            } else {
                self.table(&table.path.clone()).merge(table);
            }
        }
    }

    /// Removes all settings and elements of `entries`. Returns the entries of all that was removed, each with the one of
    /// `entries` that it was removed with.
    pub fn remove(&mut self, entries: &BTreeSet<EntryId>) -> BTreeMap<EntryId, EntryId> {
        let mut removed = BTreeMap::new();
        remove(&mut self.tables, entries, &mut removed);
        removed
    }

    /// The entries that have a setting or an element.
    pub fn entries(&self) -> BTreeSet<EntryId> {
        let mut entries = BTreeSet::new();
        self.tables.iter().for_each(|table| table.collect_entries(&mut entries));
        entries
    }

    /// Entries whose value another entry replaced by a different one, each with that entry.
    pub fn replaced(&self) -> Vec<(EntryId, EntryId)> {
        let mut replaced = Vec::new();
        self.tables.iter().for_each(|table| table.collect_replaced(&mut replaced));
        replaced
    }

    /// The TOML, with the comments of `entries`.
    pub fn render(&self, entries: &[Entry]) -> Rendered {
        let mut rendered = Rendered::default();
        for table in &self.tables {
            table.render(entries, &mut rendered);
        }
        rendered
    }
}

impl Table {
    fn new(path: &str) -> Table {
        let (settings, keys, children) = Default::default();
        Table { path: path.to_owned(), is_element: false, entry: None, settings, keys, children }
    }

    /// The table below this one.
    pub fn table(&mut self, name: &str) -> &mut Table {
        let path = format!("{}.{name}", self.path);
        find_or_add(&mut self.children, &path)
    }

    /// A new element of the list of tables below this one.
    pub fn element(&mut self, name: &str, entry: EntryId) -> &mut Table {
        let path = format!("{}.{name}", self.path);
        self.children.push(Table { is_element: true, entry: Some(entry), ..Table::new(&path) });
        let last = self.children.len() - 1;
        &mut self.children[last]
    }

    /// The element of a list of tables below this one that was added last.
    pub fn last_or_new_element(&mut self, name: &str) -> &mut Table {
        let path = format!("{}.{name}", self.path);
        let found = self.children.iter().rposition(|child| child.is_element && child.path == path);
        let index = found.unwrap_or_else(|| {
            self.children.push(Table { is_element: true, ..Table::new(&path) });
            self.children.len() - 1
        });
        &mut self.children[index]
    }

    /// Sets a setting to a TOML value. A later value replaces an earlier one.
    pub fn set(&mut self, key: &str, value: impl Into<String>, entry: EntryId) -> &mut Table {
        let values = vec![(value.into(), entry)];
        self.replace(Setting { key: key.to_owned(), values, is_list: false, replaced: Vec::new() });
        self
    }

    /// Sets a setting in place of an earlier one that is less exact.
    pub fn refine(&mut self, key: &str, value: impl Into<String>, entry: EntryId) {
        self.unset(key);
        self.set(key, value, entry);
    }

    /// Appends a TOML value to a list.
    pub fn push(&mut self, key: &str, value: impl Into<String>, entry: EntryId) -> &mut Table {
        let value = (value.into(), entry);
        let is_there = !self.keys.insert(key.to_owned());
        // The list that is appended to is most often the last one.
        let mut settings = self.settings.iter_mut().rev().filter(|_| is_there);
        match settings.find(|setting| setting.key == key && setting.is_list) {
            Some(setting) => setting.values.push(value),
            None => {
                self.settings.push(Setting {
                    key: key.to_owned(),
                    values: vec![value],
                    is_list: true,
                    replaced: Vec::new(),
                });
            }
        }
        self
    }

    fn replace(&mut self, mut setting: Setting) {
        if !self.keys.insert(setting.key.clone()) {
            for earlier in self.settings.extract_if(.., |earlier| earlier.key == setting.key) {
                setting.replaced.extend(earlier.replaced.into_iter().chain(earlier.values));
            }
        }
        self.settings.push(setting);
    }

    /// Removes a setting; returns its first entry.
    pub fn unset(&mut self, key: &str) -> Option<EntryId> {
        let at = self.settings.iter().position(|setting| setting.key == key)?;
        self.settings.remove(at).values.first().map(|(_, entry)| *entry)
    }

    /// The values of a setting, each with its entry.
    pub fn values(&self, key: &str) -> Vec<(String, EntryId)> {
        self.settings.iter().filter(|setting| setting.key == key).flat_map(|setting| setting.values.clone()).collect()
    }

    /// Whether the setting is set.
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key) && self.settings.iter().any(|setting| setting.key == key)
    }

    fn is_empty(&self) -> bool {
        !self.is_element && self.settings.is_empty() && self.children.iter().all(Table::is_empty)
    }

    /// Removes the settings of `entries`. Returns the entry that was its address, if none is left.
    fn remove_settings(
        &mut self,
        entries: &BTreeSet<EntryId>,
        removed: &mut BTreeMap<EntryId, EntryId>,
    ) -> Option<EntryId> {
        let mut address = None;
        for setting in &mut self.settings {
            let lost = setting.values.extract_if(.., |(_, entry)| entries.contains(entry));
            let lost: Vec<EntryId> = lost.map(|(_, entry)| entry).collect();
            removed.extend(lost.iter().map(|entry| (*entry, *entry)));
            if setting.values.is_empty() && ADDRESSES.contains(&setting.key.as_str()) {
                address = lost.last().copied();
            }
        }
        self.settings.retain(|setting| !setting.values.is_empty());
        address
    }

    /// The entries of the table, its settings and its children.
    fn entries(&self) -> BTreeSet<EntryId> {
        let mut entries = BTreeSet::new();
        self.collect_entries(&mut entries);
        entries
    }

    fn collect_entries(&self, entries: &mut BTreeSet<EntryId>) {
        entries.extend(self.entry);
        entries.extend(self.settings.iter().flat_map(|setting| &setting.values).map(|(_, entry)| *entry));
        self.children.iter().for_each(|child| child.collect_entries(entries));
    }

    fn collect_replaced(&self, replaced: &mut Vec<(EntryId, EntryId)>) {
        for setting in &self.settings {
            let Some((value, holds)) = setting.values.first() else { continue };
            let others = setting.replaced.iter().filter(|(other, entry)| other != value && entry != holds);
            replaced.extend(others.map(|(_, entry)| (*entry, *holds)));
        }
        self.children.iter().for_each(|child| child.collect_replaced(replaced));
    }

    fn renumber(&mut self, number: &dyn Fn(EntryId) -> EntryId) {
        self.entry = self.entry.map(number);
        let values =
            self.settings.iter_mut().flat_map(|setting| setting.values.iter_mut().chain(&mut setting.replaced));
        values.for_each(|(_, entry)| *entry = number(*entry));
        self.children.iter_mut().for_each(|child| child.renumber(number));
    }

    fn merge(&mut self, other: Table) {
        for setting in other.settings {
            match setting.is_list {
                true => setting.values.into_iter().for_each(|(value, entry)| {
                    self.push(&setting.key, value, entry);
                }),
                false => self.replace(setting),
            }
        }
        for child in other.children {
            match child.is_element {
                true => self.children.push(child),
                false => find_or_add(&mut self.children, &child.path.clone()).merge(child),
            }
        }
    }

    fn render(&self, entries: &[Entry], rendered: &mut Rendered) {
        if self.is_empty() {
            return;
        }
        if self.is_element || !self.settings.is_empty() {
            if !rendered.text.is_empty() {
                rendered.line("", None);
            }
            let head = if self.is_element { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) };
            rendered.commented(&head, self.entry, entries);
        }
        for Setting { key, values, is_list, .. } in &self.settings {
            let key = quoted_key(key);
            match &values[..] {
                [(value, entry)] if *is_list => {
                    rendered.commented(&format!("{key} = [{value}]"), Some(*entry), entries);
                }
                [(value, entry)] => rendered.commented(&format!("{key} = {value}"), Some(*entry), entries),
                values => {
                    rendered.line(&format!("{key} = ["), values.first().map(|(_, entry)| *entry));
                    for (value, entry) in values {
                        rendered.commented(&format!("    {value},"), Some(*entry), entries);
                    }
                    rendered.line("]", None);
                }
            }
        }
        for child in &self.children {
            child.render(entries, rendered);
        }
    }
}

fn find_or_add<'t>(tables: &'t mut Vec<Table>, path: &str) -> &'t mut Table {
    let found = tables.iter().position(|table| table.path == path && !table.is_element);
    let index = found.unwrap_or_else(|| {
        tables.push(Table::new(path));
        tables.len() - 1
    });
    &mut tables[index]
}

impl Rendered {
    fn line(&mut self, text: &str, entry: Option<EntryId>) {
        self.text.push_str(text);
        self.text.push('\n');
        // A value may have several lines.
        let lines = text.matches('\n').count() + 1;
        self.entries.extend(std::iter::repeat_n(entry, lines));
    }

    fn commented(&mut self, text: &str, entry: Option<EntryId>, entries: &[Entry]) {
        let comment = entry.and_then(|entry| entries.get(entry)).map(|entry| entry.source.comment());
        match comment.filter(|comment| !comment.is_empty()) {
            Some(comment) => self.line(&format!("{text}  # {}", comment.replace(char::is_control, " ")), entry),
            None => self.line(text, entry),
        }
    }
}

/// A key, in quotation marks if it needs them.
fn quoted_key(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { basic(key) }
}

/// A string as TOML. References such as `${NAME}` stay references.
pub fn string(text: &str) -> String {
    let is_literal = text.contains(['\\', '"']) && !text.contains(|c: char| c == '\'' || c.is_control());
    if is_literal { format!("'{text}'") } else { basic(text) }
}

/// A string as TOML in which `${` has no meaning.
pub fn literal(text: &str) -> String {
    string(&text.replace("${", "$${"))
}

/// A list of strings as TOML.
pub fn strings<T: AsRef<str>>(texts: &[T]) -> String {
    format!("[{}]", texts.iter().map(|text| string(text.as_ref())).collect::<Vec<_>>().join(", "))
}

fn basic(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
