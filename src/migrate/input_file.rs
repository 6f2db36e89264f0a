//! Reads the files that are translated.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file or directory that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be read: {source}", path.display())]
pub struct FileError {
    /// Its path.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    pub(super) fn of(path: &Path) -> impl Fn(io::Error) -> FileError {
        let path = path.to_owned();
        move |source| FileError { path: path.clone(), source }
    }
}

/// The largest configuration that is translated, in bytes.
const MAX_CONFIGURATION: u64 = 16 << 20;

/// The text of a configuration, at most 16 MiB.
///
/// # Errors
/// It cannot be read, is too large, or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    read_at_most(path, MAX_CONFIGURATION)
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is too large, or is no UTF-8.
pub fn read_at_most(path: &Path, limit: u64) -> Result<String, FileError> {
    let mut text = String::new();
    if is_named_fifo(path) {
        return Err(FileError::of(path)(io::Error::other("it is a FIFO, which has no end: write it to a file")));
    }
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_string(&mut text));
    // Cutting may have split a character.
    match read {
        Ok(read) if read as u64 <= limit => Ok(text),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        Err(error) if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= limit) => Err(error),
        _ => Err(io::Error::other(format!("it has more than {} MiB", limit >> 20))),
    }
    .map_err(FileError::of(path))
}

/// Whether it is a FIFO with a name. Those of a shell's `<(…)` end.
fn is_named_fifo(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let is_descriptor = ["/dev/", "/proc/"].iter().any(|start| path.starts_with(start));
        !is_descriptor && std::fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
