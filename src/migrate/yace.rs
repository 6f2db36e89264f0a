//! The configuration of yet-another-cloudwatch-exporter: each of its jobs is a job of `[[collectors.cloudwatch]]`.

use std::time::Duration;

use super::lines::Lines;
use super::output::{literal, strings};
use super::translation::{EntryId, Outcome, Translation};
use super::units::duration;
use super::yaml_lines::{NO_SUCH_KEY, Pair, YamlFile, pairs};
use crate::config::{Problems, Value, yaml};

/// What becomes of a key of a job.
enum Becomes {
    /// The setting of this name, a string.
    Text(&'static str),
    /// A list of strings.
    List(&'static str),
    /// `true` or `false`.
    Switch(&'static str),
    /// A number of seconds.
    Seconds(&'static str),
    /// `missing`: zero in place of nothing.
    NilToZero,
    /// A list of keys and values: a table of this name.
    Table(&'static str, [&'static str; 2]),
    /// A list of names: the dimensions.
    Dimensions,
    /// A list of roles.
    Roles,
    /// The metrics.
    Metrics,
    NotNeeded(&'static str),
    Missing(&'static str),
}

/// The list that a job is in. Each has its own keys; yet-another-cloudwatch-exporter ignores those of the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Discovery,
    Static,
    Custom,
}

use Kind::{Custom, Discovery, Static};

const ALL: &[Kind] = &[Discovery, Static, Custom];

/// The keys of a job, and the jobs that have them.
#[rustfmt::skip]
const JOB: &[(&str, &[Kind], Becomes)] = &[
    ("type",                         &[Discovery],         Becomes::Text("namespace")),
    ("namespace",                    &[Static, Custom],    Becomes::Text("namespace")),
    ("name",                         &[Static, Custom],    Becomes::Text("name")),
    ("regions",                      ALL,                  Becomes::List("regions")),
    ("roles",                        ALL,                  Becomes::Roles),
    ("searchTags",                   &[Discovery],         Becomes::Table("search_tags", ["key", "value"])),
    ("customTags",                   ALL,                  Becomes::Table("custom_tags", ["key", "value"])),
    ("dimensions",                   &[Static],            Becomes::Table("dimensions", ["name", "value"])),
    ("dimensionNameRequirements",    &[Discovery, Custom], Becomes::Dimensions),
    ("recentlyActiveOnly",           &[Discovery, Custom], Becomes::Switch("recently_active")),
    ("statistics",                   &[Discovery, Custom], Becomes::List("statistics")),
    ("period",                       &[Discovery, Custom], Becomes::Seconds("period")),
    ("length",                       &[Discovery, Custom], Becomes::Seconds("window")),
    ("delay",                        &[Discovery, Custom], Becomes::Seconds("delay")),
    ("nilToZero",                    &[Discovery, Custom], Becomes::NilToZero),
    ("addCloudwatchTimestamp",       &[Discovery, Custom], Becomes::Switch("timestamps")),
    ("exportAllDataPoints",          &[Discovery, Custom], Becomes::Switch("all_data_points")),
    ("metrics",                      ALL,                  Becomes::Metrics),
    ("roundingPeriod",               &[Discovery, Custom], Becomes::NotNeeded("windows begin at multiples of the period")),
    ("includeContextOnInfoMetrics",  &[Discovery],         Becomes::NotNeeded("aws_*_info have account and region")),
    ("enhancedMetrics",              &[Discovery],         Becomes::Missing("there are no metrics but CloudWatch's")),
];

/// The keys of a metric; those of an override.
#[rustfmt::skip]
const METRIC: &[(&str, Becomes)] = &[
    ("statistics",             Becomes::List("statistics")),
    ("period",                 Becomes::Seconds("period")),
    ("nilToZero",              Becomes::NilToZero),
    ("exportAllDataPoints",    Becomes::Switch("all_data_points")),
    ("delay",                  Becomes::NotNeeded("yet-another-cloudwatch-exporter ignores it; the job has one")),
];

/// Translates a file.
///
/// # Errors
/// It is no YAML.
pub fn translate(file: &str, text: &str) -> Result<Translation, Problems> {
    let document = yaml::parse_single(file, text)?;
    let mut reader = YamlFile { file, lines: Lines::new(text), translation: Translation::default() };
    let root = pairs(&document.root);
    let exported = root.iter().find(|pair| pair.key == "discovery").map(|pair| pair.pairs()).unwrap_or_default();
    let exported = exported.into_iter().find(|pair| pair.key == "exportedTagsOnMetrics");
    let exported = exported.map(|pair| pair.pairs()).unwrap_or_default();
    for pair in &root {
        match pair.key {
            "apiVersion" | "sts-region" => {
                reader.whole(pair, Outcome::NotNeeded("there is one version, and STS of the region".to_owned()));
            }
            "discovery" => discovery(&mut reader, pair, &exported),
            "static" | "customNamespace" => {
                for job in reader.list(pair) {
                    let kind = if pair.key == "static" { Static } else { Custom };
                    self::job(&mut reader, &job, &[], kind);
                }
            }
            _ => {
                reader.whole(pair, Outcome::Missing(NO_SUCH_KEY.to_owned()));
            }
        }
    }
    Ok(reader.finish())
}

fn discovery(reader: &mut YamlFile<'_>, pair: &Pair<'_>, exported: &[Pair<'_>]) {
    let mut namespaces: Vec<&str> = Vec::new();
    for below in reader.mapping(pair) {
        match below.key {
            "jobs" => {
                for job in reader.list(&below) {
                    if !self::job(reader, &job, exported, Discovery) {
                        continue;
                    }
                    let namespace = text_of(&job, "type");
                    let earlier = namespaces.iter().filter(|other| **other == namespace).count();
                    namespaces.push(namespace);
                    // Names of jobs are unique; by default it is the namespace.
                    if earlier > 0 {
                        let head = reader.translation.output.last_entry(JOBS);
                        let name = literal(&format!("{namespace} {}", earlier + 1));
                        reader.translation.output.last_element(JOBS).set("name", name, head);
                    }
                }
            }
            "exportedTagsOnMetrics" => {
                reader.whole(&below, Outcome::Changed("tags_on_metrics of the jobs of the namespace".to_owned()));
            }
            _ => {
                reader.whole(&below, Outcome::Missing(NO_SUCH_KEY.to_owned()));
            }
        }
    }
}

const JOBS: &str = "collectors.cloudwatch";

/// Keys that select metrics, resources or accounts.
const SELECTIONS: [&str; 9] = [
    "type",
    "namespace",
    "regions",
    "roles",
    "searchTags",
    "dimensions",
    "dimensionNameRequirements",
    "recentlyActiveOnly",
    "metrics",
];

/// Translates a job. Returns whether it is in the output.
fn job(reader: &mut YamlFile<'_>, job: &[Pair<'_>], exported: &[Pair<'_>], kind: Kind) -> bool {
    let Some(first) = job.first() else { return false };
    let first_entry = reader.translation.entries.len();
    let mut lost = None;
    let head = reader.head(first, Outcome::Same);
    reader.translation.output.element(JOBS, head);
    let mut of_static: Vec<(String, EntryId)> = Vec::new();
    for (index, pair) in job.iter().enumerate() {
        let row = JOB.iter().find(|(key, ..)| *key == pair.key);
        let is_ignored = row.is_some_and(|(_, kinds, _)| !kinds.contains(&kind));
        let row = row.filter(|_| !is_ignored).map(|(.., becomes)| becomes);
        let is_nested = matches!(row, Some(Becomes::Metrics | Becomes::Roles | Becomes::Table(..)));
        let entry = match (index, is_nested) {
            (0, true) => head,
            (0, false) => {
                reader.translation.entries.pop();
                reader.whole(pair, Outcome::Same)
            }
            (_, true) => reader.head(pair, Outcome::Same),
            (_, false) => reader.whole(pair, Outcome::Same),
        };
        let is_list = matches!(pair.node.value, Value::Array(_));
        if is_nested && !is_list {
            reader.translation.entries[entry].outcome = Outcome::Missing("expected a list of mappings".to_owned());
        }
        match row {
            Some(Becomes::Metrics) => of_static = metrics(reader, pair, kind == Static),
            Some(Becomes::Table("dimensions", names)) => {
                let values = key_values(reader, pair, *names);
                reader.translation.output.last_element(JOBS).element("static", entry);
                for (key, value, entry) in values {
                    of_last_static(reader).table("dimensions").set(&key, literal(&value), entry);
                }
            }
            Some(becomes) => apply(reader, becomes, pair, entry),
            None if is_ignored => {
                let reason = "yet-another-cloudwatch-exporter ignores it in such a job".to_owned();
                reader.translation.entries[entry].outcome = Outcome::NotNeeded(reason);
            }
            None => {
                reader.translation.entries[entry].outcome = Outcome::Missing(NO_SUCH_KEY.to_owned());
            }
        }
        let is_selection = SELECTIONS.contains(&pair.key) && !is_ignored;
        let is_lost = match pair.key {
            "metrics" => of_static.is_empty() && !reader.translation.output.last_element(JOBS).has("metrics"),
            _ => reader.translation.has_missing(entry),
        };
        if is_selection && is_lost {
            lost = Some(pair.key);
        }
    }
    lost = lost.or_else(|| (!job.iter().any(|pair| pair.key == "metrics")).then_some("metrics"));
    if let Some(key) = lost {
        reader.translation.drop_element(head, first_entry, key, "the job would import other metrics");
        return false;
    }
    for (metric, entry) in of_static {
        of_last_static(reader).push("metrics", literal(&metric), entry);
    }
    let namespace = job.iter().find(|pair| pair.key == "type").map_or("", Pair::text);
    if let Some(tags) = exported.iter().find(|pair| pair.key == namespace) {
        reader.translation.output.last_element(JOBS).set("tags_on_metrics", strings(&tags.texts()), head);
    }
    true
}

/// The static metrics of the last job.
fn of_last_static<'r>(reader: &'r mut YamlFile<'_>) -> &'r mut super::output::Table {
    let job = reader.translation.output.last_element(JOBS);
    job.last_or_new_element("static")
}

fn apply(reader: &mut YamlFile<'_>, becomes: &Becomes, pair: &Pair<'_>, entry: EntryId) {
    let value = match becomes {
        Becomes::NotNeeded(reason) => {
            reader.translation.entries[entry].outcome = Outcome::NotNeeded((*reason).to_owned());
            return;
        }
        Becomes::Missing(instead) => {
            reader.translation.entries[entry].outcome = Outcome::Missing((*instead).to_owned());
            return;
        }
        Becomes::Table(name, names) => {
            for (key, value, entry) in key_values(reader, pair, *names) {
                reader.translation.output.last_element(JOBS).table(name).set(&key, literal(&value), entry);
            }
            return;
        }
        Becomes::Dimensions => {
            for name in pair.texts() {
                reader.translation.output.last_element(JOBS).table("dimensions").set(name, literal("*"), entry);
            }
            return;
        }
        Becomes::Roles => return roles(reader, pair),
        Becomes::Metrics => return,
        simple => setting(simple, pair),
    };
    match value {
        Ok((key, value)) => {
            reader.translation.output.last_element(JOBS).set(key, value, entry);
        }
        Err(expected) => reader.translation.entries[entry].outcome = Outcome::Missing(format!("expected {expected}")),
    }
}

/// A setting of one value.
fn setting(becomes: &Becomes, pair: &Pair<'_>) -> Result<(&'static str, String), &'static str> {
    match becomes {
        Becomes::Text(key) => Ok((key, literal(pair.text()))),
        Becomes::List(key) => Ok((key, strings(&pair.texts()))),
        Becomes::Switch(key) if matches!(pair.text(), "true" | "false") => Ok((key, pair.text().to_owned())),
        Becomes::Switch(_) => Err("true or false"),
        Becomes::NilToZero => Ok(("missing", literal(if pair.text() == "true" { "zero" } else { "nan" }))),
        Becomes::Seconds(key) => {
            let seconds = pair.text().parse().map_err(|_| "a number of seconds")?;
            Ok((key, literal(&duration(Duration::from_secs(seconds)))))
        }
        _ => Err("another key"),
    }
}

/// The entries of a list of keys and values.
fn key_values(reader: &mut YamlFile<'_>, pair: &Pair<'_>, [key, value]: [&str; 2]) -> Vec<(String, String, EntryId)> {
    let mut found = Vec::new();
    for item in pair.mappings() {
        let mut entry = None;
        for below in &item {
            let id = reader.whole(below, Outcome::Same);
            entry.get_or_insert(id);
        }
        let text = |name: &str| item.iter().find(|pair| pair.key == name).map(|pair| pair.text().to_owned());
        if let (Some(key), Some(value), Some(entry)) = (text(key), text(value), entry) {
            found.push((key, value, entry));
        }
    }
    found
}

fn roles(reader: &mut YamlFile<'_>, pair: &Pair<'_>) {
    for role in pair.mappings() {
        let Some(first) = role.first() else { continue };
        let head = reader.whole(first, Outcome::Same);
        reader.translation.output.last_element(JOBS).element("roles", head);
        for (index, below) in role.iter().enumerate() {
            let entry = if index == 0 { head } else { reader.whole(below, Outcome::Same) };
            let key = match below.key {
                "roleArn" => "role_arn",
                "externalId" => "external_id",
                _ => {
                    reader.translation.entries[entry].outcome = Outcome::Missing(NO_SUCH_KEY.to_owned());
                    continue;
                }
            };
            let element = reader.translation.output.last_element(JOBS).last_or_new_element("roles");
            element.set(key, literal(below.text()), entry);
        }
    }
}

/// The metrics of a job; one that has settings of its own is an override. Of a static job, returns their names.
fn metrics(reader: &mut YamlFile<'_>, pair: &Pair<'_>, is_static: bool) -> Vec<(String, EntryId)> {
    let mut names = Vec::new();
    let all = pair.mappings();
    for (number, metric) in all.iter().enumerate() {
        let name = text_of(metric, "name").to_owned();
        let Some(first) = metric.first() else {
            if let Value::Array(nodes) = &pair.node.value {
                reader.no_mapping(&nodes[number]);
            }
            continue;
        };
        if let Some(earlier) = all[..number].iter().find(|earlier| text_of(earlier, "name") == name) {
            again(reader, metric, earlier);
            continue;
        }
        let head = reader.whole(first, Outcome::Same);
        match is_static {
            true => names.push((name.clone(), head)),
            false => {
                reader.translation.output.last_element(JOBS).push("metrics", literal(&name), head);
            }
        }
        let own = |pair: &&Pair<'_>| METRIC.iter().any(|(key, _)| *key == pair.key) && pair.key != "delay";
        if metric.iter().any(|pair| own(&pair)) {
            let element = reader.translation.output.last_element(JOBS).element("overrides", head);
            element.set("metrics", literal(&name), head);
        }
        for (index, below) in metric.iter().enumerate() {
            let entry = if index == 0 { head } else { reader.whole(below, Outcome::Same) };
            reader.translation.entries[entry].outcome = of_metric(reader, below, entry);
            let statistics = joined_statistics(metric, &all[number + 1..]);
            if below.key == "statistics" && statistics.len() > below.texts().len() {
                let element = reader.translation.output.last_element(JOBS).last_or_new_element("overrides");
                element.set("statistics", strings(&statistics), entry);
            }
        }
    }
    names
}

/// The statistics of a metric, with those of later entries for it that differ in nothing else.
fn joined_statistics<'n>(metric: &[Pair<'n>], later: &[Vec<Pair<'n>>]) -> Vec<&'n str> {
    let texts =
        |metric: &[Pair<'n>]| metric.iter().find(|pair| pair.key == "statistics").map(Pair::texts).unwrap_or_default();
    let mut statistics = texts(metric);
    for statistic in later.iter().filter(|other| differ_in_statistics(metric, other)).flat_map(|other| texts(other)) {
        if !statistics.contains(&statistic) {
            statistics.push(statistic);
        }
    }
    statistics
}

/// Whether both are of the same metric, have statistics, and the same settings besides.
fn differ_in_statistics(one: &[Pair<'_>], other: &[Pair<'_>]) -> bool {
    let has_all = |of: &[Pair<'_>], other: &[Pair<'_>]| {
        of.iter().all(|pair| {
            let found = other.iter().find(|other| other.key == pair.key);
            found.is_some_and(|found| pair.key == "statistics" || found.texts() == pair.texts())
        })
    };
    let has_statistics = one.iter().any(|pair| pair.key == "statistics");
    has_statistics && has_all(one, other) && has_all(other, one)
}

fn text_of<'n>(pairs: &[Pair<'n>], key: &str) -> &'n str {
    pairs.iter().find(|pair| pair.key == key).map_or("", Pair::text)
}

/// A metric that the job has already.
fn again(reader: &mut YamlFile<'_>, metric: &[Pair<'_>], earlier: &[Pair<'_>]) {
    let is_same = |pair: &Pair<'_>| earlier.iter().any(|other| other.key == pair.key && other.texts() == pair.texts());
    for pair in metric {
        let outcome = match is_same(pair) {
            true => Outcome::NotNeeded("the metric is there already".to_owned()),
            false if pair.key == "statistics" && differ_in_statistics(metric, earlier) => {
                Outcome::Changed("joined with the earlier ones of this metric".to_owned())
            }
            false => {
                Outcome::Missing("the job has this metric with other settings: write a second job for it".to_owned())
            }
        };
        reader.whole(pair, outcome);
    }
}

fn of_metric(reader: &mut YamlFile<'_>, pair: &Pair<'_>, entry: EntryId) -> Outcome {
    let job = reader.translation.output.last_element(JOBS);
    match METRIC.iter().find(|(key, _)| *key == pair.key).map(|(_, becomes)| becomes) {
        Some(Becomes::NotNeeded(reason)) => Outcome::NotNeeded((*reason).to_owned()),
        Some(becomes) => match setting(becomes, pair) {
            Ok((key, value)) => {
                job.last_or_new_element("overrides").set(key, value, entry);
                Outcome::Same
            }
            Err(expected) => Outcome::Missing(format!("expected {expected}")),
        },
        None => match (pair.key, pair.text()) {
            ("name", _) => Outcome::Same,
            ("length", _) => {
                Outcome::Changed("requests reach back three periods at least, at no cost: window".to_owned())
            }
            ("addCloudwatchTimestamp", "false") => Outcome::NotNeeded("it is the default".to_owned()),
            ("addCloudwatchTimestamp", _) => {
                job.set("timestamps", "true", entry);
                Outcome::Changed("of the whole job".to_owned())
            }
            _ => Outcome::Missing(NO_SUCH_KEY.to_owned()),
        },
    }
}
