//! Files of variables for a service, such as `/etc/default/NAME` and systemd's `EnvironmentFile=`.

/// An assignment, or what else is in its place.
pub(super) struct Statement {
    /// Its first and last line, from 1.
    pub lines: (usize, usize),
    /// Its text as it is in the file.
    pub text: String,
    /// The name and the value, without quotation marks.
    ///
    /// The error says what is expected instead.
    pub assignment: Result<(String, String), String>,
}

/// The statements of a file, and how many of its lines are blank or comments. `split` splits a text into words.
pub(super) fn statements(text: &str, split: fn(&str) -> Result<Vec<String>, String>) -> (Vec<Statement>, usize) {
    let (mut statements, mut comments) = (Vec::new(), 0);
    let mut lines = text.lines().zip(1..);
    while let Some((line, first)) = lines.next() {
        if line.trim().is_empty() || line.trim_start().starts_with(['#', ';']) {
            comments += 1;
            continue;
        }
        let (mut text, mut last) = (line.to_owned(), first);
        let mut words = split(&text);
        // A quotation mark or a backslash continues the line.
        while words.is_err()
            && let Some((next, number)) = lines.next()
        {
            text = format!("{text}\n{next}");
            last = number;
            words = split(&text);
        }
        let words = words.map_err(|mistake| format!("it is not understood: {mistake}"));
        statements.push(Statement { lines: (first, last), text, assignment: words.and_then(assignment) });
    }
    (statements, comments)
}

/// A value without quotation marks goes to the end of the line, as systemd reads it.
fn assignment(mut words: Vec<String>) -> Result<(String, String), String> {
    if words.first().is_some_and(|word| word == "export") {
        words.remove(0);
    }
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let text = words.join(" ");
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::command_line::split_literally;
    use super::*;

    #[test]
    fn values_are_read_as_systemd_does() {
        let text = "# x\nA=--a --b\nB=\"--c\n --d\" # y\nexport C='$HOME'\nD=x\\\ny\n\nnonsense\n";
        let (statements, comments) = statements(text, split_literally);
        let assignments: Vec<_> = statements.iter().map(|statement| statement.assignment.clone().ok()).collect();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        let expected = [pair("A", "--a --b"), pair("B", "--c\n --d"), pair("C", "$HOME"), pair("D", "xy"), None];
        assert_eq!(assignments, expected);
        assert_eq!(statements[1].lines, (3, 4));
        assert_eq!(comments, 2);
    }
}
