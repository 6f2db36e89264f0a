//! Parses the output of Nagios plugins (nagios-plugins.org: plugin development guidelines) into Telegraf's points.
//!
//! The first line is `text|performance data`; further lines are long text until one has `|`, and performance data after
//! it.

use std::borrow::Cow;

use super::line::{FieldValue, Point};

/// The state of a plugin that ended with another status than 0, 1 or 2.
const UNKNOWN: i64 = 3;

/// Points of the output of a plugin that ended with `status`; `None` if it did not end by itself. Performance data that
/// are malformed are reported to `problem` and left out.
pub fn points(output: &str, status: Option<i32>, problem: &mut dyn FnMut(String)) -> Vec<Point<'static>> {
    let mut points = Vec::new();
    let mut lines = output.lines();
    let (text, data) = split(lines.next().unwrap_or_default());
    perf_data(data, &mut points, problem);
    let (mut long, mut is_data) = (Vec::new(), false);
    for line in lines {
        if is_data {
            perf_data(line, &mut points, problem);
            continue;
        }
        let (text, data) = split(line);
        long.push(text);
        is_data = line.contains('|');
        perf_data(data, &mut points, problem);
    }
    let long = long.join("\n");
    let mut fields = vec![field("service_output", FieldValue::Text(text.to_owned().into()))];
    if !long.trim().is_empty() {
        fields.push(field("long_service_output", FieldValue::Text(long.into())));
    }
    let state = status.map(i64::from).filter(|status| (0..=UNKNOWN).contains(status)).unwrap_or(UNKNOWN);
    fields.push(field("state", FieldValue::Integer(state)));
    points.push(Point { measurement: "nagios_state".into(), tags: Vec::new(), fields, time: None });
    points
}

/// The text of a line, and the performance data after its first `|`.
fn split(line: &str) -> (&str, &str) {
    let (text, data) = line.split_once('|').unwrap_or((line, ""));
    (text.trim(), data)
}

fn field(name: &'static str, value: FieldValue<'static>) -> (Cow<'static, str>, FieldValue<'static>) {
    (name.into(), value)
}

/// Appends a point for each `label=value[unit];[warning];[critical];[minimum];[maximum]`.
fn perf_data(mut data: &str, points: &mut Vec<Point<'static>>, problem: &mut dyn FnMut(String)) {
    loop {
        data = data.trim_start();
        if data.is_empty() {
            return;
        }
        let Some((label, rest)) = label(data) else {
            let what = data.split_whitespace().next().unwrap_or_default();
            problem(format!("performance data: expected label=value, found {:?}", shortened(what)));
            data = &data[what.len()..];
            continue;
        };
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (values, after) = rest.split_at(end);
        data = after;
        match point(&label, values) {
            Ok(Some(point)) => points.push(point),
            // "U" is a value that the plugin could not determine.
            Ok(None) => {}
            Err(what) => problem(format!("performance data of {:?}: {what}", shortened(&label))),
        }
    }
}

/// A label, which may be in single quotes with each quote in it doubled, and what follows its `=`.
fn label(data: &str) -> Option<(String, &str)> {
    let Some(mut rest) = data.strip_prefix('\'') else {
        let (label, rest) = data.split_once('=')?;
        return (!label.is_empty() && !label.contains(char::is_whitespace)).then(|| (label.to_owned(), rest));
    };
    let mut label = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        label.push_str(part);
        if let Some(rest) = after.strip_prefix('=') {
            return (!label.is_empty()).then_some((label, rest));
        }
        rest = after.strip_prefix('\'')?;
        label.push('\'');
    }
}

fn point(label: &str, values: &str) -> Result<Option<Point<'static>>, String> {
    let mut parts = values.split(';');
    let value = parts.next().unwrap_or_default();
    let end = value.find(|c: char| !(c.is_ascii_digit() || ".-+eE,".contains(c))).unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    if number.is_empty() && unit == "U" {
        return Ok(None);
    }
    // Exponents: "1e3" is a number, and the unit of "1EB" begins with a letter that a number may have.
    let digits = number.trim_end_matches(['e', 'E', '+', '-']);
    let unit = &value[digits.len()..value.len() - (unit.len() - unit.trim_end().len())];
    let number = parse(digits).ok_or_else(|| format!("expected a number, found {:?}", shortened(value)))?;
    let mut fields = vec![field("value", FieldValue::Float(number))];
    for (low, high) in [("warning", parts.next()), ("critical", parts.next())] {
        if let Some(range) = high.filter(|range| !range.is_empty()) {
            thresholds(low, range, &mut fields);
        }
    }
    for (name, bound) in [("min", parts.next()), ("max", parts.next())] {
        if let Some(bound) = bound.and_then(parse) {
            fields.push(field(name, FieldValue::Float(bound)));
        }
    }
    let mut tags: Vec<(Cow<'static, str>, Cow<'static, str>)> = vec![("perfdata".into(), label.to_owned().into())];
    if !unit.is_empty() {
        tags.push(("unit".into(), unit.to_owned().into()));
    }
    Ok(Some(Point { measurement: "nagios".into(), tags, fields, time: None }))
}

/// A finite number. Some locales write a comma.
fn parse(text: &str) -> Option<f64> {
    let number = if text.contains(',') { text.replace(',', ".").parse() } else { text.parse() };
    number.ok().filter(|number: &f64| number.is_finite())
}

/// Appends the bounds of a range: `10`, `10:`, `~:10`, `10:20`, `@10:20`. An infinite bound is left out.
fn thresholds(which: &'static str, range: &str, fields: &mut Vec<(Cow<'static, str>, FieldValue<'static>)>) {
    let (range, is_inside) = range.strip_prefix('@').map_or((range, false), |range| (range, true));
    let (low, high) = range.split_once(':').unwrap_or(("", range));
    let (low_name, high_name) = match (which, is_inside) {
        ("warning", false) => ("warning_lt", "warning_gt"),
        ("warning", true) => ("warning_le", "warning_ge"),
        (_, false) => ("critical_lt", "critical_gt"),
        (_, true) => ("critical_le", "critical_ge"),
    };
    let low = match low {
        "" => Some(0.0),
        "~" => None,
        low => match parse(low) {
            Some(low) => Some(low),
            None => return,
        },
    };
    let bounds = [(low_name, low), (high_name, parse(high))];
    if high.is_empty() || bounds[1].1.is_some() {
        let known = bounds.into_iter().filter_map(|(name, bound)| Some((name, bound?)));
        fields.extend(known.map(|(name, bound)| field(name, FieldValue::Float(bound))));
    }
}

/// The text, cut to 64 characters.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::parse::line::shown;

    fn read(output: &str, status: Option<i32>) -> (Vec<String>, Vec<String>) {
        let mut problems = Vec::new();
        let points = points(output, status, &mut |problem| problems.push(problem));
        (points.iter().map(shown).collect(), problems)
    }

    #[test]
    fn performance_data_and_state_are_telegrafs_points() {
        // What Telegraf 1.37.2 writes, except for the bound "~": it sends 5e-324.
        let output = "DISK WARNING - free 20% | /=2643MB;5948;5958;0;5968 /boot=68MB;~:88;@10:20;0;98\n";
        let (points, problems) = read(output, Some(1));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            points,
            [
                "nagios,perfdata=/,unit=MB value=2643f,warning_lt=0f,warning_gt=5948f,critical_lt=0f,critical_gt=5958f,min=0f,max=5968f",
                "nagios,perfdata=/boot,unit=MB value=68f,warning_gt=88f,critical_le=10f,critical_ge=20f,min=0f,max=98f",
                "nagios_state service_output=\"DISK WARNING - free 20%\",state=1i",
            ]
        );
    }

    #[test]
    fn long_output_and_quoted_labels_are_read() {
        let (points, problems) =
            read("OK|'a b''c'=1.5s\nmore\nand more | x=0,5%;;~:3\ny=-1c;10: z=1e3KB u=U\n", Some(0));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            points,
            [
                "nagios,perfdata=a b'c,unit=s value=1.5f",
                "nagios,perfdata=x,unit=% value=0.5f,critical_gt=3f",
                "nagios,perfdata=y,unit=c value=-1f,warning_lt=10f",
                "nagios,perfdata=z,unit=KB value=1000f",
                "nagios_state service_output=\"OK\",long_service_output=\"more\nand more\",state=0i",
            ]
        );
    }

    #[test]
    fn malformed_data_cost_themselves_alone() {
        let (points, problems) = read("OK|nonsense a=1 b=x =3 c=2;x:y;1:2:3 'd=4", Some(9));
        assert_eq!(
            points,
            ["nagios,perfdata=a value=1f", "nagios,perfdata=c value=2f", "nagios_state service_output=\"OK\",state=3i"]
        );
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(read("", None).0, ["nagios_state service_output=\"\",state=3i"]);
        assert_eq!(read("a|b=1e|c=2", Some(0)).0[0], "nagios,perfdata=b,unit=e|c=2 value=1f");
    }
}
