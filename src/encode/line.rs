//! Line protocol, in the form that InfluxDB 1.x, 2.x and 3 and VictoriaMetrics parse alike.

use super::Timestamp;
use super::lines::RecordWriter;
use super::name::Name;
use super::number::{push_finite, push_integer};
use super::point::{FieldValue, PointEncoder};
use super::tags::CommonTag;

/// Writes points as line protocol.
pub struct LineEncoder<'a> {
    lines: &'a mut dyn RecordWriter,
    /// The byte before the next field.
    separator: u8,
}

impl<'a> LineEncoder<'a> {
    /// An encoder that appends to `lines`.
    pub fn new(lines: &'a mut dyn RecordWriter) -> Self {
        /// Approximate size of the points of a typical host.
        const USUAL_BYTES: usize = 8 << 10;
        let buffer = lines.open();
        if buffer.is_empty() {
            buffer.reserve(USUAL_BYTES);
        }
        LineEncoder { lines, separator: b' ' }
    }
}

/// Space for the separator, the equals sign and the longest number.
const NUMBER_BYTES: usize = 32;

impl PointEncoder for LineEncoder<'_> {
    fn begin(&mut self, measurement: Name<'_>) {
        self.separator = b' ';
        measurement.push_measurement(self.lines.open());
    }

    fn tag(&mut self, key: Name<'_>, value: Name<'_>) {
        let out = self.lines.open();
        out.push(b',');
        key.push_key(out);
        out.push(b'=');
        value.push_key(out);
    }

    fn common_tag(&mut self, tag: &CommonTag) {
        self.lines.open().extend_from_slice(tag.line());
    }

    fn field(&mut self, key: Name<'_>, value: FieldValue<'_>) {
        let out = self.lines.open();
        out.reserve(key.text().len() + NUMBER_BYTES);
        out.push(std::mem::replace(&mut self.separator, b','));
        key.push_key(out);
        out.push(b'=');
        match value {
            FieldValue::Integer(value) => {
                push_integer(out, value);
                out.push(b'i');
            }
            FieldValue::Float(value) => push_finite(out, value),
            FieldValue::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            FieldValue::Text(value) => push_string(out, value),
        }
    }

    fn end(&mut self, time: Timestamp) {
        let out = self.lines.open();
        out.push(b' ');
        push_integer(out, time.0);
        out.push(b'\n');
        self.lines.close();
    }

    fn discard(&mut self) {
        self.lines.discard();
    }
}

/// Appends a quoted string value. It may contain any characters, including line ends.
fn push_string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_field_keeps_everything() {
        let mut out = Vec::new();
        push_string(&mut out, "say \"hi\\\"\n");
        assert_eq!(out, b"\"say \\\"hi\\\\\\\"\n\"");
    }
}
