//! Names and label values with `$1` or `${1}`.

use regex::Captures;

/// A text with references to what a pattern matched.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    /// The text with digits alone as names of references, as globs have it: `$1_x` is `$1` and `_x`.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A reference, from 1.
    Capture(usize),
}

impl Template {
    pub(super) fn new(text: &str) -> Template {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(dollar) = rest.find('$') {
            plain.push_str(&rest[..dollar]);
            match reference(&rest[dollar + 1..]) {
                Some((number, length)) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Capture(number));
                    rest = &rest[dollar + 1 + length..];
                }
                None => {
                    plain.push('$');
                    rest = &rest[dollar + 1..];
                }
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Template { text: text.to_owned(), parts }
    }

    /// The text with the parts of a name that a glob's asterisks matched. A reference to another one is empty.
    pub(super) fn with_parts(&self, captures: &[&str]) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Capture(number) => captures.get(number.wrapping_sub(1)).copied().unwrap_or_default().to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// The text with the groups of a regular expression, as Go expands it: `$1_x` is the group called `1_x`.
    pub(super) fn with_captures(&self, captures: &Captures<'_>) -> String {
        let mut expanded = String::new();
        captures.expand(&self.text, &mut expanded);
        expanded
    }
}

/// The number after a dollar, and the length of the reference without the dollar.
fn reference(text: &str) -> Option<(usize, usize)> {
    let braced = text.strip_prefix('{');
    let digits = braced.unwrap_or(text);
    let length = digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = digits[..length].parse().ok()?;
    match braced {
        None => Some((number, length)),
        Some(_) => digits[length..].starts_with('}').then_some((number, length + 2)),
    }
}
