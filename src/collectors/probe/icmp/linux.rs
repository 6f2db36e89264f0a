//! Linux's ICMP sockets: `SOCK_DGRAM` with `IPPROTO_ICMP`. The kernel sets the identifier and the checksum, and passes
//! replies to its own identifier only, from the ICMP header on.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// An open socket. It sends and receives datagrams, as a socket of UDP does.
#[derive(Debug)]
pub(super) struct Handle(UdpSocket);

impl Handle {
    pub(super) fn open(is_v4: bool) -> Result<Handle, String> {
        let (family, protocol) = match is_v4 {
            true => (AddressFamily::INET, ipproto::ICMP),
            false => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::DGRAM, flags, Some(protocol)).map_err(explained)?;
        let set = match is_v4 {
            true => setsockopt(&socket, sockopt::Ipv4RecvTtl, &true),
            false => setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true),
        };
        let failed = |error: io::Error| format!("cannot open an ICMP socket: {error}");
        set.map_err(|error| failed(error.into()))?;
        Ok(Handle(UdpSocket::from_std(socket.into()).map_err(failed)?))
    }

    pub(super) async fn send(&self, packet: &[u8], address: SocketAddr) -> io::Result<()> {
        self.0.send_to(packet, address).await.map(drop)
    }

    /// Receives a packet: its length, its source, and its TTL.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, IpAddr, Option<u8>)> {
        self.0.async_io(Interest::READABLE, || receive(&self.0, buffer)).await
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, IpAddr, Option<u8>)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(i32, i32);
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let ttl = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => u8::try_from(ttl).ok(),
        _ => None,
    });
    let from = message.address.and_then(|from| {
        let v4 = from.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
        v4.or_else(|| from.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip())))
    });
    let from = from.ok_or_else(|| io::Error::other("a packet without a source"))?;
    Ok((message.bytes, from, ttl))
}

/// Why no socket is opened.
fn explained(error: Errno) -> String {
    match error {
        Errno::ACCESS | Errno::PERM => {
            let group = rustix::process::getegid().as_raw();
            format!(
                "the kernel forbids ICMP sockets: net.ipv4.ping_group_range does not include the group {group} of this \
                 process; run sysctl -w net.ipv4.ping_group_range=\"{group} {group}\""
            )
        }
        Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => {
            format!("the kernel has no ICMP sockets of this IP version: {error}")
        }
        error => format!("cannot open an ICMP socket: {error}"),
    }
}
