//! Lines that a program writes while it runs.

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

use super::process::log_lines;

/// Bytes of a line. A longer one is left out.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Cuts a stream into lines. Holds at most one line, of at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The start of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether the start of that line was longer than [`MAX_LINE`]; its rest is left out too.
    is_too_long: bool,
}

/// The lines that have ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) lines: Vec<u8>,
    /// Whether a line turned out to be too long.
    pub(super) is_one_left_out: bool,
}

impl Lines {
    /// Appends bytes of the stream, none at its end, and returns the lines that have ended.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Whole {
        let mut bytes = bytes;
        let is_end = bytes.is_empty();
        if self.is_too_long {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return Whole::default() };
            bytes = &bytes[end + 1..];
            self.is_too_long = false;
        }
        self.partial.extend_from_slice(bytes);
        let end = match is_end {
            true => self.partial.len(),
            false => memchr::memrchr(b'\n', &self.partial).map_or(0, |end| end + 1),
        };
        let lines = self.partial.drain(..end).collect();
        self.is_too_long = self.partial.len() > MAX_LINE;
        if self.is_too_long {
            self.partial.clear();
        }
        Whole { lines, is_one_left_out: self.is_too_long }
    }
}

/// Reads standard error, logs it if `is_logged`, and returns the last line.
pub(super) async fn follow_messages(stderr: Option<ChildStderr>, name: Arc<str>, is_logged: bool) -> Option<String> {
    let mut stderr = stderr?;
    let (mut buffer, mut text, mut last) = (vec![0; 4 << 10], Vec::new(), None);
    loop {
        let count = stderr.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..count]);
        let end = if count == 0 || text.len() > MAX_LINE {
            text.len()
        } else {
            memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1)
        };
        let lines = String::from_utf8_lossy(&text.drain(..end).collect::<Vec<u8>>()).into_owned();
        if is_logged {
            log_lines("execd", &name, &lines);
        }
        let line = lines.lines().rev().map(str::trim).find(|line| !line.is_empty());
        last = line.map(|line| line.chars().filter(|c| !c.is_control()).take(512).collect()).or(last);
        if count == 0 {
            return last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_costs_itself() {
        let mut lines = Lines::default();
        let mut push = |bytes: &[u8]| {
            let whole = lines.push(bytes);
            (String::from_utf8(whole.lines).unwrap(), whole.is_one_left_out)
        };
        assert_eq!(push(b"one\ntw"), ("one\n".to_owned(), false));
        assert_eq!(push(b"o\n"), ("two\n".to_owned(), false));
        assert_eq!(push(&vec![b'x'; MAX_LINE + 1]), (String::new(), true));
        assert_eq!(push(&vec![b'x'; MAX_LINE + 1]), (String::new(), false));
        assert_eq!(push(b"x\nthree\nfour"), ("three\n".to_owned(), false));
        assert_eq!(push(b""), ("four".to_owned(), false));
    }
}
