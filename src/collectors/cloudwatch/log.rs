//! The data points in order of arrival, for sinks that push each of them once.

use std::sync::Arc;

use super::id::Seconds;
use super::metric::Metric;
use crate::collectors::framework::arrivals;
use crate::encode::{PointWriter, Timestamp};

/// The data points that can still be read.
pub(super) type Log = arrivals::Log<Datum>;

/// Maximum data points retained for a reader that does not advance.
pub(super) const MAX_DATUMS: usize = 500_000;

/// One data point.
#[derive(Clone, Debug)]
pub(super) struct Datum {
    /// The metric.
    pub(super) metric: Arc<Metric>,
    /// Index of the statistic in the job.
    pub(super) statistic: usize,
    /// Start of its period.
    pub(super) at: Seconds,
    /// Its value.
    pub(super) value: f64,
}

/// Writes Telegraf's points. Data points with the same time and tags share one point.
pub(super) fn write_points(came: &[Arc<[Datum]>], out: &mut PointWriter<'_>) {
    let mut datums: Vec<&Datum> = came.iter().flat_map(|datums| datums.iter()).collect();
    // The sort is stable, so that a corrected value is written last, and wins.
    datums.sort_by(|a, b| point_of(a).cmp(&point_of(b)));
    for together in datums.chunk_by(|a, b| point_of(a) == point_of(b)) {
        let (first, time) = (together[0], Timestamp::from_seconds(together[0].at.max(0) as u64));
        let Some(time) = time else { continue };
        let tags = first.metric.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut point = out.free_point_at(time, &first.metric.measurement, tags);
        for (index, datum) in together.iter().enumerate() {
            let is_last = !together[index + 1..].iter().any(|later| is_same_field(datum, later));
            if is_last {
                point.free_field::<f64>(&[&datum.metric.names[datum.statistic].field], datum.value);
            }
        }
    }
}

fn point_of(datum: &Datum) -> (&str, &[(String, String)], i64) {
    (&datum.metric.measurement, &datum.metric.tags, datum.at)
}

fn is_same_field(a: &Datum, b: &Datum) -> bool {
    a.metric.names[a.statistic].field == b.metric.names[b.statistic].field
}
