//! `[[collectors.cloudwatch]]`: the jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use regex::Regex;

use super::budget::Budget;
use super::id::Id;
use super::names::{self, Naming};
use super::resources::service_of;
use super::schedule::{self, Schedule};
use crate::aws::{Account, Role, account};
use crate::config::{Globs, Key, KeyInfo, Section};

/// One job: which metrics it asks for, of whom, how often, and what they are called.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// What it is called in its own metrics and the log.
    pub(super) name: String,
    /// The namespace, such as `AWS/EC2`.
    pub(super) namespace: String,
    /// The measurement of its points.
    pub(super) measurement: Arc<str>,
    /// The regions; where there are none, the SDK's default.
    pub(super) regions: Vec<String>,
    /// Whose metrics they are.
    pub(super) accounts: Vec<Account>,
    /// Whether the accounts are monitoring accounts, whose linked accounts are asked for too.
    pub(super) linked_accounts: bool,
    /// Which metrics.
    pub(super) choice: Choice,
    /// The statistics of each.
    pub(super) statistics: Vec<String>,
    /// When to ask, and for which time.
    pub(super) schedule: Schedule,
    /// What stands for a metric that has no datum.
    pub(super) missing: Missing,
    /// What they are called.
    pub(super) labels: Labels,
    /// What it may cost.
    pub(super) budget: Budget,
}

/// Which metrics a job asks for.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// Those that CloudWatch lists, as far as they are wanted.
    Discovered(Discovered),
    /// Those that are given: a metric's name and dimensions. Nothing is listed.
    Static(Vec<Id>),
}

/// Which of the listed metrics are wanted.
#[derive(Clone, Debug)]
pub(super) struct Discovered {
    /// Their names.
    pub(super) metrics: Globs,
    /// The dimensions that they have, no others, and their values; any dimensions, if there are none.
    pub(super) dimensions: BTreeMap<String, Globs>,
    /// The tags that their resources have.
    pub(super) tags: BTreeMap<String, Globs>,
    /// Whether only those are listed that had data in the last three hours.
    pub(super) recently_active: bool,
    /// How often to list.
    pub(super) interval: Duration,
    /// How many are taken, at the most.
    pub(super) limit: usize,
    /// Whether the tagging API is asked for the resources.
    pub(super) resource_tags: bool,
}

/// What Prometheus sees of a metric that has no datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing.
    Absent,
    /// `NaN`, as yet-another-cloudwatch-exporter has it.
    NaN,
    /// 0.
    Zero,
}

/// What Prometheus sees beside the value.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    /// Whose names they are.
    pub(super) naming: Naming,
    /// Whether dimensions and tags are in snake case.
    pub(super) snake_case: bool,
    /// The tags of a resource that its metrics carry.
    pub(super) tags: Vec<String>,
    /// What all carry.
    pub(super) custom: BTreeMap<String, String>,
    /// Whether samples carry the time of their datum.
    pub(super) timestamps: bool,
}

const NAME: Key<String> =
    Key::optional("name", "What the job is called in its own metrics and the log; the namespace if absent.");
const NAMESPACE: Key<String> = Key::optional("namespace", "The namespace, such as \"AWS/EC2\" or one's own.");
const REGIONS: Key<Vec<String>> = Key::new(
    "regions",
    "[]",
    "The regions; where none is given, the one of the environment (AWS_REGION), the profile or the instance.",
);
const METRICS: Key<Globs> = Key::new("metrics", "[\"*\"]", "The metrics' names, as glob patterns.");
const STATISTICS: Key<Vec<String>> = Key::new(
    "statistics",
    "[\"Average\"]",
    "Average, Sum, Minimum, Maximum, SampleCount, percentiles such as p99 or p99.9, and IQM, tm90, TM(10%:90%) and their like. Up to five cost as much as one.",
);
const MISSING: Key<String> = Key::new(
    "missing",
    "\"absent\"",
    "What Prometheus sees of a metric without a datum: \"absent\" is no sample, \"nan\" and \"zero\" are one.",
);
const RECENTLY_ACTIVE: Key<bool> = Key::new(
    "recently_active",
    "true",
    "List only metrics that had data in the last three hours; never where the window is longer.",
);
const DISCOVERY_INTERVAL: Key<Duration> =
    Key::new("discovery_interval", "\"15m\"", "How often metrics are listed, and resources with their tags.");
const LIMIT: Key<usize> = Key::new(
    "limit",
    "50000",
    "How many metrics are asked for in each account and region, at the most. The log tells if there are more.",
);
const RESOURCE_TAGS: Key<bool> = Key::new(
    "resource_tags",
    "true",
    "Ask the tagging API for the namespace's resources: their ARN in the label `name`, their tags in `aws_*_info`.",
);
const TAGS_ON_METRICS: Key<Vec<String>> =
    Key::new("tags_on_metrics", "[]", "Tags of a resource that its metrics carry too, such as [\"Name\"].");
const NAMING: Key<String> = Key::new(
    "naming",
    "\"yace\"",
    "Whose names and labels Prometheus sees: \"yace\" (yet-another-cloudwatch-exporter) or \"cloudwatch_exporter\".",
);
const SNAKE_CASE_LABELS: Key<bool> = Key::new(
    "snake_case_labels",
    "false",
    "Labels of dimensions and tags in snake case, as yet-another-cloudwatch-exporter's -labels-snake-case.",
);
const TIMESTAMPS: Key<bool> = Key::new(
    "timestamps",
    "false",
    "Whether Prometheus's samples carry the time of their datum. With data older than five minutes, instant queries see nothing then.",
);
const LINKED_ACCOUNTS: Key<bool> =
    Key::new("linked_accounts", "false", "Ask for the metrics of linked accounts too, from a monitoring account.");

/// The settings of `[[collectors.cloudwatch]]`.
pub(super) const KEYS: &[KeyInfo] = &[
    NAME.info(),
    NAMESPACE.info(),
    REGIONS.info(),
    METRICS.info(),
    STATISTICS.info(),
    schedule::PERIOD.info(),
    schedule::INTERVAL.info(),
    schedule::DELAY.info(),
    schedule::WINDOW.info(),
    schedule::MAX_AGE.info(),
    MISSING.info(),
    RECENTLY_ACTIVE.info(),
    DISCOVERY_INTERVAL.info(),
    LIMIT.info(),
    RESOURCE_TAGS.info(),
    TAGS_ON_METRICS.info(),
    NAMING.info(),
    SNAKE_CASE_LABELS.info(),
    TIMESTAMPS.info(),
    LINKED_ACCOUNTS.info(),
    account::PROFILE.info(),
    account::ENDPOINT_URL.info(),
];

const STATIC_METRICS: Key<Vec<String>> = Key::optional("metrics", "Their names.");
/// The settings of `[[collectors.cloudwatch.static]]`.
pub(super) const STATIC_KEYS: &[KeyInfo] = &[STATIC_METRICS.info()];

/// How long CloudWatch takes a metric for recently active.
const RECENT: Duration = Duration::from_secs(3 * 3600);

impl Job {
    /// The jobs in `[collectors]`.
    pub(super) fn all(collectors: &mut Section<'_>) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for mut section in collectors.tables("cloudwatch") {
            let job = Job::new(&mut section);
            if jobs.iter().any(|other| other.name == job.name) {
                let key = if section.has(&NAME) { "name" } else { "namespace" };
                section.wrong(key, format!("there is a job {:?} already; give each a name of its own", job.name));
            }
            jobs.push(job);
        }
        jobs
    }

    fn new(section: &mut Section<'_>) -> Job {
        let namespace = section.optional(&NAMESPACE).unwrap_or_default();
        if namespace.is_empty() {
            section.wrong("namespace", "required: what the metrics are in, such as \"AWS/EC2\"");
        }
        let schedule = Schedule::new(section);
        let labels = Labels::new(section);
        Job {
            name: section.optional(&NAME).unwrap_or_else(|| namespace.clone()),
            regions: section.get(&REGIONS),
            accounts: accounts(section),
            linked_accounts: section.get(&LINKED_ACCOUNTS),
            choice: Choice::new(section, &namespace, &labels, &schedule),
            statistics: statistics(section),
            missing: missing(section),
            budget: Budget::new(&mut section.table("budget")),
            measurement: names::measurement(&namespace).into(),
            namespace,
            schedule,
            labels,
        }
    }
}

impl Job {
    /// Where it asks: each account in each region.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Account, Option<&str>)> {
        let regions: Vec<Option<&str>> = match self.regions.is_empty() {
            true => vec![None],
            false => self.regions.iter().map(|region| Some(region.as_str())).collect(),
        };
        self.accounts.iter().flat_map(move |account| regions.clone().into_iter().map(move |region| (account, region)))
    }

    /// The job in a line.
    pub(super) fn summary(&self) -> String {
        let regions = if self.regions.is_empty() { "the default region".to_owned() } else { self.regions.join(", ") };
        let every = humantime::format_duration(self.schedule.interval);
        let statistics = self.statistics.join(", ");
        format!("{}: {statistics} of {} in {regions}, every {every}", self.name, self.namespace)
    }

    /// Whether its metrics can be of resources.
    pub(super) fn has_resources(&self) -> bool {
        matches!(&self.choice, Choice::Discovered(wanted) if wanted.resource_tags)
    }

    /// How often metrics are listed; nothing if they are given.
    pub(super) fn discovery_interval(&self) -> Option<Duration> {
        match &self.choice {
            Choice::Discovered(wanted) => Some(wanted.interval),
            Choice::Static(_) => None,
        }
    }
}

impl Choice {
    fn new(section: &mut Section<'_>, namespace: &str, labels: &Labels, schedule: &Schedule) -> Choice {
        let given = section.tables("static");
        let interval = section.above_zero(&DISCOVERY_INTERVAL);
        let is_known = service_of(namespace).is_some();
        let discovered = Discovered {
            metrics: section.get(&METRICS),
            dimensions: section.table("dimensions").entries(),
            tags: section.table("tags").entries(),
            recently_active: section.get(&RECENTLY_ACTIVE) && schedule.window <= RECENT,
            interval,
            limit: section.get(&LIMIT),
            resource_tags: section.get(&RESOURCE_TAGS) && is_known,
        };
        let needs_tags = [("tags", !discovered.tags.is_empty()), ("tags_on_metrics", !labels.tags.is_empty())];
        for (key, _) in needs_tags.iter().filter(|(_, is_there)| *is_there && !discovered.resource_tags) {
            let why = if is_known {
                "resource_tags is false"
            } else {
                "the resources of this namespace are not known by tag"
            };
            section.wrong(key, format!("there are no tags to go by: {why}"));
        }
        if given.is_empty() {
            return Choice::Discovered(discovered);
        }
        for (key, is_there) in [
            ("metrics", section.has(&METRICS)),
            ("dimensions", !discovered.dimensions.is_empty()),
            ("tags", !discovered.tags.is_empty()),
        ] {
            if is_there {
                section.wrong(key, "does not go with static: what is given there is not looked for");
            }
        }
        Choice::Static(given.into_iter().flat_map(|mut each| static_metrics(&mut each)).collect())
    }
}

fn static_metrics(section: &mut Section<'_>) -> Vec<Id> {
    let metrics = section.optional(&STATIC_METRICS).unwrap_or_default();
    if metrics.is_empty() {
        section.wrong("metrics", "required: the metrics' names, such as [\"CPUUtilization\"]");
    }
    let dimensions: Vec<(String, String)> = section.table("dimensions").strings().into_iter().collect();
    metrics.into_iter().map(|name| Id { name, dimensions: dimensions.clone(), owner: None }).collect()
}

fn accounts(section: &mut Section<'_>) -> Vec<Account> {
    let plain = Account::new(section);
    let mut roles = section.tables("roles");
    if roles.is_empty() {
        return vec![plain];
    }
    let of_role = |role| Account { role: Some(role), ..plain.clone() };
    roles.iter_mut().filter_map(Role::new).map(of_role).collect()
}

static STATISTIC: LazyLock<Regex> = LazyLock::new(|| {
    let one = r"^(Average|Sum|Minimum|Maximum|SampleCount|IQM|(p|tm|wm|tc|ts)\d{1,3}(\.\d{1,10})?|(PR|TM|WM|TC|TS)\([^)]*:[^)]*\))$";
    Regex::new(one).expect("the pattern is sound")
});

fn statistics(section: &mut Section<'_>) -> Vec<String> {
    let mut statistics = section.get(&STATISTICS);
    if statistics.is_empty() {
        section.wrong("statistics", "expected at least one, found none");
    }
    for wrong in statistics.iter().filter(|statistic| !STATISTIC.is_match(statistic)) {
        section.wrong(
            "statistics",
            format!(
                "expected Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99, found {wrong:?}"
            ),
        );
    }
    let mut seen = Vec::new();
    statistics.retain(|statistic| {
        !seen.contains(statistic) && {
            seen.push(statistic.clone());
            true
        }
    });
    statistics
}

fn missing(section: &mut Section<'_>) -> Missing {
    match section.get(&MISSING).as_str() {
        "absent" => Missing::Absent,
        "nan" => Missing::NaN,
        "zero" => Missing::Zero,
        other => {
            section.wrong("missing", format!("expected absent, nan or zero, found {other:?}"));
            Missing::Absent
        }
    }
}

impl Labels {
    fn new(section: &mut Section<'_>) -> Labels {
        let naming = match section.get(&NAMING).as_str() {
            "yace" => Naming::Yace,
            "cloudwatch_exporter" => Naming::CloudwatchExporter,
            other => {
                section.wrong("naming", format!("expected yace or cloudwatch_exporter, found {other:?}"));
                Naming::Yace
            }
        };
        Labels {
            naming,
            snake_case: section.get(&SNAKE_CASE_LABELS),
            tags: section.get(&TAGS_ON_METRICS),
            custom: section.table("custom_tags").strings(),
            timestamps: section.get(&TIMESTAMPS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn jobs(text: &str) -> Result<Vec<Job>, Vec<String>> {
        let document = Document::parse("t.toml", text, &|_| None).map_err(|p| p.lines().collect::<Vec<_>>())?;
        let checked = Section::check(&document, |root| Job::all(&mut root.table("collectors")));
        checked.map_err(|problems| problems.lines().collect())
    }

    const EC2: &str = "[[collectors.cloudwatch]]\nnamespace = 'AWS/EC2'\n";

    #[test]
    fn a_namespace_is_enough() {
        let job = &jobs(EC2).unwrap()[0];
        assert_eq!((job.name.as_str(), &*job.measurement), ("AWS/EC2", "cloudwatch_aws_ec2"));
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let expected = Schedule {
            period: minutes(5),
            interval: minutes(5),
            delay: minutes(2),
            window: minutes(15),
            max_age: minutes(10),
        };
        assert_eq!(job.schedule, expected);
        assert_eq!(job.places().count(), 1);
        assert!(job.has_resources());
        assert!(!jobs("[[collectors.cloudwatch]]\nnamespace = 'Shop'\n").unwrap()[0].has_resources());
    }

    #[test]
    fn a_longer_interval_has_a_longer_window() {
        let job = &jobs(&format!("{EC2}period = '1m'\ninterval = '20m'\nregions = ['a', 'b']\n")).unwrap()[0];
        assert_eq!(job.schedule.window, Duration::from_secs(22 * 60));
        let daily = &jobs(&format!("{EC2}period = '1d'\n")).unwrap()[0];
        assert_eq!(daily.schedule.window, Duration::from_secs(3 * 86_400));
        let Choice::Discovered(wanted) = &daily.choice else { panic!() };
        assert!(!wanted.recently_active, "three hours are less than the window");
        assert_eq!(job.places().count(), 2);
    }

    #[test]
    fn every_mistake_is_told_with_what_is_expected() {
        let text = "[[collectors.cloudwatch]]\nnamespace = 'Shop'\nperiod = '90s'\nstatistics = ['Mean', 'p99.9', 'TM(10%:90%)']\n\
            tags = { a = 'b' }\nnaming = 'node'\nmissing = 'none'\nendpoint_url = 'localhost'\n\
            [[collectors.cloudwatch.roles]]\nrole_arn = 'reader'\n[[collectors.cloudwatch]]\n";
        let lines = jobs(text).unwrap_err();
        let expected = [
            "collectors.cloudwatch[0].period: expected 1s, 5s, 10s, 30s or a multiple of a minute",
            "collectors.cloudwatch[0].statistics: expected Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99, found \"Mean\"",
            "collectors.cloudwatch[0].tags: there are no tags to go by: the resources of this namespace are not known by tag",
            "collectors.cloudwatch[0].naming: expected yace or cloudwatch_exporter, found \"node\"",
            "collectors.cloudwatch[0].missing: expected absent, nan or zero, found \"none\"",
            "collectors.cloudwatch[0].endpoint_url: expected an http or https URL",
            "collectors.cloudwatch[0].roles[0].role_arn: required: a role's ARN",
            "collectors.cloudwatch[1].namespace: required: what the metrics are in",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for expected in expected {
            assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let twice = jobs(&format!("{EC2}{EC2}")).unwrap_err();
        assert!(twice[0].contains("there is a job \"AWS/EC2\" already"), "{twice:?}");
        let text = format!("{EC2}metrics = 'CPU*'\ninterval = '7m'\n[[collectors.cloudwatch.static]]\n");
        let lines = jobs(&text).unwrap_err();
        assert!(lines.iter().any(|line| line.contains("metrics: does not go with static")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("static[0].metrics: required")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("expected a multiple of the period, which is 5m")), "{lines:?}");
    }
}
