//! Taffrail measures hosts and carries what batch jobs report, under the names that people's dashboards already use.
//!
//! `docs/architecture.md` is an overview of the modules; each module's documentation has the details.

// These macros panic when the reader has gone; say! does not.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

pub mod agent;
#[cfg(feature = "cloudwatch")]
pub mod aws;
pub mod backoff;
pub mod blocking;
pub mod build_info;
pub mod client;
pub mod collectors;
pub mod config;
pub mod descriptors;
pub mod encode;
pub mod gateway;
pub mod host;
pub mod http;
pub mod job;
mod json;
pub mod live;
pub mod log;
pub mod manager;
pub mod migrate;
pub mod nats;
mod pem;
mod percent;
pub mod reference;
pub mod settings;
pub mod sinks;
pub mod spool;
pub mod store;
pub mod subprocess;
pub mod system;
pub mod trust;
