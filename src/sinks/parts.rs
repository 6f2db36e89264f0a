//! A point of line protocol taken apart, as it is written.

use std::borrow::Cow;

pub(super) fn escaped(text: &str, special: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if special.contains(&byte) {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}

/// A name or a tag's value as it was before it was escaped.
pub(super) fn unescaped(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.contains(&b'\\') {
        return String::from_utf8_lossy(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match rest.peek() {
            Some(b',' | b'=' | b' ') if byte == b'\\' => {}
            _ => plain.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

/// A point of line protocol, as it is written.
pub(super) struct Parts<'l> {
    pub(super) measurement: &'l [u8],
    pub(super) tags: Vec<(&'l [u8], &'l [u8])>,
    pub(super) fields: Vec<(&'l [u8], &'l [u8])>,
    /// The timestamp with the space before it and the line end behind it.
    pub(super) time: &'l [u8],
}

impl<'l> Parts<'l> {
    pub(super) fn of(line: &'l [u8]) -> Option<Parts<'l>> {
        let head_end = find(line, b' ', false)?;
        let (head, rest) = (&line[..head_end], &line[head_end + 1..]);
        let fields_end = find(rest, b' ', true)?;
        let mut parts = split(head, b',', false).into_iter();
        let measurement = parts.next()?;
        let pair = |text: &'l [u8]| find(text, b'=', false).map(|at| (&text[..at], &text[at + 1..]));
        Some(Parts {
            measurement,
            tags: parts.map(pair).collect::<Option<_>>()?,
            fields: split(&rest[..fields_end], b',', true).into_iter().map(pair).collect::<Option<_>>()?,
            time: &rest[fields_end..],
        })
    }
}

/// Where `byte` stands first, neither escaped nor, with `has_strings`, in a string.
fn find(text: &[u8], byte: u8, has_strings: bool) -> Option<usize> {
    let (mut is_escaped, mut is_in_string) = (false, false);
    text.iter().position(|found| {
        let is_it = *found == byte && !is_escaped && !is_in_string;
        if *found == b'"' && has_strings && !is_escaped {
            is_in_string = !is_in_string;
        }
        is_escaped = *found == b'\\' && !is_escaped;
        is_it
    })
}

fn split(mut text: &[u8], byte: u8, has_strings: bool) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(text, byte, has_strings) {
        parts.push(&text[..at]);
        text = &text[at + 1..];
    }
    parts.push(text);
    parts
}
