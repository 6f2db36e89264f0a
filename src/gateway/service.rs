//! The gateway as a service: start, reload, expiry of groups, and drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::endpoints::gateway::Gateway;
use super::endpoints::routes::{may_change, router};
use super::forward::Forward;
use super::persistence::group_store::GroupStore;
use super::replication::settings::NO_STATE;
use super::replication::shared::Replication;
use super::request::address::PageAddress;
use super::settings::Settings;
use crate::http::{self, ApplyError, Inherited, ListenAddress, Server};
use crate::store::OpenError;

/// A running gateway.
pub struct Service {
    gateway: Arc<Gateway>,
    server: Server,
    expiry: tokio::task::JoinHandle<()>,
    /// What carries out the replication.
    driver: Option<Driver>,
}

#[cfg(feature = "nats")]
use super::replication::nats::driver::Driver;

/// Without NATS there is no driver.
#[cfg(not(feature = "nats"))]
#[derive(Debug)]
enum Driver {}

#[cfg(not(feature = "nats"))]
impl Driver {
    async fn ended(self) {
        match self {}
    }
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory cannot be used.
    #[error("the gateway's state: {0}")]
    State(#[from] OpenError),
    /// It cannot be a replica.
    #[error("the gateway's stream: {0}")]
    Replica(String),
    /// A replica has no directory.
    #[error("[gateway] stream: {NO_STATE}")]
    NoState,
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ApplyError),
}

impl Service {
    /// Opens the persisted groups, and listens. Sockets in `inherited` are used for their addresses. `http` has the limits on
    /// connections. All pushes are forwarded to `forwards`.
    ///
    /// # Errors
    /// The directory cannot be used, or an address cannot be bound.
    pub async fn start(
        settings: Settings,
        http: &http::Settings,
        inherited: BTreeMap<ListenAddress, Inherited>,
        forwards: Vec<Forward>,
    ) -> Result<Service, StartError> {
        /// How late a group may expire.
        const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
        let opening = settings.clone();
        let opened = spawn_blocking(move || open(&opening)).await;
        let opened = opened.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
        let (store, replication, driver) = opened;
        let groups = store.read(|state| state.groups());
        match &settings.state {
            Some(directory) => tracing::info!("the gateway keeps {groups} groups in {}", directory.display()),
            None => tracing::warn!(
                "the gateway keeps groups in memory only; [gateway] state = DIRECTORY keeps them on disk"
            ),
        }
        let listeners = listeners(&settings, http);
        let gateway = Gateway::new(store, replication, settings);
        gateway.forwards.store(Arc::new(forwards));
        let denied = gateway.clone();
        let server = Server::new(&listeners, router(gateway.clone()), inherited);
        let mut server = server.on_denial(Arc::new(move |denial, client, method, path| {
            if may_change(method) {
                denied.refusals.log_denied(denial, client, method, path);
            }
        }));
        server.apply(&listeners).await.inspect_err(|_| gateway.close())?;
        for listener in server.listeners_after(&[], "") {
            tracing::info!("the gateway listens on {listener}");
        }
        let expiring = gateway.clone();
        let expiry = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EXPIRY_INTERVAL).await;
                let expired = expiring.expire().await;
                if expired > 0 {
                    tracing::debug!("{expired} groups ended, as their time was over");
                }
            }
        });
        Ok(Service { gateway, server, expiry, driver })
    }

    /// Applies new settings. A new directory takes effect on the next start.
    ///
    /// # Errors
    /// An address cannot be bound; then nothing changes.
    pub async fn reload(&mut self, settings: Settings, http: &http::Settings) -> Result<(), ApplyError> {
        let before: Vec<ListenAddress> = self.server.addresses().cloned().collect();
        let listeners = listeners(&settings, http);
        self.server.apply(&listeners).await?;
        for listener in self.server.listeners_after(&before, "") {
            tracing::info!("the gateway listens on {listener}");
        }
        if settings.state != self.gateway.settings.load().state {
            tracing::warn!("[gateway] state has changed; it is taken when Taffrail is started again");
        }
        if settings.replication != self.gateway.settings.load().replication {
            tracing::warn!("[gateway] stream or [nats] has changed; it is applied when Taffrail is started again");
        }
        self.gateway.settings.store(Arc::new(settings));
        Ok(())
    }

    /// Where its page is; none without an address.
    pub fn page(&self) -> Option<PageAddress> {
        let settings = self.gateway.settings.load();
        if let Some(url) = &settings.external_url {
            return Some(PageAddress::Url(url.clone()));
        }
        let address = self.server.addresses().find_map(|address| match address {
            ListenAddress::Ip(address) => Some(*address),
            _ => None,
        })?;
        Some(PageAddress::Listens {
            scheme: self.server.scheme(),
            address,
            path: format!("{}/", settings.prefix.as_str()),
        })
    }

    /// Forwards pushes to these sinks from now on.
    pub fn forward_to(&self, sinks: Vec<Forward>) {
        self.gateway.forwards.store(Arc::new(sinks));
    }

    /// Waits for a request to stop the process.
    pub async fn quit_requested(&self) {
        self.gateway.quit_requested().await;
    }

    /// Answers the requests in flight, and closes the store.
    pub async fn drain(self) {
        self.expiry.abort();
        self.server.drain().await;
        self.gateway.close();
        if let Some(driver) = self.driver {
            driver.ended().await;
        }
    }
}

type Opened = (Arc<GroupStore>, Option<Replication>, Option<Driver>);

/// Opens the groups, and starts the replication if there is a stream.
fn open(settings: &Settings) -> Result<Opened, StartError> {
    #[cfg(feature = "nats")]
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
    /// More than the writer takes until it gives up a push.
    #[cfg(feature = "nats")]
    const WRITER_TIMEOUT: Duration = Duration::from_secs(30);
    /// Less than the writer's `idle_timeout`: it is not known whether a request on a closed connection arrived.
    #[cfg(feature = "nats")]
    const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
    #[cfg(feature = "nats")]
    if let Some(replication) = settings.replication.clone() {
        let directory = settings.state.as_deref().ok_or(StartError::NoState)?;
        let (store, replica, copy) = GroupStore::open_replica(directory)?;
        let client = crate::client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(WRITER_TIMEOUT);
        let client = client.pool_idle_timeout(POOL_IDLE_TIMEOUT);
        let tls = crate::client::Tls { ca: replication.ca.clone(), ..crate::client::Tls::default() };
        let client = tls.apply(client, true, ["[gateway] replica_ca", ""]).map_err(StartError::Replica)?.build();
        let client = client.map_err(|error| StartError::Replica(crate::client::reason(&error)))?;
        let status = Arc::default();
        let driver = Driver::start(replication.clone(), replica, copy, Arc::clone(&status));
        let driver = driver.map_err(|error| StartError::Replica(error.to_string()))?;
        return Ok((store, Some(Replication { settings: replication, status, client }), Some(driver)));
    }
    Ok((GroupStore::open(settings.state.as_deref())?, None, None))
}

fn listeners(settings: &Settings, http: &http::Settings) -> http::Settings {
    http::Settings {
        table: "gateway",
        listen: settings.listen.clone(),
        prefix: settings.prefix.as_str().to_owned(),
        ..http.clone()
    }
}
