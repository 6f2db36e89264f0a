//! The queue: points on disk, followed by points in memory only.

mod relocation;
mod stats;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::{BatchPart, Disk};
use super::folders::SinkId;
use super::memory::Memory;
use super::types::{Limits, SubQueue};
use crate::encode::lines::Lines;
use crate::log::Episode;
use crate::system::PrivateFolder;

use self::stats::{DropLog, Stats};

/// Waiting points, oldest first.
pub struct Queue {
    limits: Mutex<Limits>,
    memory: Mutex<Memory>,
    /// Locked before `memory` where both are needed.
    disk: Mutex<Storage>,
    stats: Stats,
    /// The sink, as recorded in the folder.
    owner: Mutex<Option<SinkId>>,
    drops: Mutex<DropLog>,
}

/// Storage besides memory.
enum Storage {
    /// None.
    None,
    /// A folder that cannot be used.
    Unavailable(Unavailable),
    /// An open folder, and its write failures.
    Open(Box<Disk>, Episode<String>),
}

/// A folder that cannot be used.
struct Unavailable {
    /// Its path, as configured.
    folder: PathBuf,
    /// Its resolved path, once it was usable.
    resolved: Option<PathBuf>,
    /// Why it cannot be used.
    failure: Episode<String>,
}

/// The oldest points of a sub-queue, for one request.
#[derive(Debug)]
pub struct Batch {
    /// The points.
    pub lines: Lines,
    from: Origin,
}

#[derive(Debug)]
enum Origin {
    /// From memory, and the number of the first.
    Memory(u64),
    /// From the disk with this id.
    Disk(u64, Vec<BatchPart>),
}

/// The bytes after which a record on disk is complete: it is encoded, written and read as a whole.
const RECORD_BYTES: usize = 1 << 20;

impl Queue {
    /// An empty queue in memory only.
    pub fn in_memory(limits: Limits) -> Self {
        Queue {
            limits: Mutex::new(limits),
            memory: Mutex::new(Memory::new(limits.memory)),
            disk: Mutex::new(Storage::None),
            stats: Stats::default(),
            owner: Mutex::default(),
            drops: Mutex::default(),
        }
    }

    /// The queue in `folder`; see [`Queue::attach`].
    pub fn on_disk(folder: &Path, limits: Limits) -> Self {
        let queue = Queue::in_memory(limits);
        queue.attach(folder);
        queue
    }

    /// Attaches a memory-only queue to `folder`; its points follow those already there. Blocks on the disk; points
    /// that arrive meanwhile are accepted into memory. If the folder cannot be used, that is logged and retried
    /// whenever points arrive.
    pub fn attach(&self, folder: &Path) {
        self.stats.has_folder.store(true, Relaxed);
        let mut unavailable = Unavailable { folder: folder.to_owned(), resolved: None, failure: Episode::default() };
        let storage_opened = unavailable.open(self.limits());
        let mut storage = self.disk();
        let is_awaited = match &*storage {
            Storage::None => self.is_on_disk(),
            Storage::Unavailable(other) => other.folder == folder,
            // It was moved meanwhile: the next start finds these points.
            Storage::Open(..) => false,
        };
        if !is_awaited {
            return;
        }
        if let Storage::Unavailable(other) = &mut *storage {
            unavailable.failure = std::mem::take(&mut other.failure);
        }
        self.storage_opened(&mut storage, unavailable, storage_opened);
    }

    /// Changes the limits; they are enforced when points arrive.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        self.memory().set_max_bytes(limits.memory);
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has a folder, usable or not.
    pub fn is_on_disk(&self) -> bool {
        self.stats.has_folder.load(Relaxed)
    }

    /// Appends points. They stay in memory until [`Queue::persist`]; if memory is full, its oldest points are
    /// dropped. Returns the token for [`Queue::is_persisted`]; `None` if there are no points.
    pub fn push(&self, lines: Lines) -> Option<u64> {
        (!lines.is_empty()).then(|| self.memory().push(lines))
    }

    /// Whether all points up to the push that returned `end` have left memory: persisted, acknowledged or dropped.
    pub fn is_persisted(&self, end: u64) -> bool {
        self.memory().is_past(end)
    }

    /// Writes all points in memory to disk and waits until they are there, as far as the disk accepts them. Blocks on
    /// the disk.
    pub fn persist(&self) {
        let mut storage = self.disk();
        self.maintain(&mut storage, false);
        self.publish(&mut storage);
    }

    /// Ensures that the folder exists, and moves points from memory to it.
    fn maintain(&self, storage: &mut Storage, closely: bool) {
        self.inspect(storage, closely);
        self.open(storage);
        self.move_to_disk(storage);
    }

    fn open(&self, storage: &mut Storage) {
        if !matches!(storage, Storage::Unavailable(_)) {
            return;
        }
        if let Storage::Unavailable(mut unavailable) = std::mem::replace(storage, Storage::None) {
            let storage_opened = unavailable.open(self.limits());
            self.storage_opened(storage, unavailable, storage_opened);
        }
    }

    /// Stores the result of opening the folder.
    fn storage_opened(
        &self,
        storage: &mut Storage,
        mut unavailable: Unavailable,
        storage_opened: Result<Disk, String>,
    ) {
        *storage = match storage_opened {
            Ok(disk) => {
                if let Some(over) = unavailable.failure.recovered() {
                    tracing::info!("the spool {} can be used now {over}", unavailable.folder.display());
                }
                Storage::Open(Box::new(disk), Episode::default())
            }
            Err(error) => {
                unavailable.log(&error);
                Storage::Unavailable(unavailable)
            }
        };
        self.mark(storage);
        self.publish(storage);
    }

    fn move_to_disk(&self, storage: &mut Storage) {
        let Storage::Open(disk, write_failure) = storage else { return };
        disk.limits = self.limits();
        let mut is_written = false;
        while !self.stats.memory_in_flight.load(Relaxed) {
            let Some((lines, first)) = self.memory().front(usize::MAX, RECORD_BYTES) else { break };
            match disk.append(&lines) {
                Ok(()) => {
                    is_written = true;
                    self.memory().remove(first, lines.count());
                }
                Err(error) => {
                    if write_failure.fails(error.to_string()) {
                        let folder = disk.folder().display();
                        tracing::error!("points are kept in memory, as the disk takes none: {folder}: {error}");
                    }
                    return;
                }
            }
        }
        if is_written && let Some(over) = write_failure.recovered() {
            tracing::info!("points are kept on disk again {over}: {}", disk.folder().display());
        }
    }

    /// A copy of the oldest points of a sub-queue, at most `count`; `None` if it is empty. Blocks on the disk.
    pub fn front(&self, lane: SubQueue, count: usize) -> Option<Batch> {
        let mut storage = self.disk();
        self.stats.memory_in_flight.store(false, Relaxed);
        self.maintain(&mut storage, false);
        let from_disk = match &mut *storage {
            Storage::Open(disk, _) => {
                let (lines, parts) = disk.front(lane, count);
                Some(Batch { lines, from: Origin::Disk(disk.id, parts) }).filter(|batch| !batch.lines.is_empty())
            }
            _ => None,
        };
        self.publish(&mut storage);
        if from_disk.is_some() {
            return from_disk;
        }
        if lane == SubQueue::Backlog {
            return None;
        }
        let (lines, first) = self.memory().front(count, usize::MAX)?;
        self.stats.memory_in_flight.store(true, Relaxed);
        Some(Batch { lines, from: Origin::Memory(first) })
    }

    /// Removes the first `count` points of `batch`, if they are still there.
    pub fn remove(&self, batch: &Batch, count: usize) {
        let mut storage = self.disk();
        match (&batch.from, &mut *storage) {
            (Origin::Memory(first), _) => {
                self.memory().remove(*first, count.min(batch.lines.count()));
                self.stats.memory_in_flight.store(false, Relaxed);
            }
            (Origin::Disk(number, parts), Storage::Open(disk, _)) if disk.id == *number => {
                disk.remove(&batch.lines, parts, count);
            }
            // They have moved, and are sent again.
            (Origin::Disk(..), _) => {}
        }
        self.publish(&mut storage);
    }

    /// Turns all points on disk into the backlog; later ones are fresh.
    pub fn split_backlog(&self) {
        let mut storage = self.disk();
        if let Storage::Open(disk, _) = &mut *storage {
            disk.split_backlog();
        }
        self.publish(&mut storage);
    }

    /// Whether a backlog exists.
    pub fn has_backlog(&self) -> bool {
        self.stats.has_backlog.load(Relaxed)
    }

    /// Writes everything to disk, and returns the number of points that would be lost if the process ended now.
    pub fn close(&self) -> usize {
        self.stats.memory_in_flight.store(false, Relaxed);
        let mut storage = self.disk();
        self.maintain(&mut storage, true);
        if let Storage::Open(disk, _) = &mut *storage {
            disk.sync();
        }
        self.publish(&mut storage);
        self.memory().counts().points
    }

    /// Releases the folder for the next process. Later points stay in memory only.
    pub fn release(&self) {
        *self.disk() = Storage::None;
        self.stats.has_folder.store(false, Relaxed);
    }

    /// For tests that make writes fail: replaces the open file.
    #[cfg(test)]
    pub(super) fn replace_file(&self, file: std::fs::File) -> Option<std::fs::File> {
        match &mut *self.disk() {
            Storage::Open(disk, _) => Some(std::mem::replace(disk.segment()?.file_mut(), file)),
            _ => None,
        }
    }

    /// For tests that remove files: clears the cache.
    #[cfg(test)]
    pub(super) fn forget_cached(&self) {
        if let Storage::Open(disk, _) = &mut *self.disk() {
            disk.forget_cached();
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Storage> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unavailable {
    fn open(&mut self, limits: Limits) -> Result<Disk, String> {
        let resolved = match &self.resolved {
            Some(resolved) => resolved.clone(),
            None => {
                PrivateFolder::resolve(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?
            }
        };
        Disk::open(&resolved, limits).map_err(|error| error.to_string())
    }

    /// Logs why it cannot be used, once for each reason.
    fn log(&mut self, error: &str) {
        if self.failure.fails(error.to_owned()) {
            tracing::error!("points are kept in memory only, and are lost when Taffrail stops: the spool {error}");
        }
    }
}
