//! Where readings go: Prometheus pulls them, InfluxDB gets them pushed.

pub mod influxdb;
pub mod negotiate;
pub mod prometheus;
pub mod push;
pub mod render;
pub mod schedule;
pub mod state;
