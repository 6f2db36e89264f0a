//! What all collectors are built on: the trait, the metadata, the runner, and helpers that many of them use.
//!
//! It depends on no collector.

mod about;
pub(super) mod arrivals;
pub(super) mod background;
mod collector;
mod entry;
mod failure;
pub(super) mod gathered;
pub(super) mod globs;
pub(super) mod keys;
pub(super) mod latest;
pub(super) mod lines;
pub mod on_request;
pub mod readers;
mod vocabularies;

pub use self::about::About;
pub(super) use self::collector::Problems;
pub(super) use self::collector::percent;
pub use self::collector::{Collector, ReadContext, Reading, Since, write_generic_points};
pub use self::entry::{AnyCollector, Collected, Configured, Entry};
pub use self::failure::Failure;
pub use self::vocabularies::Vocabularies;
