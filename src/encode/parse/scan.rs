//! A scanner for the lines of the text formats.

use std::borrow::Cow;

use super::model::Label;
use super::{Error, Limits, Message, Position};

/// The last line of an OpenMetrics exposition.
pub(super) const END: &str = "# EOF";

/// Scans a text line by line.
pub(super) struct Scanner<'a> {
    rest: &'a str,
    pub(super) line: usize,
    pub(super) limits: Limits,
    is_open_metrics: bool,
    /// Whether it accepts what Prometheus accepts of a target.
    is_scraped: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a [u8], limits: &Limits, is_open_metrics: bool) -> Result<Self, Error> {
        let rest = std::str::from_utf8(body).map_err(|error| {
            let line = memchr::memchr_iter(b'\n', &body[..error.valid_up_to()]).count() + 1;
            Error::Malformed { position: Position::Line(line), message: "invalid UTF-8".into() }
        })?;
        Ok(Scanner::of_text(rest, limits, is_open_metrics))
    }

    pub(super) fn of_text(rest: &'a str, limits: &Limits, is_open_metrics: bool) -> Self {
        Scanner { rest, line: 0, limits: *limits, is_open_metrics, is_scraped: false }
    }

    /// As lenient as Prometheus: unknown escape sequences are kept in text too, and labels need no comma between them.
    pub(super) fn lenient(self) -> Self {
        Scanner { is_scraped: true, ..self }
    }

    pub(super) fn position(&self) -> Position {
        Position::Line(self.line)
    }

    pub(super) fn malformed<T>(&self, message: impl Into<Message>) -> Result<T, Error> {
        Err(Error::Malformed { position: self.position(), message: message.into() })
    }

    /// The next line without its line end, which is required except on the last line of OpenMetrics.
    pub(super) fn next_line(&mut self) -> Result<Option<&'a str>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let Some(end) = memchr::memchr(b'\n', self.rest.as_bytes()) else {
            if self.is_open_metrics && self.rest == END {
                return Ok(Some(std::mem::take(&mut self.rest)));
            }
            // Trailing blanks are ignored.
            if skip_blanks(self.rest).is_empty() {
                self.rest = "";
                return Ok(None);
            }
            return self.malformed(
                "unexpected end of input stream: the last line has no end, so the body may have been cut off",
            );
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(Some(line))
    }

    /// The next line without its line end, which may be CR LF, and may be missing at the end of the text.
    pub(super) fn next_line_of_any_end(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let end = memchr::memchr(b'\n', self.rest.as_bytes()).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// The text that is not read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Continues at `behind`, which begins with the line end of `lines`, of which the first was read.
    pub(super) fn skip_lines_to(&mut self, lines: &str, behind: &'a str) {
        self.line += memchr::memchr_iter(b'\n', lines.as_bytes()).count();
        self.rest = behind.get(1..).unwrap_or_default();
    }

    /// Whether the whole text was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The name at the start of `text`, quoted or not, and the remainder. Empty if there is none.
    pub(super) fn name(&self, text: &'a str, with_colons: bool) -> Result<(Cow<'a, str>, &'a str), Error> {
        if let Some(quoted) = text.strip_prefix('"') {
            return self.quoted(quoted);
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (with_colons && byte == b':');
        let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
        let end = if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { end };
        Ok((Cow::Borrowed(&text[..end]), &text[end..]))
    }

    /// The text up to the closing quote, and the remainder. `text` starts after the opening quote.
    fn quoted(&self, text: &'a str) -> Result<(Cow<'a, str>, &'a str), Error> {
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                None => return self.malformed("a quote that is not closed"),
                Some(next) if bytes[at + next] == b'"' => {
                    let (inside, rest) = text.split_at(at + next);
                    return Ok((self.unescaped(inside)?, &rest[1..]));
                }
                // A backslash escapes the next character.
                Some(next) if at + next + 2 <= bytes.len() => at += next + 2,
                Some(_) => return self.malformed("a quote that is not closed"),
            }
        }
    }

    /// Unescapes a text. A backslash precedes n, a quote or a backslash; any other sequence is
    /// literal in OpenMetrics, and in what is scraped.
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
                Some(other) if self.is_open_metrics || self.is_scraped => unescaped.extend(['\\', other]),
                _ => {
                    return self
                        .malformed("invalid escape sequence: a backslash is followed by n, a quote or a backslash");
                }
            }
            rest = &escaped[character.map_or(0, char::len_utf8)..];
        }
        unescaped.push_str(rest);
        Ok(Cow::Owned(unescaped))
    }

    /// Parses labels up to the closing brace, and returns the remainder. `text` starts after the opening brace. A
    /// quoted name without a value is the metric's, and is stored in `name`.
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
                return self.malformed(Message::about("expected a label name, found …", shortened(text)));
            }
            text = skip_blanks(rest);
            let has_value = text.starts_with('=');
            if let Some(value) = text.strip_prefix('=') {
                let value = skip_blanks(value);
                let Some(value) = value.strip_prefix('"') else {
                    return self
                        .malformed(Message::about("expected '\"' at start of label value, found …", shortened(value)));
                };
                if label == "__name__" {
                    return self.malformed("label name \"__name__\" is reserved");
                }
                let (value, rest) = self.quoted(value)?;
                if labels.len() > self.limits.labels {
                    return Err(Error::Limit {
                        position: self.position(),
                        what: "labels of one series",
                        max: self.limits.labels,
                    });
                }
                labels.push((label, value));
                text = skip_blanks(rest);
            } else if is_quoted && name.is_empty() {
                *name = label;
            } else {
                return self.malformed(Message::about("expected '=' after label name, found …", shortened(text)));
            }
            text = match text.strip_prefix(',') {
                Some(rest) => rest,
                None if text.starts_with('}') || (has_value && self.is_scraped) => text,
                None => {
                    return self.malformed(Message::about("unexpected end of label value, found …", shortened(text)));
                }
            };
        }
    }

    /// Parses a number as Go does, except hexadecimal and underscored forms.
    pub(super) fn number(&self, text: &str) -> Result<f64, Error> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_word = ["inf", "infinity", "nan"].iter().any(|word| digits.eq_ignore_ascii_case(word));
        let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let is_nan_with_sign = digits.len() < text.len() && digits.eq_ignore_ascii_case("nan");
        match text.parse::<f64>() {
            // A number out of range is an error in Go too.
            Ok(number) if is_number && number.is_infinite() => {
                self.malformed(Message::about("expected float as value, got …, which is out of range", shortened(text)))
            }
            Ok(number) if (is_word || is_number) && !is_nan_with_sign => Ok(number),
            _ => self.malformed(Message::about("expected float as value, got …", shortened(text))),
        }
    }
}

pub(super) fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The word at the start of `text`, and the remainder after the blanks.
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
