//! Files such as `/etc/default/prometheus-node-exporter`: variables for a unit, one of which has the flags.

use super::command_line::split;
use super::environment_file::statements;
use super::systemd_words::words_of_variable;
use super::translation::{Outcome, Source, Translation};

/// Translates each assignment of flags with `translate`.
pub fn translate(file: &str, text: &str, translate: &dyn Fn(&[String], &Source) -> Translation) -> Translation {
    let (statements, comments) = statements(text, split);
    let mut translation = Translation { comments, ..Translation::default() };
    let mut has_flags = false;
    for statement in statements {
        let source = Source { file: file.to_owned(), lines: Some(statement.lines), ..Source::default() };
        let text = one_line(&statement.text);
        match statement.assignment.and_then(|(name, value)| flags_of(&name, &value)) {
            Ok(flags) if flags.is_empty() => {
                translation.add(source, text, Outcome::NotNeeded("it has no flag".to_owned()));
            }
            Ok(flags) => {
                has_flags = true;
                translation.append(translate(&flags, &source));
            }
            Err(instead) => drop(translation.add(source, text, Outcome::Missing(instead))),
        }
    }
    if !has_flags {
        translation.append(translate(&[], &Source::default()));
    }
    translation
}

/// The flags of an assignment.
///
/// # Errors
/// What to do with it instead.
fn flags_of(name: &str, value: &str) -> Result<Vec<String>, String> {
    let flags = words_of_variable(value);
    match flags.iter().any(|flag| flag.starts_with('-')) {
        _ if matches!(name, "GOMAXPROCS" | "GOGC" | "GOMEMLIMIT") => Ok(Vec::new()),
        false if !flags.is_empty() => {
            Err(format!("what {name} is for is not known; set it in the environment of taffrail.service"))
        }
        _ => Ok(flags),
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
