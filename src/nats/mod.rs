//! NATS servers: connections, and leases that one of several processes holds.

#[cfg(feature = "nats")]
pub mod connection;
#[cfg(feature = "nats")]
pub mod lease;
pub mod settings;
pub mod turn;
