//! `[[collectors.probe]]`: the modules.

use std::sync::Arc;
use std::time::Duration;

use super::connect::{self, Addresses};
use super::http::{self, Http};
use super::net::{self, Net};
use super::outcome::Samples;
use super::points::Row;
use crate::client::settings::HEADERS;
use crate::client::target;
use crate::config::{Key, KeyInfo, Section, TableInfo};
use crate::encode::infos::concat;

/// A module: how its targets are probed.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name, the label `module`.
    pub(super) name: Arc<str>,
    pub(super) targets: Vec<Arc<str>>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    addresses: Addresses,
    prober: Prober,
}

#[derive(Debug)]
enum Prober {
    Http(Box<Http>),
    Net(Net),
}

const NAME: Key<String> =
    Key::optional("name", "Name of the module: the label `module`; if absent, that of the prober.");
const PROBER: Key<String> = Key::new(
    "prober",
    "\"http\"",
    "What is done: http requests a URL, tcp connects to a port, udp sends a datagram and waits for the response.",
);
const TARGETS: Key<Vec<String>> = Key::optional(
    "targets",
    "The targets: URLs such as \"https://example.org/health\", or addresses such as \"example.org:25\" with tcp and udp.",
);
const INTERVAL: Key<Duration> = Key::new("interval", "\"30s\"", "Interval of the probes of a target.");
const TIMEOUT: Key<Duration> =
    Key::new("timeout", "\"5s\"", "Time within which a probe is complete, with the look-up of names.");
const OWN_KEYS: [KeyInfo; 5] = [NAME.info(), PROBER.info(), TARGETS.info(), INTERVAL.info(), TIMEOUT.info()];

/// The settings of a module.
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + connect::KEYS.len() + target::KEYS.len()] =
    concat(&[&OWN_KEYS, &connect::KEYS, &target::KEYS]);
/// The tables of a module.
pub(super) const TABLES: &[TableInfo] = &[http::TABLE, net::TABLE, HEADERS];

impl Module {
    /// The modules in `[collectors]`.
    pub(super) fn all(collectors: &mut Section<'_>) -> Vec<Arc<Module>> {
        let mut modules: Vec<Arc<Module>> = Vec::new();
        for mut section in collectors.tables("probe") {
            let module = Module::new(&mut section);
            if let Some(index) = modules.iter().position(|other| other.name == module.name) {
                section.wrong("name", format!("there is a module {:?} already, probe[{index}]", module.name));
            }
            modules.push(Arc::new(module));
        }
        modules
    }

    fn new(section: &mut Section<'_>) -> Module {
        let prober = section.get(&PROBER);
        let name = section.optional(&NAME).unwrap_or_else(|| prober.clone());
        if name.is_empty() {
            section.wrong("name", "expected a name, found none");
        }
        let timeout = section.above_zero(&TIMEOUT);
        let client = target::Settings::new(section, timeout);
        let http = Http::new(&mut section.table("http"), client.clone());
        let net = Net::new(&mut section.table("net"), &client, prober == "udp");
        let prober = match prober.as_str() {
            "tcp" | "udp" => Prober::Net(net),
            name => {
                if name != "http" {
                    section.wrong("prober", format!("expected http, tcp or udp, found {name:?}"));
                }
                Prober::Http(Box::new(http))
            }
        };
        let targets = section.optional(&TARGETS).unwrap_or_default();
        if targets.is_empty() {
            section.wrong("targets", "required: at least one target");
        }
        for (index, text) in targets.iter().enumerate() {
            if let Err(expected) = prober.check(text) {
                section.wrong_element("targets", index, expected);
            } else if targets[..index].contains(text) {
                section.wrong_element("targets", index, "this target is there twice");
            }
        }
        Module {
            name: name.into(),
            targets: targets.into_iter().map(Arc::from).collect(),
            interval: section.above_zero(&INTERVAL),
            timeout,
            addresses: Addresses::new(section),
            prober,
        }
    }

    /// Probes one target: why it failed, the samples, and the points.
    pub(super) async fn probe(&self, target: &str, timeout: Duration) -> (Option<String>, Samples, Vec<Row>) {
        match &self.prober {
            Prober::Http(http) => http.probe(target, self.addresses, timeout).await,
            Prober::Net(net) => net.probe(target, self.addresses, timeout).await,
        }
    }

    /// One line about the module.
    pub(super) fn summary(&self) -> String {
        let (count, every) = (self.targets.len(), humantime::format_duration(self.interval));
        format!("{}: {count} targets, every {every}", self.name)
    }
}

impl Prober {
    /// Checks a target.
    fn check(&self, target: &str) -> Result<(), &'static str> {
        match self {
            Prober::Http(_) => target::parse(target).map(drop),
            Prober::Net(_) => connect::split(target).map(drop),
        }
    }
}
