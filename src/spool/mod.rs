//! The queue under every push sink: points wait here until the server has them.
//!
//! It is bounded by bytes; when it is full, the oldest points go, and are counted. Points are numbered as they come, so
//! that a batch that was acknowledged takes out its own points and no others, whatever was dropped in the meantime.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::encode::point::Lines;
use crate::sinks::stats::SinkStats;

/// Points that wait, oldest first.
pub struct Queue {
    stats: Arc<SinkStats>,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Lines>,
    points: usize,
    bytes: usize,
    max_bytes: usize,
    /// The number of the first point that waits.
    first: u64,
}

/// The oldest points of a queue, to be sent in one request.
#[derive(Debug)]
pub struct Batch {
    /// The points.
    pub lines: Lines,
    /// The number behind that of the last point.
    end: u64,
}

impl Queue {
    /// An empty queue of at most `max_bytes`.
    pub fn new(max_bytes: usize, stats: Arc<SinkStats>) -> Self {
        let state = State { waiting: VecDeque::new(), points: 0, bytes: 0, max_bytes, first: 0 };
        Queue { stats, state: Mutex::new(state) }
    }

    /// Adds points at the end. Returns how many of the oldest were dropped to make room.
    pub fn push(&self, lines: Lines) -> usize {
        let mut state = self.state();
        state.points += lines.count();
        state.bytes += lines.bytes().len();
        state.waiting.push_back(lines);
        let dropped = state.drop_oldest();
        self.stats.dropped_overflow.fetch_add(dropped as u64, Relaxed);
        self.publish(&state);
        dropped
    }

    /// Changes the bound; what is too much is dropped at the next push.
    pub fn set_max_bytes(&self, max_bytes: usize) {
        self.state().max_bytes = max_bytes;
    }

    /// How many points wait.
    pub fn points(&self) -> usize {
        self.state().points
    }

    /// A copy of the oldest points, `count` at the most; nothing if there are none.
    pub fn front(&self, count: usize) -> Option<Batch> {
        let mut state = self.state();
        let state = &mut *state;
        let mut lines = Lines::default();
        let mut index = 0;
        while let Some(next) = state.waiting.get_mut(index) {
            let room = count - lines.count();
            if next.count() > room {
                // Split, so that the next batch begins where this one ends.
                if room > 0 {
                    let head = next.take_first(room);
                    lines.append(&head);
                    state.waiting.insert(index, head);
                }
                break;
            }
            lines.append(next);
            index += 1;
        }
        let end = state.first + lines.count() as u64;
        (!lines.is_empty()).then_some(Batch { lines, end })
    }

    /// Takes the points of `batch` out, as far as they are still there.
    pub fn remove(&self, batch: &Batch) {
        let mut state = self.state();
        while state.first < batch.end {
            let left = (batch.end - state.first) as usize;
            let Some(mut oldest) = state.waiting.pop_front() else { break };
            let taken = oldest.take_first(left);
            state.forget(&taken);
            if !oldest.is_empty() {
                state.waiting.push_front(oldest);
            }
        }
        self.publish(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State) {
        self.stats.queued_points.store(state.points as u64, Relaxed);
        self.stats.queued_bytes.store(state.bytes as u64, Relaxed);
    }
}

impl State {
    fn drop_oldest(&mut self) -> usize {
        let mut dropped = 0;
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.waiting.pop_front() else { break };
            dropped += oldest.count();
            self.forget(&oldest);
        }
        dropped
    }

    fn forget(&mut self, lines: &Lines) {
        self.points -= lines.count();
        self.bytes -= lines.bytes().len();
        self.first += lines.count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::point::{CommonTags, Field, Measurement, PointWriter};
    use crate::host::Timestamp;

    const N: Field<u64> = Field::new("n", "");
    const M: Measurement<0> = Measurement::new("m", [], &[N.info()]);

    fn points(numbers: std::ops::Range<u64>) -> Lines {
        let (mut lines, tags) = (Lines::default(), CommonTags::default());
        for number in numbers {
            PointWriter::new(&mut lines, &tags, Timestamp(0)).point(&M, []).field(&N, number);
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
        Acknowledge,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![(0u64..20).prop_map(Action::Push), (1usize..30).prop_map(Action::Take), Just(Action::Acknowledge),]
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_list_of_which_the_oldest_are_dropped(actions in proptest::collection::vec(action(), 1..60)) {
            let stats = Arc::new(SinkStats::default());
            let queue = Queue::new(600, stats.clone());
            let (mut model, mut next, mut dropped) = (VecDeque::new(), 0, 0);
            let mut in_flight: Option<Batch> = None;
            for action in actions {
                match action {
                    Action::Push(count) => {
                        model.extend(next..next + count);
                        dropped += queue.push(points(next..next + count)) as u64;
                        next += count;
                        while model.len() > queue.points() {
                            model.pop_front();
                        }
                    }
                    Action::Take(count) => {
                        in_flight = queue.front(count);
                        let expected: Vec<u64> = model.iter().copied().take(count).collect();
                        prop_assert_eq!(in_flight.as_ref().map(|b| numbers(&b.lines)).unwrap_or_default(), expected);
                    }
                    Action::Acknowledge => {
                        if let Some(batch) = in_flight.take() {
                            queue.remove(&batch);
                            let gone = numbers(&batch.lines);
                            model.retain(|number| !gone.contains(number));
                        }
                    }
                }
                prop_assert_eq!(queue.points(), model.len());
                prop_assert!(stats.queued_bytes.load(Relaxed) <= 600);
                prop_assert_eq!(stats.dropped_overflow.load(Relaxed), dropped);
            }
            let rest = queue.front(usize::MAX).map(|batch| numbers(&batch.lines)).unwrap_or_default();
            prop_assert_eq!(rest, model.into_iter().collect::<Vec<_>>());
        }
    }
}
