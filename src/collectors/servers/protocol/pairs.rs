//! Pages of text with a name and a value on each line: Apache's `server-status?auto`, PHP-FPM's status page, Redis's
//! `INFO`, memcached's `stats`.

/// The syntax of a page.
#[derive(Clone, Copy, Debug)]
pub struct Syntax {
    /// What each line begins with; lines that do not are skipped. Empty if there is nothing.
    pub prefix: &'static str,
    /// What stands between the name and the value.
    pub separator: char,
    /// What a line begins with that begins a section. Empty if there are no sections.
    pub section: &'static str,
}

/// `Name: value`, as Apache writes it.
pub const COLON: Syntax = Syntax { prefix: "", separator: ':', section: "" };
/// `name: value`, with a line of asterisks before each process of PHP-FPM.
pub const PHP_FPM: Syntax = Syntax { section: "****", ..COLON };
/// `name:value`, with sections such as `# Memory`, as Redis writes it.
pub const REDIS: Syntax = Syntax { section: "#", ..COLON };
/// `STAT name value`, as memcached writes it.
pub const MEMCACHED: Syntax = Syntax { prefix: "STAT ", separator: ' ', section: "" };

/// A named value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'t> {
    /// The title of its section, without the characters that mark it; empty before the first.
    pub section: &'t str,
    /// The number of its section; 0 before the first.
    pub index: usize,
    /// The name.
    pub key: &'t str,
    /// The value, without white space around it.
    pub value: &'t str,
}

/// Lines of a page that are read at most.
const MAX_LINES: usize = 50_000;

/// The named values of a page, in its order. Lines without a separator are skipped.
///
/// # Errors
/// If it is HTML or JSON, has too many lines, or no named value at all.
pub fn read(text: &str, syntax: Syntax) -> Result<Vec<Pair<'_>>, String> {
    refuse_markup(text)?;
    let (mut pairs, mut section, mut index) = (Vec::new(), "", 0);
    for (number, line) in text.lines().enumerate() {
        if number >= MAX_LINES {
            return Err(format!("expected at most {MAX_LINES} lines, found more"));
        }
        if !syntax.section.is_empty() && line.starts_with(syntax.section) {
            section = line.trim_start_matches(|c: char| syntax.section.contains(c)).trim();
            index += 1;
            continue;
        }
        let named = line.strip_prefix(syntax.prefix).and_then(|line| line.split_once(syntax.separator));
        if let Some((key, value)) = named.filter(|(key, _)| !key.trim().is_empty()) {
            pairs.push(Pair { section, index, key: key.trim(), value: value.trim() });
        }
    }
    if pairs.is_empty() {
        return Err(format!("expected lines of a name and a value, found {}", shown(text)));
    }
    Ok(pairs)
}

/// Refuses pages in another form than plain text.
///
/// # Errors
/// Which form was found.
pub fn refuse_markup(text: &str) -> Result<(), String> {
    match text.trim_start_matches('\u{feff}').trim_start().chars().next() {
        Some('<') => Err("expected plain text, found an HTML page: the URL is that of another page".to_owned()),
        Some('{') => Err("expected plain text, found JSON: remove json from the URL".to_owned()),
        _ => Ok(()),
    }
}

/// The start of a text, for a message.
pub fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    match text.trim().is_empty() {
        true => "nothing".to_owned(),
        false => format!("{:?}", text.trim().chars().take(MAX_CHARS).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, syntax: Syntax) -> Vec<(&str, usize, &str, &str)> {
        read(text, syntax).unwrap().into_iter().map(|pair| (pair.section, pair.index, pair.key, pair.value)).collect()
    }

    #[test]
    fn each_syntax_gives_names_and_values() {
        let info = "# Server\r\nredis_version:7.0.15\r\nos:Linux x:y\r\n\r\n# Clients\r\nconnected_clients:1\r\n";
        let expected = [
            ("Server", 1, "redis_version", "7.0.15"),
            ("Server", 1, "os", "Linux x:y"),
            ("Clients", 2, "connected_clients", "1"),
        ];
        assert_eq!(of(info, REDIS), expected);
        let status = "pool:   www\naccepted conn:        1\n\n************\npid:   7\n***********\npid: 8\n";
        let expected =
            [("", 0, "pool", "www"), ("", 0, "accepted conn", "1"), ("", 1, "pid", "7"), ("", 2, "pid", "8")];
        assert_eq!(of(status, PHP_FPM), expected);
        assert_eq!(of("localhost\nTotal Accesses: 2\n", COLON), [("", 0, "Total Accesses", "2")]);
        let stats = "STAT pid 1\r\nSTAT version 1.6 a b\r\nOTHER x 1\r\n";
        assert_eq!(of(stats, MEMCACHED), [("", 0, "pid", "1"), ("", 0, "version", "1.6 a b")]);
    }

    #[test]
    fn another_page_is_refused_by_what_it_is() {
        for (text, reason) in [
            ("", "expected lines of a name and a value, found nothing"),
            ("It works", "expected lines of a name and a value, found \"It works\""),
            ("\n<!DOCTYPE html>", "expected plain text, found an HTML page: the URL is that of another page"),
            ("{\"pool\":1}", "expected plain text, found JSON: remove json from the URL"),
        ] {
            assert_eq!(read(text, COLON).unwrap_err(), reason);
        }
        let long = "a: 1\n".repeat(MAX_LINES + 1);
        assert_eq!(read(&long, COLON).unwrap_err(), "expected at most 50000 lines, found more");
    }
}
