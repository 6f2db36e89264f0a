//! Why a reading is incomplete, as one message; and when the log should report it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::host::ReadError;

/// Why a reading is incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the host has no such subsystem or device.
    pub absent: bool,
    /// What failed: the first problems of each kind, and the number of the others.
    pub message: String,
    /// Identifies the kind of failure: the message without the parts that vary.
    pub kind: Arc<str>,
}

impl Failure {
    /// A failure of one kind.
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Failure { absent: false, kind: without_variables(&message).into(), message }
    }

    /// The failure that these problems amount to; `None` if there are none.
    pub fn of(problems: &[ReadError]) -> Option<Self> {
        let groups = groups(problems);
        if groups.is_empty() {
            return None;
        }
        let mut messages: Vec<(usize, String)> = groups.values().flat_map(|group| messages(group)).collect();
        // In their original order.
        messages.sort_by_key(|(position, _)| *position);
        let omitted = messages.len().saturating_sub(MAX_REPORTED);
        let mut parts: Vec<String> = messages.into_iter().take(MAX_REPORTED).map(|(_, message)| message).collect();
        if omitted > 0 {
            parts.push(format!("and {omitted} more failures"));
        }
        let kinds: BTreeMap<&str, String> =
            groups.iter().map(|(kind, group)| (kind.as_str(), subjects(group))).collect();
        Some(Failure {
            absent: problems.iter().all(ReadError::is_absent),
            message: parts.join("; "),
            kind: format!("{kinds:?}").into(),
        })
    }
}

/// Most problems in one message.
const MAX_REPORTED: usize = 32;
/// Most problems of one kind that are listed in full.
const MAX_OF_A_KIND: usize = 8;
/// Most subjects that are named when a kind has more problems than are listed. A change of subjects is logged only for
/// kinds with no more subjects than this.
const MAX_NAMED: usize = 4;

/// Problems of one kind, each with its position among all.
type Group<'p> = Vec<(usize, &'p ReadError)>;

/// Groups the problems by kind.
fn groups(problems: &[ReadError]) -> BTreeMap<String, Group<'_>> {
    let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
    for (position, problem) in problems.iter().enumerate() {
        groups.entry(without_variables(&problem.words())).or_default().push((position, problem));
    }
    groups
}

/// The text of a group, with positions: the first problem in full if there are many, and the number of the others.
fn messages(group: &Group<'_>) -> Vec<(usize, String)> {
    match group.split_first() {
        Some(((position, first), more)) if group.len() > MAX_OF_A_KIND => {
            let named: Vec<_> = more.iter().take(MAX_NAMED - 1).map(|(_, problem)| problem.subject()).collect();
            vec![(*position, format!("{first} ({} more like this: {}, …)", more.len(), named.join(", ")))]
        }
        _ => group.iter().map(|(position, problem)| (*position, problem.to_string())).collect(),
    }
}

/// The subjects of a group, unless there are many.
fn subjects(group: &Group<'_>) -> String {
    if group.len() > MAX_NAMED {
        return "many".to_owned();
    }
    let mut subjects: Vec<String> = group.iter().map(|(_, problem)| without_variables(&problem.subject())).collect();
    subjects.sort();
    subjects.dedup();
    subjects.join(" ")
}

/// The text without its variable parts: quoted text, numbers, and words with digits that are long enough to be
/// generated.
pub(in crate::collectors) fn without_variables(text: &str) -> String {
    const MIN_GENERATED: usize = 8;
    let mut without_variables = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => end_of_quote(rest),
            _ if first.is_alphanumeric() => rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        match part {
            _ if first == '"' => without_variables.push('"'),
            word if word.len() >= MIN_GENERATED && word.contains(|c: char| c.is_ascii_digit()) => {
                without_variables.push('#')
            }
            word => push_without_digits(&mut without_variables, word),
        }
    }
    without_variables
}

fn push_without_digits(without_variables: &mut String, word: &str) {
    let mut is_in_number = false;
    for character in word.chars() {
        let is_digit = character.is_ascii_digit();
        if !(is_digit && is_in_number) {
            without_variables.push(if is_digit { '#' } else { character });
        }
        is_in_number = is_digit;
    }
}

/// Length of the quotation at the start of `text`.
fn end_of_quote(text: &str) -> usize {
    let mut is_escaped = true;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !is_escaped => return at + 1,
            '\\' if !is_escaped => is_escaped = true,
            _ => is_escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(what: &str, reason: &str) -> ReadError {
        ReadError::Refused { what: what.to_owned(), reason: reason.to_owned() }
    }

    #[test]
    fn what_may_be_another_each_time_is_no_other_kind() {
        for (one, other) in [
            ("line 6: expected float", "line 41: expected float"),
            ("found \"a\\\"b\", and so on", "found \"\", and so on"),
            ("/x/docker-3f2a9c0d1e.scope: gone", "/x/docker-aaaa00001111.scope: gone"),
            ("eth0: down", "eth12: down"),
        ] {
            assert_eq!(without_variables(one), without_variables(other), "{one}");
        }
        assert_ne!(without_variables("a.prom: expected float"), without_variables("b.prom: expected float"));
        assert_ne!(without_variables("it is \"open"), without_variables("it is closed"));
    }

    #[test]
    fn many_of_one_kind_are_told_by_the_first() {
        let of = |count: usize| {
            let problems: Vec<ReadError> = (0..count)
                .map(|n| refused(&format!("/{}.prom", "x".repeat(n + 1)), &format!("line {n}: bad")))
                .collect();
            Failure::of(&problems).unwrap()
        };
        assert_eq!(of(1).message, "/x.prom: line 0: bad");
        assert_eq!(of(2).message, "/x.prom: line 0: bad; /xx.prom: line 1: bad");
        let messages = "/x.prom: line 0: bad (8 more like this: /xx.prom, /xxx.prom, /xxxx.prom, …)";
        assert_eq!(of(9).message, messages);
        assert!(of(300).message.len() < 200, "{}", of(300).message);
        assert_eq!(of(300).kind, of(299).kind);
        assert_ne!(of(2).kind, of(1).kind);
        assert!(Failure::of(&[]).is_none());
    }

    #[test]
    fn the_order_of_problems_is_no_news() {
        let (one, other) = (refused("a", "bad"), refused("b", "worse"));
        let of = |problems: &[&ReadError]| Failure::of(&problems.iter().copied().cloned().collect::<Vec<_>>()).unwrap();
        assert_eq!(of(&[&one, &other]).kind, of(&[&other, &one]).kind);
        assert_ne!(of(&[&one, &other]).kind, of(&[&one]).kind);
    }

    #[test]
    fn many_kinds_are_a_short_message_too() {
        let problems: Vec<ReadError> = (0..100).map(|n| refused("a", &"x".repeat(n + 1))).collect();
        let message = Failure::of(&problems).unwrap().message;
        assert!(message.ends_with("; and 68 more failures"), "{message}");
    }
}
