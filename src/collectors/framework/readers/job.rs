//! A collector while a worker holds it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::collectors::framework::{AnyCollector, Collected, Failure, Vocabularies};
use crate::host::Host;

/// A collector to read. The worker can only read it, and then return it.
pub(super) struct Job {
    pub(super) slot: usize,
    pub(super) collector: Box<dyn AnyCollector>,
    pub(super) wanted: Vocabularies,
    /// When the round of readings started.
    pub(super) round: Instant,
    /// Whether it is the first reading of its round.
    pub(super) begins_round: bool,
}

/// A collector after its reading, to be returned to its slot.
pub(super) struct Finished {
    pub(super) slot: usize,
    pub(super) collector: Box<dyn AnyCollector>,
    pub(super) collected: Result<Arc<Collected>, Failure>,
}

impl Job {
    /// Reads the collector. A panic becomes the failure of this collector.
    pub(super) fn read(mut self, host: &Host, buffer: &mut Vec<u8>) -> Finished {
        let collect = || self.collector.collect(self.wanted, self.round, host, buffer);
        let collected = catch_unwind(AssertUnwindSafe(collect));
        let collected = collected.map(Arc::new).map_err(|panic| Failure::new(panic_message(&*panic)));
        Finished { slot: self.slot, collector: self.collector, collected }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a defect in Taffrail, please report it: {}", text.unwrap_or("panicked"))
}
