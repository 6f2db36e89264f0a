//! A file as blocks, each of the lines of one family, so that what is wrong in one does not cost the others.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::encode::parse::name_of_line;

/// The lines that speak of one family.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    lines: Vec<(usize, Cow<'a, str>)>,
    /// What follows its name in those of its samples besides nothing, as far as its type is known.
    parts: &'static [&'static str],
    /// What its comments said so far.
    heads: Vec<&'a str>,
    /// The first line, from 1, that is not UTF-8.
    pub(super) broken: Option<usize>,
}

impl<'a> Block<'a> {
    /// The lines as a text.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|(_, line)| line.len() + 1).sum());
        self.lines.iter().for_each(|(_, line)| text.extend([line, "\n"]));
        text
    }

    /// Where in the file the line is that has this number in the text, both from 1.
    pub(super) fn line(&self, number: usize) -> usize {
        let index = number.saturating_sub(1).min(self.lines.len().saturating_sub(1));
        self.lines.get(index).map_or(1, |(line, _)| *line)
    }

    fn push(&mut self, number: usize, line: Cow<'a, str>) {
        self.lines.push((number, line));
    }

    /// Takes a comment; what repeats one to the letter, as where outputs are put together, says nothing new.
    fn push_comment(&mut self, number: usize, line: &'a str, is_open_metrics: bool) {
        let comment = line.trim_matches([' ', '\t']);
        if self.heads.contains(&comment) {
            return;
        }
        /// More are wrong.
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

/// The type that a comment says, if it is one of TYPE.
fn kind_of(comment: &str) -> Option<&str> {
    let rest = comment.strip_prefix('#')?.trim_start_matches([' ', '\t']).strip_prefix("TYPE")?;
    rest.rsplit([' ', '\t']).next()
}

/// The suffixes that samples of a family of this type may have.
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

/// The blocks in the order of their first lines.
pub(super) fn blocks(bytes: &[u8], is_open_metrics: bool) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut by_name: Places = HashMap::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (text, is_broken) = match std::str::from_utf8(line) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) => (Cow::Owned(String::from_utf8_lossy(line).into_owned()), true),
        };
        let Some(name) = name_of_line(&text) else { continue };
        let place = place_of(&name, &by_name, &blocks).unwrap_or_else(|| {
            by_name.insert(name.into_owned(), blocks.len());
            blocks.push(Block::default());
            blocks.len() - 1
        });
        let block = &mut blocks[place];
        if is_broken {
            block.broken.get_or_insert(index + 1);
        }
        match text {
            Cow::Borrowed(line) if line.trim_start_matches([' ', '\t']).starts_with('#') => {
                block.push_comment(index + 1, line, is_open_metrics);
            }
            line => block.push(index + 1, line),
        }
    }
    blocks
}

/// Where each family's block is.
type Places = HashMap<String, usize, foldhash::fast::RandomState>;

/// The block that a line about `name` belongs to, if there is one.
fn place_of(name: &str, by_name: &Places, blocks: &[Block<'_>]) -> Option<usize> {
    if let Some(place) = by_name.get(name) {
        return Some(*place);
    }
    let (family, suffix) = name.split_at_checked(name.rfind('_')?)?;
    let place = *by_name.get(family)?;
    blocks.get(place)?.parts.contains(&suffix).then_some(place)
}
