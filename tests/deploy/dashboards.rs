//! Grafana's dashboards, made of deploy/grafana/source: one over Prometheus and one over InfluxDB for each subject.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test deploy` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::harness::python::{python, run};

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

    fn datasource(self) -> Value {
        json!({"type": self.name(), "uid": "${datasource}"})
    }

    /// A query with what is written short in the source written out.
    fn written_out(self, query: &str) -> String {
        match self {
            Source::Prometheus => query.replace("@host", r#"instance=~"$instance""#).replace("@job", r#"job=~"$job""#),
            Source::Influxdb => {
                let query = group_by(query, "@by_job", r#""job", "instance""#);
                group_by(&query, "@by", r#""host""#)
                    .replace("@host", r#""host" =~ /^$instance$/ AND $timeFilter"#)
                    .replace("@job", r#""job" =~ /^$job$/ AND $timeFilter"#)
            }
        }
    }
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
        move |(subject, told): &(String, Value)| {
            (source, format!("{}/{subject}.json", source.name()), dashboard(source, told))
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

fn dashboard(source: Source, told: &Value) -> Value {
    let suffix = match source {
        Source::Prometheus => "",
        Source::Influxdb => "-influxdb",
    };
    let own_variables = told["variables"].as_array().unwrap().iter();
    let variables: Vec<Value> =
        [choice_of_source(source)].into_iter().chain(own_variables.map(|told| variable(source, told))).collect();
    json!({
        "uid": format!("{}{suffix}", told["uid"].as_str().unwrap()),
        "title": told["title"],
        "description": told["description"],
        "tags": ["taffrail", source.name()],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [{
            "title": "Taffrail", "type": "dashboards", "tags": ["taffrail", source.name()],
            "asDropdown": true, "includeVars": true, "keepTime": true, "targetBlank": false,
            "icon": "external link", "tooltip": "", "url": ""
        }],
        "templating": {"list": variables},
        "panels": panels(source, told),
    })
}

fn choice_of_source(source: Source) -> Value {
    json!({
        "type": "datasource", "name": "datasource", "label": "Data source", "query": source.name(),
        "hide": 0, "refresh": 1, "includeAll": false, "multi": false, "regex": "", "skipUrlSync": false,
    })
}

fn variable(source: Source, told: &Value) -> Value {
    let query = told[source.name()].as_str().unwrap();
    let many = told["multi"].as_bool().unwrap_or(true);
    let mut variable = json!({
        "type": "query", "name": told["name"], "label": told["label"],
        "datasource": source.datasource(),
        "query": match source {
            Source::Prometheus => json!({"query": query, "refId": told["name"]}),
            Source::Influxdb => json!(query),
        },
        "hide": 0, "refresh": 2, "regex": "", "sort": 1, "skipUrlSync": false,
        "includeAll": many, "multi": many,
    });
    if many {
        variable["allValue"] = json!(".*");
        variable["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
    }
    variable
}

const COLUMNS: u64 = 24;

fn panels(source: Source, told: &Value) -> Vec<Value> {
    let mut panels = Vec::new();
    let mut y = 0;
    for row in told["rows"].as_array().unwrap() {
        let has_query = |panel: &&Value| panel.get(source.name()).is_some();
        let wanted: Vec<&Value> = row["panels"].as_array().unwrap().iter().filter(has_query).collect();
        if wanted.is_empty() {
            continue;
        }
        panels.push(json!({
            "type": "row", "title": row["title"], "collapsed": false, "panels": [], "id": panels.len() + 1,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        }));
        y += 1;
        let width = match wanted.len() as u64 {
            1 => COLUMNS / 2,
            count @ 2..=4 => COLUMNS / count.max(2),
            5 | 6 if is_small(wanted[0]) => 4,
            _ => 8,
        };
        let (mut x, mut height) = (0, 0);
        for told in wanted {
            let width = told["width"].as_u64().unwrap_or(width);
            if x + width > COLUMNS {
                (x, y, height) = (0, y + height, 0);
            }
            let own_height = if is_small(told) { 5 } else { 8 };
            let mut panel = panel(source, told);
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

fn is_small(told: &Value) -> bool {
    matches!(told["kind"].as_str(), Some("stat" | "gauge"))
}

fn panel(source: Source, told: &Value) -> Value {
    let kind = told["kind"].as_str().unwrap_or("lines");
    let unit = told.get(format!("unit_{}", source.name())).unwrap_or(&told["unit"]);
    let mut defaults = json!({"unit": unit});
    if unit == "percentunit" {
        defaults["min"] = json!(0);
        if kind != "lines" {
            defaults["max"] = json!(1);
        }
    }
    if matches!(kind, "lines" | "area") {
        defaults["custom"] = drawn(kind == "area");
    } else if unit == "percentunit" {
        defaults["thresholds"] = json!({"mode": "absolute", "steps": [
            {"color": "green", "value": null}, {"color": "orange", "value": 0.8}, {"color": "red", "value": 0.9},
        ]});
    }
    let mut overrides = Vec::new();
    if let Some(below) = told["below"].as_str() {
        overrides.push(json!({
            "matcher": {"id": "byRegexp", "options": format!("/{below}$/")},
            "properties": [{"id": "custom.transform", "value": "negative-Y"}],
        }));
    }
    let (panel, options) = shape(kind);
    let mut panel = json!({
        "type": panel,
        "title": told["title"],
        "datasource": source.datasource(),
        "targets": targets(source, told, kind),
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": options,
    });
    if let Some(help) = told.get("help") {
        panel["description"] = help.clone();
    }
    panel
}

fn drawn(is_stacked: bool) -> Value {
    let stacking = if is_stacked { "normal" } else { "none" };
    json!({
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": if is_stacked { 60 } else { 10 },
        "showPoints": "never", "spanNulls": false, "stacking": {"mode": stacking, "group": "A"},
    })
}

/// Grafana's panel for a kind, and its options.
fn shape(kind: &str) -> (&'static str, Value) {
    let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match kind {
        "lines" | "area" => (
            "timeseries",
            json!({
                "legend": {"displayMode": "table", "placement": "bottom", "showLegend": true,
                    "calcs": ["lastNotNull", "max"]},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        ),
        "stat" => (
            "stat",
            json!({"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
                "textMode": "auto", "orientation": "auto"}),
        ),
        "gauge" => (
            "gauge",
            json!({"reduceOptions": reduce, "showThresholdLabels": false, "showThresholdMarkers": true,
                "orientation": "auto"}),
        ),
        "bars" => (
            "bargauge",
            json!({"reduceOptions": reduce, "displayMode": "basic", "orientation": "horizontal",
                "valueMode": "color", "showUnfilled": true}),
        ),
        other => panic!("no kind of panel: {other}"),
    }
}

fn targets(source: Source, told: &Value, kind: &str) -> Vec<Value> {
    let is_now = !matches!(kind, "lines" | "area");
    let target = |(index, pair): (usize, &Value)| {
        let query = source.written_out(pair[0].as_str().unwrap());
        let id = char::from(b'A' + index as u8).to_string();
        match source {
            Source::Prometheus => json!({
                "refId": id, "datasource": source.datasource(), "expr": query, "legendFormat": pair[1],
                "instant": is_now, "range": !is_now,
            }),
            Source::Influxdb => json!({
                "refId": id, "datasource": source.datasource(), "query": query, "alias": pair[1],
                "rawQuery": true, "resultFormat": "time_series",
            }),
        }
    };
    told[source.name()].as_array().unwrap().iter().enumerate().map(target).collect()
}

#[test]
#[ignore = "needs Debian's package python3-pip: tests/run"]
fn with_python3_pip_whose_grafana_foundation_sdk_knows_all_that_dashboards_say() {
    let python = python("grafana", &["grafana-foundation-sdk==1769699998!10.1.0"]);
    let files = all().into_iter().map(|(_, path, _)| root().join(path));
    assert_eq!(run(python().arg("check.py").args(files)), "10 dashboards\n");
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
        assert!(committed == made, "{path} is stale: run TAFFRAIL_BLESS=1 cargo test --test deploy");
    }
}

#[test]
fn dashboards_have_identities_of_their_own_and_panels_that_do_not_overlap() {
    let mut uids = std::collections::BTreeSet::new();
    for (_, path, dashboard) in all() {
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{path}");
        let mut taken = std::collections::BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= COLUMNS, "{path}: {}", panel["title"]);
            for (x, y) in (place("x")..place("x") + place("w"))
                .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
            {
                assert!(taken.insert((x, y)), "{path}: {} lies upon another", panel["title"]);
            }
        }
    }
}
