//! Reading and merging TOML files, with the place of every value kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::{Environment, expand};
use super::problem::{Place, Problem, Problems, Source};
use super::redact::{Secrets, is_reference, is_secret_name};
use crate::system::regular_file::{NotRead, PATIENCE, RegularFileError, read_text_or_pipe, read_text_within, within};

/// The most that is read of one file.
const MOST_BYTES: u64 = 4 << 20;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a TOML value is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string, with the environment's values put in.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or time: no setting takes one.
    Datetime,
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A table: its entries by key, each with the place of its key.
pub type Table = BTreeMap<String, (Place, Node)>;

impl Node {
    /// Whether nothing stands there, as it may in YAML: a setting of nothing is its default.
    pub fn is_nothing(&self) -> bool {
        self.place.span.is_empty() && matches!(&self.value, Value::String(text) if text.is_empty())
    }
}

impl Value {
    /// The value for an error message: what kind of thing was found.
    pub fn describe(&self) -> String {
        match self {
            Value::String(text) => format!("the string {text:?}"),
            Value::Integer(number) => format!("the integer {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Boolean(flag) => format!("{flag}"),
            Value::Datetime => "a date".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// The same without what it says, which may be a secret: where a table is expected, no setting tells.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Whether both say the same, wherever they stand.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Datetime, Value::Datetime) => true,
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value.same(&b.value))
            }
            (Value::Table(a), Value::Table(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && a.1.value.same(&b.1.value))
            }
            _ => false,
        }
    }
}

/// The merged configuration, not yet checked.
#[derive(Clone, Debug)]
pub struct Document {
    /// Everything that was said.
    pub root: Table,
    /// The files, for showing mistakes.
    pub sources: Vec<Source>,
    /// What mistakes do not show.
    pub(super) secrets: Secrets,
}

impl Document {
    /// Reads `paths` in order and merges them: later values win, lists of tables append. A directory stands for its
    /// `*.toml` files in the order of their names. All are regular files, for they are read again at a reload.
    ///
    /// # Errors
    /// Every file that cannot be read, every mistake of syntax and every unset variable, together.
    pub fn load(paths: &[PathBuf], environment: Environment<'_>) -> Result<Document, Problems> {
        Document::read(paths, environment, |path| {
            read_text_within(path, MOST_BYTES, PATIENCE).map_err(|error| match error.reason {
                NotRead::Special("a FIFO") => {
                    format!("{}: only check and print take a pipe, as a reload reads it again", cannot_read(&error))
                }
                _ => cannot_read(&error),
            })
        })
    }

    /// The same for those who read it once: the files that are named may be pipes.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn load_once(paths: &[PathBuf], environment: Environment<'_>) -> Result<Document, Problems> {
        Document::read(paths, environment, |path| {
            let is_named = paths.iter().any(|named| named == path);
            let read = match is_named {
                true => read_text_or_pipe(path, MOST_BYTES),
                false => read_text_within(path, MOST_BYTES, PATIENCE),
            };
            read.map_err(|error| cannot_read(&error))
        })
    }

    fn read(
        paths: &[PathBuf],
        environment: Environment<'_>,
        read: impl Fn(&Path) -> Result<String, String>,
    ) -> Result<Document, Problems> {
        let mut reader = Reader { environment, found: Problems::default(), root: Table::new() };
        for path in paths {
            let files = files_of(path).unwrap_or_else(|error| {
                reader.cannot_read(cannot_read(&error));
                Vec::new()
            });
            for file in files {
                match read(&file) {
                    Ok(text) => reader.read_text(Source::new(file.display().to_string(), text)),
                    Err(message) => reader.cannot_read(message),
                }
            }
        }
        reader.finish()
    }

    /// Reads one text, for the built-in configuration and for tests.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Document, Problems> {
        let mut reader = Reader { environment, found: Problems::default(), root: Table::new() };
        reader.read_text(Source::new(name, text));
        reader.finish()
    }

    /// The table of this name at the top; an empty one if it is not there.
    pub fn table(&self, name: &str) -> Value {
        self.root.get(name).map_or_else(|| Value::Table(Table::new()), |(_, node)| node.value.clone())
    }
}

fn cannot_read(error: &RegularFileError) -> String {
    format!("{}: cannot be read: {}", error.path.display(), error.reason)
}

/// The files that `path` stands for.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, RegularFileError> {
    let named = path.to_owned();
    let listed = within(path, PATIENCE, move || if named.is_dir() { files_in(&named) } else { Ok(vec![named]) });
    let listed = listed.and_then(|listed| listed.map_err(NotRead::Io));
    listed.map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

fn files_in(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    Ok(files)
}

/// Where values stand that are being converted: in which source, of this text, below which keys.
#[derive(Clone, Copy)]
struct Within<'w> {
    source: usize,
    text: &'w str,
    path: &'w str,
}

struct Reader<'e> {
    environment: Environment<'e>,
    found: Problems,
    root: Table,
}

impl Reader<'_> {
    fn cannot_read(&mut self, message: String) {
        self.found.list.push(Problem { place: None, key: String::new(), message, secret: false });
    }

    fn read_text(&mut self, mut source: Source) {
        let index = self.found.sources.len();
        let (parsed, errors) = DeTable::parse_recoverable(&source.text);
        source.is_broken = !errors.is_empty();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().replace('\n', ", ");
            let place = Some(Place { source: index, span });
            self.found.list.push(Problem { place, key: String::new(), message, secret: false });
        }
        let table = self.convert_table(Within { source: index, text: &source.text, path: "" }, parsed.into_inner());
        source.understood(&table, &mut self.found.secrets);
        self.found.sources.push(source);
        merge(&mut self.root, table);
    }

    fn convert_table(&mut self, within: Within<'_>, table: DeTable<'_>) -> Table {
        let mut converted = Table::new();
        for (key, value) in table {
            let place = Place { source: within.source, span: key.span() };
            let name = key.into_inner().into_owned();
            let path = if within.path.is_empty() { name.clone() } else { format!("{}.{name}", within.path) };
            let node = self.convert(Within { path: &path, ..within }, value);
            converted.insert(name, (place, node));
        }
        converted
    }

    fn convert(&mut self, within: Within<'_>, value: Spanned<DeValue<'_>>) -> Node {
        let place = Place { source: within.source, span: value.span() };
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(self.expand(within, &place, &text)),
            DeValue::Integer(number) => {
                let digits = number.as_str();
                match i64::from_str_radix(digits, number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Float(digits.parse().unwrap_or(f64::INFINITY)),
                }
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(items) => Value::Array(items.into_iter().map(|item| self.convert(within, item)).collect()),
            DeValue::Table(table) => Value::Table(self.convert_table(within, table)),
        };
        Node { place, value }
    }

    /// The text with what it refers to; nothing, if that is not there.
    fn expand(&mut self, within: Within<'_>, place: &Place, text: &str) -> String {
        expand(text, self.environment).unwrap_or_else(|message| {
            // A password may hold what looks like a reference.
            let is_secret = within.path.split('.').any(is_secret_name);
            let is_reference = is_reference(within.text.get(place.span.clone()).unwrap_or_default());
            let message = match is_secret && !is_reference {
                true => "it refers to what is not there; write $${ for a literal ${".to_owned(),
                false => message,
            };
            let place = Some(place.clone());
            self.found.list.push(Problem { place, key: within.path.to_owned(), message, secret: false });
            String::new()
        })
    }

    fn finish(mut self) -> Result<Document, Problems> {
        self.found.sort();
        if self.found.list.is_empty() {
            Ok(Document { root: self.root, sources: self.found.sources, secrets: self.found.secrets })
        } else {
            Err(self.found)
        }
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, (place, node)) in from {
        match (into.get_mut(&key).map(|(_, old)| &mut old.value), node.value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if are_tables(old) && are_tables(&new) => old.extend(new),
            (_, value) => {
                into.insert(key, (place, Node { value, ..node }));
            }
        }
    }
}

fn are_tables(nodes: &[Node]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|node| matches!(node.value, Value::Table(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn later_files_win_and_lists_of_tables_append() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("10.toml"), "a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = 1\n[[s]]\nn = 1").unwrap();
        fs::write(folder.path().join("20.toml"), "list = [3]\n[t]\ny = 2\n[[s]]\nn = 2").unwrap();
        fs::write(folder.path().join("notes.txt"), "not [toml").unwrap();
        let merged = Document::load(&[folder.path().to_owned()], &environment).unwrap();
        let expected = "a = 1\nlist = [3]\nt = { x = 1, y = 2 }\ns = [{ n = 1 }, { n = 2 }]";
        let expected = Document::parse("", expected, &environment).unwrap();
        assert!(Value::Table(merged.root).same(&Value::Table(expected.root)));
    }

    #[test]
    fn every_mistake_of_syntax_is_shown_with_its_place() {
        let problems = Document::parse("some.toml", "a = \n[t]\nb = = 2\n", &environment).unwrap_err();
        let lines: Vec<String> = problems.lines().collect();
        assert!(lines.len() >= 2, "{lines:?}");
        assert!(lines[0].starts_with("some.toml:1:"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("some.toml:3:")), "{lines:?}");
    }
}
