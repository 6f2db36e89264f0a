//! A file that grows by records.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Records;
use super::output::Output;
use crate::system::{Stamp, sync_folder};

/// A segment that is written.
#[derive(Debug)]
pub struct Segment {
    number: u64,
    file: Output,
    /// Bytes that are on disk and sound.
    length: u64,
    is_spoiled: bool,
}

impl Segment {
    /// A new one, `NNNNNNNNNN.extension` in `folder`, which begins with `magic`.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn new(folder: &Path, number: u64, extension: &str, magic: &[u8]) -> io::Result<Self> {
        let path = folder.join(format!("{number:010}.{extension}"));
        let begun = Segment::begun(Output::create(&path)?, number, magic);
        begun.and_then(|segment| sync_folder(folder).map(|()| segment)).inspect_err(|_| {
            // On a full disk one would be left at every attempt.
            let _ = std::fs::remove_file(&path);
        })
    }

    /// One in `file`, which is empty; the folder's entry is not waited for.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn begin(file: File, number: u64, magic: &[u8]) -> io::Result<Self> {
        Segment::begun(Output::of(file), number, magic)
    }

    fn begun(file: Output, number: u64, magic: &[u8]) -> io::Result<Self> {
        file.write_at(magic, 0)?;
        file.sync()?;
        Ok(Segment { number, file, length: magic.len() as u64, is_spoiled: false })
    }

    /// The file.
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// Writes records, and waits until they are on disk.
    ///
    /// # Errors
    /// Why they are not. None of them is there then; while that is not certain, nothing else is written.
    pub fn append(&mut self, records: &Records) -> io::Result<()> {
        self.mend()?;
        let written = self.file.write_at(records.bytes(), self.length).and_then(|()| self.file.sync());
        match written {
            Ok(()) => {
                self.length += records.bytes().len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_spoiled = true;
                let _ = self.mend();
                Err(error)
            }
        }
    }

    /// Whether it is still what `path` leads to: otherwise nobody will find what is written to it.
    pub fn is_at(&self, path: &Path) -> bool {
        let found = path.metadata().map(|metadata| Stamp::from(&metadata).identity()).ok();
        found.is_some() && self.file.stamp().ok().map(|stamp| stamp.identity()) == found
    }

    /// Cuts off what a write that failed has left.
    ///
    /// # Errors
    /// That it cannot be; then something may be there that was refused.
    pub fn mend(&mut self) -> io::Result<()> {
        if self.is_spoiled {
            self.file.cut_back(self.length)?;
            self.is_spoiled = false;
        }
        Ok(())
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its bytes that are on disk and sound.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// For tests that have it fail.
    #[cfg(test)]
    pub(crate) fn file_mut(&mut self) -> &mut File {
        self.file.file_mut()
    }

    /// Whether it could not be cut back after a failure.
    pub fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }
}
