//! Label matchers for groups in PromQL syntax: `job="backup",host=~"web-.*"`.

use crate::config::Pattern;
use crate::gateway::key::Key;

/// One condition on a label.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    Is(String),
    IsNot(String),
    Matches(Pattern),
    MatchesNot(Pattern),
}

impl Matcher {
    /// Whether a group matches; an absent label is empty.
    pub fn matches(&self, key: &Key) -> bool {
        let value = key.get(&self.name);
        match &self.condition {
            Condition::Is(wanted) => value == wanted,
            Condition::IsNot(unwanted) => value != unwanted,
            Condition::Matches(pattern) => pattern.matches(value),
            Condition::MatchesNot(pattern) => !pattern.matches(value),
        }
    }
}

/// Parses matchers, with or without braces. A group must match all of them.
///
/// # Errors
/// What is invalid, as one line. An empty selector is invalid, since it would match every group.
pub fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let trimmed = text.trim();
    let inside = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
    let (mut rest, mut matchers) = (inside.trim(), Vec::new());
    while !rest.is_empty() {
        let (matcher, after) = parse_one(rest)
            .ok_or_else(|| format!("expected NAME=\"VALUE\" with =, !=, =~ or !~, found {rest:?}"))??;
        matchers.push(matcher);
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err(format!("expected a comma, found {rest:?}")),
        };
    }
    if matchers.is_empty() {
        Err("expected at least one matcher, such as job=\"backup\"".to_owned())
    } else {
        Ok(matchers)
    }
}

type One<'t> = Result<(Matcher, &'t str), String>;

fn parse_one(text: &str) -> Option<One<'_>> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|end| *end > 0)?;
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| rest.starts_with(operator))?;
    let quoted = rest[operator.len()..].trim_start().strip_prefix('"')?;
    let (value, after) = unquote(quoted)?;
    let pattern = |value: &str| Pattern::new(value).map_err(|error| error.to_string());
    let condition = match operator {
        "=" => Ok(Condition::Is(value)),
        "!=" => Ok(Condition::IsNot(value)),
        "=~" => pattern(&value).map(Condition::Matches),
        _ => pattern(&value).map(Condition::MatchesNot),
    };
    Some(condition.map(|condition| (Matcher { name: name.to_owned(), condition }, after)))
}

/// The text before the closing quote, unescaped, and the remainder after it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(matchers: &str, path: &str) -> bool {
        let key = Key::from_path(path).unwrap();
        parse(matchers).unwrap().iter().all(|matcher| matcher.matches(&key))
    }

    #[test]
    fn groups_are_matched_as_promql_matches() {
        assert!(matches("job=\"a\"", "job/a/host/x"));
        assert!(matches("{job=\"a\", host=~\"x|y\"}", "job/a/host/y"));
        assert!(!matches("host=~\"x\"", "job/a/host/xx"));
        assert!(matches("host=\"\"", "job/a"));
        assert!(matches("host!=\"\",job!~\"b.*\"", "job/a/host/x"));
        assert!(matches("job=\"a\\\"b\"", "job/a%22b"));
    }

    #[test]
    fn what_is_no_matcher_is_told() {
        for (text, error) in [
            ("", "expected at least one matcher"),
            ("{}", "expected at least one matcher"),
            ("job", "expected NAME="),
            ("job=\"a\" host=\"b\"", "expected a comma"),
            ("job=~\"(\"", "regex parse error"),
            ("job=\"a", "expected NAME="),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }
}
