//! A durable log: records are appended, and snapshots replace them from time to time.
//!
//! # Format
//!
//! A folder holds segments `NNNNNNNNNN.log` and snapshots `NNNNNNNNNN.snapshot`. A snapshot holds the state that results from
//! all segments before its number, so the newest snapshot and the segments from its number on make up the log. Both begin
//! with [`MAGIC`] and hold consecutive records:
//!
//! ```text
//! length: u32 | checksum: u32 | payload        little-endian; crc32 of length and payload
//! ```
//!
//! A payload over 4 MiB is split into parts, each a record of its own. In the length, bit 31 marks a part that the next one
//! continues, and bit 30 a part that continues the one before. A file with such parts begins with [`MAGIC_WITH_PARTS`];
//! programs that do not know them refuse it and read all other files.
//!
//! An empty record ends a snapshot. An unfinished snapshot is called `NNNNNNNNNN.unfinished`; it is ignored, and removed when
//! the log is opened.
//!
//! # Guarantees
//!
//! [`Log::write`] returns once its records and the folder's entries are on disk (`fdatasync`). If it fails, the log holds none
//! of them: the segment is truncated to its former length, and nothing else is written until that has succeeded. (Only a
//! process that ends before then leaves some refused records.) After a crash, each record is either complete or absent,
//! however many parts it has, and all records before it are there too.
//!
//! Acknowledged records stay in the log until a snapshot that holds all of them is on disk: segments are removed after the
//! snapshot has its final name and that name is on disk. A snapshot that cannot be completed is abandoned, and the log stays
//! as it is.
//!
//! Only an intact snapshot replaces the files before it. If it is damaged and they still exist, they are read first, and stay
//! until the next snapshot.
//!
//! Damaged files are quarantined: a copy is saved, intact records before and after the damage are read, and the skipped
//! ranges are reported. An incomplete record at the end of the last segment is what a crash leaves, and not damage.
//!
//! Only regular files are opened, and links are not followed: anything else under a name of the log is an error.
//!
//! If the folder or a segment was removed or replaced, the log notices before it acknowledges a write. It then starts over in
//! a newly created folder, and needs a snapshot of everything.
//!
//! On a disk that accepts no writes (full, read-only, no permission) the log can still be opened and read. Repairs of its
//! files are pending; [`Log::write`] applies them first, and succeeds as soon as the disk accepts writes.
//!
//! # Space
//!
//! [`Volume`] decides when a snapshot is due, so that the log never takes the space that the next one needs. If other programs
//! took it, the file `reserve`, filled with zeros, releases its blocks for records that free space:
//! [`Log::write_from_reserve`].

mod damage;
mod files;
mod lock;
mod log;
mod output;
pub(crate) mod records;
mod reserve;
mod segment;
mod snapshot;
mod volume;

use std::io;
use std::path::PathBuf;

pub use self::lock::lock;
pub use self::log::Log;
#[cfg(test)]
pub(crate) use self::output::faults;
pub use self::output::is_out_of_space;
pub use self::records::{MAX_RECORD, Records, TooLong, with_headers};
pub use self::segment::Segment;
pub use self::snapshot::{Finished, Snapshot};
pub use self::volume::Volume;

/// Start of every file; the last byte is the format version.
pub const MAGIC: &[u8; 8] = b"TAFLOG\n\x01";

/// Start of a file with records in parts.
pub const MAGIC_WITH_PARTS: &[u8; 8] = b"TAFLOG\n\x02";

/// The result of opening a log.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Number of records read.
    pub records: usize,
    /// Bytes of an incomplete record at the end.
    pub torn: u64,
    /// Descriptions of damage, one line each.
    pub damage: Vec<String>,
    /// Why the disk accepts no writes for now.
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
        /// What failed.
        what: &'static str,
        /// Why.
        reason: io::Error,
    },
    /// Another process has it.
    #[error("{}: another Taffrail process uses this directory; each needs its own", .0.display())]
    InUse(PathBuf),
    /// A file is not of this format.
    #[error("{}: written by another version of Taffrail; move the folder away, or go back to that version", .0.display())]
    Version(PathBuf),
}

#[cfg(test)]
mod tests;
