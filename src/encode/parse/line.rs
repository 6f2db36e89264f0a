//! Parses line protocol as InfluxDB does (docs.influxdata.com: line protocol reference), line by line: an invalid line
//! does not affect others.

use std::borrow::Cow;

/// A point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a> {
    /// The measurement.
    pub measurement: Cow<'a, str>,
    /// Tags in their original order.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Fields in their original order.
    pub fields: Vec<(Cow<'a, str>, FieldValue<'a>)>,
    /// The timestamp, in the precision of the request; none if the line has none.
    pub time: Option<i64>,
}

impl Point<'_> {
    /// The point as InfluxDB stores it: the name `time` is reserved for the timestamp.
    ///
    /// # Errors
    /// If it has a tag of this name, or no other field.
    pub fn without_time(mut self) -> Result<Self, &'static str> {
        if self.tags.iter().any(|(key, _)| key == "time") {
            return Err("invalid tag key: time");
        }
        self.fields.retain(|(key, _)| key != "time");
        if self.fields.is_empty() { Err("invalid field key: time") } else { Ok(self) }
    }

    /// The point, borrowing nothing.
    pub fn into_owned(self) -> Point<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let value = |value| match value {
            FieldValue::Integer(number) => FieldValue::Integer(number),
            FieldValue::Unsigned(number) => FieldValue::Unsigned(number),
            FieldValue::Float(number) => FieldValue::Float(number),
            FieldValue::Boolean(flag) => FieldValue::Boolean(flag),
            FieldValue::Text(text) => FieldValue::Text(owned(text)),
        };
        Point {
            measurement: owned(self.measurement),
            tags: self.tags.into_iter().map(|(key, value)| (owned(key), owned(value))).collect(),
            fields: self.fields.into_iter().map(|(key, of)| (owned(key), value(of))).collect(),
            time: self.time,
        }
    }

    /// The timestamp in nanoseconds, of which `unit` are one of the request's precision; none if the line has none.
    ///
    /// # Errors
    /// [`OUTSIDE_RANGE`]: a point that no other could follow would stay the newest of its series.
    pub fn nanoseconds(&self, unit: i64) -> Result<Option<i64>, &'static str> {
        /// InfluxDB reserves the numbers beyond, on both sides.
        const MAX: i64 = i64::MAX - 1;
        let Some(time) = self.time else { return Ok(None) };
        time.checked_mul(unit).filter(|time| (-MAX..=MAX).contains(time)).map(Some).ok_or(OUTSIDE_RANGE)
    }
}

/// Why a time that InfluxDB does not store is refused.
pub const OUTSIDE_RANGE: &str = "time outside range -9223372036854775806 - 9223372036854775806";

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// `1i`.
    Integer(i64),
    /// `1u`.
    Unsigned(u64),
    /// A finite number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A string.
    Text(Cow<'a, str>),
}

impl FieldValue<'_> {
    /// The value as a number, 1 and 0 for true and false; none for a string.
    pub fn number(&self) -> Option<f64> {
        match self {
            FieldValue::Integer(value) => Some(*value as f64),
            FieldValue::Unsigned(value) => Some(*value as f64),
            FieldValue::Float(value) => Some(*value),
            FieldValue::Boolean(value) => Some(f64::from(u8::from(*value))),
            FieldValue::Text(_) => None,
        }
    }
}

/// The points of a body; for an invalid line, the line and the reason.
pub fn points<'a>(body: &'a [u8]) -> impl Iterator<Item = Result<Point<'a>, (Cow<'a, str>, &'static str)>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (line, after) = rest.split_at(line_length(rest));
            rest = after.get(1..).unwrap_or_default();
            let trimmed = trim(line);
            if trimmed.is_empty() || trimmed.starts_with(b"#") {
                continue;
            }
            let Ok(text) = std::str::from_utf8(trimmed) else {
                return Some(Err((String::from_utf8_lossy(trimmed), "expected UTF-8")));
            };
            return Some(point(text).map_err(|reason| (Cow::Borrowed(text), reason)));
        }
    })
}

/// The length of the first line. It ends at a line feed that is neither escaped nor quoted.
fn line_length(body: &[u8]) -> usize {
    let plain_length = || memchr::memchr(b'\n', body).unwrap_or(body.len());
    if body.iter().find(|byte| !b" \t".contains(byte)) == Some(&b'#') {
        return plain_length();
    }
    let (mut at, mut spaces, mut is_quoted) = (0, 0, false);
    while at < body.len() {
        match body[at] {
            b'\\' => at += 1,
            b'"' if is_quoted => is_quoted = false,
            // Only field values are quoted: after the first space and an equals sign.
            b'"' if spaces == 1 && body[at - 1] == b'=' => is_quoted = true,
            // Leading, repeated and escaped spaces do not separate.
            b' ' if !is_quoted && at > 0 && !b" \\".contains(&body[at - 1]) => spaces += 1,
            b'\n' if !is_quoted => return at,
            _ => {}
        }
        at += 1;
    }
    // An unclosed quote does not extend the line.
    if is_quoted { plain_length() } else { body.len() }
}

/// The line without what InfluxDB skips before and after it.
fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\0', after @ ..] = line {
        line = after;
    }
    // Clients on Windows end lines with CR LF, which InfluxDB refuses after a field.
    while let [before @ .., b' ' | b'\r'] = line {
        line = before;
    }
    line
}

/// The characters that a backslash escapes in tags.
const IN_TAGS: &str = ",= ";
/// The same in measurements and field keys.
const IN_NAMES: &str = ",= \"";

fn point(line: &str) -> Result<Point<'_>, &'static str> {
    let (measurement, rest) = token(line, b", ");
    if measurement.is_empty() {
        return Err("missing measurement");
    }
    let mut point =
        Point { measurement: unescape(measurement, IN_NAMES), tags: Vec::new(), fields: Vec::new(), time: None };
    let mut rest = rest;
    while let Some(after) = rest.strip_prefix(',') {
        let (key, after) = token(after, b"=, ");
        let after = after.strip_prefix('=').ok_or("missing tag value")?;
        let (value, after) = tag_value(after)?;
        if key.is_empty() {
            return Err("missing tag key");
        }
        if value.is_empty() {
            return Err("missing tag value");
        }
        let key = unescape(key, IN_TAGS);
        if point.tags.iter().any(|(other, _)| *other == key) {
            return Err("duplicate tags");
        }
        point.tags.push((key, unescape(value, IN_TAGS)));
        rest = after;
    }
    let mut rest = rest.strip_prefix(' ').ok_or("missing fields")?.trim_start_matches([' ', '\t', '\0']);
    loop {
        let (key, after) = token(rest, b"=, ");
        let after =
            after.strip_prefix('=').ok_or(if key.is_empty() { "missing fields" } else { "missing field value" })?;
        if key.is_empty() {
            return Err("missing field key");
        }
        if is_separated(key) {
            return Err("missing field value");
        }
        let (value, after) = field_value(after)?;
        point.fields.push((unescape(key, IN_NAMES), value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                rest = after;
                break;
            }
        }
    }
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err("invalid field value");
    }
    let time = rest.trim_start_matches([' ', '\t', '\0']).trim_end_matches(' ');
    if !time.is_empty() {
        let is_unsigned = !time.starts_with('+');
        point.time = Some(time.parse().ok().filter(|_| is_unsigned).ok_or("bad timestamp")?);
    }
    Ok(point)
}

/// Splits a tag's value from the rest. Only its first character may be an equals sign without a backslash.
fn tag_value(text: &str) -> Result<(&str, &str), &'static str> {
    let first = text.len() - text.strip_prefix('=').unwrap_or(text).len();
    let (value, after) = token(&text[first..], b"=, ");
    if after.starts_with('=') { Err("invalid tag format") } else { Ok(text.split_at(first + value.len())) }
}

/// Splits `text` before the first of `ends` that does not follow a backslash. As in InfluxDB 1 and 2, a backslash
/// escapes the next character even after another backslash.
fn token<'t>(text: &'t str, ends: &[u8]) -> (&'t str, &'t str) {
    let bytes = text.as_bytes();
    let is_end = |&at: &usize| ends.contains(&bytes[at]) && (at == 0 || bytes[at - 1] != b'\\');
    text.split_at((0..bytes.len()).find(is_end).unwrap_or(bytes.len()))
}

/// Whether a field's key has a separator that follows an escaped backslash: in fields, as opposed to names and tags, InfluxDB
/// reads escapes in pairs too.
fn is_separated(key: &str) -> bool {
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'=' | b',' | b' ' => return true,
            _ => {}
        }
    }
    false
}

/// Removes each backslash before a `special` character. Other backslashes are literal.
fn unescape<'t>(text: &'t str, special: &str) -> Cow<'t, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut unescaped, mut characters) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some(next) if character == '\\' && special.contains(*next) => unescaped.extend(characters.next()),
            _ => unescaped.push(character),
        }
    }
    Cow::Owned(unescaped)
}

fn field_value(text: &str) -> Result<(FieldValue<'_>, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let bytes = quoted.as_bytes();
        let mut at = 0;
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' && bytes.get(at + 1).is_some_and(u8::is_ascii) { 2 } else { 1 };
        }
        let after = quoted.get(at + 1..).filter(|_| at < bytes.len()).ok_or("unbalanced quotes")?;
        return Ok((FieldValue::Text(unescape(&quoted[..at], "\"\\")), after));
    }
    let (value, after) = token(text, b", ");
    let (digits, last) = value.split_at(value.len() - value.chars().last().map_or(0, char::len_utf8));
    // Rust accepts a leading plus sign, InfluxDB does not.
    if value.starts_with('+') {
        return Err("invalid field value");
    }
    let value = match (value, last) {
        ("t" | "T" | "true" | "True" | "TRUE", _) => Some(FieldValue::Boolean(true)),
        ("f" | "F" | "false" | "False" | "FALSE", _) => Some(FieldValue::Boolean(false)),
        (_, "i") => digits.parse().ok().map(FieldValue::Integer),
        (_, "u") => digits.parse().ok().map(FieldValue::Unsigned),
        ("", _) => return Err("missing field value"),
        // `inf` and `nan` are rejected, as by InfluxDB.
        _ => value.parse().ok().filter(|number: &f64| number.is_finite()).map(FieldValue::Float),
    };
    value.map(|value| (value, after)).ok_or("invalid field value")
}

/// The point as text for tests: floats end in `f`.
#[cfg(test)]
pub(crate) fn shown(point: &Point<'_>) -> String {
    let tags: String = point.tags.iter().map(|(key, value)| format!(",{key}={value}")).collect();
    let value = |value: &FieldValue<'_>| match value {
        FieldValue::Integer(number) => format!("{number}i"),
        FieldValue::Unsigned(number) => format!("{number}u"),
        FieldValue::Float(number) => format!("{number}f"),
        FieldValue::Boolean(flag) => flag.to_string(),
        FieldValue::Text(text) => format!("\"{text}\""),
    };
    let fields: Vec<String> = point.fields.iter().map(|(key, of)| format!("{key}={}", value(of))).collect();
    let time = point.time.map(|time| format!(" {time}")).unwrap_or_default();
    format!("{}{tags} {}{time}", point.measurement, fields.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Result<Point<'_>, &'static str> {
        let mut all = points(line.as_bytes());
        let first = all.next().unwrap().map_err(|(_, reason)| reason);
        assert!(all.next().is_none(), "{line}");
        first
    }

    #[test]
    fn points_are_read() {
        let point = one("cpu\\ load,host=a\\,b,k\\=x=y usage=1.5,n=3i,u=7u,ok=t,s=\"a b,c=\\\"d\\\"\ne\" 17").unwrap();
        assert_eq!(point.measurement, "cpu load");
        assert_eq!(point.tags, [("host".into(), "a,b".into()), ("k=x".into(), "y".into())]);
        let values: Vec<_> = point.fields.iter().map(|(key, value)| (key.as_ref(), value.clone())).collect();
        assert_eq!(
            values,
            [
                ("usage", FieldValue::Float(1.5)),
                ("n", FieldValue::Integer(3)),
                ("u", FieldValue::Unsigned(7)),
                ("ok", FieldValue::Boolean(true)),
                ("s", FieldValue::Text("a b,c=\"d\"\ne".into()))
            ]
        );
        assert_eq!(point.time, Some(17));
        assert_eq!(one("a b=1").unwrap().time, None);
        let point = one("\0\ta\\=\\\"b,c== \0\td\\\"=1 \t7 ").unwrap();
        assert_eq!(
            (&*point.measurement, &*point.tags[0].1, &*point.fields[0].0, point.time),
            ("a=\"b", "=", "d\"", Some(7))
        );
    }

    #[test]
    fn what_is_no_point_says_why() {
        for (line, reason) in [
            ("cpu", "missing fields"),
            ("cpu ", "missing fields"),
            (",a=b c=1", "missing measurement"),
            ("cpu,host c=1", "missing tag value"),
            ("cpu,=a c=1", "missing tag key"),
            ("cpu,host= c=1", "missing tag value"),
            ("cpu,host=a=b c=1", "invalid tag format"),
            ("cpu,a=1,b=2,a=1 c=1", "duplicate tags"),
            ("cpu c=1\t", "invalid field value"),
            ("cpu c", "missing field value"),
            ("cpu c=", "missing field value"),
            ("cpu =1", "missing field key"),
            ("cpu c=x", "invalid field value"),
            ("cpu c=NaN", "invalid field value"),
            ("cpu c=1.5i", "invalid field value"),
            ("cpu c=\"x", "unbalanced quotes"),
            ("cpu c=1 x", "bad timestamp"),
            ("cpu c=\"x\"1", "invalid field value"),
            ("cpu c=1 +7", "bad timestamp"),
            ("cpu c=+1", "invalid field value"),
            ("cpu c=+1i", "invalid field value"),
            ("cpu\\\\ c=1", "missing fields"),
            ("cpu g\\\\ =1", "missing field value"),
            ("cpu g\\\\ h=1", "missing field value"),
            ("cpu g\\\\,h=1", "missing field value"),
            ("cpu g\\\\=h=1", "missing field value"),
        ] {
            assert_eq!(one(line), Err(reason), "{line}");
        }
    }

    #[test]
    fn the_name_of_the_timestamp_is_reserved() {
        let stored = |line| one(line).unwrap().without_time().map(|point| point.fields.len());
        assert_eq!(stored("m,time=x f=1"), Err("invalid tag key: time"));
        assert_eq!(stored("m time=1"), Err("invalid field key: time"));
        assert_eq!(stored("m time=1,f=1,g=2 5"), Ok(2));
    }

    #[test]
    fn times_that_influxdb_does_not_store_are_refused() {
        const SECOND: i64 = 1_000_000_000;
        for (unit, last) in [
            (1, i64::MAX - 1),
            (1_000, 9_223_372_036_854_775),
            (1_000_000, 9_223_372_036_854),
            (SECOND, 9_223_372_036),
            (60 * SECOND, 153_722_867),
            (3_600 * SECOND, 2_562_047),
        ] {
            for sign in [1, -1] {
                let at = |time: i64| one(&format!("m f=1 {time}")).unwrap().nanoseconds(unit);
                assert_eq!(at(sign * last), Ok(Some(sign * last * unit)));
                assert_eq!(at(sign * (last + 1)), Err(OUTSIDE_RANGE), "{last} {unit}");
            }
        }
        // Nanoseconds that are sent as seconds.
        assert_eq!(one("m f=1 1700000000000000000").unwrap().nanoseconds(SECOND), Err(OUTSIDE_RANGE));
        assert_eq!(one("m f=1 -9223372036854775808").unwrap().nanoseconds(1), Err(OUTSIDE_RANGE));
        assert_eq!(one("m f=1").unwrap().nanoseconds(SECOND), Ok(None));
    }

    #[test]
    fn a_backslash_escapes_what_follows_even_after_another() {
        let point = one("a\\\\ b,host=two\\\\ words,odd\\\\=key=c\\d s=\"x\ny\"").unwrap();
        assert_eq!(point.measurement, "a\\ b");
        assert_eq!(point.tags, [("host".into(), "two\\ words".into()), ("odd\\=key".into(), "c\\d".into())]);
        assert_eq!(point.fields, [("s".into(), FieldValue::Text("x\ny".into()))]);
    }

    #[test]
    fn a_line_that_is_wrong_takes_no_other_with_it() {
        let body = b"a b=1\n# a comment\n\nc d=\"open\ne f=2\n\xff g=1\nh i=3";
        let read: Vec<String> =
            points(body).map(|point| point.map_or("wrong".into(), |point| point.measurement.into())).collect();
        assert_eq!(read, ["a", "wrong", "e", "wrong", "h"]);
    }

    #[test]
    fn spaces_and_comments_keep_lines_together_and_apart() {
        let read = |body: &str| {
            points(body.as_bytes())
                .map(|point| point.map(|point| point.measurement.into_owned()).map_err(|(_, reason)| reason))
                .collect::<Vec<_>>()
        };
        let m = || Ok("m".to_owned());
        assert_eq!(read("  m  s=\"a\nb\"  7"), [m()]);
        for comment in ["# \\", "  # a=\"b", "# a b=\"c"] {
            assert_eq!(read(&format!("{comment}\nm f=1\n# \"\nm f=2")), [m(), m()], "{comment}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(body in prop::collection::vec(prop::sample::select(b"ab\\,= \"\n1i#t.\xc3\xbc".to_vec()), 0..60)) {
            points(&body).for_each(drop);
        }
    }
}
