//! How a push is combined with the series that its group has.
//!
//! | type | aggregated as |
//! |---|---|
//! | counter | the sum |
//! | histogram | the sum; of the classic buckets that both have, of native buckets at the coarser resolution |
//! | summary | the sum of counts and of sums; quantiles cannot be added and are omitted |
//! | gauge, untyped | see [`GaugeMode`] |
//! | info, state set | the pushed value |

use crate::encode::parse::model::{Histogram, Kind, Measure, Metric};

/// What a push does to the families that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Replaces them.
    #[default]
    Families,
    /// Replaces the series that it names; others stay.
    Series,
    /// Adds its values to those of the group.
    Aggregate(GaugeMode),
}

/// How gauges are aggregated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GaugeMode {
    /// The pushed value.
    #[default]
    Last,
    /// The sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl GaugeMode {
    /// All modes, with the names that settings and requests use.
    pub const ALL: [(&'static str, GaugeMode); 4] =
        [("last", GaugeMode::Last), ("sum", GaugeMode::Sum), ("max", GaugeMode::Max), ("min", GaugeMode::Min)];

    fn of(self, before: f64, pushed: f64) -> f64 {
        match self {
            GaugeMode::Last => pushed,
            GaugeMode::Sum => before + pushed,
            GaugeMode::Max => before.max(pushed),
            GaugeMode::Min => before.min(pushed),
        }
    }
}

/// Combines a series of the group with the pushed one.
///
/// # Errors
/// Why the two cannot be added.
pub(super) fn combine<'p>(
    kind: Kind,
    before: &Metric<'_>,
    pushed: &Metric<'p>,
    mode: Mode,
) -> Result<Metric<'p>, &'static str> {
    let Mode::Aggregate(gauges) = mode else { return Ok(pushed.clone()) };
    let measure = match (&before.measure, &pushed.measure) {
        (Measure::Number(before), Measure::Number(pushed)) => Measure::Number(match kind {
            Kind::Counter => before + pushed,
            Kind::Info | Kind::StateSet => *pushed,
            _ => gauges.of(*before, *pushed),
        }),
        (Measure::Summary { count, sum, .. }, Measure::Summary { count: more, sum: further, .. }) => {
            Measure::Summary { count: count + more, sum: sum + further, quantiles: Vec::new() }
        }
        (Measure::Histogram(before), Measure::Histogram(pushed)) => {
            Measure::Histogram(Box::new(added(before, pushed)?))
        }
        _ => return Err("it was pushed in another form before"),
    };
    let created = [before.created, pushed.created].into_iter().flatten().reduce(f64::min);
    Ok(Metric { measure, created, ..pushed.clone() })
}

/// The sum of two histograms.
fn added(one: &Histogram, other: &Histogram) -> Result<Histogram, &'static str> {
    let native = match (&one.native, &other.native) {
        (None, None) => None,
        (Some(one), Some(other)) => Some(one.plus(other)?),
        _ => return Err("one histogram has native buckets, and the other has not"),
    };
    let mut buckets = Vec::with_capacity(one.buckets.len());
    for (bound, count) in &one.buckets {
        // For a bound of only one of them, the count of the other is unknown.
        let same = other.buckets.iter().find(|(candidate, _)| candidate == bound);
        buckets.extend(same.map(|(_, more)| (*bound, count + more)));
    }
    let sum = Histogram { count: one.count + other.count, sum: one.sum + other.sum, buckets, native };
    // The sum may exceed the limits of native histograms.
    sum.check_native().map(|()| sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::encode::parse::model::{Buckets, Native};
    use crate::encode::parse::{Format, Limits, parse};
    use crate::encode::pushed::{push_family_message, push_metric_message};

    fn buckets() -> impl Strategy<Value = Buckets> {
        let gap = prop_oneof![60 => 0..6i32, 1 => select(vec![-3, i32::MIN, i32::MAX, 1 << 29, -(1 << 29)])];
        let length = prop_oneof![60 => 0..4u32, 1 => select(vec![u32::MAX, 1 << 31])];
        let delta = prop_oneof![60 => 0..6i64, 1 => select(vec![-2, i64::MIN, i64::MAX, 1 << 52, 1 << 62])];
        let spans = prop::collection::vec((gap, length), 0..4);
        (spans, prop::collection::vec(delta, 12), prop::bool::weighted(0.97)).prop_map(|(spans, mut deltas, fits)| {
            let length: u64 = spans.iter().map(|(_, length)| u64::from(*length)).sum();
            deltas.truncate(if fits { length as usize } else { 5 });
            Buckets { spans, deltas, counts: Vec::new() }
        })
    }

    /// Histograms, most of them valid.
    fn histogram() -> impl Strategy<Value = Histogram> {
        let schema = prop_oneof![20 => -4..=8i32, 1 => select(vec![9, -5, -53, i32::MIN, i32::MAX])];
        let odd = select(vec![0.0, -1.0, 0.5, f64::NAN, f64::INFINITY, 2f64.powi(53), f64::MAX]);
        let (is_float, is_odd) = (prop::bool::ANY, prop::bool::weighted(0.05));
        (schema, buckets(), buckets(), 0..3u8, is_float, (is_odd, odd)).prop_map(
            |(schema, negative, positive, zero, is_float, (is_odd, odd))| {
                let zero_count = f64::from(zero);
                let mut native = Native { schema, zero_count, is_float, negative, positive, ..Native::default() };
                let mut count = zero_count;
                for side in [&mut native.negative, &mut native.positive] {
                    let running = side.deltas.iter().scan(0f64, |at, delta| {
                        *at += *delta as f64;
                        Some(*at)
                    });
                    let running: Vec<f64> = running.collect();
                    count += running.iter().sum::<f64>();
                    if is_float {
                        side.deltas.clear();
                        side.counts = running;
                    }
                }
                if is_odd {
                    count = odd;
                }
                Histogram { count, sum: 1.0, buckets: Vec::new(), native: Some(native) }
            },
        )
    }

    fn message(histogram: &Histogram) -> Vec<u8> {
        let measure = Measure::Histogram(Box::new(histogram.clone()));
        let metric = Metric { labels: Vec::new(), measure, timestamp: None, created: None };
        let (mut metrics, mut body) = (Vec::new(), Vec::new());
        push_metric_message(&mut metrics, Kind::Histogram, &metric);
        push_family_message(&mut body, "h", Kind::Histogram, "", &metrics);
        body
    }

    /// The histogram that the parser reads; none if it refuses it.
    fn read(histogram: &Histogram) -> Option<Histogram> {
        let body = message(histogram);
        let read = parse(Format::Protobuf, &body, &Limits::default()).ok()?;
        match &read.families[0].metrics[0].measure {
            Measure::Histogram(read) => Some((**read).clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whatever_is_pushed_what_comes_of_it_is_taken_by_prometheus() {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        let (taken, summed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let config = ProptestConfig { failure_persistence: None, cases: 4000, ..Default::default() };
        proptest!(config, |(one in histogram(), other in histogram())| {
            // Nothing panics, valid or not.
            drop(added(&one, &other));
            if let (Some(one), Some(other)) = (read(&one), read(&other)) {
                taken.fetch_add(1, Relaxed);
                if let Ok(sum) = added(&one, &other) {
                    summed.fetch_add(1, Relaxed);
                    prop_assert_eq!(sum.count, one.count + other.count);
                    prop_assert_eq!(read(&sum), Some(sum));
                }
            }
        });
        // Enough of the pairs are valid.
        let (taken, summed) = (taken.into_inner(), summed.into_inner());
        assert!(taken > 400 && summed > taken / 2, "{taken} pairs were taken, {summed} added");
    }

    #[test]
    fn a_sum_beyond_what_is_exact_is_refused() {
        let large = |count: f64| {
            let native = Native { zero_count: count, zero_threshold: 1.0, ..Native::default() };
            Histogram { count, native: Some(native), ..Histogram::default() }
        };
        let most = 2f64.powi(53) - 1.0;
        assert!(added(&large(most - 1.0), &large(1.0)).is_ok());
        assert!(added(&large(most), &large(1.0)).unwrap_err().contains("2^53"));
    }
}
