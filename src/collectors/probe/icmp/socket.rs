//! One socket for all targets: replies are assigned by sequence number, address and token.

#[cfg(not(target_os = "linux"))]
#[path = "no_socket.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::system::Handle;
use super::packet::{self, Token};

/// A socket for echo requests of one IP version.
#[derive(Debug)]
pub(super) struct Socket {
    is_v4: bool,
    handle: Handle,
    requests: Mutex<Requests>,
}

/// Requests without a reply.
#[derive(Debug, Default)]
struct Requests {
    last: u16,
    waiting: HashMap<u16, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    address: IpAddr,
    token: Token,
    reply: oneshot::Sender<(Instant, Option<u8>)>,
}

/// A reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// The round-trip time.
    pub(super) took: Duration,
    /// The TTL or hop limit of the reply.
    pub(super) ttl: Option<u8>,
}

impl Socket {
    /// Opens a socket, and reads replies in the background until the socket is dropped.
    ///
    /// # Errors
    /// Why it cannot be opened, and what to do.
    pub(super) fn open(is_v4: bool) -> Result<Arc<Socket>, String> {
        let handle = Handle::open(is_v4)?;
        let socket = Arc::new(Socket { is_v4, handle, requests: Mutex::default() });
        tokio::spawn(read(Arc::downgrade(&socket)));
        Ok(socket)
    }

    /// Sends an echo request.
    ///
    /// # Errors
    /// If it cannot be sent, or 65,536 requests wait for replies.
    pub(super) async fn send(self: &Arc<Socket>, address: SocketAddr, payload_size: usize) -> io::Result<Pending> {
        let token: Token = std::array::from_fn(|_| fastrand::u8(..));
        let (reply, received) = oneshot::channel();
        let Some(sequence) = self.requests().add(Waiting { address: address.ip(), token, reply }) else {
            return Err(io::Error::other("65,536 requests wait for replies"));
        };
        let pending = Pending { socket: self.clone(), sequence, token, start: Instant::now(), received };
        self.handle.send(&packet::request(self.is_v4, sequence, &token, payload_size), address).await?;
        Ok(pending)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Assigns a packet to its request.
    fn receive(&self, bytes: &[u8], from: IpAddr, ttl: Option<u8>) {
        let Some((sequence, token)) = packet::reply(self.is_v4, bytes) else { return };
        if let Some(waiting) = self.requests().take(sequence, from, token) {
            let _ = waiting.reply.send((Instant::now(), ttl));
        }
    }
}

impl Requests {
    /// Adds a request. Returns its sequence number, if one is free.
    fn add(&mut self, waiting: Waiting) -> Option<u16> {
        if self.waiting.len() > usize::from(u16::MAX) {
            return None;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.waiting.contains_key(&self.last) {
                self.waiting.insert(self.last, waiting);
                return Some(self.last);
            }
        }
    }

    /// Removes the request that a reply belongs to. Replies to broadcasts come from other addresses, and are ignored.
    fn take(&mut self, sequence: u16, from: IpAddr, token: Token) -> Option<Waiting> {
        let is_it = |waiting: &Waiting| waiting.token == token && waiting.address == from;
        if self.waiting.get(&sequence).is_some_and(is_it) { self.waiting.remove(&sequence) } else { None }
    }
}

/// A request that waits for its reply. Dropping it gives up.
#[derive(Debug)]
pub(super) struct Pending {
    socket: Arc<Socket>,
    sequence: u16,
    token: Token,
    start: Instant,
    received: oneshot::Receiver<(Instant, Option<u8>)>,
}

impl Pending {
    /// Waits for the reply; none if the socket was closed.
    pub(super) async fn reply(mut self) -> Option<Reply> {
        let (at, ttl) = (&mut self.received).await.ok()?;
        Some(Reply { took: at.duration_since(self.start), ttl })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut requests = self.socket.requests();
        if requests.waiting.get(&self.sequence).is_some_and(|waiting| waiting.token == self.token) {
            requests.waiting.remove(&self.sequence);
        }
    }
}

/// Reads replies while the socket is in use.
async fn read(socket: Weak<Socket>) {
    /// How long one reference is held, so that a socket without users ends.
    const PERIOD: Duration = Duration::from_secs(10);
    const PAUSE: Duration = Duration::from_millis(100);
    let mut buffer = vec![0; 2048];
    while let Some(socket) = socket.upgrade() {
        match tokio::time::timeout(PERIOD, socket.handle.receive(&mut buffer)).await {
            Ok(Ok((length, from, ttl))) => socket.receive(&buffer[..length], from, ttl),
            // Of an earlier packet that did not arrive; or lasting, which must not use a whole processor.
            Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(address: &str, token: u8) -> Waiting {
        Waiting { address: address.parse().unwrap(), token: [token; packet::TOKEN], reply: oneshot::channel().0 }
    }

    /// Telegraf's #8980: replies must not be assigned to other targets.
    #[test]
    fn a_reply_belongs_to_the_request_with_its_sequence_address_and_token() {
        let mut requests = Requests { last: u16::MAX - 1, waiting: HashMap::new() };
        assert_eq!(requests.add(waiting("192.0.2.1", 1)), Some(u16::MAX));
        assert_eq!(requests.add(waiting("192.0.2.1", 2)), Some(0));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (sequence, from, token) in [(0, "192.0.2.1", 1), (0, "192.0.2.2", 2), (7, "192.0.2.1", 2)] {
            assert!(requests.take(sequence, address(from), [token; packet::TOKEN]).is_none());
        }
        assert!(requests.take(0, address("192.0.2.1"), [2; packet::TOKEN]).is_some());
        assert!(requests.take(0, address("192.0.2.1"), [2; packet::TOKEN]).is_none(), "once");
    }

    #[test]
    fn sequence_numbers_are_unique_and_limited() {
        let mut requests = Requests::default();
        for _ in 0..=u16::MAX {
            assert!(requests.add(waiting("192.0.2.1", 1)).is_some());
        }
        assert_eq!(requests.add(waiting("192.0.2.1", 1)), None);
        requests.take(9, "192.0.2.1".parse().unwrap(), [1; packet::TOKEN]).unwrap();
        assert_eq!(requests.add(waiting("192.0.2.1", 1)), Some(9));
    }
}
