//! Elements of lists: copies of tables, values that are removed one by one, and tables that would do more without what is
//! removed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Output, Setting, Table};
use crate::config::{Document, Value};
use crate::migrate::entry::EntryId;

impl Output {
    /// A copy of the element of a list of tables that was added last, behind it.
    ///
    /// # Panics
    /// There is none.
    pub fn repeat_last_element(&mut self, path: &str) -> &mut Table {
        let copy = self.last_element(path).clone();
        self.tables.push(copy);
        self.last_element(path)
    }

    /// Removes the element `index` of the list that is the setting `key` of an entry, and returns it as TOML. `None` if
    /// there is no such list, or it has no other element, or a probe would succeed more often without it.
    pub fn remove_element(&mut self, entry: EntryId, key: &str, index: usize) -> Option<String> {
        remove_value(&mut self.tables, entry, key, index)
    }
}

/// Tables without which a job of [`JOBS`] would ask for more, or another account.
const SELECTIONS: [&str; 5] = ["dimensions", "tags", "search_tags", "roles", "static"];

/// Jobs that select metrics, which are billed.
const JOBS: &str = "collectors.cloudwatch";

/// Modules, which would be others without a setting, and might succeed where they should fail.
const PROBES: &str = "collectors.probe";

/// Settings of modules of which this is not so.
const HARMLESS: [&str; 5] = ["targets", "interval", "timeout", "preferred_ip_protocol", "ip_protocol_fallback"];

/// Settings without which a sink would write to the default address.
pub(super) const ADDRESSES: [&str; 3] = ["url", "urls", "path"];

impl Table {
    /// The entries without which the element must not stay.
    fn required(&self) -> BTreeSet<EntryId> {
        if self.path == PROBES {
            return self.checks();
        }
        let selections = self.children.iter().filter(|child| {
            child.path.rsplit_once('.').is_some_and(|(job, name)| job == JOBS && SELECTIONS.contains(&name))
        });
        selections.flat_map(Table::entries).collect()
    }

    /// The entries of a module without which probes might succeed that should fail.
    fn checks(&self) -> BTreeSet<EntryId> {
        let own = self.settings.iter().filter(|setting| !HARMLESS.contains(&setting.key.as_str()));
        let own = own.flat_map(|setting| &setting.values).map(|(_, entry)| *entry);
        own.chain(self.children.iter().flat_map(Table::checks)).collect()
    }
}

pub(super) fn remove(tables: &mut Vec<Table>, entries: &BTreeSet<EntryId>, removed: &mut BTreeMap<EntryId, EntryId>) {
    tables.retain_mut(|table| {
        let own = table.entry.filter(|entry| entries.contains(entry));
        let lost = table.required().into_iter().find(|entry| entries.contains(entry));
        if let Some(entry) = own.or(lost.filter(|_| table.is_element)) {
            removed.extend(table.entries().into_iter().map(|lost| (lost, entry)));
            return false;
        }
        let lost_address = table.remove_settings(entries, removed);
        remove(&mut table.children, entries, removed);
        let Some(address) = lost_address.filter(|_| table.is_element) else { return true };
        // Lists have values of other lines, which are not lost with the sink.
        table.settings.retain(|setting| !setting.is_list);
        removed.extend(table.entries().into_iter().map(|lost| (lost, address)));
        false
    });
}

/// Removes it from each of the tables that has this list, and returns it.
fn remove_value(tables: &mut [Table], entry: EntryId, key: &str, index: usize) -> Option<String> {
    let mut removed = None;
    for table in tables {
        if table.path == PROBES && !HARMLESS.contains(&key) {
            continue;
        }
        let is_it = |setting: &&mut Setting| setting.key == key && !setting.is_list;
        for setting in table.settings.iter_mut().filter(is_it) {
            let value = setting.values.iter_mut().find(|(_, of)| *of == entry);
            if let Some((value, _)) = value
                && let Some((list, element)) = without(value, index)
            {
                *value = list;
                removed = Some(element);
            }
        }
        removed = remove_value(&mut table.children, entry, key, index).or(removed);
    }
    removed
}

/// A list in TOML without one of its elements, and that element.
fn without(list: &str, index: usize) -> Option<(String, String)> {
    let text = format!("list = {list}");
    let document = Document::parse("list", &text, &|_| Some("x".into())).ok()?;
    let Value::Array(nodes) = &document.root.get("list")?.1.value else { return None };
    let mut elements: Vec<&str> = nodes.iter().filter_map(|node| text.get(node.position.span.clone())).collect();
    if elements.len() != nodes.len() || index >= elements.len() || elements.len() < 2 {
        return None;
    }
    let element = elements.remove(index).to_owned();
    Some((format!("[{}]", elements.join(", ")), element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_removed_from_a_list_of_several() {
        let of = |list: &str, index| without(list, index);
        let pair = |list: &str, element: &str| Some((list.to_owned(), element.to_owned()));
        assert_eq!(of("[\"a\", 'b, c', \"${D}\"]", 1), pair("[\"a\", \"${D}\"]", "'b, c'"));
        assert_eq!(of("[1, [2, 3]]", 0), pair("[[2, 3]]", "1"));
        assert_eq!((of("[1]", 0), of("[1, 2]", 2), of("1", 0), of("[", 0)), (None, None, None, None));
    }
}
