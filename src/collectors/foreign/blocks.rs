//! Splits a file into blocks, one for the lines of each family, so that an error in one family does not affect the
//! others.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::encode::parse::name_of_line;

/// The lines of one family.
#[derive(Debug, Default)]
pub(in crate::collectors) struct Block<'a> {
    lines: Vec<(usize, Cow<'a, str>)>,
    /// The suffixes that its samples may have, once its type is known.
    parts: &'static [&'static str],
    /// The comments so far.
    heads: Vec<&'a str>,
    /// The first line, from 1, that is not UTF-8.
    pub(in crate::collectors) broken: Option<usize>,
}

impl<'a> Block<'a> {
    /// The lines as text.
    pub(in crate::collectors) fn text(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|(_, line)| line.len() + 1).sum());
        self.lines.iter().for_each(|(_, line)| text.extend([line, "\n"]));
        text
    }

    /// Converts a line number of the text to one of the file; both start at 1.
    pub(in crate::collectors) fn line(&self, number: usize) -> usize {
        let index = number.saturating_sub(1).min(self.lines.len().saturating_sub(1));
        self.lines.get(index).map_or(1, |(line, _)| *line)
    }

    fn push(&mut self, number: usize, line: Cow<'a, str>) {
        self.lines.push((number, line));
    }

    /// Adds a comment. An exact repetition, as in concatenated outputs, is ignored.
    fn push_comment(&mut self, number: usize, line: &'a str, is_open_metrics: bool) {
        let comment = line.trim_matches([' ', '\t']);
        if self.heads.contains(&comment) {
            return;
        }
        /// Later comments are errors.
        const KEYWORDS: usize = 3;
        if self.heads.len() < KEYWORDS {
            self.heads.push(comment);
        }
        if let Some(kind) = kind_of(comment) {
            self.parts = parts(&kind.to_ascii_lowercase(), is_open_metrics);
        }
        self.push(number, Cow::Borrowed(line));
    }
}

/// The type in a TYPE comment.
fn kind_of(comment: &str) -> Option<&str> {
    let rest = comment.strip_prefix('#')?.trim_start_matches([' ', '\t']).strip_prefix("TYPE")?;
    rest.rsplit([' ', '\t']).next()
}

/// The suffixes that samples of this type may have.
fn parts(kind: &str, is_open_metrics: bool) -> &'static [&'static str] {
    match (kind, is_open_metrics) {
        ("summary", false) => &["_sum", "_count"],
        ("summary", true) => &["_sum", "_count", "_created"],
        ("histogram", false) => &["_bucket", "_sum", "_count"],
        ("histogram", true) => &["_bucket", "_sum", "_count", "_created"],
        ("gaugehistogram" | "gauge_histogram", _) => &["_bucket", "_sum", "_count", "_gsum", "_gcount"],
        ("counter", true) => &["_total", "_created"],
        ("info", true) => &["_info"],
        _ => &[],
    }
}

/// The blocks, in the order of their first lines.
pub(in crate::collectors) fn blocks(bytes: &[u8], is_open_metrics: bool) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut by_name: Index = HashMap::default();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (text, is_broken) = match std::str::from_utf8(line) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => (Cow::Owned(String::from_utf8_lossy(line).into_owned()), true),
        };
        let Some(name) = name_of_line(&text) else { continue };
        let index = index_of(&name, &by_name, &blocks).unwrap_or_else(|| {
            by_name.insert(name.into_owned(), blocks.len());
            blocks.push(Block::default());
            blocks.len() - 1
        });
        let block = &mut blocks[index];
        if is_broken {
            block.broken.get_or_insert(number);
        }
        match text {
            Cow::Borrowed(line) if line.trim_start_matches([' ', '\t']).starts_with('#') => {
                block.push_comment(number, line, is_open_metrics);
            }
            line => block.push(number, line),
        }
    }
    blocks
}

/// The block of each family.
type Index = HashMap<String, usize, foldhash::fast::RandomState>;

/// The block for a line about `name`, if there is one.
fn index_of(name: &str, by_name: &Index, blocks: &[Block<'_>]) -> Option<usize> {
    if let Some(index) = by_name.get(name) {
        return Some(*index);
    }
    let (family, suffix) = name.split_at_checked(name.rfind('_')?)?;
    let index = *by_name.get(family)?;
    blocks.get(index)?.parts.contains(&suffix).then_some(index)
}
