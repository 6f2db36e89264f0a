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

/// The oldest points of a queue, for one request.
#[derive(Debug)]
pub(super) struct Batch {
    /// The points.
    pub(super) lines: Lines,
    /// The number after that of the last point.
    end: u64,
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

    /// A copy of the oldest points, at most `count`; `None` if the queue is empty.
    pub(super) fn front(&mut self, count: usize) -> Option<Batch> {
        let mut lines = Lines::default();
        let mut index = 0;
        while let Some(next) = self.waiting.get_mut(index) {
            let room = count - lines.count();
            if next.count() > room {
                // Split it: the next batch begins where this one ends.
                if room > 0 {
                    let head = next.take_first(room);
                    lines.append(&head);
                    self.waiting.insert(index, head);
                }
                break;
            }
            lines.append(next);
            index += 1;
        }
        let end = self.first + lines.count() as u64;
        (!lines.is_empty()).then_some(Batch { lines, end })
    }

    /// Removes the first `count` points of `batch`, if they are still there.
    pub(super) fn remove_first(&mut self, batch: &Batch, count: usize) {
        let end = batch.end - (batch.lines.count() - count.min(batch.lines.count())) as u64;
        while self.first < end {
            let remaining = (end - self.first) as usize;
            let Some(mut oldest) = self.waiting.pop_front() else { break };
            let taken = oldest.take_first(remaining);
            self.forget(&taken);
            if !oldest.is_empty() {
                self.waiting.push_front(oldest);
            }
        }
    }

    /// Drops as many points as exceed the limit, and no more: a reading that is larger than the limit loses a part.
    fn drop_oldest(&mut self) {
        while let Some(excess @ 1..) = self.counts.bytes.checked_sub(self.max_bytes) {
            let Some(mut oldest) = self.waiting.pop_front() else { break };
            let count = oldest.ends().partition_point(|end| (*end as usize) < excess) + 1;
            let dropped = oldest.take_first(count);
            self.counts.dropped += dropped.count() as u64;
            self.forget(&dropped);
            if !oldest.is_empty() {
                self.waiting.push_front(oldest);
            }
        }
    }

    fn forget(&mut self, lines: &Lines) {
        self.counts.points -= lines.count();
        self.counts.bytes -= lines.bytes().len();
        self.first += lines.count() as u64;
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
        let waiting = numbers(&queue.front(usize::MAX).unwrap().lines);
        assert_eq!(waiting.last(), Some(&999));
        assert_eq!((counts.points, counts.dropped), (waiting.len(), 1000 - waiting.len() as u64));
        assert!(counts.bytes <= 600 && counts.bytes > 600 - points(999..1000).bytes().len());
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_list_of_which_the_oldest_are_dropped(actions in proptest::collection::vec(action(), 1..60)) {
            let mut queue = Memory::new(600);
            let (mut model, mut next, mut dropped) = (VecDeque::new(), 0, 0);
            let mut in_flight: Option<Batch> = None;
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
                        in_flight = queue.front(count);
                        let expected: Vec<u64> = model.iter().copied().take(count).collect();
                        prop_assert_eq!(in_flight.as_ref().map(|b| numbers(&b.lines)).unwrap_or_default(), expected);
                    }
                    Action::Acknowledge(count) => {
                        if let Some(batch) = in_flight.take() {
                            queue.remove_first(&batch, count);
                            let mut gone = numbers(&batch.lines);
                            gone.truncate(count);
                            model.retain(|number| !gone.contains(number));
                        }
                    }
                }
                prop_assert_eq!(queue.counts().points, model.len());
                prop_assert!(queue.counts().bytes <= 600);
                prop_assert_eq!(queue.counts().dropped, dropped);
            }
            let rest = queue.front(usize::MAX).map(|batch| numbers(&batch.lines)).unwrap_or_default();
            prop_assert_eq!(rest, model.into_iter().collect::<Vec<_>>());
        }
    }
}
