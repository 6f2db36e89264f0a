//! A bound on what all series retain together.

/// Counts retained values.
#[derive(Debug)]
pub(super) struct Pool {
    used: usize,
    max: usize,
    /// Values that there was no room for.
    pub(super) refused: u64,
}

impl Pool {
    pub(super) fn new(max: usize) -> Pool {
        Pool { used: 0, max, refused: 0 }
    }

    /// Changes the bound. What is retained stays.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Takes room for a value. Without room, the value is counted as refused.
    #[must_use]
    pub(super) fn take(&mut self) -> bool {
        let has_room = self.used < self.max;
        match has_room {
            true => self.used += 1,
            false => self.refused += 1,
        }
        has_room
    }

    /// Whether a value has room; one that has not is not counted.
    pub(super) fn has_room(&self) -> bool {
        self.used < self.max
    }

    /// Returns the room of `count` values.
    pub(super) fn give(&mut self, count: usize) {
        self.used = self.used.saturating_sub(count);
    }

    /// Values that are retained.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}
