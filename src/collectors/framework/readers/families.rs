//! Encodes the readings as families, with the families about the readings themselves.

use super::Readers;
use super::reading::CollectorReading;
use crate::collectors::framework::{About, Collected, Vocabularies};
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

const DURATION: Family<1> =
    Family::gauge("node_scrape_collector_duration_seconds", "Duration of a collector's reading", ["collector"]);
const SUCCESS: Family<1> = Family::gauge(
    "node_scrape_collector_success",
    "Whether a collector succeeded; 0 also on most hosts without its subject",
    ["collector"],
);
const AGE: Family<1> = Family::gauge(
    "taffrail_collector_reading_age_seconds",
    "Age of the served reading of a collector that refreshes in the background",
    ["collector"],
);
const HUNG: Family<0> =
    Family::gauge("taffrail_collectors_hung", "Collectors blocked in a call that does not return", []);
const WAITING: Family<0> =
    Family::gauge("taffrail_threads_hung", "Threads blocked on a mount, service or file that does not respond", []);

/// The families about the collectors themselves.
pub const FAMILIES: &[FamilyInfo] =
    &[DURATION.info(), SUCCESS.info(), AGE.info(), HUNG.info(), WAITING.info(), LEFT_OUT.info()];

const LEFT_OUT: Family<1> = Family::gauge(
    "taffrail_collector_series_left_out",
    "Series omitted because the collector exceeds `max_series`",
    ["collector"],
);

impl Readers {
    /// Writes the families about the current state of the collectors, which are the same for every request.
    pub fn write_families(&self, out: &mut FamilyWriter<'_>) {
        out.value(&HUNG, self.hung_collectors() as u64);
        out.value(&WAITING, self.hung_threads() as u64);
    }
}

/// The readings, with their indexes: those whose families are named outside, or the others.
pub(super) fn of(
    readings: &[CollectorReading],
    are_named_by_others: bool,
) -> impl Iterator<Item = (usize, &CollectorReading)> {
    readings.iter().enumerate().filter(move |(_, reading)| reading.about.is_named_by_others == are_named_by_others)
}

/// Writes the readings as families, and the families about them. Families that are named outside come last, so that
/// they cannot take the name of another. `previous` are the previous readings of a sink that is sent each sample once;
/// `None` for a scrape.
pub fn write_families(
    readings: &[CollectorReading],
    previous: Option<&[CollectorReading]>,
    out: &mut FamilyWriter<'_>,
) {
    let mut left_out = vec![0; readings.len()];
    let mut write = |(number, reading): (usize, &CollectorReading), out: &mut FamilyWriter<'_>| {
        let CollectorReading { about, collected, series_limit, .. } = reading;
        out.set_limit(series_limit.max);
        match (collected, previous) {
            (Ok(collected), Some(previous)) => collected.families_since(same(previous, about), out),
            (Ok(collected), None) => collected.families(out),
            (Err(_), _) => {}
        }
        let excess = out.set_limit(usize::MAX);
        series_limit.report(about, Vocabularies::FAMILIES, excess);
        left_out[number] = excess;
    };
    of(readings, false).for_each(|reading| write(reading, out));
    write_own_families(readings, out);
    out.reserve(LEFT_OUT.name());
    of(readings, true).for_each(|reading| write(reading, out));
    previous.unwrap_or_default().iter().for_each(|before| write_end(before, readings, out));
    write_left_out(readings, &left_out, out);
}

/// Ends the series of a collector that is no longer configured.
fn write_end(before: &CollectorReading, readings: &[CollectorReading], out: &mut FamilyWriter<'_>) {
    let is_configured = readings.iter().any(|reading| std::ptr::eq(reading.about, before.about));
    if let Ok(collected) = &before.collected
        && !is_configured
    {
        collected.families_of_end(out);
    }
}

/// The reading of the same collector.
fn same<'r>(previous: &'r [CollectorReading], about: &About) -> Option<&'r Collected> {
    let same = previous.iter().find(|reading| std::ptr::eq(reading.about, about))?;
    same.collected.as_deref().ok()
}

fn write_own_families(readings: &[CollectorReading], out: &mut FamilyWriter<'_>) {
    let mut duration = out.family(&DURATION);
    for reading in readings {
        let took = reading.collected.as_ref().map_or(0.0, |collected| collected.took.as_secs_f64());
        duration.sample([reading.about.name], took);
    }
    drop(duration);
    let mut success = out.family(&SUCCESS);
    for reading in readings {
        success.sample([reading.about.name], reading.succeeded());
    }
    drop(success);
    let mut age = out.family(&AGE);
    for reading in readings {
        if let Some(seconds) = reading.age {
            age.sample([reading.about.name], seconds.as_secs_f64());
        }
    }
}

fn write_left_out(readings: &[CollectorReading], left_out: &[u64], out: &mut FamilyWriter<'_>) {
    let mut excess = out.family(&LEFT_OUT);
    for (reading, count) in readings.iter().zip(left_out).filter(|(reading, _)| reading.series_limit.max < usize::MAX) {
        excess.sample([reading.about.name], *count);
    }
}
