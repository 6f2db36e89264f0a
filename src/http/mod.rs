//! The HTTP server that all endpoints share: listeners ([`server`]), limits of connections ([`connections`]), TLS
//! ([`tls`]) and authorization ([`access`]), from Taffrail's configuration or from a web configuration file of
//! Prometheus's exporters ([`web_config`]).

mod accept;
pub mod access;
pub mod address;
pub mod connections;
mod denial;
mod framing;
pub mod guard;
mod host;
pub mod page;
pub mod passwords;
mod peer;
pub mod protection;
mod respond;
mod serve;
pub mod server;
pub mod settings;
pub mod socket;
mod stream;
pub mod timed;
pub mod tls;
pub mod web_config;

pub use address::ListenAddress;
pub use denial::{Denial, OnDenial};
pub use peer::Peer;
pub use respond::{Arrival, is_preflight};
pub use server::{ApplyError, Server};
pub use settings::{KEYS, Settings};
pub use socket::Inherited;

/// Whether a path is that of a health probe, without a prefix.
fn is_health(path: &str) -> bool {
    matches!(path, "/-/healthy" | "/-/ready")
}

/// A SHA-256 digest.
type Digest = [u8; 32];

/// The SHA-256 digest of `bytes`.
fn sha256(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    digest
}

/// The digest in 64 hexadecimal digits.
fn parse_hex(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}
