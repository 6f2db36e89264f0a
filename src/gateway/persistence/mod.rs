//! The groups on disk: changes are applied in memory, written to [`crate::store`] in batches by a thread of its own, and
//! acknowledged once they are on disk.
//!
//! [`group_store`] is the interface, [`replica`] that of the replication. [`pending`] is what callers and the [`writer`] share; [`snapshot`] is what a snapshot
//! contains.

pub mod group_store;
mod pending;
pub mod replica;
pub mod replicated;
mod snapshot;
mod writer;

#[cfg(test)]
mod replica_tests;
#[cfg(test)]
mod tests;
