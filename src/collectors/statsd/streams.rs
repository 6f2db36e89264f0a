//! The connections of `tcp` and `unix`. They outlive reloads, as the sockets of datagrams do.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
#[cfg(windows)]
use tokio::net::TcpStream as UnixStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::either::Either;

use super::address::Address;
use super::counts::Limit;
use super::settings::Settings;
use super::shared::{Parked, Shared, Stream};
use crate::collectors::framework::lines::Lines;
use crate::http::socket::{ListenSocket, Socket};

/// How long a connection was silent that another one may replace.
const IDLE: Duration = Duration::from_secs(60);

/// The open connections.
pub(super) struct Open {
    max: usize,
    max_line: usize,
    idle: Duration,
    connections: RefCell<Vec<Rc<State>>>,
}

/// The state of an open connection.
struct State {
    /// When something arrived last.
    last: Cell<Instant>,
    /// Closes it.
    close: Notify,
}

impl Open {
    pub(super) fn new(settings: &Settings) -> Open {
        let (max, max_line) = (settings.max_connections, settings.limits.line);
        Open { max, max_line, idle: IDLE, connections: RefCell::default() }
    }

    /// Makes room for one more connection: when there are too many, the one that has been idle longest is closed. Returns
    /// whether there is room.
    fn make_room(&self) -> Room {
        let mut connections = self.connections.borrow_mut();
        if connections.len() < self.max {
            return Room::Free;
        }
        let longest = (0..connections.len()).min_by_key(|index| connections[*index].last.get());
        match longest.filter(|index| connections[*index].last.get().elapsed() >= self.idle) {
            Some(index) => {
                connections.swap_remove(index).close.notify_one();
                Room::Made
            }
            None => Room::None,
        }
    }

    fn add(&self) -> Rc<State> {
        let state = Rc::new(State { last: Cell::new(Instant::now()), close: Notify::new() });
        self.connections.borrow_mut().push(state.clone());
        state
    }

    fn remove(&self, state: &Rc<State>) {
        self.connections.borrow_mut().retain(|other| !Rc::ptr_eq(other, state));
    }
}

/// Room for one more connection.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    Free,
    /// By closing another one.
    Made,
    None,
}

/// Accepts the connections of a socket, which listens on `address`.
pub(super) async fn accept(listener: ListenSocket, address: Address, shared: Arc<Shared>, open: Rc<Open>) {
    /// When the process has no descriptors left.
    const PAUSE: Duration = Duration::from_millis(100);
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        let Ok(stream) = accepted else {
            shared.store().counts.connection_errors += 1;
            sleep(PAUSE).await;
            continue;
        };
        let room = open.make_room();
        {
            let mut store = shared.store();
            if room == Room::None {
                store.counts.connection_errors += 1;
            } else {
                store.counts.connections += 1;
            }
            if room != Room::Free {
                store.refuse_by(Limit::Connections);
            }
        }
        if room != Room::None {
            let lines = Lines::new(open.max_line);
            tasks.spawn_local(read(Connection::new(address.clone(), (stream, lines), &shared, &open), open.clone()));
        }
    }
}

/// Reads the connections that a reload has interrupted, if their address is one of these.
pub(super) async fn resume(shared: Arc<Shared>, open: Rc<Open>, addresses: Vec<Address>) {
    let mut tasks = JoinSet::new();
    loop {
        let parked = std::mem::take(&mut *shared.parking.parked.lock().unwrap_or_else(PoisonError::into_inner));
        for Parked { address, stream, lines } in parked {
            let Some(stream) = into_runtime(stream).ok().filter(|_| addresses.contains(&address)) else { continue };
            if open.make_room() != Room::None {
                tasks.spawn_local(read(Connection::new(address, (stream, lines), &shared, &open), open.clone()));
            }
        }
        tokio::select! {
            () = shared.parking.has_more.notified() => {}
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// A connection that is read. If that is interrupted, it is parked.
struct Connection {
    address: Address,
    open: Option<(Socket, Lines)>,
    state: Rc<State>,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(address: Address, of: (Socket, Lines), shared: &Arc<Shared>, open: &Open) -> Connection {
        shared.connections.fetch_add(1, Relaxed);
        Connection { address, open: Some(of), state: open.add(), shared: shared.clone() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Relaxed);
        let Some((stream, lines)) = self.open.take() else { return };
        if let Ok(stream) = out_of_runtime(stream) {
            let parked = Parked { address: self.address.clone(), stream, lines };
            self.shared.parking.parked.lock().unwrap_or_else(PoisonError::into_inner).push(parked);
            self.shared.parking.has_more.notify_one();
        }
    }
}

/// Reads the lines of a connection until it ends.
async fn read(mut connection: Connection, open: Rc<Open>) {
    const BUFFER: usize = 16 << 10;
    let (state, shared, mut buffer) = (connection.state.clone(), connection.shared.clone(), vec![0; BUFFER]);
    while let Some((stream, lines)) = &mut connection.open {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = state.close.notified() => {
                // A line that has begun may lack its end.
                connection.open = None;
                break;
            }
        };
        match read {
            Ok(0) => break,
            Ok(count) => {
                let (mut store, now) = (shared.store(), Instant::now());
                state.last.set(now);
                let too_long = lines.push(&buffer[..count], &mut |text| store.take(text, now));
                (0..too_long).for_each(|_| store.refuse_long_line());
            }
            Err(_) => {
                shared.store().counts.connection_errors += 1;
                break;
            }
        }
    }
    open.remove(&state);
    if let Some((_, lines)) = connection.open.take() {
        let (mut store, now) = (shared.store(), Instant::now());
        lines.end(&mut |text| store.take(text, now));
    }
}

fn out_of_runtime(stream: Socket) -> io::Result<Stream> {
    Ok(match stream {
        Either::Left(stream) => Either::Left(stream.into_std()?),
        Either::Right(stream) => Either::Right(stream.into_std()?),
    })
}

fn into_runtime(stream: Stream) -> io::Result<Socket> {
    Ok(match stream {
        Either::Left(stream) => Either::Left(TcpStream::from_std(stream)?),
        Either::Right(stream) => Either::Right(UnixStream::from_std(stream)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_connection_that_has_been_idle_longest_makes_room() {
        let full = |idle| {
            let open = Open { max: 2, max_line: 10, idle, connections: RefCell::default() };
            assert_eq!(open.make_room(), Room::Free);
            let (first, second) = (open.add(), open.add());
            first.last.set(second.last.get() + Duration::from_secs(1));
            (open, first, second)
        };
        let (open, _, _) = full(Duration::MAX);
        assert_eq!(open.make_room(), Room::None, "both are in use");
        let (open, first, second) = full(Duration::ZERO);
        assert_eq!(open.make_room(), Room::Made);
        second.close.notified().await;
        assert!(open.connections.borrow().iter().all(|left| Rc::ptr_eq(left, &first)));
        assert_eq!(open.make_room(), Room::Free);
    }
}
