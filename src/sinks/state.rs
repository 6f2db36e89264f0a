//! What a push sink holds, and what it tells of itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::collectors::readers::Answer;
use crate::encode::family::FamilyInfo;
use crate::encode::point::Lines;
use crate::encode::{Family, FamilyWriter};
use crate::spool::Queue;
use crate::spool::owners::Orphan;

/// What becomes of points before they wait.
pub type Prepare = Box<dyn FnMut(Lines) -> Lines + Send>;

/// What one push sink holds and counts. It lives as long as the process, also across reloads.
pub struct SinkState {
    /// The points that wait.
    pub queue: Queue,
    /// What becomes of points before they wait.
    prepare: Mutex<Option<Prepare>>,
    /// Told when points came.
    pub arrived: Notify,
    /// Told when they are on disk, or as safe as they can be.
    pub kept: Notify,
    /// The readings of the last tick, from which the next one tells differences.
    pub previous: Mutex<Vec<Answer>>,
    /// Points that the server has.
    pub sent: AtomicU64,
    /// Points that the server refused for good.
    pub dropped_rejected: AtomicU64,
    /// Writes that failed and were, or will be, tried again.
    pub retries: AtomicU64,
    /// Writes, and how long they took together, in nanoseconds.
    writes: AtomicU64,
    writing: AtomicU64,
}

impl SinkState {
    /// A sink that has done nothing yet.
    pub fn new(queue: Queue) -> Self {
        let [sent, dropped_rejected, retries, writes, writing] = [const { AtomicU64::new(0) }; 5];
        let [arrived, kept] = [const { Notify::const_new() }; 2];
        SinkState {
            queue,
            prepare: Mutex::default(),
            arrived,
            kept,
            previous: Mutex::default(),
            sent,
            dropped_rejected,
            retries,
            writes,
            writing,
        }
    }

    /// From here on, `prepare` says what becomes of points.
    pub fn prepare_with(&self, prepare: Option<Prepare>) {
        *self.prepare.lock().unwrap_or_else(PoisonError::into_inner) = prepare;
    }

    /// Counts a write that took so long, whatever the server said.
    pub fn wrote_in(&self, time: Duration) {
        self.writes.fetch_add(1, Relaxed);
        self.writing.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// Takes points, which are on disk soon.
    pub fn take(&self, lines: Lines) {
        let mut prepare = self.prepare.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.push(match &mut *prepare {
            Some(prepare) => prepare(lines),
            None => lines,
        });
        drop(prepare);
        self.arrived.notify_one();
    }
}

const SENT: Family<1> = Family::counter("taffrail_sink_points_sent_total", "Points that the server has.", ["sink"]);
const DROPPED: Family<2> = Family::counter(
    "taffrail_sink_points_dropped_total",
    "Points that were given up: overflow, there was no room; expired, they waited too long; rejected, the server refused them; damaged, the disk did not give them back.",
    ["reason", "sink"],
);
const RETRIES: Family<1> =
    Family::counter("taffrail_sink_retries_total", "Writes that failed and are tried again.", ["sink"]);
const QUEUED_POINTS: Family<1> = Family::gauge("taffrail_sink_queued_points", "Points that wait to be sent.", ["sink"]);
const QUEUED_BYTES: Family<1> =
    Family::gauge("taffrail_sink_queued_bytes", "Bytes of the points that wait to be sent.", ["sink"]);
const IN_MEMORY: Family<1> = Family::gauge(
    "taffrail_sink_unkept_points",
    "Points that wait in memory alone, and would be lost if Taffrail were killed.",
    ["sink"],
);
const OLDEST: Family<1> =
    Family::gauge("taffrail_sink_oldest_seconds", "How long the oldest points have waited on disk, about.", ["sink"]);

const WRITES: Family<1> = Family::counter("taffrail_sink_writes_total", "Writes, also those that failed.", ["sink"]);
const WRITING: Family<1> = Family::counter(
    "taffrail_sink_write_seconds_total",
    "Seconds that writes took; divided by their number, how long one takes.",
    ["sink"],
);

const ORPHANED_POINTS: Family<0> = Family::gauge(
    "taffrail_spool_orphaned_points",
    "Points in folders of the spool that belong to no sink, when sinks were started last.",
    [],
);
const ORPHANED_BYTES: Family<0> =
    Family::gauge("taffrail_spool_orphaned_bytes", "Bytes of these points, when sinks were started last.", []);

/// What waits in the spool for no sink.
#[derive(Debug, Default)]
pub struct Orphans {
    points: AtomicU64,
    bytes: AtomicU64,
}

impl Orphans {
    /// These were found.
    pub fn set(&self, orphans: &[Orphan]) {
        self.points.store(orphans.iter().map(|orphan| orphan.points).sum(), Relaxed);
        self.bytes.store(orphans.iter().map(|orphan| orphan.bytes).sum(), Relaxed);
    }

    /// A sink ended, and left this.
    pub fn add(&self, points: usize, bytes: usize) {
        self.points.fetch_add(points as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Names what was found as families.
    pub fn write_families(&self, out: &mut FamilyWriter<'_>) {
        out.value(&ORPHANED_POINTS, self.points.load(Relaxed));
        out.value(&ORPHANED_BYTES, self.bytes.load(Relaxed));
    }
}

/// The families that tell of push sinks.
pub const FAMILIES: &[FamilyInfo] = &[
    ORPHANED_POINTS.info(),
    ORPHANED_BYTES.info(),
    SENT.info(),
    DROPPED.info(),
    RETRIES.info(),
    QUEUED_POINTS.info(),
    QUEUED_BYTES.info(),
    IN_MEMORY.info(),
    OLDEST.info(),
    WRITES.info(),
    WRITING.info(),
];

/// Names the counts of all sinks as families.
pub fn write_families(sinks: &[(String, Arc<SinkState>)], out: &mut FamilyWriter<'_>) {
    type CountOf = fn(&SinkState) -> u64;
    let plain: [(&Family<1>, CountOf); 7] = [
        (&SENT, |sink| sink.sent.load(Relaxed)),
        (&WRITES, |sink| sink.writes.load(Relaxed)),
        (&RETRIES, |sink| sink.retries.load(Relaxed)),
        (&QUEUED_POINTS, |sink| sink.queue.counts().points as u64),
        (&QUEUED_BYTES, |sink| sink.queue.counts().bytes as u64),
        (&IN_MEMORY, |sink| sink.queue.counts().in_memory as u64),
        (&OLDEST, |sink| sink.queue.counts().oldest.as_secs()),
    ];
    for (family, count) in plain {
        let mut samples = out.family(family);
        for (name, sink) in sinks {
            samples.sample([name], count(sink));
        }
    }
    let mut writing = out.family(&WRITING);
    for (name, sink) in sinks {
        writing.sample([name], sink.writing.load(Relaxed) as f64 / 1e9);
    }
    drop(writing);
    let mut dropped = out.family(&DROPPED);
    for (name, sink) in sinks {
        let counts = sink.queue.counts();
        dropped.sample(["damaged", name], counts.damaged);
        dropped.sample(["expired", name], counts.expired);
        dropped.sample(["overflow", name], counts.overflow);
        dropped.sample(["rejected", name], sink.dropped_rejected.load(Relaxed));
    }
}
