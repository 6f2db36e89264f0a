//! Sinks: Prometheus scrapes readings; the others receive pushed points.

mod batch_size;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
pub mod delivery;
pub mod elasticsearch;
mod failure_log;
pub mod file;
pub mod folders;
pub mod form;
pub mod http;
pub mod influxdb;
pub mod internal;
mod json;
pub mod kind;
pub mod kinds;
mod named_files;
pub mod negotiate;
pub mod probe;
pub mod prometheus;
pub mod push;
mod reconnect;
pub mod remote_write;
pub mod render;
pub mod schedule;
pub mod sender;
pub mod settings;
pub mod state;
pub mod verdict;
