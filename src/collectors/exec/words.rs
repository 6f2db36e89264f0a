//! Commands: as a string that is split like a shell does, or as an array of words.

use crate::config::{Setting, Value};

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<String>);

impl Setting for Words {
    const EXPECTED: &'static str = "a command such as \"/usr/bin/check -w 5\" or [\"/usr/bin/check\", \"-w\", \"5\"]";
    const EXPECTED_LIST: &'static str = "a list of commands, each a string or a list of strings";

    fn from_value(value: &Value) -> Result<Self, String> {
        let words = match value {
            Value::String(text) => split(text)?,
            Value::Array(items) => {
                items.iter().map(|item| String::from_value(&item.value)).collect::<Result<Vec<_>, _>>()?
            }
            _ => return Err(String::new()),
        };
        match words.first() {
            Some(program) if program.is_empty() => Err("the name of the program is empty".to_owned()),
            Some(_) if words.iter().any(|word| word.contains('\0')) => Err("a word has a NUL byte".to_owned()),
            Some(_) => Ok(Words(words)),
            None => Err("the command is empty".to_owned()),
        }
    }
}

/// Splits a command at white space, as a shell does: single quotes keep everything, double quotes all but `\"`, `\\`,
/// `\$` and `` \` ``, and a backslash the next character. Variables, pipes and redirections have no meaning.
///
/// # Errors
/// A quote is not closed, or a backslash is the last character.
fn split(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = command.chars();
    let open = |quote: char| format!("the quote {quote} is not closed");
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| open('\''))? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| open('"'))? {
                        '"' => break,
                        '\\' => match chars.next().ok_or_else(|| open('"'))? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            '\n' => {}
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next().ok_or("the last backslash has no character after it")? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_like_a_shell_does() {
        for (command, expected) in [
            ("/bin/a", vec!["/bin/a"]),
            ("  a  b\tc ", vec!["a", "b", "c"]),
            ("a 'b c' \"d \\\"e\\\" \\x $f\" g\\ h ''", vec!["a", "b c", "d \"e\" \\x $f", "g h", ""]),
            ("a --b='c d'\"e\"", vec!["a", "--b=c de"]),
            ("", vec![]),
        ] {
            assert_eq!(split(command).unwrap(), expected, "{command}");
        }
        for command in ["a 'b", "a \"b", "a \"b\\", "a\\"] {
            assert!(split(command).is_err(), "{command}");
        }
    }
}
