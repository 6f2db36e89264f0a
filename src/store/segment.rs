//! A file that grows by records.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::Records;
use crate::system::{sync_folder, write_all_at};

/// A segment that is written.
#[derive(Debug)]
pub struct Segment {
    number: u64,
    file: File,
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
        let mut file = super::create(&path, true)?;
        let begun = file.write_all(magic).and_then(|()| file.sync_all()).and_then(|()| sync_folder(folder));
        if let Err(error) = begun {
            // On a full disk one would be left at every attempt.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Segment { number, file, length: magic.len() as u64, is_spoiled: false })
    }

    /// Writes records, and waits until they are on disk.
    ///
    /// # Errors
    /// Why they are not. None of them is there then.
    pub fn append(&mut self, records: &Records) -> io::Result<()> {
        let written = write_all_at(&self.file, records.bytes(), self.length).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += records.bytes().len() as u64;
                Ok(())
            }
            Err(error) => {
                let cut_back = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
                self.is_spoiled = cut_back.is_err();
                Err(error)
            }
        }
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
        &mut self.file
    }

    /// Whether it could not be cut back after a failure: another must take its place.
    pub fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }
}
