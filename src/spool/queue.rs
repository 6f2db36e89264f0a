//! The queue: what is on disk, and behind it what is in memory alone.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::disk::{Disk, Piece};
use super::memory::{self, Memory};
use crate::encode::point::Lines;

/// How much may wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of points in memory.
    pub memory: usize,
    /// Bytes of the files on disk.
    pub bytes: usize,
    /// How long points may wait on disk.
    pub age: Duration,
}

/// Which of the points that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What came since the backlog was set apart; everything, if it was not.
    Fresh,
    /// What was set apart.
    Backlog,
}

/// Points that wait, oldest first.
pub struct Queue {
    bounds: Mutex<Bounds>,
    memory: Mutex<Memory>,
    /// Taken before the memory's, where both are.
    disk: Mutex<Keeping>,
    told: Told,
}

/// Where points are kept beside memory.
enum Keeping {
    /// Nowhere.
    None,
    /// In this folder, which cannot be used, as the log was told.
    Closed(PathBuf),
    /// On disk, where there may be trouble, as the log was told.
    Open(Box<Disk>, Option<String>),
}

/// What the disk's lock need not be waited for.
#[derive(Default)]
struct Told {
    points: AtomicU64,
    bytes: AtomicU64,
    oldest_seconds: AtomicU64,
    overflow: AtomicU64,
    expired: AtomicU64,
    damaged: AtomicU64,
    has_folder: AtomicBool,
    has_backlog: AtomicBool,
    /// Whether points from memory are under way: they must not move to the disk meanwhile.
    memory_in_flight: AtomicBool,
}

/// What a queue holds, and what it could not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Points that wait.
    pub points: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Those of them that are in memory alone.
    pub in_memory: usize,
    /// How long the oldest on disk have waited, about.
    pub oldest: Duration,
    /// Points that were dropped, since the queue was made, because it was full.
    pub overflow: u64,
    /// The same, because they had waited for too long.
    pub expired: u64,
    /// The same, because the disk did not give them back.
    pub damaged: u64,
}

/// The oldest points of a lane, to be sent in one request.
#[derive(Debug)]
pub struct Batch {
    /// The points.
    pub lines: Lines,
    from: From,
}

#[derive(Debug)]
enum From {
    Memory(memory::Batch),
    Disk(Vec<Piece>),
}

impl Queue {
    /// An empty queue in memory alone.
    pub fn in_memory(bounds: Bounds) -> Self {
        Queue {
            bounds: Mutex::new(bounds),
            memory: Mutex::new(Memory::new(bounds.memory)),
            disk: Mutex::new(Keeping::None),
            told: Told::default(),
        }
    }

    /// The queue in `folder`, with what waits there. If the folder cannot be used, the log is told, and it is tried again
    /// whenever points come.
    pub fn on_disk(folder: &Path, bounds: Bounds) -> Self {
        let queue = Queue::in_memory(bounds);
        *queue.disk() = Keeping::Closed(folder.to_owned());
        queue.told.has_folder.store(true, Relaxed);
        queue.open(&mut queue.disk(), true);
        queue
    }

    /// Changes the bounds; what is too much is dropped when points come.
    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
        self.memory().set_max_bytes(bounds.memory);
    }

    fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has a folder, which may have to be waited for.
    pub fn is_on_disk(&self) -> bool {
        self.told.has_folder.load(Relaxed)
    }

    /// Adds points at the end. They are in memory until [`Queue::settle`]; if there are too many then, the oldest in memory
    /// are dropped.
    pub fn push(&self, lines: Lines) {
        if !lines.is_empty() {
            self.memory().push(lines);
        }
    }

    /// Puts on disk what is in memory, as far as the disk takes it, and waits until it is there. May take as long as the
    /// disk does.
    pub fn settle(&self) {
        let mut keeping = self.disk();
        self.open(&mut keeping, false);
        self.move_to_disk(&mut keeping);
        self.tell(&keeping);
    }

    fn open(&self, keeping: &mut Keeping, is_first: bool) {
        let Keeping::Closed(folder) = keeping else { return };
        match Disk::open(folder, self.bounds()) {
            Ok((disk, damage)) => {
                for line in damage {
                    tracing::error!("the spool is damaged: {line}");
                }
                if !is_first {
                    tracing::info!("the spool {} can be used now", folder.display());
                }
                *keeping = Keeping::Open(Box::new(disk), None);
                self.tell(keeping);
            }
            Err(error) if is_first => {
                tracing::error!("points are kept in memory alone, and are lost when Taffrail ends: the spool {error}");
            }
            Err(_) => {}
        }
    }

    fn move_to_disk(&self, keeping: &mut Keeping) {
        let Keeping::Open(disk, trouble) = keeping else { return };
        disk.bounds = self.bounds();
        let mut is_written = false;
        while !self.told.memory_in_flight.load(Relaxed) {
            let Some(batch) = self.memory().front(usize::MAX) else { break };
            match disk.append(&batch.lines) {
                Ok(()) => {
                    is_written = true;
                    self.memory().remove_first(&batch, usize::MAX);
                }
                Err(error) => {
                    if trouble.is_none() {
                        tracing::error!(
                            "points are kept in memory, as the disk takes none: {}: {error}",
                            disk.folder().display()
                        );
                        *trouble = Some(error.to_string());
                    }
                    return;
                }
            }
        }
        if is_written && trouble.take().is_some() {
            tracing::info!("points are kept on disk again: {}", disk.folder().display());
        }
    }

    /// A copy of the oldest points of a lane, `count` at the most; nothing if there are none. May take as long as the disk
    /// does.
    pub fn front(&self, lane: Lane, count: usize) -> Option<Batch> {
        let mut keeping = self.disk();
        self.told.memory_in_flight.store(false, Relaxed);
        self.move_to_disk(&mut keeping);
        let from_disk = match &mut *keeping {
            Keeping::Open(disk, _) => Some(disk.front(lane, count)).filter(|(lines, _)| !lines.is_empty()),
            _ => None,
        };
        self.tell(&keeping);
        if let Some((lines, pieces)) = from_disk {
            return Some(Batch { lines, from: From::Disk(pieces) });
        }
        if lane == Lane::Backlog {
            return None;
        }
        let batch = self.memory().front(count)?;
        self.told.memory_in_flight.store(true, Relaxed);
        Some(Batch { lines: batch.lines.clone(), from: From::Memory(batch) })
    }

    /// Takes the first `count` points of `batch` out, as far as they are still there.
    pub fn remove(&self, batch: &Batch, count: usize) {
        let mut keeping = self.disk();
        match (&batch.from, &mut *keeping) {
            (From::Memory(batch), _) => {
                self.memory().remove_first(batch, count);
                self.told.memory_in_flight.store(false, Relaxed);
            }
            (From::Disk(pieces), Keeping::Open(disk, _)) => disk.remove(&batch.lines, pieces, count),
            (From::Disk(_), _) => {}
        }
        self.tell(&keeping);
    }

    /// Closes what waits on disk: it is the backlog from here on, and what comes is the fresh lane.
    pub fn set_backlog_apart(&self) {
        let mut keeping = self.disk();
        if let Keeping::Open(disk, _) = &mut *keeping {
            disk.set_backlog_apart();
        }
        self.tell(&keeping);
    }

    /// Whether something was set apart, and waits yet.
    pub fn has_backlog(&self) -> bool {
        self.told.has_backlog.load(Relaxed)
    }

    /// Waits until everything is on disk as it is, and says how many points would be lost if the process ended now.
    pub fn close(&self) -> usize {
        self.told.memory_in_flight.store(false, Relaxed);
        self.settle();
        if let Keeping::Open(disk, _) = &mut *self.disk() {
            disk.sync();
        }
        self.memory().counts().points
    }

    /// What it holds, and what it dropped.
    pub fn counts(&self) -> Counts {
        let memory = self.memory().counts();
        let get = |of: &AtomicU64| of.load(Relaxed);
        Counts {
            points: memory.points + get(&self.told.points) as usize,
            bytes: memory.bytes + get(&self.told.bytes) as usize,
            in_memory: memory.points,
            oldest: Duration::from_secs(get(&self.told.oldest_seconds)),
            overflow: memory.dropped + get(&self.told.overflow),
            expired: get(&self.told.expired),
            damaged: get(&self.told.damaged),
        }
    }

    fn tell(&self, keeping: &Keeping) {
        let Keeping::Open(disk, _) = keeping else { return };
        let set = |of: &AtomicU64, value: u64| of.store(value, Relaxed);
        let (points, bytes) = disk.waiting();
        set(&self.told.points, points);
        set(&self.told.bytes, bytes);
        set(&self.told.oldest_seconds, disk.oldest().as_secs());
        set(&self.told.overflow, disk.dropped.overflow);
        set(&self.told.expired, disk.dropped.expired);
        set(&self.told.damaged, disk.dropped.damaged);
        self.told.has_backlog.store(disk.has_backlog(), Relaxed);
    }

    /// For tests that have the disk fail: what it writes to.
    #[cfg(test)]
    pub(super) fn replace_file(&self, file: std::fs::File) -> Option<std::fs::File> {
        match &mut *self.disk() {
            Keeping::Open(disk, _) => Some(std::mem::replace(disk.segment()?.file_mut(), file)),
            _ => None,
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Keeping> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
