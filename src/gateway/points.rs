//! Points in line protocol as series: the last value of each, until it expires.
//!
//! Names are those of [`point_names`]. Points are in memory only, since clients write them repeatedly.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::exposition::scrape::OutputFormat;
use super::groups::size::{self, MeasuredMap};
use crate::encode::number::go_float;
use crate::encode::parse::line::Point;
use crate::encode::parse::model::Kind;
use crate::encode::point_names;
use crate::encode::pushed;

/// All series from points.
#[derive(Default)]
pub struct Points {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The values of each family, by their labels as text.
    families: BTreeMap<String, MeasuredMap<Box<str>, LastValue>>,
    series: usize,
    /// Bytes of memory of names, labels and values.
    bytes: usize,
    cleaned: Option<Instant>,
}

struct LastValue {
    value: f64,
    /// The time of the point, in nanoseconds.
    time: i64,
    deadline: Instant,
}

/// The limits of points.
#[derive(Clone, Copy, Debug)]
pub struct PointLimits {
    /// How long a series is retained after its last point.
    pub ttl: Duration,
    /// Number of series.
    pub max_series: usize,
    /// Bytes of memory of all series.
    pub max_bytes: usize,
    /// Labels of a series.
    pub max_labels: usize,
}

const HELP: &str = "Field of points in line protocol";

impl Points {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the numeric fields of a point. `is_taken` says whether another family has a name.
    ///
    /// # Errors
    /// The first field that is refused; the fields before it are stored.
    pub fn put(
        &self,
        point: &Point<'_>,
        time: i64,
        limits: &PointLimits,
        is_taken: &dyn Fn(&str) -> bool,
    ) -> Result<(), String> {
        let labels = labels(point, limits.max_labels)?;
        let deadline = Instant::now() + limits.ttl;
        let mut inner = self.lock();
        for (key, value) in &point.fields {
            let Some(value) = value.number() else { continue };
            let name = point_names::family(&point.measurement, key);
            if is_taken(&name) {
                return Err(format!("{name} is the name of a family that was pushed or is the gateway's own"));
            }
            let last = LastValue { value, time, deadline };
            match inner.families.get_mut(&name).and_then(|family| family.get_mut(labels.as_str())) {
                // An older point only extends the deadline.
                Some(known) if known.time > time => known.deadline = deadline,
                Some(known) => *known = last,
                None => inner.add(name, &labels, last, limits)?,
            }
        }
        Ok(())
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The type of the family of this name.
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        self.lock().families.contains_key(name).then_some(Kind::Untyped)
    }

    /// Number of series.
    pub fn series(&self) -> usize {
        self.lock().series
    }

    /// Removes expired series, at most every ten seconds.
    pub fn clean_up(&self, now: Instant) {
        const INTERVAL: Duration = Duration::from_secs(10);
        let mut inner = self.lock();
        if inner.cleaned.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            return;
        }
        inner.cleaned = Some(now);
        let (mut series, mut bytes) = (0, 0);
        inner.families.retain(|name, family| {
            family.retain(|_, last| last.deadline > now);
            series += family.len();
            let is_used = !family.is_empty();
            if is_used {
                bytes += family_bytes(name) + family.bytes() + family.keys().map(|labels| labels.len()).sum::<usize>();
            }
            is_used
        });
        (inner.series, inner.bytes) = (series, bytes);
    }

    /// Writes all families except those with names that `is_taken`. Passes each family to `drain`, and returns the last chunk.
    pub fn write(
        &self,
        format: OutputFormat,
        is_taken: &dyn Fn(&str) -> bool,
        drain: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Vec<u8> {
        let names: Vec<String> = self.lock().families.keys().cloned().collect();
        let mut out = Vec::new();
        for name in names.iter().filter(|name| !is_taken(name)) {
            let mut lines = Vec::new();
            if let Some(family) = self.lock().families.get(name) {
                let now = Instant::now();
                for (labels, last) in family.iter().filter(|(_, last)| last.deadline > now) {
                    lines.extend_from_slice(name.as_bytes());
                    lines.extend_from_slice(labels.as_bytes());
                    lines.push(b' ');
                    lines.extend_from_slice(go_float(last.value).as_bytes());
                    lines.push(b'\n');
                }
            }
            match format {
                _ if lines.is_empty() => {}
                OutputFormat::Text(escaping) => {
                    pushed::push_header(&mut out, name, Kind::Untyped, HELP, escaping);
                    out.append(&mut lines);
                }
                OutputFormat::Protobuf(_) => push_message(&mut out, name, &lines),
            }
            drain(&mut out);
        }
        out
    }
}

impl Inner {
    /// Adds a series.
    ///
    /// # Errors
    /// A limit is reached.
    fn add(&mut self, name: String, labels: &str, last: LastValue, limits: &PointLimits) -> Result<(), String> {
        if self.series >= limits.max_series {
            return Err(format!(
                "there are {} series of points already: [gateway] max_point_series",
                limits.max_series
            ));
        }
        let of_new = if self.families.contains_key(&name) { 0 } else { family_bytes(&name) };
        let one = size_of::<(Box<str>, LastValue)>() + labels.len();
        if self.bytes + of_new + one > limits.max_bytes {
            return Err("there is no room for more points beside the groups: [gateway] max_total_bytes".to_owned());
        }
        let family = self.families.entry(name).or_default();
        let before = family.bytes();
        family.insert(labels.into(), last);
        self.bytes = self.bytes + of_new + labels.len() + family.bytes() - before;
        self.series += 1;
        Ok(())
    }
}

/// Bytes of a family without its series.
fn family_bytes(name: &str) -> usize {
    name.len() + size::tree_entry::<String, MeasuredMap<Box<str>, LastValue>>()
}

fn push_message(out: &mut Vec<u8>, name: &str, lines: &[u8]) {
    let mut metrics = Vec::new();
    crate::gateway::groups::block::decode(name, Kind::Untyped, HELP, false, lines, &mut |family| {
        family.metrics.iter().for_each(|metric| pushed::push_metric_message(&mut metrics, Kind::Untyped, metric));
    });
    pushed::push_family_message(out, name, Kind::Untyped, HELP, &metrics);
}

/// A point's tags as sorted labels in the text format.
fn labels(point: &Point<'_>, max: usize) -> Result<String, String> {
    let labels = point_names::labels(point.tags.iter().map(|(key, value)| (&**key, &**value)))?;
    if labels.len() > max {
        return Err(format!("more than {max} tags: [gateway] max_labels"));
    }
    let mut text = Vec::new();
    for (index, (label, value)) in labels.iter().enumerate() {
        text.push(if index == 0 { b'{' } else { b',' });
        text.extend_from_slice(label.as_bytes());
        text.extend_from_slice(b"=\"");
        pushed::push_value(&mut text, value);
        text.push(b'"');
    }
    if !text.is_empty() {
        text.push(b'}');
    }
    String::from_utf8(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::names::Escaping;
    use crate::encode::parse::line::points;

    fn written(points: &Points) -> String {
        let (mut text, mut rest) = (Vec::new(), Vec::new());
        let drain = &mut |part: &mut Vec<u8>| text.append(part);
        rest.append(&mut points.write(OutputFormat::Text(Escaping::Values), &|name| name == "taken", drain));
        text.append(&mut rest);
        String::from_utf8(text).unwrap()
    }

    const LIMITS: PointLimits =
        PointLimits { ttl: Duration::from_secs(60), max_series: 4, max_bytes: 10_000, max_labels: 2 };

    fn put(all: &Points, line: &str, time: i64, limits: &PointLimits) -> Result<(), String> {
        let point = points(line.as_bytes()).next().unwrap().unwrap();
        all.put(&point, time, limits, &|name| name == "taken")
    }

    #[test]
    fn names_are_those_of_influxdb_exporter() {
        let all = Points::default();
        put(&all, "cpu-load,host=a\\ \"b\\\",1x=2 value=1,us\u{fc}age=2.5,text=\"x\",ok=true", 1, &LIMITS).unwrap();
        let text = written(&all);
        for line in [
            "cpu_load{_1x=\"2\",host=\"a \\\"b\\\\\\\"\"} 1\n",
            "cpu_load_us_age{",
            "cpu_load_ok{",
            "# TYPE cpu_load untyped\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("text"));
    }

    #[test]
    fn the_latest_by_its_own_time_stays_until_it_is_not_renewed() {
        let all = Points::default();
        put(&all, "a value=1", 10, &LIMITS).unwrap();
        put(&all, "a value=2", 9, &LIMITS).unwrap();
        assert!(written(&all).contains("\na 1\n"));
        put(&all, "a value=3", 10, &LIMITS).unwrap();
        assert!(written(&all).contains("\na 3\n"));
        put(&all, "b value=3", 10, &PointLimits { ttl: Duration::ZERO, ..LIMITS }).unwrap();
        assert!(!written(&all).contains("\nb "));
        assert_eq!(all.series(), 2);
        all.clean_up(Instant::now());
        assert_eq!(all.series(), 1);
    }

    #[test]
    fn what_cannot_be_taken_is_told() {
        let all = Points::default();
        for (line, error) in [
            ("a,__x=1 value=1", "the tag \"__x\" would be a reserved label"),
            ("a,x-y=1,x.y=2 value=1", "two tags would be the same label, x_y"),
            ("a,a=1,b=2,c=3 value=1", "more than 2 tags"),
            ("taken value=1", "taken is the name of a family"),
        ] {
            let found = put(&all, line, 1, &LIMITS).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        for number in 0..4 {
            put(&all, &format!("a{number} value=1"), 1, &LIMITS).unwrap();
        }
        assert!(put(&all, "b value=1", 1, &LIMITS).unwrap_err().contains("max_point_series"));
        put(&all, "a1 value=2", 1, &LIMITS).unwrap();
        let little = PointLimits { max_series: 100, max_bytes: all.bytes() + 100, ..LIMITS };
        put(&all, "a1,l=1 value=2", 1, &PointLimits { max_bytes: 10_000, ..little }).unwrap();
        let long = format!("a1,l={} value=2", "x".repeat(200));
        assert!(put(&all, &long, 1, &little).unwrap_err().contains("max_total_bytes"));
    }
}
