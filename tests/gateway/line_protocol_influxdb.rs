//! The gateway's parser of line protocol beside a real InfluxDB: generated lines give the same points in both, except for
//! what `DIFFERENCES` lists.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::mem::{Discriminant, discriminant};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use regex::Regex;
use serde_json::Value as Json;
use taffrail::encode::parse::line::{FieldValue, points};

use crate::harness::real::{Server, encode, free_port, influxdb};

/// The points of a body: fields and their values by measurement, tags and time. Numbers are compared as floats.
pub(super) type Points = BTreeMap<String, BTreeMap<String, String>>;

/// The point of a series at a time; none is the time of the write.
fn key(measurement: &str, tags: &BTreeMap<&str, &str>, time: Option<i64>) -> String {
    format!("{measurement:?} {tags:?} {time:?}")
}

/// What the gateway makes of a body whose times have this unit.
pub(super) fn ours(body: &[u8], unit: i64) -> Points {
    let mut read = Points::new();
    for point in points(body).filter_map(|point| point.ok()?.without_time().ok()) {
        let Ok(time) = point.nanoseconds(unit) else { continue };
        let tags = point.tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        let fields = point.fields.iter().map(|(key, value)| (key.to_string(), text_of(value)));
        read.entry(key(&point.measurement, &tags, time)).or_default().extend(fields);
    }
    read
}

fn text_of(value: &FieldValue<'_>) -> String {
    match value {
        FieldValue::Text(text) => format!("{text:?}"),
        FieldValue::Boolean(truth) => truth.to_string(),
        number => float(number.number().unwrap()),
    }
}

/// A number's digits, but for the last two: of numbers with many digits, InfluxDB has another last one.
fn float(number: f64) -> String {
    format!("{number:.14e}")
}

/// A database of InfluxDB that is empty before each body.
pub(super) struct Database<'s> {
    server: &'s Server,
    /// How many were made before it: a name that was dropped is not used again.
    number: usize,
}

impl<'s> Database<'s> {
    pub(super) fn new(server: &'s Server) -> Self {
        let database = Database { server, number: 0 };
        database.query("CREATE DATABASE d0");
        database
    }

    fn query(&self, text: &str) -> Json {
        let url = format!("{}/query?db=d{}&epoch=ns&q={}", self.server.url, self.number, encode(text));
        serde_json::from_str(&ureq::post(url).send("").unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Writes a body, and reads what it became.
    pub(super) fn store(&mut self, body: &[u8], precision: &str) -> Stored {
        let response = write(self.server, &format!("db=d{}&precision={precision}", self.number), body);
        let is_accepted = response.starts_with("HTTP/1.1 204");
        let read = self.query("SELECT * FROM /.*/ GROUP BY *");
        let series = read["results"][0]["series"].as_array().cloned().unwrap_or_default();
        let mut points = Points::new();
        series.iter().flat_map(points_of).for_each(|(key, fields)| points.entry(key).or_default().extend(fields));
        // Points that queries do not find have types too, which later ones would have to have.
        if !response.starts_with("HTTP/1.1 400") || response.contains("partial write") {
            self.query(&format!("DROP DATABASE d{}", self.number));
            self.number += 1;
            self.query(&format!("CREATE DATABASE d{}", self.number));
        }
        Stored { is_accepted, points }
    }
}

/// What InfluxDB makes of a body.
pub(super) struct Stored {
    pub(super) is_accepted: bool,
    pub(super) points: Points,
}

impl Stored {
    /// Whether these are its points. InfluxDB accepts some names with backslashes that its queries do not find again.
    pub(super) fn is(&self, points: &Points) -> bool {
        self.points == *points || (self.is_accepted && self.points.is_empty() && !points.is_empty())
    }
}

/// Returns the response. Without an HTTP client: InfluxDB repeats control characters of lines in a header.
fn write(server: &Server, query: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /write?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

fn points_of(series: &Json) -> Vec<(String, BTreeMap<String, String>)> {
    let name = series["name"].as_str().unwrap();
    let tags = series["tags"].as_object().into_iter().flatten();
    let tags: BTreeMap<&str, &str> = tags
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let columns: Vec<&str> = series["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let point = |values: &Json| {
        let values = values.as_array().unwrap();
        let time = values[0].as_i64().unwrap();
        let time = Some(time).filter(|time| now.saturating_sub(*time).unsigned_abs() > MINUTE);
        let fields = columns.iter().zip(values).skip(1).filter(|(_, value)| !value.is_null());
        (key(name, &tags, time), fields.map(|(column, value)| ((*column).to_owned(), json_text(value))).collect())
    };
    series["values"].as_array().unwrap().iter().map(point).collect()
}

/// A minute, in nanoseconds: no test sends a time so near to its own.
const MINUTE: u64 = 60_000_000_000;

fn json_text(value: &Json) -> String {
    match value {
        Json::String(text) => format!("{text:?}"),
        Json::Bool(truth) => truth.to_string(),
        number => float(number.as_f64().unwrap()),
    }
}

/// How many lines are compared.
const LINES: usize = 600;

const PARTS: &[&str] = &[
    "a", "b", ",", "=", "\\", "\\\\", " ", "\"", "1", "-", "+", ".", "e", "i", "u", "t", "#", "ü", ",a=b", ",time=x",
    " f=1", " f=1u", " f=+1", " f=-1i", " time=1", " 7", ",g=2i", " s=\"x\"", "\t", "\r", "\0", "\x01", "\x7f", " f=t",
    ",a=c", "\n",
];

/// Lines that differ on purpose: what each makes of them, in number of points, and why.
const DIFFERENCES: [(&[u8], usize, usize, &str); 10] = [
    (b"m f=1u", 1, 0, "InfluxDB 1.x reads unsigned numbers only in a build for them; 2.x and 3 do"),
    (b"m f=\"x\"y", 0, 1, "text after the closing quote is a mistake; InfluxDB stores x\"y"),
    (b"m f=\"a\nn g=2", 1, 0, "an open quote costs its line alone"),
    (b"m f=1\r\n", 1, 0, "clients on Windows write it"),
    (b"m\0 f=\"\0\"", 1, 1, "the same"),
    (b"m f=1\r\nn f=1 7\r\n", 2, 0, "the same, after a time too"),
    (b"m,t=\xff f=1", 0, 1, "labels are UTF-8"),
    (b"# a=\"b\nm f=1", 1, 0, "a comment costs itself alone"),
    (b"m \t=1", 0, 1, "a field has a name"),
    (b"m f=1,f=t", 1, 0, "types are not kept"),
];

/// The body without what differs in each line that has it: ends of lines of Windows, unsigned numbers, and bytes that are not
/// UTF-8. What is left is to be read alike.
pub(super) fn comparable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = Regex::new("[ \r]+(\n|$)").unwrap().replace_all(&text, "$1");
    Regex::new("([0-9])u([, \n]|$)").unwrap().replace_all(&text, "${1}i$2").into_owned()
}

/// Whether a body is one of those in which more lines than one differ. It has a string that is open, or text after its closing
/// quote: InfluxDB takes what follows for its value. Or it has a field without a name, which InfluxDB takes after a tab or NUL.
/// Or one name is that of fields of several types, which InfluxDB refuses, or of a tag too, which its queries do not find.
pub(super) fn is_listed(body: &str) -> bool {
    let mut types: BTreeMap<String, Option<Discriminant<FieldValue<'_>>>> = BTreeMap::new();
    points(body.as_bytes()).any(|point| match point {
        Err((_, "unbalanced quotes")) => true,
        Err((line, "invalid field value")) => line.contains('"'),
        Err((line, "missing fields" | "missing field key")) => line.contains(['\t', '\0']),
        Err(_) => false,
        Ok(point) => {
            let tags = point.tags.into_iter().map(|(key, _)| (key.into_owned(), None));
            let fields = point.fields.into_iter().map(|(key, value)| (key.into_owned(), Some(discriminant(&value))));
            tags.chain(fields).any(|(key, of_type)| *types.entry(key).or_insert(of_type) != of_type)
        }
    })
}

/// The same lines at each run.
fn line(random: &mut Rng) -> String {
    let parts: String = (0..random.usize(0..6)).map(|_| PARTS[random.usize(..PARTS.len())]).collect();
    match random.u8(..3) {
        0 => format!("m{parts}"),
        1 => format!("m,k{parts} f=1"),
        _ => format!("m{parts} f=1 1"),
    }
}

#[test]
#[ignore = "needs Debian's package influxdb: tests/run"]
fn with_influxdb_that_reads_lines_as_the_gateway_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = influxdb(folder.path(), free_port());
    let mut database = Database::new(&server);
    let mut random = Rng::with_seed(20);
    let mut differ = String::new();
    for _ in 0..LINES {
        let line = comparable(line(&mut random).as_bytes());
        let (ours, theirs) = (ours(line.as_bytes(), 1), database.store(line.as_bytes(), "ns"));
        if !theirs.is(&ours) && !is_listed(&line) {
            differ += &format!("{line:?}\n  ours   {ours:?}\n  theirs {:?}\n", theirs.points);
        }
    }
    assert!(differ.is_empty(), "{differ}");
    for (line, of_ours, of_theirs, why) in DIFFERENCES {
        let counts = (ours(line, 1).len(), database.store(line, "ns").points.len());
        assert_eq!(counts, (of_ours, of_theirs), "{:?}: {why}", String::from_utf8_lossy(line));
    }
}
