//! The push gateway: batch jobs push what they measured, and Prometheus pulls it.

pub mod block;
pub mod body;
pub mod chunks;
pub mod core;
pub mod key;
pub mod record;
pub mod refusal;
pub mod settings;
pub mod state;

#[cfg(test)]
mod tests;
