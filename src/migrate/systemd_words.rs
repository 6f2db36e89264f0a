//! Words of systemd's command lines and variables: quotation marks, escapes, specifiers and variables.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// What a backslash does.
#[derive(Clone, Copy, PartialEq)]
enum Escapes {
    /// It begins an escape of C; an unknown one stands for itself.
    C,
    /// It makes the next character an ordinary one.
    Any,
}

/// The words of an `ExecStart=` or an `Environment=`.
pub(super) fn words_of_setting(text: &str) -> Vec<String> {
    words(text, Escapes::C)
}

/// The words of a variable that stands alone in a command, such as `$ARGS`.
pub(super) fn words_of_variable(text: &str) -> Vec<String> {
    words(text, Escapes::Any)
}

/// A quotation mark that is not closed ends with the text.
fn words(text: &str, escapes: Escapes) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let word = word.get_or_insert_default();
                match chars.peek() {
                    None => word.push('\\'),
                    Some(_) if escapes == Escapes::C => escape_of_c(&mut chars, word),
                    Some(_) => word.extend(chars.next()),
                }
            }
            _ if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            c if c.is_whitespace() && quote.is_none() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn escape_of_c(chars: &mut Peekable<Chars<'_>>, word: &mut String) {
    let Some(c) = chars.next() else { return };
    let plain = match c {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        's' => ' ',
        '\\' | '"' | '\'' => c,
        _ => {
            let (digits, radix) = match c {
                'x' => (2, 16),
                'u' => (4, 16),
                'U' => (8, 16),
                '0'..='7' => (3, 8),
                _ => (0, 10),
            };
            let start = if radix == 8 { c.to_string() } else { String::new() };
            let more = chars.clone().take(digits - start.len().min(digits));
            let number = start + &more.collect::<String>();
            let value = u32::from_str_radix(&number, radix).ok().filter(|_| number.len() == digits);
            match value.and_then(char::from_u32) {
                Some(value) if value != '\0' => {
                    let read = digits - usize::from(radix == 8);
                    chars.by_ref().take(read).for_each(drop);
                    value
                }
                _ => {
                    word.push('\\');
                    c
                }
            }
        }
    };
    word.push(plain);
}

/// Replaces `%i` and the other specifiers. An unknown one stands for itself.
pub(super) fn specified(text: &str, value: &dyn Fn(char) -> Option<String>) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('%', Some(specifier)) => {
                chars.next();
                match (specifier, value(specifier)) {
                    ('%', _) => out.push('%'),
                    (_, Some(value)) => out.push_str(&value),
                    (_, None) => out.extend(['%', specifier]),
                }
            }
            _ => out.push(c),
        }
    }
    out
}

/// Replaces variables of a command's word: `$NAME` that stands alone becomes words, `${NAME}` is replaced in the word, and
/// `$$` is `$`. What is unset is empty.
pub(super) fn expanded(word: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    if let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
        return variables.get(name).map(|value| words_of_variable(value)).unwrap_or_default();
    }
    let (mut out, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(after) = behind.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = behind.strip_prefix('{').and_then(|name| name.split_once('}')) {
            out.push_str(variables.get(name).map(String::as_str).unwrap_or_default());
            rest = after;
        } else {
            out.push('$');
            rest = behind;
        }
    }
    vec![out + rest]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_systemd_does() {
        assert_eq!(
            words_of_setting(r#"/x --a='b c' "d\te" \x41\101\u00e4 ^/(\w+)\.$ "" #"#),
            ["/x", "--a=b c", "d\te", "AAä", r"^/(\w+)\.$", "", "#"]
        );
        assert_eq!(words_of_variable(r#"--a=^/(dev|\\w) 'b\'c' "d"e"#), [r"--a=^/(dev|\w)", "b'c", "de"]);
        assert_eq!(words_of_variable(r#"--a "b c"#), ["--a", "b c"]);
        assert_eq!(words_of_setting(r"\x4 \8 \U0000 a\"), [r"\x4", r"\8", r"\U0000", r"a\"]);
    }

    #[test]
    fn variables_and_specifiers_are_replaced_as_systemd_does() {
        let variables = BTreeMap::from([("A".to_owned(), "--x 'y z'".to_owned()), ("P".to_owned(), "1 2".to_owned())]);
        let expand = |word: &str| expanded(word, &variables);
        assert_eq!(expand("$A"), ["--x", "y z"]);
        assert_eq!(expand("--p=${P}:${NO}"), ["--p=1 2:"]);
        assert_eq!(expand("$NO"), Vec::<String>::new());
        // Without braces, a variable must stand alone.
        assert_eq!(expand("--p=$P"), ["--p=$P"]);
        assert_eq!(expand("^/a($$|/)"), ["^/a($|/)"]);
        let value = |specifier: char| (specifier == 'i').then(|| "9100".to_owned());
        assert_eq!(specified("%i%%i%q%", &value), "9100%i%q%");
    }
}
