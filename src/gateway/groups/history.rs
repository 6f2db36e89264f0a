//! What a group remembers of its earlier pushes.

use std::collections::VecDeque;

use super::size::Size;

/// How many idempotency keys a group remembers.
pub const MAX_SEEN: usize = 64;
/// How many durations a group remembers.
pub const MAX_DURATIONS: usize = 32;

/// Idempotency keys and durations. Most groups have neither, and cost one pointer here.
#[derive(Default)]
pub struct History(Option<Box<Remembered>>);

#[derive(Default)]
struct Remembered {
    /// Digests of the idempotency keys of the last pushes, the latest last.
    seen: VecDeque<u128>,
    /// Durations of the last runs in seconds, the latest last. They are not persisted.
    durations: VecDeque<f32>,
}

impl History {
    /// Digests of the idempotency keys of the last pushes, the latest last.
    pub fn seen(&self) -> impl ExactSizeIterator<Item = u128> + '_ {
        self.0.as_ref().map(|all| all.seen.iter()).unwrap_or_default().copied()
    }

    /// Durations of the last runs in seconds, the latest last.
    pub fn durations(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.0.as_ref().map(|all| all.durations.iter()).unwrap_or_default().copied()
    }

    /// Remembers the digest of an idempotency key. At most [`MAX_SEEN`] are remembered.
    pub fn push_seen(&mut self, push: u128) {
        push_bounded(&mut self.0.get_or_insert_default().seen, push, MAX_SEEN);
    }

    /// Forgets the digest of an idempotency key.
    pub fn forget_seen(&mut self, push: u128) {
        if let Some(all) = &mut self.0 {
            all.seen.retain(|seen| *seen != push);
        }
    }

    /// Remembers the duration of a run. At most [`MAX_DURATIONS`] are remembered.
    pub fn push_duration(&mut self, duration: f32) {
        push_bounded(&mut self.0.get_or_insert_default().durations, duration, MAX_DURATIONS);
    }

    /// Forgets the duration of the last run.
    pub fn pop_duration(&mut self) {
        if let Some(all) = &mut self.0 {
            all.durations.pop_back();
        }
    }

    /// Its size on the heap. A snapshot contains the keys, which are counted with their group.
    pub fn size(&self) -> Size {
        let memory = self.0.as_ref().map_or(0, |all| {
            let lists = all.seen.capacity() * size_of::<u128>() + all.durations.capacity() * size_of::<f32>();
            size_of::<Remembered>() + lists
        });
        Size::memory_only(memory)
    }

    /// An upper bound of what one more key, if `has_key`, and one more duration, if `has_duration`, add to [`Self::size`].
    pub fn added_bytes(&self, has_key: bool, has_duration: bool) -> usize {
        /// A list that grows doubles, and has at least four entries.
        fn growth<T>(list: Option<&VecDeque<T>>) -> usize {
            let (length, capacity) = list.map_or((0, 0), |list| (list.len(), list.capacity()));
            if length < capacity { 0 } else { capacity.max(4) * size_of::<T>() }
        }
        if !has_key && !has_duration {
            return 0;
        }
        let all = self.0.as_ref();
        let keys = if has_key { growth(all.map(|all| &all.seen)) } else { 0 };
        let durations = if has_duration { growth(all.map(|all| &all.durations)) } else { 0 };
        let head = if all.is_none() { size_of::<Remembered>() } else { 0 };
        head + keys + durations
    }
}

/// Appends to a list of at most `max` entries, whose first one is dropped.
fn push_bounded<T>(list: &mut VecDeque<T>, value: T, max: usize) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documentation states this bound.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn durations_take_at_most_192_bytes() {
        let mut history = History::default();
        (0..200).for_each(|number| history.push_duration(number as f32));
        assert_eq!(history.size().memory, 192);
    }

    #[test]
    fn the_last_ones_are_remembered_in_bounded_memory() {
        let mut history = History::default();
        assert_eq!((history.size().memory, size_of::<History>()), (0, size_of::<usize>()));
        for number in 0..200 {
            let bound = history.size().memory + history.added_bytes(true, true);
            history.push_seen(number);
            history.push_duration(number as f32);
            assert!(history.size().memory <= bound, "{number}");
        }
        assert_eq!(history.seen().collect::<Vec<_>>(), (136..200).collect::<Vec<_>>());
        assert_eq!(history.durations().collect::<Vec<_>>(), (168..200).map(|number| number as f32).collect::<Vec<_>>());
        let expected = MAX_SEEN * 16 + MAX_DURATIONS * 4 + size_of::<Remembered>();
        assert_eq!((history.size().memory, history.added_bytes(true, true)), (expected, 64 * 16 + 32 * 4));
        history.forget_seen(150);
        history.pop_duration();
        assert_eq!((history.seen().len(), history.durations().last()), (63, Some(198.0)));
    }
}
