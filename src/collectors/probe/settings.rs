//! `[[collectors.probe]]`: the modules.

use std::sync::Arc;
use std::time::Duration;

use super::connect::{self, Addresses};
use super::dns::{self, Dns};
use super::http::{self, Http};
use super::icmp::{self, Icmp};
use super::net::{self, Net};
use super::outcome::Found;
use super::pattern::Pattern;
use super::x509::{self, X509};
use crate::client::settings::HEADERS;
use crate::client::{target, unix};
use crate::config::{Key, KeyInfo, Section, TableInfo};
use crate::encode::infos::concat;

/// A module: how its targets are probed.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name, the label `module`.
    pub(super) name: Arc<str>,
    /// The targets that are probed at the interval.
    pub(super) targets: Vec<Arc<str>>,
    /// Further targets that may be requested.
    patterns: Vec<Pattern>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    addresses: Addresses,
    prober: Prober,
}

#[derive(Debug)]
enum Prober {
    Http(Box<Http>),
    Net(Net),
    Icmp(Icmp),
    Dns(Box<Dns>),
    X509(X509),
}

const NAME: Key<String> =
    Key::optional("name", "Name of the module: the label `module`; if absent, that of the prober.");
const PROBER: Key<String> = Key::new(
    "prober",
    "\"http\"",
    "What is done: http requests a URL, tcp connects to a port, udp sends a datagram and waits for the response, icmp pings a host, dns queries a server, x509 reads certificates of servers and files.",
);
const TARGETS: Key<Vec<String>> = Key::optional(
    "targets",
    "The targets: URLs such as \"https://example.org/health\", addresses such as \"example.org:25\" with tcp and udp, hosts with icmp, servers with dns, URLs, addresses and files with x509. A target with * is a pattern of those that only `GET /probe` names; * matches no end of a host.",
);
const INTERVAL: Key<Duration> = Key::new("interval", "\"30s\"", "Interval of the probes of a target.");
const TIMEOUT: Key<Duration> =
    Key::new("timeout", "\"5s\"", "Time within which a probe is complete, with the look-up of names.");
const OWN_KEYS: [KeyInfo; 5] = [NAME.info(), PROBER.info(), TARGETS.info(), INTERVAL.info(), TIMEOUT.info()];

/// The settings of a module.
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + connect::KEYS.len() + target::KEYS.len()] =
    concat(&[&OWN_KEYS, &connect::KEYS, &target::KEYS]);
/// The tables of a module.
pub(super) const TABLES: &[TableInfo] = &[http::TABLE, net::TABLE, icmp::TABLE, dns::TABLE, HEADERS];

/// The tables, each with its probers.
const OF_PROBERS: [(&str, &[&str]); 5] = [
    (http::TABLE.name, &["http"]),
    (net::TABLE.name, &["tcp", "udp"]),
    (icmp::TABLE.name, &["icmp"]),
    (dns::TABLE.name, &["dns"]),
    (HEADERS.name, &["http"]),
];

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
        let prober = Prober::new(section, &prober, client, timeout);
        let targets = section.optional(&TARGETS).unwrap_or_default();
        if targets.is_empty() {
            section.wrong("targets", "required: at least one target");
        }
        let mut patterns = Vec::new();
        for (index, text) in targets.iter().enumerate() {
            if let Some(pattern) = prober.pattern(text) {
                patterns.push(pattern);
            } else if let Err(expected) = prober.check(text) {
                section.wrong_element("targets", index, expected);
            } else if targets[..index].contains(text) {
                section.wrong_element("targets", index, "this target is there twice");
            }
        }
        if targets.iter().any(|text| prober.pattern(text).is_none() && prober.excludes(text)) {
            let reason = "a probe fails if fail_if_ssl or fail_if_not_ssl of http excludes the scheme of its target";
            section.has_no_effect("targets", reason);
        }
        let targets = targets.into_iter().filter(|text| prober.pattern(text).is_none());
        Module {
            name: name.into(),
            targets: targets.map(Arc::from).collect(),
            patterns,
            interval: section.above_zero(&INTERVAL),
            timeout,
            addresses: Addresses::new(section),
            prober,
        }
    }

    /// Checks a target that is requested.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub(super) fn accept(&self, target: &str) -> Result<(), String> {
        if self.targets.iter().any(|known| **known == *target) {
            return Ok(());
        }
        let wrong = |expected| format!("the target is invalid: {expected}");
        if self.patterns.iter().any(|pattern| pattern.matches(target)) && self.prober.is_remote(target) {
            if !Pattern::is_literal(target) {
                return Err(format!(
                    "the target is invalid: expected no dot segment, backslash or control character with a pattern, found {target:?}"
                ));
            }
            return self.prober.check(target).map_err(wrong);
        }
        self.prober.check(target).map_err(wrong)?;
        let name = &self.name;
        Err(format!("{target:?} is no target of the module {name:?}: add it, or a pattern with *, to its targets"))
    }

    /// Probes one target.
    pub(super) async fn probe(&self, target: &str, timeout: Duration) -> Found {
        match &self.prober {
            Prober::Http(http) => http.probe(target, self.addresses, timeout).await,
            Prober::Net(net) => net.probe(target, self.addresses, timeout).await,
            Prober::Icmp(icmp) => icmp.probe(target, self.addresses, timeout).await,
            Prober::Dns(dns) => dns.probe(target, self.addresses, timeout).await,
            Prober::X509(x509) => x509.probe(target, self.addresses, timeout).await,
        }
    }

    /// One line about the module.
    pub(super) fn summary(&self) -> String {
        let (count, every) = (self.targets.len(), humantime::format_duration(self.interval));
        let patterns = match self.patterns.len() {
            0 => String::new(),
            count => format!(", and {count} patterns for /probe"),
        };
        format!("{}: {count} targets, every {every}{patterns}", self.name)
    }
}

impl Prober {
    fn new(section: &mut Section<'_>, name: &str, client: target::Settings, timeout: Duration) -> Prober {
        let of_others = OF_PROBERS.iter().filter(|(_, probers)| !probers.contains(&name));
        for (table, _) in of_others.filter(|(table, _)| section.keys().any(|key| key == *table)) {
            section.has_no_effect(table, "it has no effect with this prober; remove it");
        }
        // All tables are read, so that each mistake is found.
        let http = Http::new(&mut section.table("http"), client.clone());
        let net = Net::new(&mut section.table("net"), &client, name == "udp");
        let icmp = Icmp::new(&mut section.table("icmp"), timeout);
        let dns = Dns::new(&mut section.table("dns"), &client, name == "dns");
        match name {
            "tcp" | "udp" => Prober::Net(net),
            "dns" => Prober::Dns(Box::new(dns)),
            "icmp" => Prober::Icmp(icmp),
            "x509" => Prober::X509(X509::new(&client)),
            name => {
                if name != "http" {
                    section.wrong("prober", format!("expected http, tcp, udp, icmp, dns or x509, found {name:?}"));
                }
                Prober::Http(Box::new(http))
            }
        }
    }

    /// Checks a target.
    fn check(&self, target: &str) -> Result<(), &'static str> {
        match self {
            Prober::Http(_) => target::parse(target).map(drop),
            Prober::Net(_) => connect::split(target).map(drop),
            Prober::Icmp(_) => icmp::check(target),
            Prober::Dns(_) => dns::split(target).map(drop),
            Prober::X509(_) => x509::Source::new(target).map(drop),
        }
    }

    /// Whether each probe of a target fails.
    fn excludes(&self, target: &str) -> bool {
        matches!(self, Prober::Http(http) if http.excludes(target))
    }

    /// The pattern that a target is.
    fn pattern(&self, target: &str) -> Option<Pattern> {
        let is_file = matches!(self, Prober::X509(_)) && !self.is_remote(target);
        if is_file { None } else { Pattern::new(target) }
    }

    /// Whether a target is a server: no file or socket of this machine.
    fn is_remote(&self, target: &str) -> bool {
        match self {
            Prober::Http(_) => target::parse(target).is_ok_and(|url| url.scheme() != unix::UNIX),
            Prober::X509(_) => !x509::is_file(target),
            Prober::Net(_) | Prober::Icmp(_) | Prober::Dns(_) => true,
        }
    }
}
