//! Percent-encoding of URLs (RFC 3986, section 2.1). A plus is a plus.

/// Appends `text` with all reserved bytes encoded.
pub(crate) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Decodes `text`; `None` if it is malformed.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            decoded.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &after[2..];
        } else {
            decoded.push(first);
            rest = after;
        }
    }
    Some(decoded)
}

/// Decodes `text` to UTF-8; returns it unchanged if it is malformed.
pub(crate) fn decode_text(text: &str) -> String {
    decode(text).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut encoded = String::new();
        encode("a/b c%ü+~", &mut encoded);
        assert_eq!((encoded.as_str(), decode_text(&encoded).as_str()), ("a%2Fb%20c%25%C3%BC%2B~", "a/b c%ü+~"));
        for unsound in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decode_text(unsound), unsound);
        }
        assert_eq!(decode("%ff"), Some(vec![0xff]));
    }
}
