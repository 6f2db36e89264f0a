//! Reads and merges TOML files, with the position of every value.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::{Environment, expand};
use super::foreign::foreign;
use super::problem::{Problem, Problems, Source};
use super::redact::{Secrets, is_reference, is_secret_name};
use super::syntax::{Repaired, SyntaxError, without_errors};
use super::value::{Node, Position, Table, Value};
use crate::system::regular_file::{
    READ_TIMEOUT, ReadFailure, RegularFileError, read_text_or_pipe, read_text_within, within,
};

/// Maximum size of a file.
const MAX_BYTES: u64 = 4 << 20;

/// The merged configuration, unchecked.
#[derive(Clone, Debug)]
pub struct Document {
    /// All values.
    pub root: Table,
    /// The files, for error messages.
    pub sources: Vec<Source>,
    /// Tables and keys that a file has twice. A check reports them with its own errors, as no value is missing.
    pub(super) duplicates: Vec<Problem>,
    /// Secrets that messages hide.
    pub(super) secrets: Secrets,
}

impl Document {
    /// Reads `paths` in order and merges them: later values win, lists of tables append. A directory stands for its
    /// `*.toml` files in name order. All must be regular files, as a reload reads them again.
    ///
    /// # Errors
    /// All unreadable files, syntax errors other than duplicates, and unset variables.
    pub fn load(paths: &[PathBuf], environment: Environment<'_>) -> Result<Document, Problems> {
        Document::read(paths, environment, |path| {
            read_text_within(path, MAX_BYTES, READ_TIMEOUT).map_err(|error| match error.reason {
                ReadFailure::Special("a FIFO") => {
                    format!("{}: only check and print take a pipe, as a reload reads it again", cannot_read(&error))
                }
                _ => cannot_read(&error),
            })
        })
    }

    /// Reads the configuration once: named files may be pipes.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn load_once(paths: &[PathBuf], environment: Environment<'_>) -> Result<Document, Problems> {
        Document::read(paths, environment, |path| {
            let is_named = paths.iter().any(|named| named == path);
            let read = match is_named {
                true => read_text_or_pipe(path, MAX_BYTES),
                false => read_text_within(path, MAX_BYTES, READ_TIMEOUT),
            };
            read.map_err(|error| cannot_read(&error))
        })
    }

    /// The files that `path` stands for: itself, or the `*.toml` files of a directory, in name order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn files(path: &Path) -> Result<Vec<PathBuf>, RegularFileError> {
        files_of(path)
    }

    fn read(
        paths: &[PathBuf],
        environment: Environment<'_>,
        read: impl Fn(&Path) -> Result<String, String>,
    ) -> Result<Document, Problems> {
        let mut reader = Reader::new(environment);
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

    /// Parses one text: the built-in configuration, or a test's.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn parse(name: &str, text: &str, environment: Environment<'_>) -> Result<Document, Problems> {
        let mut reader = Reader::new(environment);
        reader.read_text(Source::new(name, text));
        reader.finish()
    }

    /// Secrets that messages hide.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The top-level table of this name; empty if absent.
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
    let listed = within(path, READ_TIMEOUT, move || if named.is_dir() { files_in(&named) } else { Ok(vec![named]) });
    let listed = listed.and_then(|listed| listed.map_err(ReadFailure::Io));
    listed.map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

fn files_in(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    Ok(files)
}

/// The source and key path of the values being converted.
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
    /// Whether the only errors are duplicates.
    is_complete: bool,
}

impl<'e> Reader<'e> {
    fn new(environment: Environment<'e>) -> Reader<'e> {
        Reader { environment, found: Problems::default(), root: Table::new(), is_complete: true }
    }

    fn cannot_read(&mut self, message: String) {
        self.is_complete = false;
        self.found.list.push(Problem { position: None, key: String::new(), message, secret: false });
    }

    fn read_text(&mut self, mut source: Source) {
        let index = self.found.sources.len();
        let Repaired { texts, errors, is_complete } = without_errors(&source.text);
        self.is_complete &= is_complete;
        source.is_broken = !errors.is_empty();
        if let Some(message) = foreign(&source.name, &source.text, !source.is_broken) {
            self.cannot_read(format!("{}: {message}", source.name));
            source.is_broken = true;
            self.found.sources.push(source);
            return;
        }
        let errors = errors.into_iter().map(|SyntaxError { span, message }| {
            let position = Some(Position { source: index, span });
            Problem { position, key: String::new(), message, secret: false }
        });
        self.found.list.extend(errors);
        for text in texts {
            let (parsed, _) = DeTable::parse_recoverable(&text);
            let table = self.convert_table(Within { source: index, text: &source.text, path: "" }, parsed.into_inner());
            source.set_values(&table, &mut self.found.secrets);
            merge(&mut self.root, table);
        }
        self.found.sources.push(source);
    }

    fn convert_table(&mut self, within: Within<'_>, table: DeTable<'_>) -> Table {
        let mut converted = Table::new();
        for (key, value) in table {
            let position = Position { source: within.source, span: key.span() };
            let name = key.into_inner().into_owned();
            let path = if within.path.is_empty() { name.clone() } else { format!("{}.{name}", within.path) };
            let node = self.convert(Within { path: &path, ..within }, value);
            converted.insert(name, (position, node));
        }
        converted
    }

    fn convert(&mut self, within: Within<'_>, value: Spanned<DeValue<'_>>) -> Node {
        let position = Position { source: within.source, span: value.span() };
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(self.expand(within, &position, &text)),
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
        Node { position, value }
    }

    /// The text with references expanded; empty after an error.
    fn expand(&mut self, within: Within<'_>, position: &Position, text: &str) -> String {
        expand(text, self.environment).unwrap_or_else(|message| {
            // A password may look like a reference.
            let is_secret = within.path.split('.').any(is_secret_name);
            let is_reference = is_reference(within.text.get(position.span.clone()).unwrap_or_default());
            let message = match is_secret && !is_reference {
                true => "it refers to what is not there; write $${ for a literal ${".to_owned(),
                false => message,
            };
            let position = Some(position.clone());
            self.is_complete = false;
            self.found.list.push(Problem { position, key: within.path.to_owned(), message, secret: false });
            String::new()
        })
    }

    fn finish(mut self) -> Result<Document, Problems> {
        self.found.sort();
        match self.is_complete {
            true => {
                let Problems { sources, list: duplicates, secrets } = self.found;
                Ok(Document { root: self.root, sources, duplicates, secrets })
            }
            false => Err(self.found),
        }
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, (position, node)) in from {
        match (into.get_mut(&key).map(|(_, old)| &mut old.value), node.value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if are_tables(old) && are_tables(&new) => old.extend(new),
            (_, value) => {
                into.insert(key, (position, Node { value, ..node }));
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

    fn environment(name: &str) -> Option<std::ffi::OsString> {
        match name {
            "HOME" => Some("/root".into()),
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
