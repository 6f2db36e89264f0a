//! Encodes the readings as points, with those about the readings themselves: Telegraf's `internal_gather`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::families::of;
use super::reading::CollectorReading;
use crate::collectors::framework::Vocabularies;
use crate::encode::point::MeasurementInfo;
use crate::encode::{Field, Measurement, PointWriter};

/// The value of the tag `version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const GATHER_TIME: Field<u64> = Field::new("gather_time_ns", "duration of the reading in nanoseconds; absent if late");
const GATHERED: Field<u64> = Field::new("metrics_gathered", "points of the collector, over all sinks");
const SUCCESS: Field<u64> = Field::new("success", "1 if the reading succeeded, as `node_scrape_collector_success`");
const ERRORS: Field<u64> = Field::new("errors", "incomplete readings; a host without the subject is none");
const TIMEOUTS: Field<u64> = Field::new("gather_timeouts", "readings that were not there in time");
const AGE: Field<u64> =
    Field::new("reading_age_ns", "age of the reading in nanoseconds, of a collector that refreshes in the background");
const LEFT_OUT: Field<u64> = Field::new("points_left_out", "points omitted at this tick, with `max_series`");
const GATHER: Measurement<2> = Measurement::new(
    "internal_gather",
    ["input", "version"],
    &[GATHER_TIME.info(), SUCCESS.info(), GATHERED.info(), ERRORS.info(), TIMEOUTS.info(), AGE.info(), LEFT_OUT.info()],
);

/// The measurements about the collectors themselves.
pub const MEASUREMENTS: &[MeasurementInfo] = &[GATHER.info()];

/// Sums over collectors, since they were configured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Points written.
    pub points: u64,
    /// Incomplete readings.
    pub errors: u64,
    /// Readings that were not there in time.
    pub timeouts: u64,
}

impl Totals {
    /// The sums over the collectors of these readings.
    pub fn of(readings: &[CollectorReading]) -> Totals {
        readings.iter().fold(Totals::default(), |totals, reading| Totals {
            points: totals.points + reading.ticks.points.load(Relaxed),
            errors: totals.errors + reading.ticks.errors.load(Relaxed),
            timeouts: totals.timeouts + reading.ticks.timeouts.load(Relaxed),
        })
    }
}

/// Writes the readings as points, with differences since the `previous` readings of the same sink, and the points about
/// them. Collectors whose names come from outside are last.
pub fn write_points(readings: &[CollectorReading], previous: &[CollectorReading], out: &mut PointWriter<'_>) {
    for (_, reading) in of(readings, false).chain(of(readings, true)) {
        let same = |other: &&CollectorReading| std::ptr::eq(other.about, reading.about);
        reading.write_points(previous.iter().find(same), out);
    }
}

impl CollectorReading {
    /// Writes its points, with differences since `previous`, and the one about the reading.
    fn write_points(&self, previous: Option<&CollectorReading>, out: &mut PointWriter<'_>) {
        let before = previous.and_then(|previous| previous.collected.as_ref().ok());
        let collected = self.collected.as_ref().ok();
        // A reading of the background is written once; at the next ticks it would only seem new.
        let is_written =
            self.age.is_some() && before.zip(collected).is_some_and(|(one, other)| Arc::ptr_eq(one, other));
        let (points, excess) = match collected.filter(|_| !is_written) {
            Some(collected) => {
                let write = |out: &mut PointWriter<'_>| collected.points(before.map(|before| &**before), out);
                out.at_most(self.series_limit.max, |out| match &self.points {
                    None => write(out),
                    Some(points) => points.write(out, write),
                })
            }
            None => (0, 0),
        };
        self.count(points as u64);
        let mut about = out.point(&GATHER, [self.about.name, VERSION]);
        if let Some(collected) = collected {
            if !is_written {
                self.series_limit.report(self.about, Vocabularies::POINTS, excess as u64);
            }
            about.field(&GATHER_TIME, collected.took.as_nanos() as u64);
        }
        about.field(&SUCCESS, self.succeeded().into());
        about.field(&GATHERED, self.ticks.points.load(Relaxed));
        about.field(&ERRORS, self.ticks.errors.load(Relaxed));
        about.field(&TIMEOUTS, self.ticks.timeouts.load(Relaxed));
        about.some(&AGE, self.age.map(|age| age.as_nanos() as u64));
        about.some(&LEFT_OUT, (self.series_limit.max < usize::MAX).then_some(excess as u64));
    }

    /// Whether the reading succeeded, as far as the collector shows it.
    pub(super) fn succeeded(&self) -> bool {
        let CollectorReading { about, collected, .. } = self;
        collected.as_ref().is_ok_and(|collected| about.shows_failures || collected.failure.is_none())
    }

    /// Counts a tick with this number of points.
    fn count(&self, points: u64) {
        self.ticks.points.fetch_add(points, Relaxed);
        let failed = match &self.collected {
            Ok(collected) if collected.failure.as_ref().is_some_and(|failure| !failure.absent) => &self.ticks.errors,
            Ok(_) => return,
            Err(_) => &self.ticks.timeouts,
        };
        failed.fetch_add(1, Relaxed);
    }
}
