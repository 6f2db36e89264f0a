//! Accepts connections at an address, also without free descriptors.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::connections::{Address, Registration};
use super::socket::{ListenSocket, Socket};
use crate::backoff::Backoff;
use crate::log::Episode;
use crate::system;

/// Accepts connections until `stop` and spawns `serve` for each. Returns those that are still open. `limit` is the
/// address's limit of connections.
pub(super) async fn accept<A: Future<Output = ()> + Send + 'static>(
    listener: ListenSocket,
    address: Address,
    stop: CancellationToken,
    limit: impl Fn() -> usize,
    serve: impl Fn(Socket, Registration) -> A,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    let mut failures = AcceptFailures::new(address.name());
    let mut spare = system::spare_descriptor();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    failures.accepted();
                    let (registration, evicts) = address.register(limit());
                    connections.spawn(serve(stream, registration));
                    if evicts {
                        // The evicted connection closes before the next one is accepted: its descriptor is needed.
                        yield_now().await;
                    }
                    spare = spare.or_else(system::spare_descriptor);
                }
                Err(error) if is_peer_error(&error) => {}
                Err(error) => {
                    let lacks_resources = system::is_out_of_resources(&error);
                    // Without a free descriptor, accept(2) fails even if no connection is pending.
                    let is_pending = !lacks_resources || system::has_pending_connection(&listener);
                    if is_pending {
                        address.count_failure();
                        failures.report(&error);
                    }
                    if is_pending && lacks_resources && address.evict_one() {
                        yield_now().await;
                    } else if !lacks_resources || spare.take().is_none() {
                        tokio::select! {
                            () = sleep(failures.pause.pause()) => {}
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

/// Whether the connection failed before it was accepted, as opposed to accepting: see accept(2).
fn is_peer_error(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    let peer_errors =
        [ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable];
    peer_errors.contains(&error.kind())
}

/// A period in which connections cannot be accepted.
struct AcceptFailures {
    address: String,
    episode: Episode<String>,
    last: Option<Instant>,
    pause: Backoff,
}

impl AcceptFailures {
    /// The period ends after this long without a failure. Until then, each closed connection lets another one in.
    const QUIET: Duration = Duration::from_secs(3);

    fn new(address: String) -> AcceptFailures {
        let pause = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        AcceptFailures { address, episode: Episode::default(), last: None, pause }
    }

    fn report(&mut self, error: &io::Error) {
        self.last = Some(Instant::now());
        if self.episode.fails(error.to_string()) {
            let address = &self.address;
            tracing::warn!(
                "connections to {address} cannot be accepted: {error}; those that wait longest make way for them"
            );
        }
    }

    fn accepted(&mut self) {
        self.pause.reset();
        if self.last.is_none_or(|last| last.elapsed() < Self::QUIET) {
            return;
        }
        self.last = None;
        if let Some(over) = self.episode.recovered() {
            tracing::info!("connections to {} are accepted again {over}", self.address);
        }
    }
}
