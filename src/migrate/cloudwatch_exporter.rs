//! The configuration of Prometheus's cloudwatch_exporter: each rule is a job of `[[collectors.cloudwatch]]`.

use std::time::Duration;

use super::lines::Lines;
use super::output::{Table, literal, strings};
use super::translation::{EntryId, Outcome, Translation};
use super::units::duration;
use super::yaml_lines::{NO_SUCH_KEY, Pair, YamlFile, pairs};
use crate::config::{Problems, yaml};

/// What becomes of a key.
#[derive(Clone, Copy)]
enum Becomes {
    Text(&'static str),
    Switch(&'static str),
    Seconds(&'static str),
    /// Statistics: in one list with those of another key.
    Statistics,
    /// Names of dimensions.
    Dimensions,
    /// Dimensions with lists of values.
    Select,
    /// Dimensions with lists of regular expressions.
    SelectRegex,
    /// Tags of resources.
    Tags,
    NotNeeded(&'static str),
}

/// Keys of the whole file, which a rule may have, too.
#[rustfmt::skip]
const EVERY: &[(&str, Becomes)] = &[
    ("period_seconds",                Becomes::Seconds("period")),
    ("range_seconds",                 Becomes::Seconds("window")),
    ("delay_seconds",                 Becomes::Seconds("delay")),
    ("set_timestamp",                 Becomes::Switch("timestamps")),
    ("use_get_metric_data",           Becomes::NotNeeded("GetMetricData is always used, which costs least")),
    ("list_metrics_cache_ttl",        Becomes::NotNeeded("metrics are listed every discovery_interval")),
    ("warn_on_empty_list_dimensions", Becomes::NotNeeded("the log has jobs without metrics")),
];

/// Keys of a rule.
#[rustfmt::skip]
const RULE: &[(&str, Becomes)] = &[
    ("aws_namespace",              Becomes::Text("namespace")),
    ("aws_metric_name",            Becomes::Text("metrics")),
    ("aws_dimensions",             Becomes::Dimensions),
    ("aws_dimension_select",       Becomes::Select),
    ("aws_dimension_select_regex", Becomes::SelectRegex),
    ("aws_tag_select",             Becomes::Tags),
    ("aws_statistics",             Becomes::Statistics),
    ("aws_extended_statistics",    Becomes::Statistics),
    ("help",                       Becomes::NotNeeded("HELP is made of the namespace and the metric")),
];

/// Settings for keys that are left out, where the defaults differ.
#[rustfmt::skip]
const DEFAULTS: &[(&str, &str)] = &[
    ("period", "\"1m\""),
    ("delay", "\"10m\""),
    ("timestamps", "true"),
    ("statistics", "[\"Sum\", \"SampleCount\", \"Minimum\", \"Maximum\", \"Average\"]"),
];

const JOBS: &str = "collectors.cloudwatch";

/// Translates a file.
///
/// # Errors
/// It is no YAML.
pub fn translate(file: &str, text: &str) -> Result<Translation, Problems> {
    let document = yaml::parse_single(file, text)?;
    let mut reader = YamlFile { file, lines: Lines::new(text), translation: Translation::default() };
    let mut common: Vec<(&'static str, String, EntryId)> = Vec::new();
    let (mut region, mut role, mut rules) = (None, None, Vec::new());
    for pair in pairs(&document.root) {
        match pair.key {
            "metrics" => {
                rules = reader.list(&pair);
            }
            "region" => region = Some((pair.text(), reader.whole(&pair, Outcome::Same))),
            "role_arn" => role = Some((pair.text(), reader.whole(&pair, Outcome::Same))),
            _ => {
                let entry = reader.whole(&pair, Outcome::Same);
                let row = EVERY.iter().find(|(key, _)| *key == pair.key);
                match row.map(|(_, becomes)| simple(*becomes, &pair)) {
                    Some(Ok(("window", _))) => reader.translation.entries[entry].outcome = window(),
                    Some(Ok((key, value))) => common.push((key, value, entry)),
                    Some(Err(outcome)) => reader.translation.entries[entry].outcome = outcome,
                    None => reader.translation.entries[entry].outcome = unknown(),
                }
            }
        }
    }
    for rule in rules {
        let Some(head) = self::rule(&mut reader, &rule) else { continue };
        let job = reader.translation.output.last_element(JOBS);
        if let Some((region, entry)) = region {
            job.set("regions", strings(&[region]), entry);
        }
        for (key, value, entry) in &common {
            set_if_absent(job, key, value, *entry);
        }
        for (key, value) in DEFAULTS {
            set_if_absent(job, key, value, head);
        }
        if let Some((role, entry)) = role {
            job.element("roles", entry).set("role_arn", literal(role), entry);
        }
    }
    Ok(reader.finish())
}

fn set_if_absent(job: &mut Table, key: &str, value: &str, entry: EntryId) {
    if !job.has(key) {
        job.set(key, value, entry);
    }
}

/// A window that is shorter than Taffrail's costs as much.
fn window() -> Outcome {
    Outcome::Changed("requests reach back at least 15 minutes, at no cost".to_owned())
}

fn unknown() -> Outcome {
    Outcome::Missing(NO_SUCH_KEY.to_owned())
}

/// Translates a rule; returns the entry of its first line.
fn rule(reader: &mut YamlFile<'_>, rule: &[Pair<'_>]) -> Option<EntryId> {
    let name = |key: &str| rule.iter().find(|pair| pair.key == key).map_or("", Pair::text);
    let name = format!("{} {}", name("aws_namespace"), name("aws_metric_name"));
    let first = reader.translation.entries.len();
    let (mut head, mut lost) = (None, None);
    for pair in rule {
        let entry = reader.whole(pair, Outcome::Same);
        if head.is_none() {
            let job = reader.translation.output.element(JOBS, entry);
            job.set("name", literal(&name), entry).set("naming", literal("cloudwatch_exporter"), entry);
            head = Some(entry);
        }
        let row = RULE.iter().chain(EVERY).find(|(key, _)| *key == pair.key).map(|(_, becomes)| *becomes);
        let outcome = row.map_or_else(unknown, |becomes| of_rule(reader, becomes, pair, entry));
        if matches!(outcome, Outcome::Missing(_)) && pair.key.starts_with("aws_") && !pair.key.ends_with("statistics") {
            lost = Some(pair.key);
        }
        reader.translation.entries[entry].outcome = outcome;
    }
    let has =
        |key: &str| rule.iter().any(|pair| pair.key == key && !(pair.texts().is_empty() && pair.pairs().is_empty()));
    if let (Some(head), false) = (head, has("aws_dimensions")) {
        let selects = ["aws_dimension_select", "aws_dimension_select_regex", "aws_tag_select"];
        match selects.into_iter().any(has) {
            true => lost = lost.or(Some("aws_dimensions")),
            false => without_dimensions(reader, rule, head),
        }
    }
    if let (Some(head), Some(key)) = (head, lost) {
        reader.translation.drop_element(head, first, key, "the job would import other metrics");
        return None;
    }
    head
}

/// The rule asks for the metric that has no dimension.
fn without_dimensions(reader: &mut YamlFile<'_>, rule: &[Pair<'_>], head: EntryId) {
    let job = reader.translation.output.last_element(JOBS);
    job.unset("metrics");
    let metric = rule.iter().find(|pair| pair.key == "aws_metric_name").map_or("", Pair::text);
    job.element("static", head).set("metrics", strings(&[metric]), head);
}

fn of_rule(reader: &mut YamlFile<'_>, becomes: Becomes, pair: &Pair<'_>, entry: EntryId) -> Outcome {
    let job = reader.translation.output.last_element(JOBS);
    match becomes {
        Becomes::Dimensions => {
            for name in pair.texts() {
                let dimensions = job.table("dimensions");
                if !dimensions.has(name) {
                    dimensions.set(name, literal("*"), entry);
                }
            }
        }
        Becomes::Select => {
            for below in pair.pairs() {
                job.table("dimensions").refine(below.key, strings(&below.texts()), entry);
            }
        }
        Becomes::SelectRegex => {
            for below in pair.pairs() {
                let Some(globs) = below.texts().into_iter().map(glob_of).collect::<Option<Vec<_>>>() else {
                    return Outcome::Missing(format!("write globs of {} in dimensions of the job", below.key));
                };
                job.table("dimensions").refine(below.key, strings(&globs), entry);
            }
            return Outcome::Changed("globs in place of regular expressions".to_owned());
        }
        Becomes::Tags => {
            for tags in pair.pairs().iter().filter(|pair| pair.key == "tag_selections") {
                for tag in tags.pairs() {
                    job.table("tags").set(tag.key, strings(&tag.texts()), entry);
                }
            }
            return Outcome::Changed("resources are found by the namespace, and their tags are globs".to_owned());
        }
        Becomes::Statistics => {
            for statistic in pair.texts() {
                job.push("statistics", literal(statistic), entry);
            }
        }
        simple => match self::simple(simple, pair) {
            // A window that is shorter than Taffrail's costs as much.
            Ok(("window", _)) => {
                return Outcome::Changed("requests reach back at least 15 minutes, at no cost".to_owned());
            }
            Ok((key, value)) => {
                job.set(key, value, entry);
            }
            Err(outcome) => return outcome,
        },
    }
    Outcome::Same
}

fn simple(becomes: Becomes, pair: &Pair<'_>) -> Result<(&'static str, String), Outcome> {
    match becomes {
        Becomes::Text(key) => Ok((key, literal(pair.text()))),
        Becomes::Switch(key) if matches!(pair.text(), "true" | "false") => Ok((key, pair.text().to_owned())),
        Becomes::Seconds(key) => match pair.text().parse() {
            Ok(seconds) => Ok((key, literal(&duration(Duration::from_secs(seconds))))),
            Err(_) => Err(Outcome::Missing("expected a number of seconds".to_owned())),
        },
        Becomes::NotNeeded(reason) => Err(Outcome::NotNeeded(reason.to_owned())),
        _ => Err(Outcome::Missing("expected true or false".to_owned())),
    }
}

/// A regular expression that is a glob, as the glob.
fn glob_of(regex: &str) -> Option<String> {
    let glob = regex.replace(".*", "*").replace("\\.", ".");
    (!glob.contains(['(', ')', '[', ']', '|', '+', '^', '$', '\\', '{', '}', '?'])).then_some(glob)
}
