//! Where readings go: Prometheus pulls them, InfluxDB and CloudWatch get them pushed.

mod answer;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
pub mod delivery;
pub mod filter;
pub mod form;
pub mod http;
pub mod influxdb;
pub mod negotiate;
mod parts;
pub mod prometheus;
pub mod push;
pub mod remote_write;
pub mod render;
pub mod schedule;
pub mod sender;
pub mod settings;
pub mod state;
