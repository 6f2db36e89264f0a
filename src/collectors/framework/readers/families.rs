//! Encodes the readings as families, with the families about the readings themselves.

use std::sync::Arc;

use super::Readers;
use super::reading::CollectorReading;
use crate::collectors::framework::{About, Collected, Vocabularies};
use crate::encode::family::{FamilyInfo, ForeignFamilies, Limit};
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

/// Adds what was scraped to the families that join those that follow.
pub fn add_scraped(readings: &[CollectorReading], out: &mut FamilyWriter<'_>) {
    for CollectorReading { about, collected, series_limit, .. } in readings {
        if let Ok(collected) = collected
            && let Some(families) = collected.foreign_families(None)
        {
            out.add_foreign(about.name, families, Limit::new(series_limit.max));
        }
    }
}

/// What was scraped and is exposed on a page below `/metrics`, if it is the page of a job or target.
pub fn scraped_below(readings: &[CollectorReading], page: &str) -> Option<Arc<dyn ForeignFamilies>> {
    readings.iter().find_map(|reading| reading.collected.as_ref().ok()?.foreign_families(Some(page)))
}

/// Writes the readings as families, and the families about them. Families that were named elsewhere come last, so that
/// they cannot take the name of another; those of several collectors share their names. `previous` are the previous
/// readings of a sink that is sent each sample once; `None` for a scrape.
pub fn write_families(
    readings: &[CollectorReading],
    previous: Option<&[CollectorReading]>,
    out: &mut FamilyWriter<'_>,
) {
    let mut limits = vec![Limit::NONE; readings.len()];
    let mut write = |(number, reading): (usize, &CollectorReading), out: &mut FamilyWriter<'_>| {
        out.set_limit(Limit::new(reading.series_limit.max));
        match (&reading.collected, previous) {
            (Ok(collected), Some(previous)) => collected.families_since(same(previous, reading.about), out),
            (Ok(collected), None) => collected.families(out),
            (Err(_), _) => {}
        }
        limits[number] = out.set_limit(Limit::NONE);
    };
    of(readings, false).for_each(|reading| write(reading, out));
    write_own_families(readings, out);
    out.reserve(LEFT_OUT.name());
    of(readings, true).for_each(|reading| write(reading, out));
    write_named_elsewhere(readings, &mut limits, out);
    previous.unwrap_or_default().iter().for_each(|before| write_end(before, readings, out));
    for (reading, limit) in readings.iter().zip(&limits) {
        reading.series_limit.report(reading.about, Vocabularies::FAMILIES, limit.exceeded());
    }
    write_left_out(readings, &limits, out);
    out.release(LEFT_OUT.name());
    // It may have had no samples that those named elsewhere could join.
    for (_, reading) in of(readings, true) {
        out.write_foreign(reading.about.name);
    }
}

/// Writes the families that were named elsewhere, after all families of Taffrail's own, within what is left of `limits`.
fn write_named_elsewhere(readings: &[CollectorReading], limits: &mut [Limit], out: &mut FamilyWriter<'_>) {
    for (number, reading) in of(readings, true) {
        if let Ok(collected) = &reading.collected
            && let Some(families) = collected.named_elsewhere(out)
        {
            out.add_foreign(reading.about.name, families, limits[number]);
        }
    }
    for (number, reading) in of(readings, true) {
        if let Some(limit) = out.write_foreign(reading.about.name) {
            limits[number] = limit;
        }
    }
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

fn write_left_out(readings: &[CollectorReading], limits: &[Limit], out: &mut FamilyWriter<'_>) {
    let mut excess = out.family(&LEFT_OUT);
    for (reading, limit) in readings.iter().zip(limits).filter(|(reading, _)| reading.series_limit.max < usize::MAX) {
        excess.sample([reading.about.name], limit.exceeded());
    }
}
