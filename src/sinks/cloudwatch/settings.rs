//! `[[sinks.cloudwatch]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::{Account, Role, account};
use crate::config::{Globs, Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::sinks::schedule::Schedule;
use crate::sinks::settings::{KindInfo, Table};
use crate::sinks::{delivery, filter};

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace.
    pub namespace: String,
    /// The region; the SDK's default if not said.
    pub region: Option<String>,
    /// Who puts.
    pub account: Account,
    /// The metrics that are put, by measurement and field.
    pub metrics: Globs,
    /// Those of them that grow for ever, of which the growth is put.
    pub deltas: Globs,
    /// The tags that do not become dimensions.
    pub dimensions_exclude: Globs,
    /// Other names for some.
    pub names: BTreeMap<String, String>,
    /// What one datum is of.
    pub resolution: Duration,
}

const NAMESPACE: Key<String> = Key::new("namespace", "\"CWAgent\"", "The namespace that the metrics are put in.");
const REGION: Key<String> = Key::optional(
    "region",
    "The region; if absent, the one of the environment (AWS_REGION), the profile or the instance.",
);
const METRICS: Key<Globs> = Key::new(
    "metrics",
    "[\"cpu_usage_idle\", \"cpu_usage_iowait\", \"cpu_usage_system\", \"cpu_usage_user\", \"disk_inodes_free\", \"disk_used_percent\", \"diskio_io_time\", \"mem_used_percent\", \"swap_used_percent\"]",
    "The metrics that are put, by measurement and field, as glob patterns: amazon-cloudwatch-agent's names. Each with its dimensions costs about $0.30 a month.",
);
const DELTAS: Key<Globs> = Key::new(
    "deltas",
    "[\"diskio_*\", \"net_*\"]",
    "Those that grow for ever: what is put is their growth since the reading before.",
);
const DIMENSIONS_EXCLUDE: Key<Globs> = Key::new(
    "dimensions_exclude",
    "[\"mode\", \"label\"]",
    "The tags that do not become dimensions, as glob patterns; by default those that amazon-cloudwatch-agent does not have.",
);
const RESOLUTION: Key<Duration> = Key::new(
    "storage_resolution",
    "\"1m\"",
    "What one datum is of: \"1m\", into which all readings of a minute go, or \"1s\", which CloudWatch keeps for three hours.",
);

/// What documents this kind of sink.
pub const INFO: KindInfo = KindInfo {
    name: "cloudwatch",
    about: "Amazon CloudWatch, which chosen metrics of the host are put into as custom metrics.",
    keys: &concat::<KeyInfo, 26>(&[
        &[
            delivery::NAME.info(),
            NAMESPACE.info(),
            REGION.info(),
            METRICS.info(),
            DELTAS.info(),
            DIMENSIONS_EXCLUDE.info(),
            RESOLUTION.info(),
            account::PROFILE.info(),
            account::ENDPOINT_URL.info(),
            delivery::INTERVAL.info(),
            delivery::FLUSH_INTERVAL.info(),
            delivery::FLUSH_JITTER.info(),
            delivery::METRIC_BATCH_SIZE.info(),
            delivery::BUFFER_SIZE.info(),
            delivery::RETRY_MIN.info(),
            delivery::RETRY_MAX.info(),
            delivery::REFUSED_RETRY.info(),
        ],
        &filter::KEYS,
    ]),
    tables: &concat::<Table, 7>(&[
        &[
            ("tags", "Tags of every point that this sink sends, besides `[tags]`; they become dimensions too.", &[]),
            ("names", "Other names: a metric's measurement and field, with what it is called instead.", &[]),
            ("role", "A role to assume.", account::ROLE_KEYS),
        ],
        &filter::TABLES,
    ]),
};

/// What amazon-cloudwatch-agent waits between writes, and as many points as a minute has: each request costs.
pub fn usual_schedule(agent: &Schedule) -> Schedule {
    Schedule { flush_interval: Duration::from_secs(60), metric_batch_size: 10_000, ..agent.clone() }
}

impl Settings {
    /// The settings in `section`, and what a sink with them is called unless it has a name.
    pub(crate) fn new(section: &mut Section<'_>) -> (Settings, String) {
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
            region: section.optional(&REGION),
            account,
            metrics: section.get(&METRICS),
            deltas: section.get(&DELTAS),
            dimensions_exclude: section.get(&DIMENSIONS_EXCLUDE),
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
}
