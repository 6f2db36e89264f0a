//! A snapshot that is being written.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::output::Output;
use super::{MAGIC, MAGIC_OF_PARTS, Records, files};
use crate::system;

/// A snapshot that is being written. As long as it is not finished it counts for nothing.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    number: u64,
    unfinished: PathBuf,
    file: Output,
    length: u64,
    has_parts: bool,
}

/// That a snapshot is in the place of everything that was written before it.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

impl Snapshot {
    pub(super) fn begin(folder: PathBuf, number: u64) -> io::Result<Snapshot> {
        let unfinished = folder.join(format!("{number:010}.unfinished"));
        let file = Output::create(&unfinished)?;
        let mut snapshot = Snapshot { folder, number, unfinished, file, length: 0, has_parts: false };
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
    /// Why they cannot be written; the snapshot is to be given up then, and everything stays as it was.
    pub fn write(&mut self, records: &Records) -> io::Result<()> {
        self.has_parts |= records.has_parts();
        self.append(records.bytes())
    }

    /// Puts it in the place of everything that was written before it was begun: whoever calls this knows that all of that
    /// is in it.
    ///
    /// # Errors
    /// Why it does not count; then what it was to replace is still there.
    pub fn finish(mut self) -> io::Result<Finished> {
        let mut end = Records::default();
        end.push_any(b"");
        self.append(end.bytes())?;
        if self.has_parts {
            self.file.write_at(MAGIC_OF_PARTS, 0)?;
        }
        self.file.sync()?;
        fs::rename(&self.unfinished, self.folder.join(format!("{:010}.snapshot", self.number)))?;
        system::sync_folder(&self.folder)?;
        // It counts. Files that stay are removed the next time.
        let _ = files::remove_older(&self.folder, self.number);
        Ok(Finished { number: self.number, bytes: self.length })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // It is not there any more if it was finished.
        let _ = fs::remove_file(&self.unfinished);
    }
}
