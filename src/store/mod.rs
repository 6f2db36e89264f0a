//! A log on disk of everything that must survive: records are appended, and a snapshot now and then takes their place.
//!
//! # Format
//!
//! A folder holds segments `NNNNNNNNNN.log` and snapshots `NNNNNNNNNN.snapshot`. A snapshot holds everything that the
//! segments before its number said; so what counts is the newest snapshot and the segments from its number on. Both
//! begin with [`MAGIC`], and hold records one after the other:
//!
//! ```text
//! length: u32 | checksum: u32 | payload        little-endian; crc32 of length and payload
//! ```
//!
//! A snapshot ends with an empty record; one that does not was not finished, and does not count.
//!
//! # Guarantees
//!
//! [`Log::write`] returns once its records are on disk (`fdatasync`), with the folder's entries. If it fails, none of them
//! is there: the segment is cut back to what it was. After a crash, a record is there whole or not at all, and those
//! that were written before it are there too.
//!
//! What is damaged is kept: the file is copied aside, what is whole before and behind the damage is read, and it is told
//! what was passed over. A record that was cut off at the end of the last segment is what a crash leaves, and no damage.

mod files;
pub(crate) mod records;
mod segment;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::files::{Kind, Numbered};
pub use self::records::{MAX_RECORD, Records};
pub use self::segment::Segment;
use crate::system;

/// What every file begins with; the last byte is the format's version.
pub const MAGIC: &[u8; 8] = b"TAFLOG\n\x01";

const SEGMENT: &str = "log";

/// The log in a folder; nobody else may have it open.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    segment: Segment,
    /// Held as long as the log is open.
    _lock: File,
}

/// What was found when a log was opened.
#[derive(Debug, Default)]
pub struct Recovery {
    /// How many records were read.
    pub records: usize,
    /// Bytes of a record at the end that was cut off.
    pub torn: u64,
    /// What was damaged, each told in a line.
    pub damage: Vec<String>,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be used.
    #[error("{}: {what}: {reason}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        reason: io::Error,
    },
    /// Another process has it.
    #[error("{}: another Taffrail has this folder open; give each its own", .0.display())]
    InUse(PathBuf),
    /// A file is not of this format.
    #[error("{}: written by another version of Taffrail; move the folder away, or go back to that version", .0.display())]
    Version(PathBuf),
}

impl Log {
    /// Opens the log in `folder`, which is made if it is not there, and hands everything that it holds to `replay`, in
    /// order.
    ///
    /// # Errors
    /// Why it cannot be used. Nothing is changed then.
    pub fn open(folder: &Path, replay: &mut dyn FnMut(&[u8])) -> Result<(Log, Recovery), OpenError> {
        let failed = |what| move |reason| OpenError::Io { path: folder.to_owned(), what, reason };
        let lock = lock(folder)?;
        let found = files::list(folder).map_err(failed("cannot be read"))?;
        let mut recovery = Recovery::default();
        let first = read_snapshot(&found, replay, &mut recovery)?;
        let segments: Vec<&Numbered> =
            found.iter().filter(|file| file.kind == Kind::Segment && file.number >= first).collect();
        for (index, file) in segments.iter().enumerate() {
            let is_last = index + 1 == segments.len();
            recovery.records += files::replay(file, is_last, replay, &mut recovery)?;
        }
        let number = found.iter().map(|file| file.number).max().map_or(1, |last| last + 1);
        let segment = Segment::new(folder, number, SEGMENT, MAGIC).map_err(failed("no file can be made in it"))?;
        Ok((Log { folder: folder.to_owned(), segment, _lock: lock }, recovery))
    }

    /// Writes records, which [`Records`] put together, and waits until they are on disk.
    ///
    /// # Errors
    /// Why they are not. None of them is there then.
    pub fn write(&mut self, records: &Records) -> io::Result<()> {
        if self.segment.is_spoiled() {
            self.rotate()?;
        }
        self.segment.append(records)
    }

    /// Bytes of the segment that is written.
    pub fn segment_bytes(&self) -> u64 {
        self.segment.length()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.segment = Segment::new(&self.folder, self.segment.number() + 1, SEGMENT, MAGIC)?;
        Ok(())
    }

    /// Begins a snapshot of everything that was written so far: what is written from here on is not part of it.
    ///
    /// # Errors
    /// Why no file can be made.
    pub fn begin_snapshot(&mut self) -> io::Result<Snapshot> {
        self.rotate()?;
        let (folder, number) = (self.folder.clone(), self.segment.number());
        let unfinished = folder.join(format!("{number:010}.unfinished"));
        let mut file = create(&unfinished, true)?;
        file.write_all(MAGIC)?;
        Ok(Snapshot { folder, number, unfinished, file })
    }
}

/// The newest snapshot that was finished, replayed; the number of the first segment that is not part of it.
fn read_snapshot(found: &[Numbered], replay: &mut dyn FnMut(&[u8]), recovery: &mut Recovery) -> Result<u64, OpenError> {
    let newest = found.iter().rfind(|file| file.kind == Kind::Snapshot);
    let Some(newest) = newest else { return Ok(0) };
    recovery.records += files::replay(newest, false, replay, recovery)?;
    Ok(newest.number)
}

/// A snapshot that is being written.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    number: u64,
    unfinished: PathBuf,
    file: File,
}

impl Snapshot {
    /// Writes records to it.
    ///
    /// # Errors
    /// Why they cannot be written; the snapshot is to be given up then, and everything stays as it was.
    pub fn write(&mut self, records: &Records) -> io::Result<()> {
        self.file.write_all(records.bytes())
    }

    /// Puts it in the place of everything that it holds.
    ///
    /// # Errors
    /// Why it does not count; then what it was to replace is still there.
    pub fn finish(mut self) -> io::Result<()> {
        let mut end = Records::default();
        end.push(b"");
        self.file.write_all(end.bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.unfinished, self.folder.join(format!("{:010}.snapshot", self.number)))?;
        system::sync_folder(&self.folder)?;
        for old in files::list(&self.folder)?.into_iter().filter(|file| file.number < self.number) {
            fs::remove_file(old.path)?;
        }
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // It is not there any more if it was finished.
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// Makes a folder, if it is not there, which no other process may have, and holds it until the file is closed.
///
/// # Errors
/// Why it cannot be used.
pub fn lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |what| move |reason| OpenError::Io { path: folder.to_owned(), what, reason };
    system::create_private_folder(folder).map_err(failed("cannot be made"))?;
    let lock = create(&folder.join("lock"), false).map_err(failed("the lock file cannot be made"))?;
    match system::lock(&lock).map_err(failed("cannot be locked"))? {
        true => Ok(lock),
        false => Err(OpenError::InUse(folder.to_owned())),
    }
}

fn create(path: &Path, truncate: bool) -> io::Result<File> {
    system::private(OpenOptions::new().write(true).create(true).truncate(truncate)).open(path)
}

#[cfg(test)]
mod tests;
