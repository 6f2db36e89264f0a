//! Line protocol: one point a line, as InfluxDB 1.x, 2.x and 3 and VictoriaMetrics all read it.
//!
//! Servers disagree on a backslash before another one, or before a character that needs escaping: for some it escapes,
//! for others it stands for itself. There is no spelling that all read alike, so a backslash is kept only where a plain
//! character follows it. What ends a line cannot stand in a name or a tag at all; it becomes its two-character escape.

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

/// Bytes that a name may have to be changed for.
const NOT_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &[u8] = b",= \\\n\r\t\x0c\0";
    while let [byte, after @ ..] = rest {
        table[*byte as usize] = true;
        rest = after;
    }
    table
};

/// Whether a name, which is not empty, can be written as it is.
pub const fn is_plain(name: &str) -> bool {
    let mut rest = name.as_bytes();
    while let [byte, after @ ..] = rest {
        if NOT_PLAIN[*byte as usize] {
            return false;
        }
        rest = after;
    }
    !name.is_empty()
}

fn push_name(out: &mut Vec<u8>, name: &str, special: &[u8]) {
    if is_plain(name) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    for byte in name.bytes() {
        let escaped = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'\x0c' => b'f',
            0 => continue,
            byte if special.contains(&byte) => byte,
            b'\\' => {
                trim_backslashes(out);
                out.push(b'\\');
                continue;
            }
            plain => {
                out.push(plain);
                continue;
            }
        };
        trim_backslashes(out);
        out.extend_from_slice(&[b'\\', escaped]);
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
        assert_eq!(key("\\\\server\\\nx"), "\\server\\nx");
    }

    #[test]
    fn a_string_field_keeps_everything() {
        let mut out = Vec::new();
        push_string(&mut out, "say \"hi\\\"\n");
        assert_eq!(out, b"\"say \\\"hi\\\\\\\"\n\"");
    }
}
