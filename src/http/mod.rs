//! Listeners that every endpoint shares: bounds on connections ([`connections`]) and on how slow a peer may be ([`server`]), TLS ([`tls`]),
//! and who may ask for what ([`access`]), from Taffrail's configuration or from a file as Prometheus's exporters have it
//! ([`web_config`]).

mod accept;
pub mod access;
pub mod connections;
pub mod guard;
mod host;
pub mod passwords;
pub mod protection;
pub mod server;
pub mod settings;
mod stream;
pub mod timed;
pub mod tls;
pub mod web_config;

pub use server::{ApplyError, Asked, Server};
pub use settings::{KEYS, Settings};
