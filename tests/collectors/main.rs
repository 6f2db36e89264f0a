//! What collectors read of recorded hosts, how it is encoded, and what it costs.

#[path = "../common/mod.rs"]
mod common;
#[path = "../harness/mod.rs"]
mod harness;

mod archives;
mod cardinality;
mod cgroups;
mod goldens;
mod hosts;
mod instructions;
mod procfs;
mod promtool;
mod properties;
