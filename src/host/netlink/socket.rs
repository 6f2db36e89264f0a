//! Sockets of netlink(7).

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io;
use rustix::net::netlink::{GENERIC, KOBJECT_UEVENT, SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with, sockopt,
};

use super::super::errno::Errno;
use super::{LONGEST_DATAGRAM, Peer};

/// A socket for dumps or events.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// A socket for dumps of `peer`. It cannot be reused after an incomplete dump.
    ///
    /// # Errors
    /// The error of the socket calls.
    pub fn open(peer: Peer) -> Result<Socket, Errno> {
        const TIMEOUT: Option<Duration> = Some(Duration::from_secs(2));
        let protocol: Option<Protocol> = match peer {
            Peer::Route => None,
            Peer::Sockets => Some(SOCK_DIAG),
            Peer::Generic => Some(GENERIC),
        };
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, TIMEOUT)?;
        Ok(Socket(socket))
    }

    /// A socket for events of devices and modules: lib/kobject_uevent.c.
    pub(in super::super) fn hear_changes() -> Result<Socket, Errno> {
        const FROM_THE_KERNEL: u32 = 1;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, FROM_THE_KERNEL))?;
        Ok(Socket(socket))
    }

    /// Whether no event is pending. An overflow counts as an event.
    pub(in super::super) fn is_silent(&self) -> bool {
        let mut byte = [0];
        recv(&self.0, &mut byte, RecvFlags::DONTWAIT).is_err_and(|error| error == Errno::AGAIN)
    }

    pub(super) fn send(&self, request: &[u8]) -> Result<(), Errno> {
        sendto(&self.0, request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map(drop)
    }

    /// Receives a datagram.
    pub(super) fn receive(&self, datagram: &mut Vec<u8>) -> Result<(), Errno> {
        datagram.clear();
        datagram.reserve(LONGEST_DATAGRAM);
        io::retry_on_intr(|| recv(&self.0, spare_capacity(datagram), RecvFlags::empty())).map(drop)
    }
}
