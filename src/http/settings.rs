//! `[http]`.

use std::path::PathBuf;
use std::time::Duration;

use super::access::User;
use super::address::ListenAddress;
use super::is_health;
use super::protection::{Origin, Protection};
use super::stream::Timeouts;
use super::tls::Tls;
use crate::config::setting::FileMode;
use crate::config::{Key, KeyInfo, Section};

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The table of `listen`: `http` or `gateway`.
    pub table: &'static str,
    /// The addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// Permissions of Unix sockets.
    pub socket_mode: u32,
    /// The path of scrapes.
    pub telemetry_path: String,
    /// Scrapes in flight; more are refused with 503. 0 for no limit.
    pub max_requests: usize,
    /// Connections to each address; above, idle ones are evicted.
    pub max_connections: usize,
    /// How long a connection may be idle, or take to send a request's head.
    pub idle_timeout: Duration,
    /// How long a peer may not read its response.
    pub write_timeout: Duration,
    /// TLS, users, headers and rate limit.
    pub protection: Origin,
    /// Path prefix of the endpoints, except health probes; empty for none.
    pub prefix: String,
}

const LISTEN: Key<Vec<ListenAddress>> = Key::new(
    "listen",
    "[\":9100\"]",
    "Addresses to listen on. \":9100\" means IPv6 and IPv4; a host name means all its addresses. An empty list disables scraping.",
);
const SOCKET_MODE: Key<FileMode> = Key::new(
    "socket_mode",
    "\"0660\"",
    "Permissions of Unix sockets, in octal. TLS does not apply to Unix sockets; users do.",
);
const TELEMETRY_PATH: Key<String> = Key::new("telemetry_path", "\"/metrics\"", "The path of scrapes.");
const MAX_REQUESTS: Key<u32> = Key::new(
    "max_requests",
    "40",
    "Maximum number of concurrent scrapes; further ones get status 503. 0 means no limit.",
);
const MAX_CONNECTIONS: Key<usize> = Key::new(
    "max_connections",
    "512",
    "Maximum number of connections per address. When it is reached, a new connection closes the one that has been idle longest.",
);
const IDLE_TIMEOUT: Key<Duration> = Key::new(
    "idle_timeout",
    "\"2m\"",
    "How long a connection may wait for its next complete request before it is closed. For the first request, and for a request head that has started to arrive, it is at most 10 s.",
);
const WRITE_TIMEOUT: Key<Duration> = Key::new(
    "write_timeout",
    "\"30s\"",
    "How long a client may read nothing of its response before it is disconnected.",
);
const WEB_CONFIG_FILE: Key<PathBuf> = Key::optional(
    "web_config_file",
    "A Prometheus web configuration file (--web.config.file) with TLS and users, instead of [http.tls] and [[http.users]].",
);

/// The settings of `[http]`.
pub const KEYS: &[KeyInfo] = &[
    LISTEN.info(),
    SOCKET_MODE.info(),
    TELEMETRY_PATH.info(),
    MAX_REQUESTS.info(),
    MAX_CONNECTIONS.info(),
    IDLE_TIMEOUT.info(),
    WRITE_TIMEOUT.info(),
    WEB_CONFIG_FILE.info(),
];

impl Settings {
    /// Timeouts between requests.
    pub(super) fn timeouts(&self) -> Timeouts {
        /// Clients send a head at once. A longer timeout lets idle clients occupy connections.
        const HEAD: Duration = Duration::from_secs(10);
        Timeouts { head: HEAD.min(self.idle_timeout), idle: self.idle_timeout }
    }

    /// The settings in `section`; a `listen` that is not empty overrides the setting.
    pub fn new(section: &mut Section<'_>, listen: &[ListenAddress]) -> Self {
        let configured = section.get(&LISTEN);
        Settings {
            table: "http",
            listen: if listen.is_empty() { configured } else { listen.to_vec() },
            socket_mode: section.get(&SOCKET_MODE).0,
            telemetry_path: telemetry_path(section),
            max_requests: section.get(&MAX_REQUESTS) as usize,
            max_connections: section.get(&MAX_CONNECTIONS),
            idle_timeout: section.above_zero(&IDLE_TIMEOUT),
            write_timeout: section.above_zero(&WRITE_TIMEOUT),
            protection: protection(section),
            prefix: String::new(),
        }
    }
}

fn telemetry_path(section: &mut Section<'_>) -> String {
    let path = section.get(&TELEMETRY_PATH);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        let expected = "expected a path such as \"/metrics\" of letters, digits and -._~";
        section.wrong(TELEMETRY_PATH.info().name, format!("{expected}, found {path:?}"));
    } else if is_health(&path) {
        section.wrong(TELEMETRY_PATH.info().name, format!("{path:?} is the path of a health probe"));
    }
    path
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
