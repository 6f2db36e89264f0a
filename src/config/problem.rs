//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;

/// One configuration file, or the built-in one.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the user gave it.
    pub name: String,
    /// The content.
    pub text: String,
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
        match self.located(problem) {
            Some(Located { name, line, column, .. }) => format!("{name}:{line}:{column}: {key}{}", problem.message),
            None => format!("{key}{}", problem.message),
        }
    }

    /// The line of [`Problems::lines`], and below it the line of the file with the place marked. What follows the place
    /// is not shown: behind a misspelt `password` stands one.
    fn show(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(located) = self.located(problem).filter(|_| !problem.secret) else {
            return write!(f, "error: {}", self.line(problem));
        };
        let Located { line, column, content, width, .. } = located;
        writeln!(f, "error: {}", self.line(problem))?;
        let number = line.to_string();
        writeln!(f, "  {number} | {content}")?;
        write!(f, "  {:pad$} | {:skip$}{:^<width$}", "", "", "", pad = number.len(), skip = column - 1)
    }

    fn located(&self, problem: &Problem) -> Option<Located<'_>> {
        let place = problem.place.as_ref()?;
        let source = self.sources.get(place.source)?;
        let start = place.span.start.min(source.text.len());
        let before = source.text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let content = source.text[line_start..].lines().next().unwrap_or_default();
        let on_this_line = place.span.end.clamp(start, line_start + content.len().max(start - line_start));
        Some(Located {
            name: &source.name,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            content: source.text.get(line_start..on_this_line).unwrap_or(content),
            width: source.text.get(start..on_this_line).map_or(1, |marked| marked.chars().count()).max(1),
        })
    }
}

struct Located<'a> {
    name: &'a str,
    line: usize,
    column: usize,
    content: &'a str,
    width: usize,
}
