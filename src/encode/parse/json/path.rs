//! The paths of `json_query`: a part of GJSON's (github.com/tidwall/gjson, SYNTAX.md), namely names, indices, `#` and
//! `@this`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A path into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A member of an object, or the element of an array if it is a number.
    Name(String),
    /// All elements of an array, or their number at the end.
    Elements,
}

/// Steps of a path.
const MAX_STEPS: usize = 32;

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// A part of GJSON's syntax that is not supported, by its name.
    pub fn new(text: &str) -> Result<Path, String> {
        let mut steps = Vec::new();
        for part in parts(text) {
            let unsupported = |what: &str| Err(format!("{what} of GJSON is not supported, found {text:?}"));
            match part {
                Part { text, is_plain: true } if text == "@this" => {}
                Part { text, is_plain: true } if text == "#" => steps.push(Step::Elements),
                Part { text, is_plain: true } if text.starts_with('#') => return unsupported("a query #(…)"),
                Part { text, is_plain: true } if text.starts_with('@') => return unsupported("a modifier"),
                Part { text, is_plain: true } if text.contains(['*', '?']) => return unsupported("a wildcard"),
                Part { text, is_plain: true } if text.contains('|') => return unsupported("a pipe"),
                Part { text, is_plain: true } if text.starts_with(['{', '[', '!']) => {
                    return unsupported("a multipath or literal");
                }
                Part { text, .. } if text.is_empty() => return Err("a step of the path is empty".to_owned()),
                Part { text, .. } => steps.push(Step::Name(text)),
            }
        }
        match steps.len() {
            0..=MAX_STEPS => Ok(Path(steps)),
            _ => Err(format!("more than {MAX_STEPS} steps")),
        }
    }

    /// The JSON text at this path; `None` if there is no such value.
    pub(super) fn find<'d>(&self, document: &'d str) -> Option<Cow<'d, str>> {
        find(&self.0, document)
    }
}

struct Part {
    text: String,
    /// Whether it has no escapes.
    is_plain: bool,
}

/// The parts between dots, without escapes.
fn parts(path: &str) -> Vec<Part> {
    let mut parts = vec![Part { text: String::new(), is_plain: true }];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        let last = parts.len() - 1;
        match c {
            '.' => parts.push(Part { text: String::new(), is_plain: true }),
            '\\' => {
                parts[last].is_plain = false;
                parts[last].text.extend(chars.next());
            }
            c => parts[last].text.push(c),
        }
    }
    parts
}

fn find<'d>(steps: &[Step], document: &'d str) -> Option<Cow<'d, str>> {
    let Some((step, rest)) = steps.split_first() else { return Some(document.into()) };
    let is_array = document.starts_with('[');
    match step {
        Step::Name(name) if is_array => {
            let elements: Vec<&'d RawValue> = serde_json::from_str(document).ok()?;
            find(rest, elements.get(name.parse::<usize>().ok()?)?.get())
        }
        Step::Name(name) if document.starts_with('{') => {
            let mut members: BTreeMap<Cow<'d, str>, &'d RawValue> = serde_json::from_str(document).ok()?;
            find(rest, members.remove(name.as_str())?.get())
        }
        Step::Elements if is_array => {
            let elements: Vec<&'d RawValue> = serde_json::from_str(document).ok()?;
            if rest.is_empty() {
                return Some(elements.len().to_string().into());
            }
            let found: Vec<Cow<'d, str>> =
                elements.into_iter().filter_map(|element| find(rest, element.get())).collect();
            Some(format!("[{}]", found.join(",")).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_named() {
        for (path, what) in [
            ("a.#(b==1)#.c", "a query #(…) of GJSON is not supported"),
            ("a.@reverse", "a modifier"),
            ("a.b*", "a wildcard"),
            ("a|b", "a pipe"),
            ("{a,b}", "a multipath or literal"),
            ("a..b", "a step of the path is empty"),
            ("", "a step of the path is empty"),
        ] {
            let found = Path::new(path).unwrap_err();
            assert!(found.starts_with(what), "{path}: {found}");
        }
        assert_eq!(Path::new("a\\*b").unwrap(), Path(vec![Step::Name("a*b".to_owned())]));
        assert!(Path::new(&"a.".repeat(40)).is_err());
    }
}
