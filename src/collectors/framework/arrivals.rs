//! Items in order of arrival, such as the results of background work, for sinks that push each of them once.
//!
//! Each reader holds a cursor; items since the oldest cursor are retained. If a cursor is not advanced, the number of
//! retained items is limited, and the oldest are dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// A position in the log.
#[derive(Debug)]
pub(in crate::collectors) struct Cursor {
    /// Number of the first batch that was not read.
    next: u64,
}

/// The items that can still be read.
#[derive(Debug)]
pub(in crate::collectors) struct Log<T> {
    /// The number of the first of `batches`.
    first: u64,
    /// The batches with their weights, oldest first.
    batches: VecDeque<(Arc<[T]>, usize)>,
    items: usize,
    /// Maximum items retained for a reader that does not advance.
    max: usize,
    cursors: Vec<Weak<Cursor>>,
    is_read: bool,
    /// Items since a sink last read.
    unread: usize,
}

impl<T> Log<T> {
    /// An empty log that retains at most `max` items for a reader that does not advance.
    pub(in crate::collectors) fn new(max: usize) -> Self {
        Log { first: 0, batches: VecDeque::new(), items: 0, max, cursors: Vec::new(), is_read: false, unread: 0 }
    }

    /// A cursor at the end.
    pub(in crate::collectors) fn cursor(&mut self) -> Arc<Cursor> {
        let cursor = Arc::new(Cursor { next: self.first + self.batches.len() as u64 });
        self.forget();
        self.cursors.push(Arc::downgrade(&cursor));
        cursor
    }

    /// A cursor at the end, for a sink.
    pub(in crate::collectors) fn read(&mut self) -> Arc<Cursor> {
        (self.is_read, self.unread) = (true, 0);
        self.cursor()
    }

    /// Whether a sink reads the items.
    pub(in crate::collectors) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Whether sinks have read all but `max` items, and slower ones will not be overtaken.
    #[cfg(feature = "cloudwatch")]
    pub(in crate::collectors) fn has_room(&self, max: usize) -> bool {
        self.unread <= max && self.items <= self.max / 2
    }

    /// The items between two cursors, oldest first. Without a start, from the beginning.
    pub(in crate::collectors) fn between(&self, from: Option<&Cursor>, to: &Cursor) -> Vec<Arc<[T]>> {
        let index = |number: u64| (number.saturating_sub(self.first) as usize).min(self.batches.len());
        let (from, to) = (from.map_or(0, |cursor| index(cursor.next)), index(to.next));
        self.batches.range(from.min(to)..to).map(|(batch, _)| batch.clone()).collect()
    }

    /// Appends items. Returns the number of old ones that were dropped because readers do not advance.
    pub(in crate::collectors) fn push(&mut self, items: Vec<T>) -> usize {
        let weight = items.len();
        self.push_weighing(items, weight)
    }

    /// The same for items that count as `weight` items.
    pub(in crate::collectors) fn push_weighing(&mut self, items: Vec<T>, weight: usize) -> usize {
        if !items.is_empty() {
            self.items += weight;
            self.unread += weight;
            self.batches.push_back((items.into(), weight));
        }
        self.forget();
        let before = self.items;
        while self.items > self.max && self.batches.len() > 1 {
            self.forget_first();
        }
        before - self.items
    }

    /// Removes what every reader has read.
    fn forget(&mut self) {
        self.cursors.retain(|cursor| cursor.strong_count() > 0);
        let oldest = self.cursors.iter().filter_map(|cursor| Some(cursor.upgrade()?.next)).min();
        while !self.batches.is_empty() && oldest.is_none_or(|oldest| self.first < oldest) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, weight)) = self.batches.pop_front() {
            self.items -= weight;
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(from: usize, count: usize) -> Vec<usize> {
        (from..from + count).collect()
    }

    fn read(log: &Log<usize>, from: &Cursor, to: &Cursor) -> Vec<usize> {
        log.between(Some(from), to).iter().flat_map(|items| items.iter().copied()).collect()
    }

    #[test]
    fn every_reader_sees_what_came_since_he_read() {
        let mut log = Log::new(500_000);
        let first = log.cursor();
        log.push(items(1, 2));
        let second = log.cursor();
        log.push(items(3, 1));
        let third = log.cursor();
        assert_eq!((read(&log, &first, &third), read(&log, &second, &third)), (vec![1, 2, 3], vec![3]));
        assert_eq!((read(&log, &first, &second), read(&log, &third, &third)), (vec![1, 2], vec![]));
        assert_eq!(log.push(Vec::new()), 0);
    }

    #[test]
    fn what_everybody_has_read_is_forgotten() {
        let mut log = Log::new(500_000);
        log.push(items(1, 2));
        assert_eq!(log.items, 0, "nobody reads");
        let first = log.cursor();
        log.push(items(3, 2));
        let second = log.cursor();
        assert_eq!(read(&log, &first, &second), [3, 4]);
        drop(first);
        log.push(items(5, 1));
        assert_eq!(log.items, 1);
        let third = log.cursor();
        assert_eq!(read(&log, &second, &third), [5]);
    }

    #[test]
    fn a_reader_who_does_not_come_keeps_no_more_than_the_bound() {
        let mut log = Log::new(500_000);
        let reader = log.cursor();
        let dropped: usize = (0..6).map(|n| log.push(items(n * 100_000, 100_000))).sum();
        let last = log.cursor();
        assert_eq!((dropped, read(&log, &reader, &last).len()), (100_000, 500_000));
    }
}
