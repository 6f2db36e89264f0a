//! Files that somebody has named, in the configuration or on the command line, or put into a folder for us.
//!
//! Whoever names a file may name anything: a FIFO that nobody writes to, a device, a link to `/dev/zero`, a file on a
//! server that is gone. Only regular files are read, without waiting for anybody, and no more than is expected of them.
//! The kernel's files are not meant, which are read by [`crate::host`].

mod hung;

use std::fmt::{self, Display};
use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use hung::{hung, within};

use super::{is_pipe, kind_of_special_file, open_without_blocking};

/// How long whoever reads a file waits for it. A disk answers within this also under load.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why a file was not read.
#[derive(Debug)]
pub struct RegularFileError {
    /// The file as it was named.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: NotRead,
}

/// What is wrong with a file that was not read.
#[derive(Debug)]
pub enum NotRead {
    /// What the system answered.
    Io(io::Error),
    /// It is no regular file but this, such as "a FIFO".
    Special(&'static str),
    /// It holds more than this many bytes.
    TooLarge(u64),
    /// It is expected to hold text, and is not UTF-8.
    NotText,
    /// There was no answer for so long: it is on a file system that hangs.
    NoAnswer(Duration),
    /// It is a pipe into which nobody has written a whole text for so long.
    Unwritten(Duration),
    /// Somebody waited in vain before, and there is still no answer: it was not waited for again.
    StillNoAnswer,
}

impl std::error::Error for RegularFileError {}

impl Display for RegularFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRead::Io(error) if error.kind() == ErrorKind::WouldBlock => {
                f.write_str("another program has a lease on it; it can be read once that program has given it up")
            }
            NotRead::Io(error) => write!(f, "{error}"),
            NotRead::Special(what) => write!(f, "expected a regular file, found {what}"),
            NotRead::TooLarge(most) => write!(f, "expected at most {}, found more", Bytes(*most)),
            NotRead::NotText => f.write_str("expected text in UTF-8, found other bytes"),
            NotRead::NoAnswer(after) => {
                write!(f, "not read within {} s: the file system that it is on does not answer", after.as_secs_f64())
            }
            NotRead::Unwritten(after) => {
                write!(f, "expected somebody to write to this pipe and close it within {} s", after.as_secs_f64())
            }
            NotRead::StillNoAnswer => {
                f.write_str("not read: the file system that it is on still does not answer an earlier attempt")
            }
        }
    }
}

impl NotRead {
    /// Whether there is no such file.
    pub fn is_absence(&self) -> bool {
        matches!(self, NotRead::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }
}

/// A number of bytes as one says it.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            whole if whole >= 1 << 20 && whole % (1 << 20) == 0 => write!(f, "{} MiB", whole >> 20),
            whole if whole >= 1 << 10 && whole % (1 << 10) == 0 => write!(f, "{} KiB", whole >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// Reads a regular file whole. This takes as long as its file system does: on a mount that is dead, for ever; see
/// [`read_regular_within`].
///
/// # Errors
/// That it is no regular file, holds more than `at_most` bytes, however many it claims to, or cannot be read.
pub fn read_regular(path: &Path, at_most: u64) -> Result<Vec<u8>, RegularFileError> {
    Ok(read_with_metadata(path, at_most)?.0)
}

/// The same, with what the system said of the file that was opened, before it was read.
///
/// # Errors
/// As [`read_regular`].
pub fn read_with_metadata(path: &Path, at_most: u64) -> Result<(Vec<u8>, Metadata), RegularFileError> {
    read(path, at_most).map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

/// Reads a regular file whole, and gives up after `patience`. A file that was given up is not asked for again until
/// its file system has answered: one thread waits for it, however often it is asked for.
///
/// # Errors
/// As [`read_regular`], and that there was no answer.
pub fn read_regular_within(path: &Path, at_most: u64, patience: Duration) -> Result<Vec<u8>, RegularFileError> {
    let named = path.to_owned();
    let read = within(path, patience, move || read(&named, at_most));
    read.and_then(|read| read)
        .map(|(bytes, _)| bytes)
        .map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

/// The same of text.
///
/// # Errors
/// As [`read_regular_within`], and that it is not UTF-8.
pub fn read_text_within(path: &Path, at_most: u64, patience: Duration) -> Result<String, RegularFileError> {
    let bytes = read_regular_within(path, at_most, patience)?;
    String::from_utf8(bytes).map_err(|_| RegularFileError { path: path.to_owned(), reason: NotRead::NotText })
}

/// The same of text, which may also come from a pipe: whoever writes to it gets a minute.
///
/// # Errors
/// As [`read_text_within`].
pub fn read_text_or_pipe(path: &Path, at_most: u64) -> Result<String, RegularFileError> {
    const FOR_WRITERS: Duration = Duration::from_secs(60);
    let named = path.to_owned();
    let looked = within(path, PATIENCE, move || named.metadata().is_ok_and(|found| is_pipe(found.file_type())));
    if !looked.map_err(|reason| RegularFileError { path: path.to_owned(), reason })? {
        return read_text_within(path, at_most, PATIENCE);
    }
    let named = path.to_owned();
    let read = within(path, FOR_WRITERS, move || up_to(File::open(&named).map_err(NotRead::Io)?, 0, at_most));
    let text = read.and_then(|read| String::from_utf8(read?).map_err(|_| NotRead::NotText));
    text.map_err(|reason| {
        let reason = if let NotRead::NoAnswer(after) = reason { NotRead::Unwritten(after) } else { reason };
        RegularFileError { path: path.to_owned(), reason }
    })
}

/// Reads a file of certificates or keys, as [`read_regular_within`].
///
/// # Errors
/// As there.
pub fn read_pem(path: &Path) -> Result<Vec<u8>, RegularFileError> {
    /// Ten times what all authorities that browsers trust take together.
    const MOST_BYTES: u64 = 4 << 20;
    read_regular_within(path, MOST_BYTES, PATIENCE)
}

fn read(path: &Path, at_most: u64) -> Result<(Vec<u8>, Metadata), NotRead> {
    // Looked at before it is opened, for to open a device may do something (a watchdog starts, a tape is wound), and
    // after, for it may have become another in between.
    regular(path.metadata().map_err(NotRead::Io)?.file_type())?;
    let file = open_without_blocking(path).map_err(NotRead::Io)?;
    let metadata = file.metadata().map_err(NotRead::Io)?;
    regular(metadata.file_type())?;
    let bytes = up_to(file, metadata.len(), at_most)?;
    Ok((bytes, metadata))
}

fn regular(kind: FileType) -> Result<(), NotRead> {
    match kind {
        _ if kind.is_file() => Ok(()),
        _ if kind.is_dir() => Err(NotRead::Special("a directory")),
        _ => Err(NotRead::Special(kind_of_special_file(kind))),
    }
}

/// What there is to read, be it as much as was `expected` or not: the kernel's files claim to be empty, and others grow.
fn up_to(file: File, expected: u64, at_most: u64) -> Result<Vec<u8>, NotRead> {
    if expected > at_most {
        return Err(NotRead::TooLarge(at_most));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(expected + 1).unwrap_or(0));
    file.take(at_most + 1).read_to_end(&mut bytes).map_err(NotRead::Io)?;
    if bytes.len() as u64 > at_most { Err(NotRead::TooLarge(at_most)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
