//! What the samples of a series in one interval become, as in Telegraf.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use super::pool::Pool;
use crate::encode::parse::statsd::{Kind, Value};

/// The samples of a series.
#[derive(Debug)]
pub(super) enum Aggregate {
    /// The sum, each sample cut to an integer.
    Counter(i64),
    /// The sum.
    FloatCounter(f64),
    Gauge(f64),
    /// Hashes of the members.
    Set(HashSet<u64, foldhash::fast::FixedState>),
    Timing(Timing),
    /// All values.
    Distribution(Vec<f64>),
}

/// Timings, histograms.
#[derive(Debug, Default)]
pub(super) struct Timing {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// The first value, and the sums of the differences to it and of their squares: their variance is exact.
    first: f64,
    difference: f64,
    squares: f64,
    /// All values, or a random sample.
    values: Vec<f64>,
}

/// The statistics of timings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statistics {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) mean: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) stddev: f64,
    pub(super) median: f64,
    /// In the order of the percentiles.
    pub(super) percentiles: Vec<f64>,
}

/// Hashes of the members of sets: random, so that a client cannot choose members that collide.
static HASHER: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);

impl Aggregate {
    pub(super) fn new(kind: Kind, has_float_counters: bool) -> Aggregate {
        match kind {
            Kind::Counter if has_float_counters => Aggregate::FloatCounter(0.0),
            Kind::Counter => Aggregate::Counter(0),
            Kind::Gauge => Aggregate::Gauge(0.0),
            Kind::Set => Aggregate::Set(HashSet::default()),
            Kind::Timer | Kind::Histogram => Aggregate::Timing(Timing::default()),
            Kind::Distribution => Aggregate::Distribution(Vec::new()),
        }
    }

    /// Adds a sample; `retained` is the bound of the values of a timer.
    pub(super) fn add(&mut self, value: Value<'_>, rate: f64, retained: usize, pool: &mut Pool) {
        match (self, value) {
            (Aggregate::Counter(sum), Value::Number(value, _)) => {
                // As Telegraf: both are cut to integers.
                *sum = sum.saturating_add((value.trunc() / rate) as i64);
            }
            (Aggregate::FloatCounter(sum), Value::Number(value, _)) => *sum += value / rate,
            (Aggregate::Gauge(gauge), Value::Number(value, true)) => *gauge += value,
            (Aggregate::Gauge(gauge), Value::Number(value, false)) => *gauge = value,
            (Aggregate::Set(members), Value::Member(member)) => {
                let hash = HASHER.hash_one(member);
                if !members.contains(&hash) && pool.take() {
                    members.insert(hash);
                }
            }
            (Aggregate::Timing(timing), Value::Number(value, _)) => {
                timing.add(value, weight(rate), retained, pool);
            }
            (Aggregate::Distribution(values), Value::Number(value, _)) if pool.take() => values.push(value),
            _ => {}
        }
    }

    /// Empties it, and returns its room.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        pool.give(self.len());
        match self {
            Aggregate::Counter(sum) => *sum = 0,
            Aggregate::FloatCounter(value) | Aggregate::Gauge(value) => *value = 0.0,
            Aggregate::Set(members) => *members = HashSet::default(),
            Aggregate::Timing(timing) => *timing = Timing::default(),
            Aggregate::Distribution(values) => *values = Vec::new(),
        }
    }

    /// Values of the pool that it retains.
    fn len(&self) -> usize {
        match self {
            Aggregate::Counter(_) | Aggregate::FloatCounter(_) | Aggregate::Gauge(_) => 0,
            Aggregate::Set(members) => members.len(),
            Aggregate::Timing(timing) => timing.values.len(),
            Aggregate::Distribution(values) => values.len(),
        }
    }
}

/// How many observations one stands for: at a rate of 0.3, 3.
pub(super) fn weight(rate: f64) -> u32 {
    (1.0 / rate) as u32
}

impl Timing {
    fn add(&mut self, value: f64, weight: u32, retained: usize, pool: &mut Pool) {
        if weight == 0 {
            return;
        }
        if self.count == 0 {
            (self.first, self.min, self.max) = (value, value, value);
        }
        let (difference, times) = (value - self.first, f64::from(weight));
        self.sum += value * times;
        self.difference += difference * times;
        self.squares += difference * difference * times;
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
        for _ in 0..weight.min(u32::try_from(retained).unwrap_or(u32::MAX)) {
            self.count += 1;
            self.retain(value, retained, pool);
        }
        self.count += u64::from(weight.saturating_sub(u32::try_from(retained).unwrap_or(u32::MAX)));
    }

    /// Retains a value, or lets it replace another one by chance, so that each has the same chance to be there.
    fn retain(&mut self, value: f64, max: usize, pool: &mut Pool) {
        if self.values.len() < max && (pool.has_room() || self.values.is_empty()) && pool.take() {
            return self.values.push(value);
        }
        let index = fastrand::u64(..self.count.max(1));
        if let Some(other) = usize::try_from(index).ok().and_then(|index| self.values.get_mut(index)) {
            *other = value;
        }
    }

    /// The statistics; `None` without values.
    pub(super) fn statistics(&mut self, percentiles: &[(String, f64)]) -> Option<Statistics> {
        if self.count == 0 {
            return None;
        }
        let count = self.count as f64;
        self.values.sort_unstable_by(f64::total_cmp);
        let values = &self.values;
        let at = |index: usize| values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 };
        let variance = (self.squares - self.difference * self.difference / count) / count;
        Some(Statistics {
            count: self.count,
            sum: self.sum,
            mean: self.sum / count,
            lower: self.min,
            upper: self.max,
            stddev: variance.max(0.0).sqrt(),
            median,
            percentiles: percentiles
                .iter()
                .map(|(_, share)| at((values.len() as f64 * share / 100.0) as usize))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(values: &[(f64, f64)], retained: usize, pool: &mut Pool) -> Option<Statistics> {
        let mut timing = Timing::default();
        values.iter().for_each(|(value, rate)| timing.add(*value, weight(*rate), retained, pool));
        timing.statistics(&[("90_percentile".to_owned(), 90.0), ("100_percentile".to_owned(), 100.0)])
    }

    #[test]
    fn timings_have_telegrafs_statistics() {
        let mut pool = Pool::new(1000);
        let of = timing(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (10.0, 1.0)], 1000, &mut pool).unwrap();
        assert_eq!((of.count, of.sum, of.mean, of.lower, of.upper), (4, 16.0, 4.0, 1.0, 10.0));
        assert_eq!((of.median, of.percentiles), (2.5, vec![10.0, 10.0]));
        assert!((of.stddev - 12.5_f64.sqrt()).abs() < 1e-12, "of the population: {}", of.stddev);
        let sampled = timing(&[(5.0, 0.3), (7.0, 1.0)], 1000, &mut pool).unwrap();
        assert_eq!((sampled.count, sampled.sum, sampled.median), (4, 22.0, 5.0));
        assert_eq!(timing(&[], 10, &mut pool), None);
        assert_eq!(timing(&[(1.0, 2.0)], 10, &mut pool), None, "a rate above 1 stands for nothing");
    }

    #[test]
    fn of_many_values_a_random_sample_is_retained() {
        let mut pool = Pool::new(100_000);
        let values: Vec<(f64, f64)> = (0..100_000).map(|number| (f64::from(number), 1.0)).collect();
        let of = timing(&values, 1000, &mut pool).unwrap();
        assert_eq!((of.count, of.upper, pool.used()), (100_000, 99_999.0, 1000));
        assert!((30_000.0..70_000.0).contains(&of.median), "{}", of.median);
        let tiny = timing(&[(1.0, 1e-300), (3.0, 1.0)], 10, &mut pool).unwrap();
        assert_eq!((tiny.count, tiny.lower, tiny.upper), (u64::from(u32::MAX) + 1, 1.0, 3.0));
    }

    #[test]
    fn counters_are_cut_gauges_are_relative_and_sets_are_distinct() {
        let mut pool = Pool::new(2);
        let number = |value: &'static str| Value::Number(value.parse().unwrap(), value.starts_with(['+', '-']));
        let all = |kind, float, samples: &[(Value<'_>, f64)], pool: &mut Pool| {
            let mut aggregate = Aggregate::new(kind, float);
            samples.iter().for_each(|(value, rate)| aggregate.add(*value, *rate, 10, pool));
            aggregate
        };
        let samples = [(number("0.5"), 1.0), (number("1.9"), 1.0), (number("3"), 0.1), (number("-2"), 1.0)];
        assert!(matches!(all(Kind::Counter, false, &samples, &mut pool), Aggregate::Counter(29)));
        let float = all(Kind::Counter, true, &samples, &mut pool);
        assert!(matches!(float, Aggregate::FloatCounter(sum) if (sum - 30.4).abs() < 1e-9), "{float:?}");
        let samples = [(number("-5"), 1.0), (number("+2"), 1.0)];
        assert!(matches!(all(Kind::Gauge, false, &samples, &mut pool), Aggregate::Gauge(-3.0)));
        let members: Vec<_> = ["a", "b", "a", "c"].iter().map(|member| (Value::Member(member), 1.0)).collect();
        let mut set = all(Kind::Set, false, &members, &mut pool);
        assert!(matches!(&set, Aggregate::Set(members) if members.len() == 2), "the pool has room for two");
        assert_eq!((pool.used(), pool.refused), (2, 1));
        set.clear(&mut pool);
        assert_eq!(pool.used(), 0);
    }
}
