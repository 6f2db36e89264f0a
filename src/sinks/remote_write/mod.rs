//! Prometheus's remote write, which Prometheus, VictoriaMetrics, Mimir, Thanos and others receive.

mod answer;
mod client;
mod settings;

pub(super) use client::Connection;
pub use settings::{INFO, Settings};
