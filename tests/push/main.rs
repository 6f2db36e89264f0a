//! Sinks: what each server gets, and what becomes of points when it does not take them.

#[path = "../harness/mod.rs"]
mod harness;

#[cfg(feature = "cloudwatch")]
mod cloudwatch;
mod elasticsearch;
mod faults;
mod file;
mod influxdb;
mod node_exporter;
mod process_exporter;
mod remote_write;
mod scraping;
mod servers;
mod spool;
mod telegraf;
