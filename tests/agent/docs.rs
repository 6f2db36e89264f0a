//! The documentation and the default configuration say what the code says.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test agent docs` updates docs/metrics.md and docs/configuration.md.

#[cfg(target_os = "linux")]
mod commands;
mod configuration;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use taffrail::collectors::list::COLLECTORS;
use taffrail::collectors::{About, readers};
use taffrail::config::Document;
use taffrail::encode::family::FamilyInfo;
use taffrail::encode::point::MeasurementInfo;
use taffrail::migrate::flags::Becomes;
use taffrail::migrate::node_exporter::NODE_EXPORTER;
use taffrail::reference::{REFERENCE, head_of, sections, setting_of};
use taffrail::settings::{self, Overrides, Settings};
use taffrail::sinks::kinds::KINDS;
use taffrail::sinks::{internal, prometheus, state};

use crate::harness::recorded::{EXPECTED, expected};

#[test]
fn the_documentation_is_what_the_code_says() {
    assert_is_committed("docs/metrics.md", &metrics());
    assert_is_committed("docs/configuration.md", &configuration::page());
}

fn assert_is_committed(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("TAFFRAIL_BLESS").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let stale = committed.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(
        committed == generated,
        "{file} is stale from line {}: run TAFFRAIL_BLESS=1 cargo test --test agent docs",
        stale.map_or(committed.lines().count().min(generated.lines().count()), |line| line + 1)
    );
}

/// A name that a test sees in what Taffrail writes is one that users will find there too.
#[test]
fn every_name_in_the_documentation_is_in_a_golden() {
    let goldens = Goldens::read();
    let documented = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let (mut measurement, mut missing, mut found) = (None, Vec::new(), 0);
    for line in documented.lines() {
        if let Some(rest) = line.strip_prefix("Points of `") {
            measurement = rest.split('`').next();
        } else if line.starts_with("| family ") {
            measurement = None;
        } else if let Some(name) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
            // tests/gateway/replicas.rs has what replicas report, and replicas_operated/leases.rs what holders of leases do.
            let is_of_replicas = name == "taffrail_lease_held"
                || taffrail::gateway::self_metrics::REPLICA_FAMILIES.iter().any(|family| family.name == name);
            let is_there = match measurement {
                None if is_of_replicas => true,
                _ if is_of_devices(measurement, name) => true,
                Some(measurement) => goldens.has_field(measurement, name),
                None => goldens.has_family(name),
            };
            if is_there { found += 1 } else { missing.push(format!("{} {name}", measurement.unwrap_or_default())) }
        }
    }
    assert!(missing.is_empty(), "in no golden: {missing:#?}");
    assert!(found > 1000, "{found}");
}

/// Whether tests/agent/{smart,nvidia,docker}.rs and tests/push/smartctl_exporter.rs have the family, or the measurement.
fn is_of_devices(measurement: Option<&str>, family: &str) -> bool {
    let of_devices = COLLECTORS
        .iter()
        .map(|entry| entry.about)
        .filter(|about| ["docker_state", "nvidia", "smart"].contains(&about.name));
    of_devices.into_iter().any(|about| match measurement {
        Some(measurement) => about.measurements.iter().any(|known| known.name == measurement),
        None => about.families.iter().any(|known| known.name == family),
    })
}

/// The names in the expected files of tests.
struct Goldens {
    families: BTreeSet<String>,
    /// With their measurements.
    fields: BTreeSet<(String, String)>,
}

impl Goldens {
    fn read() -> Goldens {
        let mut goldens = Goldens { families: BTreeSet::new(), fields: BTreeSet::new() };
        for folder in ["tests/hosts", "tests/goldens"] {
            let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
            for host in folders.map(|entry| entry.unwrap().path()) {
                let text = |name: &str| match host.join(EXPECTED).exists() {
                    true => expected(&host, name),
                    false => std::fs::read_to_string(host.join(format!("expected.{name}"))).unwrap_or_default(),
                };
                let families = text("prom");
                goldens.families.extend(
                    families
                        .lines()
                        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)),
                );
                goldens.add_points(&text("influx"));
            }
        }
        goldens
    }

    fn add_points(&mut self, text: &str) {
        for line in influxdb_line_protocol::parse_lines(text) {
            let line = line.unwrap();
            let measurement = line.series.measurement.to_string();
            let fields = line.field_set.iter().map(|(field, _)| (measurement.clone(), field.to_string()));
            self.fields.extend(fields.collect::<Vec<_>>());
        }
    }

    /// Whether there is a family of this name, or, where `KEY` stands in it, one that it can become.
    fn has_family(&self, name: &str) -> bool {
        self.families.contains(name)
            || pattern(name).is_some_and(|pattern| self.families.iter().any(|known| pattern.is_match(known)))
    }

    fn has_field(&self, measurement: &str, name: &str) -> bool {
        let pattern = pattern(name);
        let is_it = |field: &str| field == name || pattern.as_ref().is_some_and(|pattern| pattern.is_match(field));
        self.fields.iter().any(|(of, field)| of == measurement && is_it(field))
    }
}

/// What names fit one in which something stands for names of the kernel's; nothing for a name that is as it is.
fn pattern(name: &str) -> Option<Regex> {
    static PLACES: LazyLock<Regex> = LazyLock::new(|| Regex::new("PROTOCOL|KEY|RESOURCE|KIND|MAJOR|MINOR").unwrap());
    let name = if name == "protocol_key" { "PROTOCOL_KEY" } else { name };
    let fixed: Vec<String> = PLACES.split(name).map(regex::escape).collect();
    (fixed.len() > 1).then(|| Regex::new(&format!("^{}$", fixed.join(".+"))).unwrap())
}

fn metrics() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         Generated from the code; `TAFFRAIL_BLESS=1 cargo test --test agent docs` updates it.\n\n\
         Prometheus scrapes the families of each collector; InfluxDB and other databases get its points. `KEY` in a name \
         stands for a name that the kernel chooses. Every point also has the tag `host` and those of `[tags]`.\n\n\
         A collector without points of its own uses a generic mapping: the measurement is `prometheus`, labels are \
         tags, and each family is a float field of its own name; samples with the same labels share a point.\n",
    );
    let names = COLLECTORS.iter().map(|entry| entry.about.name).map(|name| format!("[{name}](#{name})"));
    let names = names.collect::<Vec<_>>().join(" · ");
    writeln!(
        out,
        "\n## Contents\n\n- Collectors: {names}\n- [Self-metrics](#self-metrics)\n- [Self-metrics of the gateway](#self-metrics-of-the-gateway)\n\
         - [Metrics of a job](#metrics-of-a-job)"
    )
    .unwrap();
    for entry in COLLECTORS.iter() {
        write_collector(&mut out, entry.about);
    }
    out.push_str("\n## Self-metrics\n\nPresent in every exposition, whichever collectors are enabled. The families of sinks are present if sinks are configured.\n");
    write_families(&mut out, readers::FAMILIES);
    write_families(&mut out, state::FAMILIES);
    write_families(&mut out, prometheus::FAMILIES);
    write_families(&mut out, taffrail::descriptors::FAMILIES);
    write_families(&mut out, taffrail::log::FAMILIES);
    write_families(&mut out, taffrail::nats::turn::FAMILIES);
    write_families(&mut out, taffrail::http::connections::FAMILIES);
    out.push_str("\nAs points they have the names of Telegraf's `inputs.internal`, and additional fields: `input` is a collector, `alias` is the name of a sink and `output` its kind. Counters start at the start of the process, or at a reload that changed the collectors. `namedrop = [\"internal_*\"]` in a sink drops them.\n");
    for measurement in internal::MEASUREMENTS.iter().chain(readers::MEASUREMENTS) {
        write_measurement(&mut out, measurement);
    }
    out.push_str("\n## Self-metrics of the gateway\n\nExposed on the gateway's own address, next to pushed metrics. Every group also has `push_time_seconds` and `push_failure_time_seconds`, with its labels.\n");
    write_families(&mut out, taffrail::gateway::self_metrics::FAMILIES);
    out.push_str("\nOf a replica, in builds with the feature `nats`:\n");
    write_families(&mut out, taffrail::gateway::self_metrics::REPLICA_FAMILIES);
    out.push_str("\n## Metrics of a job\n\nPushed by `taffrail push -- COMMAND`, with the group's labels.\n");
    write_families(&mut out, taffrail::job::report::FAMILIES);
    out
}

fn write_collector(out: &mut String, about: &About) {
    let on = about.default_text();
    writeln!(out, "\n## {}\n\n{}. By default: {on}.\n", about.name, capitalised(about.summary)).unwrap();
    let reads = about.reads.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
    writeln!(out, "Reads {reads}.").unwrap();
    if !about.needs.is_empty() {
        writeln!(out, "Needs {}.", about.needs).unwrap();
    }
    if about.may_be_absent {
        out.push_str("Its success is also 1 on a host without it, as in node_exporter.\n");
    }
    if !about.remarks.is_empty() {
        writeln!(out, "\n{}", about.remarks).unwrap();
    }
    write_families(out, about.families);
    for measurement in about.measurements {
        write_measurement(out, measurement);
    }
}

fn capitalised(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

fn write_families(out: &mut String, families: &[FamilyInfo]) {
    out.push_str("\n| family | type | labels | |\n| --- | --- | --- | --- |\n");
    for family in families {
        let help = if family.help.starts_with(' ') { format!("KEY{}", family.help) } else { family.help.to_owned() };
        writeln!(out, "| `{}` | {} | {} | {help} |", family.name, family.kind.name(), family.labels.join(", "))
            .unwrap();
    }
}

fn write_measurement(out: &mut String, measurement: &MeasurementInfo) {
    let tags = match measurement.tags {
        [] => "without additional tags".to_owned(),
        tags => format!("with the tags {}", tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", ")),
    };
    writeln!(out, "\nPoints of `{}`, {tags}:\n\n| field | type | |\n| --- | --- | --- |", measurement.name).unwrap();
    for field in measurement.fields {
        writeln!(out, "| `{}` | {} | {} |", field.name, field.type_name, field.help).unwrap();
    }
}

fn in_table(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_reference_shows_every_setting_and_marks_what_is_no_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/reference.toml");
    if std::env::var_os("TAFFRAIL_BLESS").is_some() {
        std::fs::write(&path, marked(REFERENCE)).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), marked(REFERENCE));
    let defaults = defaults();
    let mut shown = BTreeSet::new();
    let mut head = "";
    for line in REFERENCE.lines() {
        head = head_of(line).unwrap_or(head);
        shown.extend(setting_of(line).map(|(name, _, is_example)| (head.to_owned(), name.to_owned(), is_example)));
    }
    for ((head, name, index), default) in &defaults {
        let is_shown = shown.contains(&(head.clone(), name.clone(), default.is_empty()));
        // What sinks share is shown with the first of them; others may show it too.
        assert!(is_shown || *index > 0, "conf/reference.toml does not show {name} of {head}");
    }
}

/// The defaults of all settings, by table and name, with the number of the table among those that share the setting.
fn defaults() -> BTreeMap<(String, String, usize), &'static str> {
    let mut defaults = BTreeMap::new();
    for section in sections().into_iter().filter(|section| !section.head.starts_with("[collectors.NAME")) {
        let names = if section.names.is_empty() { vec![""] } else { section.names };
        for (index, name) in names.into_iter().enumerate() {
            let head = section.head.replace("NAME", name).trim_matches(['[', ']']).to_owned();
            defaults.extend(section.keys.iter().map(|key| ((head.clone(), key.name.to_owned(), index), key.default)));
        }
    }
    defaults
}

/// The reference with each value marked as a default or an example.
fn marked(text: &str) -> String {
    let (defaults, mut head, mut marked) = (defaults(), "", String::new());
    for line in text.lines() {
        head = head_of(line).unwrap_or(head);
        match setting_of(line) {
            Some((name, value, _)) => {
                let is_it = |(at, key, _): &&(String, String, usize)| at == head && key == name;
                let is_default = defaults.keys().find(is_it).is_some_and(|key| defaults[key] == value);
                marked.push_str(if is_default { "#" } else { "# example: " });
                writeln!(marked, "{name} = {value}").unwrap();
            }
            None => writeln!(marked, "{line}").unwrap(),
        }
    }
    marked
}

/// A section that is asked for an unknown key says which it knows.
#[test]
fn every_kind_of_sink_takes_the_settings_that_document_it_and_no_others() {
    for kind in KINDS.iter().map(|kind| kind.info.name) {
        let mut documented = BTreeSet::new();
        for section in sections().iter().filter(|section| section.names.is_empty() || section.names.contains(&kind)) {
            let head = section.head.replace("sinks.NAME", &format!("sinks.{kind}"));
            let table = head.strip_prefix(&format!("[sinks.{kind}.")).and_then(|table| table.strip_suffix(']'));
            if head == format!("[[sinks.{kind}]]") {
                documented.extend(section.keys.iter().map(|key| key.name.to_owned()));
            }
            documented.extend(table.map(str::to_owned));
        }
        let problems = load(&format!("[[sinks.{kind}]]\n0123456789 = 0")).err().unwrap().to_string();
        let known = problems.split_once("expected one of ").unwrap().1.lines().next().unwrap();
        assert_eq!(known.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(), documented, "{kind}");
    }
}

#[test]
fn the_default_configuration_and_the_reference_change_nothing() {
    let nothing = load("").unwrap();
    for text in [settings::BUILT_IN, REFERENCE] {
        let default = load(text).unwrap();
        assert_eq!(default.schedule, nothing.schedule);
        assert_eq!(default.http, nothing.http);
        assert_eq!(default.sinks, nothing.sinks);
        assert_eq!(names(&default), names(&nothing));
    }
    assert!(settings::BUILT_IN.lines().count() <= 40);
}

/// Defaults can be written out. Lists of tables have examples of what each entry needs.
#[test]
fn the_reference_with_every_default_uncommented_is_sound_and_changes_nothing() {
    let (mut text, mut is_in_list) = (String::new(), false);
    for line in REFERENCE.lines() {
        if let Some(head) = head_of(line) {
            let is_of = |list: &str| head == list || head.strip_prefix(list).is_some_and(|rest| rest.starts_with('.'));
            let lists = REFERENCE.lines().filter(|line| line.trim_start_matches('#').starts_with("[["));
            is_in_list = lists.filter_map(head_of).any(is_of);
        }
        let is_default = setting_of(line).is_some_and(|(.., is_example)| !is_example);
        let is_on = (head_of(line).is_some() || is_default) && !is_in_list;
        writeln!(text, "{}", if is_on { line.trim_start_matches('#') } else { line }).unwrap();
    }
    assert!(text.contains("\nlisten = [\":9100\"]\n") && text.contains("\n[http.tls]\n"), "{text}");
    let (written, nothing) = (load(&text).unwrap_or_else(|problems| panic!("{problems}")), load("").unwrap());
    assert_eq!(written.schedule, nothing.schedule);
    assert_eq!(written.sinks, nothing.sinks);
    assert_eq!(names(&written), names(&nothing));
}

/// A user who removes the comment signs of what they need gets a valid configuration.
#[test]
fn every_setting_that_the_default_configuration_and_the_reference_show_is_sound() {
    let alternatives = [
        "device_include",
        "chip_include",
        "sensor_include",
        "name_include",
        "mount_points_include",
        "fs_types_include",
        "bucket",
        "org",
        "bucket_tag",
        "api_key",
        "token",
        "token_sha256",
        "password_file",
        "bearer_token",
        "bearer_token_file",
        "profile",
        "kubernetes_url",
        "mapping_file",
        "web_config_file",
        "client_ca_file",
    ];
    let uncomment = |line: &'static str| match setting_of(line) {
        Some((name, ..)) if alternatives.contains(&name) => String::new(),
        Some((name, value, _)) => format!("{name} = {value}"),
        None if head_of(line).is_some() => line.trim_start_matches('#').to_owned(),
        None => line.to_owned(),
    };
    let uncommented = |text: &'static str| {
        let text = text.lines().map(uncomment).collect::<Vec<_>>().join("\n");
        load(&text).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let settings = uncommented(REFERENCE);
    assert_eq!(settings.sinks.len(), KINDS.len());
    assert_eq!(settings.sinks[0].delivery.schedule.tags["datacenter"], "fra1");
    assert_eq!(uncommented(settings::BUILT_IN).sinks.len(), 2);
}

fn load(text: &str) -> Result<Settings, taffrail::config::Problems> {
    let document = Document::parse("taffrail.toml", text, &|name| Some(format!("value of {name}").into()))?;
    Settings::check(&document, &Overrides::default())
}

fn names(settings: &Settings) -> Vec<&'static str> {
    settings.collectors.iter().map(|configured| configured.about.name).collect()
}

/// Whoever comes from node_exporter finds each of its flags, by its name or in the table of docs/install.md.
#[test]
fn every_flag_of_node_exporter_has_a_setting_or_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md");
    let table = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `--")).collect();
    let sections = sections();
    let has = |head: &str, name: &str| {
        let section = sections.iter().find(|section| section.head == head);
        section.is_some_and(|section| section.keys.iter().any(|key| key.name == name))
    };
    let is_explained = |flag: &str| rows.iter().any(|row| row.contains(&format!("`--{flag}`")));
    for flag in NODE_EXPORTER.flags.iter().filter(|flag| !flag.name.ends_with(".fixtures")) {
        let name = flag.name.strip_prefix("collector.").and_then(|name| name.split_once('.'));
        let is_setting = name.is_some_and(|(collector, setting)| {
            has(&format!("[collectors.{collector}]"), &setting.replace(['-', '.'], "_"))
        });
        assert!(is_setting || is_explained(flag.name), "--{}", flag.name);
        if let Becomes::Setting(setting) | Becomes::Changed(setting, _) = flag.becomes {
            let (table, key) = setting.rsplit_once('.').unwrap();
            assert!(has(&format!("[{table}]"), key), "--{} is no {setting}", flag.name);
        }
    }
    // What the table names is there.
    let quoted = Regex::new("`([a-z_]+)`").unwrap();
    let head = Regex::new(r"in `(\[[a-z_.]+\])`").unwrap();
    let mut named = 0;
    for row in rows {
        let setting = row.rsplit(" | ").next().unwrap();
        let Some(head) = head.captures(setting) else { continue };
        for name in quoted.captures_iter(setting) {
            assert!(has(&head[1], &name[1]), "{} in {}", &name[1], &head[1]);
            named += 1;
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn every_family_has_one_owner_and_a_name_that_both_text_formats_can_tell_apart() {
    let own = [
        readers::FAMILIES,
        state::FAMILIES,
        prometheus::FAMILIES,
        taffrail::descriptors::FAMILIES,
        taffrail::log::FAMILIES,
        taffrail::nats::turn::FAMILIES,
        taffrail::http::connections::FAMILIES,
        taffrail::gateway::self_metrics::FAMILIES,
        taffrail::gateway::self_metrics::REPLICA_FAMILIES,
        taffrail::job::report::FAMILIES,
    ];
    let all = COLLECTORS.iter().map(|entry| entry.about.families).chain(own).flatten();
    let mut seen = BTreeSet::new();
    for family in all {
        // OpenMetrics names a counter's family without its suffix.
        let in_open_metrics = family.name.strip_suffix("_total").unwrap_or(family.name);
        assert!(seen.insert(in_open_metrics), "{} is there twice", family.name);
        assert!(!family.help.is_empty(), "{} has no help", family.name);
        // cAdvisor, node_exporter, process-exporter and statsd_exporter have always called these so.
        let historical = [
            "namedprocess_scrape_errors",
            "namedprocess_scrape_partial_errors",
            "namedprocess_scrape_procread_errors",
            "container_fs_inodes_total",
            "container_memory_failcnt",
            "container_hugetlb_failcnt",
            "node_systemd_socket_refused_connections_total",
            "statsd_exporter_metrics_total",
        ];
        // So have smartctl_exporter, dcgm-exporter and the exporters of servers.
        let theirs = ["smartctl_", "DCGM_FI_", "memcached_", "nginx_", "phpfpm_", "redis_"];
        let is_theirs = theirs.iter().any(|prefix| family.name.starts_with(prefix));
        if historical.contains(&family.name) || is_theirs {
            continue;
        }
        let is_counter = family.kind == taffrail::encode::Kind::Counter;
        assert_eq!(
            is_counter,
            family.name.ends_with("_total"),
            "{}: counters, and only they, end in _total",
            family.name
        );
    }
}
