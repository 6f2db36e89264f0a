//! Grafana's dashboards, made of deploy/grafana/source: one over Prometheus and one over InfluxDB for each subject.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test system deploy` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::panels;
use crate::harness::python::{python, run};

/// What a dashboard asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    Prometheus,
    Influxdb,
}

pub(crate) const SOURCES: [Source; 2] = [Source::Prometheus, Source::Influxdb];

impl Source {
    /// Grafana's name of it, and the folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Source::Prometheus => "prometheus",
            Source::Influxdb => "influxdb",
        }
    }

    pub(crate) fn datasource(self) -> Value {
        json!({"type": self.name(), "uid": "${datasource}"})
    }

    /// A query with what is written short in the source written out.
    pub(crate) fn written_out(self, query: &str) -> String {
        match self {
            Source::Prometheus => {
                const FLEET: &str = r#"cluster=~"$cluster",job=~"$job""#;
                let is_of_one_host = query.replace("@hosts", "").contains("@host");
                let query = named(query)
                    .replace("@fleet", FLEET)
                    .replace("@hosts", &format!(r#"{FLEET},instance=~"$instance""#))
                    .replace("@host", &format!(r#"{FLEET},instance="$instance""#))
                    .replace("@job", r#"job=~"$batch""#);
                // Two jobs that scrape one host are two series of one thing.
                if is_of_one_host { format!("max without (job) ({query})") } else { query }
            }
            Source::Influxdb => {
                let query = group_by(query, "@by_job", r#""job", "instance""#);
                group_by(&query, "@by", r#""host""#)
                    .replace("@hosts", "@host")
                    .replace("@host", r#""host" =~ /^$instance$/ AND $timeFilter"#)
                    .replace("@fleet", "$timeFilter")
                    .replace("@job", r#""job" =~ /^$batch$/ AND $timeFilter"#)
            }
        }
    }
}

/// `@named(…)` identifies containers: of a pod, by namespace, pod and container alone; others by name and host. An id
/// of 64 digits is shortened as `docker ps` does. The container that only holds a pod's namespaces is left out.
fn named(query: &str) -> String {
    let Some((before, after)) = query.split_once("@named(") else {
        return query.to_owned();
    };
    let mut depth = 1;
    let end = after.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    let (inner, rest) = after.split_at(end.unwrap());
    const PAUSE: &str = r#"container_last_seen{name!="",pod!="",container=""}"#;
    const IDENTITY: &str = r"[^ ].*| on (?:[^ ]*-)?([0-9a-f]{12})[0-9a-f]{52}(?:[.]scope)?( on .*)| on (.*)";
    format!(
        r#"{before}label_replace(label_join({inner} unless on (cluster, job, instance, id) {PAUSE}, "name", " on ", "pod", "name", "instance"), "name", "$1$2$3", "name", "{IDENTITY}"{rest}"#
    )
}

/// `@by` and `@by("more", "tags")`.
fn group_by(query: &str, short: &str, tags: &str) -> String {
    let Some((before, after)) = query.split_once(short) else {
        return query.to_owned();
    };
    let (more, rest) = match after.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((more, rest)) => (format!(", {more}"), rest),
        None => (String::new(), after),
    };
    format!("{before}GROUP BY time($__interval), {tags}{more} fill(none){rest}")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana")
}

/// The sources, by subject.
fn subjects() -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("source")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), read(file))).collect()
}

fn read(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap();
    let table = DeTable::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    json_of(&DeValue::Table(table.into_inner()))
}

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().unwrap()),
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().unwrap()),
        DeValue::Boolean(truth) => json!(truth),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json_of(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// Every dashboard, with its path below deploy/grafana.
pub(crate) fn all() -> Vec<(Source, String, Value)> {
    let subjects = subjects();
    let dashboard = |source: Source| {
        move |(subject, reported): &(String, Value)| {
            (source, format!("{}/{subject}.json", source.name()), dashboard(source, reported))
        }
    };
    SOURCES.iter().flat_map(|source| subjects.iter().map(dashboard(*source))).collect()
}

/// The queries of a dashboard, its variables' included, each with the panel's title.
pub(crate) fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| {
            let query = target["expr"].as_str().or(target["query"].as_str()).unwrap();
            (title.clone(), query.to_owned())
        })
    };
    panels.iter().flat_map(of_panel).collect()
}

fn dashboard(source: Source, reported: &Value) -> Value {
    let suffix = match source {
        Source::Prometheus => "",
        Source::Influxdb => "-influxdb",
    };
    let own_variables = reported["variables"].as_array().unwrap().iter();
    let variables: Vec<Value> = [choice_of_source(source)]
        .into_iter()
        .chain(own_variables.filter_map(|reported| variable(source, reported)))
        .collect();
    json!({
        "uid": format!("{}{suffix}", reported["uid"].as_str().unwrap()),
        "title": reported["title"],
        "description": reported["description"],
        "tags": ["taffrail", source.name()],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": annotations(source, reported)},
        "links": [{
            "title": "Taffrail", "type": "dashboards", "tags": ["taffrail", source.name()],
            "asDropdown": true, "includeVars": true, "keepTime": true, "targetBlank": false,
            "icon": "external link", "tooltip": "", "url": ""
        }],
        "templating": {"list": variables},
        "panels": panels(source, reported),
    })
}

fn choice_of_source(source: Source) -> Value {
    json!({
        "type": "datasource", "name": "datasource", "label": "Data source", "query": source.name(),
        "hide": 0, "refresh": 1, "includeAll": false, "multi": false, "regex": "", "skipUrlSync": false,
    })
}

/// A variable; `None` if `source` has none such.
fn variable(source: Source, reported: &Value) -> Option<Value> {
    let query = source.written_out(reported.get(source.name())?.as_str().unwrap());
    let many = reported["multi"].as_bool().unwrap_or(true);
    let mut variable = json!({
        "type": "query", "name": reported["name"], "label": reported["label"],
        "datasource": source.datasource(),
        "query": match source {
            Source::Prometheus => json!({"query": query, "refId": reported["name"]}),
            Source::Influxdb => json!(query),
        },
        "hide": 0, "refresh": 2, "regex": "", "sort": 1, "skipUrlSync": false,
        "includeAll": many, "multi": many,
    });
    if many {
        variable["allValue"] = json!(".*");
        variable["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
    }
    Some(variable)
}

/// Events that are marked in all panels.
fn annotations(source: Source, reported: &Value) -> Vec<Value> {
    let annotation = |reported: &Value| {
        let query = source.written_out(reported.get(source.name())?.as_str().unwrap());
        let mut annotation = json!({
            "name": reported["name"], "datasource": source.datasource(), "enable": true, "iconColor": "purple",
        });
        match source {
            Source::Prometheus => {
                annotation["expr"] = json!(query);
                annotation["titleFormat"] = reported["name"].clone();
                annotation["textFormat"] = json!("{{instance}}");
                annotation["useValueForTime"] = json!(true);
            }
            Source::Influxdb => {
                annotation["query"] = json!(query);
                annotation["textColumn"] = json!("text");
            }
        }
        Some(annotation)
    };
    reported["annotations"].as_array().into_iter().flatten().filter_map(annotation).collect()
}

const COLUMNS: u64 = 24;

fn panels(source: Source, reported: &Value) -> Vec<Value> {
    let mut panels = Vec::new();
    let mut y = 0;
    for row in reported["rows"].as_array().unwrap() {
        let has_query = |panel: &&Value| panels::has_query(source, panel);
        let wanted: Vec<&Value> = row["panels"].as_array().unwrap().iter().filter(has_query).collect();
        if wanted.is_empty() {
            continue;
        }
        panels.push(json!({
            "type": "row", "title": row["title"], "collapsed": false, "panels": [], "id": panels.len() + 1,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        }));
        y += 1;
        // As many panels side by side as leaves room for the names in their legends.
        let side_by_side = match wanted.len() as u64 {
            count if is_small(wanted[0]) => count,
            count => count.min(reported["side_by_side"].as_u64().unwrap_or(2)).max(2),
        };
        let width = COLUMNS / side_by_side;
        let (mut x, mut height) = (0, 0);
        for reported in wanted {
            let width = reported["width"].as_u64().unwrap_or(width);
            if x + width > COLUMNS {
                (x, y, height) = (0, y + height, 0);
            }
            // A legend at the bottom of 9 units shows four whole lines.
            let own_height = reported["height"].as_u64().unwrap_or(if is_small(reported) { 5 } else { 9 });
            let mut panel = panels::panel(source, reported);
            panel["id"] = json!(panels.len() + 1);
            panel["gridPos"] = json!({"h": own_height, "w": width, "x": x, "y": y});
            panels.push(panel);
            x += width;
            height = height.max(own_height);
        }
        y += height;
    }
    panels
}

/// Whether a panel is one of few values.
fn is_small(reported: &Value) -> bool {
    matches!(panels::kind(reported), "stat" | "name" | "gauge")
}

#[test]
#[ignore = "needs Debian's package python3-pip: tests/run"]
fn with_python3_pip_whose_grafana_foundation_sdk_knows_all_that_dashboards_say() {
    let python = python("grafana", &["grafana-foundation-sdk==1769699998!10.1.0"]);
    let files = all().into_iter().map(|(_, path, _)| root().join(path));
    assert_eq!(run(python().arg("check.py").args(files)), "20 dashboards\n");
}

#[test]
fn dashboards_are_those_of_their_sources() {
    for (_, path, dashboard) in all() {
        let file = root().join(&path);
        let made = format!("{}\n", serde_json::to_string_pretty(&dashboard).unwrap());
        if std::env::var_os("TAFFRAIL_BLESS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == made, "{path} is stale: run TAFFRAIL_BLESS=1 cargo test --test system deploy");
    }
}

#[test]
fn dashboards_have_identities_of_their_own_and_panels_that_do_not_overlap() {
    let mut uids = std::collections::BTreeSet::new();
    for (_, path, dashboard) in all() {
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{path}");
        let mut taken = std::collections::BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let grid = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(grid("x") + grid("w") <= COLUMNS, "{path}: {}", panel["title"]);
            for (x, y) in
                (grid("x")..grid("x") + grid("w")).flat_map(|x| (grid("y")..grid("y") + grid("h")).map(move |y| (x, y)))
            {
                assert!(taken.insert((x, y)), "{path}: {} lies upon another", panel["title"]);
            }
        }
    }
}

#[test]
fn panels_of_single_values_have_colours_that_mean_something() {
    for (_, path, dashboard) in all() {
        for panel in dashboard["panels"].as_array().unwrap() {
            let defaults = &panel["fieldConfig"]["defaults"];
            if matches!(panel["type"].as_str().unwrap(), "stat" | "gauge" | "bargauge") {
                let has = |key: &str| defaults.get(key).is_some();
                assert!(has("thresholds") || has("mappings"), "{path}: {}", panel["title"]);
            }
            // Coloured columns of tables.
            for column in panel["fieldConfig"]["overrides"].as_array().into_iter().flatten() {
                let properties = column["properties"].as_array().unwrap();
                let has = |id: &str| properties.iter().any(|property| property["id"] == id);
                let values = |property: &Value| property["id"] == "mappings" && property["value"][0]["type"] == "value";
                let is_sound = has("thresholds") || properties.iter().any(values);
                assert!(!has("custom.cellOptions") || is_sound, "{path}: {}", column["matcher"]);
            }
        }
    }
}

#[test]
fn nothing_of_hosts_is_added_up_across_hosts() {
    let hosts = all().into_iter().find(|(_, path, _)| path == "prometheus/hosts.json").unwrap().2;
    for (title, query) in queries(&hosts) {
        let of_one = query.contains(r#"instance="$instance""#);
        assert!(of_one || query.contains("by (cluster, job, instance"), "{title}: {query}");
        assert!(!of_one || query.starts_with("max without (job) ("), "{title}: {query}");
    }
}

#[test]
fn containers_are_named_by_namespace_pod_and_container_and_never_by_an_id() {
    let containers = all().into_iter().find(|(_, path, _)| path == "prometheus/containers.json").unwrap().2;
    let targets =
        containers["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array()).flatten();
    for target in targets {
        // A table, which has no legend, shows all labels.
        let (query, legend) = (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap_or("{{name}}"));
        assert!(!legend.contains("{{id}}") && !query.contains("by (id"), "{query}");
        assert!(!legend.contains("{{name}}") || query.contains("([0-9a-f]{12})[0-9a-f]{52}"), "{query}");
    }
}

#[test]
fn cpu_in_use_means_the_same_over_both_databases() {
    for (source, path, dashboard) in all().into_iter().filter(|(_, path, _)| path.ends_with("/hosts.json")) {
        let modes = match source {
            Source::Prometheus => r#"mode=~"idle|iowait|steal""#,
            Source::Influxdb => r#"(100 - last("usage_idle") - last("usage_iowait") - last("usage_steal")) / 100"#,
        };
        let queries = queries(&dashboard);
        let of_cpu = |title: &str| queries.iter().any(|(of, query)| of == title && query.contains(modes));
        assert!(of_cpu("CPU") && of_cpu("Hosts"), "{path}");
    }
}
