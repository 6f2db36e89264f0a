//! Parses kernel files by line and field. Every error names path and line.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use super::errno::Errno;

/// Why a read of the host failed: where, what was expected, what was found.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// The host lacks the feature or the hardware. Normal.
    #[error("{}: not on this host", .0.display())]
    Absent(PathBuf),
    /// The file exists and cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The kernel's error.
        reason: String,
    },
    /// The file is malformed.
    #[error("{}:{line}: expected {expected}, found {found}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The expected content.
        expected: &'static str,
        /// The found content, shortened.
        found: String,
    },
    /// A peer timed out. The message is constant while it does.
    #[error("{what}: no answer; it is asked again in the background")]
    Silent {
        /// The source.
        what: String,
    },
    /// A system call or a peer returned an error.
    #[error("{what}: {reason}")]
    Refused {
        /// The source.
        what: String,
        /// The error.
        reason: String,
    },
}

impl ReadError {
    /// The error of opening or reading `path`.
    pub fn io(path: &Path, error: Errno) -> Self {
        match error {
            // A process that ended has no files; one that ends while its file is read is ESRCH.
            Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO | Errno::OPNOTSUPP | Errno::SRCH => {
                ReadError::Absent(path.to_owned())
            }
            other => ReadError::Unreadable { path: path.to_owned(), reason: reason(other) },
        }
    }

    /// The file or other source.
    pub fn subject(&self) -> Cow<'_, str> {
        match self {
            ReadError::Absent(path) | ReadError::Unreadable { path, .. } | ReadError::Malformed { path, .. } => {
                path.to_string_lossy()
            }
            ReadError::Silent { what } | ReadError::Refused { what, .. } => Cow::Borrowed(what),
        }
    }

    /// The reason, the same for all errors of a kind.
    pub fn words(&self) -> Cow<'_, str> {
        match self {
            ReadError::Absent(_) => "not on this host".into(),
            ReadError::Silent { .. } => "no answer".into(),
            ReadError::Unreadable { reason, .. } => format!("cannot be read: {reason}").into(),
            ReadError::Malformed { expected, .. } => format!("expected {expected}").into(),
            ReadError::Refused { reason, .. } => reason.into(),
        }
    }

    /// Whether the host lacks the feature.
    pub fn is_absent(&self) -> bool {
        matches!(self, ReadError::Absent(_))
    }
}

/// The message of an error number, without the number.
pub fn reason(error: Errno) -> String {
    let words = io::Error::from(error).to_string();
    words.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The whole content of one kernel file.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    path: &'a Path,
    bytes: &'a [u8],
}

impl<'a> Text<'a> {
    /// The content `bytes` of the file at `path`.
    pub fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Text { path, bytes }
    }

    /// The text.
    ///
    /// # Errors
    /// If it is empty, which a file with `expected` never is.
    pub fn not_empty(self, expected: &'static str) -> Result<Self, ReadError> {
        if self.bytes.is_empty() { Err(self.end().malformed(expected, b"")) } else { Ok(self) }
    }

    /// Everything, as read.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The lines, without line ends. The last may lack one.
    pub fn lines(self) -> impl Iterator<Item = Line<'a>> {
        let mut rest = self.bytes;
        let mut number = 0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let bytes = &rest[..end];
            rest = &rest[rest.len().min(end + 1)..];
            number += 1;
            Some(Line { path: self.path, number, bytes })
        })
    }

    /// The first line; empty if the file is.
    pub fn first_line(self) -> Line<'a> {
        self.lines().next().unwrap_or(Line { path: self.path, number: 1, bytes: b"" })
    }

    /// The empty line after the last, as the position of missing content.
    pub fn end(self) -> Line<'a> {
        Line { path: self.path, number: self.lines().count() + 1, bytes: b"" }
    }

    /// The content as one trimmed string.
    pub fn trimmed(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes.trim_ascii())
    }

    /// The content as one number.
    pub fn number<T: Number>(self, expected: &'static str) -> Result<T, ReadError> {
        let line = self.first_line();
        T::parse(line.bytes.trim_ascii()).ok_or_else(|| line.malformed(expected, line.bytes))
    }
}

/// One line of a kernel file.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    path: &'a Path,
    number: usize,
    bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// The line's bytes, without the line end.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The line from byte `start`, after a prefix.
    pub fn from(self, start: usize) -> Line<'a> {
        Line { bytes: &self.bytes[start.min(self.bytes.len())..], ..self }
    }

    /// The fields between white space.
    pub fn fields(self) -> Fields<'a> {
        Fields { line: self, rest: self.bytes }
    }

    /// Splits `key: value…` at its first colon; both parts trimmed.
    pub fn key_and_rest(self) -> Option<(&'a [u8], Line<'a>)> {
        let colon = memchr::memchr(b':', self.bytes)?;
        Some((self.bytes[..colon].trim_ascii(), self.from(colon + 1)))
    }

    /// An error: the line has `found` instead of `expected`.
    pub fn malformed(self, expected: &'static str, found: &[u8]) -> ReadError {
        const SHOWN: usize = 60;
        let shown = String::from_utf8_lossy(&found[..found.len().min(SHOWN)]);
        let found = match found.len() {
            0 => "nothing".to_owned(),
            length if length > SHOWN => format!("{shown:?}…"),
            _ => format!("{shown:?}"),
        };
        ReadError::Malformed { path: self.path.to_owned(), line: self.number, expected, found }
    }
}

/// The fields of a line, from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    line: Line<'a>,
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.rest = &rest[end..];
        Some(&rest[..end])
    }
}

impl<'a> Fields<'a> {
    /// The remainder of the line, with its inner white space: a name that may have spaces. Trimmed.
    pub fn remainder(self) -> &'a [u8] {
        self.rest.trim_ascii()
    }

    /// The next field, required.
    pub fn required(&mut self, expected: &'static str) -> Result<&'a [u8], ReadError> {
        let line = self.line;
        self.next().ok_or_else(|| line.malformed(expected, b""))
    }

    /// The next field as a number, required.
    pub fn number<T: Number>(&mut self, expected: &'static str) -> Result<T, ReadError> {
        let field = self.required(expected)?;
        T::parse(field).ok_or_else(|| self.line.malformed(expected, field))
    }

    /// The next field as a number, if present: later kernels append columns.
    pub fn optional<T: Number>(&mut self, expected: &'static str) -> Result<Option<T>, ReadError> {
        match self.next() {
            None => Ok(None),
            Some(field) => T::parse(field).map(Some).ok_or_else(|| self.line.malformed(expected, field)),
        }
    }
}

/// Decodes the octal escapes in a name: space, tab, newline, backslash and # of lib/string_helpers.c, `string_escape_mem`.
pub fn unescape(field: &[u8]) -> String {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = |digits: &[u8; 3]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match after.first_chunk().and_then(octal).filter(|_| byte == b'\\') {
            Some(escaped) => {
                plain.push(escaped);
                rest = &after[3..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// A number in a kernel file.
pub trait Number: Sized {
    /// The number; `None` if `bytes` is malformed or overflows.
    fn parse(bytes: &[u8]) -> Option<Self>;
}

impl Number for u64 {
    fn parse(bytes: &[u8]) -> Option<u64> {
        /// This many digits never overflow.
        const SURE: usize = 19;
        if bytes.is_empty() {
            return None;
        }
        let digit = |byte: &u8| Some(byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9).map(u64::from);
        let (sure, rest) = bytes.split_at(bytes.len().min(SURE));
        let sum = sure.iter().try_fold(0, |sum, byte| Some(sum * 10 + digit(byte)?))?;
        rest.iter().try_fold(sum, |sum: u64, byte| sum.checked_mul(10)?.checked_add(digit(byte)?))
    }
}

impl Number for i64 {
    fn parse(bytes: &[u8]) -> Option<i64> {
        match bytes.strip_prefix(b"-") {
            Some(digits) => u64::parse(digits).and_then(|n| 0i64.checked_sub_unsigned(n)),
            None => u64::parse(bytes).and_then(|n| n.try_into().ok()),
        }
    }
}

/// Any integer that the kernel prints: from `i64::MIN` to `u64::MAX`.
impl Number for i128 {
    fn parse(bytes: &[u8]) -> Option<i128> {
        match bytes.first() {
            Some(b'-') => i64::parse(bytes).map(i128::from),
            _ => u64::parse(bytes).map(i128::from),
        }
    }
}

impl Number for f64 {
    fn parse(bytes: &[u8]) -> Option<f64> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8]) -> Line<'_> {
        Text::new(Path::new("/proc/some"), bytes).first_line()
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        assert_eq!(u64::parse(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(u64::parse(b"18446744073709551616"), None);
        assert_eq!(u64::parse(b"-1"), None);
        assert_eq!(u64::parse(b""), None);
        assert_eq!(i64::parse(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(i64::parse(b"9223372036854775808"), None);
    }

    #[test]
    fn an_error_names_file_line_expectation_and_find() {
        let text = Text::new(Path::new("/proc/loadavg"), b"fine\n0.1 oops");
        let second = text.lines().nth(1).unwrap();
        let mut fields = second.fields();
        fields.next();
        let error = fields.number::<u64>("a count").unwrap_err();
        assert_eq!(error.to_string(), "/proc/loadavg:2: expected a count, found \"oops\"");
        let error = fields.number::<u64>("another count").unwrap_err();
        assert_eq!(error.to_string(), "/proc/loadavg:2: expected another count, found nothing");
    }

    #[test]
    fn lines_and_fields_survive_odd_white_space() {
        let text = Text::new(Path::new("x"), b"a\tb  c\n\n d");
        let lines: Vec<Vec<&[u8]>> = text.lines().map(|l| l.fields().collect()).collect();
        assert_eq!(lines, [vec![b"a".as_slice(), b"b", b"c"], vec![], vec![b"d"]]);
        assert_eq!(line(b"eth0:12 3").key_and_rest().unwrap().0, b"eth0");
    }
}
