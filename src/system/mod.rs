//! Operating system calls that the standard library lacks, with one interface on all systems: private folders and
//! files, positioned reads and writes, file identity, local sockets, signals. Readers of the host's data are in
//! [`crate::host`].

mod code;
pub mod mounts;
#[cfg(unix)]
mod private_folder;
#[cfg(windows)]
#[path = "private_folder_windows.rs"]
mod private_folder;
pub mod progress;
pub mod regular_file;
#[cfg(unix)]
mod unix;
mod unshare;
#[cfg(windows)]
mod windows;

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, SystemTime};

pub use code::release_code;
pub use private_folder::{PrivateFolder, open_regular};
#[cfg(unix)]
pub use unix::*;
pub use unshare::unshare_descriptors;
#[cfg(windows)]
pub use windows::*;

/// A request to the process from outside.
pub enum Control {
    /// Reload the configuration.
    Reload,
    /// End, because of this signal.
    End(&'static str),
}

/// The state of the path of an opened folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// The same folder, and its modification time, if known.
    Unchanged(Option<SystemTime>),
    /// Nothing is there.
    Missing,
    /// Something else is there.
    Replaced(&'static str),
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Read.
    Read,
    /// Read and write; created if missing.
    Write,
    /// Read and write; created if missing, otherwise truncated.
    New,
    /// Read and write; must exist.
    Change,
}

/// Identity, size and modification time of a file: shows whether it was replaced or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    identity: Identity,
    /// Bytes.
    pub size: u64,
    changed: Option<SystemTime>,
}

impl Stamp {
    /// The file's identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Stamp { identity: identity(metadata), size: metadata.len(), changed: metadata.modified().ok() }
    }
}

/// Fills `bytes` from an offset in `file`, and returns the number of bytes read: fewer at the end of the file.
///
/// # Errors
/// Errors of reading.
pub fn read_up_to(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match read_at(file, &mut bytes[read..], at + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Locks a file until it is closed; `false` if another process holds the lock.
///
/// # Errors
/// If it cannot be locked at all.
pub fn lock(file: &File) -> io::Result<bool> {
    /// A child that this process starts holds all of its locks until it runs its program, also those that are released meanwhile.
    const TRIES: usize = 10;
    const PAUSE: Duration = Duration::from_millis(20);
    for number in 1.. {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if number < TRIES => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}
