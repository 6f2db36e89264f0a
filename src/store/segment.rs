//! A file to which records are appended.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Records;
use super::output::Output;
use crate::system::{Stamp, sync_folder};

/// A segment open for writing.
#[derive(Debug)]
pub struct Segment {
    number: u64,
    file: Output,
    /// Bytes on disk that are intact.
    length: u64,
    needs_repair: bool,
}

impl Segment {
    /// Creates the segment `NNNNNNNNNN.extension` in `folder`, which begins with `magic`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn new(folder: &Path, number: u64, extension: &str, magic: &[u8]) -> io::Result<Self> {
        let path = folder.join(format!("{number:010}.{extension}"));
        let created = Segment::start(Output::create(&path)?, number, magic);
        created.and_then(|segment| sync_folder(folder).map(|()| segment)).inspect_err(|_| {
            // On a full disk, each attempt would leave a file behind.
            let _ = std::fs::remove_file(&path);
        })
    }

    /// Starts a segment in the empty `file`, without syncing the folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(file: File, number: u64, magic: &[u8]) -> io::Result<Self> {
        Segment::start(Output::of(file), number, magic)
    }

    fn start(file: Output, number: u64, magic: &[u8]) -> io::Result<Self> {
        file.write_at(magic, 0)?;
        file.sync()?;
        Ok(Segment { number, file, length: magic.len() as u64, needs_repair: false })
    }

    /// The file.
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// Writes records, and waits until they are on disk.
    ///
    /// # Errors
    /// If they are not on disk. Then none of them is in the segment; until that is certain, nothing else is written.
    pub fn append(&mut self, records: &Records) -> io::Result<()> {
        self.repair()?;
        let written = self.file.write_at(records.bytes(), self.length).and_then(|()| self.file.sync());
        match written {
            Ok(()) => {
                self.length += records.bytes().len() as u64;
                Ok(())
            }
            Err(error) => {
                self.needs_repair = true;
                let _ = self.repair();
                Err(error)
            }
        }
    }

    /// Whether `path` still leads to this file: otherwise its records would not be found.
    pub fn is_at(&self, path: &Path) -> bool {
        let found = path.metadata().map(|metadata| Stamp::from(&metadata).identity()).ok();
        found.is_some() && self.file.stamp().ok().map(|stamp| stamp.identity()) == found
    }

    /// Whether written data was truncated.
    pub fn is_cut_off(&self) -> bool {
        self.file.stamp().is_ok_and(|found| found.size < self.length)
    }

    /// Truncates the remains of a failed write.
    ///
    /// # Errors
    /// If that fails; refused records may remain.
    pub fn repair(&mut self) -> io::Result<()> {
        if self.needs_repair {
            self.file.truncate(self.length)?;
            self.needs_repair = false;
        }
        Ok(())
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Bytes on disk that are intact.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// For tests that make writes fail.
    #[cfg(test)]
    pub(crate) fn file_mut(&mut self) -> &mut File {
        self.file.file_mut()
    }

    /// Whether truncating failed after a write error.
    pub fn needs_repair(&self) -> bool {
        self.needs_repair
    }
}
