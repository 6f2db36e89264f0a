//! Native histograms: validation as in Prometheus, and addition.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::model::{Buckets, Histogram, Native};

/// The standard schemas. Each bucket is 2^(2^-schema) times as wide as the one before.
const SCHEMAS: RangeInclusive<i32> = -4..=8;
/// Bound of indexes, so that no gap overflows. No f64 belongs to a bucket above 2^19.
const INDEX_BOUND: i64 = 1 << 30;
/// Bound of counts, so that an f64 holds them exactly.
const COUNT_BOUND: f64 = (1u64 << 53) as f64;

/// Counts by the index of their bucket.
type Counts = BTreeMap<i64, f64>;

impl Histogram {
    /// Validates the native buckets, if any, as Prometheus does: one invalid histogram makes it reject the whole
    /// scrape.
    ///
    /// # Errors
    /// What is invalid.
    pub fn check_native(&self) -> Result<(), &'static str> {
        let Some(native) = &self.native else { return Ok(()) };
        if !SCHEMAS.contains(&native.schema) {
            return Err("a native schema that is not one of -4 to 8");
        }
        if !native.zero_threshold.is_finite() || native.zero_threshold < 0.0 {
            return Err("a zero threshold that is negative or not finite");
        }
        let in_buckets = native.negative.check(native.is_float)? + native.positive.check(native.is_float)?;
        match native.is_float {
            true => self.check_float_counts(native),
            false => self.check_whole_counts(native, in_buckets),
        }
    }

    /// Sums of floats are rounded, so Prometheus does not compare the count with them.
    fn check_float_counts(&self, native: &Native) -> Result<(), &'static str> {
        let is_count = |number: f64| number >= 0.0;
        if !is_count(self.count) || !is_count(native.zero_count) {
            return Err("a count that is negative or no number");
        }
        // These are how Prometheus recognizes float counts.
        let is_known_as_float = self.count > 0.0 || native.zero_count > 0.0;
        match is_known_as_float || native.has_no_buckets() {
            true => Ok(()),
            false => Err("native buckets, and a count of 0"),
        }
    }

    fn check_whole_counts(&self, native: &Native, in_buckets: i128) -> Result<(), &'static str> {
        if native.is_empty() {
            return Ok(());
        }
        if self.count >= COUNT_BOUND {
            return Err("native buckets with a count of 2^53 or more");
        }
        // Observations of NaN are counted, but are in no bucket.
        let (count, found) = (self.count as i128, in_buckets + native.zero_count as i128);
        match found == count || (self.sum.is_nan() && found < count) {
            true => Ok(()),
            false => Err("a count that is not the sum of its native buckets"),
        }
    }
}

impl Native {
    /// Whether there are no buckets and no zero bucket. Prometheus then reads a classic histogram.
    fn is_empty(&self) -> bool {
        self.zero_threshold == 0.0 && self.zero_count == 0.0 && self.has_no_buckets()
    }

    fn has_no_buckets(&self) -> bool {
        self.negative.spans.is_empty() && self.positive.spans.is_empty()
    }

    /// Removes the buckets of an empty float histogram: without a count above 0, integer buckets are expected.
    pub(super) fn without_empty_floats(mut self, count: f64) -> Native {
        let is_zero = |buckets: &Buckets| buckets.counts.iter().all(|count| *count == 0.0);
        let sides = [&self.negative, &self.positive];
        if self.is_float && count == 0.0 && self.zero_count == 0.0 && sides.into_iter().all(is_zero) {
            for side in [&mut self.negative, &mut self.positive] {
                side.spans.clear();
                side.counts.clear();
            }
        }
        self
    }

    /// The sum of both, at the coarser resolution.
    ///
    /// # Errors
    /// Why they cannot be added.
    pub fn plus(&self, other: &Native) -> Result<Native, &'static str> {
        if self.schema != other.schema && !(SCHEMAS.contains(&self.schema) && SCHEMAS.contains(&other.schema)) {
            return Err("the native buckets of the two have different schemas");
        }
        if self.zero_threshold != other.zero_threshold {
            return Err("the zero buckets of the two have different widths");
        }
        let schema = self.schema.min(other.schema);
        let is_float = self.is_float || other.is_float;
        let side = |of: fn(&Native) -> &Buckets| {
            let mut counts = Counts::new();
            for native in [self, other] {
                let coarser = native.schema - schema;
                for (index, count) in of(native).counts(native.is_float) {
                    *counts.entry(coarsened(index, coarser)).or_default() += count;
                }
            }
            Buckets::of_counts(&counts, is_float)
        };
        Ok(Native {
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count + other.zero_count,
            is_float,
            negative: side(|native| &native.negative)?,
            positive: side(|native| &native.positive)?,
        })
    }
}

/// The index of a bucket after `steps` reductions of the schema, each of which merges pairs of buckets.
fn coarsened(index: i64, steps: i32) -> i64 {
    ((index - 1) >> steps) + 1
}

impl Buckets {
    /// Validates the buckets. Returns the number of observations; 0 for floats.
    fn check(&self, is_float: bool) -> Result<i128, &'static str> {
        let (buckets, others) = match is_float {
            true => (self.counts.len(), self.deltas.len()),
            false => (self.deltas.len(), self.counts.len()),
        };
        if others > 0 {
            return Err("native buckets of whole counts and of floats");
        }
        let lengths = self.spans.iter().map(|(_, length)| i64::from(*length));
        if lengths.clone().sum::<i64>() != buckets as i64 {
            return Err("native spans of another length than there are buckets");
        }
        if self.spans.iter().skip(1).any(|(gap, _)| *gap < 0) {
            return Err("a native span with a negative offset behind another");
        }
        let first = self.spans.first().map_or(0, |(gap, _)| i64::from(*gap));
        let end: i64 = self.spans.iter().zip(lengths).map(|((gap, _), length)| i64::from(*gap) + length).sum();
        if first <= -INDEX_BOUND || end >= INDEX_BOUND {
            return Err("native buckets for numbers that no float can be");
        }
        const NEGATIVE: &str = "a native bucket with a count that is negative or no number";
        if !self.counts.iter().all(|count| *count >= 0.0) {
            return Err(NEGATIVE);
        }
        let (mut count, mut all) = (0i128, 0i128);
        for delta in &self.deltas {
            count += i128::from(*delta);
            all += count;
            if count < 0 {
                return Err(NEGATIVE);
            }
        }
        Ok(all)
    }

    /// The counts of all buckets.
    fn counts(&self, is_float: bool) -> Counts {
        let (mut counts, mut index, mut absolute) = (Counts::new(), 0i64, 0i64);
        let mut values = (self.deltas.iter(), self.counts.iter());
        for (gap, length) in &self.spans {
            index = index.saturating_add(i64::from(*gap));
            for _ in 0..*length {
                let count = match is_float {
                    true => values.1.next().copied(),
                    false => values.0.next().map(|delta| {
                        absolute = absolute.saturating_add(*delta);
                        absolute as f64
                    }),
                };
                // Ignore the remainder of a span without counts.
                let Some(count) = count else { return counts };
                counts.insert(index, count);
                index = index.saturating_add(1);
            }
        }
        counts
    }

    /// Encodes the non-empty buckets.
    fn of_counts(counts: &Counts, is_float: bool) -> Result<Buckets, &'static str> {
        let (mut buckets, mut next, mut before) = (Buckets::default(), 0, 0i64);
        for (index, count) in counts.iter().filter(|(_, count)| **count != 0.0) {
            match buckets.spans.last_mut() {
                Some((_, length)) if *index == next => *length += 1,
                _ => {
                    let gap = i32::try_from(index.saturating_sub(next));
                    buckets.spans.push((gap.map_err(|_| "the native buckets of the two are too far apart")?, 1));
                }
            }
            next = index.saturating_add(1);
            if is_float {
                buckets.counts.push(*count);
            } else {
                let count = *count as i64;
                buckets.deltas.push(count.saturating_sub(before));
                before = count;
            }
        }
        Ok(buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(schema: i32, spans: &[(i32, u32)], deltas: &[i64]) -> Native {
        let positive = Buckets { spans: spans.to_vec(), deltas: deltas.to_vec(), counts: Vec::new() };
        Native { schema, zero_threshold: 0.5, zero_count: 1.0, positive, ..Native::default() }
    }

    #[test]
    fn buckets_of_one_resolution_are_added() {
        // Buckets 0, 1, 4 with 2, 3, 1; and 1, 2 with 5, 1.
        let sum = native(2, &[(0, 2), (2, 1)], &[2, 1, -2]).plus(&native(2, &[(1, 2)], &[5, -4])).unwrap();
        assert_eq!(sum.positive.spans, [(0, 3), (1, 1)]);
        assert_eq!(sum.positive.deltas, [2, 6, -7, 0]);
        assert_eq!(sum.zero_count, 2.0);
    }

    #[test]
    fn buckets_of_a_finer_resolution_are_put_together() {
        // At schema 1, buckets 1 and 2 are bucket 1 of schema 0, and 3 is part of 2.
        let sum = native(1, &[(1, 3)], &[1, 1, 1]).plus(&native(0, &[(1, 1)], &[10])).unwrap();
        assert_eq!((sum.schema, sum.positive.spans, sum.positive.deltas), (0, vec![(1, 2)], vec![13, -10]));
    }

    #[test]
    fn indices_are_those_of_the_bucket_around_them() {
        let cases = [(1, 1), (2, 1), (3, 2), (0, 0), (-1, 0), (-2, -1)];
        for (index, coarser) in cases {
            assert_eq!(coarsened(index, 1), coarser, "{index}");
        }
    }

    #[test]
    fn what_cannot_be_added_is_told() {
        let custom = Native { schema: -53, ..native(0, &[], &[]) };
        assert!(custom.plus(&native(0, &[], &[])).is_err());
        assert!(native(0, &[], &[]).plus(&Native { zero_threshold: 0.1, ..native(0, &[], &[]) }).is_err());
    }

    fn histogram(count: f64, change: impl FnOnce(&mut Native)) -> Histogram {
        // Buckets 1, 2 and 5 with 1, 3 and 2, and 1 around 0.
        let mut native = native(3, &[(1, 2), (2, 1)], &[1, 2, -1]);
        change(&mut native);
        Histogram { count, native: Some(native), ..Histogram::default() }
    }

    fn floats(native: &mut Native, counts: &[f64]) {
        native.is_float = true;
        native.positive = Buckets { deltas: Vec::new(), counts: counts.to_vec(), ..native.positive.clone() };
    }

    /// Verified against Prometheus 2.42; 3.x is stricter about the count.
    #[test]
    fn what_prometheus_takes_is_sound() {
        let sound: [(&str, Histogram); 8] = [
            ("as it is", histogram(7.0, |_| {})),
            ("a schema at the edge", histogram(7.0, |native| native.schema = -4)),
            ("a negative offset first", histogram(7.0, |native| native.positive.spans[0].0 = -40)),
            ("an empty span", histogram(7.0, |native| native.positive.spans.insert(1, (3, 0)))),
            ("no number observed", Histogram { sum: f64::NAN, ..histogram(9.0, |_| {}) }),
            ("floats, whatever their sum", histogram(5.5, |native| floats(native, &[0.5, 0.0, 9.0]))),
            ("the zero bucket alone", histogram(1.0, |native| native.positive = Buckets::default())),
            ("none but the schema", histogram(9.0, |native| *native = Native { schema: 3, ..Native::default() })),
        ];
        for (name, histogram) in sound {
            assert_eq!(histogram.check_native(), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_prometheus_refuses_is_unsound() {
        let spans = |spans: &[(i32, u32)]| histogram(7.0, |native| native.positive.spans = spans.to_vec());
        let deltas = |deltas: &[i64]| histogram(7.0, |native| native.positive.deltas = deltas.to_vec());
        let threshold = |width: f64| histogram(7.0, |native| native.zero_threshold = width);
        let schema = |schema: i32| histogram(7.0, |native| native.schema = schema);
        let unsound: [(Histogram, &str); 26] = [
            (schema(9), "schema"),
            (schema(-5), "schema"),
            (schema(-53), "schema"),
            (schema(i32::MIN), "schema"),
            (threshold(-1.0), "zero threshold"),
            (threshold(f64::NAN), "zero threshold"),
            (threshold(f64::INFINITY), "zero threshold"),
            (spans(&[(1, 4)]), "spans"),
            (spans(&[(1, 2)]), "spans"),
            (spans(&[]), "spans"),
            (spans(&[(0, u32::MAX)]), "spans"),
            (spans(&[(1, 2), (-1, 1)]), "negative offset"),
            (spans(&[(i32::MIN, 3)]), "no float"),
            (spans(&[(i32::MAX, 3)]), "no float"),
            (spans(&[(i32::MAX, 1), (i32::MAX, 2)]), "no float"),
            (deltas(&[1, -5, 0]), "negative or no number"),
            (deltas(&[1 << 62, 1 << 62, 1 << 62]), "not the sum"),
            (deltas(&[i64::MAX, i64::MAX, i64::MIN]), "not the sum"),
            (deltas(&[i64::MIN, i64::MIN, 0]), "negative or no number"),
            (histogram(6.0, |_| {}), "not the sum"),
            (histogram(8.0, |_| {}), "not the sum"),
            (Histogram { sum: f64::NAN, ..histogram(6.0, |_| {}) }, "not the sum"),
            (histogram(COUNT_BOUND, |native| native.zero_count = COUNT_BOUND - 6.0), "2^53"),
            (histogram(7.0, |native| floats(native, &[1.0, -0.5, 2.0])), "negative or no number"),
            (histogram(7.0, |native| floats(native, &[1.0, f64::NAN, 2.0])), "negative or no number"),
            (histogram(7.0, |native| native.positive.counts = vec![1.0, 3.0, 2.0]), "whole counts and of floats"),
        ];
        for (histogram, reason) in unsound {
            let found = histogram.check_native().unwrap_err();
            assert!(found.contains(reason), "{histogram:?}: {found}");
            let mut negative = histogram.clone();
            let native = negative.native.as_mut().unwrap();
            std::mem::swap(&mut native.negative, &mut native.positive);
            assert_eq!(negative.check_native(), Err(found), "{negative:?}");
        }
    }

    #[test]
    fn floats_that_counted_nothing_have_no_buckets() {
        let nothing = |counts: &[f64]| {
            histogram(0.0, |native| {
                native.zero_count = 0.0;
                floats(native, counts);
            })
        };
        assert!(nothing(&[0.0, 1.0, 0.0]).check_native().unwrap_err().contains("count of 0"));
        let mut empty = nothing(&[0.0, 0.0, 0.0]);
        empty.native = empty.native.map(|native| native.without_empty_floats(0.0));
        assert_eq!((empty.check_native(), empty.native.unwrap().positive), (Ok(()), Buckets::default()));
    }
}
