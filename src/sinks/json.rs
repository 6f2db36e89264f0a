//! A point of line protocol as JSON.

use std::borrow::Cow;

use super::parts::{Parts, unescaped};

/// A JSON object that is being written.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Opens an object at the end of `out`.
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, is_empty: true }
    }

    /// Closes it.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// Adds a string.
    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        push_string(self.out, value);
    }

    /// Adds a number.
    pub(super) fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    /// Adds a field's value as it stands in line protocol.
    pub(super) fn field(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        push_field(self.out, value);
    }

    /// Adds an object, which is to be closed before anything else is added.
    pub(super) fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::open(self.out)
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        push_string(self.out, key);
        self.out.push(b':');
    }
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    // A string always can be written, and a vector takes everything.
    let _ = serde_json::to_writer(out, text);
}

/// Integers stay integers, and a float has a point or an exponent, so that it is one for whoever reads it.
fn push_field(out: &mut Vec<u8>, value: &[u8]) {
    match value {
        [b'"', text @ .., b'"'] => push_string(out, &without_backslashes(text)),
        [number @ .., b'i' | b'u'] => out.extend_from_slice(number),
        [b't' | b'T', ..] => out.extend_from_slice(b"true"),
        [b'f' | b'F', ..] => out.extend_from_slice(b"false"),
        number => {
            out.extend_from_slice(number);
            if !number.iter().any(|byte| b".eE".contains(byte)) {
                out.extend_from_slice(b".0");
            }
        }
    }
}

fn without_backslashes(text: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    if !text.contains('\\') {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek() {
            Some('"' | '\\') if c == '\\' => plain.extend(rest.next()),
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// Nanoseconds of Unix time.
pub(super) fn time_of(parts: &Parts<'_>) -> Option<i64> {
    std::str::from_utf8(parts.time).ok()?.trim().parse().ok()
}

/// The tags, unescaped.
pub(super) fn tags<'p>(parts: &'p Parts<'_>) -> impl Iterator<Item = (Cow<'p, str>, Cow<'p, str>)> {
    parts.tags.iter().map(|(key, value)| (unescaped(key), unescaped(value)))
}
