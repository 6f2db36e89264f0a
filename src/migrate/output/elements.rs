//! Elements of lists: copies of tables, and values that are removed one by one.

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
    /// there is no such list, or it has no other element.
    pub fn remove_element(&mut self, entry: EntryId, key: &str, index: usize) -> Option<String> {
        remove(&mut self.tables, entry, key, index)
    }
}

/// Removes it from each of the tables that has this list, and returns it.
fn remove(tables: &mut [Table], entry: EntryId, key: &str, index: usize) -> Option<String> {
    let mut removed = None;
    for table in tables {
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
        removed = remove(&mut table.children, entry, key, index).or(removed);
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
