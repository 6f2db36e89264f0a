//! Values of a configuration, each with its position.

use std::collections::BTreeMap;
use std::ops::Range;

/// A range of bytes in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The index of the source.
    pub source: usize,
    /// The bytes.
    pub span: Range<usize>,
}

/// A value and its position.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the source has it.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string, with references expanded.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or time; no setting accepts one.
    Datetime,
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Entries by key, each with the position of its key.
pub type Table = BTreeMap<String, (Position, Node)>;

impl Node {
    /// Whether this is YAML's null, which leaves a setting at its default.
    pub fn is_nothing(&self) -> bool {
        self.position.span.is_empty() && matches!(&self.value, Value::String(text) if text.is_empty())
    }
}

impl Value {
    /// Type and content, for an error message.
    pub fn describe(&self) -> String {
        match self {
            Value::String(text) => format!("the string {text:?}"),
            Value::Integer(number) => format!("the integer {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Boolean(flag) => format!("{flag}"),
            Value::Datetime => "a date".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// The type alone, for messages about values that may be secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Whether both are equal, regardless of positions.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Datetime, Value::Datetime) => true,
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value.same(&b.value))
            }
            (Value::Table(a), Value::Table(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && a.1.value.same(&b.1.value))
            }
            _ => false,
        }
    }
}
