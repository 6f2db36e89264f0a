//! Files of the host, read at each reading.

mod directory;
#[cfg_attr(windows, path = "raw_windows.rs")]
mod raw;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub use self::directory::{Directory, count_entries, count_entries_of, inode, list, list_up_to};
use self::raw::Opened;
use super::changes::Changes;
use super::errno::Errno;
use super::text::{ReadError, Text};
use crate::descriptors::{self, Permitted};

/// Maximum size of a file, well above any real one.
const MAX_BYTES: usize = 16 << 20;
const SMALLEST_READ: usize = 256;
const FIRST_READ: usize = 4 << 10;

/// A file that is read at every reading. On procfs and sysfs, where each read from the start generates the content, the
/// descriptor stays open: opening such a file costs more than reading it. Files over the quota of
/// [`descriptors::FILES`] are opened each time.
#[derive(Debug)]
pub struct HostFile {
    path: PathBuf,
    kept: Option<Permitted<Opened>>,
    /// The last length, as an estimate of the next.
    length: usize,
    /// Whether a short read means the end.
    is_one_record: bool,
    /// Reports when an absent file may have appeared.
    changes: Option<Arc<Changes>>,
    /// The generation at which it was absent.
    absence: Option<(u64, Errno)>,
}

impl HostFile {
    /// The file at `path`, opened at the first read.
    pub fn new(path: PathBuf) -> Self {
        HostFile { path, kept: None, length: 0, is_one_record: false, changes: None, absence: None }
    }

    /// Opens the file again only after `changes` while it is absent: it appears with a device or a module.
    #[must_use]
    pub(super) fn watching(self, changes: &Arc<Changes>) -> Self {
        HostFile { changes: Some(changes.clone()), ..self }
    }

    /// Declares that the kernel generates the file as a whole (`single_open` of fs/seq_file.c, sysctl, sysfs), not record by
    /// record: a short read is the end then.
    #[must_use]
    pub fn one_record(self) -> Self {
        HostFile { is_one_record: true, ..self }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file into `buffer`.
    ///
    /// # Errors
    /// [`ReadError::Absent`] if the file or the kernel feature is absent,
    /// [`ReadError::Unreadable`] otherwise, also for a file of more than 16 MiB.
    pub fn read<'a>(&'a mut self, buffer: &'a mut Vec<u8>) -> Result<Text<'a>, ReadError> {
        match self.read_bytes(buffer) {
            Ok(()) => Ok(Text::new(&self.path, buffer)),
            Err(error) => Err(ReadError::io(&self.path, error)),
        }
    }

    fn read_bytes(&mut self, buffer: &mut Vec<u8>) -> Result<(), Errno> {
        if let Some(kept) = &self.kept {
            match read_from_start(kept.get(), self.length, self.is_one_record, buffer) {
                Ok(()) => {
                    self.length = buffer.len();
                    return Ok(());
                }
                Err(error) if is_of_the_device(error) => return Err(error),
                // The device was removed; one of the same name may have replaced it.
                Err(_) => self.kept = None,
            }
        }
        let opened = self.open()?;
        let read = read_from_start(&opened, self.length, self.is_one_record, buffer);
        if read.is_ok() {
            self.length = buffer.len();
        }
        if read.map_or_else(is_of_the_device, |()| true) && makes_content_at_each_read(&opened) {
            self.kept = descriptors::FILES.acquire().map(|permit| Permitted::new(opened, permit));
        }
        read
    }

    fn open(&mut self) -> Result<Opened, Errno> {
        let Some(changes) = &self.changes else { return raw::open(&self.path) };
        let generation = changes.generation();
        if let Some((_, error)) = self.absence.filter(|(since, _)| *since == generation) {
            return Err(error);
        }
        let opened = raw::open(&self.path);
        self.absence = opened.as_ref().err().filter(|error| is_absence(**error)).map(|error| (generation, *error));
        opened
    }

    /// Whether the kernel has reported a change since the last call: fs/proc_namespace.c. Always true if the descriptor is
    /// not kept open.
    pub fn may_have_changed(&self) -> bool {
        let Some(kept) = &self.kept else { return true };
        raw::has_news(kept.get())
    }
}

/// Whether an error means that the file or feature is absent.
pub(super) fn is_absence(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO)
}

/// Whether a device cannot provide a value now, while its descriptor stays valid.
fn is_of_the_device(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::OPNOTSUPP | Errno::IO | Errno::AGAIN | Errno::BUSY)
}

/// A file that several collectors read: once a round.
#[derive(Clone, Debug)]
pub struct SharedFile {
    path: PathBuf,
    content: Arc<Mutex<Content>>,
}

#[derive(Debug)]
struct Content {
    file: HostFile,
    bytes: Vec<u8>,
    read_at: Option<Instant>,
}

impl SharedFile {
    /// The file at `path`, of one record if `is_one_record`.
    pub(super) fn new(path: PathBuf, is_one_record: bool) -> Self {
        let content = Content {
            file: HostFile { is_one_record, ..HostFile::new(path.clone()) },
            bytes: Vec::new(),
            read_at: None,
        };
        SharedFile { path, content: Arc::new(Mutex::new(content)) }
    }

    /// Copies the whole file, read at `since` or later, into `buffer`.
    ///
    /// # Errors
    /// As [`HostFile::read`].
    pub fn read<'a>(&'a self, since: Instant, buffer: &'a mut Vec<u8>) -> Result<Text<'a>, ReadError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let Content { file, bytes, read_at } = &mut *content;
        if read_at.is_none_or(|read_at| read_at < since) {
            let now = Instant::now();
            *read_at = None;
            file.read(bytes)?;
            *read_at = Some(now);
        }
        buffer.clone_from(bytes);
        Ok(Text::new(&self.path, buffer))
    }
}

/// Reads a file once, as during a walk.
///
/// # Errors
/// As [`HostFile::read`].
pub fn read_once<'a>(path: &'a Path, buffer: &'a mut Vec<u8>) -> Result<Text<'a>, ReadError> {
    read_whole(path, false, buffer)
}

/// As [`read_once`], for a file of one record, see [`HostFile::one_record`].
///
/// # Errors
/// As [`HostFile::read`].
pub fn read_record<'a>(path: &'a Path, buffer: &'a mut Vec<u8>) -> Result<Text<'a>, ReadError> {
    read_whole(path, true, buffer)
}

fn read_whole<'a>(path: &'a Path, is_one_record: bool, buffer: &'a mut Vec<u8>) -> Result<Text<'a>, ReadError> {
    match raw::open(path).and_then(|opened| read_from_start(&opened, 0, is_one_record, buffer)) {
        Ok(()) => Ok(Text::new(path, buffer)),
        Err(error) => Err(ReadError::io(path, error)),
    }
}

/// Reads at most the first `max` bytes of a file, with one system call: for files that a process fills.
///
/// # Errors
/// As [`HostFile::read`].
pub fn read_start<'a>(path: &'a Path, max: usize, buffer: &'a mut Vec<u8>) -> Result<Text<'a>, ReadError> {
    buffer.resize(max, 0);
    match raw::open(path).and_then(|opened| raw::read_at(&opened, buffer, 0)) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Text::new(path, buffer))
        }
        Err(error) => Err(ReadError::io(path, error)),
    }
}

/// Reads the whole file, of about `expected` bytes. The buffer is little larger, as for some files the kernel allocates and
/// clears as much as is requested.
fn read_from_start(file: &Opened, expected: usize, is_one_record: bool, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    let likely = if expected == 0 { FIRST_READ } else { expected + expected / 4 };
    let mut length = 0;
    let mut step = likely.max(SMALLEST_READ);
    loop {
        if buffer.len() < length + step {
            buffer.resize(length + step, 0);
        }
        let room = &mut buffer[length..length + step];
        // A short read is not the end of a file generated record by record: seq_file returns a page at a time.
        let read = raw::read_at(file, room, length as u64)?;
        length += read;
        if read == 0 || (is_one_record && read < step) {
            buffer.truncate(length);
            return Ok(());
        }
        if length > MAX_BYTES {
            return Err(Errno::FBIG);
        }
        let was_full = read == step;
        step = if was_full { length.max(FIRST_READ) } else { likely.saturating_sub(length).max(SMALLEST_READ) };
    }
}

/// Whether a live procfs is mounted at `path`.
pub fn is_procfs(path: &Path) -> bool {
    raw::is_mounted_at(path, PROC_MAGIC)
}

const PROC_MAGIC: u64 = 0x9fa0;

fn makes_content_at_each_read(file: &Opened) -> bool {
    const SYSFS_MAGIC: u64 = 0x6265_6572;
    raw::is_on(file, &[PROC_MAGIC, SYSFS_MAGIC])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_opened_anew_and_a_kernel_file_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut buffer = Vec::new();
        let mut file = HostFile::new(path.clone());
        assert!(file.read(&mut buffer).unwrap_err().is_absent());

        std::fs::write(&path, "one").unwrap();
        assert_eq!(file.read(&mut buffer).unwrap().bytes(), b"one");
        let replacement = folder.path().join("replacement");
        std::fs::write(&replacement, "two").unwrap();
        std::fs::rename(&replacement, &path).unwrap();
        assert_eq!(file.read(&mut buffer).unwrap().bytes(), b"two");
        assert!(file.kept.is_none());

        let mut uptime = HostFile::new("/proc/uptime".into());
        uptime.read(&mut buffer).unwrap();
        assert!(uptime.kept.is_some());
        assert!(!uptime.read(&mut buffer).unwrap().bytes().is_empty());
    }

    #[test]
    fn a_shared_file_is_read_once_a_round() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let (shared, mut buffer) = (SharedFile::new(path.clone(), false), Vec::new());
        let round = Instant::now();
        assert_eq!(shared.read(round, &mut buffer).unwrap().bytes(), b"one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(shared.clone().read(round, &mut buffer).unwrap().bytes(), b"one");
        assert_eq!(shared.read(Instant::now(), &mut buffer).unwrap().bytes(), b"two");
        std::fs::remove_file(&path).unwrap();
        assert!(shared.read(Instant::now(), &mut buffer).is_err());
    }

    #[test]
    fn a_file_longer_than_the_buffer_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let content = "0123456789".repeat(20_000);
        std::fs::write(&path, &content).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(read_once(&path, &mut buffer).unwrap().bytes(), content.as_bytes());
    }
}
