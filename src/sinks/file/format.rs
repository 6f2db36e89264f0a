//! What is written.

use crate::encode::point::Lines;
use crate::encode::remote::{record::Record, text};
use crate::sinks::json::{Object, tags, time_of};
use crate::sinks::parts::{Parts, unescaped};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A point a line, as InfluxDB takes it.
    LineProtocol,
    /// The text format 0.0.4.
    Exposition,
    /// A point a line, as Telegraf's `json` has it.
    Json {
        /// The unit of timestamps.
        nanoseconds: i64,
    },
}

impl Format {
    /// What waits, as it is written.
    pub(super) fn write(self, lines: &Lines) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Format::LineProtocol => out.extend_from_slice(lines.bytes()),
            Format::Exposition => {
                lines.iter().filter_map(Record::read).for_each(|record| text::push(&mut out, &record))
            }
            Format::Json { nanoseconds } => lines.iter().for_each(|line| push_json(&mut out, line, nanoseconds)),
        }
        out
    }
}

fn push_json(out: &mut Vec<u8>, line: &[u8], nanoseconds: i64) {
    let Some(parts) = Parts::of(line) else { return };
    let mut object = Object::open(out);
    let mut fields = object.object("fields");
    parts.fields.iter().for_each(|(key, value)| fields.field(&unescaped(key), value));
    fields.close();
    object.string("name", &unescaped(parts.measurement));
    let mut all = object.object("tags");
    tags(&parts).for_each(|(key, value)| all.string(&key, &value));
    all.close();
    object.integer("timestamp", time_of(&parts).unwrap_or(0).div_euclid(nanoseconds));
    object.close();
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_json_object() {
        let mut lines = Lines::default();
        lines.push(b"cpu,cpu=cpu\\ 0,host=a idle=1,count=2i,text=\"a\\\\b\" 1500000000999999999\n");
        let json = |nanoseconds| String::from_utf8(Format::Json { nanoseconds }.write(&lines)).unwrap();
        let expected = "{\"fields\":{\"idle\":1.0,\"count\":2,\"text\":\"a\\\\b\"},\"name\":\"cpu\",\"tags\":{\"cpu\":\"cpu 0\",\"host\":\"a\"},\"timestamp\":1500000000}\n";
        assert_eq!(json(1_000_000_000), expected);
        assert!(json(1_000_000).contains(":1500000000999}"));
    }
}
