//! The mapping of statsd_exporter: which family and labels a name becomes.
//!
//! Globs are found in a tree ([`globs`]), then regular expressions are tried in order. Each name is mapped once while
//! its series is known, so the cost of a mapping is that of new series.

mod file;
mod globs;
mod template;

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use self::globs::Globs;
use self::template::Template;
use crate::encode::parse::statsd::Kind;

pub(super) use self::file::{parse, read};

/// A mapping file.
#[derive(Debug)]
pub(in crate::collectors::statsd) struct Mapping {
    rules: Vec<Rule>,
    globs: Globs,
    regexes: Vec<(Regex, usize)>,
    /// What applies to names that no rule matches.
    defaults: Arc<Options>,
}

impl Default for Mapping {
    fn default() -> Self {
        Mapping { rules: Vec::new(), globs: Globs::new(true), regexes: Vec::new(), defaults: Arc::default() }
    }
}

/// One of `mappings`.
#[derive(Debug)]
struct Rule {
    /// `None` if samples are dropped.
    name: Option<Template>,
    labels: Vec<(String, Template)>,
    kind: Option<MetricKind>,
    options: Arc<Options>,
}

/// How the samples of a family are written.
#[derive(Debug)]
pub(in crate::collectors::statsd) struct Options {
    pub(in crate::collectors::statsd) help: Option<Arc<str>>,
    pub(in crate::collectors::statsd) honors_labels: bool,
    /// `None` for the setting `expire_after`.
    pub(in crate::collectors::statsd) ttl: Option<Duration>,
    pub(in crate::collectors::statsd) scale: f64,
    pub(in crate::collectors::statsd) observer: Observer,
}

/// What observations become.
#[derive(Clone, Debug)]
pub(in crate::collectors::statsd) enum Observer {
    /// Upper bounds of buckets, ascending and finite.
    Histogram(Arc<[f64]>),
    Summary(Arc<SummaryOptions>),
}

/// The options of a summary.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::collectors::statsd) struct SummaryOptions {
    /// Quantiles, ascending, and the error of the rank of each.
    pub(in crate::collectors::statsd) objectives: Vec<(f64, f64)>,
    /// How long an observation counts.
    pub(in crate::collectors::statsd) max_age: Duration,
    /// In how many parts observations grow old.
    pub(in crate::collectors::statsd) age_buckets: usize,
}

impl Default for SummaryOptions {
    /// Those of statsd_exporter.
    fn default() -> Self {
        let objectives = vec![(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)];
        SummaryOptions { objectives, max_age: Duration::from_secs(600), age_buckets: 5 }
    }
}

impl Default for Options {
    fn default() -> Self {
        let observer = Observer::Summary(Arc::default());
        Options { help: None, honors_labels: false, ttl: None, scale: 1.0, observer }
    }
}

/// The types that a mapping distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collectors::statsd) enum MetricKind {
    Counter,
    Gauge,
    Observer,
}

impl MetricKind {
    /// The type of a sample; `None` for sets, which families do not have.
    pub(in crate::collectors::statsd) fn of(kind: Kind) -> Option<MetricKind> {
        match kind {
            Kind::Counter => Some(MetricKind::Counter),
            Kind::Gauge => Some(MetricKind::Gauge),
            Kind::Timer | Kind::Histogram | Kind::Distribution => Some(MetricKind::Observer),
            Kind::Set => None,
        }
    }
}

/// The family and labels of a name.
#[derive(Debug)]
pub(in crate::collectors::statsd) enum Mapped {
    /// No rule matches.
    Unmapped(Arc<Options>),
    /// The name, not yet escaped, the labels, and the options.
    Family(String, Vec<(String, String)>, Arc<Options>),
    Dropped,
}

impl Mapping {
    /// The number of rules.
    pub(in crate::collectors::statsd) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Maps a name without tags.
    pub(in crate::collectors::statsd) fn map(&self, name: &str, kind: MetricKind) -> Mapped {
        let is_of_kind = |rule: &usize| self.rules[*rule].kind.is_none_or(|of| of == kind);
        if let Some((rule, captures)) = self.globs.find(name, &is_of_kind) {
            return self.rules[rule].mapped(&|template| template.with_parts(&captures));
        }
        let found = self.regexes.iter().filter(|(_, rule)| is_of_kind(rule));
        for (regex, rule) in found {
            if let Some(captures) = regex.captures(name) {
                return self.rules[*rule].mapped(&|template| template.with_captures(&captures));
            }
        }
        Mapped::Unmapped(self.defaults.clone())
    }
}

impl Rule {
    fn mapped(&self, expand: &dyn Fn(&Template) -> String) -> Mapped {
        let Some(name) = &self.name else { return Mapped::Dropped };
        let labels = self.labels.iter().map(|(label, value)| (label.clone(), expand(value))).collect();
        Mapped::Family(expand(name), labels, self.options.clone())
    }
}

#[cfg(test)]
mod tests;
