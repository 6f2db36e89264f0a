//! Directories of the host.

use std::ops::ControlFlow::{self, Break, Continue};
use std::path::{Path, PathBuf};

use super::super::errno::Errno;
use super::super::text::{ReadError, Text};
use super::raw::{self, OpenedDirectory};
use super::{is_procfs, read_from_start};
use crate::encode::Timestamp;

/// An open directory. Reads go to it even if another takes its name.
#[derive(Debug)]
pub struct Directory {
    opened: OpenedDirectory,
    /// Its path, or that of the last file read in it.
    path: PathBuf,
    path_is_a_files: bool,
    /// Its inode, which distinguishes it from another of the same name.
    pub inode: u64,
    /// Its links: on a kernel file system, two more than its directories.
    pub links: u64,
}

impl Directory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// As [`super::HostFile::read`].
    pub fn open(path: PathBuf) -> Result<Self, ReadError> {
        Self::new(OpenedDirectory::open(&path), path)
    }

    /// Opens the directory `name`, a relative path, below this one.
    ///
    /// # Errors
    /// As [`super::HostFile::read`].
    pub fn below(&self, name: &str) -> Result<Self, ReadError> {
        Self::new(self.opened.below(name), self.path().join(name))
    }

    fn new(opened: Result<OpenedDirectory, Errno>, path: PathBuf) -> Result<Self, ReadError> {
        match opened.and_then(|opened| Ok((opened.stat()?, opened))) {
            Ok((stat, opened)) => {
                Ok(Directory { opened, path, path_is_a_files: false, inode: stat.inode, links: stat.links })
            }
            Err(error) => Err(ReadError::io(&path, error)),
        }
    }

    /// The path at which it was opened.
    pub fn path(&self) -> &Path {
        if self.path_is_a_files { self.path.parent().unwrap_or(&self.path) } else { &self.path }
    }

    /// On cgroupfs, the time of its creation. Elsewhere the time of a copy.
    pub fn made_at(&self) -> Option<Timestamp> {
        if self.is_cgroupfs() { self.opened.stat().ok()?.changed } else { None }
    }

    /// Whether it is on a kernel file system whose [`Directory::links`] count its directories.
    pub fn is_cgroupfs(&self) -> bool {
        self.opened.is_on(&[0x0027_e0eb, 0x6367_7270])
    }

    /// Reads the whole file `name` in it into `buffer`; `is_one_record` is as in [`super::HostFile::one_record`].
    ///
    /// # Errors
    /// As [`super::HostFile::read`].
    pub fn read<'a>(
        &'a mut self,
        name: &str,
        is_one_record: bool,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Text<'a>, ReadError> {
        if self.path_is_a_files {
            self.path.pop();
        }
        self.path.push(name);
        self.path_is_a_files = true;
        let opened = self.opened.open_file(name);
        match opened.and_then(|opened| read_from_start(&opened, 0, is_one_record, buffer)) {
            Ok(()) => Ok(Text::new(&self.path, buffer)),
            Err(error) => Err(ReadError::io(&self.path, error)),
        }
    }

    /// Sorted names of the directories in it, without those that are not UTF-8.
    ///
    /// # Errors
    /// As [`super::HostFile::read`].
    pub fn directories(&self) -> Result<Vec<String>, ReadError> {
        let mut names = Vec::new();
        let listed = self.opened.each_entry(|name, is_directory| {
            if is_directory {
                names.push(name.to_owned());
            }
            Continue(())
        });
        listed.map_err(|error| ReadError::io(self.path(), error))?;
        names.sort_unstable();
        Ok(names)
    }
}

/// The names in the directory at `path`, unsorted, without `.`, `..` and those that are not UTF-8.
///
/// # Errors
/// As [`super::HostFile::read`].
pub fn list(path: &Path) -> Result<Vec<String>, ReadError> {
    list_up_to(path, usize::MAX)
}

/// As [`list`], but at most `most` names: for directories that programs fill.
///
/// # Errors
/// As [`super::HostFile::read`].
pub fn list_up_to(path: &Path, most: usize) -> Result<Vec<String>, ReadError> {
    let mut names = Vec::new();
    let each = |name: &str, _| -> ControlFlow<()> {
        if names.len() >= most {
            return Break(());
        }
        names.push(name.to_owned());
        Continue(())
    };
    match raw::each_entry(path, each) {
        Ok(()) => Ok(names),
        Err(error) => Err(ReadError::io(path, error)),
    }
}

/// The inode of the file at `path`.
///
/// # Errors
/// As [`super::HostFile::read`].
pub fn inode(path: &Path) -> Result<u64, ReadError> {
    raw::stat(path).map(|stat| stat.inode).map_err(|error| ReadError::io(path, error))
}

/// The number of entries in the directory at `path`, without `.` and `..`.
///
/// # Errors
/// As [`super::HostFile::read`].
pub fn count_entries(path: &Path) -> Result<u64, ReadError> {
    count_entries_if(path, || is_procfs(path))
}

/// As [`count_entries`], for a directory on procfs if `is_procfs`.
///
/// # Errors
/// As [`super::HostFile::read`].
pub fn count_entries_of(path: &Path, is_procfs: bool) -> Result<u64, ReadError> {
    count_entries_if(path, || is_procfs)
}

fn count_entries_if(path: &Path, is_procfs: impl FnOnce() -> bool) -> Result<u64, ReadError> {
    // The size of a process's fd directory is its number of descriptors since Linux 6.2; it was 0 before.
    let stat = raw::stat(path).map_err(|error| ReadError::io(path, error))?;
    if stat.size > 0 && is_procfs() {
        return Ok(stat.size);
    }
    Ok(list(path)?.len() as u64)
}
