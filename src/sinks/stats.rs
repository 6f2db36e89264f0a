//! What push sinks tell of themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

/// The counts of one push sink. They live as long as the process, also across reloads.
#[derive(Debug, Default)]
pub struct SinkStats {
    /// Points that the server has.
    pub sent: AtomicU64,
    /// Points that were dropped, the oldest first, because the buffer was full.
    pub dropped_overflow: AtomicU64,
    /// Points that the server refused for good.
    pub dropped_rejected: AtomicU64,
    /// Writes that failed and were, or will be, tried again.
    pub retries: AtomicU64,
    /// Points that wait.
    pub queued_points: AtomicU64,
    /// Their bytes.
    pub queued_bytes: AtomicU64,
}

const SENT: Family<1> = Family::counter("taffrail_sink_points_sent_total", "Points that the server has.", ["sink"]);
const DROPPED: Family<2> = Family::counter(
    "taffrail_sink_points_dropped_total",
    "Points that were given up: overflow, the buffer was full; rejected, the server refused them.",
    ["reason", "sink"],
);
const RETRIES: Family<1> =
    Family::counter("taffrail_sink_retries_total", "Writes that failed and are tried again.", ["sink"]);
const QUEUED_POINTS: Family<1> = Family::gauge("taffrail_sink_queued_points", "Points that wait to be sent.", ["sink"]);
const QUEUED_BYTES: Family<1> =
    Family::gauge("taffrail_sink_queued_bytes", "Bytes of the points that wait to be sent.", ["sink"]);

/// The families that tell of push sinks.
pub const FAMILIES: &[FamilyInfo] =
    &[SENT.info(), DROPPED.info(), RETRIES.info(), QUEUED_POINTS.info(), QUEUED_BYTES.info()];

/// Names the counts of all sinks as families.
pub fn write_families(sinks: &[(String, Arc<SinkStats>)], out: &mut FamilyWriter<'_>) {
    type CountOf = fn(&SinkStats) -> &AtomicU64;
    let plain: [(&Family<1>, CountOf); 4] = [
        (&SENT, |stats| &stats.sent),
        (&RETRIES, |stats| &stats.retries),
        (&QUEUED_POINTS, |stats| &stats.queued_points),
        (&QUEUED_BYTES, |stats| &stats.queued_bytes),
    ];
    for (family, count) in plain {
        let mut samples = out.family(family);
        for (sink, stats) in sinks {
            samples.sample([sink], count(stats).load(Relaxed));
        }
    }
    let mut dropped = out.family(&DROPPED);
    for (sink, stats) in sinks {
        dropped.sample(["overflow", sink], stats.dropped_overflow.load(Relaxed));
        dropped.sample(["rejected", sink], stats.dropped_rejected.load(Relaxed));
    }
}
