//! The log in a folder: opened, written, and shortened by snapshots.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::damage::Repair;
use super::files::{self, Kind, Numbered};
use super::lock::{is_unwritable, lock, lock_if_possible};
use super::output::Output;
use super::snapshot::{Finished, Snapshot};
use super::{MAGIC, MAGIC_OF_PARTS, OpenError, Records, Recovery, Segment};
use crate::system::Stamp;

const SEGMENT: &str = "log";

/// The log in a folder; nobody else may have it open.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    /// The one that is written; made when there is something to write.
    segment: Option<Open>,
    /// The number of the segment that is made next.
    number: u64,
    /// Numbers and bytes of the segments before it that no snapshot has taken the place of.
    earlier: Vec<(u64, u64)>,
    /// Bytes of the newest snapshot.
    snapshot: u64,
    /// What is to be done before anything is written.
    repairs: Vec<Repair>,
    /// Held as long as the log is open; nothing on a disk that takes not even an empty file.
    lock: Option<File>,
    /// The files when it was opened without a lock, or lost.
    found: Vec<Numbered>,
    /// Whether what was written has been taken away, and no snapshot holds it yet.
    is_lost: bool,
}

#[derive(Debug)]
pub(super) struct Open {
    segment: Segment,
    /// Whether records in parts may be in it.
    takes_parts: bool,
}

impl Log {
    /// Opens the log in `folder`, which is made if it is not there, and hands everything that it holds to `replay`, in
    /// order, which says whether it understood it: what it did not is treated as damaged. On a disk that takes nothing, it is opened all the same; [`Recovery::unwritable`] says so then.
    ///
    /// # Errors
    /// Why it cannot be used. Nothing is changed then.
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
            repairs: Vec::new(),
            lock,
            found: Vec::new(),
            is_lost: false,
        };
        let first = log.read_snapshot(&found, replay, &mut recovery)?;
        let counts = |file: &&Numbered| file.kind == Kind::Segment && file.number >= first;
        let segments: Vec<&Numbered> = found.iter().filter(counts).collect();
        for (index, file) in segments.iter().enumerate() {
            let is_last = index + 1 == segments.len();
            let bytes = log.read(file, is_last, replay, &mut recovery)?;
            log.earlier.push((file.number, bytes));
        }
        match log.prepare().and_then(|()| log.probe()) {
            Ok(()) => {
                // What is left of snapshots; it counts for nothing, and goes when it can.
                let _ = files::remove_older(folder, first);
            }
            Err(error) if is_unwritable(&error) => recovery.unwritable = Some(error),
            Err(error) => return Err(failed("cannot be written")(error)),
        }
        if log.lock.is_none() {
            log.found = found;
        }
        Ok((log, recovery))
    }

    /// The newest snapshot that was finished, replayed; the number of the first segment that is not part of it.
    fn read_snapshot(
        &mut self,
        found: &[Numbered],
        replay: &mut dyn FnMut(&[u8]) -> bool,
        recovery: &mut Recovery,
    ) -> Result<u64, OpenError> {
        let newest = found.iter().rfind(|file| file.kind == Kind::Snapshot);
        let Some(newest) = newest else { return Ok(0) };
        self.snapshot = self.read(newest, false, replay, recovery)?;
        Ok(newest.number)
    }

    /// A file, replayed; its bytes.
    fn read(
        &mut self,
        file: &Numbered,
        may_be_torn: bool,
        replay: &mut dyn FnMut(&[u8]) -> bool,
        recovery: &mut Recovery,
    ) -> Result<u64, OpenError> {
        let read = files::replay(file, may_be_torn, replay, recovery)?;
        recovery.records += read.records;
        self.repairs.extend(read.repair);
        Ok(read.bytes)
    }

    /// What is to be done before anything is written.
    fn prepare(&mut self) -> io::Result<()> {
        if self.lock.is_some() && !self.holds_lock() {
            let folder = self.folder.clone();
            return Err(self.lose(&folder));
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
            repair.make()?;
            self.repairs.pop();
        }
        Ok(())
    }

    /// Whether a file can be made and written.
    fn probe(&self) -> io::Result<()> {
        let path = self.folder.join(format!("{:010}.unfinished", self.number));
        let written = Output::create(&path).and_then(|file| file.write_at(MAGIC, 0));
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Writes records, which [`Records`] put together, and waits until they are on disk.
    ///
    /// # Errors
    /// Why they are not. None of them is there then.
    pub fn write(&mut self, records: &Records) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.segment.as_ref().is_some_and(|open| records.has_parts() && !open.takes_parts) {
            self.close_segment()?;
        }
        let segment = self.writable(records.has_parts())?;
        segment.append(records)?;
        let path = path_of(&self.folder, self.number - 1);
        match self.segment.as_ref().is_some_and(|open| open.segment.is_at(&path)) {
            true => Ok(()),
            false => Err(self.lose(&path)),
        }
    }

    /// Begins anew, as the folder, or what was written in it, has been taken away: the next snapshot must hold everything.
    fn lose(&mut self, path: &Path) -> io::Error {
        self.segment = None;
        self.repairs.clear();
        self.earlier.clear();
        self.snapshot = 0;
        self.is_lost = true;
        if !self.holds_lock() {
            // A log that stands there then is somebody else's.
            (self.lock, self.found) = (None, Vec::new());
        }
        io::Error::new(io::ErrorKind::NotFound, format!("{} was taken away", path.display()))
    }

    /// Whether the lock that is held is the one that others find.
    fn holds_lock(&self) -> bool {
        let identity = |metadata: io::Result<Metadata>| metadata.ok().map(|found| Stamp::from(&found).identity());
        let held = self.lock.as_ref().and_then(|lock| identity(lock.metadata()));
        held.is_some() && held == identity(fs::metadata(self.folder.join("lock")))
    }

    /// The segment that is written, which is made if it is not there yet.
    fn writable(&mut self, takes_parts: bool) -> io::Result<&mut Segment> {
        let open = match self.segment.take() {
            Some(open) => open,
            None => {
                self.prepare()?;
                let magic = if takes_parts { MAGIC_OF_PARTS } else { MAGIC };
                let segment = Segment::new(&self.folder, self.number, SEGMENT, magic)?;
                self.number += 1;
                Open { segment, takes_parts }
            }
        };
        Ok(&mut self.segment.insert(open).segment)
    }

    /// What is written next goes into another segment.
    fn close_segment(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.segment {
            open.segment.mend()?;
            self.earlier.push((open.segment.number(), open.segment.length()));
            self.segment = None;
        }
        Ok(())
    }

    /// Bytes of all segments that no snapshot has taken the place of, also those of earlier runs.
    pub fn bytes(&self) -> u64 {
        let open = self.segment.as_ref().map_or(0, |open| open.segment.length());
        open + self.earlier.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// How many segments there are that no snapshot has taken the place of.
    pub fn segments(&self) -> usize {
        self.earlier.len() + usize::from(self.segment.is_some())
    }

    /// Whether the segments have become much longer than what they say is, or are many: a snapshot is due.
    pub fn is_long(&self) -> bool {
        /// Tests have many snapshots of little.
        const AT_LEAST: u64 = if cfg!(test) { 1 << 10 } else { 8 << 20 };
        const MOST_SEGMENTS: usize = 16;
        self.is_lost || self.bytes() > AT_LEAST + 2 * self.snapshot || self.segments() > MOST_SEGMENTS
    }

    /// Whether a snapshot may be shorter than the segments of which it would take the place.
    pub fn is_longer_than_its_snapshot(&self) -> bool {
        self.is_lost || self.bytes() > self.snapshot
    }

    /// Begins a snapshot of everything that was written so far: what is written from here on is not part of it.
    ///
    /// # Errors
    /// Why it cannot be begun; then everything goes on as before.
    pub fn begin_snapshot(&mut self) -> io::Result<Snapshot> {
        self.prepare()?;
        let snapshot = Snapshot::begin(self.folder.clone(), self.number)?;
        self.close_segment()?;
        Ok(snapshot)
    }

    /// Takes note that a snapshot has taken the place of what was before it.
    pub fn shortened(&mut self, by: Finished) {
        self.earlier.retain(|(number, _)| *number >= by.number);
        self.snapshot = by.bytes;
        self.is_lost = false;
        self.number = self.number.max(by.number + 1);
    }

    /// For tests: as if it had been opened where no lock can be made.
    #[cfg(test)]
    pub(super) fn forget_lock(&mut self) {
        self.found = files::list(&self.folder).unwrap();
        self.lock = None;
    }

    /// For tests that have it fail.
    #[cfg(test)]
    pub(super) fn segment(&mut self) -> &mut Segment {
        self.writable(false).unwrap()
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{SEGMENT}"))
}
