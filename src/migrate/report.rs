//! The report of a translation, as text and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, json};

use super::check::Checked;
use super::translation::{Entry, Outcome, Translation};

/// Numbers of lines by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// See [`Outcome::Same`].
    pub same: usize,
    /// See [`Outcome::Changed`].
    pub changed: usize,
    /// See [`Outcome::NotNeeded`].
    pub not_needed: usize,
    /// See [`Outcome::Missing`].
    pub missing: usize,
}

impl Summary {
    /// Counts the entries.
    pub fn of(translation: &Translation) -> Summary {
        let mut summary = Summary::default();
        for entry in &translation.entries {
            *match entry.outcome {
                Outcome::Same => &mut summary.same,
                Outcome::Changed(_) => &mut summary.changed,
                Outcome::NotNeeded(_) => &mut summary.not_needed,
                Outcome::Missing(_) => &mut summary.missing,
            } += 1;
        }
        summary
    }
}

/// The report for people: each line of the input with its outcome, and the numbers.
pub fn text(translation: &Translation) -> String {
    let mut out = String::new();
    for run in translation.entries.chunk_by(|a, b| a.outcome == b.outcome && !a.outcome.remark().is_empty()) {
        for (index, Entry { source, text, outcome }) in run.iter().enumerate() {
            let place = source.place();
            let place = if place.is_empty() { place } else { format!("{place}  ") };
            let text = text.replace(char::is_control, " ");
            let _ = writeln!(out, "{:<12}{place}{text}", outcome.name().replace('_', " "));
            if index == 0 && !outcome.remark().is_empty() {
                let _ = writeln!(out, "{:<12}  {}{}", "", outcome.remark(), also_for(run.len() - 1));
            }
        }
    }
    let Summary { same, changed, not_needed, missing } = Summary::of(translation);
    let _ = write!(out, "{same} same, {changed} changed, {not_needed} not needed, {missing} missing");
    if translation.comments > 0 {
        let lines = counted(translation.comments, "line is", "lines are");
        let _ = write!(out, "; {lines} blank or comments");
    }
    out.push('\n');
    let kept = translation.kept();
    if !kept.is_empty() {
        out.push_str("For the inputs that are missing, Telegraf still needs these lines:\n");
    }
    for (file, lines) in &kept {
        let ranges = ranges(lines).into_iter().map(|[first, last]| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        let _ = writeln!(out, "  {file}: {}", ranges.collect::<Vec<_>>().join(", "));
    }
    if !translation.variables.is_empty() {
        out.push_str("These variables are not set here. Set them for taffrail.service, in /etc/default/taffrail:\n");
    }
    for (name, sources) in &translation.variables {
        let _ = writeln!(out, "  {name}: {}", sources.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    out
}

/// The same remark is there once for all lines of a run.
fn also_for(lines: usize) -> String {
    match lines {
        0 => String::new(),
        1 => " (also for the next line)".to_owned(),
        lines => format!(" (also for the next {lines} lines)"),
    }
}

/// A number with its noun.
pub fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// The first and last line of each run of lines.
fn ranges(lines: &BTreeSet<usize>) -> Vec<[usize; 2]> {
    let mut ranges: Vec<[usize; 2]> = Vec::new();
    for &line in lines {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == line => *last = line,
            _ => ranges.push([line, line]),
        }
    }
    ranges
}

/// The report for programs.
pub fn json(checked: &Checked) -> String {
    let Checked { translation, toml } = checked;
    let entries = translation.entries.iter().map(|Entry { source, text, outcome }| {
        let mut entry = json!({ "text": text, "outcome": outcome.name(), "source": source.comment() });
        if !outcome.remark().is_empty() {
            entry["remark"] = outcome.remark().into();
        }
        if let Some((first, last)) = source.lines {
            entry["file"] = source.file.as_str().into();
            entry["line"] = first.into();
            entry["last_line"] = last.into();
        }
        entry
    });
    let Summary { same, changed, not_needed, missing } = Summary::of(translation);
    let report = json!({
        "entries": entries.collect::<Vec<_>>(),
        "summary": { "same": same, "changed": changed, "not_needed": not_needed, "missing": missing },
        "comments": translation.comments,
        "kept": translation.kept().iter().map(|(file, lines)| (file.clone(), json!(ranges(lines)))).collect::<Map<_, _>>(),
        "variables": translation.variables,
        "toml": toml,
    });
    format!("{report:#}\n")
}
