//! The result of one scrape.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::page::Read;
use super::series::{Head, Sample, Series};
use super::target::Target;
use crate::encode::Timestamp;

/// A scrape of one target, complete.
#[derive(Debug)]
pub(super) struct Scrape {
    /// The target.
    pub(super) target: Arc<Target>,
    /// When it started.
    pub(super) at: Timestamp,
    /// Its samples, family by family, and metric by metric.
    pub(super) samples: Vec<Sample>,
    /// The families, with the range of their samples.
    pub(super) families: Vec<(Arc<Head>, Range<usize>)>,
    /// Series of the previous scrape that are not in this one.
    pub(super) ended: Vec<Arc<Series>>,
    /// What is known about the scrape itself; `None` for the end of a target.
    pub(super) report: Option<Report>,
}

/// The values of a scrape's own series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// Whether the page was used.
    pub(super) is_up: bool,
    /// Its duration in seconds.
    pub(super) duration: f64,
    /// Samples on the page.
    pub(super) scraped: u64,
    /// Samples after relabelling.
    pub(super) kept: u64,
    /// Series that were not in the previous scrape.
    pub(super) added: u64,
    /// Samples left out: their series was there already.
    pub(super) duplicates: u64,
}

impl Scrape {
    /// The scrape of a page, after the `previous` one. Series of `failed` pages in between are not new.
    pub(super) fn of_page(
        target: Arc<Target>,
        at: Timestamp,
        read: Read,
        duration: f64,
        previous: Option<&Scrape>,
        failed: Option<Failed>,
    ) -> Scrape {
        let Read { mut samples, scraped, kept, duplicates } = read;
        let families = group(&mut samples);
        let (ended, mut added) = changes(previous.map_or(&[], |previous| &previous.samples), &samples);
        if let Some(failed) = failed {
            added = failed.count_new(samples.iter().map(|sample| sample.series.id));
        }
        let report = Report { is_up: true, duration, scraped, kept, added, duplicates };
        Scrape { target, at, samples, families, ended, report: Some(report) }
    }

    /// A scrape that failed, or the end of the target if there is no `report`.
    pub(super) fn without_page(
        target: Arc<Target>,
        at: Timestamp,
        report: Option<Report>,
        previous: Option<&Scrape>,
    ) -> Scrape {
        let ended = previous.map_or_else(Vec::new, |previous| changes(&previous.samples, &[]).0);
        Scrape { target, at, samples: Vec::new(), families: Vec::new(), ended, report }
    }
}

/// The series of a target while its scrapes fail: those of the last page before, and of the failed ones.
#[derive(Debug, Default)]
pub(super) struct Failed {
    known: HashSet<u64>,
    /// The number of series of the last page before.
    before: usize,
}

impl Failed {
    /// After the `last` scrape, which did not fail.
    pub(super) fn after(last: Option<&Scrape>) -> Failed {
        let samples = last.map_or(&[][..], |last| &last.samples);
        let known: HashSet<u64> = samples.iter().map(|sample| sample.series.id).collect();
        Failed { before: known.len(), known }
    }

    /// How many of these series are new.
    fn count_new(&self, series: impl Iterator<Item = u64>) -> u64 {
        let new: HashSet<u64> = series.filter(|id| !self.known.contains(id)).collect();
        new.len() as u64
    }

    /// Adds the series of a failed page. Returns how many of them are new.
    pub(super) fn add(&mut self, series: &[u64]) -> u64 {
        /// Series that failed pages may add, as Prometheus has it.
        const SLACK: usize = 1000;
        let new = self.count_new(series.iter().copied());
        if self.known.len() > self.before + SLACK {
            self.known.clear();
        }
        self.known.extend(series);
        new
    }
}

/// The series that ended, and the number of new ones. Samples with timestamps of their own do not end: their exporter
/// decides what is current.
fn changes(before: &[Sample], now: &[Sample]) -> (Vec<Arc<Series>>, u64) {
    let is_same = |(one, other): (&Sample, &Sample)| one.series.id == other.series.id;
    if before.len() == now.len() && before.iter().zip(now).all(is_same) {
        return (Vec::new(), 0);
    }
    let ids = |samples: &[Sample]| samples.iter().map(|sample| sample.series.id).collect::<HashSet<u64>>();
    let (old, new) = (ids(before), ids(now));
    let ended = before.iter().filter(|sample| sample.timestamp.is_none() && !new.contains(&sample.series.id));
    let added = new.iter().filter(|id| !old.contains(id)).count() as u64;
    (ended.map(|sample| sample.series.clone()).collect(), added)
}

/// Sorts samples such that those of a family, and of a metric in a family, are adjacent, in the order of the first of
/// each. Pages usually are in this order.
fn group(samples: &mut Vec<Sample>) -> Vec<(Arc<Head>, Range<usize>)> {
    gather(samples, |sample| Arc::as_ptr(&sample.series.family) as u64);
    let mut families: Vec<(Arc<Head>, Range<usize>)> = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        match families.last_mut() {
            Some((head, range)) if Arc::ptr_eq(head, &sample.series.family) => range.end = index + 1,
            _ => families.push((sample.series.family.clone(), index..index + 1)),
        }
    }
    for (_, range) in families.iter().filter(|(head, _)| head.is_compound()) {
        gather(&mut samples[range.clone()], |sample| sample.series.metric);
    }
    samples.shrink_to_fit();
    families
}

/// Makes samples with the same key adjacent.
fn gather(samples: &mut [Sample], key: impl Fn(&Sample) -> u64) {
    let (mut first, mut last, mut is_gathered) = (HashMap::new(), None, true);
    for sample in &*samples {
        let key = key(sample);
        if last != Some(key) {
            let next = first.len();
            is_gathered &= *first.entry(key).or_insert(next) == next;
            last = Some(key);
        }
    }
    if !is_gathered {
        samples.sort_by_key(|sample| first.get(&key(sample)).copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Prometheus counts them, which caches series of failed pages.
    #[test]
    fn series_of_failed_pages_are_new_once() {
        let mut failed = Failed::after(None);
        assert_eq!((failed.add(&[1, 2, 2]), failed.add(&[1, 2, 3]), failed.add(&[])), (2, 1, 0));
        assert_eq!(failed.count_new([1, 3, 4, 4].into_iter()), 1);
        for page in 0..100 {
            let series: Vec<u64> = (page * 1000..page * 1000 + 1000).collect();
            failed.add(&series);
            assert!(failed.known.len() <= 3000);
        }
    }
}
