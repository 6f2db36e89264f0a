//! `[collectors]`: which collectors are enabled, and how each runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::filter::CollectorPoints;
use super::framework::{About, Configured, Entry, Vocabularies};
use super::list::{COLLECTORS, find, names};
use crate::config::section::closest;
use crate::config::{Key, KeyInfo, Section};
use crate::host::Host;

const DEFAULT: Key<bool> =
    Key::new("default", "true", "Enables the collectors that are on by default; with false, only those in `enable`.");
const ENABLE: Key<Vec<String>> = Key::new("enable", "[]", "Additional collectors to enable.");
const DISABLE: Key<Vec<String>> = Key::new("disable", "[]", "Collectors to disable.");

/// Settings of `[collectors]` itself.
pub const KEYS: &[KeyInfo] = &[DEFAULT.info(), ENABLE.info(), DISABLE.info()];

const ENABLED: Key<bool> = Key::optional("enabled", "Enables or disables this collector; overrides `[collectors]`.");
const INTERVAL: Key<Duration> = Key::optional(
    "interval",
    "Interval of reading in the background, instead of at each scrape and tick. Scrapes get the last reading with its age, sinks the points of each reading once.",
);
const TIMEOUT: Key<Duration> = Key::new("timeout", "\"5s\"", "How long a scrape or tick waits for this collector.");

const MAX_SERIES: Key<usize> = Key::optional(
    "max_series",
    "Maximum number of series, and of points per tick; the others are dropped, counted and logged.",
);

/// Settings of every `[collectors.NAME]`.
pub const COMMON_KEYS: &[KeyInfo] = &[ENABLED.info(), INTERVAL.info(), TIMEOUT.info(), MAX_SERIES.info()];

/// The enabled collectors, in the order of the list. If `only` is not empty, only those named in it.
pub fn configure(host: &Host, only: &[String], section: &mut Section<'_>) -> Vec<Configured> {
    let default = section.get(&DEFAULT);
    let enable = section.get(&ENABLE);
    let disable = section.get(&DISABLE);
    let can_read = |name: &str| host.by_sysinfo().is_none() || find(name).is_some_and(|entry| entry.about.is_portable);
    let is_unreadable = |(_, name): &(usize, &String)| names().any(|known| known == **name) && !can_read(name);
    for (index, name) in enable.iter().enumerate().filter(is_unreadable) {
        section.wrong_element(
            "enable",
            index,
            format!("{name} is read of Linux's files, and [host] backend is portable"),
        );
    }
    for (key, given) in [("enable", &enable), ("disable", &disable)] {
        for (index, name) in given.iter().enumerate().filter(|(_, given)| !names().any(|name| name == **given)) {
            section.wrong_element(key, index, unknown(name));
        }
    }
    log_mistaken(&enable, default);
    refuse_telegraf_tables(section);
    section.refuse_cloudwatch();
    let mut configured = Vec::new();
    for entry in COLLECTORS.iter() {
        let about = entry.about;
        if about.is_list {
            configured.extend(configure_list(host, entry, section, is_wanted(only, &disable, about.name)));
            continue;
        }
        let mut table = section.table(about.name);
        let on = match table.optional(&ENABLED) {
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
            None if can_read(about.name) && is_configured(about, &table) => Vocabularies::BOTH,
            None if default && can_read(about.name) => about.on_by_default,
            None => Vocabularies::NONE,
        };
        let interval = table.optional(&INTERVAL).filter(|interval| !interval.is_zero());
        let timeout = table.above_zero(&TIMEOUT);
        let max_series = table.optional(&MAX_SERIES).unwrap_or(usize::MAX);
        let points = CollectorPoints::new(&mut table).map(Arc::new);
        // Built even if disabled, to check its settings.
        let collector = (entry.build)(host, &mut table);
        if about.point_keys.is_empty() {
            // Reports unknown keys, as the collector does not read this table.
            drop(table.table("points"));
        }
        if on.any() {
            configured.push(Configured { about, on, interval, timeout, max_series, points, collector });
        }
    }
    configured
}

/// Whether a table has an entry of a list, which says what a collector reads, or another setting that turns it on.
fn is_configured(about: &About, table: &Section<'_>) -> bool {
    let mut names = about.lists.iter().map(|list| list.name).chain(about.turned_on_by.iter().copied());
    names.any(|name| table.keys().any(|key| key == name))
}

/// Whether a collector is enabled that is on if it has settings.
fn is_wanted(only: &[String], disable: &[String], name: &str) -> bool {
    if only.is_empty() { !disable.iter().any(|other| other == name) } else { only.iter().any(|other| other == name) }
}

/// Configures a collector whose settings are a list of jobs.
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
        points: None,
        collector,
    })
}

/// Logs names in `enable` that are on by default, and are inputs of Telegraf that other collectors have.
fn log_mistaken(enabled: &[String], default: bool) {
    for (input, collectors) in telegraf_inputs().filter(|(input, _)| enabled.iter().any(|name| name == input)) {
        let is_on = find(input).is_some_and(|entry| entry.about.on_by_default == Vocabularies::BOTH);
        if is_on && !collectors.contains(&input) {
            let collectors = collectors.join(" and ");
            let is_on = if default { format!("{input} is on already; ") } else { String::new() };
            tracing::warn!("[collectors] enable: {is_on}Telegraf's {input} is {collectors} here");
        }
    }
}

/// Reports tables named after inputs of Telegraf.
fn refuse_telegraf_tables(section: &mut Section<'_>) {
    let keys: Vec<&str> = section.keys().filter(|key| find(key).is_none()).collect();
    for (input, _) in telegraf_inputs().filter(|(input, _)| keys.contains(input)) {
        section.refuse(input, unknown(input));
    }
}

/// The inputs of Telegraf, with the collectors whose points they have. The name of an input is that of its measurement
/// or else the part of it before an underscore: `docker_container_cpu`.
fn telegraf_inputs() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    type Inputs = BTreeMap<&'static str, Vec<&'static str>>;
    let (mut inputs, mut prefixes) = (Inputs::new(), Inputs::new());
    for about in COLLECTORS.iter().map(|entry| entry.about) {
        for measurement in about.measurements.iter().map(|measurement| measurement.name) {
            inputs.entry(measurement).or_default().push(about.name);
            prefixes.entry(measurement.split('_').next().unwrap_or(measurement)).or_default().push(about.name);
        }
    }
    for (prefix, collectors) in prefixes {
        inputs.entry(prefix).or_insert(collectors);
    }
    inputs.values_mut().for_each(Vec::dedup);
    inputs.into_iter()
}

/// The error for an unknown collector name.
pub fn unknown(name: &str) -> String {
    let input = telegraf_inputs().find(|(input, _)| *input == name);
    let hint = match (input, closest(name, names())) {
        (Some((_, collectors)), _) => format!("; Telegraf's {name} is {} here", collectors.join(" and ")),
        (None, Some(close)) => format!("; did you mean {close}?"),
        (None, None) => "; taffrail collectors lists all".to_owned(),
    };
    format!("there is no collector {name:?}{hint}")
}
