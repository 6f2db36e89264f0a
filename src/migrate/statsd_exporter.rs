//! The mapping file of statsd_exporter, which `[collectors.statsd]` reads itself.

use super::lines::Lines;
use super::output::literal;
use super::translation::{Outcome, Translation};
use super::yaml_lines::{NO_SUCH_KEY, Pair, YamlFile, pairs};
use crate::collectors::statsd_mapping_problems as problems_of;
use crate::config::{Problems, Value, yaml};

const TABLE: &str = "collectors.statsd";

/// Keys without an effect in Taffrail, with the reason.
#[rustfmt::skip]
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("native_histogram_bucket_factor", "native histograms are not made: buckets has the bounds"),
    ("native_histogram_max_buckets",   "native histograms are not made: buckets has the bounds"),
];
const NOT_NEEDED: &[(&str, &str)] = &[("buf_cap", "the memory of a summary is bounded by max_values")];

/// All other keys.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    "defaults", "mappings", "match", "match_type", "match_metric_type", "name", "labels", "honor_labels", "help", "action", "ttl",
    "scale", "observer_type", "timer_type", "buckets", "quantiles", "quantile", "error", "histogram_options", "summary_options",
    "max_age", "age_buckets", "glob_disable_ordering",
];

/// Translates a file, which Taffrail reads at `file` from now on.
///
/// # Errors
/// It is no YAML, or no mapping file.
pub fn translate(file: &str, text: &str) -> Result<Translation, Problems> {
    let document = yaml::parse_single(file, text)?;
    let problems = problems_of(file, text);
    let mut reader = YamlFile { file, lines: Lines::new(text), translation: Translation::default() };
    let mut head = None;
    for pair in pairs(&document.root) {
        let entry = key(&mut reader, &pair);
        head = head.or(Some(entry));
    }
    if let (Some(entry), None) = (head, &problems) {
        let listen = "[\"udp://127.0.0.1:9125\", \"tcp://127.0.0.1:9125\"]";
        let path = std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.display().to_string());
        let table = reader.translation.output.table(TABLE);
        table.set("listen", listen, entry).set("mapping_file", literal(&path), entry);
        let remark =
            "statsd_exporter listens on all addresses, Taffrail on those in listen; series expire after expire_after";
        reader.translation.entries[entry].outcome = Outcome::Changed(remark.to_owned());
    } else if let (Some(entry), Some(problems)) = (head, problems) {
        reader.translation.entries[entry].outcome = Outcome::Missing(format!("Taffrail refuses it: {problems}"));
    }
    Ok(reader.finish())
}

/// Reports a key and those below it. Returns the entry of its line.
fn key(reader: &mut YamlFile<'_>, pair: &Pair<'_>) -> usize {
    let reason =
        |rows: &[(&str, &str)]| rows.iter().find(|(key, _)| *key == pair.key).map(|(_, why)| (*why).to_owned());
    if let Some(reason) = reason(WITHOUT_EFFECT) {
        return reader.whole(pair, Outcome::Missing(reason));
    }
    if let Some(reason) = reason(NOT_NEEDED) {
        return reader.whole(pair, Outcome::NotNeeded(reason));
    }
    if !KNOWN.contains(&pair.key) {
        return reader.whole(pair, Outcome::Missing(NO_SUCH_KEY.to_owned()));
    }
    match &pair.node.value {
        Value::Table(table) if pair.key != "labels" && !table.is_empty() => {
            let entry = reader.head(pair, Outcome::Same);
            for below in pair.pairs() {
                key(reader, &below);
            }
            entry
        }
        Value::Array(_) if matches!(pair.key, "mappings" | "quantiles") => {
            let entry = reader.translation.entries.len();
            for below in reader.list(pair).iter().flatten() {
                key(reader, below);
            }
            entry
        }
        _ => reader.whole(pair, Outcome::Same),
    }
}
