//! Accepting connections at an address, also while there is no room for them.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::connections::{Door, Taken};
use crate::backoff::Backoff;
use crate::log::Episode;
use crate::system;

/// Accepts connections until `stop`, and has each of them attended to by what `attend` makes of it. What comes back are
/// those that are still open. `limit` tells how many there may be.
pub(super) async fn accept<A: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    door: Door,
    stop: CancellationToken,
    limit: impl Fn() -> usize,
    attend: impl Fn(TcpStream, Taken) -> A,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    let mut trouble = Trouble::new(listener.local_addr().ok());
    let mut spare = system::spare_descriptor();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    trouble.is_over();
                    let (taken, makes_way) = door.enter(limit());
                    connections.spawn(attend(stream, taken));
                    if makes_way {
                        // Whoever makes way goes before the next comes: their descriptor is wanted.
                        yield_now().await;
                    }
                    spare = spare.or_else(system::spare_descriptor);
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    let lacks_room = system::is_lack_of_room(&error);
                    // Without a descriptor for a connection the kernel does not look whether there is one.
                    let is_wanted = !lacks_room || system::is_somebody_waiting(&listener);
                    if is_wanted {
                        door.failed();
                        trouble.begins(&error);
                    }
                    if is_wanted && lacks_room && door.make_way() {
                        yield_now().await;
                    } else if !lacks_room || spare.take().is_none() {
                        tokio::select! {
                            () = sleep(trouble.pause.pause()) => {}
                            Some(_) = connections.join_next() => {}
                            () = stop.cancelled() => {}
                        }
                    }
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => return connections,
        }
    }
}

/// Whether it is the connection that failed, and not accepting: it was given up before it was accepted. accept(2).
fn is_the_peers(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    let of_the_peer =
        [ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable];
    of_the_peer.contains(&error.kind())
}

/// That connections cannot be accepted, from the first failure until there was none for a while.
struct Trouble {
    address: String,
    episode: Episode<String>,
    last: Option<Instant>,
    pause: Backoff,
}

impl Trouble {
    /// After so long without a failure it is over: until then, each connection that ends lets another one in.
    const QUIET: Duration = Duration::from_secs(3);

    fn new(address: Option<SocketAddr>) -> Trouble {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        let pause = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        Trouble { address, episode: Episode::default(), last: None, pause }
    }

    fn begins(&mut self, error: &io::Error) {
        self.last = Some(Instant::now());
        if self.episode.fails(error.to_string()) {
            let address = &self.address;
            tracing::warn!("connections to {address} cannot be accepted: {error}; idle ones make way for them");
        }
    }

    fn is_over(&mut self) {
        self.pause.reset();
        if self.last.is_none_or(|last| last.elapsed() < Self::QUIET) {
            return;
        }
        self.last = None;
        if let Some(over) = self.episode.is_well() {
            tracing::info!("connections to {} are accepted again {over}", self.address);
        }
    }
}
