//! What runs: servers, collectors, sinks.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::load::Loaded;
use crate::collectors::framework::Configured;
use crate::collectors::readers::Readers;
use crate::config::Written;
use crate::gateway;
use crate::gateway::forward::Forward;
use crate::gateway::service::{Service, StartError};
use crate::host::Host;
use crate::http::{self, ApplyError, ListenAddress, Server};
use crate::live::{self, Live};
use crate::log;
use crate::manager::Sockets;
use crate::settings::Settings;
use crate::sinks::folders;
use crate::sinks::prometheus::Exporter;
use crate::sinks::sender::Sink;
use crate::sinks::settings::Prepared;
use crate::sinks::state::RunningSink;
use crate::spool;
use crate::spool::folders::{PreviousSink, match_successors};
use crate::subprocess;

/// Time that requests in flight and final batches have when the process ends.
const DRAIN: Duration = Duration::from_secs(10);
/// Total time for sinks, including saving unsent points to disk.
const DRAIN_TO_DISK: Duration = Duration::from_secs(25);

pub(super) struct Agent {
    exporter: Arc<Exporter>,
    live: Arc<Live>,
    /// The configuration in force.
    written: Written,
    server: Server,
    gateway: Option<Service>,
    sinks: Vec<Sink>,
    /// Sinks and services removed by a reload that are still draining.
    draining: JoinSet<()>,
}

impl Agent {
    pub(super) async fn start(loaded: Loaded, mut sockets: Sockets) -> Result<Agent, Box<dyn std::error::Error>> {
        let Loaded { settings, sinks } = loaded;
        log::apply(settings.log.clone());
        tracing::info!("{}", summary(&settings, &sinks));
        if settings.http.listen.is_empty() {
            // A process that is only a gateway uses all sockets.
            sockets.gateway.append(&mut sockets.http);
        }
        let readers = Arc::new(Readers::new(settings.host, settings.collectors));
        let exporter = Arc::new(Exporter::new(readers));
        exporter.apply(&settings.http);
        let live = Arc::new(Live::new(exporter.clone()));
        live.apply(live::Configuration { files: settings.files, secrets: settings.secrets });
        let mut server = Server::new(&settings.http, live::router(live.clone()), sockets.http);
        listen(&mut server, &settings.http).await?;
        let (written, draining) = (settings.written, JoinSet::new());
        let mut agent = Agent { exporter, live, written, server, gateway: None, sinks: Vec::new(), draining };
        agent.replace_sinks(sinks, &settings.schedule.spool).await;
        // After the sinks, so that the first pushes reach them.
        if !settings.gateway.listen.is_empty() {
            let forwards = agent.forwards();
            let started = Service::start(settings.gateway, &settings.http, sockets.gateway, forwards).await?;
            agent.gateway = Some(started);
        }
        if agent.sinks.is_empty() && settings.http.listen.is_empty() && agent.gateway.is_none() {
            tracing::warn!("nothing to do: [http] listen is empty, and there is neither a sink nor a gateway");
        }
        agent.link_gateway();
        Ok(agent)
    }

    /// Applies another configuration. If its addresses cannot be bound, nothing changes.
    pub(super) async fn apply(&mut self, loaded: Loaded) {
        let Loaded { mut settings, sinks } = loaded;
        if let Err(error) = listen(&mut self.server, &settings.http).await {
            tracing::error!("the configuration was not reloaded; the previous one stays active: {error}");
            return;
        }
        log::apply(settings.log);
        // A sink drained since the last reload may still hold a folder that is now needed.
        let _ = timeout(DRAIN_TO_DISK, async { while self.draining.join_next().await.is_some() {} }).await;
        let gateway = self.replace_gateway(settings.gateway, &settings.http).await;
        if gateway.is_err() {
            settings.written.keep("gateway", &self.written);
        }
        self.exporter.apply(&settings.http);
        self.live.apply(live::Configuration { files: settings.files, secrets: settings.secrets });
        self.link_gateway();
        if settings.written.differs_in(&self.written, &["host", "collectors", "nats"]) {
            self.replace_readers(settings.host, settings.collectors).await;
        } else {
            // They were created for checking only, and dropping them may block.
            spawn_blocking(move || drop(settings.collectors));
        }
        self.replace_sinks(sinks, &settings.schedule.spool).await;
        let changes = self.written.changes(&settings.written);
        self.written = settings.written;
        report_reload(&changes, gateway);
    }

    /// Links the live page to the gateway's page.
    fn link_gateway(&self) {
        self.live.link(self.gateway.as_ref().and_then(Service::page));
    }

    async fn replace_gateway(
        &mut self,
        settings: gateway::settings::Settings,
        http: &http::Settings,
    ) -> Result<(), StartError> {
        match &mut self.gateway {
            Some(_) if settings.listen.is_empty() => {
                self.draining.extend(self.gateway.take().map(Service::drain));
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
        let exporter = self.exporter.clone();
        let replace = move || exporter.readers.store(Arc::new(Readers::new(host, collectors)));
        if let Err(failed) = spawn_blocking(replace).await {
            tracing::error!("the collectors stay as they were: {failed}");
        }
    }

    /// Sinks with unchanged settings keep running; waiting points of a changed one pass to its successor.
    async fn replace_sinks(&mut self, wanted: Vec<Prepared>, spool: &spool::Settings) {
        let mut running: Vec<Option<Sink>> = std::mem::take(&mut self.sinks).into_iter().map(Some).collect();
        let owners = folders::owners(wanted.iter().map(|prepared| &prepared.settings));
        let previous: Vec<PreviousSink> =
            running.iter().flatten().map(|sink| PreviousSink::from(&sink.owner)).collect();
        let mut before: Vec<Option<Sink>> = Vec::new();
        for index in match_successors(&previous, &owners) {
            before.push(index.and_then(|index| running[index].take()));
        }
        let leave = |sink| end(sink, End::OfSink(self.exporter.clone()));
        self.draining.extend(running.into_iter().flatten().map(leave));
        let runs = before.iter().map(Option::is_some).collect();
        let (places, orphans) = folders::locations(owners, runs, spool).await;
        self.exporter.orphans.set(&orphans);
        for ((prepared, place), before) in wanted.into_iter().zip(places).zip(before) {
            let left = match before {
                Some(mut old) if old.settings == prepared.settings => {
                    old.reconnect(prepared);
                    old.set_owner(place.owner).await;
                    self.sinks.push(old);
                    continue;
                }
                Some(old) => {
                    let state = old.state.clone();
                    if timeout(DRAIN, old.into_state()).await.is_err() {
                        tracing::error!(sink = place.owner.name, "the disk does not answer, on which points wait");
                    }
                    Some(state)
                }
                None => None,
            };
            self.sinks.push(Sink::start(prepared, &self.exporter, left, place).await);
        }
        self.publish_sinks();
    }

    fn publish_sinks(&self) {
        let running = self.sinks.iter().map(|sink| RunningSink {
            name: sink.settings.delivery.name.clone(),
            kind: sink.settings.kind(),
            address: sink.settings.target.secrets().hide(&sink.settings.target.address()),
            state: sink.state.clone(),
        });
        self.exporter.sinks.store(Arc::new(running.collect()));
        if let Some(gateway) = &self.gateway {
            gateway.forward_to(self.forwards());
        }
    }

    /// The sinks to which pushed metrics are forwarded.
    fn forwards(&self) -> Vec<Forward> {
        let forward = |sink: &Sink| Forward { form: sink.form.clone(), sink: sink.state.clone() };
        self.sinks.iter().map(forward).collect()
    }

    /// A one-line status.
    pub(super) fn status(&self) -> String {
        let listens: Vec<String> = self.server.addresses().map(ToString::to_string).collect();
        let listens =
            if listens.is_empty() { "not scraped".to_owned() } else { format!("scraped at {}", listens.join(", ")) };
        let gateway = if self.gateway.is_some() { "; a gateway" } else { "" };
        match self.sinks.len() {
            0 => format!("{listens}{gateway}"),
            count => format!("{listens}{gateway}; pushes to {count}"),
        }
    }

    pub(super) async fn quit_requested(&self) {
        match &self.gateway {
            Some(gateway) => gateway.quit_requested().await,
            None => pending().await,
        }
    }

    pub(super) async fn drain(self) {
        self.exporter.draining.store(true, Relaxed);
        let mut sinks = self.draining;
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
        // They had their last results read by the sinks.
        let _ = spawn_blocking(|| subprocess::end_all(subprocess::GRACE)).await;
    }
}

/// What is on, for the log.
fn summary(settings: &Settings, sinks: &[Prepared]) -> String {
    let sinks: Vec<&str> = sinks.iter().map(|sink| sink.settings.delivery.name.as_str()).collect();
    let part = |is_on: bool, text: String| if is_on { text } else { String::new() };
    format!(
        "taffrail {} starts with {}: {}{}{}",
        env!("CARGO_PKG_VERSION"),
        settings.files.join(", "),
        counted(settings.collectors.len(), "collector"),
        part(!sinks.is_empty(), format!(", {} ({})", counted(sinks.len(), "sink"), sinks.join(", "))),
        part(!settings.gateway.listen.is_empty(), ", a gateway".to_owned()),
    )
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Reports a reload once, with what changed.
fn report_reload(changes: &[String], gateway: Result<(), StartError>) {
    /// More are counted.
    const MAX_NAMED: usize = 12;
    let (named, others) = changes.split_at(changes.len().min(MAX_NAMED));
    let changed = match (named, others.len()) {
        ([], _) => "no setting changed".to_owned(),
        (named, 0) => format!("changed: {}", named.join(", ")),
        (named, others) => format!("changed: {} and {}", named.join(", "), counted(others, "other table")),
    };
    match gateway {
        Ok(()) => tracing::info!("the configuration was reloaded; {changed}"),
        Err(error) => tracing::error!(
            "the configuration was reloaded except for [gateway], whose previous settings stay active: {error}; {changed}"
        ),
    }
}

/// Applies the listening addresses of `settings`, and logs new ones.
async fn listen(server: &mut Server, settings: &http::Settings) -> Result<(), ApplyError> {
    let before: Vec<ListenAddress> = server.addresses().cloned().collect();
    server.apply(settings).await?;
    for listener in server.listeners_after(&before, &settings.telemetry_path) {
        tracing::info!("listening on {listener}");
    }
    Ok(())
}

/// What ends.
enum End {
    /// A sink that is not in the new configuration.
    OfSink(Arc<Exporter>),
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
        End::OfSink(exporter) => {
            exporter.orphans.add(kept, counts.bytes);
            tracing::warn!(
                sink = name,
                "{kept} points wait on disk, and belong to no sink: there is none of this name any more"
            );
        }
    }
    if lost > 0 {
        tracing::error!(sink = name, "{lost} points could not be sent, and are lost");
    }
    // A thread that hangs in the kernel may keep the sink's state alive, and with it the folder's lock.
    state.queue.release();
}
