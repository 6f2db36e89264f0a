//! The settings of a configuration file of Telegraf, with their lines.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::template::unrendered;
use crate::migrate::lines::Lines;
use crate::migrate::template;

/// A table of the file, with everything below it.
#[derive(Debug)]
pub struct Block {
    /// The path, such as `["inputs", "cpu"]`.
    pub path: Vec<String>,
    /// Lines of its head, from 1; none of a table without a head.
    pub lines: Option<(usize, usize)>,
    /// Its head as it is in the file.
    pub text: String,
    /// Its settings, in their order.
    pub settings: Vec<Setting>,
    /// Tables below it, in their order.
    pub tables: Vec<Block>,
    start: usize,
}

/// A setting of a table.
#[derive(Debug)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The value as it is in the file.
    pub raw: String,
    /// Lines, from 1.
    pub lines: (usize, usize),
    /// The setting as it is in the file, in one line.
    pub text: String,
    start: usize,
}

/// A value, as far as translating needs it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// `true` or `false`.
    Switch(bool),
    /// A number.
    Number(f64),
    /// A list.
    List(Vec<Value>),
    /// Anything else.
    Other,
}

impl Value {
    /// The strings of a list, or the one string.
    pub fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Value::Text(text) => Some(vec![text]),
            Value::List(values) => values.iter().map(Value::text).collect(),
            _ => None,
        }
    }

    /// The string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A file that is no TOML, or a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ReadError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// The root table of a file.
///
/// # Errors
/// It is no TOML, or a template that no program has rendered.
pub fn read(file: &str, text: &str) -> Result<Block, ReadError> {
    let lines = Lines::new(text);
    let refused = |line: usize, message: String| ReadError { file: file.to_owned(), line, message };
    let table = DeTable::parse(text).map_err(|error| {
        let number = lines.number_at(error.span().map_or(0, |span| span.start));
        let line = lines.line(number);
        match template::line_of(text).or(line.contains("{{").then_some(number)) {
            Some(number) => refused(number, template::MESSAGE.to_owned()),
            None => refused(number, outside_quotes(line).unwrap_or_else(|| error.message().replace('\n', ", "))),
        }
    })?;
    match unrendered(text, table.get_ref()) {
        Some(at) => Err(refused(lines.number_at(at), template::MESSAGE.to_owned())),
        None => Ok(block(&lines, Vec::new(), None, table.get_ref())),
    }
}

/// The error for a variable outside quotation marks, which Telegraf replaces before it reads the file.
fn outside_quotes(line: &str) -> Option<String> {
    let mut quote = None;
    let mut chars = line.char_indices();
    let start = chars.find(|(_, c)| {
        match (quote, *c) {
            (None, '"' | '\'') => quote = Some(*c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        quote.is_none() && matches!(c, '$' | '#')
    });
    let (start, _) = start.filter(|(_, c)| *c == '$')?;
    let name = &line[start + 1..];
    let end = match name.strip_prefix('{') {
        Some(inside) => inside.find('}')? + 2,
        None => name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len()),
    };
    let variable = &line[start..=start + end];
    Some(format!(
        "the variable {variable} is outside quotation marks: write its value here, or \"{variable}\" for a string"
    ))
}

fn block(lines: &Lines<'_>, path: Vec<String>, head: Option<Range<usize>>, table: &DeTable<'_>) -> Block {
    let text = lines.text;
    // The span of a table without a head is that of a key.
    let head = head.filter(|head| text[head.clone()].starts_with('[') || text[head.clone()].ends_with('}'));
    let mut block = Block {
        path,
        lines: head.as_ref().map(|head| (lines.number_at(head.start), lines.number_at(head.end))),
        text: head.as_ref().map(|head| head_of(&text[head.clone()])).unwrap_or_default(),
        settings: Vec::new(),
        tables: Vec::new(),
        start: head.map_or(0, |head| head.start),
    };
    for (key, value) in table {
        let below = || [&block.path[..], &[key.get_ref().to_string()]].concat();
        match value.get_ref() {
            DeValue::Table(table) => {
                let is_inline = text[value.span()].starts_with('{');
                let head = if is_inline { key.span().start..value.span().end } else { value.span() };
                let table = self::block(lines, below(), Some(head), table);
                block.tables.push(table);
            }
            DeValue::Array(items) if items.iter().next().is_some_and(|item| is_block(text, item)) => {
                for item in items.iter() {
                    let DeValue::Table(table) = item.get_ref() else { continue };
                    let table = self::block(lines, below(), Some(item.span()), table);
                    block.tables.push(table);
                }
            }
            _ => block.settings.push(setting(lines, key, value)),
        }
    }
    block.settings.sort_by_key(|setting| setting.start);
    block.tables.sort_by_key(|table| table.start);
    block
}

/// A head as it is in the file. The values of an inline table, which may be secrets, are settings of the block.
fn head_of(text: &str) -> String {
    match text.split_once('{') {
        Some((key, _)) if !text.starts_with('[') => {
            format!("{}{{ … }}", in_one_line(key) + if key.ends_with(' ') { " " } else { "" })
        }
        _ => in_one_line(text),
    }
}

/// Whether an element of a list is a table with a head, not `{ … }`.
fn is_block(text: &str, value: &Spanned<DeValue<'_>>) -> bool {
    matches!(value.get_ref(), DeValue::Table(_)) && !text[value.span()].starts_with('{')
}

fn setting(lines: &Lines<'_>, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> Setting {
    let (text, start, end) = (lines.text, key.span().start, value.span().end);
    let whole = in_one_line(&text[start..end]);
    Setting {
        key: key.get_ref().to_string(),
        value: value_of(value.get_ref()),
        raw: text[value.span()].to_owned(),
        lines: (lines.number_at(start), lines.number_at(end)),
        text: whole,
        start,
    }
}

fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Integer(number) => number.as_str().parse().map_or(Value::Other, Value::Number),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Other, Value::Number),
        DeValue::Array(values) => Value::List(values.iter().map(|value| value_of(value.get_ref())).collect()),
        DeValue::Table(_) | DeValue::Datetime(_) => Value::Other,
    }
}
