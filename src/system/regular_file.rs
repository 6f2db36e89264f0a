//! Reads files named in the configuration or on the command line, or dropped into a folder for us.
//!
//! Such a name may lead anywhere: to a FIFO without a writer, a device, a link to `/dev/zero`, a file on a dead
//! server. Only regular files are read, without blocking, and with a size limit. The kernel's files are read by
//! [`crate::host`] instead.

mod timeout;

use std::fmt::{self, Display};
use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use timeout::{hung, within};

use super::{is_pipe, special_file_type, without_blocking};

/// Timeout for reading a file. A disk responds within it even under load.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A file that could not be read.
#[derive(Debug)]
pub struct RegularFileError {
    /// The file's path, as given.
    pub path: PathBuf,
    /// The reason.
    pub reason: ReadFailure,
}

/// Why a file could not be read.
#[derive(Debug)]
pub enum ReadFailure {
    /// An error of the system.
    Io(io::Error),
    /// Another program holds a lease on it, and was asked to release it.
    Leased,
    /// It has no data for now, and reading it would block: usually a log of the kernel.
    Empty,
    /// It is not a regular file but this, such as "a FIFO".
    Special(&'static str),
    /// It is larger than this many bytes.
    TooLarge(u64),
    /// It should be text, and is not UTF-8.
    NotText,
    /// Reading timed out: its file system hangs.
    NoAnswer(Duration),
    /// It is a pipe whose writer did not finish in time.
    Unwritten(Duration),
    /// An earlier attempt timed out and still hangs: no new attempt was made.
    StillNoAnswer,
}

impl std::error::Error for RegularFileError {}

impl Display for RegularFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFailure::Leased => {
                f.write_str("another program has a lease on it; it can be read once that program has given it up")
            }
            ReadFailure::Empty => {
                f.write_str("expected a file that holds something, found one to wait at until it does")
            }
            ReadFailure::Io(error) => write!(f, "{error}"),
            ReadFailure::Special(what) => write!(f, "expected a regular file, found {what}"),
            ReadFailure::TooLarge(most) => write!(f, "expected at most {}, found more", Bytes(*most)),
            ReadFailure::NotText => f.write_str("expected text in UTF-8, found other bytes"),
            ReadFailure::NoAnswer(after) => {
                write!(f, "not read within {} s: the file system that it is on does not answer", after.as_secs_f64())
            }
            ReadFailure::Unwritten(after) => {
                write!(f, "expected somebody to write to this pipe and close it within {} s", after.as_secs_f64())
            }
            ReadFailure::StillNoAnswer => {
                f.write_str("not read: the file system that it is on still does not answer an earlier attempt")
            }
        }
    }
}

impl ReadFailure {
    /// Whether the file does not exist.
    pub fn is_absence(&self) -> bool {
        matches!(self, ReadFailure::Io(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    }
}

/// A number of bytes in a readable unit.
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

/// Reads a regular file. Blocks for as long as its file system does: on a dead mount, forever; see
/// [`read_regular_within`].
///
/// # Errors
/// If it is not a regular file, is larger than `max_bytes`, whatever size it claims, or cannot be read.
pub fn read_regular(path: &Path, max_bytes: u64) -> Result<Vec<u8>, RegularFileError> {
    Ok(read_with_metadata(path, max_bytes)?.0)
}

/// Like [`read_regular`], with the metadata of the opened file before reading.
///
/// # Errors
/// As [`read_regular`].
pub fn read_with_metadata(path: &Path, max_bytes: u64) -> Result<(Vec<u8>, Metadata), RegularFileError> {
    read(path, max_bytes).map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

/// Reads a regular file with a timeout. After a timeout, the path is not tried again until its file system has
/// responded: a single thread waits for it.
///
/// # Errors
/// As [`read_regular`], or after the timeout.
pub fn read_regular_within(path: &Path, max_bytes: u64, timeout: Duration) -> Result<Vec<u8>, RegularFileError> {
    let named = path.to_owned();
    let read = within(path, timeout, move || read(&named, max_bytes));
    read.and_then(|read| read)
        .map(|(bytes, _)| bytes)
        .map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

/// The metadata of a file of any type, with a timeout like [`read_regular_within`].
///
/// # Errors
/// There is no such file, or its file system does not respond.
pub fn metadata_within(path: &Path, timeout: Duration) -> Result<Metadata, RegularFileError> {
    let named = path.to_owned();
    let found = within(path, timeout, move || named.metadata().map_err(ReadFailure::Io));
    found.and_then(|found| found).map_err(|reason| RegularFileError { path: path.to_owned(), reason })
}

/// Like [`read_regular_within`], for text.
///
/// # Errors
/// As [`read_regular_within`], and that it is not UTF-8.
pub fn read_text_within(path: &Path, max_bytes: u64, timeout: Duration) -> Result<String, RegularFileError> {
    let bytes = read_regular_within(path, max_bytes, timeout)?;
    String::from_utf8(bytes).map_err(|_| RegularFileError { path: path.to_owned(), reason: ReadFailure::NotText })
}

/// Like [`read_text_within`], but also reads from a pipe, whose writer has a minute to finish.
///
/// # Errors
/// As [`read_text_within`].
pub fn read_text_or_pipe(path: &Path, max_bytes: u64) -> Result<String, RegularFileError> {
    const PIPE_TIMEOUT: Duration = Duration::from_secs(60);
    let named = path.to_owned();
    let looked = within(path, READ_TIMEOUT, move || named.metadata().is_ok_and(|found| is_pipe(found.file_type())));
    if !looked.map_err(|reason| RegularFileError { path: path.to_owned(), reason })? {
        return read_text_within(path, max_bytes, READ_TIMEOUT);
    }
    let named = path.to_owned();
    let read = within(path, PIPE_TIMEOUT, move || up_to(File::open(&named).map_err(ReadFailure::Io)?, 0, max_bytes));
    let text = read.and_then(|read| String::from_utf8(read?).map_err(|_| ReadFailure::NotText));
    text.map_err(|reason| {
        let reason = if let ReadFailure::NoAnswer(after) = reason { ReadFailure::Unwritten(after) } else { reason };
        RegularFileError { path: path.to_owned(), reason }
    })
}

/// Reads a PEM file, like [`read_regular_within`].
///
/// # Errors
/// As above.
pub fn read_pem(path: &Path) -> Result<Vec<u8>, RegularFileError> {
    /// Ten times the size of all root certificates that browsers trust.
    const MAX_PEM_BYTES: u64 = 4 << 20;
    read_regular_within(path, MAX_PEM_BYTES, READ_TIMEOUT)
}

/// Opens a regular file for appending, and creates it if missing. Checks its type before and after opening.
///
/// # Errors
/// If it is not a regular file, such as "expected a regular file, found a FIFO"; errors of open(2).
pub fn open_to_append(path: &Path) -> io::Result<File> {
    let opened = || {
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => regular(found.map_err(ReadFailure::Io)?.file_type())?,
        }
        let file = without_blocking(File::options().create(true).append(true)).open(path).map_err(ReadFailure::Io)?;
        regular(file.metadata().map_err(ReadFailure::Io)?.file_type())?;
        Ok(file)
    };
    opened().map_err(|reason| match reason {
        ReadFailure::Io(error) => error,
        other => io::Error::other(other.to_string()),
    })
}

fn read(path: &Path, max_bytes: u64) -> Result<(Vec<u8>, Metadata), ReadFailure> {
    // Checked before opening, as opening a device may have side effects (a watchdog starts, a tape winds), and after,
    // as it may have been replaced in between.
    regular(path.metadata().map_err(ReadFailure::Io)?.file_type())?;
    let file =
        without_blocking(File::options().read(true)).open(path).map_err(|error| blocked(error, ReadFailure::Leased))?;
    let metadata = file.metadata().map_err(ReadFailure::Io)?;
    regular(metadata.file_type())?;
    let bytes = up_to(file, metadata.len(), max_bytes)?;
    Ok((bytes, metadata))
}

/// Maps an error; `WouldBlock` becomes `means`.
fn blocked(error: io::Error, means: ReadFailure) -> ReadFailure {
    if error.kind() == ErrorKind::WouldBlock { means } else { ReadFailure::Io(error) }
}

fn regular(kind: FileType) -> Result<(), ReadFailure> {
    match kind {
        _ if kind.is_file() => Ok(()),
        _ if kind.is_dir() => Err(ReadFailure::Special("a directory")),
        _ => Err(ReadFailure::Special(special_file_type(kind))),
    }
}

/// Reads to the end, regardless of the `expected` size: the kernel's files claim to be empty, and others grow.
fn up_to(file: File, expected: u64, max_bytes: u64) -> Result<Vec<u8>, ReadFailure> {
    if expected > max_bytes {
        return Err(ReadFailure::TooLarge(max_bytes));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(expected + 1).unwrap_or(0));
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(|error| blocked(error, ReadFailure::Empty))?;
    if bytes.len() as u64 > max_bytes { Err(ReadFailure::TooLarge(max_bytes)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
