//! The series of points: what the samples of an interval become, see [`super::aggregate`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::aggregate::{Aggregate, Statistics};
use super::pool::Pool;
use super::settings::{Deletes, PointSettings};
use crate::encode::parse::statsd::{Kind, Value};
use crate::encode::{PointWriter, Timestamp};

/// What a point is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) measurement: Arc<str>,
    /// The field, or the prefix of the fields of a timer.
    pub(super) field: Arc<str>,
    /// Sorted by key, with `metric_type`.
    pub(super) tags: Arc<[(String, String)]>,
}

/// The series of points.
#[derive(Debug, Default)]
pub(super) struct Intervals {
    by_subject: HashMap<Subject, usize>,
    series: Vec<Option<Series>>,
    free: Vec<usize>,
    /// Whether an interval has ended since the series without a value were removed.
    has_ended: bool,
}

#[derive(Debug)]
struct Series {
    subject: Subject,
    kind: Kind,
    aggregate: Aggregate,
    /// Whether there is something to push.
    has_value: bool,
    last: Instant,
}

/// A point of an interval.
#[derive(Debug)]
pub(super) struct Flushed {
    pub(super) at: Timestamp,
    subject: Subject,
    value: FlushedValue,
}

#[derive(Debug)]
enum FlushedValue {
    Integer(i64),
    Float(f64),
    /// Statistics, the names of the percentiles, and whether the count is a float.
    Timing(Box<Statistics>, Arc<[(String, f64)]>, bool),
    Distribution(Box<[f64]>),
}

/// The field of a name without a template.
pub(super) const FIELD: &str = "value";

/// The tag `metric_type` of a type.
pub(super) fn metric_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Set => "set",
        Kind::Timer => "timing",
        Kind::Histogram => "histogram",
        Kind::Distribution => "distribution",
    }
}

impl Intervals {
    pub(super) fn len(&self) -> usize {
        self.series.len() - self.free.len()
    }

    /// The index of a series, which is created if there is none; `None` if there are `max` of them.
    pub(super) fn series(
        &mut self,
        subject: Subject,
        kind: Kind,
        settings: &PointSettings,
        (max, now): (usize, Instant),
    ) -> Option<usize> {
        if let Some(index) = self.by_subject.get(&subject) {
            return Some(*index);
        }
        if self.len() >= max {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.series.push(None);
            self.series.len() - 1
        });
        self.by_subject.insert(subject.clone(), index);
        let aggregate = Aggregate::new(kind, settings.float_counters);
        self.series[index] = Some(Series { subject, kind, aggregate, has_value: false, last: now });
        Some(index)
    }

    /// Adds a sample.
    pub(super) fn add(
        &mut self,
        index: usize,
        (value, rate): (Value<'_>, f64),
        retained: usize,
        now: Instant,
        pool: &mut Pool,
    ) {
        let Some(series) = self.series.get_mut(index).and_then(Option::as_mut) else { return };
        (series.last, series.has_value) = (now, true);
        series.aggregate.add(value, rate, retained, pool);
    }

    /// The points of the interval that ends at `at`.
    pub(super) fn flush(&mut self, at: Timestamp, settings: &PointSettings, pool: &mut Pool) -> Vec<Flushed> {
        self.has_ended = true;
        let percentiles: Arc<[(String, f64)]> = settings.percentiles.clone().into();
        let mut flushed = Vec::new();
        for series in self.series.iter_mut().flatten().filter(|series| series.has_value) {
            if let Some(value) = series.value(settings, &percentiles) {
                flushed.push(Flushed { at, subject: series.subject.clone(), value });
            }
            if deletes(series.kind, settings.deletes) {
                series.has_value = false;
                series.aggregate.clear(pool);
            }
        }
        flushed
    }

    /// Removes the series without a sample for this time. Returns whether there were any.
    pub(super) fn expire(&mut self, ttl: Duration, now: Instant, pool: &mut Pool) -> bool {
        self.remove(|series| !ttl.is_zero() && now.saturating_duration_since(series.last) >= ttl, pool)
    }

    /// Makes room: removes the series of which an interval left nothing. Returns whether there were any.
    pub(super) fn remove_empty(&mut self, pool: &mut Pool) -> bool {
        // Once for each interval: it looks at all series.
        std::mem::take(&mut self.has_ended) && self.remove(|series| !series.has_value, pool)
    }

    fn remove(&mut self, is_over: impl Fn(&Series) -> bool, pool: &mut Pool) -> bool {
        let mut has_removed = false;
        for (index, slot) in self.series.iter_mut().enumerate() {
            let Some(mut series) = slot.take_if(|series| is_over(series)) else { continue };
            has_removed = true;
            series.aggregate.clear(pool);
            self.by_subject.remove(&series.subject);
            self.free.push(index);
        }
        has_removed
    }
}

/// Whether a series starts anew in each interval.
fn deletes(kind: Kind, deletes: Deletes) -> bool {
    match kind {
        Kind::Counter => deletes.counters,
        Kind::Gauge => deletes.gauges,
        Kind::Set => deletes.sets,
        Kind::Timer | Kind::Histogram => deletes.timings,
        Kind::Distribution => true,
    }
}

impl Series {
    fn value(&mut self, settings: &PointSettings, percentiles: &Arc<[(String, f64)]>) -> Option<FlushedValue> {
        Some(match &mut self.aggregate {
            Aggregate::Counter(sum) => FlushedValue::Integer(*sum),
            Aggregate::FloatCounter(value) | Aggregate::Gauge(value) => FlushedValue::Float(*value),
            Aggregate::Set(members) if settings.float_sets => FlushedValue::Float(members.len() as f64),
            Aggregate::Set(members) => FlushedValue::Integer(i64::try_from(members.len()).unwrap_or(i64::MAX)),
            Aggregate::Timing(timing) => {
                let statistics = timing.statistics(percentiles)?;
                FlushedValue::Timing(Box::new(statistics), percentiles.clone(), settings.float_timings)
            }
            Aggregate::Distribution(values) => FlushedValue::Distribution(values.as_slice().into()),
        })
    }
}

impl Flushed {
    /// The number of points.
    pub(super) fn weight(&self) -> usize {
        match &self.value {
            FlushedValue::Distribution(values) => values.len(),
            _ => 1,
        }
    }

    pub(super) fn write(&self, out: &mut PointWriter<'_>) {
        let Subject { measurement, field, tags } = &self.subject;
        let tags = || tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        if let FlushedValue::Distribution(values) = &self.value {
            // Points of one series and time would replace each other.
            for (offset, value) in (0..).zip(values) {
                let mut point = out.free_point_at(Timestamp(self.at.0.saturating_add(offset)), measurement, tags());
                point.free_field::<f64>(&[field], *value);
            }
            return;
        }
        let mut point = out.free_point_at(self.at, measurement, tags());
        match &self.value {
            FlushedValue::Integer(value) => {
                point.free_field::<i64>(&[field], *value);
            }
            FlushedValue::Float(value) => {
                point.free_field::<f64>(&[field], *value);
            }
            FlushedValue::Distribution(_) => {}
            FlushedValue::Timing(of, names, has_float_count) => {
                let prefix = if &**field == FIELD { String::new() } else { format!("{field}_") };
                let fields = [
                    ("mean", of.mean),
                    ("median", of.median),
                    ("stddev", of.stddev),
                    ("sum", of.sum),
                    ("upper", of.upper),
                    ("lower", of.lower),
                ];
                let percentiles = names.iter().zip(&of.percentiles).map(|((name, _), value)| (name.as_str(), *value));
                for (name, value) in fields.into_iter().chain(percentiles) {
                    point.free_field::<f64>(&[&prefix, name], value);
                }
                match has_float_count {
                    true => point.free_field::<f64>(&[&prefix, "count"], of.count as f64),
                    false => point.free_field::<u64>(&[&prefix, "count"], of.count),
                };
            }
        }
    }
}
