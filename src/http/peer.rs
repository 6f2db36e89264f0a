//! The peer of a connection.

use std::fmt;
use std::net::IpAddr;

/// The peer of a connection, possibly a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its address. IPv4 addresses that arrive over IPv6 are in their IPv4 form.
    Ip(IpAddr),
    /// A process of this host, over a Unix socket.
    Local,
    /// It has disconnected.
    Unknown,
}

impl Peer {
    /// The peer at `address`, which may be IPv4-mapped.
    pub fn of(address: IpAddr) -> Peer {
        Peer::Ip(address.to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(address) => address.fmt(f),
            Peer::Local => f.write_str("a local process"),
            Peer::Unknown => f.write_str("a client that disconnected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_looks_the_same_over_both_versions() {
        for (address, shown) in [("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.1"), ("::1", "::1")] {
            assert_eq!(Peer::of(address.parse().unwrap()).to_string(), shown);
        }
    }
}
