//! The gateway as batch jobs, Prometheus and people use it.

#[path = "../harness/mod.rs"]
mod harness;

mod bodies;
mod browsers;
mod clients;
mod contract;
mod durability;
mod more;
mod page;
mod points;
mod random;
mod refused;
mod soak;
mod table;
