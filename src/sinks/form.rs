//! The form of the records in a sink's queue: points in the sink's format, or remote write series.

use std::borrow::Cow;

use crate::collectors::filter::Filter;
use crate::encode::line::LineEncoder;
use crate::encode::lines::{Lines, RecordWriter};
use crate::encode::parse::line::{FieldValue, points};
use crate::encode::point::PointEncoder;
use crate::encode::remote::{Rewrite, SeriesEncoder};
use crate::encode::tags::CommonTags;
use crate::encode::{PointWriter, Timestamp};

/// The form of the records that a sink sends.
pub enum Form {
    /// Points.
    Points(PointForm),
    /// Series.
    Series(SeriesForm),
}

/// The form of points.
pub struct PointForm {
    /// Tags of every point.
    tags: CommonTags,
    /// Applied to each point before encoding; none if it changes nothing.
    filter: Option<Box<Filter>>,
    format: Box<dyn PointFormat>,
}

impl PointForm {
    /// Points with `tags` that pass `filter`, in `format`.
    pub fn new(tags: CommonTags, filter: &Filter, format: impl PointFormat + 'static) -> PointForm {
        let filter = (!filter.is_plain()).then(|| Box::new(filter.clone()));
        PointForm { tags, filter, format: Box::new(format) }
    }

    /// Encodes the points that `write` writes, with the timestamp `time` unless they have their own.
    pub fn encode(&self, time: Timestamp, write: impl FnOnce(&mut PointWriter<'_>), lines: &mut dyn RecordWriter) {
        let mut write = Some(write);
        self.format.encode(lines, &mut |encoder| {
            let Some(write) = write.take() else { return };
            match &self.filter {
                None => write(&mut PointWriter::new(encoder, &self.tags, time)),
                Some(filter) => write(&mut PointWriter::new(&mut filter.before(encoder), &self.tags, time)),
            }
        });
    }
}

/// The first byte of records in a sink's own format. Line protocol never starts with it: no name contains it.
///
/// Earlier versions persisted line protocol for all sinks of points. [`own_format`] converts it when it is sent.
pub(super) const OWN_FORMAT: u8 = 0;

/// The format of a sink's records, one for each point. Records other than line protocol start with [`OWN_FORMAT`].
pub trait PointFormat: Send + Sync {
    /// Calls `write` once with an encoder, and appends the records of the points written to it.
    fn encode(&self, lines: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder));
}

/// Line protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineProtocol;

impl PointFormat for LineProtocol {
    fn encode(&self, lines: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        write(&mut LineEncoder::new(lines));
    }
}

/// The record without [`OWN_FORMAT`], converted to `format` if it is line protocol. None if it is not a point.
pub(super) fn own_format<'r>(record: &'r [u8], format: &dyn PointFormat) -> Option<Cow<'r, [u8]>> {
    if let Some(own) = record.strip_prefix(&[OWN_FORMAT]) {
        return Some(Cow::Borrowed(own));
    }
    let mut lines = Lines::default();
    format.encode(&mut lines, &mut |encoder| write_line(record, encoder));
    lines.bytes().strip_prefix(&[OWN_FORMAT]).map(|own| Cow::Owned(own.to_vec()))
}

/// Passes a point in line protocol to an encoder. Ignores an invalid line.
pub fn write_line(line: &[u8], encoder: &mut dyn PointEncoder) {
    let Some(Ok(point)) = points(line).next() else { return };
    let (none, time) = (CommonTags::default(), Timestamp(point.time.unwrap_or_default()));
    let mut writer = PointWriter::new(encoder, &none, time);
    let mut out = writer.free_point(&point.measurement, point.tags.iter().map(|(key, value)| (&**key, &**value)));
    for (key, value) in &point.fields {
        match value {
            FieldValue::Integer(value) => out.free_field::<i64>(&[key], *value),
            FieldValue::Unsigned(value) => out.free_field::<u64>(&[key], *value),
            FieldValue::Float(value) => out.free_field::<f64>(&[key], *value),
            FieldValue::Boolean(value) => out.free_field::<bool>(&[key], *value),
            FieldValue::Text(value) => out.free_field::<str>(&[key], value),
        };
    }
}

/// The form of series.
pub struct SeriesForm {
    /// Labels of every series. Labels of the sample override them.
    pub labels: Vec<(String, String)>,
    /// Filters and renames series.
    pub rewrite: Option<Box<dyn Rewrite>>,
    /// Whether every reading includes types and help texts, rather than one per interval.
    pub has_metadata_always: bool,
}

impl SeriesForm {
    /// An encoder of series in this form.
    pub fn encoder<'a>(
        &'a self,
        lines: &'a mut dyn RecordWriter,
        time: Timestamp,
        has_metadata: bool,
    ) -> SeriesEncoder<'a> {
        SeriesEncoder::new(lines, &self.labels, self.rewrite.as_deref(), time, has_metadata)
    }
}
