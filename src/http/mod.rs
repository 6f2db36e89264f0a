//! Listeners that every endpoint shares, with bounds on connections and on how slow a peer may be.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

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
    task: JoinHandle<()>,
}

impl Server {
    /// A server that answers with `router`, and does not listen yet.
    pub fn new(settings: &Settings, router: Router) -> Self {
        Server { listeners: HashMap::new(), limits: Arc::new(ArcSwap::from_pointee(settings.clone())), router }
    }

    /// Opens what `settings` asks for and is not open, then closes what it does not ask for. An address that stays keeps
    /// its connections.
    ///
    /// # Errors
    /// That an address cannot be bound; everything is then as before.
    pub async fn apply(&mut self, settings: &Settings) -> Result<(), BindError> {
        let mut bound = Vec::new();
        for &address in &settings.listen {
            if !self.listeners.contains_key(&address) {
                let bind = async { TcpListener::bind(address).await.and_then(|l| Ok((l.local_addr()?, l))) };
                let (local, listener) = bind.await.map_err(|reason| BindError { address, reason })?;
                bound.push((address, local, listener));
            }
        }
        self.limits.store(Arc::new(settings.clone()));
        for (address, local, listener) in bound {
            let stop = CancellationToken::new();
            let task = tokio::spawn(accept(listener, self.limits.clone(), self.router.clone(), stop.clone()));
            self.listeners.insert(address, Listener { address: local, stop, task });
        }
        let unwanted = self.listeners.extract_if(|address, _| !settings.listen.contains(address));
        unwanted.for_each(|(_, listener)| drop(tokio::spawn(listener.close())));
        Ok(())
    }

    /// The addresses that are listened on, with the ports that the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.values().map(|listener| listener.address)
    }

    /// Stops accepting, and waits until the requests in flight are answered.
    pub async fn drain(self) {
        let mut closing: JoinSet<()> = self.listeners.into_values().map(Listener::close).collect();
        while closing.join_next().await.is_some() {}
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
    async fn close(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, limits: Arc<ArcSwap<Settings>>, router: Router, stop: CancellationToken) {
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
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, limits: Arc<Settings>, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(limits.write_timeout));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // An error here is the peer's: it went away, or sent what is not HTTP.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
