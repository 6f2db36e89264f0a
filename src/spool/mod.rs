//! The queue of every push sink: points wait here, on disk, until the server has acknowledged them.
//!
//! # Guarantees
//!
//! [`Queue::push`] puts points in memory. [`Queue::persist`] writes them to disk and returns once they are there
//! (`fdatasync`). A persisted point is lost only when it is dropped, and drops are counted: the queue exceeds
//! [`Limits::bytes`] or [`Limits::age`] (the oldest points go first), or the disk returns other data than was written.
//! Restarts, `kill -9` and power cuts lose no persisted point. Points that [`Queue::remove`] took out shortly before a power
//! cut may come back and be sent twice, with the same timestamps.
//!
//! While the disk accepts no writes (full, read-only, failing), points stay in memory, up to [`Limits::memory`], and move to
//! the disk once it accepts writes again. A queue without a folder lives in memory alone.
//!
//! A folder that was removed or replaced is logged at the next tick and created again. Points in it are read through files
//! that are still open, and written to the new folder or retained in memory. Missing files are handled the same way. Symbolic
//! links are not followed, except one to the parent folder. Folders and files of other users are refused, and files that are
//! not regular are skipped.
//!
//! Points found at startup expire by the time of day, but only after the clock has run undisturbed for an hour: a wrong
//! clock at boot expires nothing.
//!
//! # Order
//!
//! Points leave a sub-queue in the order in which they arrived. There is one sub-queue until [`Queue::split_backlog`] closes
//! it: it becomes the backlog, and later points go to the fresh one. After an outage, a server receives current points along
//! with old ones.
//!
//! # Format
//!
//! Each queue has a folder with segments `NNNNNNNNNN.points` and a checkpoint file `places`, owned by one process. A segment
//! begins with [`segments::MAGIC`] and holds records as in [`crate::store`]: length, checksum, payload. A record holds the
//! points of one push:
//!
//! ```text
//! time: i64 | count: u32 | ends: u32 × count | bytes        little-endian; time in Unix seconds
//! ```
//!
//! `ends` are the offsets in `bytes` at which each point ends; `bytes` is what the sink sends. A segment is deleted when no
//! point in it waits. `places` has two slots; the one with the higher number and a valid checksum counts:
//!
//! ```text
//! number: u64 | spans: u32 | (begin, end: (segment: u64 | offset: u32 | points: u32)) × spans | checksum: u32
//! ```
//!
//! `begin` is the position of the next point: that many points into the record at the offset. The last span has no end.
//! Checkpoints are written without waiting for the disk: after a crash, an older one only causes points to be sent twice.
//!
//! Damaged data is skipped up to the next intact record, and logged. While the queue is open, it knows how many points each
//! segment holds: points that can no longer be read count as dropped as soon as the damage is seen, and the reported queue
//! length never exceeds what can be read.

mod age;
mod checkpoint;
mod disk;
pub mod folders;
mod memory;
mod queue;
mod segments;
pub mod settings;
#[cfg(test)]
mod tests;
mod types;

pub use self::queue::{Batch, Queue};
pub use self::settings::Settings;
pub use self::types::{Counts, Limits, SubQueue};
