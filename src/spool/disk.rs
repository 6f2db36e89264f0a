//! The part of a queue that is on disk.

mod reading;
mod recovery;
mod removing;
mod writing;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use super::age::Clock;
use super::checkpoint::{Checkpoint, MAX_SPANS, Position, Span};
use super::segments::{MAGIC, SegmentInfo, numbers, scan};
use super::types::Limits;
use crate::encode::lines::Lines;
use crate::log::Episode;
use crate::store::{OpenError, Segment};
use crate::system::{self, Identity, PrivateFolder, Use};

pub(super) use self::recovery::Inspection;

/// A queue's folder.
#[derive(Debug)]
pub(super) struct Disk {
    /// Unique in this process, also among successive folders at one path.
    pub(super) id: u64,
    folder: PrivateFolder,
    /// Modification time of the folder at the last inspection.
    seen: Option<SystemTime>,
    lock: (File, Option<Identity>),
    checkpoint: Checkpoint,
    /// Oldest first; the last one grows.
    spans: Vec<Span>,
    segments: BTreeMap<u64, SegmentInfo>,
    /// The open segment; created at the first write, so that a queue on a full disk can be read.
    current: Option<Segment>,
    /// Its number, even before it exists.
    number: u64,
    /// The last record read, and the position of the next.
    cached: Option<(Position, Lines, Position)>,
    /// Logged read failures.
    unreadable: Episode<String>,
    /// Logged failures to recreate files.
    repair_failures: Episode<String>,
    clock: Clock,
    pub(super) limits: Limits,
    pub(super) dropped: Dropped,
    /// Damage not logged yet, one line each.
    pub(super) damage: Vec<String>,
}

/// Dropped points, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) overflow: u64,
    pub(super) expired: u64,
    pub(super) damaged: u64,
}

/// The points of a batch that come from one record.
#[derive(Debug)]
pub(super) struct BatchPart {
    record: Position,
    /// Index of the first one in the record.
    first: u32,
    count: u32,
    /// Position after them.
    after: Position,
    /// The segment's `surveys` when they were read.
    surveys: u32,
}

impl Disk {
    /// Opens a queue's folder and creates it if missing.
    pub(super) fn open(path: &Path, limits: Limits) -> Result<Disk, OpenError> {
        let mut disk = Disk::open_for_inspection(path, limits)?;
        disk.delete_drained_segments();
        Ok(disk)
    }

    /// Like [`Disk::open`], but deletes nothing, not even unreadable files.
    pub(super) fn open_for_inspection(path: &Path, limits: Limits) -> Result<Disk, OpenError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |what| move |reason| OpenError::Io { path: path.to_owned(), what, reason };
        let folder = PrivateFolder::open(path).map_err(failed("cannot be used"))?;
        let lock = lock(&folder)?;
        let (checkpoint, spans) = Checkpoint::open(&folder).map_err(failed("places cannot be read"))?;
        let spans = spans.unwrap_or_else(|| vec![Span::ALL]);
        let mut damage = Vec::new();
        let mut segments = BTreeMap::new();
        let found = numbers(&folder).map_err(failed("cannot be read"))?;
        for (index, number) in found.iter().enumerate() {
            let is_last = index + 1 == found.len();
            segments.extend(scan(&folder, *number, is_last, &spans, &mut damage)?.map(|info| (*number, info)));
        }
        // Past all positions as well: the checkpoint may be ahead of the files.
        let known = spans.iter().flat_map(|span| [Some(span.begin), span.end]).flatten();
        let next = known.map(|position| position.segment).chain(found.last().copied()).max().map_or(1, |last| last + 1);
        let mut disk = Disk {
            id: NUMBER.fetch_add(1, Relaxed),
            folder,
            seen: None,
            lock,
            checkpoint,
            spans,
            segments,
            current: None,
            number: next,
            cached: None,
            unreadable: Episode::default(),
            repair_failures: Episode::default(),
            clock: Clock::start(),
            limits,
            dropped: Dropped::default(),
            damage,
        };
        disk.remove_empty_spans();
        Ok(disk)
    }

    /// Turns all waiting points into the backlog.
    pub(super) fn split_backlog(&mut self) {
        let length = self.current.as_ref().map_or(MAGIC.len() as u64, Segment::length);
        let end = Position { segment: self.number, offset: length, points: 0 };
        let has_room = self.spans.len() < MAX_SPANS;
        if has_room && let Some(last) = self.spans.last_mut() {
            last.end = Some(end);
            self.spans.push(Span { begin: end, end: None });
            self.remove_empty_spans();
            self.write_checkpoint();
        }
    }

    /// For tests that make writes fail.
    #[cfg(test)]
    pub(super) fn segment(&mut self) -> Option<&mut Segment> {
        self.current.as_mut()
    }

    /// For tests that remove files.
    #[cfg(test)]
    pub(super) fn forget_cached(&mut self) {
        self.cached = None;
    }

    /// The handle of the folder, to read other files in it.
    pub(super) fn folder_handle(&self) -> &PrivateFolder {
        &self.folder
    }

    /// Moves the folder to `path`, which must not exist.
    pub(super) fn rename(&mut self, path: &Path) -> io::Result<()> {
        self.folder.rename(path)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether a backlog exists beside the fresh sub-queue.
    pub(super) fn has_backlog(&self) -> bool {
        self.spans.len() > 1
    }

    /// Waiting points, and their bytes.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let sum = |of: fn(&SegmentInfo) -> u64| self.segments.values().map(of).sum();
        (sum(|info| info.points), sum(|info| info.point_bytes))
    }

    /// Approximate age of the oldest points: that of the oldest segment's first record.
    pub(super) fn oldest(&self) -> Duration {
        let oldest = self.segments.values().find(|info| info.points > 0);
        oldest.map_or(Duration::ZERO, |info| self.clock.age(info.written))
    }

    /// Waits until removals are on disk too.
    pub(super) fn sync(&mut self) {
        self.write_checkpoint();
        // If this fails, points are sent twice after a crash.
        let _ = self.checkpoint.sync();
    }

    fn write_checkpoint(&mut self) {
        // With an older checkpoint, points are sent twice, and none are lost.
        let _ = self.checkpoint.write(&self.spans);
    }
}

/// Locks the folder against other processes for as long as the file is open.
fn lock(folder: &PrivateFolder) -> Result<(File, Option<Identity>), OpenError> {
    let failed = |what| move |reason| OpenError::Io { path: folder.path().to_owned(), what, reason };
    let lock = folder.file("lock", Use::Write).map_err(failed("the lock file cannot be made"))?;
    let identity = lock.metadata().map(|found| system::identity(&found)).ok();
    match system::lock(&lock).map_err(failed("cannot be locked"))? {
        true => Ok((lock, identity)),
        false => Err(OpenError::InUse(folder.path().to_owned())),
    }
}
