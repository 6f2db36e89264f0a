//! `[[collectors.prometheus]]`: the jobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::discovery::{self, Group, Source};
use super::page::{Limits, Rules};
use super::relabel::Rule;
use crate::client::target;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::encode::names::check_any_label_name;
use crate::nats::settings::{LEASE_KEYS, lease};

/// A job: its targets, and how they are scraped and exposed.
#[derive(Debug)]
pub(super) struct Job {
    /// Its name, the label `job`.
    pub(super) name: String,
    /// The interval of scrapes.
    pub(super) interval: Duration,
    /// The time within which a scrape is complete.
    pub(super) timeout: Duration,
    /// `http` or `https`.
    pub(super) scheme: String,
    /// The path of addresses.
    pub(super) metrics_path: String,
    /// Parameters of every request.
    pub(super) params: BTreeMap<String, Vec<String>>,
    /// Where targets come from.
    pub(super) sources: Vec<Source>,
    /// Relabelling of targets.
    pub(super) relabel: Vec<Rule>,
    /// Maximum number of targets.
    pub(super) target_limit: usize,
    /// What is done with samples.
    pub(super) rules: Rules,
    /// Whether native histograms are requested, which takes protobuf.
    pub(super) native_histograms: bool,
    /// Where its series are exposed.
    pub(super) exposed: Exposed,
    /// How its points are written.
    pub(super) points: Points,
    /// The lease that it needs.
    pub(super) lease: Option<String>,
    /// The client of its targets.
    pub(super) client: target::Client,
}

/// Where series are exposed to Prometheus. Sinks get them in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposed {
    /// With Taffrail's own.
    Together,
    /// At a path of their own.
    Apart,
    /// Nowhere.
    Nowhere,
}

/// How points are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Points {
    /// Whether all points have one measurement, as with Telegraf's `metric_version = 2`.
    pub(super) has_one_measurement: bool,
    /// The tag with the target's URL; empty for none.
    pub(super) url_tag: String,
}

const NAME: Key<String> =
    Key::optional("name", "Name of the job: the label `job`, and the path with expose = \"apart\".");
pub(super) const TARGETS: Key<Vec<String>> = Key::optional(
    "targets",
    "Addresses such as \"localhost:9104\", URLs, or Unix sockets such as \"unix:/run/x.sock:/metrics\".",
);
const INTERVAL: Key<Duration> = Key::new("interval", "\"15s\"", "Interval of scrapes.");
const TIMEOUT: Key<Duration> =
    Key::new("timeout", "\"10s\"", "Time within which a scrape is complete, to the last byte; at most the interval.");
const SCHEME: Key<String> = Key::new("scheme", "\"http\"", "Scheme of addresses: http or https.");
const METRICS_PATH: Key<String> =
    Key::new("metrics_path", "\"/metrics\"", "Path of addresses, and of URLs without one.");
const HONOR_LABELS: Key<bool> = Key::new(
    "honor_labels",
    "false",
    "Labels of a page take precedence over those of the target; otherwise they become `exported_NAME`.",
);
const HONOR_TIMESTAMPS: Key<bool> = Key::new("honor_timestamps", "true", "Uses timestamps of a page.");
const NATIVE_HISTOGRAMS: Key<bool> =
    Key::new("native_histograms", "false", "Requests protobuf first, the only format with native histograms.");
const CLASSIC_HISTOGRAMS: Key<bool> = Key::new(
    "always_scrape_classic_histograms",
    "false",
    "Also reads the classic buckets of a histogram that has native ones.",
);
const SAMPLE_LIMIT: Key<usize> =
    Key::optional("sample_limit", "Maximum samples of a page after relabelling. A page with more fails as a whole.");
const LABEL_LIMIT: Key<usize> = Key::optional("label_limit", "Maximum labels of a series, likewise.");
const LABEL_NAME_LIMIT: Key<usize> =
    Key::optional("label_name_length_limit", "Maximum bytes of a label name, likewise.");
const LABEL_VALUE_LIMIT: Key<usize> =
    Key::optional("label_value_length_limit", "Maximum bytes of a label value, likewise.");
const TARGET_LIMIT: Key<usize> =
    Key::optional("target_limit", "Maximum targets. With more, all scrapes of the job fail.");
const EXPOSE: Key<String> = Key::new(
    "expose",
    "\"metrics\"",
    "Where Prometheus finds the series: \"metrics\" for `/metrics`, \"apart\" for `/metrics/NAME` and `/metrics/NAME/INSTANCE` only, \"no\" for nowhere. Sinks get them in any case.",
);
const METRIC_VERSION: Key<i64> = Key::new(
    "metric_version",
    "1",
    "Points as Telegraf's inputs.prometheus writes them: 1 has a measurement for each family, 2 has one for all.",
);
const URL_TAG: Key<String> = Key::new("url_tag", "\"url\"", "Tag of points with the target's URL; empty for none.");

const OWN_KEYS: &[KeyInfo] = &[
    NAME.info(),
    TARGETS.info(),
    INTERVAL.info(),
    TIMEOUT.info(),
    SCHEME.info(),
    METRICS_PATH.info(),
    HONOR_LABELS.info(),
    HONOR_TIMESTAMPS.info(),
    NATIVE_HISTOGRAMS.info(),
    CLASSIC_HISTOGRAMS.info(),
    SAMPLE_LIMIT.info(),
    LABEL_LIMIT.info(),
    LABEL_NAME_LIMIT.info(),
    LABEL_VALUE_LIMIT.info(),
    TARGET_LIMIT.info(),
    EXPOSE.info(),
    METRIC_VERSION.info(),
    URL_TAG.info(),
];
/// The settings of a job.
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + LEASE_KEYS.len() + target::KEYS.len()] =
    concat(&[OWN_KEYS, LEASE_KEYS, &target::KEYS]);

impl Job {
    /// The job in a section. Its targets are not checked yet.
    pub(super) fn new(section: &mut Section<'_>) -> Job {
        let name = section.optional(&NAME).unwrap_or_default();
        if name.is_empty() || name.contains('/') {
            section.wrong("name", "required: a name without slashes, which becomes the label job");
        }
        let (interval, timeout) = times(section);
        let scheme = section.get(&SCHEME);
        if !["http", "https"].contains(&scheme.as_str()) {
            section.wrong("scheme", format!("expected http or https, found {scheme:?}"));
        }
        let labels = section.table("labels").strings_that(|name, _| check_any_label_name(name));
        let targets = section.optional(&TARGETS).unwrap_or_default();
        let mut sources = discovery::sources(section);
        if !targets.is_empty() {
            sources.insert(0, Source::Static(Group { targets, labels }));
        } else if sources.is_empty() {
            section.wrong("targets", "required: at least one target, or another source such as file_sd_configs");
        }
        let settings = target::Settings::new(section, timeout);
        Job {
            name,
            interval,
            timeout,
            scheme,
            metrics_path: section.get(&METRICS_PATH),
            params: section.table("params").entries(),
            sources,
            relabel: section.tables("relabel_configs").iter_mut().map(Rule::new).collect(),
            target_limit: section.optional(&TARGET_LIMIT).unwrap_or(usize::MAX),
            rules: rules(section),
            native_histograms: section.get(&NATIVE_HISTOGRAMS),
            exposed: exposed(section),
            points: points(section),
            lease: lease(section),
            client: target::Client::new(Arc::new(settings)),
        }
    }

    /// One line about the job.
    pub(super) fn summary(&self) -> String {
        let sources: Vec<String> = self.sources.iter().map(Source::summary).collect();
        format!("{}: {}, every {}", self.name, sources.join(", "), humantime::format_duration(self.interval))
    }
}

fn times(section: &mut Section<'_>) -> (Duration, Duration) {
    let interval = section.above_zero(&INTERVAL);
    let timeout = section.above_zero(&TIMEOUT);
    if section.has(&TIMEOUT) && timeout > interval {
        section.wrong("timeout", "expected at most the interval");
    }
    (interval.max(Duration::from_millis(1)), timeout.min(interval))
}

fn rules(section: &mut Section<'_>) -> Rules {
    let mut limit = |key| section.optional(key).unwrap_or(usize::MAX);
    let limits = Limits {
        samples: limit(&SAMPLE_LIMIT),
        labels: limit(&LABEL_LIMIT),
        name_bytes: limit(&LABEL_NAME_LIMIT),
        value_bytes: limit(&LABEL_VALUE_LIMIT),
    };
    Rules {
        honor_labels: section.get(&HONOR_LABELS),
        honor_timestamps: section.get(&HONOR_TIMESTAMPS),
        classic_histograms: section.get(&CLASSIC_HISTOGRAMS),
        relabel: section.tables("metric_relabel_configs").iter_mut().map(Rule::new).collect(),
        limits,
    }
}

fn exposed(section: &mut Section<'_>) -> Exposed {
    match section.get(&EXPOSE).as_str() {
        "metrics" => Exposed::Together,
        "apart" => Exposed::Apart,
        "no" => Exposed::Nowhere,
        other => {
            section.wrong("expose", format!("expected metrics, apart or no, found {other:?}"));
            Exposed::Nowhere
        }
    }
}

fn points(section: &mut Section<'_>) -> Points {
    let version = section.get(&METRIC_VERSION);
    if ![1, 2].contains(&version) {
        section.wrong("metric_version", format!("expected 1 or 2, found {version}"));
    }
    Points { has_one_measurement: version == 2, url_tag: section.get(&URL_TAG) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Document;

    fn read(toml: &str) -> Result<Job, Vec<String>> {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        Section::check(&document, Job::new).map_err(|problems| problems.lines().collect())
    }

    /// A job with these settings, and a target unless it has one.
    pub(in crate::collectors::prometheus) fn job(toml: &str) -> Job {
        let targets = if toml.contains("targets") { "" } else { "targets = ['a:1']\n" };
        read(&format!("{targets}{toml}")).unwrap()
    }

    #[test]
    fn mistakes_in_a_job_are_found() {
        for (toml, key) in [
            ("targets = ['a:1']", "name"),
            ("name = 'a/b'\ntargets = ['a:1']", "name"),
            ("name = 'j'", "targets"),
            ("name = 'j'\ntargets = ['a:1']\ninterval = '5s'\ntimeout = '6s'", "timeout"),
            ("name = 'j'\ntargets = ['a:1']\nscheme = 'ftp'", "scheme"),
            ("name = 'j'\ntargets = ['a:1']\nexpose = 'x'", "expose"),
            ("name = 'j'\ntargets = ['a:1']\nmetric_version = 3", "metric_version"),
            ("name = 'j'\ntargets = ['a:1']\nlabels = {'' = 'x'}", "labels.: expected the name of a label"),
            ("name = 'j'\nstatic_configs = [{targets = ['a:1'], labels = {'' = 'x'}}]", "labels.: expected"),
            (
                "name = 'j'\ntargets = ['a:1']\nrelabel_configs = [{source_labels = ['a', ''], target_label = 'c'}]",
                "source_labels[1]: expected the name of a label",
            ),
            (
                "name = 'j'\ntargets = ['a:1']\nmetric_relabel_configs = [{action = 'labelmap', replacement = ''}]",
                "replacement: expected the name of a label",
            ),
        ] {
            let found = read(toml).map(|job| job.summary()).unwrap_err();
            assert!(found.len() == 1 && found[0].contains(key), "{found:?}");
        }
        let quick = job("name = 'j'\ninterval = '5s'");
        assert_eq!(quick.timeout, Duration::from_secs(5));
    }
}
