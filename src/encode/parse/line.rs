//! Line protocol, as InfluxDB reads it (docs.influxdata.com: line protocol reference), one line at a time: a line that is
//! wrong does not take others with it.

use std::borrow::Cow;

/// A point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a> {
    /// The measurement.
    pub measurement: Cow<'a, str>,
    /// Tags as they came.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Fields as they came.
    pub fields: Vec<(Cow<'a, str>, FieldValue)>,
    /// The time, in the precision of the request; nothing if the line has none.
    pub time: Option<i64>,
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue {
    /// A number of any type, or 1 and 0 for true and false.
    Number(f64),
    /// A string; what it says is of no use to Prometheus.
    Text,
}

/// The points of a body, or why a line is none: the line and the reason.
pub fn points<'a>(body: &'a [u8]) -> impl Iterator<Item = Result<Point<'a>, (Cow<'a, str>, &'static str)>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (line, after) = next_line(rest);
            rest = after;
            let trimmed = line.trim_ascii();
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

/// A line ends at a line feed that no quoted field value holds.
fn next_line(body: &[u8]) -> (&[u8], &[u8]) {
    let (mut at, mut spaces, mut is_quoted) = (0, 0, false);
    while at < body.len() {
        match body[at] {
            b'\\' => at += 1,
            b'"' if is_quoted => is_quoted = false,
            // Only a field's value begins with a quote: after the first space, and after an equals sign.
            b'"' if spaces == 1 && body[at - 1] == b'=' => is_quoted = true,
            b' ' if !is_quoted => spaces += 1,
            b'\n' if !is_quoted => return (&body[..at], &body[at + 1..]),
            // An open quote: the line ends where it would without it.
            _ => {}
        }
        at += 1;
    }
    match memchr::memchr(b'\n', body) {
        Some(end) if is_quoted => (&body[..end], &body[end + 1..]),
        _ => (body, &[]),
    }
}

fn point(line: &str) -> Result<Point<'_>, &'static str> {
    let (measurement, rest) = token(line, b", ");
    if measurement.is_empty() {
        return Err("missing measurement");
    }
    let mut point =
        Point { measurement: unescape(measurement, ", "), tags: Vec::new(), fields: Vec::new(), time: None };
    let mut rest = rest;
    while let Some(after) = rest.strip_prefix(',') {
        let (key, after) = token(after, b"=, ");
        let after = after.strip_prefix('=').ok_or("missing tag value")?;
        let (value, after) = token(after, b", ");
        if key.is_empty() {
            return Err("missing tag key");
        }
        if value.is_empty() {
            return Err("missing tag value");
        }
        point.tags.push((unescape(key, ",= "), unescape(value, ",= ")));
        rest = after;
    }
    let mut rest = rest.strip_prefix(' ').ok_or("missing fields")?.trim_start_matches(' ');
    loop {
        let (key, after) = token(rest, b"=, ");
        let after =
            after.strip_prefix('=').ok_or(if key.is_empty() { "missing fields" } else { "missing field value" })?;
        if key.is_empty() {
            return Err("missing field key");
        }
        let (value, after) = field_value(after)?;
        point.fields.push((unescape(key, ",= "), value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                rest = after;
                break;
            }
        }
    }
    let time = rest.trim_matches(' ');
    if !time.is_empty() {
        point.time = Some(time.parse().map_err(|_| "bad timestamp")?);
    }
    Ok(point)
}

/// What stands before the first of `ends` that no backslash takes away, and the rest from it on.
fn token<'t>(text: &'t str, ends: &[u8]) -> (&'t str, &'t str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && !ends.contains(&bytes[at]) {
        at += if bytes[at] == b'\\' && bytes.get(at + 1).is_some_and(u8::is_ascii) { 2 } else { 1 };
    }
    text.split_at(at.min(text.len()))
}

/// A backslash takes the meaning of what follows away where that has one, and is itself otherwise.
fn unescape<'t>(text: &'t str, special: &str) -> Cow<'t, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut unescaped, mut characters) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some(next) if character == '\\' && special.contains(*next) => {}
            _ => unescaped.push(character),
        }
    }
    Cow::Owned(unescaped)
}

fn field_value(text: &str) -> Result<(FieldValue, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let bytes = quoted.as_bytes();
        let mut at = 0;
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' && bytes.get(at + 1).is_some_and(u8::is_ascii) { 2 } else { 1 };
        }
        let after = quoted.get(at + 1..).filter(|_| at < bytes.len()).ok_or("unbalanced quotes")?;
        return Ok((FieldValue::Text, after));
    }
    let (value, after) = token(text, b", ");
    let (digits, last) = value.split_at(value.len() - value.chars().last().map_or(0, char::len_utf8));
    let number = match (value, last) {
        ("t" | "T" | "true" | "True" | "TRUE", _) => Some(1.0),
        ("f" | "F" | "false" | "False" | "FALSE", _) => Some(0.0),
        (_, "i") => digits.parse::<i64>().ok().map(|number| number as f64),
        (_, "u") => digits.parse::<u64>().ok().map(|number| number as f64),
        ("", _) => return Err("missing field value"),
        // Names of what is no number are refused, as InfluxDB does.
        _ => value.parse::<f64>().ok().filter(|number| number.is_finite()),
    };
    number.map(|number| (FieldValue::Number(number), after)).ok_or("invalid field value")
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
        let values: Vec<_> = point.fields.iter().map(|(key, value)| (key.as_ref(), *value)).collect();
        let number = FieldValue::Number;
        assert_eq!(
            values,
            [
                ("usage", number(1.5)),
                ("n", number(3.0)),
                ("u", number(7.0)),
                ("ok", number(1.0)),
                ("s", FieldValue::Text)
            ]
        );
        assert_eq!(point.time, Some(17));
        assert_eq!(one("a b=1").unwrap().time, None);
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
            ("cpu c", "missing field value"),
            ("cpu c=", "missing field value"),
            ("cpu =1", "missing field key"),
            ("cpu c=x", "invalid field value"),
            ("cpu c=NaN", "invalid field value"),
            ("cpu c=1.5i", "invalid field value"),
            ("cpu c=\"x", "unbalanced quotes"),
            ("cpu c=1 x", "bad timestamp"),
        ] {
            assert_eq!(one(line), Err(reason), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_takes_no_other_with_it() {
        let body = b"a b=1\n# a comment\n\nc d=\"open\ne f=2\n\xff g=1\nh i=3";
        let read: Vec<String> =
            points(body).map(|point| point.map_or("wrong".into(), |point| point.measurement.into())).collect();
        assert_eq!(read, ["a", "wrong", "e", "wrong", "h"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(body in prop::collection::vec(prop::sample::select(b"ab\\,= \"\n1i#t.\xc3\xbc".to_vec()), 0..60)) {
            points(&body).for_each(drop);
        }
    }
}
