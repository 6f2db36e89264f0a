//! Selects the metrics of a reading, and replaces counters by their increase.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::datums::{Datums, name_of};
use super::settings::Settings;
use crate::config::Globs;
use crate::encode::lines::RecordWriter;
use crate::encode::point::PointEncoder;
use crate::encode::tags::CommonTags;
use crate::encode::whole::{WholePoint, WholePoints};
use crate::encode::{PointWriter, Timestamp};
use crate::sinks::form::PointFormat;

/// Gauges that amazon-cloudwatch-agent names like counters. It puts their values.
const GAUGES: [&str; 2] = ["diskio_iops_in_progress", "net_speed"];

/// In nanoseconds.
const FORGOTTEN_AFTER: i64 = 3_600_000_000_000;

/// The selected points, as [`Datums`].
pub(super) struct Selected {
    settings: Settings,
    selection: Mutex<Selection>,
}

impl Selected {
    pub(super) fn new(settings: &Settings) -> Selected {
        let (metrics, deltas) = (settings.metrics.clone(), settings.deltas.clone());
        let selection = Mutex::new(Selection { metrics, deltas, last: HashMap::new() });
        Selected { settings: settings.clone(), selection }
    }
}

impl PointFormat for Selected {
    fn encode(&self, lines: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        let mut selection = self.selection.lock().unwrap_or_else(PoisonError::into_inner);
        Datums(&self.settings).encode(lines, &mut |encoder| selection.select(encoder, write));
    }
}

struct Selection {
    metrics: Globs,
    deltas: Globs,
    /// The last value of each counter, and when it was seen.
    last: HashMap<String, (f64, i64)>,
}

impl Selection {
    /// Passes the selected parts of the points that `write` writes to `encoder`.
    fn select(&mut self, encoder: &mut dyn PointEncoder, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        let (none, mut newest) = (CommonTags::default(), 0);
        write(&mut WholePoints::new(|point: &WholePoint, time: Timestamp| {
            newest = newest.max(time.0);
            let mut writer = PointWriter::new(&mut *encoder, &none, time);
            let mut selected = writer.free_point(point.measurement(), point.tags());
            for (field, value) in self.fields(point, time.0) {
                selected.free_field::<f64>(&[field], value);
            }
        }));
        // Forget counters that were not seen.
        if newest > 0 {
            self.last.retain(|_, (_, seen)| newest - *seen < FORGOTTEN_AFTER);
        }
    }

    fn fields<'p>(&mut self, point: &'p WholePoint, time: i64) -> Vec<(&'p str, f64)> {
        let mut fields = Vec::new();
        for (field, value) in point.fields() {
            let Some(value) = value.number() else { continue };
            let name = name_of(point.measurement(), field);
            if !self.metrics.matches(&name) {
                continue;
            }
            if !self.deltas.matches(&name) || GAUGES.contains(&name.as_str()) {
                fields.push((field, value));
                continue;
            }
            let series = format!("{name} {:?}", point.tags().collect::<Vec<_>>());
            let before = self.last.insert(series, (value, time));
            // The increase of a counter that was reset is unknown.
            if let Some(growth) = before.map(|(before, _)| value - before).filter(|growth| *growth >= 0.0) {
                fields.push((field, growth));
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::line::LineEncoder;
    use crate::encode::lines::Lines;

    /// Measurement, fields, time.
    type Written<'t> = (&'t str, &'t [(&'t str, f64)], i64);

    fn write(points: &[Written<'_>], encoder: &mut dyn PointEncoder) {
        let none = CommonTags::default();
        for (name, fields, time) in points {
            let mut writer = PointWriter::new(&mut *encoder, &none, Timestamp(*time));
            let mut point = writer.free_point(name, [("host", "h")].into_iter());
            for (field, value) in *fields {
                point.free_field::<f64>(&[field], *value);
            }
        }
    }

    #[test]
    fn what_is_wanted_is_left_and_counters_are_put_as_their_growth() {
        let globs = |patterns: &[&str]| Globs::new(patterns.iter().map(|p| (*p).to_owned()).collect()).unwrap();
        let mut selection = Selection {
            metrics: globs(&["mem_used*", "net_bytes_*"]),
            deltas: globs(&["net_*"]),
            last: HashMap::new(),
        };
        let mut select = |sent: f64, time: i64| {
            let mut lines = Lines::default();
            let reading: [Written<'_>; 3] = [
                ("mem", &[("used_percent", 5.0), ("free", 7.0)], time),
                ("net", &[("bytes_sent", sent)], time),
                ("cpu", &[("usage_idle", 1.0)], time),
            ];
            selection.select(&mut LineEncoder::new(&mut lines), &mut |encoder| write(&reading, encoder));
            String::from_utf8(lines.bytes().to_vec()).unwrap()
        };
        assert_eq!(select(100.0, 1), "mem,host=h used_percent=5 1\n");
        assert_eq!(select(130.0, 2), "mem,host=h used_percent=5 2\nnet,host=h bytes_sent=30 2\n");
        assert_eq!(select(10.0, 3), "mem,host=h used_percent=5 3\n", "it began anew");
        assert_eq!(select(15.0, 4), "mem,host=h used_percent=5 4\nnet,host=h bytes_sent=5 4\n");
    }
}
