//! Reading a line of text from left to right.

use std::borrow::Cow;

use super::model::Label;
use super::{Error, Limits, Place};

/// The lines of a text, one at a time.
pub(super) struct Scanner<'a> {
    rest: &'a str,
    pub(super) line: usize,
    /// Whether names may be in quotes, and then be anything.
    pub(super) limits: Limits,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let rest = std::str::from_utf8(body).map_err(|error| {
            let line = memchr::memchr_iter(b'\n', &body[..error.valid_up_to()]).count() + 1;
            Error::Malformed { place: Place::Line(line), message: "invalid UTF-8".to_owned() }
        })?;
        Ok(Scanner { rest, line: 0, limits: *limits })
    }

    pub(super) fn place(&self) -> Place {
        Place::Line(self.line)
    }

    pub(super) fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::Malformed { place: self.place(), message: message.into() })
    }

    /// The next line, without its end, which it must have.
    pub(super) fn next_line(&mut self) -> Result<Option<&'a str>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let Some(end) = memchr::memchr(b'\n', self.rest.as_bytes()) else {
            return self
                .wrong("unexpected end of input stream: the last line has no end, so the body may have been cut off");
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(Some(line))
    }

    /// Whether nothing follows.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// A name at the start of `text`, in quotes or not, and what follows it. Empty if there is none.
    pub(super) fn name(&self, text: &'a str, with_colons: bool) -> Result<(Cow<'a, str>, &'a str), Error> {
        if let Some(quoted) = text.strip_prefix('"') {
            return self.quoted(quoted);
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (with_colons && byte == b':');
        let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
        let end = if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { end };
        Ok((Cow::Borrowed(&text[..end]), &text[end..]))
    }

    /// What stands up to the closing quote, and what follows it; `text` begins behind the opening one.
    fn quoted(&self, text: &'a str) -> Result<(Cow<'a, str>, &'a str), Error> {
        let bytes = text.as_bytes();
        let Some(first) = memchr::memchr2(b'"', b'\\', bytes) else { return self.wrong("a quote that is not closed") };
        if bytes[first] == b'"' {
            return Ok((Cow::Borrowed(&text[..first]), &text[first + 1..]));
        }
        let (mut unescaped, mut start, mut at) = (String::new(), 0, first);
        loop {
            unescaped.push_str(&text[start..at]);
            if bytes[at] == b'"' {
                return Ok((Cow::Owned(unescaped), &text[at + 1..]));
            }
            unescaped.push(match bytes.get(at + 1) {
                Some(b'n') => '\n',
                Some(b'\\') => '\\',
                Some(b'"') => '"',
                _ => {
                    return self.wrong("invalid escape sequence: a backslash is followed by n, a quote or a backslash");
                }
            });
            start = at + 2;
            match memchr::memchr2(b'"', b'\\', &bytes[start..]) {
                Some(next) => at = start + next,
                None => return self.wrong("a quote that is not closed"),
            }
        }
    }

    /// The labels up to the closing brace, and what follows it; `text` begins behind the opening one. A quoted name alone
    /// is the metric's, and comes back as `name`.
    pub(super) fn labels(
        &self,
        mut text: &'a str,
        labels: &mut Vec<Label<'a>>,
        name: &mut Cow<'a, str>,
    ) -> Result<&'a str, Error> {
        loop {
            text = skip_blanks(text);
            if let Some(rest) = text.strip_prefix('}') {
                return Ok(rest);
            }
            let is_quoted = text.starts_with('"');
            let (label, rest) = self.name(text, false)?;
            if label.is_empty() {
                return self.wrong(format!("expected a label name, found {:?}", shortened(text)));
            }
            text = skip_blanks(rest);
            if let Some(value) = text.strip_prefix('=') {
                let value = skip_blanks(value);
                let Some(value) = value.strip_prefix('"') else {
                    return self.wrong(format!("expected '\"' at start of label value, found {:?}", shortened(value)));
                };
                if label == "__name__" {
                    return self.wrong("label name \"__name__\" is reserved");
                }
                let (value, rest) = self.quoted(value)?;
                if labels.len() > self.limits.labels {
                    return Err(Error::Limit {
                        place: self.place(),
                        what: "labels of one series",
                        at_most: self.limits.labels,
                    });
                }
                labels.push((label, value));
                text = skip_blanks(rest);
            } else if is_quoted && name.is_empty() {
                *name = label;
            } else {
                return self.wrong(format!("expected '=' after label name, found {:?}", shortened(text)));
            }
            text = match text.strip_prefix(',') {
                Some(rest) => rest,
                None if text.starts_with('}') => text,
                None => return self.wrong(format!("unexpected end of label value, found {:?}", shortened(text))),
            };
        }
    }

    /// A number as Go reads it, without its hexadecimal and underscored forms.
    pub(super) fn number(&self, text: &str) -> Result<f64, Error> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_word = ["inf", "infinity", "nan"].iter().any(|word| digits.eq_ignore_ascii_case(word));
        let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let is_nan_with_sign = digits.len() < text.len() && digits.eq_ignore_ascii_case("nan");
        match text.parse() {
            Ok(number) if (is_word || is_number) && !is_nan_with_sign => Ok(number),
            _ => self.wrong(format!("expected float as value, got {:?}", shortened(text))),
        }
    }
}

pub(super) fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The word at the start of `text`, and what follows the blanks behind it.
pub(super) fn word(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    (&text[..end], skip_blanks(&text[end..]))
}

pub(super) fn shortened(text: &str) -> &str {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
