//! Names of measurements, tags and fields, and values of tags, normalized so that all servers parse them alike.
//!
//! Servers disagree on a backslash before another one, or before a character that needs escaping: some treat it as an
//! escape, others as a literal. No spelling is portable, so a backslash is retained only before a plain character. Line
//! ends are invalid in names; they become their two-character escapes.

/// A normalized measurement, tag key, tag value or field key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'a> {
    text: &'a str,
    /// Whether line protocol needs no escapes for it.
    is_plain: bool,
}

const ESCAPED_IN_KEYS: &[u8] = b",= ";
const ESCAPED_IN_MEASUREMENTS: &[u8] = b", ";

/// Class of bytes that line protocol escapes.
const ESCAPED: u8 = 1;
/// Class of bytes that normalization changes.
const CHANGED: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut rest = ESCAPED_IN_KEYS;
    while let [byte, after @ ..] = rest {
        table[*byte as usize] = ESCAPED;
        rest = after;
    }
    let mut rest: &[u8] = b"\\\n\r\t\x0c\0";
    while let [byte, after @ ..] = rest {
        table[*byte as usize] = CHANGED;
        rest = after;
    }
    table
};

/// The union of the classes of all bytes of `text`.
const fn classes(text: &str) -> u8 {
    let (bytes, mut found, mut index) = (text.as_bytes(), 0, 0);
    while index < bytes.len() {
        found |= CLASSES[bytes[index] as usize];
        index += 1;
    }
    found
}

impl<'a> Name<'a> {
    /// A tag key, a field key or a tag value. If normalization changes it, `changed` holds the result.
    pub fn key(text: &'a str, changed: &'a mut String) -> Name<'a> {
        Name::new(text, ESCAPED_IN_KEYS, changed)
    }

    /// A measurement, as [`Name::key`], without leading `#`, which would start a comment.
    pub fn measurement(text: &'a str, changed: &'a mut String) -> Name<'a> {
        Name::new(text.trim_start_matches('#'), ESCAPED_IN_MEASUREMENTS, changed)
    }

    fn new(text: &'a str, escaped: &[u8], changed: &'a mut String) -> Name<'a> {
        let classes = classes(text);
        if classes & CHANGED == 0 {
            return Name { text, is_plain: classes == 0 };
        }
        changed.clear();
        push_changed(changed, text, escaped);
        Name::unchanged(changed)
    }

    /// A name that is normalized already.
    pub const fn unchanged(text: &'a str) -> Name<'a> {
        Name { text, is_plain: classes(text) == 0 }
    }

    /// A compile-time name, which must be normalized already.
    pub const fn constant(text: &'a str) -> Name<'a> {
        assert!(!text.is_empty() && classes(text) & CHANGED == 0, "servers read this name differently");
        Name::unchanged(text)
    }

    /// The text.
    pub const fn text(self) -> &'a str {
        self.text
    }

    /// Appends it as a tag key, a tag value or a field key in line protocol.
    #[inline]
    pub fn push_key(self, out: &mut Vec<u8>) {
        self.push(out, ESCAPED_IN_KEYS);
    }

    /// Appends it as a measurement in line protocol.
    pub fn push_measurement(self, out: &mut Vec<u8>) {
        self.push(out, ESCAPED_IN_MEASUREMENTS);
    }

    #[inline]
    fn push(self, out: &mut Vec<u8>, escaped: &[u8]) {
        match self.is_plain {
            true => out.extend_from_slice(self.text.as_bytes()),
            false => push_escaped(out, self.text, escaped),
        }
    }
}

fn push_escaped(out: &mut Vec<u8>, text: &str, escaped: &[u8]) {
    for byte in text.bytes() {
        if escaped.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

fn push_changed(out: &mut String, text: &str, escaped: &[u8]) {
    for character in text.chars() {
        let needs_escape = character.is_ascii() && escaped.contains(&(character as u8));
        if needs_escape || matches!(character, '\\' | '\n' | '\r' | '\t' | '\x0c') {
            trim_backslashes(out);
        }
        match character {
            '\0' => {}
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0c' => out.push_str("\\f"),
            other => out.push(other),
        }
    }
    trim_backslashes(out);
}

fn trim_backslashes(out: &mut String) {
    out.truncate(out.trim_end_matches('\\').len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> String {
        let (mut out, mut changed) = (Vec::new(), String::new());
        Name::key(key, &mut changed).push_key(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_in_a_tag_ends_it() {
        assert_eq!(key("a b,c=d"), "a\\ b\\,c\\=d");
        assert_eq!(key("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(key("ends\\"), "ends");
        assert_eq!(key("before\\, comma"), "before\\,\\ comma");
        assert_eq!(key("C:\\dir"), "C:\\dir");
        assert_eq!(key("\\\\server\\\\\nshare"), "\\server\\nshare");
        assert_eq!(key("\\"), "");
        assert_eq!(key("\\\\server\\\nx"), "\\server\\nx");
    }
}
