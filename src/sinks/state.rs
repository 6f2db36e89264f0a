//! The state of a push sink, and its self-metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

use crate::collectors::readers::CollectorReading;
use crate::encode::family::FamilyInfo;
use crate::encode::lines::Lines;
use crate::encode::remote::Present;
use crate::encode::{Family, FamilyWriter, reserved_tags};
use crate::spool::Queue;
use crate::spool::folders::Orphan;

/// The queue and the counters of one push sink. They survive reloads.
pub struct SinkState {
    /// The points to send.
    pub queue: Queue,
    /// Notified when points arrive.
    pub arrived: Notify,
    /// Notified after each attempt to persist points.
    pub persist_done: Notify,
    /// Number of attempts to persist points.
    rounds: watch::Sender<u64>,
    /// The readings of the last tick, for the differences at the next.
    pub previous: Mutex<Vec<CollectorReading>>,
    /// The series of the last tick, for stale markers at the next.
    pub(super) present: Mutex<Present>,
    /// Points that the server accepted.
    pub sent: AtomicU64,
    /// Points that the server rejected.
    pub dropped_rejected: AtomicU64,
    /// Failed writes that are retried.
    pub retries: AtomicU64,
    /// Writes, and their total duration in nanoseconds.
    writes: AtomicU64,
    writing: AtomicU64,
    /// The duration of the last write in nanoseconds.
    pub(super) last_write: AtomicU64,
    /// Points queued.
    pub(super) added: AtomicU64,
    /// The results of writes.
    results: Mutex<Results>,
}

/// The results of a sink's writes.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The last one.
    pub last: Option<WriteResult>,
    /// When the server last accepted points.
    pub last_success: Option<SystemTime>,
}

/// The result of one write.
#[derive(Clone, Debug)]
pub struct WriteResult {
    /// When it arrived.
    pub at: SystemTime,
    /// Whether the server accepted points.
    pub is_success: bool,
    /// The server's message or the failure, without secrets; none if all points were accepted.
    pub message: Option<String>,
}

/// A running sink, for the self-metrics.
pub struct RunningSink {
    /// Its name.
    pub name: String,
    /// Its kind, as in `[[sinks.KIND]]`.
    pub kind: &'static str,
    /// Where it writes, without credentials.
    pub address: String,
    /// Its state.
    pub state: Arc<SinkState>,
}

impl SinkState {
    /// The initial state of a sink with this queue.
    pub fn new(queue: Queue) -> Self {
        let [sent, dropped_rejected, retries, writes, writing, last_write, added] = [const { AtomicU64::new(0) }; 7];
        let [arrived, persist_done] = [const { Notify::const_new() }; 2];
        SinkState {
            queue,
            arrived,
            persist_done,
            rounds: watch::Sender::default(),
            previous: Mutex::default(),
            present: Mutex::default(),
            sent,
            dropped_rejected,
            retries,
            writes,
            writing,
            last_write,
            added,
            results: Mutex::default(),
        }
    }

    /// Counts a write, successful or not, and its duration.
    pub fn count_write(&self, time: Duration) {
        self.writes.fetch_add(1, Relaxed);
        self.writing.fetch_add(time.as_nanos() as u64, Relaxed);
        self.last_write.store(time.as_nanos() as u64, Relaxed);
    }

    /// Records the result of a write.
    pub fn record_result(&self, result: WriteResult) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_success {
            results.last_success = Some(result.at);
        }
        results.last = Some(result);
    }

    /// The results of its writes.
    pub fn results(&self) -> Results {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Points dropped, for any reason.
    pub fn dropped(&self) -> u64 {
        let counts = self.queue.counts();
        counts.damaged + counts.expired + counts.overflow + self.dropped_rejected.load(Relaxed)
    }

    /// Accepts points, which are persisted soon. Returns what [`SinkState::persisted`] waits for.
    pub fn accept(&self, lines: Lines) -> Option<u64> {
        self.added.fetch_add(lines.count() as u64, Relaxed);
        let end = self.queue.push(lines);
        self.arrived.notify_one();
        end
    }

    /// Reports that everything accepted so far was persisted, as far as the disk accepts it.
    pub fn report_persisted(&self) {
        self.rounds.send_modify(|rounds| *rounds += 1);
        self.persist_done.notify_one();
    }

    /// Waits until the points up to `end` are persisted, or two rounds have not persisted them: the round in progress
    /// may have started before them. Returns at once for a queue in memory. Rounds count from this call on, even before
    /// the future is polled. Without a round, it waits forever.
    pub fn persisted(&self, end: u64) -> impl Future<Output = ()> {
        const ROUNDS: u64 = 2;
        let mut rounds = self.rounds.subscribe();
        let last = *rounds.borrow() + ROUNDS;
        async move {
            while self.queue.is_on_disk() {
                // Read first, so that a round after the check wakes this up.
                let round = *rounds.borrow_and_update();
                if round >= last || self.queue.is_persisted(end) || rounds.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

const SENT: Family<1> = Family::counter("taffrail_sink_points_sent_total", "Points accepted by the server", ["sink"]);
const DROPPED: Family<2> = Family::counter(
    "taffrail_sink_points_dropped_total",
    "Points dropped: queue overflow, expired, rejected by the server, or damaged on disk",
    ["reason", "sink"],
);
const RETRIES: Family<1> = Family::counter("taffrail_sink_retries_total", "Failed writes that are retried", ["sink"]);
const QUEUED_POINTS: Family<1> = Family::gauge("taffrail_sink_queued_points", "Points queued", ["sink"]);
const QUEUED_BYTES: Family<1> = Family::gauge("taffrail_sink_queued_bytes", "Bytes of queued points", ["sink"]);
const IN_MEMORY: Family<1> =
    Family::gauge("taffrail_sink_unkept_points", "Queued points that are not persisted", ["sink"]);
const OLDEST: Family<1> =
    Family::gauge("taffrail_sink_oldest_seconds", "Approximate age of the oldest points on disk", ["sink"]);

const WRITES: Family<1> =
    Family::counter("taffrail_sink_writes_total", "Writes attempted, including failed ones", ["sink"]);
const WRITING: Family<1> = Family::counter("taffrail_sink_write_seconds_total", "Total time spent in writes", ["sink"]);

const RESERVED_TAGS: Family<0> = Family::counter(
    "taffrail_reserved_tags_dropped_total",
    "Tags called time that points are written without; InfluxDB rejects points with one",
    [],
);

const ORPHANED_POINTS: Family<0> = Family::gauge(
    "taffrail_spool_orphaned_points",
    "Points in spool folders that belong to no sink, as of the last sink start",
    [],
);
const ORPHANED_BYTES: Family<0> = Family::gauge(
    "taffrail_spool_orphaned_bytes",
    "Bytes in spool folders that belong to no sink, as of the last sink start",
    [],
);

/// The points in the spool that belong to no sink.
#[derive(Debug, Default)]
pub struct Orphans {
    points: AtomicU64,
    bytes: AtomicU64,
}

impl Orphans {
    /// Sets the numbers from the orphans found.
    pub fn set(&self, orphans: &[Orphan]) {
        self.points.store(orphans.iter().map(|orphan| orphan.points).sum(), Relaxed);
        self.bytes.store(orphans.iter().map(|orphan| orphan.bytes).sum(), Relaxed);
    }

    /// Adds the points that a removed sink left.
    pub fn add(&self, points: usize, bytes: usize) {
        self.points.fetch_add(points as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Writes the families.
    pub fn write_families(&self, out: &mut FamilyWriter<'_>) {
        out.value(&ORPHANED_POINTS, self.points.load(Relaxed));
        out.value(&ORPHANED_BYTES, self.bytes.load(Relaxed));
    }
}

/// The self-metrics of push sinks.
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
    RESERVED_TAGS.info(),
];

/// Writes the families of all sinks.
pub fn write_families(sinks: &[RunningSink], out: &mut FamilyWriter<'_>) {
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
        for RunningSink { name, state: sink, .. } in sinks {
            samples.sample([name], count(sink));
        }
    }
    let mut writing = out.family(&WRITING);
    for RunningSink { name, state: sink, .. } in sinks {
        writing.sample([name], sink.writing.load(Relaxed) as f64 / 1e9);
    }
    drop(writing);
    let mut dropped = out.family(&DROPPED);
    for RunningSink { name, state: sink, .. } in sinks {
        let counts = sink.queue.counts();
        dropped.sample(["damaged", name], counts.damaged);
        dropped.sample(["expired", name], counts.expired);
        dropped.sample(["overflow", name], counts.overflow);
        dropped.sample(["rejected", name], sink.dropped_rejected.load(Relaxed));
    }
    drop(dropped);
    out.value(&RESERVED_TAGS, reserved_tags());
}
