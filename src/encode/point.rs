//! Points: what is pushed to InfluxDB.
//!
//! A collector names each measurement and field once, as constants; a field's constant fixes its type on the wire, so
//! that a wrong one does not compile. A database refuses a field for ever whose type differs from the first it saw.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::line::{is_plain, push_key, push_measurement, push_string};
use super::number::{push_finite, push_integer};
use super::writer::Written;
use crate::host::Timestamp;

/// A type that a field can have.
pub trait FieldType {
    /// The value that is handed over.
    type Value<'v>: Copy;
    /// The type's name in the documentation.
    const NAME: &'static str;

    /// Appends the value as line protocol; says whether it could be written.
    fn push(value: Self::Value<'_>, out: &mut Vec<u8>) -> bool;
}

impl FieldType for u64 {
    type Value<'v> = u64;
    const NAME: &'static str = "integer";

    /// Telegraf writes unsigned integers as signed ones, and so must whoever shares its database.
    fn push(value: u64, out: &mut Vec<u8>) -> bool {
        i64::push(i64::try_from(value).unwrap_or(i64::MAX), out)
    }
}

impl FieldType for i64 {
    type Value<'v> = i64;
    const NAME: &'static str = "integer";

    fn push(value: i64, out: &mut Vec<u8>) -> bool {
        push_integer(out, value);
        out.push(b'i');
        true
    }
}

impl FieldType for f64 {
    type Value<'v> = f64;
    const NAME: &'static str = "float";

    fn push(value: f64, out: &mut Vec<u8>) -> bool {
        if value.is_finite() {
            push_finite(out, value);
        }
        value.is_finite()
    }
}

impl FieldType for bool {
    type Value<'v> = bool;
    const NAME: &'static str = "boolean";

    fn push(value: bool, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(if value { b"true" } else { b"false" });
        true
    }
}

impl FieldType for str {
    type Value<'v> = &'v str;
    const NAME: &'static str = "string";

    fn push(value: &str, out: &mut Vec<u8>) -> bool {
        push_string(out, value);
        true
    }
}

/// A field: its name, its type, and what it says with its unit.
#[derive(Debug)]
pub struct Field<T: ?Sized> {
    name: &'static str,
    help: &'static str,
    /// Whether the name can be written as it is.
    is_plain: bool,
    of_type: PhantomData<fn(&T)>,
}

impl<T: FieldType + ?Sized> Field<T> {
    /// A field called `name`.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Field { name, help, is_plain: is_plain(name), of_type: PhantomData }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The field as the documentation lists it.
    pub const fn info(&self) -> FieldInfo {
        FieldInfo { name: self.name, help: self.help, type_name: T::NAME }
    }
}

/// A field as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// The name; `KEY` stands for a key of the kernel's.
    pub name: &'static str,
    /// What it says, with its unit.
    pub help: &'static str,
    /// Its type on the wire.
    pub type_name: &'static str,
}

/// A measurement with its `TAGS` tag keys, in alphabetical order, and its fields.
#[derive(Clone, Copy, Debug)]
pub struct Measurement<const TAGS: usize> {
    name: &'static str,
    tags: [&'static str; TAGS],
    fields: &'static [FieldInfo],
}

impl<const TAGS: usize> Measurement<TAGS> {
    /// A measurement called `name`.
    pub const fn new(name: &'static str, tags: [&'static str; TAGS], fields: &'static [FieldInfo]) -> Self {
        Measurement { name, tags, fields }
    }

    /// The measurement as the documentation lists it.
    pub const fn info(&'static self) -> MeasurementInfo {
        MeasurementInfo { name: self.name, tags: &self.tags, fields: self.fields }
    }
}

/// A measurement as the documentation lists it.
#[derive(Clone, Copy, Debug)]
pub struct MeasurementInfo {
    /// The name.
    pub name: &'static str,
    /// Its own tag keys, without those that every point carries.
    pub tags: &'static [&'static str],
    /// Its fields.
    pub fields: &'static [FieldInfo],
}

/// The tags that every point carries: `host`, the configured ones, a sink's own. A point's own tag of the same key wins.
#[derive(Clone, Debug, Default)]
pub struct CommonTags {
    /// Key, and `,key=value` as it goes out.
    sorted: Vec<(String, Vec<u8>)>,
}

impl CommonTags {
    /// The tags of `tags`; those whose key or value is empty, or empty once escaped, are left out.
    pub fn new(tags: &BTreeMap<String, String>) -> Self {
        let encode = |(key, value): (&String, &String)| {
            let mut text = Vec::new();
            push_tag(&mut text, key, value);
            (!text.is_empty()).then(|| (key.clone(), text))
        };
        CommonTags { sorted: tags.iter().filter_map(encode).collect() }
    }
}

/// Encoded points, each ending in a line end; a string field may hold line ends of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each point ends.
    ends: Vec<u32>,
}

impl Lines {
    /// All points, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many points there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes the first `count` points out.
    pub fn take_first(&mut self, count: usize) -> Lines {
        let count = count.min(self.count());
        let Some(&end) = count.checked_sub(1).and_then(|last| self.ends.get(last)) else {
            return Lines::default();
        };
        let rest = Lines {
            bytes: self.bytes.split_off(end as usize),
            ends: self.ends.split_off(count).iter().map(|later| later - end).collect(),
        };
        std::mem::replace(self, rest)
    }

    /// Gives back the room that no point takes.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Appends the points of `more`.
    pub fn append(&mut self, more: &Lines) {
        self.append_some(more, 0, more.count());
    }

    /// Appends those points of `more` that stand from `first` up to `end`, as far as there are any.
    pub fn append_some(&mut self, more: &Lines, first: usize, end: usize) {
        let end = end.min(more.count());
        if first >= end {
            return;
        }
        let from = first.checked_sub(1).map_or(0, |before| more.ends[before]);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&more.bytes[from as usize..more.ends[end - 1] as usize]);
        self.ends.extend(more.ends[first..end].iter().map(|end| start + end - from));
    }

    /// Keeps the first `count` points.
    pub fn truncate(&mut self, count: usize) {
        if count < self.count() {
            self.ends.truncate(count);
            self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
        }
    }

    /// Appends a point that is encoded already.
    pub fn push(&mut self, point: &[u8]) {
        self.bytes.extend_from_slice(point);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The points, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start as usize..*end as usize])
    }

    /// Where each point ends.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Points that end at `ends`; nothing if these do not go with `bytes`.
    pub fn from_parts(bytes: Vec<u8>, ends: Vec<u32>) -> Option<Lines> {
        let is_sound = ends.is_sorted() && ends.last().map_or(0, |end| *end as usize) == bytes.len();
        is_sound.then_some(Lines { bytes, ends })
    }
}

/// Writes points, and keeps what line protocol demands of them: escaping, no empty tag, no value that is not finite,
/// no point without a field, tags in order.
pub struct PointWriter<'a> {
    lines: &'a mut Lines,
    common: &'a CommonTags,
    time: Timestamp,
    written_by_rule: Written,
}

impl<'a> PointWriter<'a> {
    /// A writer that appends to `lines` points of the moment `time`, each with the tags `common`.
    pub fn new(lines: &'a mut Lines, common: &'a CommonTags, time: Timestamp) -> Self {
        /// About what a plain host's points take.
        const USUAL_BYTES: usize = 8 << 10;
        if lines.is_empty() {
            lines.bytes.reserve(USUAL_BYTES);
        }
        PointWriter { lines, common, time, written_by_rule: Written::default() }
    }

    /// What was written by the rule of [`super::by_rule`] so far.
    pub fn take_written_by_rule(&mut self) -> Written {
        std::mem::take(&mut self.written_by_rule)
    }

    /// Keeps that, and what came to it.
    pub fn put_written_by_rule(&mut self, written: Written) {
        self.written_by_rule = written;
    }

    /// Lets `write` write so many points at the most; gives how many came beyond.
    pub fn at_most(&mut self, most: usize, write: impl FnOnce(&mut PointWriter<'_>)) -> usize {
        let before = self.lines.count();
        write(self);
        let beyond = (self.lines.count() - before).saturating_sub(most);
        self.lines.truncate(self.lines.count() - beyond);
        beyond
    }

    /// A writer of the same points at another time than theirs.
    pub fn at(&mut self, time: Timestamp) -> PointWriter<'_> {
        PointWriter { lines: self.lines, common: self.common, time, written_by_rule: Written::default() }
    }

    /// Opens a point whose tags have these values, in the order of the measurement's tag keys. A tag whose value is
    /// empty is left out, and so is the whole point if no field follows.
    pub fn point<const TAGS: usize>(&mut self, of: &Measurement<TAGS>, values: [&str; TAGS]) -> Point<'_> {
        debug_assert!(of.tags.is_sorted(), "the tag keys of {} are out of order", of.name);
        self.open(of.name, of.tags.into_iter().zip(values), of.fields)
    }

    /// Opens a point of a measurement whose points have tags of their own choice, `tags`, which are in order.
    pub fn point_tagged<const TAGS: usize>(&mut self, of: &Measurement<TAGS>, tags: &[(&str, &str)]) -> Point<'_> {
        debug_assert!(tags.is_sorted(), "the tags of {} are out of order: {tags:?}", of.name);
        self.open(of.name, tags.iter().copied(), of.fields)
    }

    /// Opens a point whose names are not known when Taffrail is built; `tags` are in order.
    pub fn free_point<'t>(&mut self, name: &str, tags: impl Iterator<Item = (&'t str, &'t str)>) -> Point<'_> {
        self.open(name, tags, &[])
    }

    fn open<'t>(
        &mut self,
        name: &str,
        tags: impl Iterator<Item = (&'t str, &'t str)>,
        documented: &'static [FieldInfo],
    ) -> Point<'_> {
        let start = self.lines.bytes.len();
        let out = &mut self.lines.bytes;
        push_measurement(out, name);
        let mut common = self.common.sorted.iter().peekable();
        for (key, value) in tags {
            while let Some((_, text)) = common.next_if(|(other, _)| other.as_str() < key) {
                out.extend_from_slice(text);
            }
            let before = out.len();
            push_tag(out, key, value);
            if out.len() > before {
                common.next_if(|(other, _)| other == key);
            }
        }
        common.for_each(|(_, text)| out.extend_from_slice(text));
        Point { start, separator: b' ', time: self.time, lines: self.lines, documented }
    }
}

/// Appends `,key=value`, or nothing if either is empty or comes to nothing by escaping.
fn push_tag(out: &mut Vec<u8>, key: &str, value: &str) {
    let start = out.len();
    out.push(b',');
    push_key(out, key);
    let key_end = out.len();
    out.push(b'=');
    push_key(out, value);
    if key_end == start + 1 || out.len() == key_end + 1 {
        out.truncate(start);
    }
}

/// The open point of a [`PointWriter`]; it is complete when dropped.
pub struct Point<'w> {
    lines: &'w mut Lines,
    start: usize,
    separator: u8,
    time: Timestamp,
    documented: &'static [FieldInfo],
}

/// Separator, equals sign and the longest number.
const ROOM_OF_A_NUMBER: usize = 32;

impl Point<'_> {
    /// Adds a field; a value that is not finite is left out.
    pub fn field<T: FieldType + ?Sized>(&mut self, field: &Field<T>, value: T::Value<'_>) -> &mut Self {
        debug_assert!(
            self.documented.iter().any(|known| known.name == field.name && known.type_name == T::NAME),
            "the field {} is not among its measurement's",
            field.name
        );
        if !field.is_plain {
            return self.free_field::<T>(&[field.name], value);
        }
        let out = &mut self.lines.bytes;
        let start = out.len();
        out.reserve(field.name.len() + ROOM_OF_A_NUMBER);
        out.push(self.separator);
        out.extend_from_slice(field.name.as_bytes());
        out.push(b'=');
        if T::push(value, out) {
            self.separator = b',';
        } else {
            out.truncate(start);
        }
        self
    }

    /// Adds a field if there is a value.
    pub fn some<T: FieldType + ?Sized>(&mut self, field: &Field<T>, value: Option<T::Value<'_>>) -> &mut Self {
        match value {
            Some(value) => self.field(field, value),
            None => self,
        }
    }

    /// Adds a field whose name, the parts of `name` together, is not known when Taffrail is built.
    pub fn free_field<T: FieldType + ?Sized>(&mut self, name: &[&str], value: T::Value<'_>) -> &mut Self {
        let out = &mut self.lines.bytes;
        let start = out.len();
        out.push(self.separator);
        name.iter().for_each(|part| push_key(out, part));
        let named = out.len() > start + 1;
        out.push(b'=');
        if named && T::push(value, out) {
            self.separator = b',';
        } else {
            out.truncate(start);
        }
        self
    }
}

impl Drop for Point<'_> {
    fn drop(&mut self) {
        let out = &mut self.lines.bytes;
        let named = !matches!(out.get(self.start), Some(b',' | b' '));
        // A point is at most a few kilobytes, and a batch is closed long before this many bytes.
        let fits = u32::try_from(out.len() + 32).is_ok();
        if self.separator == b' ' || !named || !fits {
            return out.truncate(self.start);
        }
        out.push(b' ');
        push_integer(out, self.time.0);
        out.push(b'\n');
        self.lines.ends.push(out.len() as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: Field<u64> = Field::new("used", "bytes");
    const LOAD: Field<f64> = Field::new("load", "");
    const NAME: Field<str> = Field::new("name", "");
    const SOME: Measurement<2> = Measurement::new("some", ["a", "m"], &[USED.info(), LOAD.info(), NAME.info()]);

    fn common(tags: &[(&str, &str)]) -> CommonTags {
        CommonTags::new(&tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn written(tags: &[(&str, &str)], write: impl FnOnce(&mut PointWriter)) -> String {
        let mut lines = Lines::default();
        write(&mut PointWriter::new(&mut lines, &common(tags), Timestamp(5)));
        assert_eq!(lines.count(), lines.bytes().iter().filter(|b| **b == b'\n').count());
        String::from_utf8(lines.bytes).unwrap()
    }

    #[test]
    fn tags_are_in_order_and_a_points_own_win() {
        let text = written(&[("host", "h"), ("m", "common"), ("z", "")], |out| {
            out.point(&SOME, ["1", "own"]).field(&USED, 1);
            out.point(&SOME, ["", ""]).field(&USED, u64::MAX);
        });
        assert_eq!(text, "some,a=1,host=h,m=own used=1i 5\nsome,host=h,m=common used=9223372036854775807i 5\n");
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_a_point_without_fields_too() {
        let text = written(&[], |out| {
            out.point(&SOME, ["1", ""]).field(&LOAD, f64::NAN).field(&USED, 2);
            out.point(&SOME, ["2", ""]).field(&LOAD, f64::INFINITY);
            out.point(&SOME, ["3", ""]).field(&LOAD, 0.5).field(&NAME, "x").some(&USED, None);
        });
        assert_eq!(text, "some,a=1 used=2i 5\nsome,a=3 load=0.5,name=\"x\" 5\n");
    }

    #[test]
    fn a_point_without_a_name_is_left_out() {
        let text = written(&[("host", "h")], |out| {
            for name in ["", "#", "\\", "a"] {
                out.free_point(name, [].into_iter()).free_field::<u64>(&["x"], 1);
            }
        });
        assert_eq!(text, "a,host=h x=1i 5\n");
    }

    #[test]
    fn points_are_taken_from_the_front_whole() {
        let mut lines = Lines::default();
        let tags = CommonTags::default();
        let mut out = PointWriter::new(&mut lines, &tags, Timestamp(1));
        out.point(&SOME, ["1", ""]).field(&NAME, "line\nend");
        out.point(&SOME, ["2", ""]).field(&USED, 2);
        out.point(&SOME, ["3", ""]).field(&USED, 3);
        let all = lines.clone();
        let mut first = lines.take_first(2);
        assert_eq!((first.count(), lines.count()), (2, 1));
        assert_eq!(lines.bytes(), b"some,a=3 used=3i 1\n");
        first.append(&lines);
        assert_eq!(first, all);
        assert!(lines.take_first(0).is_empty());
    }
}
