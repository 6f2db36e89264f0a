//! `[http]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::access::User;
use super::protection::{Origin, Protection};
use super::stream::Waits;
use super::tls::Tls;
use crate::config::{Key, KeyInfo, Section};

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Scrapes in flight; more are refused with 503.
    pub max_requests: usize,
    /// Connections to each address; for more, idle ones make way.
    pub max_connections: usize,
    /// How long a connection may be idle, or take to send a request's head.
    pub idle_timeout: Duration,
    /// How long a peer may take nothing of an answer.
    pub write_timeout: Duration,
    /// TLS, users and what else stands before the endpoints.
    pub protection: Origin,
    /// Below which path the endpoints are, beside those that tell whether Taffrail is well; empty for none.
    pub prefix: String,
}

const LISTEN: Key<Vec<SocketAddr>> =
    Key::new("listen", "[\"0.0.0.0:9100\"]", "The addresses to listen on; none with an empty list.");
const MAX_REQUESTS: Key<usize> =
    Key::new("max_requests", "40", "Scrapes in flight, at the most; more are refused with status 503.");
const MAX_CONNECTIONS: Key<usize> = Key::new(
    "max_connections",
    "512",
    "Connections to each address, at the most; for more, those that have been idle longest make way.",
);
const IDLE_TIMEOUT: Key<Duration> = Key::new(
    "idle_timeout",
    "\"2m\"",
    "How long a connection may wait for its next request to be complete before it is closed; for its first one, and for the rest of a head that has begun, it is 10 s at the most.",
);
const WRITE_TIMEOUT: Key<Duration> =
    Key::new("write_timeout", "\"30s\"", "How long a peer may take nothing of its answer before it is cut off.");
const WEB_CONFIG_FILE: Key<PathBuf> = Key::optional(
    "web_config_file",
    "TLS and users as a file of Prometheus's exporters (--web.config.file) has them, instead of [http.tls] and [[http.users]].",
);

/// The settings of `[http]`.
pub const KEYS: &[KeyInfo] = &[
    LISTEN.info(),
    MAX_REQUESTS.info(),
    MAX_CONNECTIONS.info(),
    IDLE_TIMEOUT.info(),
    WRITE_TIMEOUT.info(),
    WEB_CONFIG_FILE.info(),
];

impl Settings {
    /// How long those who ask nothing are waited for.
    pub(super) fn waits(&self) -> Waits {
        /// Seconds, as a head is sent at once; not minutes, as whoever sends none takes the place of others.
        const HEAD: Duration = Duration::from_secs(10);
        Waits { head: HEAD.min(self.idle_timeout), idle: self.idle_timeout }
    }

    /// The settings in `section`; `listen` takes the place of the setting of that name unless it is empty.
    pub fn new(section: &mut Section<'_>, listen: &[SocketAddr]) -> Self {
        let configured = section.get(&LISTEN);
        Settings {
            listen: if listen.is_empty() { configured } else { listen.to_vec() },
            max_requests: section.get(&MAX_REQUESTS),
            max_connections: section.get(&MAX_CONNECTIONS),
            idle_timeout: section.above_zero(&IDLE_TIMEOUT),
            write_timeout: section.above_zero(&WRITE_TIMEOUT),
            protection: protection(section),
            prefix: String::new(),
        }
    }
}

fn protection(section: &mut Section<'_>) -> Origin {
    let own =
        Protection { tls: Tls::new(&mut section.table("tls")), users: User::all(section), ..Protection::default() };
    match section.optional(&WEB_CONFIG_FILE) {
        Some(path) => {
            if own != Protection::default() {
                section
                    .wrong("web_config_file", "expected either this file or [http.tls] and [[http.users]], found both");
            }
            Origin::WebConfig(path)
        }
        None => Origin::Own(Box::new(own)),
    }
}
