//! Which series an expression of PromQL refers to.

/// The selectors in `expression`, such as `up{job="a"}`, without ranges and modifiers.
pub(crate) fn selectors(expression: &str) -> Vec<String> {
    /// Each is followed by a list of labels, not of arguments.
    const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        if next == '[' {
            rest = after(rest, ']');
        } else if next.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_of_name(next) || next == '{' {
            let (name, behind) = rest.split_at(rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()));
            let behind_space = behind.trim_start();
            if BEFORE_LABELS.contains(&name) {
                rest = if behind_space.starts_with('(') { after(behind_space, ')') } else { behind };
            } else if OPERATORS.contains(&name) || ["(", "by ", "without "].iter().any(|s| behind_space.starts_with(s))
            {
                rest = behind;
            } else {
                let matchers = if behind.starts_with('{') { end_of_matchers(behind) } else { 0 };
                found.push(format!("{name}{}", &behind[..matchers]));
                rest = &behind[matchers..];
            }
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
    found
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// The length of `{…}` at the start of `text`, whose strings may hold braces.
fn end_of_matchers(text: &str) -> usize {
    let (mut in_string, mut escaped) = (false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '}' if !in_string => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn selectors_are_told_from_functions_labels_and_numbers() {
    let expression = r#"sum by (job) (rate(a_total{b="}"}[5m])) / on (x) group_left () c > 1e3 or time() - d{e=~"\"f"} offset 5m unless {g="h"}"#;
    assert_eq!(selectors(expression), [r#"a_total{b="}"}"#, "c", r#"d{e=~"\"f"}"#, r#"{g="h"}"#]);
}
