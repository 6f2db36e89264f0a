//! Writes points such that every encoder gets valid ones.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::slice::Iter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Written;
use crate::encode::Timestamp;
use crate::encode::name::Name;
use crate::encode::point::{Field, FieldInfo, FieldType, FieldValue, Measurement, PointEncoder};
use crate::encode::tags::{CommonTag, CommonTags, RESERVED_TAG};

static RESERVED_TAGS: AtomicU64 = AtomicU64::new(0);

/// Number of tags named [`RESERVED_TAG`] that points were written without.
pub fn reserved_tags() -> u64 {
    RESERVED_TAGS.load(Relaxed)
}

/// Writes points, and enforces the rules of all sinks: names that all servers parse alike, no empty tags, sorted and
/// unique tags, finite values, and at least one field per point.
pub struct PointWriter<'a> {
    encoder: &'a mut dyn PointEncoder,
    common: &'a CommonTags,
    time: Timestamp,
    limit: Limit,
    /// Buffer for names of fields that have several parts.
    name: String,
    written_generic: Written,
}

/// The number of points left within a limit, and of points in excess of it.
struct Limit {
    left: usize,
    exceeded: usize,
}

impl<'a> PointWriter<'a> {
    /// A writer of points with the timestamp `time` and the tags `common`.
    pub fn new(encoder: &'a mut dyn PointEncoder, common: &'a CommonTags, time: Timestamp) -> Self {
        let limit = Limit { left: usize::MAX, exceeded: 0 };
        PointWriter { encoder, common, time, limit, name: String::new(), written_generic: Written::default() }
    }

    /// Takes the record of what was written by the generic mapping of
    /// [`generic_points`](crate::encode::generic_points).
    pub fn take_written_generic(&mut self) -> Written {
        std::mem::take(&mut self.written_generic)
    }

    /// Restores that record, with its additions.
    pub fn put_written_generic(&mut self, written: Written) {
        self.written_generic = written;
    }

    /// Calls `write` with a limit of `max` points. Returns how many were written, and how many exceeded the limit.
    pub fn at_most(&mut self, max: usize, write: impl FnOnce(&mut PointWriter<'a>)) -> (usize, usize) {
        let outer = std::mem::replace(&mut self.limit, Limit { left: max, exceeded: 0 });
        write(self);
        let Limit { left, exceeded } = std::mem::replace(&mut self.limit, outer);
        self.limit.left -= max - left;
        (max - left, exceeded)
    }

    /// Calls `write` with a writer of points that pass the encoder made by `wrap` before this one's, and have `tags` in
    /// addition to the common ones, which they override. They count against this writer's limit.
    pub fn through<'w, E: PointEncoder + 'w>(
        &'w mut self,
        tags: &BTreeMap<String, String>,
        wrap: impl FnOnce(&'w mut dyn PointEncoder) -> E,
        write: impl FnOnce(&mut PointWriter<'_>),
    ) {
        let common = self.common.and(tags);
        let mut encoder = wrap(&mut *self.encoder);
        let mut inner = PointWriter::new(&mut encoder, &common, self.time);
        inner.written_generic = std::mem::take(&mut self.written_generic);
        std::mem::swap(&mut inner.limit, &mut self.limit);
        write(&mut inner);
        let PointWriter { limit, written_generic, .. } = inner;
        (self.limit, self.written_generic) = (limit, written_generic);
    }

    /// Opens a point with tag `values`, in the order of the measurement's tag keys. Tags with an empty value are left
    /// out, and so is a point without fields.
    pub fn point<const TAGS: usize>(&mut self, of: &Measurement<TAGS>, values: [&str; TAGS]) -> Point<'_> {
        debug_assert!(of.keys.is_sorted(), "the tag keys of {} are out of order", of.name.text());
        let tags = of.keys.into_iter().zip(values);
        self.open(of.name, of.fields, |out| tags.for_each(|(key, value)| out.push(key, value)))
    }

    /// As [`PointWriter::point`], with its own timestamp.
    pub fn point_at<const TAGS: usize>(
        &mut self,
        time: Timestamp,
        of: &Measurement<TAGS>,
        values: [&str; TAGS],
    ) -> Point<'_> {
        let mut point = self.point(of, values);
        point.time = time;
        point
    }

    /// Opens a point with its own set of `tags`, which must be sorted.
    pub fn point_tagged<const TAGS: usize>(&mut self, of: &Measurement<TAGS>, tags: &[(&str, &str)]) -> Point<'_> {
        debug_assert!(tags.is_sorted(), "the tags of {} are out of order: {tags:?}", of.name.text());
        self.open(of.name, of.fields, |out| tags.iter().for_each(|(key, value)| out.push_free(key, value)))
    }

    /// Opens a point with dynamic names. `tags` must be sorted.
    pub fn free_point<'t>(&mut self, name: &str, tags: impl Iterator<Item = (&'t str, &'t str)>) -> Point<'_> {
        let mut changed = String::new();
        let name = Name::measurement(name, &mut changed);
        self.open(name, &[], |out| tags.for_each(|(key, value)| out.push_free(key, value)))
    }

    /// As [`PointWriter::free_point`], with its own timestamp.
    pub fn free_point_at<'t>(
        &mut self,
        time: Timestamp,
        name: &str,
        tags: impl Iterator<Item = (&'t str, &'t str)>,
    ) -> Point<'_> {
        let mut point = self.free_point(name, tags);
        point.time = time;
        point
    }

    fn open(
        &mut self,
        measurement: Name<'_>,
        documented: &'static [FieldInfo],
        write_tags: impl FnOnce(&mut Tags<'_>),
    ) -> Point<'_> {
        self.encoder.begin(measurement);
        let mut tags = Tags { encoder: &mut *self.encoder, common: self.common.iter().peekable() };
        write_tags(&mut tags);
        let Tags { common, encoder } = tags;
        common.for_each(|tag| encoder.common_tag(tag));
        Point {
            is_named: !measurement.text().is_empty(),
            has_fields: false,
            encoder: self.encoder,
            limit: &mut self.limit,
            name: &mut self.name,
            time: self.time,
            documented,
        }
    }
}

/// The tags of a point, merged with the common ones.
struct Tags<'w> {
    encoder: &'w mut dyn PointEncoder,
    /// The common tags after the last tag.
    common: Peekable<Iter<'w, CommonTag>>,
}

impl Tags<'_> {
    fn push(&mut self, key: Name<'_>, value: &str) {
        let mut changed = String::new();
        let value = Name::key(value, &mut changed);
        if key.text().is_empty() || value.text().is_empty() {
            return;
        }
        if key.text() == RESERVED_TAG {
            if RESERVED_TAGS.fetch_add(1, Relaxed) == 0 {
                tracing::warn!("the tag time is left out: InfluxDB rejects points with it");
            }
            return;
        }
        while let Some(tag) = self.common.next_if(|tag| tag.key_text() < key.text()) {
            self.encoder.common_tag(tag);
        }
        self.encoder.tag(key, value);
        self.common.next_if(|tag| tag.key_text() == key.text());
    }

    fn push_free(&mut self, key: &str, value: &str) {
        let mut changed = String::new();
        self.push(Name::key(key, &mut changed), value);
    }
}

/// The open point of a [`PointWriter`]. Dropping it completes the point.
pub struct Point<'w> {
    encoder: &'w mut dyn PointEncoder,
    limit: &'w mut Limit,
    name: &'w mut String,
    is_named: bool,
    has_fields: bool,
    time: Timestamp,
    documented: &'static [FieldInfo],
}

impl Point<'_> {
    /// Adds a field, unless its value is not finite.
    pub fn field<T: FieldType + ?Sized>(&mut self, field: &Field<T>, value: T::Value<'_>) -> &mut Self {
        debug_assert!(
            self.documented.iter().any(|known| known.name == field.name() && known.type_name == T::NAME),
            "the field {} is not among its measurement's",
            field.name()
        );
        let Some(value) = T::encoded(value) else { return self };
        self.push(field.key(), value)
    }

    /// Adds a field if there is a value.
    pub fn some<T: FieldType + ?Sized>(&mut self, field: &Field<T>, value: Option<T::Value<'_>>) -> &mut Self {
        match value {
            Some(value) => self.field(field, value),
            None => self,
        }
    }

    /// Adds a field with a dynamic name: the concatenated parts of `name`.
    pub fn free_field<T: FieldType + ?Sized>(&mut self, name: &[&str], value: T::Value<'_>) -> &mut Self {
        let Some(value) = T::encoded(value) else { return self };
        if let [name] = name {
            return self.free_value(name, value);
        }
        let (mut whole, mut changed) = (std::mem::take(self.name), String::new());
        whole.clear();
        name.iter().for_each(|part| whole.push_str(Name::key(part, &mut changed).text()));
        self.push(Name::unchanged(&whole), value);
        *self.name = whole;
        self
    }

    /// Adds a field with a dynamic name and type.
    pub fn free_value(&mut self, name: &str, value: FieldValue<'_>) -> &mut Self {
        let mut changed = String::new();
        self.push(Name::key(name, &mut changed), value)
    }

    fn push(&mut self, name: Name<'_>, value: FieldValue<'_>) -> &mut Self {
        if !name.text().is_empty() {
            self.encoder.field(name, value);
            self.has_fields = true;
        }
        self
    }
}

impl Drop for Point<'_> {
    fn drop(&mut self) {
        if !self.is_named || !self.has_fields {
            return self.encoder.discard();
        }
        match self.limit.left.checked_sub(1) {
            Some(left) => {
                self.limit.left = left;
                self.encoder.end(self.time);
            }
            None => {
                self.limit.exceeded += 1;
                self.encoder.discard();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::line::LineEncoder;
    use crate::encode::lines::Lines;

    const USED: Field<u64> = Field::new("used", "bytes");
    const LOAD: Field<f64> = Field::new("load", "");
    const NAME: Field<str> = Field::new("name", "");
    const SOME: Measurement<2> = Measurement::new("some", ["a", "m"], &[USED.info(), LOAD.info(), NAME.info()]);

    fn common(tags: &[(&str, &str)]) -> CommonTags {
        CommonTags::new(&tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn written(tags: &[(&str, &str)], write: impl FnOnce(&mut PointWriter)) -> String {
        let mut lines = Lines::default();
        write(&mut PointWriter::new(&mut LineEncoder::new(&mut lines), &common(tags), Timestamp(5)));
        assert_eq!(lines.count(), lines.bytes().iter().filter(|b| **b == b'\n').count());
        String::from_utf8(lines.bytes().to_vec()).unwrap()
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
    fn a_tag_with_the_name_of_the_timestamp_is_left_out() {
        let text = written(&[("host", "h")], |out| {
            out.free_point("a", [("time", "12:00"), ("zone", "z")].into_iter()).free_field::<u64>(&["x"], 1);
        });
        assert_eq!(text, "a,host=h,zone=z x=1i 5\n");
        assert!(reserved_tags() > 0);
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
        let mut encoder = LineEncoder::new(&mut lines);
        let mut out = PointWriter::new(&mut encoder, &tags, Timestamp(1));
        out.point(&SOME, ["1", ""]).field(&NAME, "line\nend");
        out.point(&SOME, ["2", ""]).field(&USED, 2);
        out.point(&SOME, ["3", ""]).field(&USED, 3);
        let all = lines.clone();
        lines.remove_first(2);
        assert_eq!((lines.count(), lines.bytes()), (1, b"some,a=3 used=3i 1\n".as_slice()));
        let mut first = all.clone();
        first.truncate(2);
        first.append(&lines);
        assert_eq!(first, all);
        lines.remove_first(0);
        assert_eq!(lines.count(), 1);
        lines.remove_first(2);
        assert_eq!(lines, Lines::default());
    }
}
