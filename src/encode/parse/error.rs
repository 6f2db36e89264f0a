//! Errors of parsing an exposition.

use std::borrow::Cow;

/// Why an exposition was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is malformed.
    #[error("{position}: {message}")]
    Malformed {
        /// The line, or the byte offset in protobuf.
        position: Position,
        /// What was expected, and what was found.
        message: Message,
    },
    /// It exceeds a limit.
    #[error("{position}: more than {max} {what}")]
    Limit {
        /// Where the limit was exceeded.
        position: Position,
        /// The limited quantity.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A part of a summary or histogram is duplicated, so that one of the two values would be dropped.
    #[error("{series} is there twice")]
    Duplicate {
        /// The part with its labels.
        series: String,
    },
}

/// An error message, and the text found. They are separate because the content of a body may be secret; then only the
/// message is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Has `…` where the text found is inserted.
    what: Cow<'static, str>,
    found: Option<String>,
}

impl Message {
    /// The message `what`, with `found` inserted at its `…`.
    pub(in crate::encode) fn about(what: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Message { what: what.into(), found: Some(found.into()) }
    }

    /// The message without any content of the body.
    pub fn without_content(&self) -> &str {
        &self.what
    }
}

impl From<&'static str> for Message {
    fn from(what: &'static str) -> Self {
        Message { what: Cow::Borrowed(what), found: None }
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.found, self.what.split_once('…')) {
            (Some(found), Some((before, after))) => write!(f, "{before}{found:?}{after}"),
            _ => f.write_str(&self.what),
        }
    }
}

/// A position in an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A line of text, from 1.
    Line(usize),
    /// A byte of protobuf, from 0.
    Byte(usize),
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Position::Line(line) => write!(f, "text format parsing error in line {line}"),
            Position::Byte(byte) => write!(f, "protobuf parsing error at byte {byte}"),
        }
    }
}
