//! Servers with protocols of their own, over TCP, TLS or Unix sockets: one connection for each query.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::BodyError;
use crate::client::settings::{TLS_KEYS, tls};
use crate::client::target::Source;
use crate::collectors::probe::connect::{self, Addresses, Stream};
use crate::collectors::probe::tls::Tls;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Secret, Section};
use crate::encode::infos::concat;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A host and a port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The address in `text`: `host`, `host:port`, `tcp://host:port`, `unix:///run/x.sock` or `/run/x.sock`.
    ///
    /// # Errors
    /// What was expected. The message omits the text, which may contain a password.
    pub(super) fn parse(text: &str, port: u16) -> Result<Address, &'static str> {
        let text = text.trim();
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        if let Some(path) = path.or(Some(text)).filter(|path| path.starts_with('/') && path.len() > 1) {
            return Ok(Address::Unix(path.into()));
        }
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        if rest.contains('@') {
            return Err("expected an address without credentials, which have settings of their own");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let has_port = rest.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let split = if has_port { connect::split(rest) } else { connect::split(&format!("{rest}:{port}")) };
        match split {
            Ok((host, port)) => Ok(Address::Tcp(host, port)),
            Err(_) => Err("expected an address such as localhost:6379, or a Unix socket such as unix:///run/x.sock"),
        }
    }

    /// How it is shown.
    pub(super) fn name(&self) -> String {
        match self {
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp(host, port) => format!("{host}:{port}"),
            Address::Unix(path) => path.display().to_string(),
        }
    }
}

const USERNAME: Key<String> = Key::optional("username", "The user, if the server has users.");
const PASSWORD: Key<Secret> =
    Key::optional("password", "The password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const PASSWORD_FILE: Key<PathBuf> =
    Key::optional("password_file", "File with the password. It is read for each query.");
const TLS: Key<bool> = Key::new("tls", "false", "Uses TLS over TCP. The settings of certificates apply.");
const TLS_SERVER_NAME: Key<String> =
    Key::optional("tls_server_name", "Server name for TLS, if it is not the host in the address.");
const MAX_BODY: Key<ByteSize> = Key::new("max_body", "\"4MiB\"", "Maximum size of a reply. A larger one is a failure.");
const OWN_KEYS: &[KeyInfo] =
    &[USERNAME.info(), PASSWORD.info(), PASSWORD_FILE.info(), TLS.info(), TLS_SERVER_NAME.info(), MAX_BODY.info()];
/// The settings of connections.
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + TLS_KEYS.len()] = concat(&[OWN_KEYS, TLS_KEYS]);

/// Connects to servers.
#[derive(Debug)]
pub(super) struct Connector {
    timeout: Duration,
    tls: Option<Tls>,
    user: Option<String>,
    password: Option<Source>,
    max_body: usize,
}

impl Connector {
    /// With the settings of a section.
    pub(super) fn new(section: &mut Section<'_>, timeout: Duration) -> Connector {
        let (uses_tls, name, settings) = (section.get(&TLS), section.optional(&TLS_SERVER_NAME), tls(section));
        let (user, password) = (section.optional(&USERNAME), Source::new(section, &PASSWORD, &PASSWORD_FILE));
        if user.is_some() && password.is_none() {
            section.wrong("username", "expected a password with it, found none");
        }
        let ByteSize(max_body) = section.get(&MAX_BODY);
        Connector { timeout, tls: uses_tls.then(|| Tls::new(settings, name)), user, password, max_body }
    }

    /// Without TLS and credentials. `max_body` is that of the setting with this name.
    pub(super) fn plain(timeout: Duration, max_body: usize) -> Connector {
        Connector { timeout, tls: None, user: None, password: None, max_body }
    }

    /// The user, if there is one, and the password, if there is one. Reads its file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) async fn credentials(&self) -> Result<Option<(Option<&str>, Secret)>, String> {
        let Some(password) = &self.password else { return Ok(None) };
        let password = password.secret().await.map_err(|failure| failure.to_string())?;
        Ok(Some((self.user.as_deref(), password)))
    }

    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) async fn connect(&self, address: &Address) -> Result<Connection, String> {
        let stream = self.stream(address).await.map_err(|failure| failure.to_string())?;
        Ok(Connection { stream, received: Vec::new(), max_body: self.max_body })
    }

    async fn stream(&self, address: &Address) -> Result<Box<dyn Stream>, connect::Failure> {
        let (host, port) = match address {
            Address::Unix(path) => return connect::unix(path.clone()).await,
            Address::Tcp(host, port) => (host, *port),
        };
        let addresses = Addresses::default().of(host, port, &mut 0.0).await?;
        let (stream, _) = connect::tcp(&addresses, self.timeout).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let (stream, presented) = tls.connect(Box::new(stream), host, &[]).await?;
        match presented.failure(tls) {
            Some(failure) => Err(failure),
            None => Ok(stream),
        }
    }
}

/// A connection, and what was received but not used.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    /// Maximum bytes of a reply.
    pub(super) max_body: usize,
}

impl Connection {
    /// Sends all bytes.
    ///
    /// # Errors
    /// If the connection fails.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error: std::io::Error| format!("the connection failed: {error}"))
    }

    /// Receives until `read` has a reply of this length.
    ///
    /// # Errors
    /// That of `read`, or that the connection ended, or that the reply is too long.
    pub(super) async fn receive<T>(
        &mut self,
        read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, String>,
    ) -> Result<T, String> {
        // A long reply is tried again only when it has doubled.
        let mut tried = 0;
        loop {
            if self.received.len() >= 2 * tried || self.received.ends_with(b"\n") || tried == 0 {
                tried = self.received.len();
                if let Some((reply, length)) = read(&self.received)? {
                    self.received.drain(..length);
                    return Ok(reply);
                }
            }
            if self.received.len() > self.max_body {
                return Err(format!("max_body: {}", BodyError::TooLong(self.max_body)));
            }
            self.received.reserve(16 << 10);
            let count = self.stream.read_buf(&mut self.received).await;
            match count.map_err(|error| format!("the connection failed: {error}"))? {
                // The rest may be complete.
                0 if tried == self.received.len() => {
                    return Err("the server closed the connection before the end of its reply".to_owned());
                }
                0 => tried = 0,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_default_port() {
        for (text, name) in [
            ("localhost", "localhost:6379"),
            ("tcp://localhost:1", "localhost:1"),
            ("10.0.0.1:2/", "10.0.0.1:2"),
            ("[::1]:3", "[::1]:3"),
            ("[::1]", "[::1]:6379"),
            ("unix:///run/a.sock", "/run/a.sock"),
            ("unix:/run/a.sock", "/run/a.sock"),
            ("/run/a.sock", "/run/a.sock"),
        ] {
            assert_eq!(Address::parse(text, 6379).map(|address| address.name()), Ok(name.to_owned()), "{text}");
        }
        for text in ["", "http://a:1", "tcp://user:secret@a:1", "a:70000", "unix:a", "/"] {
            assert!(Address::parse(text, 1).is_err(), "{text}");
        }
    }
}
