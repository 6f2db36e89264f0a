//! Whole points, for encoders that need a complete point before they write: filters, documents, datums.

use std::ops::Range;

use super::Timestamp;
use super::name::Name;
use super::point::{FieldValue, PointEncoder};

/// A buffered point.
#[derive(Clone, Debug, Default)]
pub struct WholePoint {
    /// All names and strings, concatenated.
    text: String,
    /// End of the measurement, which comes first.
    measurement: usize,
    tags: Vec<(Range<usize>, Range<usize>)>,
    fields: Vec<(Range<usize>, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Text(Range<usize>),
}

impl WholePoint {
    /// The measurement.
    pub fn measurement(&self) -> &str {
        &self.text[..self.measurement]
    }

    /// The tags with their values, by key.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.tags.iter().map(|(key, value)| (&self.text[key.clone()], &self.text[value.clone()]))
    }

    /// The value of a tag.
    pub fn tag(&self, wanted: &str) -> Option<&str> {
        self.tags().find(|(key, _)| *key == wanted).map(|(_, value)| value)
    }

    /// The fields with their values, in the order written.
    pub fn fields(&self) -> impl Iterator<Item = (&str, FieldValue<'_>)> + Clone {
        let value = |value: &Value| match value {
            Value::Integer(value) => FieldValue::Integer(*value),
            Value::Float(value) => FieldValue::Float(*value),
            Value::Boolean(value) => FieldValue::Boolean(*value),
            Value::Text(range) => FieldValue::Text(&self.text[range.clone()]),
        };
        self.fields.iter().map(move |(key, of)| (&self.text[key.clone()], value(of)))
    }

    fn push(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.tags.clear();
        self.fields.clear();
    }
}

/// An encoder that buffers each point, and passes it on as a whole.
#[derive(Debug)]
pub struct WholePoints<E> {
    point: WholePoint,
    encode: E,
}

impl<E: FnMut(&WholePoint, Timestamp)> WholePoints<E> {
    /// An encoder that calls `encode` with each point.
    pub fn new(encode: E) -> Self {
        WholePoints { point: WholePoint::default(), encode }
    }
}

impl<E: FnMut(&WholePoint, Timestamp)> PointEncoder for WholePoints<E> {
    fn begin(&mut self, measurement: Name<'_>) {
        self.point.clear();
        self.point.measurement = self.point.push(measurement.text()).end;
    }

    fn tag(&mut self, key: Name<'_>, value: Name<'_>) {
        let tag = (self.point.push(key.text()), self.point.push(value.text()));
        self.point.tags.push(tag);
    }

    fn field(&mut self, key: Name<'_>, value: FieldValue<'_>) {
        let key = self.point.push(key.text());
        let value = match value {
            FieldValue::Integer(value) => Value::Integer(value),
            FieldValue::Float(value) => Value::Float(value),
            FieldValue::Boolean(value) => Value::Boolean(value),
            FieldValue::Text(text) => Value::Text(self.point.push(text)),
        };
        self.point.fields.push((key, value));
    }

    fn end(&mut self, time: Timestamp) {
        (self.encode)(&self.point, time);
    }

    fn discard(&mut self) {}
}
