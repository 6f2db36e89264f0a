//! The process: starts what the configuration asks for, reloads it on SIGHUP, drains on SIGTERM and SIGINT.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::collectors::readers::Readers;
use crate::config::Problems;
use crate::gateway::forward::Forward;
use crate::gateway::service::Service;
use crate::http::{self, ApplyError, Server};
use crate::manager::{self, Sockets};
use crate::settings::{Measured, Overrides, Settings};
use crate::sinks::prometheus::{Exposition, router};
use crate::sinks::sender::Sink;
use crate::system::{Asked, Signals};

/// How long requests in flight and last batches may take when the process ends.
const DRAIN: Duration = Duration::from_secs(10);

/// Where the configuration comes from; asked again at each reload.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The files and directories.
    pub paths: Vec<PathBuf>,
    /// What the command line says instead.
    pub overrides: Overrides,
}

/// A variable of the environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The same, with credentials that stand for any.
pub fn variable_without_credentials(name: &str) -> Option<String> {
    if name.starts_with("credential:") { Some("credential".to_owned()) } else { variable(name) }
}

impl Origin {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load(&self) -> Result<Settings, Problems> {
        Settings::load(&self.paths, &self.overrides, &variable)
    }

    /// The same, for those who look on: only the service may read its credentials, so that any are taken for good.
    ///
    /// # Errors
    /// As [`Origin::load`].
    pub fn load_without_credentials(&self) -> Result<Settings, Problems> {
        Settings::load_once(&self.paths, &self.overrides, &variable_without_credentials)
    }

    /// The same, but for listening on sockets that were handed over, if there are any.
    fn listening_on(&self, sockets: &Sockets) -> Origin {
        let mut origin = self.clone();
        let addresses = |handed: &BTreeMap<SocketAddr, TcpListener>| handed.keys().copied().collect::<Vec<_>>();
        let (http, gateway) = (addresses(&sockets.http), addresses(&sockets.gateway));
        if origin.overrides.only_gateway && !(http.is_empty() && gateway.is_empty()) {
            origin.overrides.listen = [http, gateway].concat();
            return origin;
        }
        if !http.is_empty() {
            origin.overrides.listen = http;
        }
        origin.overrides.gateway_listen = gateway;
        origin
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(origin: &Origin) -> Result<(), Box<dyn std::error::Error>> {
    // Before anything else: a SIGHUP that nobody handles would end the process.
    let mut signals = Signals::new()?;
    let sockets = Sockets::take().map_err(|error| format!("a socket of the service manager: {error}"))?;
    let origin = &origin.listening_on(&sockets);
    let mut agent = Agent::start(origin.load()?, sockets).await?;
    manager::ready(&agent.status());
    let _alive = manager::keep_alive();
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = agent.asked_to_quit() => Asked::End("a request to /-/quit"),
        };
        match asked {
            Asked::Reload => {
                manager::reloading();
                agent.reload(origin).await;
                manager::ready(&agent.status());
            }
            Asked::End(name) => {
                manager::stopping();
                tracing::info!("{name}: shutting down");
                agent.drain().await;
                return Ok(());
            }
        }
    }
}

struct Agent {
    exposition: Arc<Exposition>,
    measured: Measured,
    server: Server,
    gateway: Option<Service>,
    sinks: Vec<Sink>,
}

impl Agent {
    async fn start(settings: Settings, mut sockets: Sockets) -> Result<Agent, Box<dyn std::error::Error>> {
        if settings.http.listen.is_empty() {
            // A process that is a gateway alone has whatever sockets there are.
            sockets.gateway.append(&mut sockets.http);
        }
        let readers = Arc::new(Readers::new(settings.host, settings.collectors));
        let exposition = Arc::new(Exposition::new(readers, settings.http.max_requests));
        let mut server = Server::new(&settings.http, router(exposition.clone()), sockets.http);
        listen(&mut server, &settings.http).await?;
        let gateway = match settings.gateway.listen.is_empty() {
            true => None,
            false => Some(Service::start(settings.gateway, &settings.http, sockets.gateway).await?),
        };
        let mut agent = Agent { exposition, measured: settings.measured, server, gateway, sinks: Vec::new() };
        for sink in settings.sinks {
            agent.sinks.push(Sink::start(sink, &agent.exposition, None)?);
        }
        agent.publish_sinks();
        if agent.sinks.is_empty() && settings.http.listen.is_empty() && agent.gateway.is_none() {
            tracing::warn!("nothing to do: [http] listen is empty, and there is neither a sink nor a gateway");
        }
        Ok(agent)
    }

    /// Takes the configuration as it is now. If anything is wrong with it, everything stays as it was.
    async fn reload(&mut self, origin: &Origin) {
        let settings = match origin.load() {
            Ok(settings) => settings,
            Err(problems) => {
                for line in problems.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration was not reloaded; the one before stays in force");
                return;
            }
        };
        let sinks_are_sound = settings.sinks.iter().try_for_each(Sink::check);
        if let Err(error) = sinks_are_sound {
            tracing::error!("the configuration was not reloaded; the one before stays in force: {error}");
            return;
        }
        if let Err(error) = listen(&mut self.server, &settings.http).await {
            tracing::error!("the configuration was not reloaded; the one before stays in force: {error}");
            return;
        }
        if let Err(error) = self.reload_gateway(settings.gateway, &settings.http).await {
            tracing::error!("the gateway was not reloaded; it goes on as before: {error}");
        }
        self.exposition.max_requests.store(settings.http.max_requests, Relaxed);
        if settings.measured != self.measured {
            self.measured = settings.measured;
            self.exposition.readers.store(Arc::new(Readers::new(settings.host, settings.collectors)));
        }
        self.replace_sinks(settings.sinks).await;
        tracing::info!("the configuration was reloaded");
    }

    async fn reload_gateway(
        &mut self,
        settings: crate::gateway::settings::Settings,
        http: &http::Settings,
    ) -> Result<(), crate::gateway::service::StartError> {
        match &mut self.gateway {
            Some(_) if settings.listen.is_empty() => {
                if let Some(gateway) = self.gateway.take() {
                    gateway.drain().await;
                }
            }
            Some(gateway) => gateway.reload(settings, http).await?,
            None if settings.listen.is_empty() => {}
            None => self.gateway = Some(Service::start(settings, http, BTreeMap::new()).await?),
        }
        Ok(())
    }

    /// What it does, in a line.
    fn status(&self) -> String {
        let listens: Vec<String> = self.server.addresses().map(|address| address.to_string()).collect();
        let listens =
            if listens.is_empty() { "not pulled".to_owned() } else { format!("pulled at {}", listens.join(", ")) };
        let gateway = if self.gateway.is_some() { "; a gateway" } else { "" };
        match self.sinks.len() {
            0 => format!("{listens}{gateway}"),
            count => format!("{listens}{gateway}; pushes to {count}"),
        }
    }

    async fn asked_to_quit(&self) {
        match &self.gateway {
            Some(gateway) => gateway.asked_to_quit().await,
            None => pending().await,
        }
    }

    /// Sinks whose settings have not changed go on undisturbed; what waits in one that has changed goes on in its successor.
    async fn replace_sinks(&mut self, wanted: Vec<crate::sinks::settings::Settings>) {
        let mut running = std::mem::take(&mut self.sinks);
        for settings in wanted {
            let same_name = running.iter().position(|sink| sink.settings.delivery.name == settings.delivery.name);
            let old = same_name.map(|index| running.swap_remove(index));
            let left = match old {
                Some(old) if old.settings == settings => {
                    self.sinks.push(old);
                    continue;
                }
                Some(old) => Some(old.hand_over().await),
                None => None,
            };
            match Sink::start(settings, &self.exposition, left) {
                Ok(sink) => self.sinks.push(sink),
                Err(error) => tracing::error!("a sink could not be started: {error}"),
            }
        }
        for sink in running {
            end(sink).await;
        }
        self.publish_sinks();
    }

    fn publish_sinks(&self) {
        let stats = self.sinks.iter().map(|sink| (sink.settings.delivery.name.clone(), sink.state.clone()));
        self.exposition.sinks.store(Arc::new(stats.collect()));
        if let Some(gateway) = &self.gateway {
            let forward = |sink: &Sink| Forward { form: sink.settings.form(), sink: sink.state.clone() };
            gateway.forward_to(self.sinks.iter().map(forward).collect());
        }
    }

    async fn drain(self) {
        self.exposition.draining.store(true, Relaxed);
        let mut sinks: JoinSet<()> = self.sinks.into_iter().map(end).collect();
        let sinks = async { while sinks.join_next().await.is_some() {} };
        let servers = async {
            self.server.drain().await;
            if let Some(gateway) = self.gateway {
                gateway.drain().await;
            }
        };
        let (requests, ()) = tokio::join!(timeout(DRAIN, servers), sinks);
        if requests.is_err() {
            tracing::warn!("not all requests in flight were answered within {} s", DRAIN.as_secs());
        }
    }
}

/// Listens as `settings` say, and tells the log of addresses that are new.
async fn listen(server: &mut Server, settings: &http::Settings) -> Result<(), ApplyError> {
    let before: Vec<SocketAddr> = server.addresses().collect();
    server.apply(settings).await?;
    for address in server.addresses().filter(|address| !before.contains(address)) {
        tracing::info!("listening on {}://{address}/metrics", server.scheme());
    }
    Ok(())
}

async fn end(sink: Sink) {
    let name = sink.settings.delivery.name.clone();
    let (state, lost) = sink.stop(DRAIN).await;
    let kept = state.queue.counts().points - lost;
    if kept > 0 {
        tracing::info!(sink = name, "{kept} points wait on disk for the next start");
    }
    if lost > 0 {
        tracing::error!(sink = name, "{lost} points could not be sent, and are lost");
    }
}
