//! Where readings go: Prometheus pulls them, the others get them pushed.

mod answer;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
pub mod connection;
mod cutting;
pub mod delivery;
pub mod elasticsearch;
pub mod file;
pub mod filter;
pub mod folders;
pub mod form;
pub mod http;
pub mod influxdb;
mod json;
mod named_files;
pub mod negotiate;
mod parts;
pub mod prometheus;
pub mod push;
pub mod remote_write;
pub mod render;
mod renewal;
pub mod schedule;
pub mod sender;
pub mod settings;
pub mod state;
mod telling;
