//! Pushing line protocol to InfluxDB 1.x, 2.x and 3, and to whatever takes the same requests.

mod answer;
mod client;
mod sender;
mod settings;

pub use sender::Sink;
pub use settings::{KEYS, Settings, TABLES};
