//! Grouping keys. [`path`] has their encoding in URL paths.

mod path;

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

pub use path::path_of;
pub(super) use path::unescape_name;

/// A grouping key: the labels that all series of a group have, sorted by name. `job` is never empty; other labels with an
/// empty value are dropped.
///
/// A key is one shared text, `LENGTH:LENGTH:NAMEVALUE` for each label: there may be 100,000 keys, each in several lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

/// The labels of a key, sorted by name.
#[derive(Clone, Debug)]
pub struct Labels<'k>(&'k str);

impl<'k> Iterator for Labels<'k> {
    type Item = (&'k str, &'k str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = length(self.0)?;
        let (value, rest) = length(rest)?;
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// The number before a colon, and the remainder after it.
fn length(text: &str) -> Option<(usize, &str)> {
    let mut number = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _ => return Some((number, text.get(at + 1..)?)),
        }
    }
    None
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.labels().cmp(other.labels())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a path is not a grouping key. Messages are Pushgateway's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No job, or an empty one.
    #[error("job name is required")]
    NoJob,
    /// A label without a value.
    #[error("odd number of components in label string \"{0}\"")]
    Odd(String),
    /// An invalid label name.
    #[error("improper label name {0:?}")]
    Name(String),
    /// A value after `@base64` that is not base64.
    #[error("invalid base64 encoding {what}{value:?}: {reason}")]
    Base64 {
        /// The job name, or the label.
        what: String,
        /// The value.
        value: String,
        /// Why it is invalid.
        reason: String,
    },
    /// A `%` without two hexadecimal digits, or invalid UTF-8.
    #[error("the value of {what} is not {expected}: {value:?}")]
    Value {
        /// The job name, or the label.
        what: String,
        /// The expected encoding.
        expected: &'static str,
        /// The value.
        value: String,
    },
}

impl Key {
    /// The key of these labels; empty ones are dropped.
    ///
    /// # Errors
    /// [`KeyError::NoJob`] if `job` is not among them.
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Result<Key, KeyError> {
        let mut labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        let mut text = String::with_capacity(labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum());
        for (name, value) in &labels {
            let _ = write!(text, "{}:{}:{name}{value}", name.len(), value.len());
        }
        let key = Key(text.into());
        if key.job().is_empty() { Err(KeyError::NoJob) } else { Ok(key) }
    }

    /// The labels, sorted by name, none of them empty.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// Bytes of its text.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// The value of a label; empty if absent.
    pub fn get(&self, name: &str) -> &str {
        self.labels().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The job.
    pub fn job(&self) -> &str {
        self.get("job")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.labels().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(f, "{separator}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}
