//! The queue under every push sink: points wait here, on disk, until the server has them.
//!
//! # Guarantees
//!
//! Points come in at [`Queue::push`] and are in memory then; [`Queue::settle`] puts them on disk, and returns once they are
//! there (`fdatasync`). From then on they are lost only if they are dropped, which is counted: because there are more
//! bytes than [`Bounds::bytes`] or they have waited for longer than [`Bounds::age`] (the oldest go first), or because the
//! disk gives back something else than was written. A restart, `kill -9` and a power cut lose none of them. What was
//! taken out by [`Queue::remove`] shortly before a power cut may be there again: the same points with the same
//! times.
//!
//! While the disk takes nothing (full, read-only, failing), points stay in memory, bounded by [`Bounds::memory`], and go
//! to the disk when it takes them again. A queue without a folder is in memory alone.
//!
//! A folder that is removed, or in whose place something else stands, is told at the next tick, and made again; what
//! waited in it is read by what is still open, and written anew, or kept in memory until that is possible. So are files that
//! vanish. Links are not followed, but for one that whoever configures has put above the folder; a folder or a file of
//! another user is refused, and what is no regular file is passed over.
//!
//! What waited at the start expires by the time of day, once that has gone on undisturbed for an hour: a clock that is wrong at
//! the start makes nothing old.
//!
//! # Order
//!
//! Points of a lane come out in the order in which they came in. There is one lane, until [`Queue::set_backlog_apart`]
//! closes what waits at that moment: this is the backlog then, and what comes later the fresh lane, so that a server that
//! comes back after a day is told what is now, and not only what was.
//!
//! # Format
//!
//! A folder for each queue holds segments `NNNNNNNNNN.points` and the file `places`, and belongs to one process. A segment
//! begins with [`segments::MAGIC`] and holds records as in [`crate::store`]: length, checksum, payload. A record is what came in
//! with one push:
//!
//! ```text
//! time: i64 | count: u32 | ends: u32 × count | bytes        little-endian; time in seconds of Unix
//! ```
//!
//! `ends` tells where each point ends in `bytes`, which are what the sink sends. A segment is deleted when nothing in it
//! waits. `places` has two slots, of which the one with the higher number and a sound checksum counts:
//!
//! ```text
//! number: u64 | lanes: u32 | (begin, end: (segment: u64 | offset: u32 | points: u32)) × lanes | checksum: u32
//! ```
//!
//! `begin` is where the next point is: that many points into the record at the offset. The last lane has no end. Places are
//! written without waiting for the disk: an older place only means that points are sent twice.
//!
//! What is damaged is passed over up to the next whole record, told, and counted as dropped where it can be counted.

mod age;
mod disk;
mod memory;
pub mod owners;
mod places;
mod queue;
mod segments;
pub mod settings;
#[cfg(test)]
mod tests;

pub use self::queue::{Batch, Bounds, Counts, Lane, Queue};
pub use self::settings::Settings;
