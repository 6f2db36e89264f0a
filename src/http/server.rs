//! The listeners, as the settings have them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::accept::accept;
use super::address::ListenAddress;
use super::connections;
use super::denial::OnDenial;
use super::guard::Guard;
use super::serve::{Rules, serve_connection};
use super::settings::Settings;
use super::socket::{Bound, Inherited, SocketFile, bind};

/// The open listeners, each with a task.
pub struct Server {
    /// By their addresses as configured; a host name has several.
    listeners: BTreeMap<ListenAddress, Vec<Listener>>,
    /// What applies to new connections.
    rules: Arc<ArcSwap<Rules>>,
    router: Router,
    /// Sockets passed by the service manager, used instead of binding.
    inherited: BTreeMap<ListenAddress, Inherited>,
}

struct Listener {
    address: ListenAddress,
    file: Option<SocketFile>,
    stop: CancellationToken,
    /// Returns the connections that are still open.
    accepting: JoinHandle<JoinSet<()>>,
}

impl Server {
    /// A server of `router` that does not listen yet. It uses the socket of `inherited` for an address that has one.
    pub fn new(settings: &Settings, router: Router, inherited: BTreeMap<ListenAddress, Inherited>) -> Self {
        let rules = Rules { settings: settings.clone(), guard: Arc::new(Guard::open()), on_denial: None };
        Server { listeners: BTreeMap::new(), rules: Arc::new(ArcSwap::from_pointee(rules)), router, inherited }
    }

    /// Sets the callback for denied requests.
    pub fn on_denial(self, on_denial: OnDenial) -> Self {
        let before = self.rules.load_full();
        self.rules.store(Arc::new(Rules { on_denial: Some(on_denial), ..Rules::clone(&before) }));
        self
    }

    async fn bind(&self, address: &ListenAddress, mode: u32) -> io::Result<Vec<Bound>> {
        bind(address, self.inherited.get(address), mode).await
    }

    /// Opens the missing listeners of `settings` and closes the others. An address that stays keeps its connections.
    ///
    /// # Errors
    /// If an address cannot be bound, or certificates or users cannot be loaded. Nothing is changed then.
    pub async fn apply(&mut self, settings: &Settings) -> Result<(), ApplyError> {
        let before = self.rules.load_full();
        let guard = before.guard.renewed(settings.protection.clone()).await.map_err(ApplyError::Protection)?;
        let is_unwanted = |open: &ListenAddress| !settings.listen.contains(open);
        let is_missing = |address: &&ListenAddress| !self.listeners.contains_key(*address);
        let missing: BTreeSet<ListenAddress> = settings.listen.iter().filter(is_missing).cloned().collect();
        let (mut bound, mut closed) = (Vec::new(), Vec::new());
        for address in missing {
            // 0.0.0.0:9100 conflicts with 127.0.0.1:9100.
            let conflicts = |open: &ListenAddress| open.port().is_some() && open.port() == address.port();
            closed.extend(self.close(|open| is_unwanted(open) && conflicts(open)).await);
            match self.bind(&address, settings.socket_mode).await {
                Ok(sockets) => bound.push((address, sockets)),
                Err(reason) => {
                    drop(bound);
                    self.reopen(closed, before.settings.socket_mode).await;
                    return Err(ApplyError::Bind { address, table: settings.table, reason });
                }
            }
        }
        self.rules.store(Arc::new(Rules { settings: settings.clone(), guard, on_denial: before.on_denial.clone() }));
        for (address, sockets) in bound {
            self.open(address, sockets);
        }
        self.close(is_unwanted).await;
        if settings.socket_mode != before.settings.socket_mode {
            self.set_socket_mode(settings.socket_mode);
        }
        Ok(())
    }

    fn open(&mut self, configured: ListenAddress, sockets: Vec<Bound>) {
        let listeners = sockets.into_iter().map(|bound| self.listener(bound)).collect();
        self.listeners.insert(configured, listeners);
    }

    fn listener(&self, Bound { address, socket, file }: Bound) -> Listener {
        let stop = CancellationToken::new();
        let (rules, router) = (self.rules.clone(), self.router.clone());
        let limit = {
            let rules = rules.clone();
            move || rules.load().settings.max_connections
        };
        let registry = connections::OF_PROCESS.open(address.clone(), limit());
        let stop_serving = stop.clone();
        let serve = move |stream, registration| {
            serve_connection(stream, registration, rules.load_full(), router.clone(), stop_serving.clone())
        };
        let accepting = tokio::spawn(accept(socket, registry, stop.clone(), limit, serve));
        Listener { address, file, stop, accepting }
    }

    fn set_socket_mode(&self, mode: u32) {
        for listener in self.listeners.values().flatten() {
            if let Some(Err(error)) = listener.file.as_ref().map(|file| file.set_mode(mode)) {
                tracing::error!("cannot set the permissions of {}: {error}", listener.address);
            }
        }
    }

    /// Closes these addresses and returns them. Their requests in flight are completed.
    async fn close(&mut self, which: impl Fn(&ListenAddress) -> bool) -> Vec<ListenAddress> {
        let mut closed = Vec::new();
        for (address, listeners) in self.listeners.extract_if(.., |address, _| which(address)) {
            for listener in listeners {
                tokio::spawn(wait_for_all(listener.close().await));
            }
            closed.push(address);
        }
        closed
    }

    async fn reopen(&mut self, addresses: Vec<ListenAddress>, mode: u32) {
        for address in addresses {
            match self.bind(&address, mode).await {
                Ok(sockets) => self.open(address, sockets),
                Err(error) => tracing::error!("cannot listen on {address} again: {error}"),
            }
        }
    }

    /// The listening addresses, with the ports that the kernel chose. A host name is replaced by its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.listeners.values().flatten().map(|listener| &listener.address)
    }

    /// `https` with TLS, otherwise `http`.
    pub fn scheme(&self) -> &'static str {
        if self.rules.load().guard.in_force().tls.is_some() { "https" } else { "http" }
    }

    /// The listeners that are not in `before`, for the log: as URLs with `path`, or paths of Unix sockets.
    pub fn listeners_after(&self, before: &[ListenAddress], path: &str) -> Vec<String> {
        let scheme = self.scheme();
        let url = |address: &ListenAddress| match address {
            ListenAddress::Unix(_) => address.to_string(),
            _ if address.is_any() => format!("{scheme}://{address}{path} (IPv6 and IPv4)"),
            _ => format!("{scheme}://{address}{path}"),
        };
        self.addresses().filter(|address| !before.contains(address)).map(url).collect()
    }

    /// Stops accepting, and waits for the requests in flight.
    pub async fn drain(self) {
        let close = |listener: Listener| async { wait_for_all(listener.close().await).await };
        wait_for_all(self.listeners.into_values().flatten().map(close).collect()).await;
    }
}

/// Why settings cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {reason}{}", remedy(.reason, table))]
    Bind {
        /// The address.
        address: ListenAddress,
        /// The table whose `listen` has it.
        table: &'static str,
        /// The kernel's error.
        reason: io::Error,
    },
    /// Certificates or users cannot be loaded.
    #[error("{0}")]
    Protection(String),
}

/// What a user can do about an error of binding an address.
fn remedy(error: &io::Error, table: &str) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "; is something else listening there? Choose another address with listen of [{table}], or with --listen"
        ),
        ErrorKind::PermissionDenied => "; a port below 1024 needs CAP_NET_BIND_SERVICE or taffrail.socket, and a Unix \
             socket needs a writable directory"
            .to_owned(),
        _ => String::new(),
    }
}

impl Listener {
    /// Stops accepting, and removes the file of a Unix socket. Returns the connections that are still open.
    async fn close(self) -> JoinSet<()> {
        drop(self.file);
        self.stop.cancel();
        self.accepting.await.unwrap_or_default()
    }
}

async fn wait_for_all(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
