//! Folds points into the datums of one request.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StatisticSet};

use super::settings::Settings;
use crate::encode::Timestamp;
use crate::encode::lines::{Lines, RecordWriter};
use crate::encode::point::PointEncoder;
use crate::encode::whole::{WholePoint, WholePoints};
use crate::sinks::form::{OWN_FORMAT, PointFormat, own_format};

/// Maximum datums in a request.
const MAX_DATUMS: usize = 1000;
/// Maximum uncompressed bytes of a request.
const MAX_BYTES: usize = 1_000_000;
/// Maximum distinct values in a datum; more become a statistic set.
const MAX_VALUES: usize = 150;
/// Maximum dimensions of a datum.
const MAX_DIMENSIONS: usize = 30;
/// The tag that an instance's own dimensions replace.
const HOST: &str = "host";
const MAX_NAME: usize = 255;
const MAX_DIMENSION_VALUE: usize = 1024;

/// Upper bounds of the encoded size of a datum without names and values, of a dimension, and of a value.
const DATUM_BYTES: usize = 160;
const DIMENSION_BYTES: usize = 24;
const VALUE_BYTES: usize = 18;

/// The content of one request.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The metrics, with their values.
    folded: BTreeMap<Key, Values>,
    bytes: usize,
    /// The number of leading points in it.
    pub(super) points: usize,
    /// Values out of the range that CloudWatch accepts.
    pub(super) refused: u64,
}

/// Values with the same key share a datum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    dimensions: Vec<(String, String)>,
    /// Start of its minute or second, in seconds since 1970.
    at: i64,
}

impl Key {
    /// Adds dimensions, those of an instance instead of the host's name.
    fn append(&mut self, appended: &[(String, String)]) {
        self.dimensions.retain(|(name, _)| name != HOST && !appended.iter().any(|(other, _)| other == name));
        self.dimensions.truncate(MAX_DIMENSIONS - appended.len());
        self.dimensions.extend_from_slice(appended);
        self.dimensions.sort();
    }

    /// The same metric by these dimensions alone, if it has them and others.
    fn by(&self, names: &[String]) -> Option<Key> {
        let is_of_set = |(name, _): &&(String, String)| names.contains(name);
        let dimensions: Vec<_> = self.dimensions.iter().filter(is_of_set).cloned().collect();
        let is_other = dimensions.len() == names.len() && dimensions.len() < self.dimensions.len();
        is_other.then(|| Key { name: self.name.clone(), dimensions, at: self.at })
    }
}

/// Adds each value by each set of dimensions that its metric has.
fn aggregate(values: &mut Vec<(Key, f64)>, sets: &[Vec<String>]) {
    let by_set = |(key, value): &(Key, f64)| -> Vec<(Key, f64)> {
        sets.iter().filter_map(|names| Some((key.by(names)?, *value))).collect()
    };
    let more: Vec<_> = values.iter().flat_map(by_set).collect();
    values.extend(more);
}

/// The count of each value, by its bits. Values that are not negative are in numerical order.
type Values = BTreeMap<u64, f64>;

impl Request {
    /// The leading records of `lines` that fit into one request. `appended` are dimensions of all.
    pub(super) fn of_first(lines: &Lines, settings: &Settings, appended: &[(String, String)]) -> Request {
        let mut request = Request::default();
        for record in lines.iter() {
            // An invalid record takes no space, and is sent with the others.
            let own = own_format(record, &Datums(settings));
            let values = own.and_then(|own| values_of(&own, settings.resolution));
            let (mut added, refused) = values.unwrap_or_default();
            if !settings.append_dimensions.is_empty() {
                added.iter_mut().for_each(|(key, _)| key.append(appended));
            }
            aggregate(&mut added, &settings.aggregation_dimensions);
            if request.points > 0 && !request.has_space_for(&added) {
                break;
            }
            request.add(added);
            request.refused += refused;
            request.points += 1;
        }
        request
    }

    fn has_space_for(&self, values: &[(Key, f64)]) -> bool {
        let is_new = |(key, _): &&(Key, f64)| !self.folded.contains_key(key);
        let new: Vec<usize> = values.iter().filter(is_new).map(|(key, _)| size_of(key)).collect();
        let of_known = (values.len() - new.len()) * VALUE_BYTES;
        self.folded.len() + new.len() <= MAX_DATUMS && self.bytes + new.iter().sum::<usize>() + of_known <= MAX_BYTES
    }

    fn add(&mut self, values: Vec<(Key, f64)>) {
        for (key, value) in values {
            let is_new = !self.folded.contains_key(&key);
            self.bytes += if is_new { size_of(&key) } else { VALUE_BYTES };
            // Unify 0 and -0.
            let value = if value == 0.0 { 0.0 } else { value };
            *self.folded.entry(key).or_default().entry(value.to_bits()).or_default() += 1.0;
        }
    }

    /// Whether there are no datums.
    pub(super) fn is_empty(&self) -> bool {
        self.folded.is_empty()
    }

    /// The datums.
    pub(super) fn datums(&self, resolution: Duration) -> Vec<MetricDatum> {
        let datum = |(key, values): (&Key, &Values)| {
            let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
            let datum = MetricDatum::builder()
                .metric_name(&key.name)
                .set_dimensions(Some(key.dimensions.iter().map(dimension).collect()))
                .timestamp(DateTime::from_secs(key.at))
                .storage_resolution(resolution.as_secs() as i32);
            let seen = || values.iter().map(|(bits, count)| (f64::from_bits(*bits), *count));
            let mut all = seen();
            match (all.next(), all.next()) {
                (Some((value, 1.0)), None) => datum.value(value),
                _ if values.len() <= MAX_VALUES => {
                    let (values, counts) = seen().unzip();
                    datum.set_values(Some(values)).set_counts(Some(counts))
                }
                _ => datum.statistic_values(statistics(seen())),
            }
            .build()
        };
        self.folded.iter().map(datum).collect()
    }
}

const NANOSECONDS: i64 = 1_000_000_000;

/// The metric name of a field, as in amazon-cloudwatch-agent.
pub(super) fn name_of(measurement: &str, field: &str) -> String {
    format!("{measurement}_{field}")
}

/// The format of selected points. A record is text: a line with the seconds since 1970, a line for each dimension, an
/// empty line, and a line for each value with its name. Names contain no control characters.
pub(super) struct Datums<'s>(pub(super) &'s Settings);

impl PointFormat for Datums<'_> {
    fn encode(&self, lines: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        write(&mut WholePoints::new(|point: &WholePoint, time: Timestamp| {
            lines.push(&[&[OWN_FORMAT], self.record(point, time).as_bytes()].concat());
        }));
    }
}

impl Datums<'_> {
    fn record(&self, point: &WholePoint, time: Timestamp) -> String {
        let mut record = format!("{}\n", time.0.div_euclid(NANOSECONDS));
        for (key, value) in self.dimensions(point) {
            record.extend([&*key, "\t", &*value, "\n"]);
        }
        for (field, value) in point.fields() {
            let Some(value) = value.number() else { continue };
            let name = name_of(point.measurement(), field);
            let name = fit(self.0.names.get(&name).unwrap_or(&name), MAX_NAME);
            record.push_str(&format!("\n{name}\t{value:e}"));
        }
        record
    }

    fn dimensions(&self, point: &WholePoint) -> impl Iterator<Item = (String, String)> {
        let is_wanted = |key: &str, value: &str| !self.0.dimensions_exclude.matches(key) && !value.trim().is_empty();
        let wanted = point.tags().filter(move |(key, value)| is_wanted(key, value));
        wanted.map(|(key, value)| (fit(key, MAX_NAME), fit(value, MAX_DIMENSION_VALUE))).take(MAX_DIMENSIONS)
    }
}

/// The values of a record, and how many of its values are out of range. None if the record is invalid.
fn values_of(record: &[u8], resolution: Duration) -> Option<(Vec<(Key, f64)>, u64)> {
    let resolution = i64::try_from(resolution.as_secs()).unwrap_or(60).max(1);
    let (head, values) = std::str::from_utf8(record).ok()?.split_once("\n\n")?;
    let mut head = head.split('\n');
    let seconds: i64 = head.next()?.parse().ok()?;
    let at = seconds - seconds.rem_euclid(resolution);
    let dimensions = head.map(|line| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned())));
    let dimensions: Vec<_> = dimensions.collect::<Option<_>>()?;
    let (mut added, mut refused) = (Vec::new(), 0);
    for (name, value) in values.split('\n').filter_map(|line| line.split_once('\t')) {
        match value.parse().ok().filter(|value| is_accepted(*value)) {
            Some(value) => added.push((Key { name: name.to_owned(), dimensions: dimensions.clone(), at }, value)),
            None => refused += 1,
        }
    }
    Some((added, refused))
}

fn size_of(key: &Key) -> usize {
    let dimensions: usize = key.dimensions.iter().map(|(name, value)| DIMENSION_BYTES + name.len() + value.len()).sum();
    DATUM_BYTES + VALUE_BYTES + key.name.len() + dimensions
}

fn statistics(seen: impl Iterator<Item = (f64, f64)>) -> StatisticSet {
    let (mut count, mut sum, mut min, mut max) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    for (value, times) in seen {
        count += times;
        sum += value * times;
        (min, max) = (value.min(min), value.max(max));
    }
    StatisticSet::builder().sample_count(count).sum(sum).minimum(min).maximum(max).build()
}

/// Whether CloudWatch accepts a value: 0, or a magnitude from 2^-360 to 2^360.
fn is_accepted(value: f64) -> bool {
    let max = 2f64.powi(360);
    value == 0.0 || (value.abs() <= max && value.abs() >= max.recip())
}

/// Makes a text valid for CloudWatch: ASCII without control characters, at most `max` long, and no colon first.
fn fit(text: &str, max: usize) -> String {
    let fitted = text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '_' });
    let fitted: String = fitted.take(max).collect();
    if fitted.starts_with(':') { fitted.replacen(':', "_", 1) } else { fitted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::encode::PointWriter;
    use crate::encode::Timestamp;
    use crate::encode::tags::CommonTags;
    use crate::sinks::form::LineProtocol;

    fn settings(text: &str) -> Settings {
        let text = format!("[[sinks.cloudwatch]]\nmetrics = '*'\n{text}");
        let document = Document::parse("t.toml", &text, &|_| None).unwrap();
        let checked = crate::settings::Settings::check(&document, &Default::default());
        let sink = checked.unwrap_or_else(|problems| panic!("{problems}")).sinks.remove(0);
        let target: &dyn std::any::Any = &*sink.target;
        target.downcast_ref::<Settings>().unwrap().clone()
    }

    /// Points of `m`, one field `f` each: tag, seconds, value.
    type Points = [(String, i64, f64)];

    fn lines(points: &Points, format: &dyn PointFormat) -> Lines {
        let (mut lines, none) = (Lines::default(), CommonTags::default());
        format.encode(&mut lines, &mut |encoder| {
            for (tag, seconds, value) in points {
                let mut writer = PointWriter::new(&mut *encoder, &none, Timestamp(seconds * NANOSECONDS));
                writer.free_point("m", [("t", tag.as_str())].into_iter()).free_field::<f64>(&["f"], *value);
            }
        });
        lines
    }

    /// The first request of `points`. Asserts that their line protocol, as persisted by earlier versions, makes the
    /// same one.
    fn first(points: &Points, settings: &Settings) -> Request {
        let appended = [("InstanceId".to_owned(), "i-1".to_owned())];
        let request = Request::of_first(&lines(points, &Datums(settings)), settings, &appended);
        let persisted = Request::of_first(&lines(points, &LineProtocol), settings, &appended);
        assert_eq!(format!("{request:?}"), format!("{persisted:?}"));
        request
    }

    #[test]
    fn what_is_of_one_minute_is_one_datum() {
        let points: Vec<_> = (0..12).map(|n| ("a".to_owned(), 120 + n * 10, f64::from(n as i32 % 3))).collect();
        let request = first(&points, &settings(""));
        let datums = request.datums(Duration::from_secs(60));
        assert_eq!((datums.len(), request.points), (2, 12));
        assert_eq!(datums[0].timestamp().unwrap().secs(), 120);
        assert_eq!((datums[0].values(), datums[0].counts()), (&[0.0, 1.0, 2.0][..], &[2.0, 2.0, 2.0][..]));
        let each = first(&points, &settings("storage_resolution = '1s'"));
        let datums = each.datums(Duration::from_secs(1));
        assert_eq!((datums.len(), datums[3].value(), datums[3].storage_resolution()), (12, Some(0.0), Some(1)));
    }

    #[test]
    fn many_values_become_a_set_of_statistics() {
        let points: Vec<_> = (0..200).map(|n| ("a".to_owned(), 120, f64::from(n))).collect();
        let datums = first(&points, &settings("")).datums(Duration::from_secs(60));
        let set = datums[0].statistic_values().unwrap();
        let numbers = [set.sample_count(), set.sum(), set.minimum(), set.maximum()].map(Option::unwrap);
        assert_eq!(numbers, [200.0, 19_900.0, 0.0, 199.0]);
    }

    #[test]
    fn a_request_is_full_by_count_and_by_bytes() {
        let many: Vec<_> = (0..1500).map(|n| (n.to_string(), 120, 1.0)).collect();
        let request = first(&many, &settings(""));
        assert_eq!((request.points, request.datums(Duration::from_secs(60)).len()), (1000, 1000));
        let large: Vec<_> = (0..1500).map(|n| (format!("{n:0>1020}"), 120, 1.0)).collect();
        let request = first(&large, &settings(""));
        assert!(request.points > 700 && request.points * 1020 < MAX_BYTES, "{}", request.points);
    }

    #[test]
    fn a_value_that_cannot_be_put_costs_itself_alone() {
        let points = [("a".to_owned(), 120, 1e200), ("b".to_owned(), 120, 1e-200), ("c".to_owned(), 120, -5.0)];
        let request = first(&points, &settings("names = { m_f = 'Own name' }"));
        let datums = request.datums(Duration::from_secs(60));
        assert_eq!((request.refused, request.points, datums.len()), (2, 3, 1));
        assert_eq!((datums[0].metric_name(), datums[0].value()), (Some("Own name"), Some(-5.0)));
    }

    #[test]
    fn a_metric_is_put_by_further_sets_of_its_dimensions() {
        let settings = settings(
            "append_dimensions = ['InstanceId']\naggregation_dimensions = [['InstanceId'], [], ['t', 'InstanceId'], ['other']]",
        );
        let points = [("a".to_owned(), 120, 1.0), ("b".to_owned(), 120, 1.0), ("c".to_owned(), 130, 2.0)];
        let datums = first(&points, &settings).datums(Duration::from_secs(60));
        let of = |names: &[&str]| -> Vec<(f64, f64)> {
            let is_of = |datum: &&MetricDatum| {
                datum.dimensions().iter().filter_map(Dimension::name).collect::<Vec<_>>() == names
            };
            let datums = datums.iter().filter(is_of);
            datums.flat_map(|datum| datum.values().iter().copied().zip(datum.counts().iter().copied())).collect()
        };
        assert_eq!(datums.iter().filter(|datum| datum.dimensions().len() == 2).count(), 3);
        assert_eq!((of(&["InstanceId"]), of(&[])), (vec![(1.0, 2.0), (2.0, 1.0)], vec![(1.0, 2.0), (2.0, 1.0)]));
        assert_eq!(datums.len(), 5, "no set of all dimensions, and none of a dimension that is not there");
    }

    #[test]
    fn names_are_fitted() {
        assert_eq!(fit(":größe\n", 255), "_gr__e_");
        assert_eq!(fit("abc", 2), "ab");
    }
}
