//! A file that is written. All that the log writes goes through here, so that tests can have the disk refuse it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::system::{self, Stamp};

/// A file that is open to be written.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    #[cfg(test)]
    folder: std::path::PathBuf,
}

impl Output {
    /// Makes a file that none but our user may read; what it held, if it was there, goes.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        #[cfg(test)]
        let folder = path.parent().unwrap_or(path).to_owned();
        #[cfg(test)]
        faults::spend(&folder, 1).1?;
        let file = system::private(OpenOptions::new().write(true).create(true).truncate(true)).open(path)?;
        Ok(Output {
            file,
            #[cfg(test)]
            folder,
        })
    }

    /// A file that is open already.
    pub(crate) fn of(file: File) -> Self {
        Output {
            file,
            #[cfg(test)]
            folder: std::path::PathBuf::new(),
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all from a place on.
    ///
    /// # Errors
    /// Why not all of it is written; a part may be.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(test)]
        {
            let (taken, refused) = faults::spend(&self.folder, bytes.len() as u64);
            system::write_all_at(&self.file, &bytes[..taken as usize], at)?;
            refused?;
        }
        #[cfg(not(test))]
        system::write_all_at(&self.file, bytes, at)?;
        Ok(())
    }

    /// Cuts the file off, and waits until that is on disk.
    ///
    /// # Errors
    /// What the disk answers.
    pub(crate) fn cut_back(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_data()
    }

    /// Waits until what was written is on disk.
    ///
    /// # Errors
    /// What the disk answers.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// What it is to the file system.
    ///
    /// # Errors
    /// What the disk answers.
    pub(crate) fn stamp(&self) -> io::Result<Stamp> {
        self.file.metadata().map(|metadata| Stamp::from(&metadata))
    }

    /// For tests that have it fail.
    #[cfg(test)]
    pub(crate) fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

/// Folders whose disk is full, or as good as.
#[cfg(test)]
pub(crate) mod faults {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    static LEFT: Mutex<BTreeMap<PathBuf, u64>> = Mutex::new(BTreeMap::new());

    /// How many bytes the disk of a folder takes from now on; all, if nothing is said. Zero: not even a file can be
    /// made.
    pub(crate) fn leave(folder: &Path, bytes: Option<u64>) {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        match bytes {
            Some(bytes) => left.insert(folder.to_owned(), bytes),
            None => left.remove(folder),
        };
    }

    /// How many of these bytes the disk takes, and whether that is all of them.
    pub(super) fn spend(folder: &Path, bytes: u64) -> (u64, io::Result<()>) {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = left.get_mut(folder) else { return (bytes, Ok(())) };
        let taken = bytes.min(*left);
        let is_refused = taken < bytes || *left == 0;
        *left -= taken;
        (taken, if is_refused { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) })
    }
}
