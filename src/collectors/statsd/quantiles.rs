//! Quantiles of a stream within given errors of their ranks, over a sliding time.
//!
//! A window holds tuples as in "Effective Computation of Biased Quantiles over Data Streams" (Cormode, Korn,
//! Muthukrishnan, Srivastava; targeted quantiles), which is what the Go client of Prometheus does. Each observation is
//! in one window; a query merges the windows. Until a window has [`BUFFER`] observations, its quantiles are exact.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::mapping::SummaryOptions;
use super::pool::Pool;

/// Observations that a window buffers before it compresses them.
const BUFFER: usize = 500;

/// Observations with their number and sum, and quantiles of the last ones.
#[derive(Debug)]
pub(super) struct Summary {
    options: Arc<SummaryOptions>,
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Newest last, with the times at which they began.
    windows: VecDeque<(Instant, Window)>,
}

/// A value, how many observations it stands for, and the uncertainty of its rank.
#[derive(Clone, Copy, Debug)]
struct Tuple {
    value: f64,
    weight: u32,
    delta: u32,
    /// Whether it stands for other values, too.
    is_joined: bool,
}

impl Tuple {
    /// How many of those that it stands for may be before a smaller value.
    fn hidden(&self) -> u32 {
        let joined = if self.is_joined { self.weight - 1 } else { 0 };
        joined.saturating_add(self.delta)
    }
}

#[derive(Debug, Default)]
struct Window {
    /// Ascending.
    tuples: Vec<Tuple>,
    /// Values that are not among the tuples yet, and their weights.
    buffer: Vec<(f64, u32)>,
    /// The weight of the tuples.
    weight: u64,
}

impl Summary {
    pub(super) fn new(options: Arc<SummaryOptions>) -> Summary {
        Summary { options, count: 0, sum: 0.0, windows: VecDeque::new() }
    }

    /// Adds an observation that stands for `weight`. If the pool has no room, it is not in the quantiles.
    pub(super) fn observe(&mut self, value: f64, weight: u32, now: Instant, pool: &mut Pool) {
        self.count += u64::from(weight);
        self.sum += value * f64::from(weight);
        self.expire(now, pool);
        let length = self.length();
        if self.windows.back().is_none_or(|(start, _)| now.saturating_duration_since(*start) >= length) {
            self.windows.push_back((now, Window::default()));
        }
        if let Some((_, window)) = self.windows.back_mut()
            && pool.take()
        {
            window.push(value, weight, &self.options.objectives, pool);
        }
    }

    /// The time that a window collects observations.
    fn length(&self) -> Duration {
        self.options.max_age / self.options.age_buckets.max(1) as u32
    }

    fn expire(&mut self, now: Instant, pool: &mut Pool) {
        while self
            .windows
            .front()
            .is_some_and(|(start, _)| now.saturating_duration_since(*start) >= self.options.max_age)
        {
            let expired = self.windows.pop_front();
            pool.give(expired.map_or(0, |(_, window)| window.len()));
        }
    }

    /// Each quantile and its value, NaN without observations.
    pub(super) fn quantiles(&mut self, now: Instant, pool: &mut Pool) -> Vec<(f64, f64)> {
        self.expire(now, pool);
        self.windows.iter_mut().for_each(|(_, window)| window.merge());
        let mut tuples = Vec::new();
        for (index, (_, window)) in self.windows.iter().enumerate() {
            let others = || self.windows.iter().enumerate().filter(|(other, _)| *other != index);
            let hidden = |value: f64| {
                others().fold(0_u32, |sum, (_, (_, other))| sum.saturating_add(other.hidden_before(value)))
            };
            tuples.extend(
                window
                    .tuples
                    .iter()
                    .map(|tuple| Tuple { delta: tuple.delta.saturating_add(hidden(tuple.value)), ..*tuple }),
            );
        }
        tuples.sort_unstable_by(|one, other| one.value.total_cmp(&other.value));
        let total: u64 = tuples.iter().map(|tuple| u64::from(tuple.weight)).sum();
        let value = |quantile: f64| nearest(&tuples, (quantile * total as f64).ceil().max(1.0));
        self.options.objectives.iter().map(|(quantile, _)| (*quantile, value(*quantile))).collect()
    }

    /// Returns its room.
    pub(super) fn release(self, pool: &mut Pool) {
        pool.give(self.windows.iter().map(|(_, window)| window.len()).sum());
    }
}

impl Window {
    fn len(&self) -> usize {
        self.tuples.len() + self.buffer.len()
    }

    /// How many of those that a tuple stands for may be before this value, although the tuple is after it.
    fn hidden_before(&self, value: f64) -> u32 {
        let next = self.tuples.get(self.tuples.partition_point(|tuple| tuple.value <= value));
        next.map_or(0, Tuple::hidden)
    }

    /// Adds a value that has room in the pool.
    fn push(&mut self, value: f64, weight: u32, objectives: &[(f64, f64)], pool: &mut Pool) {
        self.buffer.push((value, weight));
        if self.buffer.len() >= BUFFER || !pool.has_room() {
            let before = self.len();
            self.merge();
            self.compress(objectives);
            pool.give(before - self.len());
        }
    }

    /// Moves the buffered values to the tuples.
    fn merge(&mut self) {
        self.buffer.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut merged = Vec::with_capacity(self.len());
        let mut old = self.tuples.drain(..).peekable();
        for (value, weight) in self.buffer.drain(..) {
            while let Some(tuple) = old.next_if(|tuple| tuple.value <= value) {
                merged.push(tuple);
            }
            let delta = old.peek().map_or(0, Tuple::hidden);
            merged.push(Tuple { value, weight, delta, is_joined: false });
            self.weight += u64::from(weight);
        }
        merged.extend(old);
        self.tuples = merged;
        self.buffer.shrink_to(0);
    }

    /// Joins tuples as far as the errors allow.
    fn compress(&mut self, objectives: &[(f64, f64)]) {
        let Some(mut next) = self.tuples.pop() else { return };
        let mut kept = Vec::new();
        let mut rank = self.weight as f64 - f64::from(next.weight);
        while let Some(tuple) = self.tuples.pop() {
            rank -= f64::from(tuple.weight);
            let joined = u64::from(tuple.weight) + u64::from(next.weight);
            let uncertain = joined as f64 + f64::from(next.delta);
            let is_joined = uncertain <= allowed(objectives, (rank, rank + uncertain), self.weight as f64);
            match u32::try_from(joined) {
                Ok(weight) if is_joined => (next.weight, next.is_joined) = (weight, true),
                _ => kept.push(std::mem::replace(&mut next, tuple)),
            }
        }
        kept.push(next);
        kept.reverse();
        self.tuples = kept;
        self.tuples.shrink_to_fit();
    }
}

/// The value whose rank is the nearest to `rank`, NaN without tuples.
fn nearest(tuples: &[Tuple], rank: f64) -> f64 {
    let (mut before, mut found) = (0.0, (f64::INFINITY, f64::NAN));
    for tuple in tuples {
        let last = before + f64::from(tuple.weight);
        // The value has the last of the ranks of those that it stands for.
        let first = if tuple.is_joined { last } else { before + 1.0 };
        let distance = |delta: f64| (first + delta - rank).max(rank - last - delta).max(0.0);
        let error = distance(0.0).max(distance(f64::from(tuple.delta)));
        if error < found.0 {
            found = (error, tuple.value);
        }
        before = last;
    }
    found.1
}

/// The uncertainty that ranks in this range may have in a stream of weight `total`: the least of it.
fn allowed(objectives: &[(f64, f64)], (first, last): (f64, f64), total: f64) -> f64 {
    let of = |(quantile, error): &(f64, f64)| {
        let rank = (quantile * total).clamp(first, last);
        match quantile * total <= rank {
            true => 2.0 * error * rank / quantile,
            false => 2.0 * error * (total - rank) / (1.0 - quantile),
        }
    };
    objectives.iter().map(of).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary(values: &[(f64, u32)]) -> (Summary, Pool, Instant) {
        let (mut summary, mut pool, now) = (Summary::new(Arc::default()), Pool::new(1_000_000), Instant::now());
        values.iter().for_each(|(value, weight)| summary.observe(*value, *weight, now, &mut pool));
        (summary, pool, now)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn quantiles_are_within_their_errors(
            values in prop::collection::vec((-1000.0..1000.0, 1_u32..4), 1..6000),
            order in 0..3,
        ) {
            let mut values = values;
            match order {
                0 => {}
                1 => values.sort_by(|(one, _): &(f64, u32), (other, _)| one.total_cmp(other)),
                _ => values.sort_by(|(one, _): &(f64, u32), (other, _)| other.total_cmp(one)),
            }
            let (mut summary, mut pool, now) = summary(&values);
            let mut all: Vec<f64> = values.iter().flat_map(|(value, weight)| vec![*value; *weight as usize]).collect();
            all.sort_by(f64::total_cmp);
            prop_assert_eq!(summary.count, all.len() as u64);
            for ((quantile, value), (_, error)) in summary.quantiles(now, &mut pool).into_iter().zip(SummaryOptions::default().objectives) {
                let (low, high) = (all.partition_point(|other| *other < value), all.partition_point(|other| *other <= value));
                let wanted = (quantile * all.len() as f64).ceil();
                let slack = error * all.len() as f64 + 3.0;
                prop_assert!(low as f64 <= wanted + slack && high as f64 >= wanted - slack, "{quantile}: {value} {low} {high} {wanted}");
            }
            prop_assert!(pool.used() < 1500, "{}", pool.used());
            summary.release(&mut pool);
            prop_assert_eq!(pool.used(), 0);
        }
    }

    #[test]
    fn few_observations_have_exact_quantiles_and_none_has_none() {
        let (mut few, mut pool, now) = summary(&[(3.0, 1), (1.0, 1), (2.0, 1), (10.0, 1)]);
        assert_eq!(few.quantiles(now, &mut pool), [(0.5, 2.0), (0.9, 10.0), (0.99, 10.0)]);
        let after = now + Duration::from_secs(600);
        assert!(few.quantiles(after, &mut pool).iter().all(|(_, value)| value.is_nan()));
        assert_eq!((few.count, few.sum, pool.used()), (4, 16.0, 0));
    }

    #[test]
    fn without_room_observations_count_but_have_no_quantiles() {
        let (mut summary, mut pool, now) = (Summary::new(Arc::default()), Pool::new(10), Instant::now());
        (0..1000).for_each(|number| summary.observe(f64::from(number), 1, now, &mut pool));
        assert!(pool.used() <= 10 && pool.refused > 0, "{pool:?}");
        assert_eq!(summary.count, 1000);
    }
}
