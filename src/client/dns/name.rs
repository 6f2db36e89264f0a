//! Domain names on the wire, and as text: labels separated by dots, without a final one. A dot or a backslash inside
//! of a label has a backslash before it, and other bytes than printable ASCII are `\DDD` (RFC 4343, section 2.1).

use std::fmt::Write;

/// Maximum bytes of a name on the wire (RFC 1035, section 2.3.4).
const MAX_BYTES: usize = 255;
/// Maximum bytes of a label.
const MAX_LABEL: usize = 63;
/// The two bits of a length that mark a pointer to an earlier name (section 4.1.4).
const POINTER: u8 = 0xc0;

/// Appends a name. A final dot makes no difference.
///
/// # Errors
/// What was expected.
pub(super) fn push(out: &mut Vec<u8>, name: &str) -> Result<(), String> {
    let wrong = |expected: &str| Err(format!("expected {expected}, found {name:?}"));
    let start = out.len();
    let text = name.strip_suffix('.').unwrap_or(name);
    if !text.is_ascii() || text.contains('\\') {
        return wrong("a domain name in ASCII, with international names in Punycode");
    }
    for label in text.split('.').filter(|_| !text.is_empty()) {
        match u8::try_from(label.len()) {
            Ok(length @ 1..) if label.len() <= MAX_LABEL => out.push(length),
            _ => return wrong("a domain name with labels of 1 to 63 characters"),
        }
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    match out.len() - start > MAX_BYTES {
        true => wrong("a domain name of at most 253 characters"),
        false => Ok(()),
    }
}

/// Reads the name at `start` of a message. Returns it with the position behind it; `None` if it is malformed. Each
/// pointer must lead to an earlier position, so there are no loops.
pub(super) fn read(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut name, mut bytes, mut at, mut behind, mut first) = (String::new(), 1, start, None, start);
    loop {
        let length = *message.get(at)?;
        match length & POINTER {
            0 if length == 0 => return Some((name, behind.unwrap_or(at + 1))),
            0 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                bytes += label.len() + 1;
                if bytes > MAX_BYTES {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                push_text(&mut name, label);
                at += label.len() + 1;
            }
            POINTER => {
                let target = usize::from(u16::from_be_bytes([length & !POINTER, *message.get(at + 1)?]));
                behind = behind.or(Some(at + 2));
                if target >= first {
                    return None;
                }
                (at, first) = (target, target);
            }
            _ => return None,
        }
    }
}

fn push_text(out: &mut String, label: &[u8]) {
    for byte in label {
        // Writing to a string cannot fail.
        let _ = match byte {
            b'.' | b'\\' => write!(out, "\\{}", char::from(*byte)),
            b'!'..=b'~' => write!(out, "{}", char::from(*byte)),
            _ => write!(out, "\\{byte:03}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for (name, expected) in [("a.example.org", "a.example.org"), ("_x._tcp.b.", "_x._tcp.b"), (".", ""), ("", "")] {
            let mut wire = vec![7];
            push(&mut wire, name).unwrap();
            assert_eq!(read(&wire, 1), Some((expected.to_owned(), wire.len())));
        }
        let long = format!("{0}.{0}.{0}.{0}", "a".repeat(63));
        for name in ["a..b", ".a", &"a".repeat(64), "é", "a\\.b", &long] {
            assert!(push(&mut Vec::new(), name).is_err(), "{name}");
        }
        assert!(push(&mut Vec::new(), &long[..253]).is_ok());
        assert_eq!(read(b"\x04a.\\\x00\x00", 0), Some(("a\\.\\\\\\000".to_owned(), 6)));
    }

    #[test]
    fn pointers_lead_back_only() {
        let wire = b"\x03org\x00\x01b\xc0\x00\x01a\xc0\x05";
        assert_eq!(read(wire, 9), Some(("a.b.org".to_owned(), 13)));
        for (wire, start) in [
            (&b"\xc0\x00"[..], 0),
            (b"\x01a\xc0\x00", 0),
            (b"\xc0\x02\x00", 0),
            (b"\x01a\x00\xc0\x03", 3),
            (b"\xc0", 0),
            (b"\x05abc", 0),
            (b"\x40", 0),
            (b"", 0),
        ] {
            assert_eq!(read(wire, start), None, "{wire:?}");
        }
        let long = b"\x3faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(4);
        assert_eq!(read(&[long, vec![0]].concat(), 0), None, "longer than 255 bytes");
    }
}
