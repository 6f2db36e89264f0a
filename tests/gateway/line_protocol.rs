//! The gateway's parser of line protocol beside InfluxData's: they read the same, except for what `DIFFERENCES` lists.
//!
//! The gateway does not use that crate itself. It reads a body as a whole, where an open quote takes the lines after it; it
//! refuses a line that ends with a space or CR LF; and it does not report which part of a line is missing.

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use proptest::prelude::*;
use taffrail::encode::parse::line::{self, points};

use crate::harness::recorded;

/// A point as both read it.
#[derive(Debug, PartialEq)]
struct Point {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value)>,
    time: Option<i64>,
}

#[derive(Debug, PartialEq)]
enum Value {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    Text(String),
}

/// A point, or nothing for a line that is refused.
type Read = Option<Point>;

fn ours(body: &str) -> Vec<Read> {
    points(body.as_bytes()).map(|point| Some(from_ours(point.ok()?))).collect()
}

fn from_ours(point: line::Point<'_>) -> Point {
    let value = |value| match value {
        line::FieldValue::Integer(number) => Value::Integer(number),
        line::FieldValue::Unsigned(number) => Value::Unsigned(number),
        line::FieldValue::Float(number) => Value::Float(number),
        line::FieldValue::Boolean(truth) => Value::Boolean(truth),
        line::FieldValue::Text(text) => Value::Text(text.into()),
    };
    Point {
        measurement: point.measurement.into(),
        tags: point.tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        fields: point.fields.into_iter().map(|(key, found)| (key.into(), value(found))).collect(),
        time: point.time,
    }
}

fn theirs(body: &str) -> Vec<Read> {
    parse_lines(body).map(|line| Some(from_theirs(line.ok()?))).collect()
}

fn from_theirs(line: ParsedLine<'_>) -> Point {
    let value = |value| match value {
        FieldValue::I64(number) => Value::Integer(number),
        FieldValue::U64(number) => Value::Unsigned(number),
        FieldValue::F64(number) => Value::Float(number),
        FieldValue::Boolean(truth) => Value::Boolean(truth),
        FieldValue::String(text) => Value::Text(text.into()),
    };
    let tags = line.series.tag_set.unwrap_or_default();
    Point {
        measurement: line.series.measurement.into(),
        tags: tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        fields: line.field_set.into_iter().map(|(key, found)| (key.into(), value(found))).collect(),
        time: line.timestamp,
    }
}

/// Lines that the two read differently: what each makes of them, in brief ([`brief`]), and why ours stays. "InfluxDB" is
/// InfluxDB 1.6, which was asked; 2.x has the same parser. The crate is that of InfluxDB 3.
const DIFFERENCES: [(&str, &[&str], &[&str], &str); 20] = [
    ("m f=1 ", &["m f=1"], &["refused"], "InfluxDB takes it"),
    ("m f=1\r\n", &["m f=1"], &["refused"], "clients on Windows write it; InfluxDB refuses it without a time"),
    ("m\t f=1", &["m\t f=1"], &["refused"], "InfluxDB takes tabs in names"),
    ("m,a=\tb f=1", &["m,a=\tb f=1"], &["refused"], "InfluxDB takes tabs in names"),
    ("m\0 f=1", &["m\0 f=1"], &["refused"], "InfluxDB takes it"),
    ("m f=1.", &["m f=1"], &["refused"], "InfluxDB takes it"),
    ("m f=-.5", &["m f=-0.5"], &["refused"], "InfluxDB takes it"),
    (r"m\\a,t=b\\c f=1", &[r"m\\a,t=b\\c f=1"], &[r"m\a,t=b\c f=1"], "InfluxDB keeps both backslashes"),
    (r"m,t=a\\ b f=1", &[r"m,t=a\ b f=1"], &["refused"], "InfluxDB escapes the space"),
    (r"m\= f=1", &["m= f=1"], &[r"m\= f=1"], "InfluxDB takes it for an equals sign"),
    ("m\\\" f=1", &["m\" f=1"], &["m\\\" f=1"], "InfluxDB takes it for a quote"),
    ("m,a=b=c f=1", &["refused"], &["m,a=b=c f=1"], "InfluxDB refuses it"),
    ("m f=1,", &["refused"], &["m f=1"], "InfluxDB refuses it"),
    ("m ,f=1", &["refused"], &["m ,f=1"], "InfluxDB refuses it"),
    ("m a,b=1", &["refused"], &["m a,b=1"], "InfluxDB refuses it"),
    ("m,,a=b f=1", &["refused"], &["m,,a=b f=1"], "InfluxDB refuses it"),
    ("m f=\"a\nn g=2", &["refused", "n g=2"], &["refused"], "a line costs itself alone"),
    ("m f=1 \"x\nn g=2", &["refused", "n g=2"], &["refused"], "a line costs itself alone"),
    ("m f=1e400", &["refused"], &["m f=inf"], "InfluxDB refuses it"),
    ("# a=\"b\nm f=1\nn g=2", &["m f=1", "n g=2"], &["refused"], "a comment costs itself alone"),
];

/// The point in brief: with its names as they are, without escapes.
fn brief(read: &Read) -> String {
    let Some(point) = read else { return "refused".to_owned() };
    let mut text = point.measurement.clone();
    point.tags.iter().for_each(|(key, value)| text += &format!(",{key}={value}"));
    for (index, (key, value)) in point.fields.iter().enumerate() {
        let separator = if index == 0 { ' ' } else { ',' };
        text += &match value {
            Value::Integer(number) => format!("{separator}{key}={number}"),
            Value::Unsigned(number) => format!("{separator}{key}={number}"),
            Value::Float(number) => format!("{separator}{key}={number}"),
            Value::Boolean(truth) => format!("{separator}{key}={truth}"),
            Value::Text(_) => format!("{separator}{key}=\"\""),
        };
    }
    text + &point.time.map(|time| format!(" {time}")).unwrap_or_default()
}

#[test]
fn the_parsers_differ_as_listed() {
    for (body, expected_of_ours, expected_of_theirs, why) in DIFFERENCES {
        let in_brief = |all: Vec<Read>| all.iter().map(brief).collect::<Vec<_>>();
        assert_eq!(in_brief(ours(body)), expected_of_ours, "ours, {body:?}: {why}");
        assert_eq!(in_brief(theirs(body)), expected_of_theirs, "theirs, {body:?}: {why}");
    }
}

#[test]
fn the_parsers_read_what_is_pushed_alike() {
    let hosts = recorded::hosts();
    assert!(hosts.len() > 10);
    for host in hosts {
        let text = recorded::expected(&host, "influx");
        let (ours, theirs) = (ours(&text), theirs(&text));
        assert!(!ours.is_empty() && ours.iter().all(Option::is_some), "{}", host.display());
        assert_eq!(ours, theirs, "{}", host.display());
    }
}

#[test]
fn the_parsers_read_values_and_times_alike() {
    const VALUES: &str = "1 -1 0 -0 007 1.5 -1.50 1e5 1E5 1e+5 1e-5 1.5e-3 1e 1e5.5 +1 +1i --1 1_0 0x10 inf NaN infinity \
        1i -1i 1.5i 1u -1u +1u 9223372036854775807i 9223372036854775808i -9223372036854775808i 18446744073709551615u \
        18446744073709551616u i u t T true True TRUE tRUE tr f F false False FALSE \"\" \"a\" \"a\\\"b\" \"a\\\\\" \"a\\b\" \"a=1,b\" \
        \"a\"b 'a' a";
    const TIMES: &str = "0 1 -1 +1 007 9223372036854775807 9223372036854775808 1.0 1e3 1i x 1\u{a0}";
    for value in VALUES.split_whitespace() {
        for line in [format!("m f={value}"), format!("m a={value},b=\"x y\",c=2i 3")] {
            assert_eq!(ours(&line), theirs(&line), "{line}");
        }
    }
    for time in TIMES.split(' ') {
        let line = format!("m f=1  {time}");
        assert_eq!(ours(&line), theirs(&line), "{line}");
    }
}

/// Whether a line has one of the differences listed above.
fn is_listed(line: &str) -> bool {
    let has = |all: &[&str]| all.iter().any(|one| line.contains(one));
    let is_separator_misplaced = line.contains([',', '\n', '=']) && ours(line).contains(&None);
    has(&["\t", "\r", "\0", "\\\\", "\\=", "\\\"", "1.", ".1"]) || line.ends_with(' ') || is_separator_misplaced
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parsers_read_any_line_alike(parts in prop::collection::vec(prop::sample::select(vec![
        "a", "b", ",", "=", "\\", " ", "\"", "1", "-", ".", "e", "i", "u", "t", "#", "ü", ",a=b", " f=1", " 7", ",g=2i", " s=\"x\ny\"",
    ]), 0..7)) {
        let line = format!("m{}", parts.concat());
        if !is_listed(&line) {
            prop_assert_eq!(ours(&line), theirs(&line), "{:?}", line);
        }
    }
}
