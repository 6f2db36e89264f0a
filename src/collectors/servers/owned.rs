//! Values of fields, as a result retains them.

use crate::encode::point::FieldValue;

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Owned {
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Owned {
    /// An integer; one that is too large becomes the largest.
    pub(super) fn integer(value: i128) -> Owned {
        Owned::Integer(value.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// The value as encoders get it; none if it is not finite.
    pub(super) fn value(&self) -> Option<FieldValue<'_>> {
        match self {
            Owned::Integer(value) => Some(FieldValue::Integer(*value)),
            Owned::Float(value) => value.is_finite().then_some(FieldValue::Float(*value)),
            Owned::Text(value) => Some(FieldValue::Text(value)),
        }
    }
}
