//! The connection to NATS servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ClientError, ConnectOptions, Event, ServerError};

use super::settings::Nats;
use crate::client::Tls;
use crate::system::regular_file::read_pem;

/// How long a server has to answer. An answer that is late is unknown, and asked for again.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, which is made in the background and as often as needed.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// JetStream.
    pub context: Context,
    /// The servers, for errors.
    servers: Arc<str>,
    trouble: Arc<Mutex<Trouble>>,
}

/// What servers and client have reported last.
#[derive(Debug, Default)]
struct Trouble {
    /// Why the last attempt to connect failed.
    failure: Option<String>,
    /// What a server has refused to this user, and when: the request itself gets no answer.
    refused: Option<(Instant, String)>,
}

/// How long what a server has refused may explain an error.
const REFUSED: Duration = Duration::from_secs(5);

impl Connection {
    /// Adds to an error why there is no connection, if there is none, or what a server has just refused to this user.
    pub fn explain(&self, error: String) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Trouble { failure, refused } = &*trouble;
        match (failure, refused) {
            (Some(failure), _) if self.client.connection_state() != State::Connected => {
                format!("no connection to a NATS server: {failure} ({})", self.servers)
            }
            (_, Some((at, refused))) if at.elapsed() < REFUSED => {
                format!("{error}; the NATS server has reported: {refused}")
            }
            _ => error,
        }
    }
}

/// Connects, in the background and as often as needed.
///
/// # Errors
/// The settings are unusable.
pub async fn connect(nats: &Nats, name: &str) -> Result<Connection, String> {
    // The whole process uses ring for TLS; only the first call has an effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trouble: Arc<Mutex<Trouble>> = Arc::default();
    let reported = trouble.clone();
    let mut options = ConnectOptions::new()
        .name(format!("taffrail {name}"))
        .retry_on_initial_connect()
        .connection_timeout(Duration::from_secs(2))
        .ping_interval(Duration::from_secs(5))
        .request_timeout(Some(TIMEOUT))
        .event_callback(move |event| {
            let mut trouble = reported.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::ClientError(ClientError::Other(reason)) => trouble.failure = Some(reason),
                Event::ServerError(ServerError::Other(reason)) => trouble.refused = Some((Instant::now(), reason)),
                _ => {}
            }
            std::future::ready(())
        });
    if let Some(path) = &nats.credentials {
        let text = read_pem(path).map_err(|error| format!("[nats] credentials: {error}"))?;
        let invalid = |error: std::io::Error| format!("[nats] credentials: {}: {error}", path.display());
        options = options.credentials(&String::from_utf8_lossy(&text)).map_err(invalid)?;
    }
    if let Some(token) = &nats.token {
        options = options.token(token.reveal().to_owned());
    }
    if let Some((user, password)) = &nats.user {
        options = options.user_and_password(user.clone(), password.reveal().to_owned());
    }
    if nats.needs_tls() {
        let tls = Tls { ca: nats.ca.clone(), identity: nats.identity.clone(), trusts_any: false };
        let names = ["[nats] tls_ca", "[nats] tls_cert"];
        let config = tls.verifier(names).and_then(|verifier| tls.configuration(verifier, names))?;
        options = options.tls_client_config(config).require_tls(true);
    }
    let client = options.connect(nats.servers.as_slice()).await.map_err(|error| error.to_string())?;
    let context: Context = ContextBuilder::new().timeout(TIMEOUT).ack_timeout(TIMEOUT).build(client.clone());
    Ok(Connection { client, context, servers: nats.servers.join(", ").into(), trouble })
}
