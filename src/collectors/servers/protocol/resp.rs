//! Commands and replies of Redis, version 2 of its protocol (RESP).

use super::pairs::shown;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A status or a bulk string; bytes that are no UTF-8 are replaced.
    Text(String),
    /// An integer.
    Integer(i64),
    /// An error: its code and the reason, in one text.
    Error(String),
    /// A list; null is an empty one.
    List(Vec<Reply>),
}

/// The most levels of lists in lists, and elements of a list.
const MAX_DEPTH: usize = 8;
const MAX_ELEMENTS: usize = 100_000;
/// The longest line that begins a reply.
const MAX_LINE: usize = 64 << 10;

/// A command as an array of bulk strings.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// The reply at the start of `bytes`, and its length; `None` if it is incomplete. A bulk string may have `max_bytes`.
///
/// # Errors
/// What was expected, and what was found.
pub fn read(bytes: &[u8], max_bytes: usize) -> Result<Option<(Reply, usize)>, String> {
    let mut elements = 0;
    let mut reader = Reader { bytes, at: 0, max_bytes, elements: &mut elements };
    Ok(reader.reply(0)?.map(|reply| (reply, reader.at)))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    max_bytes: usize,
    elements: &'b mut usize,
}

impl<'b> Reader<'b> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, String> {
        let Some(line) = self.line()? else { return Ok(None) };
        let Some((&kind, rest)) = line.split_first() else {
            return Err("expected a reply of Redis, found nothing".to_owned());
        };
        let text = || String::from_utf8_lossy(rest).into_owned();
        Ok(Some(match kind {
            b'+' => Reply::Text(text()),
            b'-' => Reply::Error(text()),
            b':' => Reply::Integer(number(rest)?),
            b'$' => match number(rest)? {
                ..0 => Reply::List(Vec::new()),
                length => match self.bulk(length as u64)? {
                    Some(text) => Reply::Text(text),
                    None => return Ok(None),
                },
            },
            b'*' => {
                let length = number(rest)?.max(0) as usize;
                *self.elements = self.elements.saturating_add(length);
                if depth >= MAX_DEPTH || *self.elements > MAX_ELEMENTS {
                    return Err(format!("expected a reply with at most {MAX_ELEMENTS} elements, found more"));
                }
                let mut list = Vec::new();
                for _ in 0..length {
                    match self.reply(depth + 1)? {
                        Some(reply) => list.push(reply),
                        None => return Ok(None),
                    }
                }
                Reply::List(list)
            }
            _ => return Err(format!("expected a reply of Redis, found {}", shown(&String::from_utf8_lossy(line)))),
        }))
    }

    fn line(&mut self) -> Result<Option<&'b [u8]>, String> {
        let rest = &self.bytes[self.at..];
        match rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
            Some(end) => {
                self.at += end + 1;
                let line = &rest[..end];
                Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
            }
            None if rest.len() >= MAX_LINE => {
                Err(format!("expected a reply of Redis, found {}", shown(&String::from_utf8_lossy(&rest[..80]))))
            }
            None => Ok(None),
        }
    }

    fn bulk(&mut self, length: u64) -> Result<Option<String>, String> {
        if length > self.max_bytes as u64 {
            return Err(format!(
                "max_body: expected a reply of at most {} bytes, found one of {length}",
                self.max_bytes
            ));
        }
        let length = length as usize;
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.get(length..length + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err("expected the end of a string of Redis, found further bytes".to_owned());
        }
        self.at += length + 2;
        Ok(Some(String::from_utf8_lossy(&rest[..length]).into_owned()))
    }
}

fn number(digits: &[u8]) -> Result<i64, String> {
    let text = String::from_utf8_lossy(digits);
    text.parse().map_err(|_| format!("expected a number in a reply of Redis, found {}", shown(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_when_it_is_complete() {
        let text = |text: &str| Reply::Text(text.to_owned());
        for (bytes, reply) in [
            ("+OK\r\n", text("OK")),
            ("-NOPERM no\r\n", Reply::Error("NOPERM no".to_owned())),
            (":-3\r\n", Reply::Integer(-3)),
            ("$5\r\na\r\nbc\r\n", text("a\r\nbc")),
            ("$-1\r\n", Reply::List(Vec::new())),
            ("*2\r\n$1\r\na\r\n*1\r\n:1\r\n", Reply::List(vec![text("a"), Reply::List(vec![Reply::Integer(1)])])),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes.as_bytes()[..end], 100), Ok(None), "{bytes:?} {end}");
            }
            assert_eq!(read(format!("{bytes}+more").as_bytes(), 100), Ok(Some((reply, bytes.len()))), "{bytes:?}");
        }
        assert_eq!(command(&["AUTH", "ü"]), "*2\r\n$4\r\nAUTH\r\n$2\r\nü\r\n".as_bytes());
    }

    #[test]
    fn a_reply_without_end_or_sense_is_refused() {
        for bytes in ["HTTP/1.1 400 Bad Request\r\n", "\r\n", ":x\r\n", "$101\r\n", "$1\r\nabc\r\n", "*100001\r\n"] {
            assert!(read(bytes.as_bytes(), 100).is_err(), "{bytes:?}");
        }
        let nested = "*1\r\n".repeat(MAX_DEPTH + 1);
        assert!(read(nested.as_bytes(), 100).is_err());
        assert!(read(&vec![b'+'; MAX_LINE], 100).is_err());
    }
}
