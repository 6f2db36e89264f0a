//! Encodes points as JSON.

use crate::encode::number::{push_finite, push_integer};
use crate::encode::point::FieldValue;
use crate::encode::whole::WholePoint;

/// An open JSON object.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Opens an object at the end of `out`.
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, is_empty: true }
    }

    /// Closes the object.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// Adds a string.
    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        push_string(self.out, value);
    }

    /// Adds a number.
    pub(super) fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        push_integer(self.out, value);
    }

    /// Adds a field.
    pub(super) fn field(&mut self, key: &str, value: FieldValue<'_>) {
        self.key(key);
        push_field(self.out, value);
    }

    /// Adds an object of a point's fields.
    pub(super) fn fields(&mut self, key: &str, point: &WholePoint) {
        let mut fields = self.object(key);
        point.fields().for_each(|(key, value)| fields.field(key, value));
        fields.close();
    }

    /// Adds an object of a point's tags.
    pub(super) fn tags(&mut self, key: &str, point: &WholePoint) {
        let mut tags = self.object(key);
        point.tags().for_each(|(key, value)| tags.string(key, value));
        tags.close();
    }

    /// Opens a nested object. Close it before adding anything else.
    pub(super) fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::open(self.out)
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        push_string(self.out, key);
        self.out.push(b':');
    }
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    // Neither serializing a string nor writing to a vector fails.
    let _ = serde_json::to_writer(out, text);
}

/// Writes floats with a decimal point or an exponent, so that readers do not take them for integers.
fn push_field(out: &mut Vec<u8>, value: FieldValue<'_>) {
    match value {
        FieldValue::Integer(value) => push_integer(out, value),
        FieldValue::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        FieldValue::Text(value) => push_string(out, value),
        FieldValue::Float(value) => {
            let start = out.len();
            push_finite(out, value);
            if !out[start..].iter().any(|byte| b".eE".contains(byte)) {
                out.extend_from_slice(b".0");
            }
        }
    }
}
