//! What the gateway tells of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use super::state::State;
use super::sweep::Expired;
use crate::encode::family::{self, FamilyInfo};
use crate::encode::parse::model::Kind;
use crate::encode::{Family, FamilyWriter};
use crate::http::connections;
use crate::log;

/// What was counted since the start.
#[derive(Default)]
pub struct Counts {
    /// Pushes that were taken.
    pub taken: AtomicU64,
    /// Pushes that came again, and had been taken.
    pub repeated: AtomicU64,
    /// Pushes that were refused for what they hold.
    pub refused: AtomicU64,
    /// Groups that were deleted.
    pub deleted: AtomicU64,
    /// Groups whose time was over.
    pub expired: AtomicU64,
    /// Pushes that the disk would not keep.
    pub unkept: AtomicU64,
    /// Points that were taken.
    pub points: AtomicU64,
    /// Points that were not.
    pub points_dropped: AtomicU64,
}

const BYTES: Family<0> = Family::gauge("taffrail_gateway_bytes", "Memory that what was pushed takes, about.", []);
const DELETED: Family<0> = Family::counter("taffrail_gateway_deleted_groups_total", "Groups that were deleted.", []);
const EXPIRED: Family<0> = Family::counter("taffrail_gateway_expired_groups_total", "Groups whose time was over.", []);
const EXPIRY_TIME: Family<1> = Family::gauge(
    "taffrail_gateway_expiry_timestamp_seconds",
    "When a group of the job last ended because its time was over, in Unix time; of the 1,000 jobs with the latest.",
    ["expired_job"],
);
const GROUPS: Family<0> = Family::gauge("taffrail_gateway_groups", "Groups that there are.", []);
const METRICS: Family<0> =
    Family::gauge("taffrail_gateway_metrics", "Metrics that there are in all groups, their markers included.", []);
const POINT_SERIES: Family<0> =
    Family::gauge("taffrail_gateway_point_series", "Series that came as line protocol.", []);
const POINTS: Family<1> = Family::counter(
    "taffrail_gateway_points_total",
    "Points of line protocol that were taken, or were not because of what they say.",
    ["outcome"],
);
const PUSHES: Family<1> = Family::counter(
    "taffrail_gateway_pushes_total",
    "Pushes that were taken, were a repetition of one that had been, were refused for what they hold, or were not kept because the disk would not.",
    ["outcome"],
);

/// The families that the gateway alone tells of itself; [`write`] also writes those of connections and of the log.
pub const FAMILIES: &[FamilyInfo] = &[
    BYTES.info(),
    DELETED.info(),
    EXPIRED.info(),
    EXPIRY_TIME.info(),
    GROUPS.info(),
    METRICS.info(),
    POINT_SERIES.info(),
    POINTS.info(),
    PUSHES.info(),
];

/// The type of the family of this name that the gateway tells of itself.
pub fn kind_of(name: &str) -> Option<Kind> {
    let own = FAMILIES.iter().chain(connections::FAMILIES).chain(log::FAMILIES).find(|own| own.name == name)?;
    Some(match own.kind {
        family::Kind::Counter => Kind::Counter,
        family::Kind::Gauge => Kind::Gauge,
        family::Kind::Untyped => Kind::Untyped,
        family::Kind::Histogram => Kind::Histogram,
        family::Kind::Summary => Kind::Summary,
    })
}

/// Counts one more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts so many more.
pub fn count_by(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// What there is at one moment.
pub struct Gauges {
    groups: usize,
    metrics: usize,
    bytes: usize,
    expired: Expired,
    point_series: usize,
}

impl Gauges {
    /// What there is in `state`, and so many series of points, which take so many bytes.
    pub fn of(state: &State, point_series: usize, point_bytes: usize) -> Gauges {
        Gauges {
            groups: state.groups(),
            metrics: state.metrics(),
            bytes: state.bytes() + point_bytes,
            expired: state.expired().clone(),
            point_series,
        }
    }
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Writes all of it.
pub fn write(out: &mut FamilyWriter<'_>, counts: &Counts, gauges: &Gauges) {
    connections::write_families(out);
    log::write_families(out);
    out.value(&BYTES, gauges.bytes as u64);
    out.value(&DELETED, get(&counts.deleted));
    out.value(&EXPIRED, get(&counts.expired));
    write_expiry_times(out, &gauges.expired);
    out.value(&GROUPS, gauges.groups as u64);
    out.value(&METRICS, gauges.metrics as u64);
    out.value(&POINT_SERIES, gauges.point_series as u64);
    write_points(out, counts);
    let mut pushes = out.family(&PUSHES);
    pushes.sample(["refused"], get(&counts.refused));
    pushes.sample(["repeated"], get(&counts.repeated));
    pushes.sample(["taken"], get(&counts.taken));
    pushes.sample(["unkept"], get(&counts.unkept));
}

fn write_expiry_times(out: &mut FamilyWriter<'_>, expired: &Expired) {
    let mut times = out.family(&EXPIRY_TIME);
    for (job, time) in expired.iter() {
        times.sample([job], *time);
    }
}

fn write_points(out: &mut FamilyWriter<'_>, counts: &Counts) {
    let mut points = out.family(&POINTS);
    points.sample(["dropped"], get(&counts.points_dropped));
    points.sample(["taken"], get(&counts.points));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::negotiate::Format;
    use crate::sinks::render;

    #[test]
    fn all_that_is_written_is_known_to_be_the_gateways_own() {
        let expired = Expired::new([("backup".to_owned(), 1.0)].into());
        let gauges = Gauges { expired, ..Gauges::of(&State::default(), 0, 0) };
        let written = render::whole(Format::Text, 0, |out| write(out, &Counts::default(), &gauges));
        let written = String::from_utf8(written).unwrap();
        let heads = written.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let heads: Vec<&str> = heads.collect();
        assert!(heads.iter().all(|name| kind_of(name).is_some()), "{heads:?}");
        // And the list has no other.
        let own = heads.into_iter().filter(|name| FAMILIES.iter().any(|family| family.name == *name));
        assert_eq!(own.collect::<Vec<_>>(), FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>());
    }
}
