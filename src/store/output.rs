//! A file being written. All writes of the log go through this type, so that tests can simulate a failing disk.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::system::{self, Stamp, Use};

/// Whether an error means that the disk or a quota is full.
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Free bytes in a folder; `None` if unknown.
pub(super) fn free(folder: &Path) -> Option<u64> {
    #[cfg(test)]
    return faults::left(folder);
    #[cfg(not(test))]
    system::free_space(folder)
}

/// A file open for writing.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    #[cfg(test)]
    folder: std::path::PathBuf,
}

impl Output {
    /// Creates a file that only our user may read, and truncates an existing one.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        #[cfg(test)]
        let folder = path.parent().unwrap_or(path).to_owned();
        #[cfg(test)]
        faults::spend(&folder, 1).1?;
        let file = system::open_regular(path, Use::New)?;
        Ok(Output {
            file,
            #[cfg(test)]
            folder,
        })
    }

    /// Wraps an open file.
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

    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// If not all of it is written; a part may be.
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

    /// Allocates this many bytes, where the file system supports that.
    ///
    /// # Errors
    /// If there is too little space.
    pub(crate) fn allocate(&self, bytes: u64) -> io::Result<()> {
        match system::allocate(&self.file, bytes) {
            Err(error) if is_out_of_space(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Frees what was allocated past this many bytes.
    ///
    /// # Errors
    /// Errors of the disk.
    pub(crate) fn trim(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// Truncates the file, and waits until that is on disk.
    ///
    /// # Errors
    /// Errors of the disk.
    pub(crate) fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_data()
    }

    /// Waits until what was written is on disk.
    ///
    /// # Errors
    /// Errors of the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The file's identity, size and times.
    ///
    /// # Errors
    /// Errors of the disk.
    pub(crate) fn stamp(&self) -> io::Result<Stamp> {
        self.file.metadata().map(|metadata| Stamp::from(&metadata))
    }

    /// For tests that make writes fail.
    #[cfg(test)]
    pub(crate) fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

/// Simulated disks with limited space.
#[cfg(test)]
pub(crate) mod faults {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    static LEFT: Mutex<BTreeMap<PathBuf, u64>> = Mutex::new(BTreeMap::new());

    /// Sets the free space of a folder's disk; `None`: unlimited. With zero, not even a file can be created.
    pub(crate) fn leave(folder: &Path, bytes: Option<u64>) {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        match bytes {
            Some(bytes) => left.insert(folder.to_owned(), bytes),
            None => left.remove(folder),
        };
    }

    /// The free space of a folder's disk; `None`: unlimited.
    pub(crate) fn left(folder: &Path) -> Option<u64> {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).get(folder).copied()
    }

    /// Adds space, as if another program had freed it.
    pub(crate) fn gain(folder: &Path, bytes: u64) {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        left.get_mut(folder).into_iter().for_each(|left| *left += bytes);
    }

    /// Takes space for `bytes`: how many fit, and an error if not all do.
    pub(super) fn spend(folder: &Path, bytes: u64) -> (u64, io::Result<()>) {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = left.get_mut(folder) else { return (bytes, Ok(())) };
        let taken = bytes.min(*left);
        let is_refused = taken < bytes || *left == 0;
        *left -= taken;
        (taken, if is_refused { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) })
    }
}
