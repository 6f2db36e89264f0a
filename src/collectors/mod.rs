//! Collectors. Each reads one subject of the host, and encodes it in both vocabularies.
//!
//! The file of a collector has three parts: how it reads, how the reading becomes families, and how it becomes points.
//! The folders group collectors by area. [`list`] has all of them; [`framework`] is what they are built on, and runs
//! them.

#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
mod container;
mod exec;
pub mod filter;
mod foreign;
pub mod framework;
mod hardware;
mod kernel;
pub mod list;
mod memory;
mod network;
mod probe;
mod processor;
mod prometheus;
pub mod servers;
mod services;
pub mod settings;
mod statsd;
mod storage;

pub use self::framework::{
    About, AnyCollector, Collected, Collector, Entry, Failure, ReadContext, Reading, Since, Vocabularies, readers,
    write_generic_points,
};
pub(crate) use self::statsd::mapping_problems as statsd_mapping_problems;
#[doc(hidden)]
pub use self::storage::smart::read_output as read_smartctl_output;
