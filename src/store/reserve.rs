//! A file of zeros, whose space is released for records that must be written on a full volume.

use std::fs;
use std::path::{Path, PathBuf};

use super::output::Output;
use crate::system::{self, Use};

/// Maximum size, in bytes.
const MAX_RESERVE_BYTES: u64 = if cfg!(test) { 256 } else { 1 << 20 };

/// Block size of most file systems.
const BLOCK: u64 = if cfg!(test) { 16 } else { 4096 };

/// Space held by an otherwise unused file.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    length: u64,
}

impl Reserve {
    /// The reserve in `folder`, as an earlier run left it.
    pub(super) fn find(folder: &Path) -> Self {
        let path = folder.join("reserve");
        let found = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file);
        let length = found.map_or(0, |found| found.len());
        Reserve { path, length }
    }

    /// Refills it if less than half is left and there is plenty of space: it takes at most an eighth of the free
    /// space.
    pub(super) fn refill(&mut self, free: Option<u64>) {
        let share = free.map_or(MAX_RESERVE_BYTES, |free| (free + self.length) / 8);
        let wanted = share.min(MAX_RESERVE_BYTES) / BLOCK * BLOCK;
        if self.length >= wanted.div_ceil(2) {
            return;
        }
        // A failure is ignored: the reserve may never be needed.
        let written = Output::create(&self.path).and_then(|file| {
            file.write_at(&vec![0; wanted as usize], 0)?;
            file.sync()
        });
        self.length = wanted;
        if written.is_err() {
            self.release(u64::MAX);
        }
    }

    /// Releases this many bytes and a little more, for the next write. Returns whether any were left.
    pub(super) fn release(&mut self, bytes: u64) -> bool {
        /// A file may take one more block than its bytes need, and its folder one for the name.
        const OVERHEAD: u64 = 2 * BLOCK;
        let before = self.length;
        self.length = before.saturating_sub(bytes.saturating_add(OVERHEAD)) / BLOCK * BLOCK;
        let is_given = match self.length {
            0 => fs::remove_file(&self.path),
            length => system::open_regular(&self.path, Use::Change).and_then(|file| file.set_len(length)),
        };
        #[cfg(test)]
        super::output::faults::gain(self.path.parent().unwrap_or(&self.path), before - self.length);
        is_given.is_ok() && before > 0
    }
}
