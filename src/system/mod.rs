//! What the standard library leaves to each system, in the same words on all: folders and files that are nobody else's,
//! reading and writing at a place, how to tell files apart, local sockets, signals. What is read of the host is not here
//! but in [`crate::host`].

#[cfg(unix)]
mod own_folder;
#[cfg(windows)]
#[path = "own_folder_windows.rs"]
mod own_folder;
pub mod progress;
pub mod regular_file;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::time::SystemTime;

pub use own_folder::OwnFolder;
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// What the process is asked to do from outside.
pub enum Asked {
    /// To read its configuration again.
    Reload,
    /// To end; by this signal.
    End(&'static str),
}

/// What is at the path of a folder that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The folder, and when its entries changed, if that can be told.
    Same(Option<SystemTime>),
    /// Nothing.
    Gone,
    /// This.
    Other(&'static str),
}

/// What a file in a folder of ours is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To read it.
    Read,
    /// To read and write it; it is made if it is not there.
    Write,
    /// The same, and what it holds is forgotten.
    New,
}

/// By which one knows whether a file is still the same, and has not been written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    identity: Identity,
    /// Bytes.
    pub size: u64,
    changed: Option<SystemTime>,
}

impl Stamp {
    /// Which file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Stamp { identity: identity(metadata), size: metadata.len(), changed: metadata.modified().ok() }
    }
}

/// Reads as much from a place in `file` on as there is and fits, and tells how much that was.
///
/// # Errors
/// What reading answers.
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

/// Locks a file until it is closed; `false` if another process has done so.
///
/// # Errors
/// Why it cannot be locked at all.
pub fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
