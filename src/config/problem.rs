//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;

use super::document::Table;
use super::redact::{Leaves, Secrets, Shown, Walk, without_what_was_found};

/// One configuration file, or the built-in one.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the user gave it.
    pub name: String,
    /// The content.
    pub text: String,
    /// Where its values are.
    pub(super) leaves: Leaves,
    /// Whether it could not be understood, so that not all values are known.
    pub(super) is_broken: bool,
}

impl Source {
    /// One of which nothing is understood yet.
    pub(super) fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into(), leaves: Leaves::default(), is_broken: true }
    }

    /// Takes what was understood of it.
    pub(super) fn understood(&mut self, root: &Table, secrets: &mut Secrets) {
        Walk { text: &self.text, leaves: &mut self.leaves, secrets }.table(root, "", false);
    }
}

/// Where something stands: bytes `span` of the source with this index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of the source.
    pub source: usize,
    /// The bytes.
    pub span: Range<usize>,
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where it is; nothing for what concerns no single place.
    pub place: Option<Place>,
    /// The key path, such as `agent.interval`; empty where there is none.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
    /// Whether what stands there is not to be shown.
    pub secret: bool,
}

/// Every mistake of a configuration, with the sources to show them in.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The files that were read.
    pub sources: Vec<Source>,
    /// The mistakes.
    pub list: Vec<Problem>,
    /// What they do not show.
    pub(super) secrets: Secrets,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.show(problem, f)?;
        }
        Ok(())
    }
}

impl Problems {
    /// Puts the mistakes in the order of the files; those without a place come first.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.source, place.span.start)));
    }

    /// Each mistake on one line, as `file:line:column: key: message`, for logs.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| self.line(problem))
    }

    fn line(&self, problem: &Problem) -> String {
        let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        let located = self.located(problem);
        let is_secret = located.as_ref().is_some_and(|at| at.source.leaves.has_secret_in(&at.marked));
        let message = if is_secret { without_what_was_found(&problem.message) } else { problem.message.clone() };
        let message = self.secrets.hide(&message);
        match located {
            Some(Located { source, line, column, .. }) => format!("{}:{line}:{column}: {key}{message}", source.name),
            None => format!("{key}{message}"),
        }
    }

    /// The line of [`Problems::lines`], and below it the line of the file with the place marked. What follows the place
    /// is not shown: behind a misspelt `password` stands one. Neither are other values on that line, and secrets. Of a
    /// file that is not understood the key alone is shown.
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
        let place = problem.place.as_ref()?;
        let source = self.sources.get(place.source)?;
        let start = place.span.start.min(source.text.len());
        let before = source.text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let content = source.text[line_start..].lines().next().unwrap_or_default();
        let end = place.span.end.clamp(start, line_start + content.len().max(start - line_start));
        Some(Located {
            source,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            shown: line_start..end,
            marked: place.span.clone(),
        })
    }
}

struct Located<'a> {
    source: &'a Source,
    line: usize,
    column: usize,
    /// The line, up to the end of the place.
    shown: Range<usize>,
    /// The place.
    marked: Range<usize>,
}

/// The key that the line from `start` on begins with, if it is certain that it is one.
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
