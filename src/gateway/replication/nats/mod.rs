//! The stream on NATS JetStream, and the driver of a replica.

pub mod admin;
pub mod connection;
pub mod driver;
mod lease;
mod loading;
mod reader;
