//! Reads a mapping file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::globs::Globs;
use super::template::Template;
use super::{Mapping, MetricKind, Observer, Options, Rule, SummaryOptions};
use crate::config::{Key, Section, Setting, Value, yaml};
use crate::system::regular_file::{READ_TIMEOUT, read_text_within};

/// Maximum size of a file.
const MAX_BYTES: u64 = 4 << 20;
/// The buckets of Prometheus's client libraries.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const MATCH: Key<String> = Key::optional("match", "");
const NAME: Key<String> = Key::optional("name", "");
const HELP: Key<String> = Key::optional("help", "");
const ACTION: Key<String> = Key::new("action", "\"map\"", "");
const MATCH_TYPE: Key<String> = Key::optional("match_type", "");
const MATCH_METRIC_TYPE: Key<String> = Key::optional("match_metric_type", "");
const OBSERVER_TYPE: Key<String> = Key::optional("observer_type", "");
const TIMER_TYPE: Key<String> = Key::optional("timer_type", "");
const HONOR_LABELS: Key<Flag> = Key::optional("honor_labels", "");
const ORDERING: Key<Flag> = Key::optional("glob_disable_ordering", "");
const TTL: Key<Duration> = Key::optional("ttl", "");
const SCALE: Key<Number> = Key::optional("scale", "");
const BOUNDS: Key<Vec<Bound>> = Key::optional("buckets", "");
const FACTOR: Key<Number> = Key::optional("native_histogram_bucket_factor", "");
const MAX_BUCKETS: Key<Number> = Key::optional("native_histogram_max_buckets", "");
const QUANTILE: Key<Number> = Key::optional("quantile", "");
const ERROR: Key<Number> = Key::optional("error", "");
const MAX_AGE: Key<Duration> = Key::optional("max_age", "");
const AGE_BUCKETS: Key<Number> = Key::optional("age_buckets", "");
const BUF_CAP: Key<Number> = Key::optional("buf_cap", "");

/// A finite number in YAML, whose scalars are strings.
struct Number(f64);

impl Setting for Number {
    const EXPECTED: &'static str = "a number";
    const EXPECTED_LIST: &'static str = "a list of numbers";

    fn from_value(value: &Value) -> Result<Self, String> {
        let number = String::from_value(value)?.parse().map_err(|_| String::new())?;
        if f64::is_finite(number) { Ok(Number(number)) } else { Err(String::new()) }
    }
}

/// A bound of a bucket, which may be infinite.
struct Bound(f64);

impl Setting for Bound {
    const EXPECTED: &'static str = Number::EXPECTED;
    const EXPECTED_LIST: &'static str = Number::EXPECTED_LIST;

    fn from_value(value: &Value) -> Result<Self, String> {
        let is_infinite = String::from_value(value)
            .is_ok_and(|text| [".inf", ".Inf", ".INF"].contains(&text.strip_prefix('+').unwrap_or(&text)));
        if is_infinite { Ok(Bound(f64::INFINITY)) } else { Number::from_value(value).map(|Number(bound)| Bound(bound)) }
    }
}

/// A truth value in YAML.
struct Flag(bool);

impl Setting for Flag {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Result<Self, String> {
        match String::from_value(value)?.as_str() {
            "true" => Ok(Flag(true)),
            "false" => Ok(Flag(false)),
            _ => Err(String::new()),
        }
    }
}

/// Reads a mapping file.
///
/// # Errors
/// The file cannot be read, or what is wrong in it, with lines.
pub(in crate::collectors::statsd) fn read(path: &Path) -> Result<Mapping, String> {
    let text = read_text_within(path, MAX_BYTES, READ_TIMEOUT).map_err(|error| error.to_string())?;
    parse(&path.display().to_string(), &text)
}

pub(in crate::collectors::statsd) fn parse(name: &str, text: &str) -> Result<Mapping, String> {
    let document = yaml::parse_single(name, text).map_err(|problems| lines(&problems))?;
    Section::check(&document, mapping).map_err(|problems| lines(&problems))
}

fn lines(problems: &crate::config::Problems) -> String {
    problems.lines().collect::<Vec<_>>().join("; ")
}

/// The settings in `defaults`.
struct Defaults {
    is_regex: bool,
    is_ordered: bool,
    observers: Observers,
    ttl: Option<Duration>,
}

/// What observations become, and the options of each way.
#[derive(Clone)]
struct Observers {
    is_histogram: bool,
    bounds: Arc<[f64]>,
    summary: SummaryOptions,
}

fn mapping(root: &mut Section<'_>) -> Mapping {
    let defaults = defaults(root.table("defaults"));
    let mut mapping = Mapping { globs: Globs::new(defaults.is_ordered), ..Mapping::default() };
    let options = Options { ttl: defaults.ttl, observer: defaults.observers.observer(), ..Options::default() };
    mapping.defaults = Arc::new(options);
    for mut section in root.tables("mappings") {
        let index = mapping.rules.len();
        let pattern = section.optional(&MATCH).unwrap_or_default();
        match is_regex(&mut section, defaults.is_regex) {
            true => match Regex::new(&pattern) {
                Ok(regex) => mapping.regexes.push((regex, index)),
                Err(error) => {
                    let reason = error.to_string();
                    section.wrong(
                        "match",
                        format!("expected a regular expression: {}", reason.lines().last().unwrap_or_default().trim()),
                    );
                }
            },
            false if is_glob(&pattern) => mapping.globs.push(&pattern, index),
            false => section.wrong("match", "expected parts of letters, digits, _ and - or *, joined by dots"),
        }
        let rule = rule(&mut section, &defaults);
        mapping.rules.push(rule);
    }
    mapping
}

fn defaults(mut section: Section<'_>) -> Defaults {
    let plain = Observers { is_histogram: false, bounds: BUCKETS.into(), summary: SummaryOptions::default() };
    Defaults {
        is_regex: is_regex(&mut section, false),
        is_ordered: !section.optional(&ORDERING).is_some_and(|flag| flag.0),
        observers: observers(&mut section, &plain),
        ttl: section.optional(&TTL).filter(|ttl| !ttl.is_zero()),
    }
}

fn rule(section: &mut Section<'_>, defaults: &Defaults) -> Rule {
    let name = section.optional(&NAME).unwrap_or_default();
    let is_dropped = choice(section, &ACTION, &["map", "drop"]).is_some_and(|action| action == 1);
    if !is_name(&name) {
        section.wrong("name", "expected a name of letters, digits, _ and references such as ${1}");
    }
    let labels = section.table("labels").strings_that(|label, _| match is_label(label) {
        true => Ok(()),
        false => Err("expected a name of letters, digits and _"),
    });
    let kinds = [MetricKind::Counter, MetricKind::Gauge, MetricKind::Observer, MetricKind::Observer];
    let kind = choice(section, &MATCH_METRIC_TYPE, &["counter", "gauge", "observer", "timer"]).map(|kind| kinds[kind]);
    let options = Options {
        help: section.optional(&HELP).filter(|help| !help.is_empty()).map(Into::into),
        honors_labels: section.optional(&HONOR_LABELS).is_some_and(|flag| flag.0),
        ttl: section.optional(&TTL).filter(|ttl| !ttl.is_zero()).or(defaults.ttl),
        scale: section.optional(&SCALE).map_or(1.0, |scale| scale.0),
        observer: observers(section, &defaults.observers).observer(),
    };
    Rule {
        name: (!is_dropped).then(|| Template::new(&name)),
        labels: labels.iter().map(|(label, value)| (label.clone(), Template::new(value))).collect(),
        kind,
        options: Arc::new(options),
    }
}

/// The index of a word among `words`, if the setting is set.
fn choice(section: &mut Section<'_>, key: &Key<String>, words: &[&str]) -> Option<usize> {
    let given = section.optional(key).filter(|given| !given.is_empty())?;
    let index = words.iter().position(|word| *word == given);
    if index.is_none() {
        section.wrong(key.info().name, format!("expected {}, found {given:?}", words.join(", ")));
    }
    index
}

fn is_regex(section: &mut Section<'_>, default: bool) -> bool {
    choice(section, &MATCH_TYPE, &["glob", "regex"]).map_or(default, |index| index == 1)
}

/// Reads the options of observers. The older names `timer_type`, `buckets` and `quantiles` are known.
fn observers(section: &mut Section<'_>, defaults: &Observers) -> Observers {
    let old = choice(section, &TIMER_TYPE, &["summary", "histogram"]);
    let kind = choice(section, &OBSERVER_TYPE, &["summary", "histogram"]).or(old);
    let mut chosen = defaults.clone();
    chosen.is_histogram = kind.map_or(defaults.is_histogram, |index| index == 1);
    let mut histogram = section.table("histogram_options");
    // Native histograms are not made; their options are known.
    let _ = (histogram.optional(&FACTOR), histogram.optional(&MAX_BUCKETS));
    for bounds in [bounds(section), bounds(&mut histogram)].into_iter().flatten() {
        chosen.bounds = bounds;
    }
    let mut summary = section.table("summary_options");
    for objectives in [objectives(section), objectives(&mut summary)].into_iter().filter(|given| !given.is_empty()) {
        chosen.summary.objectives = objectives;
    }
    if let Some(max_age) = summary.optional(&MAX_AGE).filter(|age| !age.is_zero()) {
        chosen.summary.max_age = max_age;
    }
    if let Some(Number(buckets)) = summary.optional(&AGE_BUCKETS).filter(|Number(buckets)| *buckets >= 1.0) {
        chosen.summary.age_buckets = (buckets as usize).min(100);
    }
    summary.optional(&BUF_CAP);
    chosen
}

fn bounds(section: &mut Section<'_>) -> Option<Arc<[f64]>> {
    let mut bounds: Vec<f64> = section.optional(&BOUNDS)?.iter().map(|Bound(bound)| *bound).collect();
    // Every histogram has this one.
    bounds.pop_if(|bound| bound.is_infinite());
    if !bounds.is_sorted_by(|one, next| one < next) {
        section.wrong("buckets", "expected ascending bounds");
    }
    (!bounds.is_empty()).then(|| bounds.into())
}

fn objectives(section: &mut Section<'_>) -> Vec<(f64, f64)> {
    let mut objectives = Vec::new();
    for mut table in section.tables("quantiles") {
        let (quantile, error) = (table.optional(&QUANTILE), table.optional(&ERROR));
        let (quantile, error) = (quantile.map_or(-1.0, |number| number.0), error.map_or(0.0, |number| number.0));
        if !(0.0..=1.0).contains(&quantile) {
            table.wrong("quantile", "expected a number from 0 to 1");
        }
        objectives.push((quantile, error.clamp(0.0001, 1.0)));
    }
    objectives.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    objectives.dedup_by(|(one, _), (other, _)| one == other);
    objectives
}

impl Observers {
    fn observer(&self) -> Observer {
        match self.is_histogram {
            true => Observer::Histogram(self.bounds.clone()),
            false => Observer::Summary(Arc::new(self.summary.clone())),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_glob(pattern: &str) -> bool {
    let is_part =
        |part: &str| part == "*" || !part.is_empty() && part.bytes().all(|byte| is_word(byte) || byte == b'-');
    pattern.split('.').all(is_part)
}

fn is_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    starts && name.bytes().all(|byte| is_word(byte) || b"${}".contains(&byte))
}

fn is_label(label: &str) -> bool {
    label.bytes().all(is_word)
        && label.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && !label.starts_with("__")
}
