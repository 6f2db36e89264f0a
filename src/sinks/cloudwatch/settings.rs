//! `[[sinks.cloudwatch]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::{Account, InstanceFact, Role, account};
use crate::config::{Globs, Key, KeyInfo, Section, TableInfo};
use crate::encode::infos::concat;
use crate::sinks::kind::{Kind, KindInfo};
use crate::sinks::schedule::Schedule;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace.
    pub namespace: String,
    /// The region; the SDK's default if none.
    pub region: Option<String>,
    /// The credentials.
    pub account: Account,
    /// The metrics that are put, by measurement and field.
    pub metrics: Globs,
    /// The counters among them, put as their increase.
    pub deltas: Globs,
    /// The tags that do not become dimensions.
    pub dimensions_exclude: Globs,
    /// What of the instance becomes dimensions of every metric.
    pub append_dimensions: Vec<InstanceFact>,
    /// Further sets of dimensions, by which each metric is put too.
    pub aggregation_dimensions: Vec<Vec<String>>,
    /// Other names, by measurement and field.
    pub names: BTreeMap<String, String>,
    /// The time that one datum covers.
    pub resolution: Duration,
}

const NAMESPACE: Key<String> = Key::new("namespace", "\"CWAgent\"", "Namespace for the metrics.");
const REGION: Key<String> = Key::optional(
    "region",
    "AWS region; if absent, that of the environment (AWS_REGION), the profile or the instance.",
);
const METRICS: Key<Globs> = Key::new(
    "metrics",
    "[\"cpu_usage_idle\", \"cpu_usage_iowait\", \"cpu_usage_system\", \"cpu_usage_user\", \"disk_inodes_free\", \"disk_used_percent\", \"diskio_io_time\", \"mem_used_percent\", \"swap_used_percent\"]",
    "Metrics to write, as MEASUREMENT_FIELD, with glob patterns; these are amazon-cloudwatch-agent's names. Each metric with its dimensions costs about $0.30 per month.",
);
const DELTAS: Key<Globs> = Key::new(
    "deltas",
    "[\"diskio_*\", \"net_*\"]",
    "Counters, as glob patterns: their increase since the previous reading is written.",
);
const DIMENSIONS_EXCLUDE: Key<Globs> = Key::new(
    "dimensions_exclude",
    "[\"mode\", \"label\"]",
    "Tags that do not become dimensions, as glob patterns; by default those that amazon-cloudwatch-agent does not have.",
);
const APPEND_DIMENSIONS: Key<Vec<String>> = Key::new(
    "append_dimensions",
    "[]",
    "Dimensions from the EC2 instance metadata: InstanceId, ImageId, InstanceType, AutoScalingGroupName. With any of them, `host` is not a dimension, as with amazon-cloudwatch-agent.",
);
const AGGREGATION_DIMENSIONS: Key<Vec<Vec<String>>> = Key::new(
    "aggregation_dimensions",
    "[]",
    "Additional sets of dimensions, such as [[\"AutoScalingGroupName\"], []]. Every metric that has the dimensions of a set is also written with those alone, and is billed again.",
);
const RESOLUTION: Key<Duration> = Key::new(
    "storage_resolution",
    "\"1m\"",
    "Resolution of a data point: \"1m\", which combines all readings of a minute, or \"1s\", which CloudWatch keeps for three hours.",
);

const KEYS: [KeyInfo; 13] = concat(&[
    &[
        NAMESPACE.info(),
        REGION.info(),
        METRICS.info(),
        DELTAS.info(),
        DIMENSIONS_EXCLUDE.info(),
        APPEND_DIMENSIONS.info(),
        AGGREGATION_DIMENSIONS.info(),
        RESOLUTION.info(),
    ],
    &account::KEYS,
]);

impl Kind for Settings {
    const INFO: KindInfo = KindInfo {
        name: "cloudwatch",
        about: "Writes selected metrics of the host to Amazon CloudWatch as custom metrics.",
        keys: &KEYS,
        tables: &[
            TableInfo::open("names", "Renames metrics: MEASUREMENT_FIELD, with the new name."),
            TableInfo { name: "role", about: "A role to assume.", keys: account::ROLE_KEYS },
        ],
        is_http: false,
    };

    fn new(section: &mut Section<'_>) -> (Settings, String) {
        let mut account = Account::new(section);
        let mut role = section.table("role");
        if role.keys().next().is_some() {
            account.role = Role::new(&mut role);
        }
        let resolution = section.get(&RESOLUTION);
        if ![1, 60].contains(&resolution.as_secs()) {
            section.wrong("storage_resolution", "expected \"1s\" or \"1m\": CloudWatch knows no other");
        }
        let settings = Settings {
            namespace: section.get(&NAMESPACE),
            region: region(section),
            account,
            metrics: section.get(&METRICS),
            deltas: section.get(&DELTAS),
            dimensions_exclude: section.get(&DIMENSIONS_EXCLUDE),
            append_dimensions: appended(section),
            aggregation_dimensions: aggregated(section),
            names: section.table("names").strings(),
            resolution,
        };
        if settings.namespace.starts_with("AWS/") {
            section.wrong("namespace", "expected a namespace of your own: those that begin with AWS/ are AWS's");
        }
        let region = settings.region.as_deref().unwrap_or("default");
        let name = format!("cloudwatch:{region}/{}", settings.namespace);
        (settings, name)
    }

    fn schedule(agent: &Schedule) -> Schedule {
        // As in amazon-cloudwatch-agent: each request costs money.
        Schedule { flush_interval: Duration::from_secs(60), metric_batch_size: 10_000, ..agent.clone() }
    }
}

fn appended(section: &mut Section<'_>) -> Vec<InstanceFact> {
    let names = section.some_of(&APPEND_DIMENSIONS, &InstanceFact::ALL.map(InstanceFact::name));
    let mut facts = Vec::new();
    for fact in names.iter().filter_map(|name| InstanceFact::ALL.into_iter().find(|fact| fact.name() == name)) {
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    facts
}

/// The sets, each sorted, without repetitions.
fn aggregated(section: &mut Section<'_>) -> Vec<Vec<String>> {
    let mut sets = section.get(&AGGREGATION_DIMENSIONS);
    for set in &mut sets {
        set.sort();
        set.dedup();
    }
    sets.sort();
    sets.dedup();
    sets
}

fn region(section: &mut Section<'_>) -> Option<String> {
    let region = section.optional(&REGION)?;
    if let Err(message) = account::check_region(&region) {
        section.wrong("region", message);
    }
    Some(region)
}
