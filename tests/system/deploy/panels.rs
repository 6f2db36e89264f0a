//! Panels of Grafana's dashboards: their fields, colours, options and queries.

use serde_json::{Value, json};

use super::dashboards::Source;

/// Colours of series that mean the same wherever they are drawn, by the end of their name.
const COLOURS: [(&str, &str); 27] = [
    ("user", "blue"),
    ("system", "orange"),
    ("nice", "light-blue"),
    ("iowait", "red"),
    ("steal", "purple"),
    ("irq", "dark-yellow"),
    ("softirq", "yellow"),
    ("used", "blue"),
    ("buffers", "light-green"),
    ("cached", "green"),
    ("free", "#808080"),
    ("cpu", "blue"),
    ("memory", "orange"),
    ("io", "red"),
    ("read", "green"),
    ("write", "blue"),
    ("written", "blue"),
    ("received", "green"),
    ("transmitted", "blue"),
    ("in", "green"),
    ("out", "blue"),
    ("errors", "red"),
    ("dropped", "orange"),
    ("1 min", "blue"),
    ("5 min", "green"),
    ("15 min", "orange"),
    ("limit", "red"),
];

/// Whether a kind of panel shows the latest value, rather than its course.
pub(crate) fn is_now(kind: &str) -> bool {
    !matches!(kind, "lines" | "area")
}

pub(crate) fn kind(reported: &Value) -> &str {
    reported["kind"].as_str().unwrap_or("lines")
}

/// Whether `source` is asked for anything that a panel shows.
pub(crate) fn has_query(source: Source, reported: &Value) -> bool {
    reported.get(source.name()).is_some() || asked(source, reported).next().is_some()
}

/// A panel without its place, as `reported` describes it.
pub(crate) fn panel(source: Source, reported: &Value) -> Value {
    let kind = kind(reported);
    let (panel, options) = shape(source, reported);
    let mut panel = json!({
        "type": panel,
        "title": reported["title"],
        "datasource": source.datasource(),
        "targets": targets(source, reported),
        "fieldConfig": {"defaults": defaults(source, reported), "overrides": overrides(source, reported)},
        "options": options,
    });
    if kind == "table" {
        panel["transformations"] = transformations(source, reported);
    } else if source == Source::Influxdb && reported["short_names"] == true {
        panel["transformations"] = short_names();
    }
    if let Some(help) = reported.get("help") {
        panel["description"] = help.clone();
    }
    panel
}

/// The id of a container, of which `docker ps` shows the first digits.
const LONG_ID: &str = "([0-9a-f]{12})[0-9a-f]{52}";

/// Renames series to the last part of a path, and to short ids. PromQL does so in queries, InfluxQL cannot.
fn short_names() -> Value {
    let rename = |regex: &str, pattern: &str| json!({"id": "renameByRegex", "options": {"regex": regex, "renamePattern": pattern}});
    json!([rename("^/.*/(.+)$", "$1"), rename(&format!("(.*?){LONG_ID}(.*)"), "$1$2$3")])
}

fn defaults(source: Source, reported: &Value) -> Value {
    let kind = kind(reported);
    let mut defaults = field(source, reported);
    match kind {
        "lines" | "area" => {
            if kind == "area" {
                defaults["min"] = json!(0);
            }
            defaults["custom"] = drawn(kind == "area");
            defaults["color"] = json!({"mode": "palette-classic-by-name"});
        }
        "table" => defaults["custom"] = json!({"align": "auto", "filterable": false}),
        _ => defaults["color"] = json!({"mode": "thresholds"}),
    }
    defaults
}

/// Unit, bounds, thresholds and mappings of a panel or a column.
fn field(source: Source, reported: &Value) -> Value {
    let unit = reported.get(format!("unit_{}", source.name())).unwrap_or(&reported["unit"]);
    let mut field = json!({});
    if !unit.is_null() {
        field["unit"] = unit.clone();
    }
    if unit == "percentunit" {
        field["min"] = json!(0);
        if is_now(kind(reported)) || reported.get("kind").is_none() {
            field["max"] = json!(1);
        }
    }
    if let Some(decimals) = reported.get("decimals") {
        field["decimals"] = decimals.clone();
    }
    if let Some(thresholds) = thresholds(reported) {
        field["thresholds"] = thresholds;
    }
    let mappings = mappings(reported);
    if !mappings.is_empty() {
        field["mappings"] = json!(mappings);
    }
    field
}

/// What is shown in place of the values in `mappings`, and of none (`empty`).
fn mappings(reported: &Value) -> Vec<Value> {
    let mut mappings = Vec::new();
    if let Some(values) = reported["mappings"].as_array() {
        let option = |(index, mapping): (usize, &Value)| {
            let shown = json!({"index": index, "text": mapping[1], "color": mapping[2]});
            (mapping[0].as_str().unwrap().to_owned(), shown)
        };
        let options: serde_json::Map<_, _> = values.iter().enumerate().map(option).collect();
        mappings.push(json!({"type": "value", "options": options}));
    }
    if reported["short_names"] == true {
        let result = json!({"text": "$1", "index": 0});
        mappings.push(json!({"type": "regex", "options": {"pattern": format!("/{LONG_ID}/"), "result": result}}));
    }
    if let Some(empty) = reported.get("empty") {
        let result = json!({"text": empty[0], "color": empty[1], "index": 0});
        mappings.push(json!({"type": "special", "options": {"match": "null", "result": result}}));
    }
    mappings
}

/// `colour` is that of any value; `thresholds` are where `colours` (green, orange, red) begin.
fn thresholds(reported: &Value) -> Option<Value> {
    let step = |colour: &Value, value: &Value| json!({"color": colour, "value": value});
    let steps = if let Some(colour) = reported.get("colour") {
        vec![step(colour, &Value::Null)]
    } else {
        let starts = reported["thresholds"].as_array()?;
        let usual = ["green", "orange", "red"].map(Value::from).to_vec();
        let usual = if starts.len() == 1 { vec![usual[0].clone(), usual[2].clone()] } else { usual };
        let colours = reported["colours"].as_array().cloned().unwrap_or(usual);
        let starts = std::iter::once(&Value::Null).chain(starts);
        colours.iter().zip(starts).map(|(colour, start)| step(colour, start)).collect()
    };
    Some(json!({"mode": "absolute", "steps": steps}))
}

fn overrides(source: Source, reported: &Value) -> Vec<Value> {
    if kind(reported) == "table" {
        return columns(source, reported).map(|(_, column)| column_override(source, column)).collect();
    }
    let matched = |options: String, id: &str, value: Value| {
        json!({
            "matcher": {"id": "byRegexp", "options": options},
            "properties": [{"id": id, "value": value}],
        })
    };
    let mut overrides = Vec::new();
    if !is_now(kind(reported)) {
        let names: Vec<&str> = queries(source, reported).map(|pair| pair[1].as_str().unwrap()).collect();
        // A series of each device has the device's colour.
        let is_drawn = |name: &str| names.iter().any(|legend| *legend == name || *legend == "{{mode}}");
        for (name, colour) in COLOURS.iter().filter(|(name, _)| is_drawn(name)) {
            let colour = json!({"mode": "fixed", "fixedColor": colour});
            overrides.push(matched(format!("/^{name}$/"), "color", colour));
        }
    }
    if let Some(below) = reported["below"].as_str() {
        overrides.push(matched(format!("/{below}$/"), "custom.transform", json!("negative-Y")));
    }
    overrides
}

fn column_override(source: Source, column: &Value) -> Value {
    let properties = field(source, column);
    let mut properties: Vec<Value> =
        properties.as_object().unwrap().iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
    if ["thresholds", "mappings", "empty"].iter().any(|key| column.get(*key).is_some()) {
        let cell = json!({"type": "color-text"});
        properties.push(json!({"id": "custom.cellOptions", "value": cell}));
    }
    if let Some(link) = column.get("link") {
        properties.push(json!({"id": "links", "value": [{"title": "Show ${__value.text}", "url": link}]}));
    }
    if let Some(width) = column.get("width") {
        properties.push(json!({"id": "custom.width", "value": width}));
    }
    json!({"matcher": {"id": "byName", "options": column["name"]}, "properties": properties})
}

/// The columns of a table that `source` has: first those that are labels, then those with queries.
fn columns(source: Source, reported: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let has = move |column: &&Value| column.get(source.name()).is_some();
    reported["columns"].as_array().into_iter().flatten().filter(has).enumerate()
}

/// The columns of a table that are values of queries.
fn asked(source: Source, reported: &Value) -> impl Iterator<Item = &Value> {
    columns(source, reported).map(|(_, column)| column).filter(move |column| label(source, column).is_none())
}

/// A column that is a label, not the value of a query.
fn label(source: Source, column: &Value) -> Option<&str> {
    column[source.name()].as_str().and_then(|query| query.strip_prefix("label "))
}

/// One row of all queries' values for each set of labels.
fn transformations(source: Source, reported: &Value) -> Value {
    let mut renamed = serde_json::Map::new();
    let mut order = serde_json::Map::new();
    let mut target = 0;
    for (index, column) in columns(source, reported) {
        let name = match label(source, column) {
            Some(label) => label.to_owned(),
            None => {
                target += 1;
                match source {
                    Source::Prometheus => format!("Value #{}", id(target - 1)),
                    Source::Influxdb => column["name"].as_str().unwrap().to_owned(),
                }
            }
        };
        order.insert(name.clone(), json!(index));
        renamed.insert(name, column["name"].clone());
    }
    let unused = ["cluster", "job"].into_iter().filter(|label| !order.contains_key(*label));
    let unused: serde_json::Map<_, _> = unused.map(|label| (label.to_owned(), json!(true))).collect();
    json!([
        {"id": "filterFieldsByName", "options": {"exclude": {"names": ["Time"]}}},
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": unused, "indexByName": order, "renameByName": renamed}},
    ])
}

fn drawn(is_stacked: bool) -> Value {
    let stacking = if is_stacked { "normal" } else { "none" };
    json!({
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": if is_stacked { 60 } else { 10 },
        "showPoints": "never", "spanNulls": false, "stacking": {"mode": stacking, "group": "A"},
    })
}

/// Grafana's panel for a kind, and its options.
fn shape(source: Source, reported: &Value) -> (&'static str, Value) {
    let kind = kind(reported);
    let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match kind {
        "lines" | "area" => (
            "timeseries",
            json!({
                // What stands out stands first: a legend shows a few lines.
                "legend": {"displayMode": "table", "placement": "bottom", "showLegend": true,
                    "calcs": ["lastNotNull", "max"], "sortBy": "Max", "sortDesc": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        ),
        // A stat of a name shows the name, such as an operating system's.
        "stat" | "name" => (
            "stat",
            json!({"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
                "textMode": if kind == "name" { "name" } else { "auto" }, "orientation": "auto"}),
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
        "table" => (
            "table",
            json!({"showHeader": true, "cellHeight": "sm",
                "footer": {"show": false, "reducer": ["sum"], "countRows": false, "fields": ""},
                "sortBy": sorted_by(source, reported)}),
        ),
        other => panic!("no kind of panel: {other}"),
    }
}

/// By which columns a table is sorted, the largest value first unless `ascending`.
fn sorted_by(source: Source, reported: &Value) -> Vec<Value> {
    let has = |name: &&Value| columns(source, reported).any(|(_, column)| column["name"] == **name);
    let names = reported["sort"].as_array().into_iter().flatten().filter(has);
    let is_descending = reported.get("ascending").is_none();
    names.map(|name| json!({"displayName": name, "desc": is_descending})).collect()
}

fn id(index: usize) -> char {
    char::from(b'A' + index as u8)
}

/// The queries of a panel that is no table, each with its legend.
fn queries(source: Source, reported: &Value) -> impl Iterator<Item = &Value> {
    reported[source.name()].as_array().into_iter().flatten()
}

fn targets(source: Source, reported: &Value) -> Vec<Value> {
    let kind = kind(reported);
    let target = |index: usize, query: &Value, legend: &Value| {
        let query = source.written_out(query.as_str().unwrap());
        let mut target = match source {
            Source::Prometheus => json!({"expr": query, "instant": is_now(kind), "range": !is_now(kind)}),
            Source::Influxdb => json!({"query": query, "rawQuery": true, "resultFormat": "time_series"}),
        };
        target["refId"] = json!(id(index).to_string());
        target["datasource"] = source.datasource();
        match (source, kind) {
            (Source::Prometheus, "table") => target["format"] = json!("table"),
            (Source::Influxdb, "table") => target["resultFormat"] = json!("table"),
            (Source::Prometheus, _) => target["legendFormat"] = legend.clone(),
            (Source::Influxdb, _) => target["alias"] = legend.clone(),
        }
        target
    };
    if kind == "table" {
        let queries = asked(source, reported).map(|column| &column[source.name()]);
        return queries.enumerate().map(|(index, query)| target(index, query, &Value::Null)).collect();
    }
    queries(source, reported).enumerate().map(|(index, pair)| target(index, &pair[0], &pair[1])).collect()
}
