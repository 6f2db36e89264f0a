//! Replicas of the gateway that share a stream of what was decided.
//!
//! One replica, the writer, plans changes and appends their records to the stream; the others apply what the stream holds.
//! [`message`] is the format. [`decided`] decides from the stream alone what counts. [`replica`] is the protocol without I/O;
//! `nats` carries it out on NATS JetStream. [`status`] and [`shared`] are what others see of it: [`peers`] are the other replicas, [`durability`] is that of
//! the servers.

pub mod decided;
pub mod durability;
pub mod message;
#[cfg(test)]
mod model;
#[cfg(feature = "nats")]
pub mod nats;
pub mod peers;
pub mod replica;
pub mod settings;
pub mod shared;
pub mod status;
