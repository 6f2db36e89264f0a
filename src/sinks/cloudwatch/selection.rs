//! What of a reading is put: the metrics that are wanted, and of counters the growth.

use std::collections::HashMap;

use super::settings::Settings;
use crate::config::Globs;
use crate::encode::PointWriter;
use crate::encode::parse::line::{FieldValue, Point, points};
use crate::encode::point::{CommonTags, Lines};
use crate::host::Timestamp;
use crate::sinks::state::Prepare;

/// Amazon's agent calls these by the names of counters, and puts what they are.
const GAUGES: [&str; 2] = ["diskio_iops_in_progress", "net_speed"];

/// In nanoseconds.
const FORGOTTEN_AFTER: i64 = 3_600_000_000_000;

/// The name by which a field is chosen, as amazon-cloudwatch-agent names it.
pub(super) fn name_of(measurement: &str, field: &str) -> String {
    format!("{measurement}_{field}")
}

/// Leaves of each reading what is wanted.
pub(in crate::sinks) fn preparation(settings: &Settings) -> Prepare {
    let mut selection =
        Selection { metrics: settings.metrics.clone(), deltas: settings.deltas.clone(), last: HashMap::new() };
    Box::new(move |lines| selection.select(&lines))
}

struct Selection {
    metrics: Globs,
    deltas: Globs,
    /// The last value of each counter, and the round in which it was seen.
    last: HashMap<String, (f64, i64)>,
}

impl Selection {
    fn select(&mut self, lines: &Lines) -> Lines {
        let mut selected = Lines::default();
        let none = CommonTags::default();
        let mut newest = 0;
        for point in points(lines.bytes()).filter_map(Result::ok) {
            let time = point.time.unwrap_or_default();
            newest = newest.max(time);
            let fields = self.fields(&point, time);
            if fields.is_empty() {
                continue;
            }
            let mut writer = PointWriter::new(&mut selected, &none, Timestamp(time));
            let tags = point.tags.iter().map(|(key, value)| (&**key, &**value));
            let mut out = writer.free_point(&point.measurement, tags);
            for (name, value) in fields {
                out.free_field::<f64>(&[name], value);
            }
        }
        // A counter that is gone is forgotten.
        if newest > 0 {
            self.last.retain(|_, (_, seen)| newest - *seen < FORGOTTEN_AFTER);
        }
        selected
    }

    fn fields<'p>(&mut self, point: &'p Point<'_>, time: i64) -> Vec<(&'p str, f64)> {
        let mut fields = Vec::new();
        for (field, value) in &point.fields {
            let FieldValue::Number(value) = value else { continue };
            let name = name_of(&point.measurement, field);
            if !self.metrics.matches(&name) {
                continue;
            }
            if !self.deltas.matches(&name) || GAUGES.contains(&name.as_str()) {
                fields.push((&**field, *value));
                continue;
            }
            let series = format!("{name} {:?}", point.tags);
            let before = self.last.insert(series, (*value, time));
            // One that began anew has grown by nobody knows how much.
            if let Some(growth) = before.map(|(before, _)| value - before).filter(|growth| *growth >= 0.0) {
                fields.push((&**field, growth));
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurement, fields, time.
    type Written<'t> = (&'t str, &'t [(&'t str, f64)], i64);

    fn lines(text: &[Written<'_>]) -> Lines {
        let (mut lines, none) = (Lines::default(), CommonTags::default());
        for (name, fields, time) in text {
            let mut writer = PointWriter::new(&mut lines, &none, Timestamp(*time));
            let mut point = writer.free_point(name, [("host", "h")].into_iter());
            for (field, value) in *fields {
                point.free_field::<f64>(&[field], *value);
            }
        }
        lines
    }

    #[test]
    fn what_is_wanted_is_left_and_counters_are_put_as_their_growth() {
        let globs = |patterns: &[&str]| Globs::new(patterns.iter().map(|p| (*p).to_owned()).collect()).unwrap();
        let mut selection = Selection {
            metrics: globs(&["mem_used*", "net_bytes_*"]),
            deltas: globs(&["net_*"]),
            last: HashMap::new(),
        };
        let reading = |sent: f64, time: i64| {
            lines(&[
                ("mem", &[("used_percent", 5.0), ("free", 7.0)], time),
                ("net", &[("bytes_sent", sent)], time),
                ("cpu", &[("usage_idle", 1.0)], time),
            ])
        };
        let mut select =
            |sent: f64, time: i64| String::from_utf8(selection.select(&reading(sent, time)).bytes().to_vec()).unwrap();
        assert_eq!(select(100.0, 1), "mem,host=h used_percent=5 1\n");
        assert_eq!(select(130.0, 2), "mem,host=h used_percent=5 2\nnet,host=h bytes_sent=30 2\n");
        assert_eq!(select(10.0, 3), "mem,host=h used_percent=5 3\n", "it began anew");
        assert_eq!(select(15.0, 4), "mem,host=h used_percent=5 4\nnet,host=h bytes_sent=5 4\n");
    }
}
