//! Taffrail measures hosts and carries what batch jobs report, under the names that people's dashboards already use.
//!
//! `docs/architecture.md` describes the house; each module's first lines describe the room.

// They panic where nobody reads: say! does not.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

pub mod agent;
pub mod ask;
#[cfg(feature = "cloudwatch")]
pub mod aws;
pub mod backoff;
pub mod client;
pub mod collectors;
pub mod config;
pub mod descriptors;
pub mod encode;
pub mod gateway;
pub mod host;
pub mod http;
pub mod job;
pub mod log;
pub mod manager;
pub mod reference;
pub mod settings;
pub mod sinks;
pub mod spool;
pub mod store;
pub mod system;
pub mod trust;
