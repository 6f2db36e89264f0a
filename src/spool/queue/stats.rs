//! Statistics of a queue that are readable without waiting for the disk, and its log messages.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::super::disk::Disk;
use super::super::types::Counts;
use super::{Queue, Storage};
use crate::log::Episode;

/// Logged drops.
#[derive(Default)]
pub(super) struct DropLog {
    /// Overflow count at the last check.
    pub(super) overflow: u64,
    pub(super) is_full: Episode<()>,
    pub(super) are_old: Episode<()>,
}

/// Counts that are readable without the disk's lock.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) points: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) oldest_seconds: AtomicU64,
    pub(super) overflow: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) has_folder: AtomicBool,
    pub(super) has_backlog: AtomicBool,
    /// Whether a batch from memory is in flight: its points must not move to the disk meanwhile.
    pub(super) memory_in_flight: AtomicBool,
}

impl Queue {
    /// Points held and dropped.
    pub fn counts(&self) -> Counts {
        let memory = self.memory().counts();
        let get = |of: &AtomicU64| of.load(Relaxed);
        Counts {
            points: memory.points + get(&self.stats.points) as usize,
            bytes: memory.bytes + get(&self.stats.bytes) as usize,
            in_memory: memory.points,
            oldest: Duration::from_secs(get(&self.stats.oldest_seconds)),
            overflow: memory.dropped + get(&self.stats.overflow),
            expired: get(&self.stats.expired),
            damaged: get(&self.stats.damaged),
        }
    }

    pub(super) fn publish(&self, storage: &mut Storage) {
        let set = |of: &AtomicU64, value: u64| of.store(value, Relaxed);
        let ((points, bytes), oldest, has_backlog) = match storage {
            Storage::Open(disk, _) => {
                self.count_dropped(disk);
                log_damage(&std::mem::take(&mut disk.damage));
                (disk.waiting(), disk.oldest(), disk.has_backlog())
            }
            _ => ((0, 0), Duration::ZERO, false),
        };
        set(&self.stats.points, points);
        set(&self.stats.bytes, bytes);
        set(&self.stats.oldest_seconds, oldest.as_secs());
        self.stats.has_backlog.store(has_backlog, Relaxed);
        self.log_overflow();
    }

    fn log_overflow(&self) {
        let counts = self.counts();
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.overflow > std::mem::replace(&mut drops.overflow, counts.overflow) {
            if drops.is_full.fails(()) {
                let (sink, points) = (self.sink(), counts.points);
                tracing::warn!(
                    sink,
                    "there is no room for more than {points} points: the oldest are dropped, and counted; the limits are \
                     buffer_size of the sink and size of [spool]"
                );
            }
        } else if counts.points == 0 {
            if let Some(over) = drops.is_full.recovered() {
                tracing::info!(sink = self.sink(), "there is room for all points again, {over}");
            }
            let _ = drops.are_old.recovered();
        }
    }

    /// The sink's name, for the log.
    fn sink(&self) -> String {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default()
    }

    /// Adds drops since the last call.
    pub(super) fn count_dropped(&self, disk: &mut Disk) {
        let dropped = std::mem::take(&mut disk.dropped);
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        if dropped.expired > 0 && drops.are_old.fails(()) {
            let (count, age) = (dropped.expired, humantime::format_duration(disk.limits.age));
            let sink = self.sink();
            tracing::warn!(sink, "{count} points had waited for more than {age}, and were dropped; more are counted");
        }
        drop(drops);
        self.stats.overflow.fetch_add(dropped.overflow, Relaxed);
        self.stats.expired.fetch_add(dropped.expired, Relaxed);
        self.stats.damaged.fetch_add(dropped.damaged, Relaxed);
    }
}

/// Logs one line, even if many files are damaged at a time.
fn log_damage(damage: &[String]) {
    let Some(first) = damage.first() else { return };
    match damage.len() - 1 {
        0 => tracing::error!("the spool is damaged: {first}"),
        more => tracing::error!("the spool is damaged: {first}; and so are {more} more files"),
    }
}
