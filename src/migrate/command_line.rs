//! Reads the command line of a Go program.

use crate::config::{Secrets, is_secret_name};

/// How a program's command line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// As Prometheus's programs: `--name=value`, `--name value`, `--switch`, `--no-switch`.
    Kingpin,
    /// As Go's `flag`: `-name=value`, `-name value`, `-switch`, `-switch=false`, each also with two hyphens.
    Go,
}

/// A flag as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The name, without hyphens and `no-`.
    pub name: String,
    /// The hyphens, and `no-` if it had that.
    pub hyphens: String,
    /// The value; empty for a switch.
    pub value: String,
    /// Whether a switch is turned off.
    pub is_negated: bool,
    /// All of it as it was given.
    pub text: String,
    /// Why the program would not understand it.
    pub mistake: Option<String>,
}

impl Given {
    /// Removes secrets from the text: the value of a flag with the name of one, and the password of a URL.
    pub fn hide_secrets(&mut self) {
        // Not the field: the value of a switch is not in it, and a word that is no flag is all value.
        let value = self.text[self.hyphens.len() + self.name.len()..].trim_start_matches(['=', ' ']);
        if is_secret_name(&self.name) && !value.is_empty() {
            self.text.replace_range(self.text.len() - value.len().., "…");
            return;
        }
        let mut secrets = Secrets::default();
        secrets.add_parts_of_url(value);
        self.text = secrets.hide(&self.text);
    }
}

/// Splits arguments into flags. `is_switch` reports whether a flag takes no value, and whether it exists.
pub fn parse(syntax: Syntax, arguments: &[String], is_switch: &dyn Fn(&str) -> Option<bool>) -> Vec<Given> {
    let mut parsed = Vec::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let body = argument.trim_start_matches('-');
        let hyphens = &argument[..argument.len() - body.len()];
        if hyphens.is_empty() || hyphens.len() > 2 || body.is_empty() {
            let mistake = match argument.strip_prefix('@') {
                Some(file) => format!("write the flags of the file {file} here instead"),
                None => "expected a flag".to_owned(),
            };
            parsed.push(Given { text: argument.clone(), mistake: Some(mistake), ..Given::default() });
            continue;
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let negated = match syntax {
            Syntax::Kingpin => name.strip_prefix("no-").filter(|positive| is_switch(positive) == Some(true)),
            Syntax::Go => None,
        };
        let mut given = Given {
            name: negated.unwrap_or(name).to_owned(),
            hyphens: format!("{hyphens}{}", if negated.is_some() { "no-" } else { "" }),
            value: value.clone().unwrap_or_default(),
            is_negated: negated.is_some(),
            text: argument.clone(),
            mistake: None,
        };
        match (is_switch(&given.name), value) {
            (Some(true), Some(value)) => switch_with_value(syntax, &mut given, &value),
            (Some(false), None) => match rest.next() {
                Some(value) => {
                    given.text = format!("{argument} {value}");
                    given.value.clone_from(value);
                }
                None => given.mistake = Some("expected a value".to_owned()),
            },
            // What follows an unknown flag with the name of a secret may be the secret.
            (None, None) if is_secret_name(name) => {
                if let Some(value) = rest.next_if(|next| !next.starts_with('-')) {
                    given.text = format!("{argument} {value}");
                    given.value.clone_from(value);
                }
            }
            _ => {}
        }
        parsed.push(given);
    }
    parsed
}

fn switch_with_value(syntax: Syntax, given: &mut Given, value: &str) {
    let parsed = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    };
    given.value.clear();
    match (syntax, parsed) {
        (Syntax::Go, Some(value)) => given.is_negated = !value,
        (Syntax::Go, None) => given.mistake = Some("expected true or false".to_owned()),
        (Syntax::Kingpin, _) => {
            given.mistake = Some(format!("this flag takes no value: write --{0} or --no-{0}", given.name));
        }
    }
}

/// Splits a text into words as a shell does: blanks separate, `'` and `"` quote, `\` escapes. Comments end a line.
///
/// # Errors
/// A quotation mark that is not closed, and expansions, whose result is not known.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    split_with(text, false)
}

/// Splits a text as [`split`] does. A `$` stands for itself, as in an `EnvironmentFile=` of systemd.
///
/// # Errors
/// A quotation mark that is not closed.
pub(super) fn split_literally(text: &str) -> Result<Vec<String>, String> {
    split_with(text, true)
}

fn split_with(text: &str, is_literal: bool) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("a backslash at the end".to_owned()),
            },
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a quotation mark is not closed".to_owned()),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '$' if !is_literal
                && chars.peek().is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, '{' | '(' | '_')) =>
            {
                return Err("an expansion: write its result instead".to_owned());
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The text between double quotation marks.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err("a backslash at the end".to_owned()),
            },
            Some(c) => word.push(c),
            None => return Err("a quotation mark is not closed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, words) in [
            ("--a --b=c", vec!["--a", "--b=c"]),
            (r#"--x="^/(dev|proc)($|/)" 'a b'"#, vec!["--x=^/(dev|proc)($|/)", "a b"]),
            ("--x=\\\\d \\\" y", vec![r"--x=\d", "\"", "y"]),
            ("a \\\n b # c\n d", vec!["a", "b", "d"]),
            (r#""\d" "#, vec![r"\d"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["'a", "\"a", "$HOME", "${X}", "$(date)", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
