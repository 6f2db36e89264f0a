//! Sinks: what each server gets, and what becomes of points when it does not take them.

#[path = "../harness/mod.rs"]
mod harness;

mod applications;
#[cfg(feature = "cloudwatch")]
mod cloudwatch;
mod elasticsearch;
mod exporters;
mod faults;
mod file;
mod influxdb;
mod node_exporter;
mod process_exporter;
mod prometheus;
mod remote_write;
mod requests;
mod scraping;
mod servers;
mod smartctl_exporter;
mod spool;
mod statsd;
mod targets;
mod telegraf;
