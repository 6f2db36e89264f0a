//! `[collectors]`: which are on, and how each is run.

use std::time::Duration;

use super::list::{COLLECTORS, PORTABLE, names};
use super::{About, AnyCollector, Entry, Vocabularies};
use crate::config::section::closest;
use crate::config::{Key, KeyInfo, Section};
use crate::host::Host;

const DEFAULT: Key<bool> = Key::new(
    "default",
    "true",
    "Whether the collectors that are on by default are on; with false, only those that you enable.",
);
const ENABLE: Key<Vec<String>> = Key::new("enable", "[]", "Names of collectors to turn on besides.");
const DISABLE: Key<Vec<String>> = Key::new("disable", "[]", "Names of collectors to turn off.");

/// The settings of `[collectors]` itself.
pub const KEYS: &[KeyInfo] = &[DEFAULT.info(), ENABLE.info(), DISABLE.info()];

const ENABLED: Key<bool> = Key::optional("enabled", "Turns this collector on or off, whatever `[collectors]` says.");
const INTERVAL: Key<Duration> = Key::optional(
    "interval",
    "Refresh in the background this often, instead of at each scrape and tick; the last reading is then served, with its age.",
);
const TIMEOUT: Key<Duration> =
    Key::new("timeout", "\"5s\"", "How long a scrape or tick waits for this collector before it goes on without.");

const MAX_SERIES: Key<usize> = Key::optional(
    "max_series",
    "Series that the collector may have, and points of a tick; what is beyond is left out, counted and told.",
);

/// The settings that every `[collectors.NAME]` has.
pub const COMMON_KEYS: &[KeyInfo] = &[ENABLED.info(), INTERVAL.info(), TIMEOUT.info(), MAX_SERIES.info()];

/// A collector that is on.
pub struct Configured {
    /// What it is.
    pub about: &'static About,
    /// For which vocabularies it is on.
    pub on: Vocabularies,
    /// How often it refreshes in the background; nothing if it is read when needed.
    pub interval: Option<Duration>,
    /// How long it is waited for.
    pub timeout: Duration,
    /// How many series it may have.
    pub max_series: usize,
    /// The collector.
    pub collector: Box<dyn AnyCollector>,
}

/// The collectors that `[collectors]` turns on, in the order of the list; only those named in `only`, unless it is empty.
pub fn configure(host: &Host, only: &[String], section: &mut Section<'_>) -> Vec<Configured> {
    let default = section.get(&DEFAULT);
    let enable = section.get(&ENABLE);
    let disable = section.get(&DISABLE);
    let can_read = |name: &str| host.by_sysinfo().is_none() || PORTABLE.contains(&name);
    for name in enable.iter().filter(|name| names().any(|known| known == **name) && !can_read(name)) {
        section.wrong("enable", format!("{name} is read of Linux's files, and [host] backend is portable"));
    }
    for (key, given) in [("enable", &enable), ("disable", &disable)] {
        for name in given.iter().filter(|given| !names().any(|name| name == **given)) {
            section.wrong(key, unknown(name));
        }
    }
    #[cfg(not(feature = "cloudwatch"))]
    section.has_no_cloudwatch();
    let mut configured = Vec::new();
    for entry in COLLECTORS {
        let about = entry.about;
        if about.is_list {
            configured.extend(configure_list(host, entry, section, is_wanted(only, &disable, about.name)));
            continue;
        }
        let mut own = section.table(about.name);
        let on = match own.optional(&ENABLED) {
            _ if !only.is_empty() => {
                if only.iter().any(|name| name == about.name) {
                    Vocabularies::BOTH
                } else {
                    Vocabularies::NONE
                }
            }
            Some(true) => Vocabularies::BOTH,
            Some(false) => Vocabularies::NONE,
            None if disable.iter().any(|name| name == about.name) => Vocabularies::NONE,
            None if enable.iter().any(|name| name == about.name) => Vocabularies::BOTH,
            None if default && can_read(about.name) => about.on_by_default,
            None => Vocabularies::NONE,
        };
        let interval = own.optional(&INTERVAL).filter(|interval| !interval.is_zero());
        let timeout = own.above_zero(&TIMEOUT);
        let max_series = own.optional(&MAX_SERIES).unwrap_or(usize::MAX);
        // Built even when off, so that mistakes in its settings are found.
        let collector = (entry.build)(host, &mut own);
        if on.any() {
            configured.push(Configured { about, on, interval, timeout, max_series, collector });
        }
    }
    configured
}

/// Whether a collector is on that is on where it has settings.
fn is_wanted(only: &[String], disable: &[String], name: &str) -> bool {
    if only.is_empty() { !disable.iter().any(|other| other == name) } else { only.iter().any(|other| other == name) }
}

/// A collector whose settings are a list of jobs.
fn configure_list(host: &Host, entry: &Entry, section: &mut Section<'_>, is_wanted: bool) -> Option<Configured> {
    let about = entry.about;
    let has_jobs = section.keys().any(|key| key == about.name);
    let collector = (entry.build)(host, section);
    let on = Vocabularies::BOTH;
    let timeout = TIMEOUT.default();
    (has_jobs && is_wanted).then_some(Configured {
        about,
        on,
        interval: None,
        timeout,
        max_series: usize::MAX,
        collector,
    })
}

/// The error for a name that is no collector's.
pub fn unknown(name: &str) -> String {
    let hint = match closest(name, names()) {
        Some(close) => format!("did you mean {close}? "),
        None => String::new(),
    };
    let names = names().collect::<Vec<_>>().join(", ");
    format!("there is no collector {name:?}; {hint}there are {names}")
}
