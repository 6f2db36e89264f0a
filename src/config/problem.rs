//! Errors of a configuration, with their positions.

use std::fmt;
use std::ops::Range;

use super::redact::{Leaves, Secrets, Shown, Walk, is_reference, without_what_was_found};
use super::value::{Position, Table};

/// One configuration file, or the built-in one.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the user gave it.
    pub name: String,
    /// The content.
    pub text: String,
    /// Positions of its values.
    pub(super) leaves: Leaves,
    /// Whether it has syntax errors, so that not all values are known.
    pub(super) is_broken: bool,
}

impl Source {
    /// A source that is not parsed yet.
    pub(super) fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into(), leaves: Leaves::default(), is_broken: true }
    }

    /// Records the values of the parsed source.
    pub(super) fn set_values(&mut self, root: &Table, secrets: &mut Secrets) {
        Walk { text: &self.text, leaves: &mut self.leaves, secrets }.table(root, "", false);
    }
}

/// One error.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its position, if it has one.
    pub position: Option<Position>,
    /// The key path, such as `agent.interval`; empty if it has none.
    pub key: String,
    /// Expected and found.
    pub message: String,
    /// Whether the value is hidden.
    pub secret: bool,
}

/// All errors of a configuration, with their sources.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The files that were read.
    pub sources: Vec<Source>,
    /// The errors.
    pub list: Vec<Problem>,
    /// Secrets that messages hide.
    pub(super) secrets: Secrets,
}

impl std::error::Error for Problems {}

/// Errors shown; further ones are counted.
const MAX_SHOWN: usize = 100;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.show(problem, f)?;
        }
        self.more().map_or(Ok(()), |more| write!(f, "\nerror: {more}"))
    }
}

impl Problems {
    /// Sorts the errors by position; those without one come first.
    pub fn sort(&mut self) {
        self.list
            .sort_by_key(|problem| problem.position.as_ref().map(|position| (position.source, position.span.start)));
    }

    /// The first errors as `file:line:column: key: message`, for logs, and the number of further ones.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().take(MAX_SHOWN).map(|problem| self.line(problem)).chain(self.more())
    }

    /// The number of errors that are not shown, if any.
    fn more(&self) -> Option<String> {
        let more = self.list.len().saturating_sub(MAX_SHOWN);
        (more > 0).then(|| format!("and {more} more mistake{}", if more == 1 { "" } else { "s" }))
    }

    /// The message of an error, without secrets.
    pub fn message(&self, problem: &Problem) -> String {
        self.message_at(problem, self.located(problem).as_ref())
    }

    fn message_at(&self, problem: &Problem, located: Option<&Located<'_>>) -> String {
        let is_secret = located.is_some_and(|at| at.source.leaves.has_secret_in(&at.marked));
        let message = if is_secret { without_what_was_found(&problem.message) } else { problem.message.clone() };
        self.secrets.hide(&message)
    }

    fn line(&self, problem: &Problem) -> String {
        let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        let located = self.located(problem);
        let mut message = self.message_at(problem, located.as_ref());
        // The source of a secret is not secret, and it is where to fix the error.
        if let Some(reference) = located.as_ref().filter(|_| problem.secret).and_then(Located::reference) {
            message = format!("{message}, in {reference}");
        }
        match located {
            Some(Located { source, line, column, .. }) => format!("{}:{line}:{column}: {key}{message}", source.name),
            None => format!("{key}{message}"),
        }
    }

    /// Writes the line of [`Problems::lines`], and below it the line of the file with the position marked. Text after the
    /// position is omitted, as a misspelt `password` precedes one; so are other values on the line, and secrets. If the
    /// file has syntax errors, only the key is shown.
    fn show(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.line(problem))?;
        let Some(located) = self.located(problem).filter(|_| !problem.secret) else { return Ok(()) };
        let Located { source, line, shown, marked, .. } = located;
        let number = line.to_string();
        if source.is_broken {
            return match key_of(&source.text, shown.start) {
                Some(key) => write!(f, "\n  {number} | {key} = …"),
                None => Ok(()),
            };
        }
        let Shown { text, skip, width } = source.leaves.show(&source.text, shown, &marked);
        writeln!(f, "\n  {number} | {text}")?;
        write!(f, "  {:pad$} | {:skip$}{:^<width$}", "", "", "", pad = number.len())
    }

    fn located(&self, problem: &Problem) -> Option<Located<'_>> {
        let position = problem.position.as_ref()?;
        let source = self.sources.get(position.source)?;
        let start = position.span.start.min(source.text.len());
        let before = source.text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let content = source.text[line_start..].lines().next().unwrap_or_default();
        let end = position.span.end.clamp(start, line_start + content.len().max(start - line_start));
        Some(Located {
            source,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            shown: line_start..end,
            marked: position.span.clone(),
        })
    }
}

struct Located<'a> {
    source: &'a Source,
    line: usize,
    column: usize,
    /// The line, up to the end of the position.
    shown: Range<usize>,
    /// The position.
    marked: Range<usize>,
}

impl<'a> Located<'a> {
    /// The reference at the position, if the value is only that.
    fn reference(&self) -> Option<&'a str> {
        self.source.text.get(self.marked.clone()).filter(|raw| is_reference(raw))
    }
}

/// The key at the start of the line, if it certainly is one.
fn key_of(text: &str, start: usize) -> Option<&str> {
    let (before, line) = (&text[..start], text[start..].lines().next()?);
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    let is_within_a_value =
        before.contains("\"\"\"") || before.contains("\'\'\'") || before.trim_end().ends_with(['[', ',', '{', '=']);
    let is_key = !key.is_empty() && key.chars().all(is_word) && !value.trim().is_empty() && !value.starts_with('=');
    (is_key && !is_within_a_value).then_some(key)
}
