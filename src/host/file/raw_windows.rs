//! Files on Windows, as far as a recorded host needs them. A directory is identified by its path.

use std::fs::{File, Metadata};
use std::ops::ControlFlow;
use std::os::windows::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::super::errno::Errno;
use crate::encode::Timestamp;

/// An open file.
pub(super) type Opened = File;

/// Attributes of a file or directory.
pub(super) struct Stat {
    pub(super) inode: u64,
    pub(super) links: u64,
    pub(super) size: u64,
    /// Time of the last modification, if valid.
    pub(super) changed: Option<Timestamp>,
}

impl From<Metadata> for Stat {
    fn from(metadata: Metadata) -> Self {
        // std exposes no file number; the creation time serves instead.
        let inode = metadata.creation_time();
        Stat { inode, links: 0, size: metadata.len(), changed: metadata.modified().ok().map(Timestamp::from) }
    }
}

pub(super) fn open(path: &Path) -> Result<Opened, Errno> {
    Ok(File::open(path)?)
}

pub(super) fn read_at(file: &Opened, room: &mut [u8], offset: u64) -> Result<usize, Errno> {
    Ok(file.seek_read(room, offset)?)
}

pub(super) fn stat(path: &Path) -> Result<Stat, Errno> {
    Ok(path.metadata()?.into())
}

/// Whether procfs reports that a file has changed since it was read.
pub(super) fn has_news(_: &Opened) -> bool {
    true
}

/// Whether a file is on a file system of one of these types of Linux.
pub(super) fn is_on(_: &Opened, _: &[u64]) -> bool {
    false
}

/// As above, for a path.
pub(super) fn is_mounted_at(_: &Path, _: u64) -> bool {
    false
}

/// Passes each entry's name, and whether it is a directory, to `each`, until that breaks.
pub(super) fn each_entry(path: &Path, mut each: impl FnMut(&str, bool) -> ControlFlow<()>) -> Result<(), Errno> {
    for entry in path.read_dir()? {
        let entry = entry?;
        let is_directory = entry.file_type()?.is_dir();
        if entry.file_name().to_str().is_some_and(|name| each(name, is_directory).is_break()) {
            break;
        }
    }
    Ok(())
}

/// A directory.
#[derive(Debug)]
pub(super) struct OpenedDirectory(PathBuf);

impl OpenedDirectory {
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        if path.metadata()?.is_dir() { Ok(OpenedDirectory(path.to_owned())) } else { Err(Errno::NOTDIR) }
    }

    pub(super) fn below(&self, name: &str) -> Result<Self, Errno> {
        Self::open(&self.0.join(name))
    }

    pub(super) fn open_file(&self, name: &str) -> Result<Opened, Errno> {
        open(&self.0.join(name))
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        stat(&self.0)
    }

    pub(super) fn is_on(&self, _: &[u64]) -> bool {
        false
    }

    pub(super) fn each_entry(&self, each: impl FnMut(&str, bool) -> ControlFlow<()>) -> Result<(), Errno> {
        each_entry(&self.0, each)
    }
}
