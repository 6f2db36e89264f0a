//! A log on disk of everything that must survive: records are appended, and a snapshot now and then takes their place.
//!
//! # Format
//!
//! A folder holds segments `NNNNNNNNNN.log` and snapshots `NNNNNNNNNN.snapshot`. A snapshot holds everything that the
//! segments before its number said; so what counts is the newest snapshot and the segments from its number on. Both
//! begin with [`MAGIC`], and hold records one after the other:
//!
//! ```text
//! length: u32 | checksum: u32 | payload        little-endian; crc32 of length and payload
//! ```
//!
//! What is longer than 4 MiB is in parts, each a record of its own: in the length, bit 31 says that the next one goes on
//! with this one, and bit 30 that this one goes on with the one before. A file with such parts begins with
//! [`MAGIC_OF_PARTS`]; programs that do not know them refuse it, and read all others.
//!
//! A snapshot ends with an empty record; as long as it is not finished it is called `NNNNNNNNNN.unfinished`, counts for
//! nothing, and goes when the log is opened.
//!
//! # Guarantees
//!
//! [`Log::write`] returns once its records are on disk (`fdatasync`), with the folder's entries. If it fails, none of them
//! is there: the segment is cut back to what it was, and nothing else is written before that is certain (only a process
//! that ends before then leaves some of what was refused). After a crash, a record is there whole or not at all, however
//! many parts it has, and those that were written before it are there too.
//!
//! What was acknowledged is in the log until a snapshot that holds all of it is on disk: segments go when the snapshot has
//! its name, and its name is on disk. A snapshot that cannot be written whole is given up, and the log stays as it is.
//!
//! What is damaged is kept: the file is copied aside, what is whole before and behind the damage is read, and it is told
//! what was passed over. A record that was cut off at the end of the last segment is what a crash leaves, and no damage.
//!
//! A segment that is not where it was, because the folder or the file was taken away, is noticed before what was written
//! to it is acknowledged. The log begins anew then, in a folder that is made again, and wants a snapshot of everything.
//!
//! On a disk that takes nothing (full, read-only, or no permission) the log is opened and read all the same. What is to be
//! done to its files waits; [`Log::write`] does it first, and works as soon as the disk takes something.

mod damage;
mod files;
mod lock;
mod log;
mod output;
pub(crate) mod records;
mod segment;
mod snapshot;

use std::io;
use std::path::PathBuf;

pub use self::lock::lock;
pub use self::log::Log;
#[cfg(test)]
pub(crate) use self::output::faults;
pub use self::records::{MAX_RECORD, Records, TooLong};
pub use self::segment::Segment;
pub use self::snapshot::{Finished, Snapshot};

/// What every file begins with; the last byte is the format's version.
pub const MAGIC: &[u8; 8] = b"TAFLOG\n\x01";

/// What a file begins with that has records in parts.
pub const MAGIC_OF_PARTS: &[u8; 8] = b"TAFLOG\n\x02";

/// What was found when a log was opened.
#[derive(Debug, Default)]
pub struct Recovery {
    /// How many records were read.
    pub records: usize,
    /// Bytes of a record at the end that was cut off.
    pub torn: u64,
    /// What was damaged, each told in a line.
    pub damage: Vec<String>,
    /// Why nothing can be written for now.
    pub unwritable: Option<io::Error>,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be used.
    #[error("{}: {what}: {reason}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        reason: io::Error,
    },
    /// Another process has it.
    #[error("{}: another Taffrail has this folder open; give each its own", .0.display())]
    InUse(PathBuf),
    /// A file is not of this format.
    #[error("{}: written by another version of Taffrail; move the folder away, or go back to that version", .0.display())]
    Version(PathBuf),
}

#[cfg(test)]
mod tests;
