//! The gateway as a part of the process: its listeners, its groups, and their end.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::base::Gateway;
use super::core::Core;
use super::forward::Forward;
use super::routes::router;
use super::settings::Settings;
use crate::http::{self, ApplyError, Server};
use crate::store::OpenError;

/// A gateway that listens.
pub struct Service {
    gateway: Arc<Gateway>,
    server: Server,
    expiry: tokio::task::JoinHandle<()>,
}

/// Why a gateway cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("the gateway's state: {0}")]
    State(#[from] OpenError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ApplyError),
}

impl Service {
    /// Opens the groups that were kept, and listens, on `handed` sockets where their addresses are wanted; connections are
    /// bounded as `http` says. What is pushed goes on to the sinks of `forwards` from the first push on.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub async fn start(
        settings: Settings,
        http: &http::Settings,
        handed: BTreeMap<SocketAddr, TcpListener>,
        forwards: Vec<Forward>,
    ) -> Result<Service, StartError> {
        /// How late a group may end.
        const EVERY: Duration = Duration::from_secs(1);
        let folder = settings.state.clone();
        let opened = spawn_blocking(move || Core::open(folder.as_deref())).await;
        let core = opened.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
        let groups = core.look(|state| state.groups());
        match &settings.state {
            Some(folder) => tracing::info!("the gateway keeps {groups} groups in {}", folder.display()),
            None => tracing::warn!("the gateway keeps groups in memory alone; [gateway] state = DIRECTORY keeps them"),
        }
        let listeners = listeners(&settings, http);
        let gateway = Gateway::new(core, settings);
        gateway.forwards.store(Arc::new(forwards));
        let mut server = Server::new(&listeners, router(gateway.clone()), handed);
        server.apply(&listeners).await.inspect_err(|_| gateway.close())?;
        for address in server.addresses() {
            tracing::info!("the gateway listens on {}://{address}", server.scheme());
        }
        let expiring = gateway.clone();
        let expiry = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let ended = expiring.expire().await;
                if ended > 0 {
                    tracing::debug!("{ended} groups ended, as their time was over");
                }
            }
        });
        Ok(Service { gateway, server, expiry })
    }

    /// Takes other settings, but for the folder, which takes a restart.
    ///
    /// # Errors
    /// That it cannot listen so; then everything is as before.
    pub async fn reload(&mut self, settings: Settings, http: &http::Settings) -> Result<(), ApplyError> {
        let before: Vec<SocketAddr> = self.server.addresses().collect();
        let listeners = listeners(&settings, http);
        self.server.apply(&listeners).await?;
        for address in self.server.addresses().filter(|address| !before.contains(address)) {
            tracing::info!("the gateway listens on {}://{address}", self.server.scheme());
        }
        if settings.state != self.gateway.settings.load().state {
            tracing::warn!("[gateway] state has changed; it is taken when Taffrail is started again");
        }
        self.gateway.settings.store(Arc::new(settings));
        Ok(())
    }

    /// Sends what is pushed from now on to these sinks too.
    pub fn forward_to(&self, sinks: Vec<Forward>) {
        self.gateway.forwards.store(Arc::new(sinks));
    }

    /// Waits until a request asks for the end of the process.
    pub async fn asked_to_quit(&self) {
        self.gateway.asked_to_quit().await;
    }

    /// Answers the requests in flight, and lets go of the disk.
    pub async fn drain(self) {
        self.expiry.abort();
        self.server.drain().await;
        self.gateway.close();
    }
}

fn listeners(settings: &Settings, http: &http::Settings) -> http::Settings {
    http::Settings { listen: settings.listen.clone(), prefix: settings.prefix.as_str().to_owned(), ..http.clone() }
}
