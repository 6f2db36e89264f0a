//! `[[inputs.prometheus]]`: each becomes a job of the collector `prometheus`.

use super::present::{HTTP_DISCOVERY, SCRAPING, has_no_urls, setting};
use super::read::{Block, Setting, Value};
use super::tables::{Becomes, Row};
use super::targets::{EVERY_JOB, TLS};
use super::translate::{Place, Reader};
use super::values::{duration_of, obstacle_of_urls, raw, shown};
use crate::migrate::output::{literal, string, strings};
use crate::migrate::translation::{EntryId, Outcome};

use Becomes::{Duration, Missing, NotNeeded, Opposite, To, Unless, Urls};

const JOBS: &str = "collectors.prometheus";
const OF_PODS: Becomes =
    Missing("[[collectors.prometheus.kubernetes_sd_configs]] has the annotated pods of a node: see docs/scraping.md");
const OF_SERVICES: Becomes = Missing("[[collectors.prometheus.dns_sd_configs]] has the addresses of a service");
const OF_CONSUL: &str = "[[collectors.prometheus.dns_sd_configs]] has the services in Consul's DNS";

#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    ("urls",                        Urls("targets")),
    ("url_tag",                     To("url_tag")),
    ("metric_version",              To("metric_version")),
    ("timeout",                     Duration("timeout")),
    ("response_timeout",            Duration("timeout")),
    ("username",                    To("username")),
    ("password",                    To("password")),
    ("bearer_token",                To("bearer_token_file")),
    ("bearer_token_string",         To("bearer_token")),
    ("content_length_limit",        To("max_body")),
    ("ignore_timestamp",            Opposite("honor_timestamps")),
    ("enable_request_metrics",      NotNeeded("taffrail_target has the duration of each scrape")),
    ("tls_enable",                  NotNeeded("the scheme of a URL decides")),
    ("http_proxy_url",              To("http_proxy")),
    ("use_system_proxy",            Unless("false", "set http_proxy")),
    ("kubernetes_services",         OF_SERVICES),
    ("monitor_kubernetes_pods",     Unless("false", "[[collectors.prometheus.kubernetes_sd_configs]] has the annotated pods of a node: see docs/scraping.md")),
    ("monitor_kubernetes_pods_method", OF_PODS),
    ("monitor_kubernetes_pods_scheme", OF_PODS),
    ("monitor_kubernetes_pods_port", OF_PODS),
    ("monitor_kubernetes_pods_path", OF_PODS),
    ("monitor_kubernetes_pods_namespace", OF_PODS),
    ("monitor_kubernetes_pods_namespace_label_name", OF_PODS),
    ("pod_namespace_label_name",    OF_PODS),
    ("pod_scrape_scope",            OF_PODS),
    ("pod_scrape_interval",         OF_PODS),
    ("node_ip",                     OF_PODS),
    ("kube_config",                 OF_PODS),
    ("kubernetes_label_selector",   OF_PODS),
    ("kubernetes_field_selector",   OF_PODS),
    ("cache_refresh_interval",      OF_PODS),
    ("namespace_annotation_pass",   OF_PODS),
    ("namespace_annotation_drop",   OF_PODS),
    ("pod_annotation_include",      OF_PODS),
    ("pod_annotation_exclude",      OF_PODS),
    ("pod_label_include",           OF_PODS),
    ("pod_label_exclude",           OF_PODS),
];

/// The credential that Telegraf uses in place of this option, if it has both.
fn ignored_beside(block: &Block, key: &str) -> Option<&'static str> {
    let order: &[&[&str]] = &[&["bearer_token"], &["bearer_token_string"], &["username", "password"]];
    let rank = order.iter().position(|options| options.contains(&key))?;
    let has_value = |key: &str| setting(block, key).is_some_and(|setting| setting.value.text() != Some(""));
    order[..rank].iter().map(|options| options[0]).find(|option| has_value(option))
}

/// Whether two URLs differ in their paths only: targets of a job are told apart by their labels.
fn have_same_host(block: &Block) -> bool {
    let urls = setting(block, "urls").and_then(|urls| urls.value.texts()).unwrap_or_default();
    let host = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().map(str::to_owned);
    let mut hosts: Vec<Option<String>> =
        urls.iter().filter(|url| !url.starts_with("unix:")).map(|url| host(url)).collect();
    hosts.sort_unstable();
    hosts.array_windows().any(|[one, other]| one == other)
}

impl Reader {
    pub(super) fn scraping(&mut self, block: &Block) {
        if has_no_urls(block) {
            return self.whole(block, "there are no urls: other targets are in *_sd_configs, see docs/scraping.md");
        }
        if let Some(instead) = obstacle_of_urls(block) {
            return self.whole(block, instead);
        }
        let place = Place::Sink(JOBS);
        let have_same_host = have_same_host(block);
        let head = self.head(
            block,
            match have_same_host {
                true => Outcome::Changed("URLs with the same host have the label path, too".to_owned()),
                false => Outcome::Same,
            },
        );
        let number = self.scraping_jobs + 1;
        self.scraping_jobs = number;
        self.translation.output.element(JOBS, head);
        let name = if number == 1 { SCRAPING.to_owned() } else { format!("{SCRAPING}-{number}") };
        self.table(place, "").set("name", string(&name), head);
        for setting in &block.settings {
            match setting.key.as_str() {
                "alias" => {
                    let how = format!("the job is {name:?}: Telegraf has the alias in its log only");
                    self.add(setting.lines, &shown(setting), Outcome::NotNeeded(how));
                }
                key if ignored_beside(block, key).is_some() => {
                    let why = format!("Telegraf uses {}", ignored_beside(block, key).unwrap_or_default());
                    self.add(setting.lines, &shown(setting), Outcome::NotNeeded(why));
                }
                // Lists that are empty are the defaults.
                _ if setting.value == Value::List(Vec::new()) => {
                    self.add(setting.lines, &shown(setting), Outcome::NotNeeded("it is the default".to_owned()));
                }
                _ => self.option(setting, &[OPTIONS, TLS, EVERY_JOB], place),
            }
        }
        if setting(block, "interval").is_none() {
            const OF_TELEGRAF: &str = "\"10s\"";
            let interval = self.interval.clone().unwrap_or_else(|| OF_TELEGRAF.to_owned());
            self.table(place, "").set("interval", interval, head);
        }
        for table in &block.tables {
            match table.path.last().map_or("", String::as_str) {
                "tags" if table.tables.is_empty() => self.entries_of(table, "labels"),
                "http_headers" if table.tables.is_empty() => self.entries_of(table, "headers"),
                "tagpass" | "tagdrop" => self.whole(table, "filter in the sinks"),
                "consul" => self.whole(table, OF_CONSUL),
                HTTP_DISCOVERY if table.tables.is_empty() => self.http_discovery(table),
                _ => self.whole(table, "Taffrail has no such table"),
            }
        }
        if have_same_host {
            let job = self.translation.output.last_element(JOBS);
            job.element("relabel_configs", head);
            job.last_or_new_element("relabel_configs").set(
                "source_labels",
                strings(&["__metrics_path__".to_owned()]),
                head,
            );
            job.last_or_new_element("relabel_configs").set("target_label", literal("path"), head);
        }
        self.measurements_of_scraping(setting(block, "metric_version"), head);
    }

    /// A server that lists targets.
    fn http_discovery(&mut self, table: &Block) {
        if setting(table, "enabled").is_none_or(|enabled| enabled.value != Value::Switch(true)) {
            let off = || Outcome::NotNeeded("it is not enabled".to_owned());
            self.head(table, off());
            for setting in &table.settings {
                self.add(setting.lines, &shown(setting), off());
            }
            return;
        }
        let how = "labels that begin with __ are no tags; relabel_configs can keep them";
        let head = self.head(table, Outcome::Changed(how.to_owned()));
        self.translation.output.last_element(JOBS).element("http_sd_configs", head);
        for setting in &table.settings {
            let value = match setting.key.as_str() {
                "enabled" => {
                    self.add(setting.lines, &shown(setting), Outcome::Same);
                    continue;
                }
                "url" => raw(setting).map(|value| ("url", value)),
                "query_interval" => {
                    Ok(("refresh_interval", duration_of(&setting.value).unwrap_or_else(|| setting.raw.clone())))
                }
                _ => {
                    self.missing_setting(setting, "Taffrail has no such option");
                    continue;
                }
            };
            let id = self.add(setting.lines, &shown(setting), Outcome::Same);
            match value {
                Ok((key, value)) => {
                    let job = self.translation.output.last_element(JOBS);
                    job.last_or_new_element("http_sd_configs").set(key, value, id);
                }
                Err(instead) => self.translation.entries[id].outcome = Outcome::Missing(instead),
            }
        }
        if setting(table, "query_interval").is_none() {
            let job = self.translation.output.last_element(JOBS);
            job.last_or_new_element("http_sd_configs").set("refresh_interval", literal("5m"), head);
        }
    }

    /// Copies a table of names and texts.
    fn entries_of(&mut self, table: &Block, to: &str) {
        self.head(table, Outcome::Same);
        for setting in &table.settings {
            let id = self.add(setting.lines, &shown(setting), Outcome::Same);
            self.set(id, Place::Sink(JOBS), to, &setting.key, setting);
        }
    }

    /// The measurements: with version 1, the names of all families.
    fn measurements_of_scraping(&mut self, version: Option<&Setting>, head: EntryId) {
        let names: &[&str] =
            if version.is_some_and(|version| version.raw == "2") { &["prometheus", "openmetric"] } else { &["*"] };
        for name in names {
            if !self.measurements.iter().any(|(known, _)| known == name) {
                self.measurements.push(((*name).to_owned(), head));
            }
        }
    }
}
