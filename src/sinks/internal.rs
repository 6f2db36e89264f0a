//! The self-metrics of the agent and of push sinks as points, under the names of Telegraf's `inputs.internal`.

use std::sync::atomic::Ordering::Relaxed;

use super::state::{RunningSink, SinkState};
use crate::collectors::readers::{CollectorReading, Readers, Totals, VERSION};
use crate::encode::point::MeasurementInfo;
use crate::encode::{Field, Measurement, PointWriter};

const GATHER_ERRORS: Field<u64> = Field::new("gather_errors", "incomplete readings");
const GATHER_TIMEOUTS: Field<u64> = Field::new("gather_timeouts", "readings that were not there in time");
const GATHERED: Field<u64> = Field::new("metrics_gathered", "points of all collectors, over all sinks");
const WRITTEN: Field<u64> = Field::new("metrics_written", "points accepted by the servers");
const DROPPED: Field<u64> = Field::new("metrics_dropped", "points dropped: overflow, expired or damaged");
const COLLECTORS_HUNG: Field<u64> = Field::new("collectors_hung", "collectors blocked in a call that does not return");
const THREADS_HUNG: Field<u64> =
    Field::new("threads_hung", "threads blocked on a mount, service or file that does not respond");
const AGENT: Measurement<1> = Measurement::new(
    "internal_agent",
    ["version"],
    &[
        GATHER_ERRORS.info(),
        GATHER_TIMEOUTS.info(),
        GATHERED.info(),
        WRITTEN.info(),
        DROPPED.info(),
        REJECTED.info(),
        COLLECTORS_HUNG.info(),
        THREADS_HUNG.info(),
    ],
);

const ADDED: Field<u64> = Field::new("metrics_added", "points queued");
const REJECTED: Field<u64> = Field::new("metrics_rejected", "points rejected by the server");
const ERRORS: Field<u64> = Field::new("errors", "failed writes that are retried");
const WRITE_TIME: Field<u64> = Field::new("write_time_ns", "duration of the last write in nanoseconds");
const BUFFER_SIZE: Field<u64> = Field::new("buffer_size", "points queued now");
const BUFFER_BYTES: Field<u64> = Field::new("buffer_bytes", "bytes of these");
const BUFFER_IN_MEMORY: Field<u64> = Field::new("buffer_in_memory", "points queued now that are not persisted");
const BUFFER_AGE: Field<u64> = Field::new("buffer_age_ns", "approximate age of the oldest points on disk");
const WRITE: Measurement<3> = Measurement::new(
    "internal_write",
    ["alias", "output", "version"],
    &[
        ADDED.info(),
        WRITTEN.info(),
        DROPPED.info(),
        REJECTED.info(),
        ERRORS.info(),
        WRITE_TIME.info(),
        BUFFER_SIZE.info(),
        BUFFER_BYTES.info(),
        BUFFER_IN_MEMORY.info(),
        BUFFER_AGE.info(),
    ],
);

/// The measurements about the agent and its sinks.
pub const MEASUREMENTS: &[MeasurementInfo] = &[AGENT.info(), WRITE.info()];

/// Writes the points about the agent and each sink. The `readings` are those of this tick, already written.
pub fn write_points(
    readers: &Readers,
    readings: &[CollectorReading],
    sinks: &[RunningSink],
    out: &mut PointWriter<'_>,
) {
    let totals = Totals::of(readings);
    let sum = |count: fn(&SinkState) -> u64| sinks.iter().map(|sink| count(&sink.state)).sum::<u64>();
    let mut agent = out.point(&AGENT, [VERSION]);
    agent.field(&GATHER_ERRORS, totals.errors).field(&GATHER_TIMEOUTS, totals.timeouts);
    agent.field(&GATHERED, totals.points).field(&WRITTEN, sum(written)).field(&DROPPED, sum(dropped));
    agent.field(&REJECTED, sum(rejected));
    agent.field(&COLLECTORS_HUNG, readers.hung_collectors() as u64);
    agent.field(&THREADS_HUNG, readers.hung_threads() as u64);
    drop(agent);
    for RunningSink { name, kind, state, .. } in sinks {
        let counts = state.queue.counts();
        let mut write = out.point(&WRITE, [name, kind, VERSION]);
        write.field(&ADDED, state.added.load(Relaxed)).field(&WRITTEN, written(state)).field(&DROPPED, dropped(state));
        write.field(&REJECTED, rejected(state)).field(&ERRORS, state.retries.load(Relaxed));
        write.field(&WRITE_TIME, state.last_write.load(Relaxed));
        write.field(&BUFFER_SIZE, counts.points as u64).field(&BUFFER_BYTES, counts.bytes as u64);
        write.field(&BUFFER_IN_MEMORY, counts.in_memory as u64);
        write.field(&BUFFER_AGE, counts.oldest.as_nanos() as u64);
    }
}

fn written(sink: &SinkState) -> u64 {
    sink.sent.load(Relaxed)
}

fn rejected(sink: &SinkState) -> u64 {
    sink.dropped_rejected.load(Relaxed)
}

fn dropped(sink: &SinkState) -> u64 {
    let counts = sink.queue.counts();
    counts.damaged + counts.expired + counts.overflow
}
