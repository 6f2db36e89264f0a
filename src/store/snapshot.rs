//! A snapshot being written.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::output::Output;
use super::{MAGIC, MAGIC_WITH_PARTS, Records, files};
use crate::system;

/// A snapshot being written. Until it is finished, it is ignored.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    number: u64,
    unfinished: PathBuf,
    file: Output,
    length: u64,
    has_parts: bool,
}

/// A finished snapshot, which replaces everything written before it.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

impl Snapshot {
    /// Starts a snapshot, and allocates about `expected` bytes for it.
    pub(super) fn begin(folder: PathBuf, number: u64, expected: u64) -> io::Result<Snapshot> {
        let unfinished = folder.join(format!("{number:010}.unfinished"));
        let file = Output::create(&unfinished)?;
        let mut snapshot = Snapshot { folder, number, unfinished, file, length: 0, has_parts: false };
        snapshot.file.allocate(expected)?;
        snapshot.append(MAGIC)?;
        Ok(snapshot)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes records to it.
    ///
    /// # Errors
    /// If they cannot be written; abandon the snapshot then. The log stays as it is.
    pub fn write(&mut self, records: &Records) -> io::Result<()> {
        self.has_parts |= records.has_parts();
        self.append(records.bytes())
    }

    /// Replaces everything written before the snapshot was started. The caller guarantees that the snapshot holds all
    /// of it.
    ///
    /// # Errors
    /// If it is not complete; the files that it was to replace are still there.
    pub fn finish(mut self) -> io::Result<Finished> {
        let mut end = Records::default();
        end.push_any(b"");
        self.append(end.bytes())?;
        if self.has_parts {
            self.file.write_at(MAGIC_WITH_PARTS, 0)?;
        }
        self.file.trim(self.length)?;
        self.file.sync()?;
        fs::rename(&self.unfinished, self.folder.join(format!("{:010}.snapshot", self.number)))?;
        system::sync_folder(&self.folder)?;
        // It is complete. Remaining files are removed the next time.
        let _ = files::remove_older(&self.folder, self.number);
        Ok(Finished { number: self.number, bytes: self.length })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // A finished snapshot has another name.
        let _ = fs::remove_file(&self.unfinished);
    }
}
