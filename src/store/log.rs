//! The log in a folder: opening, writing, and compaction by snapshots.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::damage::Repair;
use super::files::{self, Kind, LogFile};
use super::lock::{is_unwritable, lock, lock_if_possible};
use super::output::{self, Output};
use super::reserve::Reserve;
use super::snapshot::{Finished, Snapshot};
use super::{MAGIC, MAGIC_WITH_PARTS, OpenError, Records, Recovery, Segment, Volume};
use crate::system::Stamp;

const SEGMENT: &str = "log";

/// The log in a folder, which no other process may have open.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    /// The open segment; created at the first write.
    segment: Option<Open>,
    /// The number of the next segment.
    number: u64,
    /// Numbers and bytes of closed segments that no snapshot has replaced.
    earlier: Vec<(u64, u64)>,
    /// Bytes of the newest snapshot.
    snapshot: u64,
    /// Its number.
    snapshot_number: u64,
    /// Repairs that must precede all writes.
    repairs: Vec<Repair>,
    /// Space released when the disk is full.
    reserve: Reserve,
    /// Held while the log is open; `None` on a disk that does not even accept an empty file.
    lock: Option<File>,
    /// The files at opening, if it was opened without a lock or the lock was lost.
    found: Vec<LogFile>,
    /// Whether files were removed, and no snapshot has replaced them yet.
    is_lost: bool,
}

#[derive(Debug)]
pub(super) struct Open {
    segment: Segment,
    /// Whether it may hold records in parts.
    takes_parts: bool,
}

impl Log {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether `folder` has a log. Nothing is changed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_in(folder: &Path) -> io::Result<bool> {
        Ok(!files::list(folder)?.is_empty())
    }

    /// Opens the log in `folder`, which is created if missing, and passes all records to `replay`, in order. A record
    /// for which `replay` returns false counts as damaged. A disk that accepts no writes does not prevent opening;
    /// see [`Recovery::unwritable`].
    ///
    /// # Errors
    /// If it cannot be used. Then nothing is changed.
    pub fn open(folder: &Path, replay: &mut dyn FnMut(&[u8]) -> bool) -> Result<(Log, Recovery), OpenError> {
        let failed = |what| move |reason| OpenError::Io { path: folder.to_owned(), what, reason };
        let lock = lock_if_possible(folder)?;
        let found = match files::list(folder) {
            Err(error) if lock.is_none() && error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(failed("cannot be read"))?,
        };
        let mut recovery = Recovery::default();
        let number = found.iter().map(|file| file.number).max().map_or(1, |last| last + 1);
        let mut log = Log {
            folder: folder.to_owned(),
            segment: None,
            number,
            earlier: Vec::new(),
            snapshot: 0,
            snapshot_number: 0,
            repairs: Vec::new(),
            reserve: Reserve::find(folder),
            lock,
            found: Vec::new(),
            is_lost: false,
        };
        let relevant = files::relevant(&found)?;
        let first = relevant.first().map_or(0, |file| file.number);
        for (index, file) in relevant.iter().enumerate() {
            let is_last = index + 1 == relevant.len();
            log.read(file, is_last, replay, &mut recovery)?;
        }
        match log.prepare().and_then(|()| log.probe()) {
            Ok(()) => {
                // Leftovers of snapshots are ignored; they are removed as soon as possible.
                let _ = files::remove_older(folder, first);
                log.refill_reserve();
            }
            Err(error) if is_unwritable(&error) => recovery.unwritable = Some(error),
            Err(error) => return Err(failed("cannot be written")(error)),
        }
        if log.lock.is_none() {
            log.found = found;
        }
        Ok((log, recovery))
    }

    /// Replays a file, and records its size and repairs.
    fn read(
        &mut self,
        file: &LogFile,
        is_last: bool,
        replay: &mut dyn FnMut(&[u8]) -> bool,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        let is_segment = file.kind == Kind::Segment;
        let read = files::replay(file, is_last && is_segment, replay, recovery)?;
        recovery.records += read.records;
        self.repairs.extend(read.repair);
        match is_segment {
            true => self.earlier.push((file.number, read.bytes)),
            false => (self.snapshot, self.snapshot_number) = (read.bytes, file.number),
        }
        Ok(())
    }

    /// Locks the folder and applies repairs, before anything is written.
    fn prepare(&mut self) -> io::Result<()> {
        if self.lock.is_some() && !self.holds_lock() {
            let folder = self.folder.clone();
            return Err(self.reset_after_loss(&folder));
        }
        if self.lock.is_none() {
            let lock = lock(&self.folder).map_err(io::Error::other)?;
            if files::list(&self.folder)? != self.found {
                let message = "another process has written to the folder meanwhile: Taffrail must be started again";
                return Err(io::Error::other(message));
            }
            self.lock = Some(lock);
        }
        while let Some(repair) = self.repairs.last() {
            repair.apply()?;
            self.repairs.pop();
        }
        Ok(())
    }

    /// Tests that a file can be created and written.
    fn probe(&self) -> io::Result<()> {
        let path = self.folder.join(format!("{:010}.unfinished", self.number));
        let written = Output::create(&path).and_then(|file| file.write_at(MAGIC, 0));
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Writes records, and waits until they are on disk.
    ///
    /// # Errors
    /// If they are not on disk. Then none of them is in the log.
    pub fn write(&mut self, records: &Records) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if !self.is_whole() {
            let folder = self.folder.clone();
            return Err(self.reset_after_loss(&folder));
        }
        if self.segment.as_ref().is_some_and(|open| records.has_parts() && !open.takes_parts) {
            self.close_segment()?;
        }
        let segment = self.writable(records.has_parts())?;
        segment.append(records)?;
        let path = path_of(&self.folder, self.number - 1);
        match self.segment.as_ref().is_some_and(|open| open.segment.is_at(&path)) {
            true => Ok(()),
            false => Err(self.reset_after_loss(&path)),
        }
    }

    /// Like [`Log::write`] on a full volume, for records that free space: uses the reserve.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn write_from_reserve(&mut self, records: &Records) -> io::Result<()> {
        self.reserve.release(records.bytes().len() as u64);
        self.write(records)
    }

    /// Releases the whole reserve, for a snapshot that needs the space.
    pub fn release_reserve(&mut self) {
        self.reserve.release(u64::MAX);
    }

    /// Refills the reserve, if there is plenty of space.
    pub fn refill_reserve(&mut self) {
        self.reserve.refill(output::free(&self.folder));
    }

    /// Space on the volume, if a snapshot takes `live` bytes.
    pub fn volume(&self, live: u64) -> Volume {
        Volume { held: self.snapshot + self.bytes(), live, free: output::free(&self.folder) }
    }

    /// Whether no file was truncated: a new record is no safer than those before it.
    fn is_whole(&self) -> bool {
        let is_there =
            |path: PathBuf, bytes: u64| bytes == 0 || path.metadata().is_ok_and(|found| found.len() >= bytes);
        let is_segment_there = |(number, bytes): &(u64, u64)| is_there(path_of(&self.folder, *number), *bytes);
        let snapshot = self.folder.join(format!("{:010}.snapshot", self.snapshot_number));
        let are_earlier_there = self.earlier.iter().all(is_segment_there) && is_there(snapshot, self.snapshot);
        // A snapshot finished just now replaces all of them.
        let is_newer = |file: &LogFile| file.kind == Kind::Snapshot && file.number > self.snapshot_number;
        let are_replaced = || files::list(&self.folder).is_ok_and(|found| found.iter().any(is_newer));
        self.segment.as_ref().is_none_or(|open| !open.segment.is_cut_off()) && (are_earlier_there || are_replaced())
    }

    /// Starts over after the folder or its files were removed: the next snapshot must hold everything.
    fn reset_after_loss(&mut self, path: &Path) -> io::Error {
        self.segment = None;
        self.repairs.clear();
        self.earlier.clear();
        self.snapshot = 0;
        self.is_lost = true;
        if !self.holds_lock() {
            // A log at that path now belongs to another process.
            (self.lock, self.found) = (None, Vec::new());
        }
        io::Error::new(io::ErrorKind::NotFound, format!("{} was taken away, or something in it", path.display()))
    }

    /// Whether the held lock file is still the one in the folder.
    fn holds_lock(&self) -> bool {
        let identity = |metadata: io::Result<Metadata>| metadata.ok().map(|found| Stamp::from(&found).identity());
        let held = self.lock.as_ref().and_then(|lock| identity(lock.metadata()));
        held.is_some() && held == identity(fs::metadata(self.folder.join("lock")))
    }

    /// The open segment, created if missing.
    fn writable(&mut self, takes_parts: bool) -> io::Result<&mut Segment> {
        let open = match self.segment.take() {
            Some(open) => open,
            None => {
                self.prepare()?;
                let magic = if takes_parts { MAGIC_WITH_PARTS } else { MAGIC };
                let segment = Segment::new(&self.folder, self.number, SEGMENT, magic)?;
                self.number += 1;
                Open { segment, takes_parts }
            }
        };
        Ok(&mut self.segment.insert(open).segment)
    }

    /// Closes the segment: the next write starts another one.
    fn close_segment(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.segment {
            open.segment.repair()?;
            self.earlier.push((open.segment.number(), open.segment.length()));
            self.segment = None;
        }
        Ok(())
    }

    /// Bytes of all segments that no snapshot has replaced, including those of earlier runs.
    pub fn bytes(&self) -> u64 {
        let open = self.segment.as_ref().map_or(0, |open| open.segment.length());
        open + self.earlier.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Number of segments that no snapshot has replaced.
    pub fn segments(&self) -> usize {
        self.earlier.len() + usize::from(self.segment.is_some())
    }

    /// Whether a snapshot is due regardless of the volume: files were removed, or there are many segments.
    pub fn needs_snapshot(&self) -> bool {
        const MAX_SEGMENTS: usize = 16;
        self.is_lost || self.segments() > MAX_SEGMENTS
    }

    /// Starts a snapshot of everything written so far, of about `expected` bytes. Later writes are not part of it.
    ///
    /// # Errors
    /// If it cannot be started; the log stays as it is.
    pub fn begin_snapshot(&mut self, expected: u64) -> io::Result<Snapshot> {
        self.prepare()?;
        let snapshot = Snapshot::begin(self.folder.clone(), self.number, expected)?;
        self.close_segment()?;
        Ok(snapshot)
    }

    /// Records that a snapshot has replaced everything before it.
    pub fn snapshot_finished(&mut self, by: Finished) {
        self.earlier.retain(|(number, _)| *number >= by.number);
        (self.snapshot, self.snapshot_number) = (by.bytes, by.number);
        self.is_lost = false;
        self.number = self.number.max(by.number + 1);
        self.refill_reserve();
    }

    /// For tests: as if no lock could be created at opening.
    #[cfg(test)]
    pub(super) fn forget_lock(&mut self) {
        self.found = files::list(&self.folder).unwrap();
        self.lock = None;
    }

    /// For tests that make writes fail.
    #[cfg(test)]
    pub(super) fn segment(&mut self) -> &mut Segment {
        self.writable(false).unwrap()
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{SEGMENT}"))
}
