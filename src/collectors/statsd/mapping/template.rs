//! Names and label values with `$1` or `${1}`.

use regex::Captures;

/// A text with references to what a pattern matched.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    /// The text as globs have it.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A reference; 0 is the whole name. `None` for one that is no number.
    Capture(Option<usize>),
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

    /// The text with a name, and the parts of it that a glob's asterisks matched. A reference to another one is empty.
    pub(super) fn with_parts(&self, captures: &[&str]) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Capture(number) => {
                number.and_then(|number| captures.get(number)).copied().unwrap_or_default().to_owned()
            }
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

/// The number after a dollar, and the length of the reference without the dollar. As in statsd_exporter, either brace may
/// be missing, and `$1_x` is a reference that is no number.
fn reference(text: &str) -> Option<(Option<usize>, usize)> {
    let word = text.strip_prefix('{').unwrap_or(text);
    let length = word.len() - word.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_$".contains(c)).len();
    let braces = (text.len() - word.len()) + usize::from(word[length..].starts_with('}'));
    (length > 0).then(|| (word[..length].parse().ok(), length + braces))
}
