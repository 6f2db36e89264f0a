//! A collector in the hands of a worker.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::collectors::{AnyCollector, Failure, Taken, Vocabularies};
use crate::host::Host;

/// A collector that is to be read. It can only be read, and then be put back.
pub(super) struct Job {
    pub(super) slot: usize,
    pub(super) collector: Box<dyn AnyCollector>,
    pub(super) wanted: Vocabularies,
    /// When the round of readings began.
    pub(super) round: Instant,
    /// Whether it is the first of its round.
    pub(super) begins_round: bool,
}

/// A collector that has been read, to be put back.
pub(super) struct Finished {
    pub(super) slot: usize,
    pub(super) collector: Box<dyn AnyCollector>,
    pub(super) taken: Result<Arc<Taken>, Failure>,
}

impl Job {
    /// Reads the collector. If it panics, that is its failure.
    pub(super) fn read(mut self, host: &Host, buffer: &mut Vec<u8>) -> Finished {
        let take = || self.collector.take(self.wanted, self.round, host, buffer);
        let taken = catch_unwind(AssertUnwindSafe(take));
        let taken = taken.map(Arc::new).map_err(|panic| Failure { absent: false, message: panic_message(&*panic) });
        Finished { slot: self.slot, collector: self.collector, taken }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a defect in Taffrail, please report it: {}", text.unwrap_or("panicked"))
}
