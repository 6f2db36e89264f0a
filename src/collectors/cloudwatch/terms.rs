//! How metrics are fetched: their statistics, schedule, and value without data. Some metrics of a job may differ.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use regex::Regex;

use super::schedule::{self, Schedule, Times};
use crate::config::{Globs, Key, KeyInfo, Section};

/// How a metric is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// The statistics.
    pub(super) statistics: Vec<String>,
    /// When to fetch, and which range.
    pub(super) schedule: Schedule,
    /// The value without data.
    pub(super) missing: Missing,
    /// Whether Prometheus gets all data points, with their times, rather than the newest.
    pub(super) all_data_points: bool,
}

/// What Prometheus sees for a metric without data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Missing {
    /// No sample.
    #[default]
    Absent,
    /// `NaN`, as in yet-another-cloudwatch-exporter.
    NaN,
    /// 0.
    Zero,
}

pub(super) const STATISTICS: Key<Vec<String>> = Key::new(
    "statistics",
    "[\"Average\"]",
    "Average, Sum, Minimum, Maximum, SampleCount, percentiles such as p99 or p99.9, and others such as IQM, tm90 and TM(10%:90%). Up to five cost as much as one.",
);
pub(super) const MISSING: Key<String> = Key::new(
    "missing",
    "\"absent\"",
    "What is exposed for a metric without a data point: \"absent\" (no sample), \"nan\" or \"zero\".",
);

pub(super) const ALL_DATA_POINTS: Key<bool> = Key::new(
    "all_data_points",
    "false",
    "Exposes all data points of the window with their times, not only the newest. Each scrape has all of them; remote write sends each once. Prometheus then needs an out_of_order_time_window.",
);

const OVERRIDE_METRICS: Key<Globs> = Key::optional("metrics", "Metric names, as glob patterns.");
const OVERRIDE_STATISTICS: Key<Vec<String>> = Key::optional("statistics", "Overrides the job's statistics.");
const OVERRIDE_PERIOD: Key<Duration> = Key::optional(
    "period",
    "Overrides the job's period. interval, window and max_age are rounded up to multiples of it; an interval below 1h is rounded to at most 1h.",
);
const OVERRIDE_MISSING: Key<String> = Key::optional("missing", "Overrides the job's `missing`.");

const OVERRIDE_ALL_DATA_POINTS: Key<bool> = Key::optional("all_data_points", "Overrides the job's `all_data_points`.");

/// The settings of `[[collectors.cloudwatch.overrides]]`.
pub(super) const OVERRIDE_KEYS: &[KeyInfo] = &[
    OVERRIDE_ALL_DATA_POINTS.info(),
    OVERRIDE_METRICS.info(),
    OVERRIDE_STATISTICS.info(),
    OVERRIDE_PERIOD.info(),
    OVERRIDE_MISSING.info(),
];

/// The terms of a job, and of the metrics that differ.
pub(super) fn all(section: &mut Section<'_>) -> (Arc<Terms>, Vec<(Globs, Arc<Terms>)>) {
    let times = Times::new(section);
    let (given, without) = (section.get(&STATISTICS), section.get(&MISSING));
    let terms = Terms {
        statistics: statistics(section, given),
        schedule: Schedule::new(section, &times),
        missing: missing(section, &without),
        all_data_points: section.get(&ALL_DATA_POINTS),
    };
    let mut overrides: Vec<(Globs, Arc<Terms>)> = Vec::new();
    for mut each in section.tables("overrides") {
        let Some((metrics, own)) = terms.overridden(&mut each, &times) else { continue };
        if metrics.patterns().iter().all(|pattern| {
            overrides.iter().any(|(earlier, _)| earlier.patterns().iter().any(|other| other == "*" || other == pattern))
        }) {
            each.wrong("metrics", "never reached: earlier overrides have all of them");
        }
        overrides.push((metrics, own));
    }
    (Arc::new(terms), overrides)
}

impl Terms {
    /// The terms of the metrics that `section` names.
    fn overridden(&self, section: &mut Section<'_>, times: &Times) -> Option<(Globs, Arc<Terms>)> {
        let metrics = section.optional(&OVERRIDE_METRICS).filter(|metrics| !metrics.patterns().is_empty());
        if metrics.is_none() {
            section.wrong("metrics", "required: the metrics' names, such as [\"CPUUtilization\"]");
        }
        let mut terms = self.clone();
        if let Some(given) = section.optional(&OVERRIDE_STATISTICS) {
            terms.statistics = statistics(section, given);
        }
        if let Some(period) = section.optional(&OVERRIDE_PERIOD) {
            terms.schedule = times.schedule(schedule::sound_period(section, period));
        }
        if let Some(without) = section.optional(&OVERRIDE_MISSING) {
            terms.missing = missing(section, &without);
        }
        terms.all_data_points = section.optional(&OVERRIDE_ALL_DATA_POINTS).unwrap_or(terms.all_data_points);
        Some((metrics?, Arc::new(terms)))
    }
}

static STATISTIC: LazyLock<Regex> = LazyLock::new(|| {
    const NUMBER: &str = r"\d+(?:\.\d{1,10})?";
    let one = format!(
        r"^(?:Average|Sum|Minimum|Maximum|SampleCount|IQM|(?:p|tm|wm|tc|ts)(?<rank>{NUMBER})|(?<range>PR|TM|WM|TC|TS)\((?<from>-?{NUMBER}%?)?:(?<to>-?{NUMBER}%?)?\))$"
    );
    Regex::new(&one).expect("the pattern is sound")
});

/// Whether CloudWatch has this statistic.
fn is_statistic(statistic: &str) -> bool {
    let Some(parts) = STATISTIC.captures(statistic) else { return false };
    let is_rank = |rank: &f64| (0.0..=100.0).contains(rank);
    if let Some(rank) = parts.name("rank") {
        return rank.as_str().parse().is_ok_and(|rank| is_rank(&rank));
    }
    let Some(range) = parts.name("range") else { return true };
    // Bounds are both ranks in percent or both values; of percentile ranks, they are values.
    let bound = |name: &str| {
        let text = parts.name(name)?.as_str();
        Some((text.trim_end_matches('%').parse::<f64>().ok()?, text.ends_with('%')))
    };
    let is_sound = |(number, is_rank_of): (f64, bool)| !is_rank_of || range.as_str() != "PR" && is_rank(&number);
    match (bound("from"), bound("to")) {
        (None, None) => false,
        (Some(one), None) | (None, Some(one)) => is_sound(one),
        (Some(from), Some(to)) => from.1 == to.1 && from.0 < to.0 && is_sound(from) && is_sound(to),
    }
}

fn statistics(section: &mut Section<'_>, statistics: Vec<String>) -> Vec<String> {
    if statistics.is_empty() {
        section.wrong("statistics", "expected at least one, found none");
    }
    for (index, wrong) in statistics.iter().enumerate().filter(|(_, statistic)| !is_statistic(statistic)) {
        section.wrong_element(
            "statistics",
            index,
            format!(
                "expected Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99, found {wrong:?}"
            ),
        );
    }
    for (index, statistic) in statistics.iter().enumerate() {
        if statistics[..index].contains(statistic) {
            section.wrong_element("statistics", index, format!("{statistic:?} is given twice"));
        }
    }
    statistics
}

fn missing(section: &mut Section<'_>, text: &str) -> Missing {
    match text {
        "absent" => Missing::Absent,
        "nan" => Missing::NaN,
        "zero" => Missing::Zero,
        other => {
            section.wrong("missing", format!("expected absent, nan or zero, found {other:?}"));
            Missing::Absent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_that_cloudwatch_has() {
        let sound = "Average Sum Minimum Maximum SampleCount IQM p0 p50 p99.9 p100 tm90 wm99.5 tc10 ts1 TM(10%:90%) \
             TM(:95%) TM(5%:) WM(80:500) TC(0.005:0.030) TS(80:) PR(100:2000) PR(:300) PR(300:)";
        let wrong = "average p p101 p-1 p1e2 tm100.1 TM(:) TM(90%:10%) TM(10%:90) TM(10%:101%) PR(100:10) PR(10%:90%) \
             PR(:) TM(a:b) TM(10%) IQM90 p99. XX(1:2)";
        assert_eq!(sound.split_whitespace().find(|one| !is_statistic(one)), None);
        assert_eq!(wrong.split_whitespace().find(|one| is_statistic(one)), None);
    }
}
