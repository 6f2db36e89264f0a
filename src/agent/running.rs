//! What runs: servers, collectors, sinks.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::load::Loaded;
use crate::collectors::readers::Readers;
use crate::collectors::settings::Configured;
use crate::gateway;
use crate::gateway::forward::Forward;
use crate::gateway::service::{Service, StartError};
use crate::host::Host;
use crate::http::{self, ApplyError, Server};
use crate::manager::Sockets;
use crate::settings::Measured;
use crate::sinks::connection::Prepared;
use crate::sinks::folders;
use crate::sinks::prometheus::{Exposition, router};
use crate::sinks::sender::Sink;
use crate::spool;
use crate::spool::owners::{Former, successions};

/// How long requests in flight and last batches may take when the process ends.
const DRAIN: Duration = Duration::from_secs(10);
/// How long sinks may take in all, where the disk does not take what the server did not.
const DRAIN_TO_DISK: Duration = Duration::from_secs(25);

pub(super) struct Agent {
    exposition: Arc<Exposition>,
    measured: Measured,
    server: Server,
    gateway: Option<Service>,
    sinks: Vec<Sink>,
    /// What a reload has ended, and still sends or answers.
    leaving: JoinSet<()>,
}

impl Agent {
    pub(super) async fn start(loaded: Loaded, mut sockets: Sockets) -> Result<Agent, Box<dyn std::error::Error>> {
        let Loaded { settings, sinks } = loaded;
        if settings.http.listen.is_empty() {
            // A process that is a gateway alone has whatever sockets there are.
            sockets.gateway.append(&mut sockets.http);
        }
        let readers = Arc::new(Readers::new(settings.host, settings.collectors));
        let exposition = Arc::new(Exposition::new(readers, settings.http.max_requests));
        let mut server = Server::new(&settings.http, router(exposition.clone()), sockets.http);
        listen(&mut server, &settings.http).await?;
        let (measured, leaving) = (settings.measured, JoinSet::new());
        let mut agent = Agent { exposition, measured, server, gateway: None, sinks: Vec::new(), leaving };
        agent.replace_sinks(sinks, &settings.schedule.spool).await;
        // After the sinks: what is pushed before there are any would reach none.
        if !settings.gateway.listen.is_empty() {
            let forwards = agent.forwards();
            let started = Service::start(settings.gateway, &settings.http, sockets.gateway, forwards).await?;
            agent.gateway = Some(started);
        }
        if agent.sinks.is_empty() && settings.http.listen.is_empty() && agent.gateway.is_none() {
            tracing::warn!("nothing to do: [http] listen is empty, and there is neither a sink nor a gateway");
        }
        Ok(agent)
    }

    /// Takes another configuration. If it cannot be listened as it says, everything stays as it was.
    pub(super) async fn apply(&mut self, loaded: Loaded) {
        let Loaded { settings, sinks } = loaded;
        if let Err(error) = listen(&mut self.server, &settings.http).await {
            tracing::error!("the configuration was not reloaded; the one before stays in force: {error}");
            return;
        }
        // What left at the last reload may still have the folder that is now wanted.
        let _ = timeout(DRAIN_TO_DISK, async { while self.leaving.join_next().await.is_some() {} }).await;
        if let Err(error) = self.replace_gateway(settings.gateway, &settings.http).await {
            tracing::error!("the gateway was not reloaded; it goes on as before: {error}");
        }
        self.exposition.max_requests.store(settings.http.max_requests, Relaxed);
        if settings.measured != self.measured {
            self.measured = settings.measured;
            self.replace_readers(settings.host, settings.collectors).await;
        } else {
            // They were made to be checked, and may take their time to go.
            spawn_blocking(move || drop(settings.collectors));
        }
        self.replace_sinks(sinks, &settings.schedule.spool).await;
        tracing::info!("the configuration was reloaded");
    }

    async fn replace_gateway(
        &mut self,
        settings: gateway::settings::Settings,
        http: &http::Settings,
    ) -> Result<(), StartError> {
        match &mut self.gateway {
            Some(_) if settings.listen.is_empty() => {
                self.leaving.extend(self.gateway.take().map(Service::drain));
            }
            Some(gateway) => gateway.reload(settings, http).await?,
            None if settings.listen.is_empty() => {}
            None => {
                let started = Service::start(settings, http, BTreeMap::new(), self.forwards()).await?;
                self.gateway = Some(started);
            }
        }
        Ok(())
    }

    async fn replace_readers(&mut self, host: Host, collectors: Vec<Configured>) {
        let exposition = self.exposition.clone();
        let replace = move || exposition.readers.store(Arc::new(Readers::new(host, collectors)));
        if let Err(failed) = spawn_blocking(replace).await {
            tracing::error!("the collectors stay as they were: {failed}");
        }
    }

    /// Sinks whose settings have not changed go on undisturbed; what waits in one that has changed goes on in its successor.
    async fn replace_sinks(&mut self, wanted: Vec<Prepared>, spool: &spool::Settings) {
        let mut running: Vec<Option<Sink>> = std::mem::take(&mut self.sinks).into_iter().map(Some).collect();
        let owners = folders::owners(wanted.iter().map(|prepared| &prepared.settings));
        let formers: Vec<Former> = running.iter().flatten().map(|sink| Former::from(&sink.owner)).collect();
        let mut before: Vec<Option<Sink>> = Vec::new();
        for former in successions(&formers, &owners) {
            before.push(former.and_then(|index| running[index].take()));
        }
        let leave = |sink| end(sink, End::OfSink(self.exposition.clone()));
        self.leaving.extend(running.into_iter().flatten().map(leave));
        let runs = before.iter().map(Option::is_some).collect();
        let (places, orphans) = folders::places(owners, runs, spool).await;
        self.exposition.orphans.set(&orphans);
        for ((prepared, place), before) in wanted.into_iter().zip(places).zip(before) {
            let left = match before {
                Some(mut old) if old.settings == prepared.settings => {
                    old.renew(prepared);
                    old.stands(place.owner).await;
                    self.sinks.push(old);
                    continue;
                }
                Some(old) => {
                    let state = old.state.clone();
                    if timeout(DRAIN, old.hand_over()).await.is_err() {
                        tracing::error!(sink = place.owner.name, "the disk does not answer, on which points wait");
                    }
                    Some(state)
                }
                None => None,
            };
            self.sinks.push(Sink::start(prepared, &self.exposition, left, place).await);
        }
        self.publish_sinks();
    }

    fn publish_sinks(&self) {
        let stats = self.sinks.iter().map(|sink| (sink.settings.delivery.name.clone(), sink.state.clone()));
        self.exposition.sinks.store(Arc::new(stats.collect()));
        if let Some(gateway) = &self.gateway {
            gateway.forward_to(self.forwards());
        }
    }

    /// What jobs push goes on to these.
    fn forwards(&self) -> Vec<Forward> {
        let forward = |sink: &Sink| Forward { form: sink.settings.form(), sink: sink.state.clone() };
        self.sinks.iter().map(forward).collect()
    }

    /// What it does, in a line.
    pub(super) fn status(&self) -> String {
        let listens: Vec<String> = self.server.addresses().map(|address| address.to_string()).collect();
        let listens =
            if listens.is_empty() { "not pulled".to_owned() } else { format!("pulled at {}", listens.join(", ")) };
        let gateway = if self.gateway.is_some() { "; a gateway" } else { "" };
        match self.sinks.len() {
            0 => format!("{listens}{gateway}"),
            count => format!("{listens}{gateway}; pushes to {count}"),
        }
    }

    pub(super) async fn asked_to_quit(&self) {
        match &self.gateway {
            Some(gateway) => gateway.asked_to_quit().await,
            None => pending().await,
        }
    }

    pub(super) async fn drain(self) {
        self.exposition.draining.store(true, Relaxed);
        let mut sinks = self.leaving;
        sinks.extend(self.sinks.into_iter().map(|sink| end(sink, End::OfProcess)));
        let sinks = async { while sinks.join_next().await.is_some() {} };
        let servers = async {
            self.server.drain().await;
            if let Some(gateway) = self.gateway {
                gateway.drain().await;
            }
        };
        let (requests, sinks) = tokio::join!(timeout(DRAIN, servers), timeout(DRAIN_TO_DISK, sinks));
        if requests.is_err() {
            tracing::warn!("not all requests in flight were answered within {} s", DRAIN.as_secs());
        }
        if sinks.is_err() {
            tracing::error!("not all sinks have ended within {} s: a disk does not answer", DRAIN_TO_DISK.as_secs());
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

/// What ends.
enum End {
    /// A sink, of which there is none in the new configuration.
    OfSink(Arc<Exposition>),
    OfProcess,
}

async fn end(sink: Sink, what: End) {
    let name = sink.settings.delivery.name.clone();
    let (state, lost) = sink.stop(DRAIN).await;
    let counts = state.queue.counts();
    let kept = counts.points.saturating_sub(lost);
    match what {
        _ if kept == 0 => {}
        End::OfProcess => tracing::info!(sink = name, "{kept} points wait on disk for the next start"),
        End::OfSink(exposition) => {
            exposition.orphans.add(kept, counts.bytes);
            tracing::warn!(
                sink = name,
                "{kept} points wait on disk, and belong to no sink: there is none of this name any more"
            );
        }
    }
    if lost > 0 {
        tracing::error!(sink = name, "{lost} points could not be sent, and are lost");
    }
}
