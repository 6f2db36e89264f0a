//! What is pushed: each datum once, at its own time.

use std::sync::Arc;

use super::log::Datum;
use crate::encode::PointWriter;
use crate::host::Timestamp;

/// Writes datums as Telegraf's points: those of one time and the same tags share one.
pub(super) fn write(came: &[Arc<[Datum]>], out: &mut PointWriter<'_>) {
    let mut datums: Vec<&Datum> = came.iter().flat_map(|datums| datums.iter()).collect();
    // Stable: of two values for one datum the one that came later is written last, and holds.
    datums.sort_by(|a, b| point_of(a).cmp(&point_of(b)));
    for together in datums.chunk_by(|a, b| point_of(a) == point_of(b)) {
        let (first, time) = (together[0], Timestamp::from_seconds(together[0].at.max(0) as u64));
        let Some(time) = time else { continue };
        let mut out = out.at(time);
        let tags = first.metric.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut point = out.free_point(&first.metric.measurement, tags);
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
