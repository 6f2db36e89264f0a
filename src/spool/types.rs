//! Parameters and counts of a queue.

use std::time::Duration;

/// Limits of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of points in memory.
    pub memory: usize,
    /// Bytes of the files on disk.
    pub bytes: usize,
    /// Maximum age of points on disk.
    pub age: Duration,
}

/// A part of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubQueue {
    /// Points since the backlog was split off; all points if it was not.
    Fresh,
    /// Points from before the split.
    Backlog,
}

/// Points held and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting points.
    pub points: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Points of these that are in memory only.
    pub in_memory: usize,
    /// Approximate age of the oldest points on disk.
    pub oldest: Duration,
    /// Points dropped so far because the queue was full.
    pub overflow: u64,
    /// Points dropped so far because they were too old.
    pub expired: u64,
    /// Points dropped so far because the disk lost or damaged them.
    pub damaged: u64,
}
