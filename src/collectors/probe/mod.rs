//! Probes of servers: blackbox_exporter's families, and the points of Telegraf's `http_response` and its siblings.
//!
//! Each target of a module ([`settings`]) is probed by its own clock in the background. A scrape gets the last result
//! of each; a sink gets the points of each probe once. One probe gives both vocabularies ([`outcome`], [`points`]).

mod certificate;
pub(super) mod connect;
mod dns;
mod families;
mod http;
mod icmp;
mod net;
mod outcome;
mod pattern;
mod points;
mod requested;
mod settings;
pub(super) mod tls;
mod x509;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::outcome::Outcome;
use self::requested::{Job, Requested};
use self::settings::Module;
use crate::collectors::framework::background::{Background, Clock};
use crate::collectors::framework::latest::{Index, Latest, Results};
use crate::collectors::framework::on_request::OnRequest;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::log::Episode;

/// The collector.
pub(super) struct Probe {
    modules: Vec<Arc<Module>>,
    requested: Arc<Requested>,
    /// Requests that arrive, until the background work takes them.
    arriving: Option<mpsc::UnboundedReceiver<Job>>,
    running: Option<(Latest<Outcome>, Background)>,
}

/// The results.
#[derive(Default)]
pub(super) struct ProbeReading(Results<Outcome>);

/// Results retained for a sink that does not read.
const MAX_RESULTS: usize = 50_000;

const REMARKS: &str = "\
Each target is probed at its own interval, with its own deadline, and never twice at a time. A scrape gets the last result; a \
sink gets the points of each probe once. docs/probes.md compares with blackbox_exporter and Telegraf.";

impl Collector for Probe {
    const ABOUT: About = About {
        name: "probe",
        summary: "probes of servers, as blackbox_exporter and Telegraf's http_response make them",
        reads: &["the targets"],
        remarks: REMARKS,
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        shows_failures: true,
        is_portable: true,
        keys: &settings::KEYS,
        tables: settings::TABLES,
        families: families::FAMILIES,
        measurements: points::MEASUREMENTS,
        ..About::PLAIN
    };
    type Reading = ProbeReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        let modules = Module::all(section);
        let (requested, arriving) = Requested::new(modules.clone());
        Probe { modules, requested: Arc::new(requested), arriving: Some(arriving), running: None }
    }

    fn read(&mut self, _: &mut ReadContext<'_>, reading: &mut ProbeReading) -> Result<(), ReadError> {
        *reading = ProbeReading(self.running().read());
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let targets = self.modules.iter().map(|module| module.targets.len()).sum();
        self.running().wait(targets, limit);
    }

    fn on_request(&self) -> Option<Arc<dyn OnRequest>> {
        (!self.modules.is_empty()).then(|| self.requested.clone() as _)
    }

    fn report(&mut self) -> Vec<String> {
        self.modules.iter().map(|module| module.summary()).collect()
    }
}

impl Probe {
    fn running(&mut self) -> &Latest<Outcome> {
        &self.running.get_or_insert_with(|| start(&self.modules, self.arriving.take())).0
    }
}

/// Starts the probes in the background, and those that are requested.
fn start(modules: &[Arc<Module>], arriving: Option<mpsc::UnboundedReceiver<Job>>) -> (Latest<Outcome>, Background) {
    let latest = Latest::new(MAX_RESULTS);
    let (modules, all) = (modules.to_vec(), latest.clone());
    let background = Background::start("probe", || async move {
        let mut running = JoinSet::new();
        for (index, module) in modules.into_iter().enumerate() {
            for target in 0..module.targets.len() {
                running.spawn(run(module.clone(), (index, target), all.clone()));
            }
        }
        if let Some(arriving) = arriving {
            running.spawn(respond(arriving));
        }
        while running.join_next().await.is_some() {}
    });
    (latest, background)
}

/// Runs the probes that are requested.
async fn respond(mut arriving: mpsc::UnboundedReceiver<Job>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            job = arriving.recv() => {
                let Some(job) = job else { return };
                running.spawn(async move {
                    let outcome = probe(&job.module, &job.target, job.timeout).await;
                    job.end(outcome);
                });
            }
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

/// Probes a target forever.
async fn run(module: Arc<Module>, at: Index, latest: Latest<Outcome>) {
    let target = &module.targets[at.1];
    let mut clock = Clock::new(module.interval, hash(&[&module.name, target]));
    let mut failure = Episode::default();
    loop {
        clock.tick().await;
        let outcome = probe(&module, target, module.timeout).await;
        report(&outcome, &mut failure);
        latest.publish(at, outcome);
    }
}

/// Probes a target once.
async fn probe(module: &Module, target: &Arc<str>, timeout: Duration) -> Outcome {
    let (at, start) = (SystemTime::now().into(), Instant::now());
    let (failure, mut samples, rows) = module.probe(target, timeout).await;
    samples.add(&families::SUCCESS, f64::from(u8::from(failure.is_none())));
    samples.add(&families::DURATION, start.elapsed().as_secs_f64());
    Outcome { module: module.name.clone(), target: target.clone(), at, failure, samples: samples.0, rows }
}

/// Logs the beginning and the end of failures.
fn report(outcome: &Outcome, failing: &mut Episode<String>) {
    let Outcome { module, target, failure, .. } = outcome;
    match failure {
        Some(reason) => {
            if failing.fails(reason.clone()) {
                tracing::warn!(%module, "the probe of {target} fails: {reason}");
            }
        }
        None => {
            if let Some(over) = failing.recovered() {
                tracing::info!(%module, "the probe of {target} succeeds again {over}");
            }
        }
    }
}

/// FNV-1a: spreads the clocks of targets, and is the same at each start.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Reading for ProbeReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        outcome::write(&self.0.newest, out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let outcomes = self.0.since(since.map(|since| &since.previous.0));
        outcomes.iter().for_each(|outcome| points::write(outcome.at, &outcome.target, &outcome.rows, out));
    }
}

#[cfg(test)]
mod tests;
