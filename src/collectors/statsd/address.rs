//! The addresses to listen on.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use crate::config::{Setting, Value};
use crate::http::ListenAddress;

/// How lines arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Udp,
    Tcp,
    /// Unix datagrams.
    Unixgram,
    /// Unix streams.
    Unix,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) transport: Transport,
    pub(super) address: ListenAddress,
}

const TRANSPORTS: [(&str, Transport); 4] = [
    ("udp://", Transport::Udp),
    ("tcp://", Transport::Tcp),
    ("unixgram://", Transport::Unixgram),
    ("unix://", Transport::Unix),
];

impl Address {
    /// Whether only this host can reach it.
    pub(super) fn is_local(&self) -> bool {
        match &self.address {
            ListenAddress::Ip(address) => address.ip().is_loopback(),
            ListenAddress::Name(name, _) => name == "localhost",
            ListenAddress::Unix(_) => true,
        }
    }

    /// Whether a process cannot listen on both.
    pub(super) fn overlaps(&self, other: &Address) -> bool {
        let share_names = matches!(self.address, ListenAddress::Unix(_)) || self.transport == other.transport;
        share_names && self.address.overlaps(&other.address)
    }
}

impl Default for Address {
    /// Telegraf's port, on loopback.
    fn default() -> Self {
        let address = ListenAddress::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 8125)));
        Address { transport: Transport::Udp, address }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme =
            TRANSPORTS.iter().find(|(_, transport)| *transport == self.transport).map_or("", |(scheme, _)| scheme);
        match &self.address {
            ListenAddress::Unix(path) => write!(f, "{scheme}{}", path.display()),
            address => write!(f, "{scheme}{address}"),
        }
    }
}

impl Setting for Address {
    const EXPECTED: &'static str = "an address such as \"udp://127.0.0.1:8125\", \"tcp://:8125\", \"unixgram:///run/taffrail/statsd.sock\" or \"unix:///PATH\"";
    const EXPECTED_LIST: &'static str = "a list of addresses such as [\"udp://127.0.0.1:8125\"]";

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        let found = TRANSPORTS.iter().find_map(|(scheme, transport)| Some((text.strip_prefix(scheme)?, *transport)));
        let (rest, transport) = found.ok_or("without udp://, tcp://, unixgram:// or unix://")?;
        let address = match transport {
            Transport::Udp | Transport::Tcp => rest.parse::<ListenAddress>()?,
            Transport::Unixgram | Transport::Unix => format!("unix:{rest}").parse()?,
        };
        let is_unix = matches!(address, ListenAddress::Unix(_));
        match is_unix == matches!(transport, Transport::Unixgram | Transport::Unix) {
            true => Ok(Address { transport, address }),
            false => Err("expected a host and a port".to_owned()),
        }
    }

    fn suggestion(value: &Value) -> Option<String> {
        let text = String::from_value(value).ok().filter(|text| !text.contains("://"))?;
        let address = text.parse::<ListenAddress>().ok()?;
        Some(match address {
            ListenAddress::Unix(path) => format!("\"unixgram://{}\"", path.display()),
            address => format!("\"udp://{address}\""),
        })
    }
}
