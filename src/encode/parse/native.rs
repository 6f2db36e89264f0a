//! Native histograms added to each other.

use std::collections::BTreeMap;

use super::model::{Buckets, Native};

/// Counts by the index of their bucket.
type Counts = BTreeMap<i32, f64>;

impl Native {
    /// The observations of both, at the coarser resolution of the two.
    ///
    /// # Errors
    /// Why they cannot be added.
    pub fn plus(&self, other: &Native) -> Result<Native, &'static str> {
        const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=8;
        if self.schema != other.schema && !(EXPONENTIAL.contains(&self.schema) && EXPONENTIAL.contains(&other.schema)) {
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
            negative: side(|native| &native.negative),
            positive: side(|native| &native.positive),
        })
    }
}

/// The index of the bucket that a bucket is part of where there are two to the power of `steps` times fewer.
fn coarsened(index: i32, steps: i32) -> i32 {
    ((index - 1) >> steps) + 1
}

impl Buckets {
    /// The buckets that hold anything.
    fn counts(&self, is_float: bool) -> Counts {
        let (mut counts, mut index, mut absolute) = (Counts::new(), 0i32, 0i64);
        let mut values = (self.deltas.iter(), self.counts.iter());
        for (gap, length) in &self.spans {
            index = index.saturating_add(*gap);
            for _ in 0..*length {
                let count = match is_float {
                    true => values.1.next().copied(),
                    false => values.0.next().map(|delta| {
                        absolute = absolute.saturating_add(*delta);
                        absolute as f64
                    }),
                };
                // A span that is longer than what it tells of ends there.
                let Some(count) = count else { return counts };
                counts.insert(index, count);
                index = index.saturating_add(1);
            }
        }
        counts
    }

    fn of_counts(counts: &Counts, is_float: bool) -> Buckets {
        let (mut buckets, mut next, mut before) = (Buckets::default(), 0, 0i64);
        for (index, count) in counts {
            match buckets.spans.last_mut() {
                Some((_, length)) if *index == next => *length += 1,
                _ => buckets.spans.push((index - next, 1)),
            }
            next = index + 1;
            if is_float {
                buckets.counts.push(*count);
            } else {
                let count = *count as i64;
                buckets.deltas.push(count - before);
                before = count;
            }
        }
        buckets
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
}
