//! Pushing line protocol to InfluxDB 1.x, 2.x and 3, and to whatever takes the same requests.

mod answer;
mod client;
mod routing;
mod settings;

pub(super) use client::Connection;
pub use settings::{INFO, Settings};
