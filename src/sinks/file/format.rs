//! The formats of files.

use crate::encode::line::LineEncoder;
use crate::encode::lines::{Lines, RecordWriter};
use crate::encode::number::push_integer;
use crate::encode::point::PointEncoder;
use crate::encode::remote::{record::Record, text};
use crate::encode::tags::CommonTags;
use crate::encode::whole::{WholePoint, WholePoints};
use crate::encode::{PointWriter, Timestamp};
use crate::sinks::form::{OWN_FORMAT, PointFormat, own_format};
use crate::sinks::json::Object;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Line protocol, one point a line.
    LineProtocol,
    /// The text format 0.0.4.
    Exposition,
    /// Telegraf's `json`, one point a line.
    Json(Json),
}

/// Telegraf's `json`, one point a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Json {
    /// The unit of timestamps.
    pub(super) nanoseconds: i64,
}

/// A record is the object with its timestamp in nanoseconds, so that it can be written in any unit and format.
impl PointFormat for Json {
    fn encode(&self, lines: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        let mut record = Vec::new();
        write(&mut WholePoints::new(|point: &WholePoint, time: Timestamp| {
            record.clear();
            record.push(OWN_FORMAT);
            let mut object = Object::open(&mut record);
            object.fields("fields", point);
            object.string("name", point.measurement());
            object.tags("tags", point);
            object.integer(TIMESTAMP, time.0);
            object.close();
            lines.push(&record);
        }));
    }
}

/// The last key of an object.
const TIMESTAMP: &str = "timestamp";

impl Json {
    /// Appends the object of a record, with its timestamp in this unit.
    fn push(self, object: &[u8], out: &mut Vec<u8>) {
        let Some(colon) = object.iter().rposition(|byte| *byte == b':') else { return };
        let (before, time) = object.split_at(colon + 1);
        let time = std::str::from_utf8(time).ok().and_then(|time| time.strip_suffix('}')?.parse::<i64>().ok());
        let Some(time) = time else { return };
        out.extend_from_slice(before);
        push_integer(out, time.div_euclid(self.nanoseconds));
        out.extend_from_slice(b"}\n");
    }
}

/// The object of a record as line protocol: the format was another one when it was queued.
fn line_of(object: &[u8]) -> Lines {
    let mut lines = Lines::default();
    let Ok(object) = serde_json::from_slice::<serde_json::Value>(object) else { return lines };
    let (Some(fields), Some(tags)) = (object["fields"].as_object(), object["tags"].as_object()) else { return lines };
    let tags = tags.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let (none, time) = (CommonTags::default(), Timestamp(object[TIMESTAMP].as_i64().unwrap_or_default()));
    let mut encoder = LineEncoder::new(&mut lines);
    let mut writer = PointWriter::new(&mut encoder, &none, time);
    let mut point = writer.free_point(object["name"].as_str().unwrap_or_default(), tags);
    for (key, value) in fields {
        match value {
            serde_json::Value::Bool(value) => point.free_field::<bool>(&[key], *value),
            serde_json::Value::String(value) => point.free_field::<str>(&[key], value),
            value if value.is_i64() => point.free_field::<i64>(&[key], value.as_i64().unwrap_or_default()),
            value if value.is_u64() => point.free_field::<u64>(&[key], value.as_u64().unwrap_or_default()),
            value => point.free_field::<f64>(&[key], value.as_f64().unwrap_or(f64::NAN)),
        };
    }
    drop(point);
    drop(writer);
    lines
}

impl Format {
    /// The queued records in this format, whatever the format was when they were queued.
    pub(super) fn text(self, lines: &Lines) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Format::LineProtocol => lines.iter().for_each(|record| match record.strip_prefix(&[OWN_FORMAT]) {
                None => out.extend_from_slice(record),
                Some(object) => out.extend_from_slice(line_of(object).bytes()),
            }),
            Format::Exposition => lines.iter().flat_map(Record::all).for_each(|record| text::push(&mut out, &record)),
            Format::Json(json) => {
                let objects = lines.iter().filter_map(|record| own_format(record, &json));
                objects.for_each(|object| json.push(&object, &mut out));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::form::write_line;

    #[test]
    fn a_point_is_a_json_object() {
        let mut lines = Lines::default();
        lines.push(b"cpu,cpu=cpu\\ 0,host=a idle=1,count=2i,text=\"a\\\\b\" 1500000000999999999\n");
        let json = |nanoseconds| String::from_utf8(Format::Json(Json { nanoseconds }).text(&lines)).unwrap();
        let expected = "{\"fields\":{\"idle\":1.0,\"count\":2,\"text\":\"a\\\\b\"},\"name\":\"cpu\",\"tags\":{\"cpu\":\"cpu 0\",\"host\":\"a\"},\"timestamp\":1500000000}\n";
        assert_eq!(json(1_000_000_000), expected, "as an earlier version persisted it");
        let (mut own, json_of) = (Lines::default(), Json { nanoseconds: 1_000_000_000 });
        json_of.encode(&mut own, &mut |encoder| write_line(lines.bytes(), encoder));
        let text = |format: Format| String::from_utf8(format.text(&own)).unwrap();
        assert_eq!(text(Format::Json(json_of)), expected);
        let milliseconds = expected.replace("1500000000", "1500000000999");
        assert_eq!(text(Format::Json(Json { nanoseconds: 1_000_000 })), milliseconds, "the unit of today");
        let line = "cpu,cpu=cpu\\ 0,host=a count=2i,idle=1,text=\"a\\\\b\" 1500000000999999999\n";
        assert_eq!(text(Format::LineProtocol), line, "the format of today");
        assert!(json(1_000_000).contains(":1500000000999}"));
    }
}
