//! Addresses of network interfaces.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::collectors::framework::ReadContext;
use crate::host::ReadError;
use crate::host::links::Interface;
use crate::host::netlink::{Peer, Question, attributes, ip_address, u32_at};

/// An address of an interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InterfaceAddress {
    pub(super) device: String,
    pub(super) address: IpAddr,
    /// Length of the network prefix in bits.
    pub(super) prefix: u8,
}

/// `struct ifaddrmsg` of include/uapi/linux/if_addr.h.
const IFADDRMSG: usize = 8;

/// All addresses of these interfaces: `RTM_GETADDR` of rtnetlink(7).
pub(super) fn read(cx: &mut ReadContext<'_>, interfaces: &[Interface]) -> Result<Vec<InterfaceAddress>, ReadError> {
    const RTM_GETADDR: u16 = 22;
    let names: HashMap<u32, &str> =
        interfaces.iter().map(|interface| (interface.link.index, &*interface.link.name)).collect();
    let mut addresses = Vec::new();
    let request = Question { peer: Peer::Route, kind: RTM_GETADDR, body: &[0; IFADDRMSG] };
    cx.host.dump(request, cx.buffer, &mut |body| {
        addresses.extend(parse(body).and_then(|(index, address, prefix)| {
            Some(InterfaceAddress { device: (*names.get(&index)?).to_owned(), address, prefix })
        }));
    })?;
    Ok(addresses)
}

/// Index of the interface, address and length of the prefix.
fn parse(body: &[u8]) -> Option<(u32, IpAddr, u8)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    let header = body.get(..IFADDRMSG)?;
    let (mut local, mut address) = (None, None);
    for (kind, payload) in attributes(&body[IFADDRMSG..]) {
        match kind {
            IFA_ADDRESS => address = ip_address(payload),
            IFA_LOCAL => local = ip_address(payload),
            _ => {}
        }
    }
    // On a point-to-point interface, IFA_ADDRESS is the peer's.
    Some((u32_at(header, 4), local.or(address)?, header[1]))
}

/// The scope of an address, in the words of node_exporter; empty for multicast and unspecified addresses.
pub(super) fn scope(address: IpAddr) -> &'static str {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_loopback() || is_link_local {
        "link-local"
    } else if address.is_unspecified() || address.is_multicast() || is_broadcast {
        ""
    } else {
        "global"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_and_a_cut_one_does_no_harm() {
        let mut body = vec![2, 24, 0, 0, 3, 0, 0, 0];
        body.extend([8, 0, 1, 0, 10, 0, 0, 2]);
        assert_eq!(parse(&body), Some((3, [10, 0, 0, 2].into(), 24)));
        // Point-to-point.
        body.extend([8, 0, 2, 0, 10, 0, 0, 1]);
        assert_eq!(parse(&body), Some((3, [10, 0, 0, 1].into(), 24)));
        for end in 0..body.len() {
            let _ = parse(&body[..end]);
        }
    }

    #[test]
    fn scopes_are_those_of_node_exporter() {
        let cases = [
            ("127.0.0.1", "link-local"),
            ("169.254.1.2", "link-local"),
            ("10.0.0.1", "global"),
            ("192.0.2.1", "global"),
            ("0.0.0.0", ""),
            ("255.255.255.255", ""),
            ("::1", "link-local"),
            ("fe80::1", "link-local"),
            ("fd00::1", "global"),
            ("2001:db8::1", "global"),
        ];
        for (address, expected) in cases {
            assert_eq!(scope(address.parse().unwrap()), expected, "{address}");
        }
    }
}
