//! Points: the data model of InfluxDB.
//!
//! A collector defines each measurement and field once, as constants. The constant of a field fixes its type on the
//! wire at compile time: a database permanently rejects a field whose type differs from the first one it received.

use std::marker::PhantomData;

use super::Timestamp;
use super::name::Name;
use super::tags::CommonTag;

/// A type of fields.
pub trait FieldType {
    /// The type of values.
    type Value<'v>: Copy;
    /// The type's name in the documentation.
    const NAME: &'static str;

    /// The value for encoders; none if the number is not finite.
    fn encoded<'v>(value: Self::Value<'v>) -> Option<FieldValue<'v>>;
}

impl FieldType for u64 {
    type Value<'v> = u64;
    const NAME: &'static str = "integer";

    /// Telegraf writes unsigned integers as signed ones, and a shared database needs one type.
    fn encoded<'v>(value: u64) -> Option<FieldValue<'v>> {
        i64::encoded(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl FieldType for i64 {
    type Value<'v> = i64;
    const NAME: &'static str = "integer";

    fn encoded<'v>(value: i64) -> Option<FieldValue<'v>> {
        Some(FieldValue::Integer(value))
    }
}

impl FieldType for i128 {
    type Value<'v> = i128;
    const NAME: &'static str = "integer";

    /// Values that are too large become the largest, as for `u64`.
    fn encoded<'v>(value: i128) -> Option<FieldValue<'v>> {
        i64::encoded(value.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl FieldType for f64 {
    type Value<'v> = f64;
    const NAME: &'static str = "float";

    fn encoded<'v>(value: f64) -> Option<FieldValue<'v>> {
        value.is_finite().then_some(FieldValue::Float(value))
    }
}

impl FieldType for bool {
    type Value<'v> = bool;
    const NAME: &'static str = "boolean";

    fn encoded<'v>(value: bool) -> Option<FieldValue<'v>> {
        Some(FieldValue::Boolean(value))
    }
}

impl FieldType for str {
    type Value<'v> = &'v str;
    const NAME: &'static str = "string";

    fn encoded<'v>(value: Self::Value<'v>) -> Option<FieldValue<'v>> {
        Some(FieldValue::Text(value))
    }
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'v> {
    /// An integer.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A string of any characters.
    Text(&'v str),
}

impl FieldValue<'_> {
    /// The value as a number, 1 and 0 for true and false; none for a string.
    pub fn number(self) -> Option<f64> {
        match self {
            FieldValue::Integer(value) => Some(value as f64),
            FieldValue::Float(value) => Some(value),
            FieldValue::Boolean(value) => Some(f64::from(u8::from(value))),
            FieldValue::Text(_) => None,
        }
    }
}

/// Encodes points in one format. [`PointWriter`](super::PointWriter) calls it, and guarantees that no name is empty,
/// tags are sorted and unique, numbers are finite, and a completed point has a field.
pub trait PointEncoder {
    /// Begins a point. Its tags follow, then its fields.
    fn begin(&mut self, measurement: Name<'_>);

    /// A tag.
    fn tag(&mut self, key: Name<'_>, value: Name<'_>);

    /// A tag shared by many points.
    fn common_tag(&mut self, tag: &CommonTag) {
        self.tag(tag.key(), tag.value());
    }

    /// A field.
    fn field(&mut self, key: Name<'_>, value: FieldValue<'_>);

    /// Completes the point.
    fn end(&mut self, time: Timestamp);

    /// Drops the open point.
    fn discard(&mut self);
}

/// A field: its name, its type, and its description with the unit.
#[derive(Debug)]
pub struct Field<T: ?Sized> {
    name: Name<'static>,
    help: &'static str,
    of_type: PhantomData<fn(&T)>,
}

impl<T: FieldType + ?Sized> Field<T> {
    /// A field named `name`.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Field { name: Name::constant(name), help, of_type: PhantomData }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name.text()
    }

    /// The name for encoders.
    pub(super) const fn key(&self) -> Name<'static> {
        self.name
    }

    /// The field as the documentation lists it.
    pub const fn info(&self) -> FieldInfo {
        FieldInfo { name: self.name.text(), help: self.help, type_name: T::NAME }
    }
}

/// A field as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// The name. `KEY` stands for a key from the kernel.
    pub name: &'static str,
    /// The description, with the unit.
    pub help: &'static str,
    /// Its type on the wire.
    pub type_name: &'static str,
}

/// A measurement with `TAGS` sorted tag keys, and its fields.
#[derive(Clone, Copy, Debug)]
pub struct Measurement<const TAGS: usize> {
    pub(super) name: Name<'static>,
    tags: [&'static str; TAGS],
    pub(super) keys: [Name<'static>; TAGS],
    pub(super) fields: &'static [FieldInfo],
}

impl<const TAGS: usize> Measurement<TAGS> {
    /// A measurement named `name`.
    pub const fn new(name: &'static str, tags: [&'static str; TAGS], fields: &'static [FieldInfo]) -> Self {
        let mut keys = [Name::constant("tag"); TAGS];
        let mut index = 0;
        while index < TAGS {
            keys[index] = Name::constant(tags[index]);
            index += 1;
        }
        Measurement { name: Name::constant(name), tags, keys, fields }
    }

    /// The measurement as the documentation lists it.
    pub const fn info(&'static self) -> MeasurementInfo {
        MeasurementInfo { name: self.name.text(), tags: &self.tags, fields: self.fields }
    }
}

/// A measurement as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct MeasurementInfo {
    /// The name.
    pub name: &'static str,
    /// Its tag keys, without the common tags.
    pub tags: &'static [&'static str],
    /// Its fields.
    pub fields: &'static [FieldInfo],
}
