//! Inputs of files, and the collectors that make their points.

use std::collections::BTreeMap;

use super::read::{Block, Setting, Value};
use super::tables::{Becomes, EVERY_INPUT, INPUTS, Input};
use crate::collectors::About;
use crate::collectors::list;
use crate::encode::parse::json::Path;

/// An input of the files.
pub(super) struct Present {
    pub(super) input: &'static Input,
    /// Its options and those of its tables, as they are in the file.
    pub(super) options: BTreeMap<String, String>,
}

/// The inputs of the files that are translated.
pub(super) fn present(roots: &[Block]) -> Vec<Present> {
    let kinds = roots.iter().flat_map(|root| &root.tables).filter(|kind| kind.path[0] == "inputs");
    let of = |block: &Block| {
        let input = INPUTS.iter().find(|input| block.path.last().is_some_and(|name| *name == input.name))?;
        let own = block.settings.iter().map(|setting| (setting.key.clone(), setting.raw.clone()));
        let below = block.tables.iter().flat_map(|table| {
            let name = table.path.last().map_or("", String::as_str);
            table.settings.iter().map(move |setting| (format!("{name}.{}", setting.key), setting.raw.clone()))
        });
        Some(Present { input, options: own.chain(below).collect() })
    };
    kinds.flat_map(|kind| &kind.tables).filter_map(of).collect()
}

/// The collectors that make the points of an input.
pub(super) fn collectors_of(input: &Input) -> Vec<&'static str> {
    let is_made =
        |about: &About| about.measurements.iter().any(|measurement| input.measurements.contains(&measurement.name));
    let makers =
        list::COLLECTORS.iter().map(|entry| &entry.about).filter(|about| is_made(about)).map(|about| about.name);
    // The row's collectors first, in its order.
    let makers: Vec<&str> = makers.collect();
    let first = input.collectors.iter().filter(|name| makers.contains(name)).copied();
    let mut names: Vec<&str> = first.collect();
    names.extend(makers.iter().filter(|name| !input.collectors.contains(name)));
    if names.is_empty() { vec![input.collectors[0]] } else { names }
}

/// Whether the option becomes a setting of the collector.
pub(super) fn is_of_collector(input: &Input, key: &str) -> bool {
    let row = EVERY_INPUT.iter().find(|(option, _)| *option == key);
    let is_its_own = input.options.iter().any(|(option, _)| *option == key);
    !is_its_own && matches!(row, Some((_, Becomes::To(path) | Becomes::Duration(path))) if path.contains(".NAME."))
}

/// Whether it is one of these inputs.
fn is_named(block: &Block) -> bool {
    block.path.last().is_some_and(|name| ["exec", "execd", "file"].contains(&name.as_str()))
}

/// The input that scrapes exporters.
pub(super) const SCRAPING: &str = "prometheus";

/// The table of such an input that has a server of targets.
pub(super) const HTTP_DISCOVERY: &str = "http_service_discovery";

/// Whether such an input has the targets of Kubernetes or Consul only.
pub(super) fn has_no_urls(block: &Block) -> bool {
    let is_discovery = |table: &&Block| table.path.last().is_some_and(|name| name == HTTP_DISCOVERY);
    let is_on = |table: &Block| setting(table, "enabled").is_some_and(|enabled| enabled.value == Value::Switch(true));
    if block.tables.iter().find(is_discovery).is_some_and(is_on) {
        return false;
    }
    setting(block, "urls").and_then(|urls| urls.value.texts()).is_none_or(|urls| urls.is_empty())
}

/// The inputs of disks.
pub(super) const SMART: [&str; 2] = ["smart", "smartctl"];

/// Whether a plugin becomes a module of probes.
pub(super) fn is_probe(block: &Block) -> bool {
    const PROBES: [&str; 5] = ["dns_query", "http_response", "net_response", "ping", "x509_cert"];
    block.path.last().is_some_and(|name| PROBES.contains(&name.as_str()))
}

/// The setting of a table.
pub(super) fn setting<'b>(block: &'b Block, key: &str) -> Option<&'b Setting> {
    block.settings.iter().find(|setting| setting.key == key)
}

/// The format of such an input.
pub(super) fn format(block: &Block) -> &str {
    let default = if block.path.last().is_some_and(|name| name == "exec") { "json" } else { "influx" };
    setting(block, "data_format").and_then(|setting| setting.value.text()).unwrap_or(default)
}

/// Why such an input must stay with Telegraf.
pub(super) fn obstacle(block: &Block) -> Option<String> {
    if !is_named(block) {
        return Some("it is another input".to_owned());
    }
    let formats: &[&str] = match block.path.last().map_or("", String::as_str) {
        "exec" => &["influx", "json", "value", "nagios", "prometheus"],
        "execd" => &["influx", "json", "value"],
        _ => &["influx", "json", "value", "prometheus"],
    };
    let format = format(block);
    if !formats.contains(&format) {
        return Some(format!("data_format is one of {} here: keep Telegraf for it", formats.join(", ")));
    }
    let text = |key: &str| setting(block, key).and_then(|setting| setting.value.text()).unwrap_or_default();
    let query = text("json_query");
    if !query.is_empty()
        && let Err(what) = Path::new(query)
    {
        return Some(format!("json_query: {what}: keep Telegraf for it"));
    }
    None
}
