//! Sockets of datagrams: UDP, and Unix datagrams.
//!
//! On Linux, one system call receives many datagrams, and the kernel says how many it dropped since the socket was made.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::io::Interest;

use super::address::{Address, Transport};
use crate::http::ListenAddress;
use crate::http::socket::{SocketFile, bind_any, is_unavailable, resolve};

/// A bound socket. It outlives reloads.
#[derive(Clone)]
pub(super) struct Bound {
    socket: Arc<Socket>,
    /// Datagrams that the kernel had dropped when it was last known, modulo 2^32.
    drops: Arc<AtomicU32>,
    /// The file of a Unix socket.
    pub(super) file: Option<Arc<SocketFile>>,
}

enum Socket {
    Udp(std::net::UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

/// Binds the sockets of an address; a name has several.
///
/// # Errors
/// The name cannot be resolved, or an address cannot be bound.
pub(super) async fn bind(address: &Address, mode: u32, buffer: usize) -> io::Result<Vec<Bound>> {
    let bound = |socket| Bound { socket: Arc::new(Socket::Udp(socket)), drops: Arc::default(), file: None };
    let bind = |address| bind_udp(address, buffer);
    match (&address.address, address.transport) {
        (ListenAddress::Unix(path), _) => bind_unix(path, mode, buffer).map(|bound| vec![bound]),
        (any, Transport::Udp) if any.is_any() => {
            bind_any(any.port().unwrap_or(0), bind).map(|socket| vec![bound(socket)])
        }
        (ListenAddress::Ip(address), _) => bind(*address).map(|socket| vec![bound(socket)]),
        (ListenAddress::Name(name, port), _) => {
            let (mut all, mut missing) = (Vec::new(), None);
            for address in resolve(name, *port).await? {
                match bind(address) {
                    Ok(socket) => all.push(bound(socket)),
                    Err(error) if is_unavailable(&error) => missing = Some(error),
                    Err(error) => return Err(error),
                }
            }
            match missing {
                Some(error) if all.is_empty() => Err(error),
                _ => Ok(all),
            }
        }
    }
}

fn bind_udp(address: SocketAddr, buffer: usize) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    prepare(&socket, buffer)?;
    Ok(socket)
}

#[cfg(unix)]
fn bind_unix(path: &std::path::Path, mode: u32, buffer: usize) -> io::Result<Bound> {
    let (socket, file) = SocketFile::bind(path, mode, |path| UnixDatagram::bind(path))?;
    socket.set_nonblocking(true)?;
    prepare(&socket, buffer)?;
    Ok(Bound { socket: Arc::new(Socket::Unix(socket)), drops: Arc::default(), file: Some(Arc::new(file)) })
}

#[cfg(windows)]
fn bind_unix(_: &std::path::Path, _: u32, _: usize) -> io::Result<Bound> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sets the size of the buffer, and makes the kernel report drops.
#[cfg(target_os = "linux")]
fn prepare(socket: &impl std::os::fd::AsFd, buffer: usize) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(socket, sockopt::RxqOvfl, &1)?;
    setsockopt(socket, sockopt::RcvBuf, &buffer)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn prepare<S>(_: &S, _: usize) -> io::Result<()> {
    Ok(())
}

/// A socket in a runtime.
pub(super) enum Receiver {
    Udp(tokio::net::UdpSocket),
    #[cfg(unix)]
    Unix(tokio::net::UnixDatagram),
}

/// Datagrams of one call.
pub(super) const BATCH: usize = 32;
/// Bytes of a datagram; that of UDP has no more.
const MAX_DATAGRAM: usize = 64 << 10;

/// Buffers for a batch.
pub(super) struct Buffers(Vec<Box<[u8]>>);

impl Buffers {
    pub(super) fn new() -> Buffers {
        Buffers((0..BATCH).map(|_| vec![0; MAX_DATAGRAM].into_boxed_slice()).collect())
    }
}

/// What one call received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// The number of datagrams.
    pub(super) count: usize,
    /// Datagrams that the kernel dropped since the socket was made, modulo 2^32, if it says so.
    pub(super) drops: Option<u32>,
}

impl Bound {
    /// The address of a UDP socket, with the port that the kernel chose.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &*self.socket {
            Socket::Udp(socket) => socket.local_addr().ok(),
            #[cfg(unix)]
            Socket::Unix(_) => None,
        }
    }

    /// Datagrams that were dropped since the last call, of the number since the socket was made.
    pub(super) fn new_drops(&self, count: u32) -> u64 {
        u64::from(count.wrapping_sub(self.drops.swap(count, Relaxed)))
    }

    /// The socket in the current runtime.
    pub(super) fn receiver(&self) -> io::Result<Receiver> {
        Ok(match &*self.socket {
            Socket::Udp(socket) => Receiver::Udp(tokio::net::UdpSocket::from_std(socket.try_clone()?)?),
            #[cfg(unix)]
            Socket::Unix(socket) => Receiver::Unix(tokio::net::UnixDatagram::from_std(socket.try_clone()?)?),
        })
    }
}

impl Receiver {
    /// Waits until there is a datagram.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Receiver::Udp(socket) => socket.readable().await,
            #[cfg(unix)]
            Receiver::Unix(socket) => socket.readable().await,
        }
    }

    /// Receives up to [`BATCH`] datagrams that are there.
    pub(super) fn receive(&self, buffers: &mut Buffers, take: &mut dyn FnMut(&[u8])) -> io::Result<Received> {
        let mut received = Received::default();
        let result = match self {
            Receiver::Udp(socket) => {
                socket.try_io(Interest::READABLE, || receive(socket, buffers, take, &mut received))
            }
            #[cfg(unix)]
            Receiver::Unix(socket) => {
                socket.try_io(Interest::READABLE, || receive(socket, buffers, take, &mut received))
            }
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(received),
        }
    }
}

/// Receives datagrams. A batch that is not full ends with `WouldBlock`, since the socket is empty then.
#[cfg(target_os = "linux")]
fn receive(
    socket: &impl std::os::fd::AsRawFd,
    Buffers(buffers): &mut Buffers,
    take: &mut dyn FnMut(&[u8]),
    received: &mut Received,
) -> io::Result<()> {
    use std::io::IoSliceMut;

    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg};

    let mut headers = MultiHeaders::<()>::preallocate(BATCH, Some(cmsg_space!(u32)));
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
    let messages = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    for message in messages {
        received.count += 1;
        for control in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::RxqOvfl(drops) = control {
                received.drops = Some(drops);
            }
        }
        message.iovs().for_each(&mut *take);
    }
    if received.count < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn receive<S: Receive>(
    socket: &S,
    Buffers(buffers): &mut Buffers,
    take: &mut dyn FnMut(&[u8]),
    received: &mut Received,
) -> io::Result<()> {
    for buffer in buffers {
        let length = socket.receive(buffer)?;
        received.count += 1;
        take(&buffer[..length]);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
trait Receive {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

#[cfg(not(target_os = "linux"))]
impl Receive for tokio::net::UdpSocket {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Within `try_io`, which clears the readiness.
        self.try_recv_from(buffer).map(|(length, _)| length)
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
impl Receive for tokio::net::UnixDatagram {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_recv(buffer)
    }
}
