//! The documentation and the default configuration say what the code says.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test docs` writes docs/metrics.md and docs/configuration.md anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use taffrail::collectors::list::COLLECTORS;
use taffrail::collectors::{About, readers};
use taffrail::config::Document;
use taffrail::encode::family::FamilyInfo;
use taffrail::encode::point::MeasurementInfo;
use taffrail::reference::sections;
use taffrail::settings::{self, Overrides, Settings};
use taffrail::sinks::settings::KINDS;
use taffrail::sinks::{prometheus, state};

#[test]
fn the_documentation_is_what_the_code_says() {
    assert_is_committed("docs/metrics.md", &metrics());
    assert_is_committed("docs/configuration.md", &configuration());
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
        "{file} is stale from line {}: run TAFFRAIL_BLESS=1 cargo test --test docs",
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
            let is_there = match measurement {
                Some(measurement) => goldens.has_field(measurement, name),
                None => goldens.has_family(name),
            };
            if is_there { found += 1 } else { missing.push(format!("{} {name}", measurement.unwrap_or_default())) }
        }
    }
    assert!(missing.is_empty(), "in no golden: {missing:#?}");
    assert!(found > 1000, "{found}");
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
                let text = |name: &str| std::fs::read_to_string(host.join(name)).unwrap_or_default();
                let families = text("expected.prom");
                goldens.families.extend(
                    families
                        .lines()
                        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)),
                );
                goldens.add_points(&text("expected.influx"));
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
         Generated from the code; `TAFFRAIL_BLESS=1 cargo test --test docs` writes it anew.\n\n\
         Each collector's families are what Prometheus pulls, its points what is pushed to InfluxDB. `KEY` in a name \
         stands for a name of the kernel's. Every point also carries the tag `host` and those of `[tags]`.\n\n\
         A collector without points of its own is pushed by one rule: the measurement is `prometheus`, labels are \
         tags, and each family is a float field of its own name; samples with the same labels share a point.\n",
    );
    for entry in COLLECTORS {
        write_collector(&mut out, entry.about);
    }
    out.push_str("\n## Taffrail about itself\n\nIn every exposition, whichever collectors are on. The families of sinks are there when there are sinks.\n");
    write_families(&mut out, readers::FAMILIES);
    write_families(&mut out, state::FAMILIES);
    write_families(&mut out, prometheus::FAMILIES);
    write_families(&mut out, taffrail::descriptors::FAMILIES);
    write_families(&mut out, taffrail::log::FAMILIES);
    write_families(&mut out, taffrail::http::connections::FAMILIES);
    out.push_str("\n## The gateway about itself\n\nBeside what was pushed, on the gateway's own address. Every group also has `push_time_seconds` and `push_failure_time_seconds`, with its labels.\n");
    write_families(&mut out, taffrail::gateway::own::FAMILIES);
    out.push_str("\n## A job about itself\n\nPushed by `taffrail push -- COMMAND`, with the group's labels.\n");
    write_families(&mut out, taffrail::job::report::FAMILIES);
    out
}

fn write_collector(out: &mut String, about: &About) {
    let on = match (about.on_by_default.families, about.on_by_default.points) {
        _ if about.is_list => "on where there is a job",
        (true, true) => "on",
        (false, true) => "pushed; not pulled unless enabled",
        (true, false) => "pulled; not pushed unless enabled",
        (false, false) => "off",
    };
    writeln!(out, "\n## {}\n\n{}. By default: {on}.\n", about.name, capitalised(about.summary)).unwrap();
    let reads = about.reads.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
    writeln!(out, "Reads {reads}.").unwrap();
    if !about.needs.is_empty() {
        writeln!(out, "Needs {}.", about.needs).unwrap();
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
        [] => "without tags of its own".to_owned(),
        tags => format!("with the tags {}", tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", ")),
    };
    writeln!(out, "\nPoints of `{}`, {tags}:\n\n| field | type | |\n| --- | --- | --- |", measurement.name).unwrap();
    for field in measurement.fields {
        writeln!(out, "| `{}` | {} | {} |", field.name, field.type_name, field.help).unwrap();
    }
}

fn configuration() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Generated from the code; `TAFFRAIL_BLESS=1 cargo test --test docs` writes it anew. \
         [conf/taffrail.toml](../conf/taffrail.toml) shows every setting in its place.\n\n\
         `--config` takes TOML files, and directories of `*.toml` files in the order of their names. Several are merged \
         in order: later values win, lists of tables append. In strings, `${VARIABLE}` and `${VARIABLE:-default}` are \
         replaced by the environment's values, `${file:PATH}` by what a file holds, `${credential:NAME}` by what \
         systemd's `LoadCredential=` gave: secrets need not stand here. An unknown key is a mistake; `taffrail check` shows all of them.\n",
    );
    for (head, about, keys) in sections() {
        writeln!(out, "\n## `{head}`\n\n{about}").unwrap();
        if !keys.is_empty() {
            out.push_str("\n| setting | takes | default | |\n| --- | --- | --- | --- |\n");
        }
        for key in keys {
            let default =
                if key.default.is_empty() { "–".to_owned() } else { in_table(&format!("`{}`", key.default)) };
            writeln!(out, "| `{}` | {} | {default} | {} |", key.name, key.expected, in_table(key.help)).unwrap();
        }
    }
    out
}

fn in_table(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_default_configuration_shows_every_setting_with_its_default() {
    for (head, _, keys) in sections().into_iter().filter(|(head, _, _)| head != "[collectors.NAME]") {
        let shown = section_of_default_configuration(&head);
        for key in keys {
            let prefix = format!("#{} = ", key.name);
            let line = shown.iter().find_map(|line| line.strip_prefix(&prefix));
            let value = line.unwrap_or_else(|| panic!("conf/taffrail.toml does not show {} in {head}", key.name));
            if !key.default.is_empty() {
                assert_eq!(value, key.default, "{} in {head}", key.name);
            }
        }
    }
}

/// The lines between this head, in comments or not, and the next.
fn section_of_default_configuration(head: &str) -> Vec<&'static str> {
    let is_head = |line: &str| line.trim_start_matches('#').starts_with('[');
    let mut lines = settings::BUILT_IN.lines().skip_while(|line| line.trim_start_matches('#') != head);
    lines.next();
    lines.take_while(|line| !is_head(line)).collect()
}

#[test]
fn the_default_configuration_changes_nothing() {
    let default = load(settings::BUILT_IN).unwrap();
    let nothing = load("").unwrap();
    assert_eq!(default.schedule, nothing.schedule);
    assert_eq!(default.http, nothing.http);
    assert_eq!(default.sinks, nothing.sinks);
    assert_eq!(names(&default), names(&nothing));
}

/// Whoever takes away the comment signs of what he needs gets a sound configuration.
#[test]
fn every_setting_that_the_default_configuration_shows_is_sound() {
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
        "kubernetes_url",
        "web_config_file",
        "client_ca_file",
    ];
    let is_setting = |line: &str| {
        let Some(rest) = line.strip_prefix('#') else { return false };
        rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '))
    };
    let uncomment = |line: &'static str| {
        let is_alternative = alternatives.iter().any(|name| line.starts_with(&format!("#{name} ")));
        if is_setting(line) && !is_alternative { &line[1..] } else { line }
    };
    let text = settings::BUILT_IN.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    let settings = load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(settings.sinks.len(), KINDS.len());
    assert_eq!(settings.sinks[0].delivery.schedule.tags["datacenter"], "fra1");
}

fn load(text: &str) -> Result<Settings, taffrail::config::Problems> {
    let document = Document::parse("taffrail.toml", text, &|name| Some(format!("value of {name}")))?;
    Settings::check(&document, &Overrides::default())
}

fn names(settings: &Settings) -> Vec<&'static str> {
    settings.collectors.iter().map(|configured| configured.about.name).collect()
}

#[test]
fn every_family_has_one_owner_and_a_name_that_both_text_formats_can_tell_apart() {
    let own = [
        readers::FAMILIES,
        state::FAMILIES,
        prometheus::FAMILIES,
        taffrail::descriptors::FAMILIES,
        taffrail::log::FAMILIES,
        taffrail::http::connections::FAMILIES,
        taffrail::gateway::own::FAMILIES,
        taffrail::job::report::FAMILIES,
    ];
    let all = COLLECTORS.iter().map(|entry| entry.about.families).chain(own).flatten();
    let mut seen = BTreeSet::new();
    for family in all {
        // OpenMetrics names a counter's family without its suffix.
        let in_open_metrics = family.name.strip_suffix("_total").unwrap_or(family.name);
        assert!(seen.insert(in_open_metrics), "{} is there twice", family.name);
        assert!(!family.help.is_empty(), "{} has no help", family.name);
        // cAdvisor has always called these so.
        if ["container_memory_failcnt", "container_hugetlb_failcnt"].contains(&family.name) {
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
