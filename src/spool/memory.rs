//! The part of a queue that is in memory, limited in bytes. When it is full, the oldest points are dropped and
//! counted.
//!
//! Points are numbered as they arrive, so that acknowledging a batch removes exactly its points, even if some were
//! dropped in the meantime.

use std::collections::VecDeque;

use crate::encode::lines::Lines;

/// Points held and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Waiting points.
    pub(super) points: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Points dropped so far because the queue was full.
    pub(super) dropped: u64,
}

/// Waiting points, oldest first.
pub(super) struct Memory {
    waiting: VecDeque<Lines>,
    counts: Counts,
    max_bytes: usize,
    /// The number of the first waiting point.
    first: u64,
}

/// Numbers start in the middle: points can be added on both sides.
const MIDDLE: u64 = 1 << 63;

impl Memory {
    /// An empty queue of at most `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        Memory { waiting: VecDeque::new(), counts: Counts::default(), max_bytes, first: MIDDLE }
    }

    /// Appends points, and returns the number after the last. Drops the oldest points if the queue is full.
    pub(super) fn push(&mut self, mut lines: Lines) -> u64 {
        lines.shrink_to_fit();
        self.counts.points += lines.count();
        self.counts.bytes += lines.bytes().len();
        self.waiting.push_back(lines);
        let end = self.first + self.counts.points as u64;
        self.drop_oldest();
        end
    }

    /// Whether all points before this number have left memory.
    pub(super) fn is_past(&self, end: u64) -> bool {
        self.first >= end
    }

    /// Prepends points; no batch may be in flight. Drops the oldest points if the queue is full.
    pub(super) fn put_before(&mut self, mut lines: Lines) {
        lines.shrink_to_fit();
        self.counts.points += lines.count();
        self.counts.bytes += lines.bytes().len();
        self.first -= lines.count() as u64;
        self.waiting.push_front(lines);
        self.drop_oldest();
    }

    /// Changes the limit; the next push enforces it.
    pub(super) fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Points held and dropped.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// A copy of the oldest points, at most `count`, and no further portion once they exceed `bytes`; and the number of
    /// the first. `None` if the queue is empty.
    pub(super) fn front(&self, count: usize, bytes: usize) -> Option<(Lines, u64)> {
        let mut lines = Lines::default();
        for portion in &self.waiting {
            if lines.count() == count || lines.bytes().len() > bytes {
                break;
            }
            lines.append_some(portion, 0, count - lines.count());
        }
        (!lines.is_empty()).then_some((lines, self.first))
    }

    /// Removes `count` points from the number `first` on, if they are still there.
    pub(super) fn remove(&mut self, first: u64, count: usize) {
        let end = first + count as u64;
        while self.first < end && !self.waiting.is_empty() {
            self.remove_oldest((end - self.first) as usize);
        }
    }

    /// Drops as many points as exceed the limit, and no more: a reading that is larger than the limit loses a part.
    fn drop_oldest(&mut self) {
        while let Some(excess @ 1..) = self.counts.bytes.checked_sub(self.max_bytes) {
            let Some(oldest) = self.waiting.front() else { break };
            let count = oldest.ends().partition_point(|end| (*end as usize) < excess) + 1;
            self.counts.dropped += self.remove_oldest(count) as u64;
        }
    }

    /// Removes the oldest points, at most `count`, and all of one portion. Returns their number.
    fn remove_oldest(&mut self, count: usize) -> usize {
        let Some(oldest) = self.waiting.front_mut() else { return 0 };
        let before = (oldest.count(), oldest.bytes().len());
        oldest.remove_first(count);
        let removed = before.0 - oldest.count();
        self.counts.points -= removed;
        self.counts.bytes -= before.1 - oldest.bytes().len();
        self.first += removed as u64;
        if oldest.is_empty() {
            self.waiting.pop_front();
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::Timestamp;
    use crate::encode::line::LineEncoder;
    use crate::encode::lines::Lines;
    use crate::encode::tags::CommonTags;
    use crate::encode::{Field, Measurement, PointWriter};

    const N: Field<u64> = Field::new("n", "");
    const M: Measurement<0> = Measurement::new("m", [], &[N.info()]);

    fn points(numbers: std::ops::Range<u64>) -> Lines {
        let (mut lines, tags) = (Lines::default(), CommonTags::default());
        for number in numbers {
            PointWriter::new(&mut LineEncoder::new(&mut lines), &tags, Timestamp(0)).point(&M, []).field(&N, number);
        }
        lines
    }

    fn numbers(lines: &Lines) -> Vec<u64> {
        let text = std::str::from_utf8(lines.bytes()).unwrap();
        text.lines().map(|line| line[4..].split_once('i').unwrap().0.parse().unwrap()).collect()
    }

    fn all(queue: &Memory) -> Lines {
        queue.front(usize::MAX, usize::MAX).map(|(lines, _)| lines).unwrap_or_default()
    }

    #[derive(Clone, Debug)]
    enum Action {
        Push(u64),
        Take(usize),
        Acknowledge(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (0u64..20).prop_map(Action::Push),
            (1usize..30).prop_map(Action::Take),
            (1usize..30).prop_map(Action::Acknowledge),
        ]
    }

    #[test]
    fn a_reading_larger_than_the_limit_loses_its_oldest_points_alone() {
        let mut queue = Memory::new(600);
        queue.push(points(0..1000));
        let counts = queue.counts();
        let waiting = numbers(&all(&queue));
        assert_eq!(waiting.last(), Some(&999));
        assert_eq!((counts.points, counts.dropped), (waiting.len(), 1000 - waiting.len() as u64));
        assert!(counts.bytes <= 600 && counts.bytes > 600 - points(999..1000).bytes().len());
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_list_of_which_the_oldest_are_dropped(actions in proptest::collection::vec(action(), 1..60)) {
            let mut queue = Memory::new(600);
            let (mut model, mut next, mut dropped) = (VecDeque::new(), 0, 0);
            let mut in_flight: Option<(Lines, u64)> = None;
            for action in actions {
                match action {
                    Action::Push(count) => {
                        model.extend(next..next + count);
                        queue.push(points(next..next + count));
                        next += count;
                        while model.len() > queue.counts().points {
                            model.pop_front();
                            dropped += 1;
                        }
                    }
                    Action::Take(count) => {
                        in_flight = queue.front(count, usize::MAX);
                        let expected: Vec<u64> = model.iter().copied().take(count).collect();
                        prop_assert_eq!(in_flight.as_ref().map(|(lines, _)| numbers(lines)).unwrap_or_default(), expected);
                    }
                    Action::Acknowledge(count) => {
                        if let Some((lines, first)) = in_flight.take() {
                            queue.remove(first, count.min(lines.count()));
                            let mut gone = numbers(&lines);
                            gone.truncate(count);
                            model.retain(|number| !gone.contains(number));
                        }
                    }
                }
                prop_assert_eq!(queue.counts().points, model.len());
                prop_assert!(queue.counts().bytes <= 600);
                prop_assert_eq!(queue.counts().dropped, dropped);
            }
            prop_assert_eq!(numbers(&all(&queue)), model.into_iter().collect::<Vec<_>>());
        }
    }
}
