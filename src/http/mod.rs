//! Listeners that every endpoint shares, with bounds on connections and on how slow a peer may be.

pub mod timed;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use self::timed::Timed;
use crate::config::{Key, KeyInfo, Section};

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Scrapes in flight; more are refused with 503.
    pub max_requests: usize,
    /// Connections; more wait to be accepted.
    pub max_connections: usize,
    /// How long a connection may be idle, or take to send a request's head.
    pub idle_timeout: Duration,
    /// How long a peer may take nothing of an answer.
    pub write_timeout: Duration,
}

const LISTEN: Key<Vec<SocketAddr>> =
    Key::new("listen", "[\"0.0.0.0:9100\"]", "The addresses to listen on; none with an empty list.");
const MAX_REQUESTS: Key<usize> =
    Key::new("max_requests", "40", "Scrapes in flight, at the most; more are refused with status 503.");
const MAX_CONNECTIONS: Key<usize> =
    Key::new("max_connections", "512", "Connections to each address, at the most; more wait to be accepted.");
const IDLE_TIMEOUT: Key<Duration> = Key::new(
    "idle_timeout",
    "\"2m\"",
    "How long a connection may wait for its next request to be complete before it is closed.",
);
const WRITE_TIMEOUT: Key<Duration> =
    Key::new("write_timeout", "\"30s\"", "How long a peer may take nothing of its answer before it is cut off.");

/// The settings of `[http]`.
pub const KEYS: &[KeyInfo] =
    &[LISTEN.info(), MAX_REQUESTS.info(), MAX_CONNECTIONS.info(), IDLE_TIMEOUT.info(), WRITE_TIMEOUT.info()];

impl Settings {
    /// The settings in `section`; `listen` takes the place of the setting of that name unless it is empty.
    pub fn new(section: &mut Section<'_>, listen: &[SocketAddr]) -> Self {
        let configured = section.get(&LISTEN);
        Settings {
            listen: if listen.is_empty() { configured } else { listen.to_vec() },
            max_requests: section.get(&MAX_REQUESTS),
            max_connections: section.get(&MAX_CONNECTIONS),
            idle_timeout: section.above_zero(&IDLE_TIMEOUT),
            write_timeout: section.above_zero(&WRITE_TIMEOUT),
        }
    }
}

/// The listeners that are open, each with its task.
pub struct Server {
    listeners: HashMap<SocketAddr, Listener>,
    /// What holds for new connections.
    limits: Arc<ArcSwap<Settings>>,
    router: Router,
}

struct Listener {
    address: SocketAddr,
    stop: CancellationToken,
    /// Ends with the connections that are still open.
    accepting: JoinHandle<JoinSet<()>>,
}

impl Server {
    /// A server that answers with `router`, and does not listen yet.
    pub fn new(settings: &Settings, router: Router) -> Self {
        Server { listeners: HashMap::new(), limits: Arc::new(ArcSwap::from_pointee(settings.clone())), router }
    }

    /// Opens what `settings` asks for and is not open, and closes what it does not ask for. An address that stays keeps
    /// its connections.
    ///
    /// # Errors
    /// That an address cannot be bound; what listened before listens then.
    pub async fn apply(&mut self, settings: &Settings) -> Result<(), BindError> {
        let is_unwanted = |open: &SocketAddr| !settings.listen.contains(open);
        let is_missing = |address: &&SocketAddr| !self.listeners.contains_key(*address);
        let missing: BTreeSet<SocketAddr> = settings.listen.iter().filter(is_missing).copied().collect();
        let (mut bound, mut given_up) = (Vec::new(), Vec::new());
        for address in missing {
            // 0.0.0.0:9100 is in the way of 127.0.0.1:9100.
            given_up.extend(self.close(|open| is_unwanted(open) && open.port() == address.port()).await);
            match TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((local, listener)) => bound.push((address, local, listener)),
                Err(reason) => {
                    drop(bound);
                    self.reopen(given_up).await;
                    return Err(BindError { address, reason });
                }
            }
        }
        self.limits.store(Arc::new(settings.clone()));
        for (address, local, listener) in bound {
            self.open(address, local, listener);
        }
        self.close(is_unwanted).await;
        Ok(())
    }

    fn open(&mut self, asked: SocketAddr, address: SocketAddr, listener: TcpListener) {
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, self.limits.clone(), self.router.clone(), stop.clone()));
        self.listeners.insert(asked, Listener { address, stop, accepting });
    }

    /// Closes these addresses, and says which they were; their requests in flight are still answered.
    async fn close(&mut self, which: impl Fn(&SocketAddr) -> bool) -> Vec<SocketAddr> {
        let mut closed = Vec::new();
        for (address, listener) in self.listeners.extract_if(|address, _| which(address)) {
            tokio::spawn(wait_for_all(listener.close().await));
            closed.push(address);
        }
        closed
    }

    async fn reopen(&mut self, addresses: Vec<SocketAddr>) {
        for address in addresses {
            match TcpListener::bind(address).await {
                Ok(listener) => self.open(address, address, listener),
                Err(error) => tracing::error!("cannot listen on {address} again: {error}"),
            }
        }
    }

    /// The addresses that are listened on, with the ports that the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.values().map(|listener| listener.address)
    }

    /// Stops accepting, and waits until the requests in flight are answered.
    pub async fn drain(self) {
        let close = |listener: Listener| async { wait_for_all(listener.close().await).await };
        wait_for_all(self.listeners.into_values().map(close).collect()).await;
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {reason}; is something else listening there? Choose another address with [http] listen or --listen"
)]
pub struct BindError {
    address: SocketAddr,
    reason: io::Error,
}

impl Listener {
    /// Stops accepting. What comes back are the connections that are still open.
    async fn close(self) -> JoinSet<()> {
        self.stop.cancel();
        self.accepting.await.unwrap_or_default()
    }
}

async fn wait_for_all(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn accept(
    listener: TcpListener,
    limits: Arc<ArcSwap<Settings>>,
    router: Router,
    stop: CancellationToken,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        let limits = limits.load_full();
        let has_room = connections.len() < limits.max_connections;
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, limits, router.clone(), stop.clone()));
                }
                Err(error) => {
                    // Out of descriptors, as a rule: it passes when a connection ends.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => return connections,
        }
    }
}

async fn serve_connection(stream: TcpStream, limits: Arc<Settings>, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(limits.write_timeout));
    let was_asked = AtomicBool::new(false);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        was_asked.store(true, Ordering::Relaxed);
        router.call(request.map(|body| Timed::within(limits.idle_timeout, body)))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error here is the peer's: it went away, or sent what is not HTTP.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // One that has asked nothing yet would be waited for until it does.
    if was_asked.load(Ordering::Relaxed) {
        let _ = connection.await;
    }
}
