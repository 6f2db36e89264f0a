//! Points that came as line protocol, as series: the last value of each, until it is not renewed in time.
//!
//! Names are influxdb_exporter's: `measurement_field`, or `measurement` for a field called `value`; what a name cannot hold
//! becomes an underscore. They are kept in memory alone, as whoever writes them writes them again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::room::{self, Table};
use super::scrape::Shape;
use crate::encode::parse::line::{FieldValue, Point};
use crate::encode::parse::model::Kind;
use crate::encode::pushed;

/// All series that came as points.
#[derive(Default)]
pub struct Points {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Values by their labels as text, by name.
    families: BTreeMap<String, Table<Box<str>, Held>>,
    series: usize,
    /// What names, labels and values take of memory.
    bytes: usize,
    collected: Option<Instant>,
}

struct Held {
    value: f64,
    /// The point's own time in nanoseconds.
    time: i64,
    deadline: Instant,
}

/// What holds for points that are written.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a series stays that is not written again.
    pub ttl: Duration,
    /// How many series there may be.
    pub most: usize,
    /// How many bytes of memory all of them may take.
    pub most_bytes: usize,
    /// Labels of a series.
    pub labels: usize,
}

const HELP: &str = "A field of points that were written as line protocol.";

impl Points {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the numbers of a point. `is_taken` says whether a name is somebody else's.
    ///
    /// # Errors
    /// Why one of them cannot be taken; those before it were.
    pub fn put(
        &self,
        point: &Point<'_>,
        time: i64,
        terms: &Terms,
        is_taken: &dyn Fn(&str) -> bool,
    ) -> Result<(), String> {
        let labels = labels(point, terms.labels)?;
        let deadline = Instant::now() + terms.ttl;
        let mut inner = self.lock();
        for (key, value) in &point.fields {
            let FieldValue::Number(value) = *value else { continue };
            let name = name(&point.measurement, key);
            if is_taken(&name) {
                return Err(format!("{name} is the name of a family that was pushed or is the gateway's own"));
            }
            let held = Held { value, time, deadline };
            match inner.families.get_mut(&name).and_then(|family| family.get_mut(labels.as_str())) {
                // One that is older than what is there comes too late.
                Some(known) if known.time > time => known.deadline = deadline,
                Some(known) => *known = held,
                None => inner.add(name, &labels, held, terms)?,
            }
        }
        Ok(())
    }

    /// What they take of memory.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.lock().series
    }

    /// Lets go of what was not renewed in time.
    pub fn collect(&self, now: Instant) {
        const EVERY: Duration = Duration::from_secs(10);
        let mut inner = self.lock();
        if inner.collected.is_some_and(|last| now.duration_since(last) < EVERY) {
            return;
        }
        inner.collected = Some(now);
        let (mut series, mut bytes) = (0, 0);
        inner.families.retain(|name, family| {
            family.retain(|_, held| held.deadline > now);
            series += family.len();
            let is_there = !family.is_empty();
            if is_there {
                bytes += of_family(name) + family.bytes() + family.keys().map(|labels| labels.len()).sum::<usize>();
            }
            is_there
        });
        (inner.series, inner.bytes) = (series, bytes);
    }

    /// Writes all families but those whose names `is_taken` by others, a family at a time.
    pub fn write(&self, shape: Shape, is_taken: &dyn Fn(&str) -> bool, drain: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
        let names: Vec<String> = self.lock().families.keys().cloned().collect();
        let mut out = Vec::new();
        for name in names.iter().filter(|name| !is_taken(name)) {
            let mut lines = Vec::new();
            if let Some(family) = self.lock().families.get(name) {
                let now = Instant::now();
                for (labels, held) in family.iter().filter(|(_, held)| held.deadline > now) {
                    lines.extend_from_slice(name.as_bytes());
                    lines.extend_from_slice(labels.as_bytes());
                    lines.push(b' ');
                    lines.extend_from_slice(pushed::go_float(held.value).as_bytes());
                    lines.push(b'\n');
                }
            }
            match shape {
                _ if lines.is_empty() => {}
                Shape::Text(names) => {
                    pushed::push_head(&mut out, name, Kind::Untyped, HELP, names);
                    out.append(&mut lines);
                }
                Shape::Protobuf => push_message(&mut out, name, &lines),
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
    /// That there is no room for it.
    fn add(&mut self, name: String, labels: &str, held: Held, terms: &Terms) -> Result<(), String> {
        if self.series >= terms.most {
            return Err(format!("there are {} series of points already: [gateway] max_point_series", terms.most));
        }
        let of_new = if self.families.contains_key(&name) { 0 } else { of_family(&name) };
        let one = size_of::<(Box<str>, Held)>() + labels.len();
        if self.bytes + of_new + one > terms.most_bytes {
            return Err("there is no room for more points beside the groups: [gateway] max_total_bytes".to_owned());
        }
        let family = self.families.entry(name).or_default();
        let before = family.bytes();
        family.insert(labels.into(), held);
        self.bytes = self.bytes + of_new + labels.len() + family.bytes() - before;
        self.series += 1;
        Ok(())
    }
}

/// What a family takes beside its series.
fn of_family(name: &str) -> usize {
    name.len() + room::in_tree::<String, Table<Box<str>, Held>>()
}

fn push_message(out: &mut Vec<u8>, name: &str, lines: &[u8]) {
    let mut metrics = Vec::new();
    super::block::read(name, Kind::Untyped, HELP, false, lines, &mut |family| {
        family.metrics.iter().for_each(|metric| pushed::push_metric_message(&mut metrics, Kind::Untyped, metric));
    });
    pushed::push_family_message(out, name, Kind::Untyped, HELP, &metrics);
}

/// What a field's series is called.
fn name(measurement: &str, key: &str) -> String {
    match key {
        "value" => plain(measurement),
        key => plain(&format!("{measurement}_{key}")),
    }
}

/// A name that text 0.0.4 has room for.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len() + 1);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        plain.push('_');
    }
    plain.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    plain
}

/// A point's tags as labels, in order, as they are written.
fn labels(point: &Point<'_>, most: usize) -> Result<String, String> {
    let mut labels: BTreeMap<String, &str> = BTreeMap::new();
    for (key, value) in point.tags.iter().filter(|(key, _)| key != "__name__") {
        let label = plain(key);
        if label.starts_with("__") {
            return Err(format!("the tag {key:?} would be a reserved label, {label}"));
        }
        if labels.insert(label.clone(), value).is_some() {
            return Err(format!("two tags would be the same label, {label}"));
        }
    }
    if labels.len() > most {
        return Err(format!("more than {most} tags: [gateway] max_labels"));
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
    use crate::encode::parse::line::points;
    use crate::encode::pushed::Names;

    fn written(points: &Points) -> String {
        let (mut text, mut rest) = (Vec::new(), Vec::new());
        let drain = &mut |part: &mut Vec<u8>| text.append(part);
        rest.append(&mut points.write(Shape::Text(Names::Escaped), &|name| name == "taken", drain));
        text.append(&mut rest);
        String::from_utf8(text).unwrap()
    }

    const TERMS: Terms = Terms { ttl: Duration::from_secs(60), most: 4, most_bytes: 10_000, labels: 2 };

    fn put(all: &Points, line: &str, time: i64, terms: &Terms) -> Result<(), String> {
        let point = points(line.as_bytes()).next().unwrap().unwrap();
        all.put(&point, time, terms, &|name| name == "taken")
    }

    #[test]
    fn names_are_those_of_influxdb_exporter() {
        let all = Points::default();
        put(&all, "cpu-load,host=a\\ \"b\\\",1x=2 value=1,us\u{fc}age=2.5,text=\"x\",ok=true", 1, &TERMS).unwrap();
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
        put(&all, "a value=1", 10, &TERMS).unwrap();
        put(&all, "a value=2", 9, &TERMS).unwrap();
        assert!(written(&all).contains("\na 1\n"));
        put(&all, "a value=3", 10, &TERMS).unwrap();
        assert!(written(&all).contains("\na 3\n"));
        put(&all, "b value=3", 10, &Terms { ttl: Duration::ZERO, ..TERMS }).unwrap();
        assert!(!written(&all).contains("\nb "));
        assert_eq!(all.series(), 2);
        all.collect(Instant::now());
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
            let found = put(&all, line, 1, &TERMS).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        for number in 0..4 {
            put(&all, &format!("a{number} value=1"), 1, &TERMS).unwrap();
        }
        assert!(put(&all, "b value=1", 1, &TERMS).unwrap_err().contains("max_point_series"));
        put(&all, "a1 value=2", 1, &TERMS).unwrap();
        let little = Terms { most: 100, most_bytes: all.bytes() + 100, ..TERMS };
        put(&all, "a1,l=1 value=2", 1, &Terms { most_bytes: 10_000, ..little }).unwrap();
        let long = format!("a1,l={} value=2", "x".repeat(200));
        assert!(put(&all, &long, 1, &little).unwrap_err().contains("max_total_bytes"));
    }
}
