//! Replies of memcached's text protocol.

use super::pairs::shown;

/// The reply to `stats` at the start of `bytes`, and its length; `None` if it is incomplete.
///
/// # Errors
/// The error of the server.
pub fn read(bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
    let mut at = 0;
    while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&bytes[at..at + length]);
        let line = line.trim_end_matches('\r');
        at += length + 1;
        match line {
            "END" | "RESET" => return Ok(Some((String::from_utf8_lossy(&bytes[..at]).into_owned(), at))),
            _ if line.starts_with("STAT ") => {}
            _ => return Err(format!("expected the statistics of memcached, found {}", shown(line))),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_end() {
        let bytes = b"STAT pid 1\r\nSTAT version 1.6 x\r\nEND\r\n";
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(read(b"STAT a 1\r\nEND\r\nSTAT").unwrap().unwrap().1, 15);
        assert_eq!(read(b"ERROR\r\n").unwrap_err(), "expected the statistics of memcached, found \"ERROR\"");
    }
}
