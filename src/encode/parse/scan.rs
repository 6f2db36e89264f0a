//! Reading a line of text from left to right.

use std::borrow::Cow;

use super::model::Label;
use super::{Error, Limits, Place};

/// The lines of a text, one at a time.
pub(super) struct Scanner<'a> {
    rest: &'a str,
    pub(super) line: usize,
    pub(super) limits: Limits,
    is_open_metrics: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a [u8], limits: &Limits, is_open_metrics: bool) -> Result<Self, Error> {
        let rest = std::str::from_utf8(body).map_err(|error| {
            let line = memchr::memchr_iter(b'\n', &body[..error.valid_up_to()]).count() + 1;
            Error::Malformed { place: Place::Line(line), message: "invalid UTF-8".to_owned() }
        })?;
        Ok(Scanner { rest, line: 0, limits: *limits, is_open_metrics })
    }

    pub(super) fn place(&self) -> Place {
        Place::Line(self.line)
    }

    pub(super) fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::Malformed { place: self.place(), message: message.into() })
    }

    /// The next line, without its end, which it must have; the last of OpenMetrics need not.
    pub(super) fn next_line(&mut self) -> Result<Option<&'a str>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let Some(end) = memchr::memchr(b'\n', self.rest.as_bytes()) else {
            if self.is_open_metrics && self.rest == super::text::END {
                return Ok(Some(std::mem::take(&mut self.rest)));
            }
            // Blanks are no line.
            if skip_blanks(self.rest).is_empty() {
                self.rest = "";
                return Ok(None);
            }
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
        let mut at = 0;
        loop {
            match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                None => return self.wrong("a quote that is not closed"),
                Some(next) if bytes[at + next] == b'"' => {
                    let (inside, rest) = text.split_at(at + next);
                    return Ok((self.unescaped(inside)?, &rest[1..]));
                }
                // What follows a backslash closes nothing.
                Some(next) if at + next + 2 <= bytes.len() => at += next + 2,
                Some(_) => return self.wrong("a quote that is not closed"),
            }
        }
    }

    /// What a text stands for in which a backslash is followed by n, a quote or a backslash. OpenMetrics has others too,
    /// each of which stands for itself with its backslash.
    pub(super) fn unescaped(&self, text: &'a str) -> Result<Cow<'a, str>, Error> {
        if memchr::memchr(b'\\', text.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(text));
        }
        let (mut unescaped, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((plain, escaped)) = rest.split_once('\\') {
            unescaped.push_str(plain);
            let character = escaped.chars().next();
            match character {
                Some('n') => unescaped.push('\n'),
                Some(special @ ('\\' | '"')) => unescaped.push(special),
                Some(other) if self.is_open_metrics => unescaped.extend(['\\', other]),
                _ => {
                    return self.wrong("invalid escape sequence: a backslash is followed by n, a quote or a backslash");
                }
            }
            rest = &escaped[character.map_or(0, char::len_utf8)..];
        }
        unescaped.push_str(rest);
        Ok(Cow::Owned(unescaped))
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
        match text.parse::<f64>() {
            // A number that is too large is none, also in Go.
            Ok(number) if is_number && number.is_infinite() => {
                self.wrong(format!("expected float as value, got {:?}, which is out of range", shortened(text)))
            }
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
