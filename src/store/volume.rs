//! Decides when a snapshot is due, and whether the volume has space for it.

/// Bytes that a log may take in addition to twice its live data; small in tests, so that many snapshots occur.
const MIN_LOG_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 4 << 20 };

/// Overhead of a snapshot: headers of parts, and blocks of the file system.
const SLACK: u64 = if cfg!(test) { 64 } else { 64 << 10 };

/// Minimum free space to keep beside a snapshot.
const MARGIN: u64 = if cfg!(test) { 128 } else { 1 << 20 };

/// Used and free space, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Size of the log: segments, and the snapshot before them.
    pub held: u64,
    /// Size of a snapshot of all live data.
    pub live: u64,
    /// Free space on the volume; `None` if unknown.
    pub free: Option<u64>,
}

impl Volume {
    /// Space for a snapshot while the previous one still exists.
    fn need(&self) -> u64 {
        self.live + self.live / 64 + SLACK
    }

    /// Free space to keep beside it: a few more pushes, or an eighth of the live data.
    fn margin(&self) -> u64 {
        MARGIN + self.live / 8
    }

    /// Whether there is space for a snapshot.
    pub fn has_space(&self) -> bool {
        self.free.is_none_or(|free| free >= self.need())
    }

    /// Whether a snapshot is due: the log is much longer than its live data, or free space comes near what a snapshot
    /// needs, and a snapshot would free a worthwhile amount.
    pub fn is_due(&self) -> bool {
        let is_scarce = self.free.is_some_and(|free| free < self.need() + self.margin());
        let is_worth_while = self.held >= self.live + self.margin() / 2;
        self.held > MIN_LOG_BYTES + 2 * self.live || (is_scarce && is_worth_while)
    }

    /// Whether writing `bytes` to the log would take the space of a snapshot that still fits now. The snapshot must
    /// then be written instead.
    pub fn is_last_chance(&self, bytes: u64) -> bool {
        let later = Volume { free: self.free.map(|free| free.saturating_sub(bytes)), ..*self };
        self.has_space() && !later.has_space()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log on a volume of `size` bytes, as its writer lets it grow.
    struct Model {
        size: u64,
        live: u64,
        snapshot: u64,
        log: u64,
        written: u64,
    }

    impl Model {
        fn volume(&self) -> Volume {
            let held = self.snapshot + self.log;
            Volume { held, live: self.live, free: Some(self.size - held) }
        }

        fn snapshot(&mut self) {
            assert!(self.live <= self.size - self.snapshot - self.log, "a snapshot was begun that has no room");
            self.written += self.live;
            (self.snapshot, self.log) = (self.live, 0);
        }

        /// Whether the push could be stored.
        fn push(&mut self, bytes: u64) -> bool {
            let volume = self.volume();
            let is_full = volume.free < Some(bytes);
            if volume.is_last_chance(bytes) || (is_full && volume.has_space()) {
                self.snapshot();
                return true;
            }
            if is_full {
                return false;
            }
            self.log += bytes;
            self.written += bytes;
            if self.volume().is_due() && self.volume().has_space() {
                self.snapshot();
            }
            true
        }
    }

    #[test]
    fn twice_what_is_live_and_a_little_is_enough_whatever_is_pushed() {
        for live in [0, 1, 100, 5_000, 40_000, 3_000_000] {
            let least = 2 * (live + live / 64 + SLACK);
            for size in
                [least, least + 1, least + least / 16, least + least / 8, 3 * live + 2 * MIN_LOG_BYTES, 100 * least]
            {
                for push in [1, 30, 127, 1000, live / 3 + 1, live.max(1)] {
                    let mut model = Model { size, live, snapshot: live, log: 0, written: 0 };
                    for number in 0..2000 {
                        assert!(model.push(push), "{live} live on {size}, push {number} of {push}");
                    }
                    // With enough space, each pushed byte costs little more than one written byte.
                    if size >= 3 * live + 2 * MIN_LOG_BYTES + push {
                        let least = 2000 * push;
                        assert!(model.written <= 2 * least + live + MIN_LOG_BYTES, "{} for {least}", model.written);
                    }
                }
            }
        }
    }

    #[test]
    fn a_log_is_never_much_longer_than_twice_what_it_says() {
        for (held, live, free, is_due) in [
            (MIN_LOG_BYTES, 0, None, false),
            (MIN_LOG_BYTES + 1, 0, None, true),
            (MIN_LOG_BYTES + 2_000, 1_000, None, false),
            (MIN_LOG_BYTES + 2_001, 1_000, None, true),
            // Space is scarce, first with nothing to gain, then with something.
            (1_000, 1_000, Some(1_100), false),
            (1_000 + 127, 1_000, Some(1_100), true),
            (1_000 + 127, 1_000, Some(10_000), false),
            // Everything was deleted: the previous snapshot goes.
            (1_000, 0, Some(100), true),
        ] {
            let volume = Volume { held, live, free };
            assert_eq!(volume.is_due(), is_due, "{volume:?}");
        }
        let volume = Volume { held: 0, live: 1_000, free: Some(1_078) };
        assert!(!volume.has_space() && !volume.is_last_chance(10));
        let volume = Volume { free: Some(1_100), ..volume };
        assert!(volume.has_space() && volume.is_last_chance(22) && !volume.is_last_chance(21));
        assert!(Volume { free: None, ..volume }.has_space());
    }
}
