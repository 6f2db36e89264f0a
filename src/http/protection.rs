//! What is to stand before the endpoints.

use std::path::PathBuf;
use std::time::Duration;

use hyper::HeaderMap;

use super::access::User;
use super::tls::Tls;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// TLS; without it, plain HTTP is spoken.
    pub tls: Option<Tls>,
    /// Those who may ask; anybody, if there are none.
    pub users: Vec<User>,
    /// Headers of every answer.
    pub headers: HeaderMap,
    /// How many requests may come.
    pub rate: Option<Rate>,
}

/// One request for each `interval`, and up to `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time that one more request takes.
    pub interval: Duration,
    /// How many may come at once.
    pub burst: usize,
}

/// Where what is asked for stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In Taffrail's own configuration.
    Own(Box<Protection>),
    /// In a file as Prometheus has it.
    WebConfig(PathBuf),
}
