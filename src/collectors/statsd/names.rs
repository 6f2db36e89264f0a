//! Names as statsd_exporter escapes them.

/// Replaces characters other than letters, digits and `_` by `_`, and two dashes by one `_`. A digit at the start gets one.
pub(super) fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 1);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        escaped.push('_');
    }
    let mut previous = ' ';
    for c in name.chars() {
        match c {
            _ if c.is_ascii_alphanumeric() || c == '_' => escaped.push(c),
            '-' if previous == '-' => {}
            _ => escaped.push('_'),
        }
        previous = c;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_escaped() {
        for (name, expected) in
            [("a.b-c", "a_b_c"), ("a--b---c", "a_b_c"), ("9x", "_9x"), ("ü/x", "__x"), ("a_:b", "a__b"), ("", "")]
        {
            assert_eq!(escaped(name), expected, "{name}");
        }
    }
}
