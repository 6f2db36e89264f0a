//! Listening sockets: of TCP, and Unix sockets.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
#[cfg(windows)]
use tokio::net::{TcpListener as UnixListener, TcpStream as UnixStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::either::Either;

use super::address::{LOCALHOST, LOOPBACK, ListenAddress};
use super::peer::Peer;
use crate::system;

/// Pending connections, within the system's limit. Further ones are dropped silently and retry after a second or more: a
/// burst must not delay a probe that long.
const BACKLOG: u32 = 4096;
/// Timeout for resolving a name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// An accepted connection: TCP, or a Unix socket.
pub(crate) type Socket = Either<TcpStream, UnixStream>;

/// A listening socket.
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    #[cfg_attr(windows, allow(dead_code))]
    Unix(UnixListener),
}

/// A socket that listens, and its address, with the port that the kernel chose.
pub(crate) struct Bound {
    pub(crate) address: ListenAddress,
    pub(crate) socket: ListenSocket,
    /// The file of a Unix socket.
    pub(crate) file: Option<SocketFile>,
}

/// A listening socket passed by the service manager.
#[derive(Debug)]
pub enum Inherited {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// A Unix socket. The service manager removes its file.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl ListenSocket {
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            ListenSocket::Tcp(listener) => listener.accept().await.map(|(stream, _)| Either::Left(stream)),
            ListenSocket::Unix(listener) => listener.accept().await.map(|(stream, _)| Either::Right(stream)),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for ListenSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            ListenSocket::Tcp(listener) => listener.as_fd(),
            ListenSocket::Unix(listener) => listener.as_fd(),
        }
    }
}

/// The peer of a connection.
pub(super) fn peer(socket: &Socket) -> Peer {
    match socket {
        Either::Left(stream) => stream.peer_addr().map_or(Peer::Unknown, |address| Peer::of(address.ip())),
        Either::Right(_) => Peer::Local,
    }
}

/// Waits until the connection has input.
pub(super) async fn readable(socket: &Socket) -> io::Result<()> {
    match socket {
        Either::Left(stream) => stream.readable().await,
        Either::Right(stream) => stream.readable().await,
    }
}

impl Inherited {
    /// The address that it listens on.
    ///
    /// # Errors
    /// Errors of getsockname(2), or a Unix socket without a path.
    pub fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Inherited::Tcp(listener) => listener.local_addr().map(of_ip),
            #[cfg(unix)]
            Inherited::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().ok_or_else(|| io::Error::other("a Unix socket without a path"))?;
                Ok(ListenAddress::Unix(path.to_owned()))
            }
        }
    }

    fn bound(&self, address: &ListenAddress) -> io::Result<Bound> {
        let socket = match self {
            Inherited::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                ListenSocket::Tcp(TcpListener::from_std(listener.try_clone()?)?)
            }
            #[cfg(unix)]
            Inherited::Unix(listener) => {
                listener.set_nonblocking(true)?;
                ListenSocket::Unix(UnixListener::from_std(listener.try_clone()?)?)
            }
        };
        Ok(Bound { address: address.clone(), socket, file: None })
    }
}

fn of_ip(address: SocketAddr) -> ListenAddress {
    ListenAddress::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Listens on `address`, with `inherited` if there is one. A Unix socket is created with the permissions `mode`. A name
/// has several sockets.
///
/// # Errors
/// The name cannot be resolved, or one of its addresses cannot be bound.
pub(crate) async fn bind(address: &ListenAddress, inherited: Option<&Inherited>, mode: u32) -> io::Result<Vec<Bound>> {
    if let Some(inherited) = inherited {
        return inherited.bound(address).map(|bound| vec![bound]);
    }
    match address {
        ListenAddress::Ip(_) if address.is_any() => {
            bind_any(address.port().unwrap_or(0), bind_tcp).map(|bound| vec![bound])
        }
        ListenAddress::Ip(address) => bind_tcp(*address).map(|bound| vec![bound]),
        ListenAddress::Name(name, port) => bind_name(name, *port).await,
        ListenAddress::Unix(path) => bind_unix(path, mode).map(|bound| vec![bound]),
    }
}

/// Listens on all addresses: IPv6 and IPv4 with one socket, or IPv4 alone where IPv6 is disabled.
pub(crate) fn bind_any<B>(port: u16, bind: impl Fn(SocketAddr) -> io::Result<B>) -> io::Result<B> {
    match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if is_unavailable(&error) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        bound => bound,
    }
}

/// Whether the host does not have this address, or this version of IP.
pub(crate) fn is_unavailable(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AFNOSUPPORT)
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        // Without this, the system's configuration decides (net.ipv6.bindv6only).
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    system::reuse_address(&socket)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    Ok(Bound { address: of_ip(listener.local_addr()?), socket: ListenSocket::Tcp(listener), file: None })
}

/// Listens on all addresses of a name. Those that the host does not have are left out, unless there are no others:
/// `localhost` is `::1`, too, which is missing where IPv6 is disabled.
async fn bind_name(name: &str, port: u16) -> io::Result<Vec<Bound>> {
    let (mut bound, mut missing) = (Vec::new(), None);
    for address in resolve(name, port).await? {
        match bind_tcp(address) {
            Ok(one) => bound.push(one),
            Err(error) if is_unavailable(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// The addresses of a name.
pub(crate) async fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if name == LOCALHOST {
        return Ok(LOOPBACK.iter().map(|address| SocketAddr::new(*address, port)).collect());
    }
    let Ok(found) = timeout(RESOLVE_TIMEOUT, lookup_host((name, port))).await else {
        let reason = format!("the name is not resolved within {} s", RESOLVE_TIMEOUT.as_secs());
        return Err(io::Error::new(ErrorKind::TimedOut, reason));
    };
    let mut addresses: Vec<SocketAddr> =
        found?.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port())).collect();
    addresses.sort();
    addresses.dedup();
    match addresses.is_empty() {
        true => Err(io::Error::new(ErrorKind::NotFound, "the name has no addresses")),
        false => Ok(addresses),
    }
}

/// The file of a Unix socket; removed when dropped, unless another process has replaced it.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: system::Identity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl SocketFile {
    /// Whether the file is still there: clients find the socket by it.
    pub(crate) fn is_there(&self) -> bool {
        let is_ours = |metadata: fs::Metadata| system::identity(&metadata) == self.identity;
        fs::symlink_metadata(&self.path).is_ok_and(is_ours)
    }

    /// Binds a Unix socket, in place of one that no process listens on, with the permissions `mode`.
    #[cfg(unix)]
    pub(crate) fn bind<S>(path: &Path, mode: u32, bind: impl FnOnce(&Path) -> io::Result<S>) -> io::Result<(S, Self)> {
        remove_stale(path)?;
        let socket = bind(path)?;
        let file = SocketFile { path: path.to_owned(), identity: system::identity(&fs::symlink_metadata(path)?) };
        file.set_mode(mode)?;
        Ok((socket, file))
    }

    /// Sets the permissions.
    #[cfg(unix)]
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, std::os::unix::fs::PermissionsExt::from_mode(mode))
    }

    #[cfg(windows)]
    pub(super) fn set_mode(&self, _: u32) -> io::Result<()> {
        Ok(())
    }
}

/// Creates a Unix socket. Between bind(2) and listen(2), connections are refused: none precedes the permissions.
#[cfg(unix)]
fn bind_unix(path: &Path, mode: u32) -> io::Result<Bound> {
    let bind = |path: &Path| {
        let socket = tokio::net::UnixSocket::new_stream()?;
        socket.bind(path)?;
        Ok(socket)
    };
    let (socket, file) = SocketFile::bind(path, mode, bind)?;
    let listener = socket.listen(BACKLOG)?;
    let address = ListenAddress::Unix(path.to_owned());
    Ok(Bound { address, socket: ListenSocket::Unix(listener), file: Some(file) })
}

#[cfg(windows)]
fn bind_unix(_: &Path, _: u32) -> io::Result<Bound> {
    Err(ErrorKind::Unsupported.into())
}

/// Removes a socket that no process listens on: a process that was killed leaves it behind.
#[cfg(unix)]
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    /// A process that listens accepts at once, unless its backlog is full.
    const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is not a socket is there"));
        }
        Ok(_) => {}
    }
    match system::connect_within(path, CONNECT_TIMEOUT) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let unavailable = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
        for errno in unavailable {
            let bind =
                |address: SocketAddr| if address.is_ipv6() { Err(errno.into()) } else { Ok(address.to_string()) };
            assert_eq!(bind_any(9100, bind).unwrap(), "0.0.0.0:9100");
        }
        let taken = |_: SocketAddr| -> io::Result<()> { Err(ErrorKind::AddrInUse.into()) };
        assert_eq!(bind_any(9100, taken).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
