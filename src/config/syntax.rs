//! Errors of syntax: one for each invalid statement.

use std::ops::Range;

use toml::de::DeTable;

/// An invalid statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Where it is.
    pub(super) span: Range<usize>,
    /// Expected and found. It quotes no values.
    pub(super) message: String,
}

/// Errors that are searched for in one file, as each takes another pass.
const MAX_ERRORS: usize = 20;

/// A text without its errors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repaired {
    /// The text with its invalid statements blanked out and the others in place, and as many texts for the second
    /// table of a name, in place likewise: they are merged in this order.
    pub(super) texts: Vec<String>,
    pub(super) errors: Vec<SyntaxError>,
    /// Whether the texts contain every statement, as the only errors are duplicates.
    pub(super) is_complete: bool,
}

/// Finds all errors, and removes them.
///
/// A parser that recovers reports the consequences of an error as further errors: it takes the statement after an
/// unclosed list for elements. So only its first error counts, and the statement with that error is removed.
pub(super) fn without_errors(text: &str) -> Repaired {
    let mut found = Repaired { texts: vec![text.to_owned()], errors: Vec::new(), is_complete: true };
    if first_error(text).is_none() {
        return found;
    }
    let Repaired { texts, errors, is_complete } = &mut found;
    let mut repaired = text.to_owned();
    let statements = statements(text);
    for (index, statement) in statements.iter().enumerate() {
        if let Some(opened) = statement.unclosed.filter(|_| errors.len() < MAX_ERRORS) {
            let (what, close) = if text[opened..].starts_with('[') { ("list", ']') } else { ("inline table", '}') };
            let message = format!("the {what} that begins here is not closed, expected {close}");
            errors.push(SyntaxError { span: opened..opened + 1, message });
            *is_complete = false;
            blank(&mut repaired, &statements, index);
        }
    }
    while errors.len() < MAX_ERRORS {
        let Some(mut first) = first_error(&repaired) else {
            texts[0] = repaired;
            return found;
        };
        let index = statements.partition_point(|statement| statement.range.start <= first.span.start).saturating_sub(1);
        let is_known =
            statements.get(index).is_none_or(|statement| repaired[statement.range.clone()].trim().is_empty());
        if is_known && !errors.is_empty() {
            break;
        }
        let mut added = None;
        if first.message == "duplicate key" {
            (first.message, added) = duplicate(text, &statements, index);
        }
        *is_complete &= added.is_some();
        blank(&mut repaired, &statements, index);
        errors.push(first);
        for second in added.into_iter().flatten().map(|text| without_errors(&text)) {
            *is_complete &= second.is_complete;
            texts.extend(second.texts);
            errors.extend(second.errors);
        }
    }
    errors.truncate(MAX_ERRORS);
    Repaired { texts: Vec::new(), is_complete: false, ..found }
}

/// The first error of the parser.
fn first_error(text: &str) -> Option<SyntaxError> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let spans = errors.into_iter().map(|error| (error.span().unwrap_or(0..0), error.message().replace('\n', ", ")));
    let (span, message) = spans.min_by_key(|(span, _)| span.start)?;
    let message = unquoted(&message, &text[span.start..]).map_or(message, str::to_owned);
    Some(SyntaxError { span, message })
}

/// The error for a word that the parser takes for an incomplete number or truth value.
fn unquoted(message: &str, found: &str) -> Option<&'static str> {
    let is_word = ["invalid float", "invalid boolean", "invalid integer", "string values must be quoted"];
    if !is_word.iter().any(|start| message.starts_with(start)) {
        return None;
    }
    let word = found.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "true" | "false" => Some("true and false are in lower case"),
        _ => Some("expected a value; strings are in quotes"),
    }
}

/// Blanks a statement out, and after a header the table below it, whose keys would become those of the table above.
fn blank(text: &mut String, statements: &[Statement], index: usize) {
    let Some(range) = extent(text.len(), statements, index) else { return };
    let blank = blanks(&text[range.clone()]);
    text.replace_range(range, &blank);
}

/// A statement, and after a header the table below it.
fn extent(end: usize, statements: &[Statement], index: usize) -> Option<Range<usize>> {
    let statement = statements.get(index)?;
    let next = if statement.is_header {
        statements[index + 1..].iter().find(|later| later.is_header)
    } else {
        statements.get(index + 1)
    };
    Some(statement.range.start..next.map_or(end, |next| next.range.start))
}

/// Spaces and line breaks in place of a text.
fn blanks(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { "\n" } else { &"    "[..c.len_utf8()] }).collect()
}

/// The error for a key or table that the text has before, and the texts that have what it adds: none for a key, whose
/// first value stays, and the second table. `None` if something is lost.
fn duplicate(text: &str, statements: &[Statement], index: usize) -> (String, Option<Vec<String>>) {
    let line_of = |statement: &Statement| text[..statement.range.start].matches('\n').count() + 1;
    let (earlier, statement) = (&statements[..index], &statements[index]);
    let name = statement.name(text);
    let first = if statement.is_header {
        earlier.iter().find(|other| other.is_header && other.name(text) == name)
    } else {
        earlier.iter().rev().take_while(|other| !other.is_header).find(|other| other.name(text) == name)
    };
    match first {
        Some(first) if first.is_list(text) != statement.is_list(text) => {
            let line = line_of(first);
            (format!("this is [{name}] and [[{name}]], the first in line {line}: write one of them"), None)
        }
        Some(first) if statement.is_header => {
            let message = format!("the table [{name}] is there twice; add to the one in line {}", line_of(first));
            (message, second_table(text, statements, index).map(|second| vec![second]))
        }
        Some(first) => (format!("duplicate key; the first is in line {}", line_of(first)), Some(Vec::new())),
        // The first are keys such as `http.listen`.
        None if statement.is_header => (format!("the table [{name}] is there twice"), None),
        None => ("duplicate key".to_owned(), None),
    }
}

/// A table in place, without the others; `None` if it is below an element of a list, which would be another one then.
fn second_table(text: &str, statements: &[Statement], index: usize) -> Option<String> {
    let name = statements[index].name(text);
    let is_in_list = statements[..index].iter().filter(|other| other.is_header && other.is_list(text)).any(|list| {
        let below = name.strip_prefix(list.name(text));
        below.is_some_and(|below| below.starts_with('.'))
    });
    let Range { start, end } = extent(text.len(), statements, index).filter(|_| !is_in_list)?;
    Some(format!("{}{}{}", blanks(&text[..start]), &text[start..end], blanks(&text[end..])))
}

/// A header or a setting.
struct Statement {
    /// From its first character to the end of its last line.
    range: Range<usize>,
    is_header: bool,
    /// Where the innermost list or inline table begins that it leaves open.
    unclosed: Option<usize>,
}

impl Statement {
    /// The table of a header, or the key.
    fn name<'t>(&self, text: &'t str) -> &'t str {
        let text = &text[self.range.clone()];
        match self.is_header {
            true => {
                text.lines().next().unwrap_or_default().split(']').next().unwrap_or_default().trim_matches(['[', ' '])
            }
            false => text.split('=').next().unwrap_or_default().trim(),
        }
    }

    fn is_list(&self, text: &str) -> bool {
        text[self.range.start..].starts_with("[[")
    }
}

/// The statements of a text. Where a list is open and a line begins like a statement, it ends there.
fn statements(text: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    let (mut at, mut open, mut quote) = (0, Vec::<usize>::new(), None);
    for line in text.split_inclusive('\n') {
        let start = at + (line.len() - line.trim_start().len());
        let is_in_list = open.last().is_some_and(|&opened| text[opened..].starts_with('['));
        if quote.is_none() && is_in_list && begins_statement(line) {
            statements.last_mut().into_iter().for_each(|statement| statement.unclosed = open.pop());
            open.clear();
        }
        let is_first = quote.is_none() && open.is_empty();
        let is_blank = line.trim_start().is_empty() || line.trim_start().starts_with('#');
        if is_first && !is_blank {
            let is_header = line.trim_start().starts_with('[');
            statements.push(Statement { range: start..at + line.len(), is_header, unclosed: None });
        }
        let is_header = is_first && statements.last().is_some_and(|last| last.range.start == start && last.is_header);
        if !is_header {
            quote = scan(line, at, &mut open, quote);
        }
        at += line.len();
        statements.last_mut().into_iter().for_each(|statement| statement.range.end = at);
    }
    if quote.is_none() {
        statements.last_mut().into_iter().for_each(|statement| statement.unclosed = open.pop());
    }
    statements
}

/// Whether a line is a header, or begins with a key and a value.
fn begins_statement(line: &str) -> bool {
    let is_bare = |key: &str| {
        let of_key = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(of_key)
    };
    let line = line.split('#').next().unwrap_or_default().trim();
    let table = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match table {
        Some(table) => is_bare(table.trim_start_matches('[').trim_end_matches(']')),
        None => line.split_once('=').is_some_and(|(key, _)| is_bare(key.trim())),
    }
}

/// Tracks open brackets and multi-line strings through a line. Returns the quotes of a string that goes on.
fn scan(line: &str, at: usize, open: &mut Vec<usize>, quote: Option<&'static str>) -> Option<&'static str> {
    let (mut quote, mut index) = (quote, 0);
    while let Some(c) = line[index..].chars().next() {
        let rest = &line[index..];
        let step = match quote {
            Some(end) if rest.starts_with(end) => {
                quote = None;
                end.len()
            }
            Some(end) if c == '\\' && end.starts_with('"') => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            Some(_) => c.len_utf8(),
            None if c == '#' => break,
            None => {
                quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|begin| rest.starts_with(begin));
                match c {
                    '[' | '{' => open.push(at + index),
                    ']' | '}' => drop(open.pop()),
                    _ => {}
                }
                quote.map_or(c.len_utf8(), str::len)
            }
        };
        index += step;
    }
    // Only these go on in the next line.
    quote.filter(|quote| quote.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let errors = without_errors(text).errors;
        let at = |at: usize| {
            let before = &text[..at];
            (before.matches('\n').count() + 1, at - before.rfind('\n').map_or(0, |newline| newline + 1) + 1)
        };
        let lines = errors.into_iter().map(|SyntaxError { span, message }| (at(span.start), message));
        lines.map(|((line, column), message)| format!("{line}:{column}: {message}")).collect()
    }

    #[test]
    fn one_mistake_is_one_error() {
        for (text, expected) in [
            (
                "[http]\nlisten = [\"0.0.0.0:9100\"\nmax_requests = 3\n",
                &["2:10: the list that begins here is not closed, expected ]"][..],
            ),
            ("a = [\n  [1, 2],\n  [3\n[t]\nb = 1\n", &["3:3: the list that begins here is not closed, expected ]"]),
            ("a = { b = 1,\n", &["1:5: the inline table that begins here is not closed, expected }"]),
            ("a = 1\nb = 'x'\na = 2\n", &["3:1: duplicate key; the first is in line 1"]),
            (
                "[t]\na = 1\n[u]\na = 1\n[t]\na = 2\nc = = 1\n",
                &["5:2: the table [t] is there twice; add to the one in line 1", "7:5: extra `=`, expected nothing"],
            ),
            (
                "[[s.i]]\na = 1\n[s.i]\na = 2\n",
                &["3:4: this is [s.i] and [[s.i]], the first in line 1: write one of them"],
            ),
            ("t.a = 1\n[t]\nb = 1\n", &["2:2: the table [t] is there twice"]),
            ("a = \"x\nb = 1\n", &["1:7: invalid basic string, expected `\"`"]),
            ("a = 1 b = 2\nc = 3\n", &["1:5: expected a value; strings are in quotes"]),
            ("[t\na = 1\n", &["1:3: unclosed table, expected `]`"]),
            (
                "a = True\nb = info\n",
                &["1:5: true and false are in lower case", "2:5: expected a value; strings are in quotes"],
            ),
            (
                "a = \n[t]\nb = = 2\n",
                &["1:5: expected a value; strings are in quotes", "3:5: extra `=`, expected nothing"],
            ),
        ] {
            assert_eq!(errors(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_sound_is_left_in_place() {
        let text = "a = 1\nb = [\n  'x = 1',\n  ['y'], # ]\n]\nc = \"\"\"\nd = [\n\"\"\"\ne = \"ü\n\n[t]\nf = 2\n";
        let Repaired { texts, errors, is_complete } = without_errors(text);
        assert_eq!((errors.len(), is_complete), (1, false));
        assert_eq!(texts, [text.replace("e = \"ü", "       ")]);
        for sound in ["", "a = [[1],\n[2]]\nb = { c = 1,\n d = 2 }\n", "a = '''\nb = [\n'''"] {
            let repaired = Repaired { texts: vec![sound.to_owned()], errors: Vec::new(), is_complete: true };
            assert_eq!(without_errors(sound), repaired, "{sound}");
        }
    }

    #[test]
    fn a_second_table_is_a_text_of_its_own() {
        let text = "[t]\na = 1\n[t.u]\n[t]\nb = 'ü'\n[t.v]\n[t]\nb = 1\nb = 2\n";
        let Repaired { texts, errors, is_complete } = without_errors(text);
        let of = |kept: &[usize]| {
            let lines = text.split_inclusive('\n').enumerate();
            let lines = lines.map(|(index, line)| if kept.contains(&index) { line.to_owned() } else { blanks(line) });
            lines.collect::<String>()
        };
        assert_eq!(texts, [of(&[0, 1, 2, 5]), of(&[3, 4]), of(&[6, 7])]);
        assert!(is_complete && errors.len() == 3, "{errors:?}");
        // This one would be an element of its own.
        let Repaired { texts, is_complete, .. } = without_errors("[[s]]\n[s.t]\n[s.t]\na = 1\n");
        assert!(texts.len() == 1 && !is_complete);
    }

    #[test]
    fn any_text_has_a_bounded_number_of_errors() {
        for text in [
            "[".repeat(1000),
            "a = [\n".repeat(1000),
            "= \n".repeat(1000),
            "ü\n".repeat(100),
            "[a]\n".repeat(1000),
            "\"\"\"".to_owned(),
        ] {
            let Repaired { texts, errors, .. } = without_errors(&text);
            assert!((1..=MAX_ERRORS).contains(&errors.len()), "{}", &text[..3]);
            assert!(texts.iter().all(|text| first_error(text).is_none()));
        }
    }
}
