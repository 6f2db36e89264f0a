//! Line protocol: one point a line, as InfluxDB 1.x, 2.x and 3 and VictoriaMetrics all read it.
//!
//! Servers disagree on a backslash before a character that needs escaping: for some it escapes, for others two make
//! one. There is no spelling that all read alike, so backslashes directly before such a character, or at the end, are
//! left out, and of several in a row one stands. White space that ends a line cannot stand in a name or a tag at all; it
//! becomes its two-character escape. A `#` that begins a measurement would make the line a comment, and is left out too.

/// Appends a measurement name.
pub fn push_measurement(out: &mut Vec<u8>, name: &str) {
    push_name(out, name.trim_start_matches('#'), b", ");
}

/// Appends a tag key, a tag value or a field key.
pub fn push_key(out: &mut Vec<u8>, key: &str) {
    push_name(out, key, b",= ");
}

/// Appends a string field's value in its quotes; the value may hold anything, line ends too.
pub fn push_string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn push_name(out: &mut Vec<u8>, name: &str, special: &[u8]) {
    for byte in name.bytes() {
        let after_backslash = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'\x0c' => b'f',
            byte if special.contains(&byte) => byte,
            0 => continue,
            b'\\' if out.last() == Some(&b'\\') => continue,
            byte => {
                out.push(byte);
                continue;
            }
        };
        trim_backslashes(out);
        out.extend_from_slice(&[b'\\', after_backslash]);
    }
    trim_backslashes(out);
}

fn trim_backslashes(out: &mut Vec<u8>) {
    while out.last() == Some(&b'\\') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> String {
        let mut out = Vec::new();
        push_key(&mut out, key);
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
    }

    #[test]
    fn a_string_field_keeps_everything() {
        let mut out = Vec::new();
        push_string(&mut out, "say \"hi\\\"\n");
        assert_eq!(out, b"\"say \\\"hi\\\\\\\"\n\"");
    }
}
