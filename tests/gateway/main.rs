//! The gateway as batch jobs, Prometheus and people use it, and `taffrail push`, which sends to it.

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod bodies;
mod browsers;
mod clients;
mod connections;
mod contract;
mod crowd;
mod drop_in;
mod durability;
mod framing;
mod job;
mod line_protocol;
mod line_protocol_corpus;
mod line_protocol_influxdb;
mod more;
mod native;
mod page;
mod points;
mod random;
mod refused;
#[cfg(feature = "nats")]
mod replicas;
#[cfg(feature = "nats")]
mod replicas_operated;
mod soak;
mod table;
mod web_config;
