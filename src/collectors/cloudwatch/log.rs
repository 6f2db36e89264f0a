//! The datums as they came, for those who push each of them once.
//!
//! Who reads holds a cursor; what came since the oldest cursor that anybody holds is kept. One that is held for too long
//! keeps what came since only up to a bound: the oldest is dropped then.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::id::Seconds;
use super::metric::Metric;

/// One datum.
#[derive(Clone, Debug)]
pub(super) struct Datum {
    /// The metric.
    pub(super) metric: Arc<Metric>,
    /// Which of the job's statistics.
    pub(super) statistic: usize,
    /// When its period begins.
    pub(super) at: Seconds,
    /// Its value.
    pub(super) value: f64,
}

/// How far somebody has read.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The number of the first batch that he has not read.
    next: u64,
}

/// How many datums are kept for a reader who does not come.
const MAX_DATUMS: usize = 500_000;

/// What came and may still be read.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The number of the first of `batches`.
    first: u64,
    /// What came together, oldest first.
    batches: VecDeque<Arc<[Datum]>>,
    datums: usize,
    cursors: Vec<Weak<Cursor>>,
}

impl Log {
    /// A cursor behind all that came.
    pub(super) fn cursor(&mut self) -> Arc<Cursor> {
        let cursor = Arc::new(Cursor { next: self.first + self.batches.len() as u64 });
        self.forget();
        self.cursors.push(Arc::downgrade(&cursor));
        cursor
    }

    /// What came between two cursors, oldest first; from the beginning, without the first.
    pub(super) fn between(&self, from: Option<&Cursor>, to: &Cursor) -> Vec<Arc<[Datum]>> {
        let index = |number: u64| (number.saturating_sub(self.first) as usize).min(self.batches.len());
        let (from, to) = (from.map_or(0, |cursor| index(cursor.next)), index(to.next));
        self.batches.range(from.min(to)..to).cloned().collect()
    }

    /// Appends datums, and says how many old ones had to be dropped for readers who did not come.
    pub(super) fn push(&mut self, datums: Vec<Datum>) -> usize {
        if !datums.is_empty() {
            self.datums += datums.len();
            self.batches.push_back(datums.into());
        }
        self.forget();
        let before = self.datums;
        while self.datums > MAX_DATUMS && self.batches.len() > 1 {
            self.forget_first();
        }
        before - self.datums
    }

    /// Forgets what everybody has read.
    fn forget(&mut self) {
        self.cursors.retain(|cursor| cursor.strong_count() > 0);
        let oldest = self.cursors.iter().filter_map(|cursor| Some(cursor.upgrade()?.next)).min();
        while !self.batches.is_empty() && oldest.is_none_or(|oldest| self.first < oldest) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.datums -= batch.len();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datums(from: Seconds, count: usize) -> Vec<Datum> {
        let metric = Arc::new(Metric::default());
        (0..count as Seconds)
            .map(|n| Datum { metric: metric.clone(), statistic: 0, at: from + n, value: 0.0 })
            .collect()
    }

    fn times(log: &Log, from: &Cursor, to: &Cursor) -> Vec<Seconds> {
        log.between(Some(from), to).iter().flat_map(|datums| datums.iter().map(|datum| datum.at)).collect()
    }

    #[test]
    fn every_reader_sees_what_came_since_he_read() {
        let mut log = Log::default();
        let first = log.cursor();
        log.push(datums(1, 2));
        let second = log.cursor();
        log.push(datums(3, 1));
        let third = log.cursor();
        assert_eq!((times(&log, &first, &third), times(&log, &second, &third)), (vec![1, 2, 3], vec![3]));
        assert_eq!((times(&log, &first, &second), times(&log, &third, &third)), (vec![1, 2], vec![]));
        assert_eq!(log.push(Vec::new()), 0);
    }

    #[test]
    fn what_everybody_has_read_is_forgotten() {
        let mut log = Log::default();
        log.push(datums(1, 2));
        assert_eq!(log.datums, 0, "nobody reads");
        let first = log.cursor();
        log.push(datums(3, 2));
        let second = log.cursor();
        assert_eq!(times(&log, &first, &second), [3, 4]);
        drop(first);
        log.push(datums(5, 1));
        assert_eq!(log.datums, 1);
        let third = log.cursor();
        assert_eq!(times(&log, &second, &third), [5]);
    }

    #[test]
    fn a_reader_who_does_not_come_keeps_no_more_than_the_bound() {
        let mut log = Log::default();
        let reader = log.cursor();
        let dropped: usize = (0..6).map(|n| log.push(datums(n * 100_000, 100_000))).sum();
        let last = log.cursor();
        assert_eq!((dropped, times(&log, &reader, &last).len()), (100_000, 500_000));
    }
}
