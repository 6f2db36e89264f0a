//! The listeners.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::response::{AppendHeaders, IntoResponse, Response};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::service::{Service, service_fn};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::accept::accept;
use super::access::{Denied, Viewer};
use super::connections::{self, Seat, Standing, Taken};
use super::guard::{Guard, InForce};
use super::host;
use super::settings::Settings;
use super::stream::Stream;
use super::timed::{Answered, Timed};
use crate::system;

/// The listeners that are open, each with its task.
pub struct Server {
    listeners: HashMap<SocketAddr, Listener>,
    /// What holds for new connections.
    rules: Arc<ArcSwap<Rules>>,
    router: Router,
    /// Sockets that were handed over, and are not to be bound.
    handed: BTreeMap<SocketAddr, std::net::TcpListener>,
}

/// How a request came; it goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The other end of its connection, if that is still there; a proxy, if there is one in between.
    pub peer: Option<SocketAddr>,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// Whether it asks if Taffrail is well: this tells nothing of anybody, and probes have no passwords.
    pub is_probe: bool,
}

/// What holds for a connection.
#[derive(Clone)]
struct Rules {
    settings: Settings,
    guard: Arc<Guard>,
}

struct Listener {
    address: SocketAddr,
    stop: CancellationToken,
    /// Ends with the connections that are still open.
    accepting: JoinHandle<JoinSet<()>>,
}

impl Server {
    /// A server that answers with `router`, and does not listen yet.
    ///
    /// Where it is to listen at an address of `handed`, it takes that socket.
    pub fn new(settings: &Settings, router: Router, handed: BTreeMap<SocketAddr, std::net::TcpListener>) -> Self {
        let rules = Rules { settings: settings.clone(), guard: Arc::new(Guard::open()) };
        Server { listeners: HashMap::new(), rules: Arc::new(ArcSwap::from_pointee(rules)), router, handed }
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        match self.handed.get(&address) {
            Some(socket) => TcpListener::from_std(socket.try_clone()?),
            None => listen(address),
        }
    }

    /// Opens what `settings` asks for and is not open, and closes what it does not ask for. An address that stays keeps
    /// its connections.
    ///
    /// # Errors
    /// That an address cannot be bound, or that certificates or users cannot be had; everything is as before then.
    pub async fn apply(&mut self, settings: &Settings) -> Result<(), ApplyError> {
        let before = self.rules.load_full();
        let guard = before.guard.renewed(settings.protection.clone()).await.map_err(ApplyError::Protection)?;
        let is_unwanted = |open: &SocketAddr| !settings.listen.contains(open);
        let is_missing = |address: &&SocketAddr| !self.listeners.contains_key(*address);
        let missing: BTreeSet<SocketAddr> = settings.listen.iter().filter(is_missing).copied().collect();
        let (mut bound, mut given_up) = (Vec::new(), Vec::new());
        for address in missing {
            // 0.0.0.0:9100 is in the way of 127.0.0.1:9100.
            given_up.extend(self.close(|open| is_unwanted(open) && open.port() == address.port()).await);
            match self.bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((local, listener)) => bound.push((address, local, listener)),
                Err(reason) => {
                    drop(bound);
                    self.reopen(given_up).await;
                    return Err(ApplyError::Bind { address, reason });
                }
            }
        }
        self.rules.store(Arc::new(Rules { settings: settings.clone(), guard }));
        for (address, local, listener) in bound {
            self.open(address, local, listener);
        }
        self.close(is_unwanted).await;
        Ok(())
    }

    fn open(&mut self, asked: SocketAddr, address: SocketAddr, listener: TcpListener) {
        let stop = CancellationToken::new();
        let (rules, router) = (self.rules.clone(), self.router.clone());
        let limit = {
            let rules = rules.clone();
            move || rules.load().settings.max_connections
        };
        let door = connections::OF_THE_PROCESS.open(address, limit());
        let of_them = stop.clone();
        let attend = move |stream, taken| attend(stream, taken, rules.load_full(), router.clone(), of_them.clone());
        let accepting = tokio::spawn(accept(listener, door, stop.clone(), limit, attend));
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
            match self.bind(address).await {
                Ok(listener) => self.open(address, address, listener),
                Err(error) => tracing::error!("cannot listen on {address} again: {error}"),
            }
        }
    }

    /// The addresses that are listened on, with the ports that the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.values().map(|listener| listener.address)
    }

    /// `https` if TLS is spoken, or else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.rules.load().guard.in_force().tls.is_some() { "https" } else { "http" }
    }

    /// Stops accepting, and waits until the requests in flight are answered.
    pub async fn drain(self) {
        let close = |listener: Listener| async { wait_for_all(listener.close().await).await };
        wait_for_all(self.listeners.into_values().map(close).collect()).await;
    }
}

/// Listens at `address`.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    /// Connections that wait to be accepted, as far as the system lets as many wait. Those beyond are not told, and come
    /// again after a second at the earliest: a burst of others must not make a probe wait so long.
    const BACKLOG: u32 = 4096;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    system::take_over_address(&socket)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Why settings cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; is something else listening there? Choose another address with [http] listen or --listen"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        reason: io::Error,
    },
    /// Certificates or users cannot be had.
    #[error("{0}")]
    Protection(String),
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

/// Attends to a connection until it ends, or is to make way.
async fn attend(stream: TcpStream, taken: Taken, rules: Arc<Rules>, router: Router, stop: CancellationToken) {
    let seat = taken.seat.clone();
    tokio::select! {
        biased;
        () = seat.told_to_leave() => {}
        () = begin(stream, &seat, rules, router, stop) => {}
    }
}

/// Waits for the first byte, shakes hands, if TLS is spoken, and answers requests.
async fn begin(stream: TcpStream, seat: &Arc<Seat>, rules: Arc<Rules>, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let waits = rules.settings.waits();
    let by = Instant::now() + waits.head;
    // For whoever says nothing, nothing is set up.
    let first_byte = tokio::select! {
        first_byte = timeout_at(by, stream.readable()) => first_byte,
        () = stop.cancelled() => return,
    };
    if matches!(first_byte, Ok(Ok(()))) {
        Box::pin(speak(stream, seat, by, rules, router, stop)).await;
    }
}

async fn speak(
    stream: TcpStream,
    seat: &Arc<Seat>,
    by: Instant,
    rules: Arc<Rules>,
    router: Router,
    stop: CancellationToken,
) {
    let waits = rules.settings.waits();
    let tls = rules.guard.in_force().tls.clone();
    let over = Asked { peer: stream.peer_addr().ok(), is_tls: tls.is_some(), is_probe: false };
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(rules.settings.write_timeout));
    let Some(tls) = tls else {
        return serve(Stream::new(stream, seat.clone(), waits, by), seat, over, rules, router, stop).await;
    };
    let handshake = async {
        let mut first = [0];
        let read = stream.get_ref().peek(&mut first).await;
        if matches!(read, Ok(1)) && first[0] != HANDSHAKE {
            let _ = stream.write_all(NOT_TLS).await;
            return None;
        }
        TlsAcceptor::from(tls).accept(stream).await.ok()
    };
    // Whoever does not shake hands, or shows no certificate, is not answered.
    let stopped = stop.cancelled();
    tokio::select! {
        shaken = timeout_at(by, handshake) => {
            if let Ok(Some(stream)) = shaken {
                let by = Instant::now() + waits.head;
                let stream = Stream::new(stream, seat.clone(), waits, by);
                serve(stream, seat, over, rules.clone(), router, stop.clone()).await;
            }
        }
        () = stopped => {}
    }
}

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 22;
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n\
    TLS is spoken here: the address begins with https://\n";

async fn serve<S>(
    stream: Stream<S>,
    seat: &Arc<Seat>,
    over: Asked,
    rules: Arc<Rules>,
    router: Router,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The longest head: the longest target that the parser takes, and as much again.
    const LONGEST_HEAD: usize = 128 << 10;
    let was_asked = AtomicBool::new(false);
    let router = TowerToHyperService::new(router);
    let limits = &rules.settings;
    let service = service_fn(|request: Request<Incoming>| {
        was_asked.store(true, Ordering::Relaxed);
        let asked = seat.ask(request.body().is_end_stream());
        let (in_force, router) = (rules.guard.in_force(), router.clone());
        let mut request = request.map(|body| Timed::within(limits.idle_timeout, body, seat, asked));
        let is_probe = is_probe(request.uri().path(), &limits.prefix);
        request.extensions_mut().insert(Asked { is_probe, ..over });
        async move {
            let answer = answer(request, seat, &in_force, router).await?;
            seat.stand(Standing::Awaited);
            Ok::<_, Infallible>(answer.map(|body| Answered::new(body, seat)))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // The stream knows better when the time for a head is over.
        .header_read_timeout(None)
        .max_buf_size(LONGEST_HEAD)
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

/// What browsers may make of an answer that says nothing else: it is what its type says, runs nothing, loads nothing, and
/// stands in no other page.
const FOR_BROWSERS: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Answers, with the headers that every answer has.
async fn answer(
    mut request: Request<axum::body::Body>,
    seat: &Seat,
    in_force: &InForce,
    router: TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    let mut response = match host::settle(&mut request) {
        Ok(()) => answer_in(seat, request, in_force, router).await?,
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong).into_response(),
    };
    for (name, value) in FOR_BROWSERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    for (name, value) in &in_force.headers {
        response.headers_mut().insert(name, value.clone());
    }
    Ok(response)
}

/// Answers a request in an extra seat, of which probes alone are answered, and everybody else's.
async fn answer_in(
    seat: &Seat,
    request: Request<axum::body::Body>,
    in_force: &InForce,
    router: TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    if !seat.is_extra {
        return answer_viewer(request, in_force, router).await;
    }
    let mut response = if is_open(&request) {
        answer_viewer(request, in_force, router).await?
    } else {
        seat.refuse();
        (StatusCode::SERVICE_UNAVAILABLE, "all connections are being served; try again later\n").into_response()
    };
    // The seat is for the next probe.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// Whether anybody is answered.
fn is_open<B>(request: &Request<B>) -> bool {
    request.extensions().get::<Asked>().is_some_and(|asked| asked.is_probe)
}

/// Whether a path asks if Taffrail is well; probes are answered with and without the prefix.
fn is_probe(path: &str, prefix: &str) -> bool {
    let asks = |path: &str| matches!(path, "/-/healthy" | "/-/ready");
    asks(path) || path.strip_prefix(prefix).is_some_and(asks)
}

/// Whether a browser asks whether a page may ask: it asks without a password whether it may ask with one.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers those who may ask; who they are goes with the request.
async fn answer_viewer(
    mut request: Request<axum::body::Body>,
    in_force: &InForce,
    router: TowerToHyperService<Router>,
) -> Result<Response, Infallible> {
    let is_open = is_open(&request);
    if !is_open && !in_force.has_room() {
        return Ok((StatusCode::TOO_MANY_REQUESTS, "too many requests; try again later\n").into_response());
    }
    let viewer = if is_open || is_preflight(request.method(), request.headers()) {
        Ok(Viewer::Anybody)
    } else {
        in_force.access.viewer(request.headers()).await
    };
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(Denied::Unknown) => {
            let challenge = [(WWW_AUTHENTICATE, "Basic"), (WWW_AUTHENTICATE, "Bearer")];
            return Ok((StatusCode::UNAUTHORIZED, AppendHeaders(challenge), "Unauthorized\n").into_response());
        }
        Err(Denied::Busy(busy)) => {
            return Ok((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], format!("{busy}\n")).into_response());
        }
    };
    request.extensions_mut().insert(viewer);
    router.call(request).await
}
