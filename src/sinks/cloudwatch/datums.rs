//! Points to datums: what one request holds.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StatisticSet};

use super::selection::name_of;
use super::settings::Settings;
use crate::encode::parse::line::{FieldValue, Point, points};
use crate::encode::point::Lines;

/// Datums in a request, at the most.
const MAX_DATUMS: usize = 1000;
/// Bytes in a request, at the most, before it is compressed.
const MAX_BYTES: usize = 1_000_000;
/// Different values in a datum, at the most; more become a set of statistics.
const MAX_VALUES: usize = 150;
/// Dimensions of a datum, at the most.
const MAX_DIMENSIONS: usize = 30;
const MAX_NAME: usize = 255;
const MAX_DIMENSION_VALUE: usize = 1024;

/// What a datum takes without its names and values, and what a dimension and a value take, at the most.
const DATUM_BYTES: usize = 160;
const DIMENSION_BYTES: usize = 24;
const VALUE_BYTES: usize = 18;

/// What one request holds.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The metrics, with their values.
    folded: BTreeMap<Key, Values>,
    bytes: usize,
    /// How many of the first points are in it.
    pub(super) points: usize,
    /// Values that CloudWatch would not take.
    pub(super) refused: u64,
}

/// What makes values one datum's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    dimensions: Vec<(String, String)>,
    /// When its minute or second begins, in seconds since 1970.
    at: i64,
}

/// How often each value was seen; values by their bits, in their order as far as they are not negative.
type Values = BTreeMap<u64, f64>;

impl Request {
    /// As many of the first of `lines` as go into one request.
    pub(super) fn of_first(lines: &Lines, settings: &Settings) -> Request {
        let mut request = Request::default();
        for point in points(lines.bytes()) {
            if let Ok(point) = &point {
                let (added, refused) = values_of(point, settings);
                if request.points > 0 && !request.has_room_for(&added) {
                    return request;
                }
                request.add(added);
                request.refused += refused;
            }
            request.points += 1;
        }
        // What is no line to us is none to anybody; a string may hold line ends of its own.
        request.points = lines.count();
        request
    }

    fn has_room_for(&self, values: &[(Key, f64)]) -> bool {
        let is_new = |(key, _): &&(Key, f64)| !self.folded.contains_key(key);
        let new: Vec<usize> = values.iter().filter(is_new).map(|(key, _)| size_of(key)).collect();
        let of_known = (values.len() - new.len()) * VALUE_BYTES;
        self.folded.len() + new.len() <= MAX_DATUMS && self.bytes + new.iter().sum::<usize>() + of_known <= MAX_BYTES
    }

    fn add(&mut self, values: Vec<(Key, f64)>) {
        for (key, value) in values {
            let is_new = !self.folded.contains_key(&key);
            self.bytes += if is_new { size_of(&key) } else { VALUE_BYTES };
            // Minus nothing is nothing.
            let value = if value == 0.0 { 0.0 } else { value };
            *self.folded.entry(key).or_default().entry(value.to_bits()).or_default() += 1.0;
        }
    }

    /// Whether it holds nothing.
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

/// The values that a point adds, and how many of its values CloudWatch would not take.
fn values_of(point: &Point<'_>, settings: &Settings) -> (Vec<(Key, f64)>, u64) {
    let resolution = i64::try_from(settings.resolution.as_secs()).unwrap_or(60).max(1);
    let seconds = point.time.unwrap_or_default().div_euclid(NANOSECONDS);
    let at = seconds - seconds.rem_euclid(resolution);
    let dimensions = dimensions(point, settings);
    let (mut added, mut refused) = (Vec::new(), 0);
    for (field, value) in &point.fields {
        let FieldValue::Number(value) = *value else { continue };
        let name = name_of(&point.measurement, field);
        if !settings.metrics.matches(&name) {
            continue;
        }
        if !is_taken(value) {
            refused += 1;
            continue;
        }
        let name = settings.names.get(&name).cloned().unwrap_or(name);
        added.push((Key { name: fit(&name, MAX_NAME), dimensions: dimensions.clone(), at }, value));
    }
    (added, refused)
}

fn size_of(key: &Key) -> usize {
    let dimensions: usize = key.dimensions.iter().map(|(name, value)| DIMENSION_BYTES + name.len() + value.len()).sum();
    DATUM_BYTES + VALUE_BYTES + key.name.len() + dimensions
}

fn statistics(seen: impl Iterator<Item = (f64, f64)>) -> StatisticSet {
    let (mut count, mut sum, mut least, mut most) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    for (value, times) in seen {
        count += times;
        sum += value * times;
        (least, most) = (value.min(least), value.max(most));
    }
    StatisticSet::builder().sample_count(count).sum(sum).minimum(least).maximum(most).build()
}

/// CloudWatch takes no number beyond 2 to the power of 360, and none closer to nothing than its inverse.
fn is_taken(value: f64) -> bool {
    let most = 2f64.powi(360);
    value == 0.0 || (value.abs() <= most && value.abs() >= most.recip())
}

fn dimensions(point: &Point<'_>, settings: &Settings) -> Vec<(String, String)> {
    let is_wanted = |key: &str, value: &str| !settings.dimensions_exclude.matches(key) && !value.trim().is_empty();
    let wanted = point.tags.iter().filter(|(key, value)| is_wanted(key, value));
    let fitted = wanted.map(|(key, value)| (fit(key, MAX_NAME), fit(value, MAX_DIMENSION_VALUE)));
    fitted.take(MAX_DIMENSIONS).collect()
}

/// As CloudWatch takes it: ASCII without control characters, not too long, and not beginning with a colon.
fn fit(text: &str, most: usize) -> String {
    let fitted = text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '_' });
    let fitted: String = fitted.take(most).collect();
    if fitted.starts_with(':') { fitted.replacen(':', "_", 1) } else { fitted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::encode::PointWriter;
    use crate::encode::point::CommonTags;
    use crate::host::Timestamp;
    use crate::sinks::settings::Target;

    fn settings(text: &str) -> Settings {
        let text = format!("[[sinks.cloudwatch]]\nmetrics = '*'\n{text}");
        let document = Document::parse("t.toml", &text, &|_| None).unwrap();
        let checked = crate::settings::Settings::check(&document, &Default::default());
        match checked.unwrap_or_else(|problems| panic!("{problems}")).sinks.remove(0).target {
            Target::CloudWatch(settings) => settings,
            other => panic!("{other:?}"),
        }
    }

    /// Points of `m`, one field `f` each: tag, seconds, value.
    fn lines(points: &[(String, i64, f64)]) -> Lines {
        let (mut lines, none) = (Lines::default(), CommonTags::default());
        for (tag, seconds, value) in points {
            let mut writer = PointWriter::new(&mut lines, &none, Timestamp(seconds * NANOSECONDS));
            writer.free_point("m", [("t", tag.as_str())].into_iter()).free_field::<f64>(&["f"], *value);
        }
        lines
    }

    #[test]
    fn what_is_of_one_minute_is_one_datum() {
        let points: Vec<_> = (0..12).map(|n| ("a".to_owned(), 120 + n * 10, f64::from(n as i32 % 3))).collect();
        let request = Request::of_first(&lines(&points), &settings(""));
        let datums = request.datums(Duration::from_secs(60));
        assert_eq!((datums.len(), request.points), (2, 12));
        assert_eq!(datums[0].timestamp().unwrap().secs(), 120);
        assert_eq!((datums[0].values(), datums[0].counts()), (&[0.0, 1.0, 2.0][..], &[2.0, 2.0, 2.0][..]));
        let each = Request::of_first(&lines(&points), &settings("storage_resolution = '1s'"));
        let datums = each.datums(Duration::from_secs(1));
        assert_eq!((datums.len(), datums[3].value(), datums[3].storage_resolution()), (12, Some(0.0), Some(1)));
    }

    #[test]
    fn many_values_become_a_set_of_statistics() {
        let points: Vec<_> = (0..200).map(|n| ("a".to_owned(), 120, f64::from(n))).collect();
        let datums = Request::of_first(&lines(&points), &settings("")).datums(Duration::from_secs(60));
        let set = datums[0].statistic_values().unwrap();
        let numbers = [set.sample_count(), set.sum(), set.minimum(), set.maximum()].map(Option::unwrap);
        assert_eq!(numbers, [200.0, 19_900.0, 0.0, 199.0]);
    }

    #[test]
    fn a_request_is_full_by_count_and_by_bytes() {
        let many: Vec<_> = (0..1500).map(|n| (n.to_string(), 120, 1.0)).collect();
        let request = Request::of_first(&lines(&many), &settings(""));
        assert_eq!((request.points, request.datums(Duration::from_secs(60)).len()), (1000, 1000));
        let large: Vec<_> = (0..1500).map(|n| (format!("{n:0>1020}"), 120, 1.0)).collect();
        let request = Request::of_first(&lines(&large), &settings(""));
        assert!(request.points > 700 && request.points * 1020 < MAX_BYTES, "{}", request.points);
    }

    #[test]
    fn a_value_that_cannot_be_put_costs_itself_alone() {
        let points = [("a".to_owned(), 120, 1e200), ("b".to_owned(), 120, 1e-200), ("c".to_owned(), 120, -5.0)];
        let request = Request::of_first(&lines(&points), &settings("names = { m_f = 'Own name' }"));
        let datums = request.datums(Duration::from_secs(60));
        assert_eq!((request.refused, request.points, datums.len()), (2, 3, 1));
        assert_eq!((datums[0].metric_name(), datums[0].value()), (Some("Own name"), Some(-5.0)));
    }

    #[test]
    fn names_are_fitted() {
        assert_eq!(fit(":größe\n", 255), "_gr__e_");
        assert_eq!(fit("abc", 2), "ab");
    }
}
