//! Prometheus's jobs that request probes of blackbox_exporter.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;

use super::entry::Entry;
use super::lines::Lines;
use super::output::literal;
use super::translation::{EntryId, Outcome, Translation};
use super::units::{duration, go_duration};
use super::yaml_lines::{Pair, YamlFile, pairs, text_of};
use crate::config::{Problems, Value, has_credentials, yaml};

/// A job, or the targets of a job that one module probes.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    file: String,
    pub(super) module: String,
    /// The targets, each with its line.
    pub(super) targets: Vec<(String, usize)>,
    /// The interval, with its line.
    pub(super) interval: Option<(Duration, usize)>,
    /// Whether Prometheus finds further targets.
    pub(super) has_others: bool,
}

impl Job {
    /// The entries of the targets.
    pub(super) fn lines(&self, entries: &[Entry]) -> Vec<EntryId> {
        self.targets.iter().map(|(_, line)| self.entry(*line, entries).unwrap_or_default()).collect()
    }

    /// The entry of a line.
    pub(super) fn entry(&self, line: usize, entries: &[Entry]) -> Option<EntryId> {
        let is_at = |entry: &Entry| entry.source.file == self.file && entry.source.lines.is_some_and(|at| at.0 == line);
        entries.iter().rposition(is_at)
    }
}

/// A target of HTTP as the module has it: in blackbox_exporter, a URL may lack its scheme.
fn with_scheme(target: &str) -> String {
    if target.contains("://") { target.to_owned() } else { format!("http://{target}") }
}

/// Whether a target contains a user or a password.
fn has_user(target: &str) -> bool {
    Url::parse(&with_scheme(target)).is_ok_and(|url| has_credentials(&url))
}

/// What becomes of a key of a job.
#[rustfmt::skip]
const KEYS: &[(&str, &str)] = &[
    ("job_name",       "the label module has the name of the module"),
    ("metrics_path",   "probes run in Taffrail"),
    ("scheme",         "probes run in Taffrail"),
    ("scrape_timeout", "the timeout is the module's"),
    ("honor_labels",   "probes run in Taffrail"),
    ("basic_auth",     "it is for the connection to blackbox_exporter"),
    ("authorization",  "it is for the connection to blackbox_exporter"),
    ("tls_config",     "it is for the connection to blackbox_exporter"),
    ("bearer_token",   "it is for the connection to blackbox_exporter"),
    ("proxy_url",      "it is for the connection to blackbox_exporter"),
];

const FOUND: &str =
    "Prometheus finds these targets: keep the job, with Taffrail's address; its module accepts every target";
const WITH_USER: &str = "a target has a user: write it in a module of its own, with username and password";
const RELABELLED: &str = "write it in the job that scrapes Taffrail";

/// Finds the jobs in a file.
///
/// # Errors
/// It is no YAML.
pub(super) fn translate(file: &str, text: &str) -> Result<(Vec<Job>, Translation), Problems> {
    let document = yaml::parse_single(file, text)?;
    let mut reader = YamlFile { file, lines: Lines::new(text), translation: Translation::default() };
    let (mut jobs, mut interval) = (Vec::new(), None);
    let root = pairs(&document.root);
    let not_needed = || Outcome::NotNeeded("it is not about probes".to_owned());
    for global in root.iter().filter(|pair| pair.key == "global") {
        reader.head(global, not_needed());
        for key in global.pairs() {
            let own = go_duration(key.text()).filter(|_| key.key == "scrape_interval");
            interval = own.map(|own| (own, reader.line_of(&key))).or(interval);
            reader.whole(&key, if own.is_some() { Outcome::Same } else { not_needed() });
        }
    }
    for pair in root.iter().filter(|pair| pair.key != "global") {
        if pair.key != "scrape_configs" {
            reader.whole(pair, not_needed());
            continue;
        }
        for keys in reader.list(pair) {
            match is_of_probes(&keys) {
                true => jobs.extend(job(&mut reader, &keys, interval)),
                false => keys.iter().for_each(|key| {
                    reader.whole(key, Outcome::NotNeeded("the job requests no probes".to_owned()));
                }),
            }
        }
    }
    Ok((jobs, reader.finish()))
}

/// The rules of a job.
fn rules<'n>(keys: &[Pair<'n>]) -> Vec<Vec<Pair<'n>>> {
    keys.iter().filter(|pair| pair.key == "relabel_configs").flat_map(Pair::mappings).collect()
}

fn value<'n>(keys: &[Pair<'n>], key: &str) -> &'n str {
    keys.iter().find(|pair| pair.key == key).map_or("", Pair::text)
}

fn is_of_probes(keys: &[Pair<'_>]) -> bool {
    rules(keys).iter().any(|rule| value(rule, "target_label") == "__param_target")
        || value(keys, "metrics_path").ends_with("/probe") && keys.iter().any(|pair| pair.key == "params")
}

/// The label of targets that names the module.
fn module_label(keys: &[Pair<'_>]) -> Option<String> {
    let rules = rules(keys);
    let rule = rules.iter().find(|rule| value(rule, "target_label") == "__param_module")?;
    let sources = rule.iter().find(|pair| pair.key == "source_labels")?.texts();
    (sources.len() == 1 && value(rule, "regex").is_empty()).then(|| sources[0].to_owned())
}

/// Translates a job: one for each of its modules.
fn job(reader: &mut YamlFile<'_>, keys: &[Pair<'_>], global: Option<(Duration, usize)>) -> Vec<Job> {
    let label = module_label(keys);
    let mut common = Job { file: reader.file.to_owned(), interval: global, ..Job::default() };
    // blackbox_exporter's default.
    common.module = "http_2xx".to_owned();
    let mut jobs: Vec<Job> = Vec::new();
    for pair in keys {
        match pair.key {
            "scrape_interval" => {
                let line = reader.line_of(pair);
                match go_duration(pair.text()) {
                    Some(interval) => {
                        common.interval = Some((interval, line));
                        reader.whole(pair, Outcome::Same);
                    }
                    None => drop(reader.whole(pair, Outcome::Missing("expected a duration such as 30s".to_owned()))),
                }
            }
            "params" => params(reader, pair, &mut common),
            "static_configs" => {
                for group in reader.list(pair) {
                    jobs.push(targets(reader, &group, label.as_deref()));
                }
            }
            "relabel_configs" => relabelling(reader, pair),
            "metric_relabel_configs" => drop(reader.whole(pair, Outcome::Missing(RELABELLED.to_owned()))),
            found if found.ends_with("_sd_configs") => {
                common.has_others = true;
                reader.whole(pair, Outcome::Missing(FOUND.to_owned()));
            }
            other => {
                let reason = KEYS.iter().find(|(key, _)| *key == other).map(|(_, reason)| *reason);
                let reason = reason.unwrap_or("it is of the scrape of blackbox_exporter");
                reader.whole(pair, Outcome::NotNeeded(reason.to_owned()));
            }
        }
    }
    if common.has_others && jobs.is_empty() {
        jobs.push(Job::default());
    }
    for job in &mut jobs {
        let module = if job.module.is_empty() { common.module.clone() } else { std::mem::take(&mut job.module) };
        *job = Job { module, targets: std::mem::take(&mut job.targets), ..common.clone() };
    }
    jobs
}

fn params(reader: &mut YamlFile<'_>, pair: &Pair<'_>, job: &mut Job) {
    reader.head(pair, Outcome::Same);
    for param in pair.pairs() {
        match (param.key, param.texts().as_slice()) {
            ("module", [module, ..]) => {
                job.module = (*module).to_owned();
                reader.whole(&param, Outcome::Same);
            }
            ("debug", _) => {
                reader.whole(&param, Outcome::NotNeeded("the log has the reason of each failure".to_owned()));
            }
            _ => {
                reader.whole(&param, Outcome::Missing("GET /probe of Taffrail has no such parameter".to_owned()));
            }
        }
    }
}

/// Targets of an element of `static_configs`; `label` names their module.
fn targets(reader: &mut YamlFile<'_>, group: &[Pair<'_>], label: Option<&str>) -> Job {
    let mut job = Job::default();
    for pair in group {
        match (pair.key, &pair.node.value) {
            ("targets", Value::Array(nodes)) => {
                let (mut entry, mut last) = (reader.head(pair, Outcome::Same), reader.line_of(pair));
                for node in nodes {
                    // Targets of one line have one entry.
                    let line = reader.line_of_item(node);
                    if line != last {
                        (entry, last) = (reader.item(node, Outcome::Same), line);
                    }
                    match has_user(text_of(node)) {
                        true => reader.translation.entries[entry].outcome = Outcome::Missing(WITH_USER.to_owned()),
                        false => job.targets.push((text_of(node).to_owned(), line)),
                    }
                }
            }
            ("labels", _) => {
                reader.head(pair, Outcome::Same);
                for own in pair.pairs() {
                    let outcome = match Some(own.key) == label {
                        true => {
                            own.text().clone_into(&mut job.module);
                            Outcome::Same
                        }
                        false => Outcome::Missing(format!("labels of single targets: {RELABELLED}")),
                    };
                    reader.whole(&own, outcome);
                }
            }
            _ => drop(reader.whole(pair, Outcome::Missing("expected a list of targets".to_owned()))),
        }
    }
    job
}

/// The usual rules are what Taffrail does itself.
fn relabelling(reader: &mut YamlFile<'_>, pair: &Pair<'_>) {
    const USUAL: [&str; 4] = ["__param_target", "__param_module", "instance", "__address__"];
    for rule in reader.list(pair) {
        let is_usual = USUAL.contains(&value(&rule, "target_label")) && value(&rule, "regex").is_empty();
        for key in &rule {
            reader.whole(
                key,
                match is_usual {
                    true => Outcome::NotNeeded("the labels target and module have it".to_owned()),
                    false => Outcome::Missing(RELABELLED.to_owned()),
                },
            );
        }
    }
}

/// Adds the targets of jobs to their modules, the elements of `path`.
pub(super) fn assign(translation: &mut Translation, path: &str, jobs: &[Job]) {
    let ids: Vec<Vec<EntryId>> = jobs.iter().map(|job| job.lines(&translation.entries)).collect();
    let mut is_used = vec![false; jobs.len()];
    let mut open = Vec::new();
    for module in translation.output.elements(path) {
        let Some((name, head)) = module.values("name").into_iter().next() else { continue };
        let prober = module.values("prober").into_iter().next().unwrap_or_default().0;
        let mut seen = BTreeSet::new();
        let mut shortest: Option<(Duration, EntryId)> = None;
        for (index, job) in jobs.iter().enumerate().filter(|(_, job)| literal(&job.module) == name) {
            is_used[index] = true;
            for ((target, _), entry) in job.targets.iter().zip(&ids[index]) {
                let target = if prober == literal("http") { with_scheme(target) } else { target.clone() };
                if seen.insert(target.clone()) {
                    module.push("targets", literal(&target), *entry);
                }
            }
            let interval = job.interval.map(|(interval, line)| (interval, job.entry(line, &translation.entries)));
            if let Some((interval, Some(entry))) = interval
                && shortest.is_none_or(|(known, _)| interval < known)
            {
                shortest = Some((interval, entry));
            }
            if job.has_others && seen.insert("*".to_owned()) {
                module.push("targets", literal("*"), head);
            }
        }
        if let Some((interval, entry)) = shortest {
            module.set("interval", literal(&duration(interval)), entry);
        }
        if seen.is_empty() {
            module.push("targets", literal("*"), head);
            open.push(head);
        }
    }
    for head in open {
        let remark = "GET /probe accepts every target: list those in targets that are to be in /metrics and in sinks";
        translation.entries[head].outcome = Outcome::Changed(remark.to_owned());
    }
    for (index, job) in jobs.iter().enumerate().filter(|(index, _)| !is_used[*index]) {
        for entry in &ids[index] {
            let instead = format!("the module {:?} is missing, or in no file that was given", job.module);
            translation.entries[*entry].outcome = Outcome::Missing(instead);
        }
    }
}
