//! What a reload changes.

use super::document::Document;
use super::value::{Table, Value};

/// A configuration as written, without defaults.
pub struct Written(Table);

impl From<&Document> for Written {
    fn from(document: &Document) -> Self {
        Written(document.root.clone())
    }
}

impl Written {
    /// Whether one of these top-level tables differs.
    pub fn differs_in(&self, other: &Written, tables: &[&str]) -> bool {
        tables.iter().any(|name| !same(self.0.get(*name), other.0.get(*name)))
    }

    /// Takes a top-level table from `other`: it is the one in force.
    pub fn keep(&mut self, name: &str, other: &Written) {
        match other.0.get(name) {
            Some(table) => self.0.insert(name.to_owned(), table.clone()),
            None => self.0.remove(name),
        };
    }

    /// The heads of the tables that differ, such as `[http]` or `[sinks.influxdb]`.
    pub fn changes(&self, other: &Written) -> Vec<String> {
        let mut changes = Vec::new();
        for name in keys(&self.0, &other.0) {
            let (before, after) = (self.0.get(name), other.0.get(name));
            if same(before, after) {
                continue;
            }
            let empty = Table::new();
            let (before, after) = (table(before).unwrap_or(&empty), table(after).unwrap_or(&empty));
            for key in keys(before, after) {
                let (before, after) = (before.get(key), after.get(key));
                let is_table = [before, after].into_iter().flatten().any(|(_, node)| has_tables(&node.value));
                let head = if is_table { format!("[{name}.{key}]") } else { format!("[{name}]") };
                if !same(before, after) && !changes.contains(&head) {
                    changes.push(head);
                }
            }
        }
        changes
    }
}

type Entry<'t> = Option<&'t (super::value::Position, super::value::Node)>;

fn same(before: Entry<'_>, after: Entry<'_>) -> bool {
    match (before, after) {
        (Some((_, before)), Some((_, after))) => before.value.same(&after.value),
        (None, None) => true,
        // An empty table is as good as none.
        (Some((_, one)), None) | (None, Some((_, one))) => {
            matches!(&one.value, Value::Table(table) if table.is_empty())
        }
    }
}

fn table(entry: Entry<'_>) -> Option<&Table> {
    match &entry?.1.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn has_tables(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => items.iter().any(|item| matches!(item.value, Value::Table(_))),
        _ => false,
    }
}

fn keys<'t>(one: &'t Table, two: &'t Table) -> impl Iterator<Item = &'t String> {
    one.keys().chain(two.keys().filter(|key| !one.contains_key(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_by_their_tables() {
        let written = |text: &str| Written::from(&Document::parse("test", text, &|_| None).unwrap());
        let changes = |before: &str, after: &str| written(before).changes(&written(after)).join(" ");
        assert_eq!(changes("[http]\nlisten = []", "[http]\n\nlisten = []\n[gateway]"), "");
        assert_eq!(changes("[http]\nlisten = []", "[http]\nlisten = [\":1\"]\n[tags]\na = \"b\""), "[http] [tags]");
        assert_eq!(changes("", "[http.tls]\ncert = \"a\"\n[[http.users]]\nname = \"u\""), "[http.tls] [http.users]");
        assert_eq!(changes("[[sinks.file]]\npath = \"a\"", ""), "[sinks.file]");
        let measured = written("[collectors.cpu]\nguest = true");
        assert!(measured.differs_in(&written(""), &["host", "collectors"]));
        assert!(!measured.differs_in(&written("[collectors.cpu]\nguest = true\n[tags]\na = \"b\""), &["collectors"]));
    }
}
