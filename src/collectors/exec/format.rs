//! The formats of outputs and files, as points and as families.

mod exposition;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use self::exposition::{MetricVersion, exposition_points};
use crate::collectors::filter;
use crate::collectors::foreign::{self, Family, Problems};
use crate::config::{Globs, Key, KeyInfo, Section, TableInfo};
use crate::encode::parse::json::{Names, Path, Selectors, TimeFormat};
use crate::encode::parse::line::{OUTSIDE_RANGE, Point, points};
use crate::encode::parse::value::ValueType;
use crate::encode::parse::{json, nagios, value};
use crate::encode::point_names;

/// A format, with the names and tags of its points.
#[derive(Clone, Debug)]
pub(super) struct Format {
    kind: FormatKind,
    name_override: Option<String>,
    name_prefix: String,
    name_suffix: String,
    /// They do not override the tags of a point.
    tags: BTreeMap<String, String>,
    /// The measurement of points without one.
    default_name: &'static str,
}

#[derive(Clone, Debug)]
enum FormatKind {
    Influx,
    Json(Box<Selectors<Globs>>),
    Value(ValueType, String),
    Nagios,
    Prometheus(MetricVersion),
}

/// The content of an output or a file.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The points. Those without a time are of the time of the output.
    pub(super) points: Vec<Point<'static>>,
    /// The families.
    pub(super) families: Arc<[Family]>,
    /// What was left out, and why.
    pub(super) problems: Problems,
}

impl Content {
    /// Adds labels to all series that have none of these names.
    pub(super) fn label(&mut self, labels: [(&str, &str); 2]) {
        let labelled = |family: &Family| {
            let mut family = family.clone();
            let metrics = Arc::make_mut(&mut family.metrics);
            for metric in metrics.iter_mut() {
                for (name, value) in labels {
                    if !metric.labels.iter().any(|(known, _)| known == name) {
                        metric.labels.push((name.to_owned(), value.to_owned()));
                    }
                }
                metric.labels.sort();
            }
            foreign::put_in_order(metrics);
            family
        };
        self.families = self.families.iter().map(labelled).collect();
    }
}

impl Names for Globs {
    fn has(&self, name: &str) -> bool {
        self.matches(name)
    }
}

pub(super) const DATA_FORMAT: Key<String> = Key::optional(
    "data_format",
    "influx (line protocol), json, value (one value), nagios (of a plugin), or prometheus (text 0.0.4 or OpenMetrics). The \
     default is that of Telegraf: json for exec, and influx for execd and file.",
);
const NAME_OVERRIDE: Key<String> = Key::optional("name_override", "The measurement of all points.");
const NAME_PREFIX: Key<String> = Key::new("name_prefix", "\"\"", "Prefix of every measurement.");
const NAME_SUFFIX: Key<String> = Key::new("name_suffix", "\"\"", "Suffix of every measurement.");
const TAG_KEYS: Key<Globs> = Key::new(
    "tag_keys",
    "[]",
    "json: values that are tags, as glob patterns of their joined names, such as `disk_0_name`.",
);
const JSON_STRING_FIELDS: Key<Globs> = Key::new(
    "json_string_fields",
    "[]",
    "json: strings and booleans that are fields, as glob patterns of their joined names; the others are left out.",
);
const JSON_QUERY: Key<String> = Key::optional(
    "json_query",
    "json: the path of the object, or of the array of objects, that has the values, in GJSON's syntax: names, indices, `#` and \
     `@this`.",
);
const JSON_NAME_KEY: Key<String> =
    Key::optional("json_name_key", "json: the joined name of the string that is the measurement.");
const JSON_TIME_KEY: Key<String> =
    Key::optional("json_time_key", "json: the joined name of the value that is the time.");
const JSON_TIME_FORMAT: Key<String> = Key::optional(
    "json_time_format",
    "json: the format of the time: unix, unix_ms, unix_us, unix_ns, or a layout of Go such as \"2006-01-02T15:04:05Z07:00\".",
);
const JSON_TIMEZONE: Key<String> = Key::new(
    "json_timezone",
    "\"UTC\"",
    "json: the time zone of times without one: UTC, Local or a name of the tz database.",
);
const JSON_STRICT: Key<bool> =
    Key::new("json_strict", "true", "json: whether an invalid object of an array fails the whole output.");
const DATA_TYPE: Key<String> =
    Key::new("data_type", "\"integer\"", "value: the type of the field: integer, float, string, boolean or base64.");
const VALUE_FIELD_NAME: Key<String> = Key::new("value_field_name", "\"value\"", "value: the name of the field.");
const METRIC_VERSION: Key<usize> = Key::new(
    "prometheus_metric_version",
    "2",
    "prometheus: how families become points, as Telegraf's metric_version: 1 (a measurement for each family) or 2 (a field of \
     the measurement prometheus).",
);

/// The settings of a format in a section.
pub(super) const KEYS: [KeyInfo; 15] = [
    DATA_FORMAT.info(),
    NAME_OVERRIDE.info(),
    NAME_PREFIX.info(),
    NAME_SUFFIX.info(),
    TAG_KEYS.info(),
    JSON_STRING_FIELDS.info(),
    JSON_QUERY.info(),
    JSON_NAME_KEY.info(),
    JSON_TIME_KEY.info(),
    JSON_TIME_FORMAT.info(),
    JSON_TIMEZONE.info(),
    JSON_STRICT.info(),
    DATA_TYPE.info(),
    VALUE_FIELD_NAME.info(),
    METRIC_VERSION.info(),
];

/// The table of tags.
pub(super) const TAGS: TableInfo =
    TableInfo::open("tags", "Tags of every point, and labels of every series from points.");

impl Format {
    /// The format in a section of the collector `collector`, where it is `default` unless configured.
    pub(super) fn new(section: &mut Section<'_>, collector: &'static str, default: &str) -> Format {
        let wanted = section.optional(&DATA_FORMAT).unwrap_or_else(|| default.to_owned());
        let selectors = selectors(section);
        let (data_type, field) = (section.get(&DATA_TYPE), section.get(&VALUE_FIELD_NAME));
        let data_type = ValueType::named(&data_type).unwrap_or_else(|| {
            let guessed = if data_type.starts_with("auto_") { " (a field has one type for ever)" } else { "" };
            section.wrong(
                "data_type",
                format!("expected integer, float, string, boolean or base64, found {data_type:?}{guessed}"),
            );
            ValueType::Integer
        });
        let version = match section.get(&METRIC_VERSION) {
            1 => MetricVersion::One,
            2 => MetricVersion::Two,
            other => {
                section.wrong("prometheus_metric_version", format!("expected 1 or 2, found {other}"));
                MetricVersion::Two
            }
        };
        let kind = match wanted.as_str() {
            "influx" => FormatKind::Influx,
            "json" => FormatKind::Json(Box::new(selectors)),
            "value" => FormatKind::Value(data_type, field),
            "nagios" => FormatKind::Nagios,
            "prometheus" => FormatKind::Prometheus(version),
            other => {
                let expected = "expected influx, json, value, nagios or prometheus";
                section.wrong("data_format", format!("{expected}, found {other:?}"));
                FormatKind::Influx
            }
        };
        Format {
            kind,
            name_override: section.optional(&NAME_OVERRIDE),
            name_prefix: section.get(&NAME_PREFIX),
            name_suffix: section.get(&NAME_SUFFIX),
            tags: filter::tags(section.table(TAGS.name)),
            default_name: collector,
        }
    }

    /// Whether it is that of Nagios plugins, whose exit status is a state.
    pub(super) fn is_nagios(&self) -> bool {
        matches!(self.kind, FormatKind::Nagios)
    }

    /// Whether it is line protocol.
    pub(super) fn is_line_protocol(&self) -> bool {
        matches!(self.kind, FormatKind::Influx)
    }

    /// Whether each line has points of its own.
    pub(super) fn is_by_line(&self) -> bool {
        matches!(self.kind, FormatKind::Influx | FormatKind::Json(_) | FormatKind::Value(..))
    }

    /// Reads an output of a program that ended with `status`, or a file. `more` are tags that override those of the
    /// settings.
    ///
    /// # Errors
    /// All of it is malformed.
    pub(super) fn read(&self, bytes: &[u8], status: Option<i32>, more: &[(&str, &str)]) -> Result<Content, String> {
        let mut content = Content::default();
        let problems = &mut content.problems;
        match &self.kind {
            FormatKind::Influx => content.points = influx(bytes, problems),
            FormatKind::Json(selectors) => {
                let text = String::from_utf8_lossy(bytes);
                content.points = json::points(&text, selectors, &mut |what| problems.add("object", || what))?;
            }
            FormatKind::Value(of, field) => content.points.extend(value::point(bytes, *of, field)?),
            FormatKind::Nagios => {
                let text = String::from_utf8_lossy(bytes);
                content.points = nagios::points(&text, status, &mut |what| problems.add("performance data", || what));
            }
            FormatKind::Prometheus(version) => {
                let (families, found) = foreign::read_without_times(bytes);
                content.problems = found;
                content.points = families.iter().flat_map(|family| exposition_points(family, *version)).collect();
                content.families = families.into();
            }
        }
        content.points.iter_mut().for_each(|point| self.name(point, more));
        if !matches!(self.kind, FormatKind::Prometheus(_)) {
            content.families = series(&content.points, &mut content.problems);
        }
        Ok(content)
    }

    /// Gives a point its measurement and its tags, which are sorted then.
    fn name(&self, point: &mut Point<'static>, more: &[(&str, &str)]) {
        let own = if point.measurement.is_empty() { self.default_name } else { &point.measurement };
        let own = self.name_override.as_deref().unwrap_or(own);
        point.measurement = Cow::Owned([&self.name_prefix, own, &self.name_suffix].concat());
        point.tags.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
        let owned = |(key, value): &(&str, &str)| (Cow::Owned((*key).to_owned()), Cow::Owned((*value).to_owned()));
        point.tags.extend(more.iter().map(owned));
        let is_absent = |key: &str| !point.tags.iter().any(|(other, _)| other == key);
        let new: Vec<_> = self.tags.iter().filter(|(key, _)| is_absent(key)).collect();
        point.tags.extend(new.into_iter().map(|(key, value)| (Cow::Owned(key.clone()), Cow::Owned(value.clone()))));
        point.tags.sort();
        point.tags.dedup_by(|(one, _), (other, _)| one == other);
    }
}

fn selectors(section: &mut Section<'_>) -> Selectors<Globs> {
    let query = section.optional(&JSON_QUERY).filter(|query| !query.is_empty());
    let query = query.and_then(|query| Path::new(&query).map_err(|what| section.wrong("json_query", what)).ok());
    let (key, format) = (section.optional(&JSON_TIME_KEY), section.optional(&JSON_TIME_FORMAT));
    let zone = section.get(&JSON_TIMEZONE);
    let time = key.filter(|key| !key.is_empty()).and_then(|key| {
        let Some(format) = format else {
            section.wrong("json_time_key", "it needs json_time_format");
            return None;
        };
        match TimeFormat::new(&format, &zone) {
            Ok(format) => Some((key, format)),
            Err(what) => {
                let is_zone = what.starts_with("expected a time zone");
                section.wrong(if is_zone { "json_timezone" } else { "json_time_format" }, what);
                None
            }
        }
    });
    Selectors {
        query,
        tags: section.get(&TAG_KEYS),
        strings: section.get(&JSON_STRING_FIELDS),
        name: section.optional(&JSON_NAME_KEY).filter(|name| !name.is_empty()),
        time,
        is_strict: section.get(&JSON_STRICT),
    }
}

/// The points of line protocol. An invalid line costs itself.
fn influx(bytes: &[u8], problems: &mut Problems) -> Vec<Point<'static>> {
    let mut read = Vec::new();
    for point in points(bytes) {
        match point.and_then(|point| point.without_time().map_err(|reason| (Cow::Borrowed(""), reason))) {
            Ok(point) => match point.nanoseconds(1) {
                Ok(_) => read.push(point.into_owned()),
                Err(_) => problems.add(OUTSIDE_RANGE, || OUTSIDE_RANGE.to_owned()),
            },
            Err((line, reason)) => problems.add(reason, || {
                let line: String = line.chars().take(64).collect();
                format!("an invalid line is left out: {reason}: {line:?}")
            }),
        }
    }
    read
}

/// The numeric fields of points as families. The last point of a series has its value.
fn series(points: &[Point<'static>], problems: &mut Problems) -> Arc<[Family]> {
    let mut families: BTreeMap<String, BTreeMap<foreign::Labels, f64>> = BTreeMap::new();
    for point in points {
        let labels = match point_names::labels(point.tags.iter().map(|(key, value)| (&**key, &**value))) {
            Ok(labels) => labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect::<foreign::Labels>(),
            Err(what) => {
                problems.add("labels", || what);
                continue;
            }
        };
        for (field, value) in &point.fields {
            if let Some(value) = value.number() {
                let family = point_names::family(&point.measurement, field);
                families.entry(family).or_default().insert(labels.clone(), value);
            }
        }
    }
    families.into_iter().map(|(name, series)| Family::untyped(name, HELP, series)).collect()
}

/// The help text of series from points.
pub(super) const HELP: &str = "Field of points of a program or file";

#[cfg(test)]
mod tests;
