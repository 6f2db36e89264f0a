//! The gateway's self-metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::build_info;
use crate::encode::family::{self, FamilyInfo};
use crate::encode::parse::model::Kind;
use crate::encode::{Family, FamilyWriter};
use crate::gateway::replication::shared::Shared;
use crate::gateway::replication::status::Role;
use crate::http::connections;
use crate::log;

/// Counters since the start.
#[derive(Default)]
pub struct Counters {
    /// Accepted pushes.
    pub accepted: AtomicU64,
    /// Repetitions of accepted pushes.
    pub repeated: AtomicU64,
    /// Pushes refused for their content.
    pub refused: AtomicU64,
    /// Deleted groups.
    pub deleted: AtomicU64,
    /// Expired groups.
    pub expired: AtomicU64,
    /// Pushes that were not persisted.
    pub not_persisted: AtomicU64,
    /// Requests refused because the bodies in flight used all their memory.
    pub memory_exhausted: AtomicU64,
    /// Accepted points.
    pub points: AtomicU64,
    /// Refused points.
    pub points_dropped: AtomicU64,
}

const BODY_BYTES: Family<0> =
    Family::gauge("taffrail_gateway_body_bytes", "Bytes of memory used by request bodies in flight", []);
const BYTES: Family<0> =
    Family::gauge("taffrail_gateway_bytes", "Approximate bytes of memory used by groups and points", []);
const MEMORY_EXHAUSTED: Family<0> = Family::counter(
    "taffrail_gateway_crowded_out_total",
    "Requests answered 503 because request bodies in flight reached [gateway] max_bodies",
    [],
);
const DELETED: Family<0> = Family::counter("taffrail_gateway_deleted_groups_total", "Deleted groups", []);
const EXPIRED: Family<0> = Family::counter("taffrail_gateway_expired_groups_total", "Expired groups", []);
const EXPIRY_TIME: Family<1> = Family::gauge(
    "taffrail_gateway_expiry_timestamp_seconds",
    "Unix time when a group of the job last expired, for the 1,000 most recent jobs",
    ["expired_job"],
);
const GROUPS: Family<0> = Family::gauge("taffrail_gateway_groups", "Groups", []);
const METRICS: Family<0> = Family::gauge(
    "taffrail_gateway_metrics",
    "Metrics in all groups, including push_time_seconds and push_failure_time_seconds",
    [],
);
const POINT_SERIES: Family<0> =
    Family::gauge("taffrail_gateway_point_series", "Series from points in line protocol", []);
const POINTS: Family<1> = Family::counter(
    "taffrail_gateway_points_total",
    "Points in line protocol, by outcome: taken or dropped",
    ["outcome"],
);
const PUSHES: Family<1> = Family::counter(
    "taffrail_gateway_pushes_total",
    "Pushes, by outcome: taken, repeated, refused, or unkept (not persisted)",
    ["outcome"],
);

// Names of process_* are left to the jobs: many push those of their client library.
const START_TIME: Family<0> =
    Family::gauge("taffrail_gateway_start_timestamp_seconds", "Start time of the gateway in Unix time", []);

/// The gateway's own families. [`write`] also writes the build and those of connections and of the log.
pub const FAMILIES: &[FamilyInfo] = &[
    BODY_BYTES.info(),
    BYTES.info(),
    MEMORY_EXHAUSTED.info(),
    DELETED.info(),
    EXPIRED.info(),
    EXPIRY_TIME.info(),
    GROUPS.info(),
    METRICS.info(),
    POINT_SERIES.info(),
    POINTS.info(),
    PUSHES.info(),
    START_TIME.info(),
];

const ROLE: Family<1> =
    Family::gauge("taffrail_gateway_role", "Whether the replica has this role: writer, follower or stopped", ["role"]);
const APPLIED: Family<0> = Family::gauge(
    "taffrail_gateway_stream_applied_sequence",
    "Sequence of the last message of the stream that is applied",
    [],
);
const LAG: Family<0> =
    Family::gauge("taffrail_gateway_stream_lag_messages", "Messages of the stream that are not applied", []);
const PERSISTED: Family<0> = Family::gauge(
    "taffrail_gateway_stream_persisted_sequence",
    "Sequence of the last message of the stream that the replica's directory holds",
    [],
);
const REACHABLE: Family<0> = Family::gauge(
    "taffrail_gateway_stream_reachable",
    "Whether the NATS servers have described the stream within 15 s",
    [],
);
const SYNCED: Family<1> = Family::gauge(
    "taffrail_gateway_stream_synced",
    "Whether a NATS server of the stream syncs each message; absent if unknown",
    ["server"],
);

/// The families that only a replica has.
pub const REPLICA_FAMILIES: &[FamilyInfo] =
    &[ROLE.info(), APPLIED.info(), LAG.info(), PERSISTED.info(), REACHABLE.info(), SYNCED.info()];

/// Writes the families of a replica.
pub fn write_replica(out: &mut FamilyWriter<'_>, shared: &Shared) {
    let status = shared.get();
    let mut roles = out.family(&ROLE);
    for role in Role::ALL {
        roles.sample([&role.to_string()], u64::from(role == status.role));
    }
    drop(roles);
    out.value(&APPLIED, status.applied);
    out.value(&LAG, status.lag());
    out.value(&PERSISTED, status.persisted);
    out.value(&REACHABLE, u64::from(status.sees_stream()));
    let durability = shared.durability();
    let mut synced = out.family(&SYNCED);
    for (server, syncs) in &durability.servers {
        if let Some(syncs) = syncs {
            synced.sample([server], u64::from(*syncs));
        }
    }
}

/// The type of the self-metric of this name.
pub fn kind_of(name: &str) -> Option<Kind> {
    const BUILD: &[FamilyInfo] = &[build_info::FAMILY.info()];
    let all = [BUILD, FAMILIES, REPLICA_FAMILIES, connections::FAMILIES, log::FAMILIES];
    let own = all.into_iter().flatten().find(|own| own.name == name)?;
    Some(match own.kind {
        family::Kind::Counter => Kind::Counter,
        family::Kind::Gauge => Kind::Gauge,
        family::Kind::Untyped => Kind::Untyped,
        family::Kind::Histogram => Kind::Histogram,
        family::Kind::Summary => Kind::Summary,
    })
}

/// Increments a counter.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds to a counter.
pub fn count_by(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// The values of the gauges at one moment.
#[derive(Default)]
pub struct Gauges {
    /// Number of groups.
    pub groups: usize,
    /// Metrics of all groups.
    pub metrics: usize,
    /// Bytes of memory of groups and points.
    pub bytes: usize,
    /// Bytes of memory of bodies in flight.
    pub body_bytes: usize,
    /// When a group of each job last expired, in seconds of Unix time.
    pub expired: Arc<BTreeMap<String, f64>>,
    /// Series from points.
    pub point_series: usize,
    /// When the gateway started, in seconds of Unix time.
    pub started: f64,
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Writes all families.
pub fn write(out: &mut FamilyWriter<'_>, counters: &Counters, gauges: &Gauges) {
    build_info::write(out);
    connections::write_families(out);
    log::write_families(out);
    out.value(&BODY_BYTES, gauges.body_bytes as u64);
    out.value(&BYTES, gauges.bytes as u64);
    out.value(&MEMORY_EXHAUSTED, get(&counters.memory_exhausted));
    out.value(&DELETED, get(&counters.deleted));
    out.value(&EXPIRED, get(&counters.expired));
    write_expiry_times(out, &gauges.expired);
    out.value(&GROUPS, gauges.groups as u64);
    out.value(&METRICS, gauges.metrics as u64);
    out.value(&POINT_SERIES, gauges.point_series as u64);
    write_points(out, counters);
    let mut pushes = out.family(&PUSHES);
    pushes.sample(["refused"], get(&counters.refused));
    pushes.sample(["repeated"], get(&counters.repeated));
    pushes.sample(["taken"], get(&counters.accepted));
    pushes.sample(["unkept"], get(&counters.not_persisted));
    drop(pushes);
    out.value(&START_TIME, gauges.started);
}

fn write_expiry_times(out: &mut FamilyWriter<'_>, expired: &BTreeMap<String, f64>) {
    let mut times = out.family(&EXPIRY_TIME);
    for (job, time) in expired.iter() {
        times.sample([job], *time);
    }
}

fn write_points(out: &mut FamilyWriter<'_>, counters: &Counters) {
    let mut points = out.family(&POINTS);
    points.sample(["dropped"], get(&counters.points_dropped));
    points.sample(["taken"], get(&counters.points));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::negotiate::Format;
    use crate::sinks::render;

    #[test]
    fn all_that_is_written_is_known_to_be_the_gateways_own() {
        let expired = Arc::new([("backup".to_owned(), 1.0)].into());
        let gauges = Gauges { expired, ..Gauges::default() };
        let written = render::whole(Format::Text, 0, |out| write(out, &Counters::default(), &gauges));
        let written = String::from_utf8(written).unwrap();
        let heads = written.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let heads: Vec<&str> = heads.collect();
        assert!(heads.iter().all(|name| kind_of(name).is_some()), "{heads:?}");
        // By it, rules find gateways that are down.
        assert!(heads.contains(&"taffrail_build_info"), "{heads:?}");
        // The list has no others.
        let own = heads.into_iter().filter(|name| FAMILIES.iter().any(|family| family.name == *name));
        assert_eq!(own.collect::<Vec<_>>(), FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>());
    }
}
