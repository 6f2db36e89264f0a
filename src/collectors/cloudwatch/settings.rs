//! `[[collectors.cloudwatch]]`: the jobs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::id::Id;
use super::names::{self, Naming};
use super::resources::service_of;
use super::schedule;
use super::services;
use super::tags::WantedTags;
use super::terms::{self, Terms};
use crate::aws::{Account, Role, account};
use crate::config::{Globs, Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::manager::state_directory;
use crate::nats::settings::{LEASE_KEYS, lease};

/// One job: its metrics, accounts, schedule and names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    /// Its name in its self-metrics and in the log.
    pub(super) name: String,
    /// The namespace, such as `AWS/EC2`.
    pub(super) namespace: String,
    /// The measurement of its points.
    pub(super) measurement: Arc<str>,
    /// The regions; the default of the SDK if empty.
    pub(super) regions: Vec<String>,
    /// The accounts.
    pub(super) accounts: Vec<Account>,
    /// Whether these are monitoring accounts, whose linked accounts are included.
    pub(super) linked_accounts: bool,
    /// The metrics.
    pub(super) choice: Choice,
    /// Whether to request the account's alias.
    pub(super) account_alias: bool,
    /// The alarms whose states are shown, by name; none are requested if `None`.
    pub(super) alarms: Option<Globs>,
    /// How each is fetched.
    pub(super) terms: Arc<Terms>,
    /// The metrics that are fetched differently; the first that matches applies.
    pub(super) overrides: Vec<(Globs, Arc<Terms>)>,
    /// Naming.
    pub(super) labels: Labels,
    /// The spending limit.
    pub(super) budget: Budget,
    /// How far back to fetch what an outage or a stop missed.
    pub(super) catch_up: Duration,
    /// The folder that persists how far data have been fetched; `None`: a stop is not caught up on.
    pub(super) state: Option<PathBuf>,
    /// The lease that it needs.
    pub(super) lease: Option<String>,
}

/// The metrics of a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// Listed by CloudWatch, and filtered.
    Discovered(Discovered),
    /// Given by name and dimensions. No listing is needed.
    Static(Vec<Id>),
}

/// A filter on listed metrics.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Discovered {
    /// Their names.
    pub(super) metrics: Globs,
    /// The exact dimension names, and patterns for their values; any dimensions, if empty.
    pub(super) dimensions: BTreeMap<String, Globs>,
    /// Required tags of the resource.
    pub(super) tags: WantedTags,
    /// Whether to list only metrics with data in the last three hours.
    pub(super) recently_active: bool,
    /// The interval of discovery.
    pub(super) interval: Duration,
    /// Maximum number of metrics.
    pub(super) limit: usize,
    /// Whether to query for resources: the tagging API, if it lists any of the namespace.
    pub(super) resource_tags: bool,
    /// Whether to query the service's own API for them too.
    pub(super) service_apis: bool,
}

/// How a metric is exposed to Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Labels {
    /// Whose names to use.
    pub(super) naming: Naming,
    /// Whether to convert dimensions and tags to snake case.
    pub(super) snake_case: bool,
    /// Resource tags that become labels of metrics.
    pub(super) tags: Vec<String>,
    /// Labels of all series.
    pub(super) custom: BTreeMap<String, String>,
    /// Whether samples carry timestamps.
    pub(super) timestamps: bool,
    /// Which labels say whose metrics they are.
    pub(super) context: Context,
    /// Whether points have the tag `account`.
    pub(super) account_tag: bool,
}

/// Labels that tell regions and accounts apart. cloudwatch_exporter has none, as each process reads one region of one
/// account: its names get them only where they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// `region`.
    pub(super) region: bool,
    /// `account_id`.
    pub(super) account: bool,
}

const NAME: Key<String> =
    Key::optional("name", "Name of the job in its self-metrics and the log; the namespace if absent.");
const NAMESPACE: Key<String> = Key::optional("namespace", "Namespace, such as \"AWS/EC2\" or a custom one.");
const REGIONS: Key<Vec<String>> = Key::new(
    "regions",
    "[]",
    "AWS regions; if empty, that of the environment (AWS_REGION), the profile or the instance.",
);
const METRICS: Key<Globs> = Key::new("metrics", "[\"*\"]", "Metric names, as glob patterns.");
const RECENTLY_ACTIVE: Key<bool> = Key::new(
    "recently_active",
    "true",
    "Lists only metrics that had data in the last three hours. Has no effect if the window is longer.",
);
const DISCOVERY_INTERVAL: Key<Duration> =
    Key::new("discovery_interval", "\"15m\"", "Interval of listing metrics and resources with their tags.");
const LIMIT: Key<usize> = Key::new(
    "limit",
    "50000",
    "Maximum number of metrics requested per account and region. More are reported in the log.",
);
const RESOURCE_TAGS: Key<bool> = Key::new(
    "resource_tags",
    "true",
    "Queries the tagging API for the resources of the namespace: their ARN is the label `name`, their tags are in `aws_*_info`.",
);
const SERVICE_APIS: Key<bool> = Key::new(
    "service_apis",
    "false",
    "Also queries services whose resources the tagging API does not cover: API Gateway, Auto Scaling, DMS, Spot fleets, Managed Prometheus, Shield, Storage Gateway and transit gateways. Needs an IAM action for each.",
);
const TAGS_ON_METRICS: Key<Vec<String>> =
    Key::new("tags_on_metrics", "[]", "Resource tags that are also labels of the metrics, such as [\"Name\"].");
const ACCOUNT_ALIAS: Key<bool> = Key::new(
    "account_alias",
    "false",
    "Adds the account's alias as label and tag `account_alias`. Needs iam:ListAccountAliases.",
);
const ALARMS: Key<Globs> = Key::optional(
    "alarms",
    "Names of alarms whose states are exposed, as glob patterns; all alarms of the account and region, in any namespace. Needs cloudwatch:DescribeAlarms.",
);
const NAMING: Key<String> = Key::new(
    "naming",
    "\"yace\"",
    "Naming of metrics and labels for Prometheus: \"yace\" (yet-another-cloudwatch-exporter) or \"cloudwatch_exporter\".",
);
const SNAKE_CASE_LABELS: Key<bool> = Key::new(
    "snake_case_labels",
    "false",
    "Converts labels of dimensions and tags to snake case, as yet-another-cloudwatch-exporter's -labels-snake-case does.",
);
const TIMESTAMPS: Key<bool> = Key::new(
    "timestamps",
    "false",
    "Adds the time of the data point to samples for Prometheus. Instant queries then return nothing for data older than five minutes.",
);
const LINKED_ACCOUNTS: Key<bool> =
    Key::new("linked_accounts", "false", "Also imports metrics of linked accounts, from a monitoring account.");

const CATCH_UP: Key<Duration> = Key::new(
    "catch_up",
    "\"1d\"",
    "How far back data missed during an outage or a stop is requested, for sinks; \"0s\" turns this off. CloudWatch keeps one-minute data for 15 days.",
);
const STATE: Key<PathBuf> = Key::optional(
    "state",
    "Directory that records up to what time data was requested, to catch up after a stop; `cloudwatch` in the service's state directory if absent.",
);

/// The settings of `[[collectors.cloudwatch]]`.
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + LEASE_KEYS.len() + account::KEYS.len()] =
    concat(&[OWN_KEYS, LEASE_KEYS, &account::KEYS]);
const OWN_KEYS: &[KeyInfo] = &[
    NAME.info(),
    NAMESPACE.info(),
    REGIONS.info(),
    METRICS.info(),
    terms::STATISTICS.info(),
    schedule::PERIOD.info(),
    schedule::INTERVAL.info(),
    schedule::DELAY.info(),
    schedule::WINDOW.info(),
    schedule::MAX_AGE.info(),
    terms::MISSING.info(),
    RECENTLY_ACTIVE.info(),
    DISCOVERY_INTERVAL.info(),
    LIMIT.info(),
    RESOURCE_TAGS.info(),
    SERVICE_APIS.info(),
    TAGS_ON_METRICS.info(),
    ACCOUNT_ALIAS.info(),
    ALARMS.info(),
    NAMING.info(),
    SNAKE_CASE_LABELS.info(),
    TIMESTAMPS.info(),
    terms::ALL_DATA_POINTS.info(),
    LINKED_ACCOUNTS.info(),
    CATCH_UP.info(),
    STATE.info(),
];

const STATIC_METRICS: Key<Vec<String>> = Key::optional("metrics", "Metric names.");
/// The settings of `[[collectors.cloudwatch.static]]`.
pub(super) const STATIC_KEYS: &[KeyInfo] = &[STATIC_METRICS.info()];

/// How long CloudWatch considers a metric recently active.
pub(super) const RECENT: Duration = Duration::from_secs(3 * 3600);

impl Job {
    /// The jobs in `[collectors]`.
    pub(super) fn all(collectors: &mut Section<'_>) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for mut section in collectors.tables("cloudwatch") {
            let job = Job::new(&mut section);
            let key = if section.has(&NAME) { "name" } else { "namespace" };
            if let Some(index) = jobs.iter().position(|other| other.name == job.name) {
                let name = &job.name;
                let message =
                    format!("there is a job {name:?} already, cloudwatch[{index}]; give each a name of its own");
                section.wrong(key, message);
            } else if let Some(index) = job.twin_in(&jobs) {
                section.wrong(key, format!("the same job as cloudwatch[{index}] but for its name; {TWICE}"));
            }
            jobs.push(job);
        }
        let is_bare = |job: &Job| job.labels.naming == Naming::CloudwatchExporter;
        let mut by_measurement: BTreeMap<&str, Vec<&Job>> = BTreeMap::new();
        jobs.iter().for_each(|job| by_measurement.entry(&job.measurement).or_default().push(job));
        let told_apart = |same: &Vec<&Job>| {
            let bare: Vec<&Job> = same.iter().copied().filter(|job| is_bare(job)).collect();
            (Context::of(&bare), Context::of(same).account)
        };
        let told_apart: BTreeMap<&str, _> = by_measurement.iter().map(|(of, same)| (*of, told_apart(same))).collect();
        let context = |job: &Job| {
            let (bare, account_tag) = told_apart[&*job.measurement];
            (if is_bare(job) { bare } else { job.labels.context }, account_tag)
        };
        let contexts: Vec<(Context, bool)> = jobs.iter().map(context).collect();
        for (job, context) in jobs.iter_mut().zip(contexts) {
            (job.labels.context, job.labels.account_tag) = context;
        }
        jobs
    }

    /// The index of a job that differs only in its name.
    fn twin_in(&self, jobs: &[Job]) -> Option<usize> {
        let mut renamed = self.clone();
        jobs.iter().position(|other| {
            renamed.name.clone_from(&other.name);
            renamed == *other
        })
    }

    fn new(section: &mut Section<'_>) -> Job {
        let namespace = section.optional(&NAMESPACE).unwrap_or_default();
        if namespace.is_empty() {
            section.wrong("namespace", "required: what the metrics are in, such as \"AWS/EC2\"");
        }
        let (terms, overrides) = terms::all(section);
        let labels = Labels::new(section);
        let window = overrides.iter().map(|(_, terms)| terms.schedule.window).fold(terms.schedule.window, Ord::max);
        Job {
            name: section.optional(&NAME).unwrap_or_else(|| namespace.clone()),
            regions: regions(section),
            accounts: accounts(section),
            linked_accounts: section.get(&LINKED_ACCOUNTS),
            account_alias: section.get(&ACCOUNT_ALIAS),
            alarms: section.optional(&ALARMS),
            choice: Choice::new(section, &namespace, &labels, window),
            budget: Budget::new(&mut section.table("budget")),
            measurement: names::measurement(&namespace).into(),
            catch_up: section.get(&CATCH_UP),
            state: section.optional(&STATE).or_else(|| Some(state_directory()?.join("cloudwatch"))),
            lease: lease(section),
            namespace,
            terms,
            overrides,
            labels,
        }
    }
}

impl Job {
    /// The targets: each account in each region.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&Account, Option<&str>)> {
        let regions: Vec<Option<&str>> = match self.regions.is_empty() {
            true => vec![None],
            false => self.regions.iter().map(|region| Some(region.as_str())).collect(),
        };
        self.accounts.iter().flat_map(move |account| regions.clone().into_iter().map(move |region| (account, region)))
    }

    /// One line about the job.
    pub(super) fn summary(&self) -> String {
        let regions = if self.regions.is_empty() { "the default region".to_owned() } else { self.regions.join(", ") };
        let every = humantime::format_duration(self.terms.schedule.interval);
        let statistics = self.terms.statistics.join(", ");
        format!("{}: {statistics} of {} in {regions}, every {every}", self.name, self.namespace)
    }

    /// How the metrics of this name are fetched.
    pub(super) fn terms_of(&self, name: &str) -> &Arc<Terms> {
        let own = self.overrides.iter().find(|(metrics, _)| metrics.matches(name));
        own.map_or(&self.terms, |(_, terms)| terms)
    }

    /// How the metrics are fetched: all ways.
    pub(super) fn all_terms(&self) -> impl Iterator<Item = &Terms> {
        self.overrides.iter().map(|(_, terms)| &**terms).chain([&*self.terms])
    }

    /// Whether its metrics can belong to resources.
    pub(super) fn has_resources(&self) -> bool {
        matches!(&self.choice, Choice::Discovered(wanted) if wanted.resource_tags)
    }

    /// The interval of discovery; `None` if the metrics are given.
    pub(super) fn discovery_interval(&self) -> Option<Duration> {
        match &self.choice {
            Choice::Discovered(wanted) => Some(wanted.interval),
            Choice::Static(_) => None,
        }
    }
}

impl Context {
    /// What tells the targets of `jobs` apart.
    fn of(jobs: &[&Job]) -> Context {
        let targets: Vec<_> = jobs.iter().flat_map(|job| job.targets()).collect();
        let differ = |is_other: &dyn Fn(usize) -> bool| (1..targets.len()).any(is_other);
        Context {
            region: differ(&|index| targets[index].1 != targets[0].1),
            account: differ(&|index| targets[index].0 != targets[0].0) || jobs.iter().any(|job| job.linked_accounts),
        }
    }
}

impl Choice {
    fn new(section: &mut Section<'_>, namespace: &str, labels: &Labels, window: Duration) -> Choice {
        let given = section.tables("static");
        let interval = section.above_zero(&DISCOVERY_INTERVAL);
        let service_apis = section.get(&SERVICE_APIS);
        if service_apis && services::service_of(namespace).is_none() {
            let namespaces: Vec<_> = services::namespaces().collect();
            section.wrong(
                "service_apis",
                format!("no API is known for this namespace, but for {}", namespaces.join(", ")),
            );
        }
        let is_known = service_of(namespace).is_some_and(|service| service.is_tagged() || service_apis);
        let discovered = Discovered {
            metrics: section.get(&METRICS),
            dimensions: section.table("dimensions").entries(),
            tags: WantedTags::new(section),
            recently_active: section.get(&RECENTLY_ACTIVE) && window <= RECENT,
            interval,
            limit: section.get(&LIMIT),
            resource_tags: section.get(&RESOURCE_TAGS) && is_known,
            service_apis,
        };
        let tags_on_metrics = (!labels.tags.is_empty()).then_some("tags_on_metrics");
        for key in discovered.tags.given().chain(tags_on_metrics).filter(|_| !discovered.resource_tags) {
            let why = if is_known {
                "resource_tags is false"
            } else if services::service_of(namespace).is_some() {
                "the resources of this namespace are known with service_apis = true alone"
            } else {
                "the resources of this namespace are not known by tag"
            };
            section.wrong(key, format!("there are no tags to go by: {why}"));
        }
        if service_apis && is_known && !discovered.resource_tags {
            section.wrong("service_apis", "does not go with resource_tags = false");
        }
        if given.is_empty() {
            return Choice::Discovered(discovered);
        }
        for (key, is_there) in [
            ("metrics", section.has(&METRICS)),
            ("dimensions", !discovered.dimensions.is_empty()),
            ("service_apis", service_apis),
        ]
        .into_iter()
        .chain(discovered.tags.given().map(|key| (key, true)))
        {
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
    const NO_PATTERNS: &str = "static takes no patterns: name it, or leave out static and choose with";
    for (index, name) in metrics.iter().enumerate().filter(|(_, name)| name.contains(['*', '?'])) {
        section.wrong_element("metrics", index, format!("{NO_PATTERNS} metrics, found {name:?}"));
    }
    if let Some((name, value)) = dimensions.iter().find(|(_, value)| value.contains('*')) {
        section.wrong("dimensions", format!("{NO_PATTERNS} dimensions, found {name} = {value:?}"));
    }
    metrics.into_iter().map(|name| Id { name, dimensions: dimensions.clone(), owner: None }).collect()
}

fn accounts(section: &mut Section<'_>) -> Vec<Account> {
    let plain = Account::new(section);
    let mut roles = section.tables("roles");
    if roles.is_empty() {
        return vec![plain];
    }
    let mut accounts: Vec<Account> = Vec::new();
    for (index, each) in roles.iter_mut().enumerate() {
        let Some(role) = Role::new(each) else { continue };
        let earlier = |is_same: &dyn Fn(&Role) -> bool| {
            accounts.iter().position(|account| account.role.as_ref().is_some_and(is_same))
        };
        if earlier(&|other| other.arn == role.arn).is_some() {
            let message = format!("roles[{index}] has the role of an earlier one, {:?}; {TWICE}", role.arn);
            each.wrong("role_arn", message);
        } else if let Some(account) = role.account_id()
            && let Some(other) = earlier(&|other| other.account_id() == Some(account))
        {
            each.wrong("role_arn", format!("roles[{index}] is of the account of roles[{other}], {account:?}; {TWICE}"));
        }
        accounts.push(Account { role: Some(role), ..plain.clone() });
    }
    accounts
}

const TWICE: &str = "its metrics would be asked for, and billed, once more";

fn regions(section: &mut Section<'_>) -> Vec<String> {
    let regions = section.get(&REGIONS);
    for (index, region) in regions.iter().enumerate() {
        if let Err(message) = account::check_region(region) {
            section.wrong_element("regions", index, message);
        } else if let Some(earlier) = regions[..index].iter().position(|other| other == region) {
            let message = format!("regions[{earlier}] and regions[{index}] are {region:?}; {TWICE}");
            section.wrong_element("regions", index, message);
        }
    }
    regions
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
            context: Context { region: true, account: true },
            account_tag: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::schedule::Schedule;
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
        assert_eq!(job.terms.schedule, expected);
        assert_eq!(job.targets().count(), 1);
        assert!(job.has_resources());
        assert!(!jobs("[[collectors.cloudwatch]]\nnamespace = 'Shop'\n").unwrap()[0].has_resources());
    }

    #[test]
    fn a_longer_interval_has_a_longer_window() {
        let job = &jobs(&format!("{EC2}period = '1m'\ninterval = '20m'\nregions = ['a', 'b']\n")).unwrap()[0];
        assert_eq!(job.terms.schedule.window, Duration::from_secs(22 * 60));
        let daily = &jobs(&format!("{EC2}period = '1d'\n")).unwrap()[0];
        assert_eq!(daily.terms.schedule.window, Duration::from_secs(3 * 86_400));
        let Choice::Discovered(wanted) = &daily.choice else { panic!() };
        assert!(!wanted.recently_active, "three hours are less than the window");
        assert_eq!(job.targets().count(), 2);
    }

    #[test]
    fn metrics_can_differ_in_statistics_period_and_missing() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let text = format!(
            "{EC2}interval = '10m'\nstatistics = ['Average']\nmissing = 'nan'\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = ['CPU*']\nstatistics = ['Maximum', 'p99']\nperiod = '1m'\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = 'CPUCredit*'\nmissing = 'zero'\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = 'Disk*'\nmissing = 'zero'\nperiod = '6h'\n"
        );
        let job = &jobs(&text).unwrap()[0];
        let other = job.terms_of("NetworkIn");
        assert_eq!((other.statistics.join(" "), other.schedule.period), ("Average".to_owned(), minutes(5)));
        let cpu = job.terms_of("CPUCreditBalance");
        assert_eq!((cpu.statistics.join(" "), cpu.missing), ("Maximum p99".to_owned(), terms::Missing::NaN));
        let expected = Schedule {
            period: minutes(1),
            interval: minutes(10),
            delay: minutes(2),
            window: minutes(15),
            max_age: minutes(2),
        };
        assert_eq!(cpu.schedule, expected);
        let disk = job.terms_of("DiskReadOps");
        assert_eq!((disk.schedule.interval, disk.schedule.window), (minutes(60), minutes(3 * 360)));
        assert_eq!((disk.statistics.join(" "), disk.missing), ("Average".to_owned(), terms::Missing::Zero));
        let Choice::Discovered(wanted) = &job.choice else { panic!() };
        assert!(!wanted.recently_active, "three hours are less than the longest window");

        let text =
            format!("{EC2}[[collectors.cloudwatch.overrides]]\nperiod = '90s'\nstatistics = ['Mean']\nmissing = 'x'\n");
        let lines = jobs(&text).unwrap_err();
        for key in
            ["metrics: required", "period: expected 1s", "statistics[0]: expected Average", "missing: expected absent"]
        {
            assert!(lines.iter().any(|line| line.contains(&format!("overrides[0].{key}"))), "{key}: {lines:#?}");
        }
    }

    #[test]
    fn services_are_asked_where_they_know_more_than_the_tagging_api() {
        let of = |namespace: &str, more: &str| {
            jobs(&format!("[[collectors.cloudwatch]]\nnamespace = '{namespace}'\n{more}"))
        };
        let on = "service_apis = true\n";
        assert!(!of("AWS/AutoScaling", "").unwrap()[0].has_resources());
        assert!(of("AWS/AutoScaling", &format!("{on}tags = {{ a = 'b' }}")).unwrap()[0].has_resources());
        let refused = |namespace: &str, more: &str, expected: &str| {
            let lines = of(namespace, more).unwrap_err();
            assert!(lines.len() == 1 && lines[0].contains(expected), "{expected}: {lines:#?}");
        };
        refused(
            "AWS/EC2",
            on,
            "service_apis: no API is known for this namespace, but for AWS/ApiGateway, AWS/AutoScaling,",
        );
        refused(
            "AWS/DMS",
            &format!("{on}resource_tags = false"),
            "service_apis: does not go with resource_tags = false",
        );
        refused("AWS/EC2Spot", "tags = { a = 'b' }", "of this namespace are known with service_apis = true alone");
        let fixed = "[[collectors.cloudwatch.static]]\nmetrics = ['a']";
        refused("AWS/DMS", &format!("{on}{fixed}"), "service_apis: does not go with static");
        for namespace in services::namespaces() {
            assert!(service_of(namespace).is_some(), "{namespace}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_what_is_expected() {
        let text = "[[collectors.cloudwatch]]\nnamespace = 'Shop'\nperiod = '90s'\nstatistics = ['Mean', 'p99.9', 'TM(10%:90%)']\n\
            tags = { a = 'b' }\nnaming = 'node'\nmissing = 'none'\nendpoint_url = 'localhost'\n\
            [[collectors.cloudwatch.roles]]\nrole_arn = 'reader'\n[[collectors.cloudwatch]]\n";
        let lines = jobs(text).unwrap_err();
        let expected = [
            "collectors.cloudwatch[0].period: expected 1s, 5s, 10s, 30s or a multiple of a minute",
            "collectors.cloudwatch[0].statistics[0]: expected Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99, found \"Mean\"",
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
    fn what_would_be_billed_twice_is_told() {
        let text = format!(
            "{EC2}regions = ['eu-west-1', 'us-east-1', 'eu-west-1', 'eu west/1', '']\nstatistics = ['Sum', 'Sum']\n\
             [[collectors.cloudwatch.roles]]\nrole_arn = 'arn:aws:iam::111122223333:role/a'\n\
             [[collectors.cloudwatch.roles]]\nrole_arn = 'arn:aws:iam::111122223333:role/a'\nsession_name = 'b'\n\
             [[collectors.cloudwatch.roles]]\nrole_arn = 'arn:aws:iam::111122223333:role/b'\n"
        );
        let lines = jobs(&text).unwrap_err();
        for expected in [
            "regions[2]: regions[0] and regions[2] are \"eu-west-1\"; its metrics would be asked for, and billed, once more",
            "regions[3]: expected a region such as \"eu-west-1\", found \"eu west/1\"",
            "regions[4]: expected a region such as \"eu-west-1\", found \"\"",
            "statistics[1]: \"Sum\" is given twice",
            "roles[1].role_arn: roles[1] has the role of an earlier one, \"arn:aws:iam::111122223333:role/a\"",
            "roles[2].role_arn: roles[2] is of the account of roles[0], \"111122223333\"",
        ] {
            assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
        }
        assert_eq!(lines.len(), 6, "{lines:#?}");
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let text = format!(
            "{EC2}profile = 'a'\naccess_key = 'AKIATEST'\nsecret_key = 's'\n\
             [[collectors.cloudwatch.static]]\nmetrics = ['CPU*', 'NetworkIn']\ndimensions = {{ InstanceId = '*' }}\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = []\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = ['NetworkIn', 'DiskReadOps']\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = 'DiskReadOps'\n"
        );
        let lines = jobs(&text).unwrap_err();
        for expected in [
            "profile: does not go with access_key",
            "static[0].metrics[0]: static takes no patterns",
            "static[0].dimensions: static takes no patterns",
            "overrides[0].metrics: required",
            "overrides[2].metrics: never reached",
        ] {
            assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
        }
        assert_eq!(lines.len(), 5, "{lines:#?}");
        let expression = jobs(&format!("{EC2}search_tags = {{ Name = '(web' }}\n")).unwrap_err();
        assert!(expression[0].contains("unclosed group"), "{expression:?}");
    }

    #[test]
    fn jobs_of_two_accounts_have_them_as_tag() {
        let role = |account: &str| {
            format!(
                "{EC2}name = '{account}'\n[[collectors.cloudwatch.roles]]\nrole_arn = 'arn:aws:iam::{account}:role/a'\n"
            )
        };
        let tags = |text: &str| jobs(text).unwrap().iter().map(|job| job.labels.account_tag).collect::<Vec<_>>();
        let other = "[[collectors.cloudwatch]]\nnamespace = 'AWS/SQS'\n";
        assert_eq!(tags(&format!("{}{}{other}", role("111122223333"), role("444455556666"))), [true, true, false]);
        assert_eq!(tags(&format!("{}{other}", role("111122223333"))), [false, false]);
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let twice = jobs(&format!("{EC2}{EC2}")).unwrap_err();
        assert!(twice[0].contains("there is a job \"AWS/EC2\" already, cloudwatch[0];"), "{twice:?}");
        let twice = jobs(&format!("{EC2}{EC2}name = 'b'\n")).unwrap_err();
        let expected = "cloudwatch[1].name: the same job as cloudwatch[0] but for its name; its metrics would be";
        assert!(twice[0].contains(expected), "{twice:?}");
        assert!(jobs(&format!("{EC2}{EC2}name = 'b'\nstatistics = ['Sum']\n")).is_ok());
        let text = format!("{EC2}metrics = 'CPU*'\ninterval = '7m'\n[[collectors.cloudwatch.static]]\n");
        let lines = jobs(&text).unwrap_err();
        assert!(lines.iter().any(|line| line.contains("metrics: does not go with static")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("static[0].metrics: required")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("expected a multiple of the period, which is 5m")), "{lines:?}");
    }
}
