//! The configured protection of the endpoints.

use std::path::PathBuf;
use std::time::Duration;

use hyper::HeaderMap;

use super::access::User;
use super::tls::Tls;

/// The protection of the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// TLS; plain HTTP if absent.
    pub tls: Option<Tls>,
    /// Users; without any, every client has access.
    pub users: Vec<User>,
    /// Headers of every response.
    pub headers: HeaderMap,
    /// Rate limit of requests.
    pub rate: Option<Rate>,
}

/// One request for each `interval`, and up to `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The interval between requests.
    pub interval: Duration,
    /// Requests in a burst.
    pub burst: usize,
}

/// The source of the protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Taffrail's own configuration.
    Own(Box<Protection>),
    /// A web configuration file of Prometheus.
    WebConfig(PathBuf),
}
