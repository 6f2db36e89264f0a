//! Connections of probes: names, addresses, TCP and Unix sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::families;
use super::outcome::Samples;
use crate::config::{Key, KeyInfo, Section};

/// Why a probe did not get its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::collectors) enum Failure {
    /// The deadline passed.
    Timeout(Duration),
    /// The name has no address.
    Name(String),
    /// There is no connection, or none with TLS.
    Connection(String),
    /// The response is incomplete.
    Body(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Timeout(after) => write!(f, "no complete response within {}", humantime::format_duration(*after)),
            Failure::Name(reason) | Failure::Connection(reason) | Failure::Body(reason) => f.write_str(reason),
        }
    }
}

/// A connection of any kind.
pub(in crate::collectors) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::collectors) struct Addresses {
    /// Whether addresses of IPv6 come first, or those of IPv4; none for the order of the resolver.
    preferred: Option<bool>,
    /// Whether no others are used.
    only: bool,
}

const PREFERRED: Key<String> = Key::optional(
    "preferred_ip_protocol",
    "Addresses that are tried first: ip4 or ip6; if absent, those of the resolver in its order, until one connects.",
);
const FALLBACK: Key<bool> =
    Key::new("ip_protocol_fallback", "true", "Uses addresses of the other IP version too, after the preferred ones.");
/// The settings of addresses.
pub(super) const KEYS: [KeyInfo; 2] = [PREFERRED.info(), FALLBACK.info()];

impl Addresses {
    pub(super) fn new(section: &mut Section<'_>) -> Addresses {
        let preferred = section.optional(&PREFERRED);
        let preferred = match preferred.as_deref() {
            None => None,
            Some("ip4") => Some(false),
            Some("ip6") => Some(true),
            Some(other) => {
                section.wrong("preferred_ip_protocol", format!("expected ip4 or ip6, found {other:?}"));
                None
            }
        };
        Addresses { preferred, only: !section.get(&FALLBACK) }
    }

    fn sort(self, addresses: &mut Vec<SocketAddr>) {
        if let Some(six) = self.preferred {
            addresses.sort_by_key(|address| address.is_ipv6() != six);
            if self.only {
                addresses.retain(|address| address.is_ipv6() == six);
            }
        }
    }

    /// The addresses of a host, without brackets. Reports the duration of the look-up.
    pub(in crate::collectors) async fn of(
        self,
        host: &str,
        port: u16,
        took: &mut f64,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let start = Instant::now();
        let found = lookup_host((host, port)).await;
        *took += start.elapsed().as_secs_f64();
        let mut found: Vec<SocketAddr> =
            found.map_err(|error| Failure::Name(format!("{host} cannot be resolved: {error}")))?.collect();
        self.sort(&mut found);
        match found.is_empty() {
            true => Err(Failure::Name(format!("{host} has no address of preferred_ip_protocol"))),
            false => Ok(found),
        }
    }
}

/// Writes what the families say about the address.
pub(super) fn write_address(address: Option<IpAddr>, lookup: f64, samples: &mut Samples) {
    let hash = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => fnv(&address.octets()),
        IpAddr::V6(address) => fnv(&address.octets()),
    };
    let version = address.map_or(0.0, |address| if address.to_canonical().is_ipv4() { 4.0 } else { 6.0 });
    samples.add(&families::LOOKUP, lookup);
    samples.add(&families::IP_PROTOCOL, version);
    samples.add(&families::IP_HASH, address.map_or(0.0, |address| f64::from(hash(address))));
}

/// FNV-1a of 32 bits.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Connects to the first address that accepts within `timeout`, which they share.
pub(in crate::collectors) async fn tcp(
    addresses: &[SocketAddr],
    timeout: Duration,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let (start, mut failed) = (Instant::now(), Failure::Connection("no address".to_owned()));
    for (index, address) in addresses.iter().enumerate() {
        let share = timeout.saturating_sub(start.elapsed()) / u32::try_from(addresses.len() - index).unwrap_or(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok((stream, *address));
            }
            Ok(Err(error)) => failed = refused(&address.to_string(), &error),
            Err(_) => failed = Failure::Timeout(timeout),
        }
    }
    Err(failed)
}

/// A failure to connect to `name`.
pub(super) fn refused(name: &str, error: &io::Error) -> Failure {
    Failure::Connection(format!("cannot connect to {name}: {error}"))
}

/// A failure to send to `name`.
pub(super) fn unsent(name: &str, error: &io::Error) -> Failure {
    Failure::Connection(format!("cannot send to {name}: {error}"))
}

/// Connects to a Unix socket.
#[cfg(unix)]
pub(in crate::collectors) async fn unix(path: PathBuf) -> Result<Box<dyn Stream>, Failure> {
    match tokio::net::UnixStream::connect(&path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(refused(&path.display().to_string(), &error)),
    }
}

/// Always fails: this system has no Unix sockets.
#[cfg(windows)]
pub(in crate::collectors) async fn unix(path: PathBuf) -> Result<Box<dyn Stream>, Failure> {
    Err(Failure::Connection(format!("{}: there are no Unix sockets on this system", path.display())))
}

/// Splits `host:port`. The host may be in brackets.
///
/// # Errors
/// What was expected.
pub(in crate::collectors) fn split(text: &str) -> Result<(String, u16), &'static str> {
    const EXPECTED: &str = "expected an address such as example.org:25 or [::1]:25";
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or(EXPECTED)?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(host) {
        "" => Err("expected a host before the port, such as localhost:80"),
        host if !is_host(host) || bare.is_none() && host.contains(':') => Err(EXPECTED),
        host => Ok((host.to_owned(), port)),
    }
}

/// Whether this is the name of a host, or an IP address without brackets, which may have a zone.
pub(super) fn is_host(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let is_address = text.split('%').next().is_some_and(|address| address.parse::<IpAddr>().is_ok());
    is_address || !text.is_empty() && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let good = [("a.example:25", "a.example", 25), ("[::1]:80", "::1", 80), ("127.0.0.1:1", "127.0.0.1", 1)];
        for (text, host, port) in good {
            assert_eq!(split(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["a", ":1", "a:", "a:70000", "a:0", "::1:80", "http://a:1", "u@a:1", "a?b:1", "[a b]:1"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_hashed_as_go_does() {
        // probe_ip_addr_hash of blackbox_exporter for 127.0.0.1.
        assert_eq!(fnv(&[127, 0, 0, 1]), 3_668_918_509);
    }

    #[test]
    fn preferred_addresses_come_first_or_alone() {
        let (four, six): (SocketAddr, SocketAddr) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        for (preferred, only, expected) in [
            (None, false, vec![four, six]),
            (Some(true), false, vec![six, four]),
            (Some(true), true, vec![six]),
            (Some(false), true, vec![four]),
        ] {
            let mut addresses = vec![four, six];
            Addresses { preferred, only }.sort(&mut addresses);
            assert_eq!(addresses, expected);
        }
    }
}
