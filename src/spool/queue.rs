//! The queue: what is on disk, and behind it what is in memory alone.

mod moves;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::disk::{Disk, Piece};
use super::memory::{self, Memory};
use super::owners::Owner;
use crate::encode::point::Lines;
use crate::log::Episode;
use crate::system::OwnFolder;

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
    /// Whose it is, as its folder says.
    owner: Mutex<Option<Owner>>,
    drops: Mutex<Drops>,
}

/// What the log was told of points that were dropped.
#[derive(Default)]
struct Drops {
    /// How many had been, as there was no room, when this was looked at last.
    overflow: u64,
    is_full: Episode<()>,
    are_old: Episode<()>,
}

/// Where points are kept beside memory.
enum Keeping {
    /// Nowhere.
    None,
    /// In a folder that cannot be used.
    Closed(Closed),
    /// On disk, where there may be trouble, as the log was told.
    Open(Box<Disk>, Episode<String>),
}

/// A folder that cannot be used.
struct Closed {
    /// As it was named.
    folder: PathBuf,
    /// Where that was, once it could be used.
    place: Option<PathBuf>,
    /// Why it cannot, as the log was told.
    told: Option<String>,
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
    /// Of the disk with this number.
    Disk(u64, Vec<Piece>),
}

impl Queue {
    /// An empty queue in memory alone.
    pub fn in_memory(bounds: Bounds) -> Self {
        Queue {
            bounds: Mutex::new(bounds),
            memory: Mutex::new(Memory::new(bounds.memory)),
            disk: Mutex::new(Keeping::None),
            told: Told::default(),
            owner: Mutex::default(),
            drops: Mutex::default(),
        }
    }

    /// The queue in `folder`, with what waits there. If the folder cannot be used, the log is told, and it is tried again
    /// whenever points come.
    pub fn on_disk(folder: &Path, bounds: Bounds) -> Self {
        let queue = Queue::in_memory(bounds);
        *queue.disk() = Keeping::Closed(Closed { folder: folder.to_owned(), place: None, told: None });
        queue.told.has_folder.store(true, Relaxed);
        queue.open(&mut queue.disk());
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
        self.keep_up(&mut keeping, false);
        self.tell(&mut keeping);
    }

    /// Sees to it that the folder is there, and moves to it what is in memory.
    fn keep_up(&self, keeping: &mut Keeping, looks_closely: bool) {
        self.look(keeping, looks_closely);
        self.open(keeping);
        self.move_to_disk(keeping);
    }

    fn open(&self, keeping: &mut Keeping) {
        let Keeping::Closed(closed) = keeping else { return };
        match closed.open(self.bounds()) {
            Ok((disk, damage)) => {
                tell_damage(&damage);
                if closed.told.is_some() {
                    tracing::info!("the spool {} can be used now", closed.folder.display());
                }
                *keeping = Keeping::Open(Box::new(disk), Episode::default());
                self.mark(keeping);
                self.tell(keeping);
            }
            Err(error) => closed.tell(&error),
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
                    if trouble.fails(error.to_string()) {
                        let folder = disk.folder().display();
                        tracing::error!("points are kept in memory, as the disk takes none: {folder}: {error}");
                    }
                    return;
                }
            }
        }
        if is_written && let Some(over) = trouble.is_well() {
            tracing::info!("points are kept on disk again {over}: {}", disk.folder().display());
        }
    }

    /// A copy of the oldest points of a lane, `count` at the most; nothing if there are none. May take as long as the disk
    /// does.
    pub fn front(&self, lane: Lane, count: usize) -> Option<Batch> {
        let mut keeping = self.disk();
        self.told.memory_in_flight.store(false, Relaxed);
        self.keep_up(&mut keeping, false);
        let from_disk = match &mut *keeping {
            Keeping::Open(disk, _) => {
                let (lines, pieces) = disk.front(lane, count);
                Some(Batch { lines, from: From::Disk(disk.number_of_disk, pieces) })
                    .filter(|batch| !batch.lines.is_empty())
            }
            _ => None,
        };
        self.tell(&mut keeping);
        if from_disk.is_some() {
            return from_disk;
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
            (From::Disk(number, pieces), Keeping::Open(disk, _)) if disk.number_of_disk == *number => {
                disk.remove(&batch.lines, pieces, count);
            }
            // They are elsewhere by now, and are sent once more.
            (From::Disk(..), _) => {}
        }
        self.tell(&mut keeping);
    }

    /// Closes what waits on disk: it is the backlog from here on, and what comes is the fresh lane.
    pub fn set_backlog_apart(&self) {
        let mut keeping = self.disk();
        if let Keeping::Open(disk, _) = &mut *keeping {
            disk.set_backlog_apart();
        }
        self.tell(&mut keeping);
    }

    /// Whether something was set apart, and waits yet.
    pub fn has_backlog(&self) -> bool {
        self.told.has_backlog.load(Relaxed)
    }

    /// Waits until everything is on disk as it is, and says how many points would be lost if the process ended now.
    pub fn close(&self) -> usize {
        self.told.memory_in_flight.store(false, Relaxed);
        let mut keeping = self.disk();
        self.keep_up(&mut keeping, true);
        if let Keeping::Open(disk, _) = &mut *keeping {
            disk.sync();
        }
        self.tell(&mut keeping);
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

    fn tell(&self, keeping: &mut Keeping) {
        let set = |of: &AtomicU64, value: u64| of.store(value, Relaxed);
        let ((points, bytes), oldest, has_backlog) = match keeping {
            Keeping::Open(disk, _) => {
                self.add_dropped(disk);
                (disk.waiting(), disk.oldest(), disk.has_backlog())
            }
            _ => ((0, 0), Duration::ZERO, false),
        };
        set(&self.told.points, points);
        set(&self.told.bytes, bytes);
        set(&self.told.oldest_seconds, oldest.as_secs());
        self.told.has_backlog.store(has_backlog, Relaxed);
        self.tell_of_overflow();
    }

    fn tell_of_overflow(&self) {
        let counts = self.counts();
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.overflow > std::mem::replace(&mut drops.overflow, counts.overflow) {
            if drops.is_full.fails(()) {
                let (sink, points) = (self.sink(), counts.points);
                tracing::warn!(
                    sink,
                    "there is no room for more than {points} points: the oldest are dropped, and counted"
                );
            }
        } else if counts.points == 0 {
            if let Some(over) = drops.is_full.is_well() {
                tracing::info!(sink = self.sink(), "there is room for all points again, {over}");
            }
            let _ = drops.are_old.is_well();
        }
    }

    /// Whose it is, for the log.
    fn sink(&self) -> String {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default()
    }

    /// Counts what was dropped since this was asked last.
    fn add_dropped(&self, disk: &mut Disk) {
        let dropped = std::mem::take(&mut disk.dropped);
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        if dropped.expired > 0 && drops.are_old.fails(()) {
            let (count, age) = (dropped.expired, humantime::format_duration(disk.bounds.age));
            let sink = self.sink();
            tracing::warn!(sink, "{count} points had waited for more than {age}, and were dropped; more are counted");
        }
        drop(drops);
        self.told.overflow.fetch_add(dropped.overflow, Relaxed);
        self.told.expired.fetch_add(dropped.expired, Relaxed);
        self.told.damaged.fetch_add(dropped.damaged, Relaxed);
    }

    /// For tests that have the disk fail: what it writes to.
    #[cfg(test)]
    pub(super) fn replace_file(&self, file: std::fs::File) -> Option<std::fs::File> {
        match &mut *self.disk() {
            Keeping::Open(disk, _) => Some(std::mem::replace(disk.segment()?.file_mut(), file)),
            _ => None,
        }
    }

    /// For tests that have files vanish: nothing of them is known.
    #[cfg(test)]
    pub(super) fn forget_cached(&self) {
        if let Keeping::Open(disk, _) = &mut *self.disk() {
            disk.forget_cached();
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Keeping> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_damage(damage: &[String]) {
    for line in damage {
        tracing::error!("the spool is damaged: {line}");
    }
}

impl Closed {
    fn open(&mut self, bounds: Bounds) -> Result<(Disk, Vec<String>), String> {
        let place = match &self.place {
            Some(place) => place.clone(),
            None => OwnFolder::place(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?,
        };
        Disk::open(&place, bounds).map_err(|error| error.to_string())
    }

    /// Tells the log why it cannot be used, once for each reason.
    fn tell(&mut self, error: &str) {
        if self.told.as_deref() != Some(error) {
            tracing::error!("points are kept in memory alone, and are lost when Taffrail ends: the spool {error}");
            self.told = Some(error.to_owned());
        }
    }
}
