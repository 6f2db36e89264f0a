//! Serving one connection: TLS, requests, shutdown.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::connections::{Connection, Registration, State};
use super::denial::OnDenial;
use super::guard::Guard;
use super::respond::{Arrival, is_probe, respond};
use super::settings::Settings;
use super::socket::{Socket, peer, readable};
use super::stream::{LINGER, Stream, poll_discard};
use super::timed::{ResponseBody, Timed};

/// What applies to a new connection.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) settings: Settings,
    pub(super) guard: Arc<Guard>,
    /// Called with each denied request.
    pub(super) on_denial: Option<OnDenial>,
}

/// Serves a connection until it ends or is evicted.
pub(super) async fn serve_connection(
    stream: Socket,
    registration: Registration,
    rules: Arc<Rules>,
    router: Router,
    stop: CancellationToken,
) {
    let connection = registration.connection.clone();
    tokio::select! {
        biased;
        () = connection.evicted() => {}
        () = wait_and_serve(stream, &connection, rules, router, stop) => {}
    }
}

/// Waits for the first byte, then serves requests.
async fn wait_and_serve(
    stream: Socket,
    connection: &Arc<Connection>,
    rules: Arc<Rules>,
    router: Router,
    stop: CancellationToken,
) {
    if let Either::Left(tcp) = &stream {
        let _ = tcp.set_nodelay(true);
    }
    let timeouts = rules.settings.timeouts();
    let by = Instant::now() + timeouts.head;
    // Nothing is allocated before the first byte.
    let first_byte = tokio::select! {
        first_byte = timeout_at(by, readable(&stream)) => first_byte,
        () = stop.cancelled() => return,
    };
    if matches!(first_byte, Ok(Ok(()))) {
        Box::pin(serve_tls_or_plain(stream, connection, by, rules, router, stop)).await;
    }
}

/// Performs the TLS handshake, if TLS is configured and this is TCP, and serves requests.
async fn serve_tls_or_plain(
    stream: Socket,
    connection: &Arc<Connection>,
    by: Instant,
    rules: Arc<Rules>,
    router: Router,
    stop: CancellationToken,
) {
    let timeouts = rules.settings.timeouts();
    // A Unix socket is protected by its permissions.
    let tls = rules.guard.in_force().tls.clone().filter(|_| matches!(stream, Either::Left(_)));
    let arrival = Arrival { peer: peer(&stream), is_tls: tls.is_some(), is_probe: false };
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(rules.settings.write_timeout));
    let Some(tls) = tls else {
        return serve(Stream::new(stream, connection.clone(), timeouts, by), connection, arrival, rules, router, stop)
            .await;
    };
    let handshake = async {
        let mut first = [0];
        let is_handshake = match stream.get_ref() {
            Either::Left(tcp) => !matches!(tcp.peek(&mut first).await, Ok(1)) || first[0] == HANDSHAKE,
            Either::Right(_) => true,
        };
        if !is_handshake {
            let _ = stream.write_all(NOT_TLS).await;
            let _ = stream.shutdown().await;
            let _ = timeout(LINGER, poll_fn(|cx| poll_discard(&mut stream, cx))).await;
            return None;
        }
        TlsAcceptor::from(tls).accept(stream).await.ok()
    };
    // A failed handshake, or a missing client certificate, closes the connection.
    let stopped = stop.cancelled();
    tokio::select! {
        accepted = timeout_at(by, handshake) => {
            if let Ok(Some(stream)) = accepted {
                let by = Instant::now() + timeouts.head;
                let stream = Stream::new(stream, connection.clone(), timeouts, by);
                serve(stream, connection, arrival, rules.clone(), router, stop.clone()).await;
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
    connection: &Arc<Connection>,
    arrival: Arrival,
    rules: Arc<Rules>,
    router: Router,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Twice the longest request target that the parser accepts.
    const MAX_HEAD: usize = 128 << 10;
    let has_requests = AtomicBool::new(false);
    let router = TowerToHyperService::new(router);
    let limits = &rules.settings;
    let service = service_fn(|request: Request<Incoming>| {
        has_requests.store(true, Ordering::Relaxed);
        let (in_force, router) = (rules.guard.in_force(), router.clone());
        let on_denial = rules.on_denial.as_ref();
        let on_denial = on_denial.map(|report| (report, request.method().clone(), request.uri().path().to_owned()));
        async move {
            if connection.is_pipelined() {
                wait_for_turn().await;
            }
            let id = connection.begin_request(request.body().is_end_stream());
            let mut request = request.map(|body| Timed::body(limits.idle_timeout, body, connection, id));
            let is_probe = is_probe(request.uri().path(), &limits.prefix);
            request.extensions_mut().insert(Arrival { is_probe, ..arrival });
            let mut response = respond(request, connection, &in_force, router).await?;
            if let (Some((report, method, path)), Some(denial)) = (on_denial, response.extensions().get()) {
                report(denial, arrival.peer, &method, &path);
            }
            if connection.is_body_unread() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            connection.set_state(State::Responding);
            Ok::<_, Infallible>(response.map(|body| ResponseBody::new(body, connection)))
        }
    });
    let http = hyper::server::conn::http1::Builder::new()
        // The stream has this timeout.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    // An error is the peer's: it disconnected, or sent invalid HTTP.
    tokio::select! {
        biased;
        _ = http.as_mut() => return,
        () = stop.cancelled() => http.as_mut().graceful_shutdown(),
    }
    // Without a request so far, hyper would wait for one.
    if has_requests.load(Ordering::Relaxed) {
        let _ = http.await;
    }
}

/// Delays a pipelined request. Of all connections, one such request starts at a time, after every other task that is
/// ready: a client that pipelines thousands of requests delays no other.
async fn wait_for_turn() {
    static TURN: Semaphore = Semaphore::const_new(1);
    let _turn = TURN.acquire().await;
    yield_now().await;
}
