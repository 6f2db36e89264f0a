//! The stream on NATS JetStream, and the driver of a replica.

pub mod admin;
mod announcements;
pub mod connection;
pub mod driver;
mod loading;
mod monitoring;
mod reader;
mod trouble;
