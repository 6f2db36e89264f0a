//! System calls for files of the host, on Linux and other Unixes.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, CWD, FileType, Mode, OFlags};
use rustix::io;

use super::super::errno::Errno;
use crate::encode::Timestamp;

/// An open file.
pub(super) type Opened = OwnedFd;

/// Attributes of a file or directory.
pub(super) struct Stat {
    pub(super) inode: u64,
    pub(super) links: u64,
    pub(super) size: u64,
    /// Time of the last modification, if valid.
    pub(super) changed: Option<Timestamp>,
}

impl From<fs::Stat> for Stat {
    // The widths differ between systems.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: fs::Stat) -> Self {
        let seconds = (stat.st_mtime as i64).checked_mul(1_000_000_000);
        let changed = seconds.and_then(|seconds| seconds.checked_add(stat.st_mtime_nsec as i64)).map(Timestamp);
        Stat { inode: stat.st_ino as u64, links: stat.st_nlink as u64, size: stat.st_size as u64, changed }
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
const LIST: OFlags = READ.union(OFlags::DIRECTORY);

pub(super) fn open(path: &Path) -> Result<Opened, Errno> {
    io::retry_on_intr(|| fs::open(path, READ, Mode::empty()))
}

pub(super) fn read_at(file: &Opened, room: &mut [u8], offset: u64) -> Result<usize, Errno> {
    io::retry_on_intr(|| io::pread(file, &mut *room, offset))
}

pub(super) fn stat(path: &Path) -> Result<Stat, Errno> {
    fs::stat(path).map(Stat::from)
}

/// Whether procfs reports that a file has changed since it was read.
pub(super) fn has_news(file: &Opened) -> bool {
    let mut asked = [PollFd::new(file, PollFlags::PRI)];
    let is_told = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    is_told.is_err() || !asked[0].revents().is_empty()
}

/// Whether a file is on a file system of one of these types: include/uapi/linux/magic.h.
#[cfg(target_os = "linux")]
pub(super) fn is_on(file: &Opened, magics: &[u64]) -> bool {
    fs::fstatfs(file).is_ok_and(|answer| magics.iter().any(|magic| *magic as fs::FsWord == answer.f_type))
}

/// As above, for a path.
#[cfg(target_os = "linux")]
pub(super) fn is_mounted_at(path: &Path, magic: u64) -> bool {
    fs::statfs(path).is_ok_and(|answer| magic as fs::FsWord == answer.f_type)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_on(_: &Opened, _: &[u64]) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_mounted_at(_: &Path, _: u64) -> bool {
    false
}

/// Passes each entry's name, and whether it is a directory, to `each`, until that breaks.
pub(super) fn each_entry(path: &Path, each: impl FnMut(&str, bool) -> ControlFlow<()>) -> Result<(), Errno> {
    entries_of(fs::open(path, LIST, Mode::empty())?, each)
}

fn entries_of(opened: Opened, mut each: impl FnMut(&str, bool) -> ControlFlow<()>) -> Result<(), Errno> {
    for entry in fs::Dir::new(opened)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name != "." && name != ".." && each(name, entry.file_type() == FileType::Directory).is_break() {
            break;
        }
    }
    Ok(())
}

/// An open directory.
#[derive(Debug)]
pub(super) struct OpenedDirectory(OwnedFd);

impl OpenedDirectory {
    // Where possible, only for traversal.
    #[cfg(target_os = "linux")]
    const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    const FLAGS: OFlags = LIST;

    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        fs::openat(CWD, path, Self::FLAGS, Mode::empty()).map(OpenedDirectory)
    }

    pub(super) fn below(&self, name: &str) -> Result<Self, Errno> {
        fs::openat(&self.0, name, Self::FLAGS, Mode::empty()).map(OpenedDirectory)
    }

    pub(super) fn open_file(&self, name: &str) -> Result<Opened, Errno> {
        io::retry_on_intr(|| fs::openat(&self.0, name, READ, Mode::empty()))
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        fs::fstat(&self.0).map(Stat::from)
    }

    pub(super) fn is_on(&self, magics: &[u64]) -> bool {
        is_on(&self.0, magics)
    }

    pub(super) fn each_entry(&self, each: impl FnMut(&str, bool) -> ControlFlow<()>) -> Result<(), Errno> {
        entries_of(fs::openat(&self.0, ".", LIST, Mode::empty())?, each)
    }
}
