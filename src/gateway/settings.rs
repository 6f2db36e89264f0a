//! `[gateway]`.

use std::path::PathBuf;
use std::time::Duration;

use super::groups::limits::Limits;
use super::job_rules::Rule;
use super::request::address::{ExternalUrl, Prefix};
use super::request::origin::{AllowedOrigin, OriginPolicy};
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::encode::parse;
use crate::gateway::replication;
use crate::gateway::replication::settings::GATEWAY_KEYS;
use crate::http::ListenAddress;
use crate::http::address::is_host_name;
use crate::nats::settings::Nats;

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The addresses to listen on; without any, there is no gateway.
    pub listen: Vec<ListenAddress>,
    /// The directory of the groups; memory only if absent.
    pub state: Option<PathBuf>,
    /// The prefix of all paths.
    pub prefix: Prefix,
    /// The URL that clients use, if it differs from the address.
    pub external_url: Option<String>,
    /// The checks of requests from browsers.
    pub origins: OriginPolicy,
    /// Whether a request may delete all groups.
    pub admin_api: bool,
    /// Whether a request may stop the process.
    pub lifecycle: bool,
    /// Bytes of a body, compressed and decompressed.
    pub max_body: usize,
    /// Bytes of memory of all bodies in flight, except for the smallest.
    pub max_bodies: usize,
    /// The limits of all groups.
    pub group_limits: Limits,
    /// Defaults for certain jobs.
    pub rules: Vec<Rule>,
    /// Whether pushes are forwarded to the push sinks.
    pub forward: bool,
    /// How long a series from points is retained after its last point.
    pub point_ttl: Duration,
    /// Number of series from points.
    pub max_point_series: usize,
    /// The limits of one push.
    pub push_limits: parse::Limits,
    /// The stream that it shares with other replicas; none if it is alone.
    pub replication: Option<replication::settings::Settings>,
}

const LISTEN: Key<Vec<ListenAddress>> = Key::new(
    "listen",
    "[]",
    "Addresses on which batch jobs push and Prometheus scrapes, such as \":9091\". An empty list disables the gateway.",
);
const STATE: Key<PathBuf> = Key::optional(
    "state",
    "Directory in which pushed groups are persisted. Without it, groups are lost when Taffrail stops.",
);
const EXTERNAL_URL: Key<ExternalUrl> = Key::optional(
    "external_url",
    "URL under which browsers reach the gateway through a proxy, such as \"https://example.org/pushgateway/\".",
);
const ROUTE_PREFIX: Key<Prefix> = Key::optional(
    "route_prefix",
    "Path prefix of all URLs, such as \"/pushgateway\"; by default the path of external_url. Use \"/\" if a proxy strips the prefix.",
);
const ALLOWED_ORIGINS: Key<Vec<AllowedOrigin>> = Key::new(
    "allowed_origins",
    "[]",
    "Origins whose pages may push and delete from a browser, such as \"https://grafana.example\". The gateway's own page always may.",
);
const ALLOWED_HOSTS: Key<Vec<String>> = Key::new(
    "allowed_hosts",
    "[]",
    "Host names under which the gateway accepts requests, such as \"gateway.example\"; any name if the list is empty. IP addresses and localhost are always accepted.",
);
const ADMIN_API: Key<bool> =
    Key::new("admin_api", "false", "Enables PUT /api/v1/admin/wipe, which deletes all groups.");
const LIFECYCLE: Key<bool> = Key::new("lifecycle", "false", "Enables PUT and POST /-/quit, which stop Taffrail.");
const FORWARD: Key<bool> =
    Key::new("forward", "true", "Forwards pushed metrics to the push sinks, as points with the time of the push.");
const MAX_BODY: Key<ByteSize> =
    Key::new("max_body", "\"16MiB\"", "Maximum size of a push, before and after decompression.");
const MAX_BODIES: Key<ByteSize> = Key::new(
    "max_bodies",
    "\"128MiB\"",
    "Maximum memory of all request bodies in flight, compressed and decompressed; at least twice max_body.",
);
const MAX_GROUP_BYTES: Key<ByteSize> = Key::new(
    "max_group_bytes",
    "\"64MiB\"",
    "Approximate maximum memory of a group, including names, help texts and index.",
);
const MAX_GROUP_SERIES: Key<usize> = Key::new("max_group_series", "200000", "Maximum number of metrics in a group.");
const MAX_GROUPS: Key<usize> = Key::new("max_groups", "100000", "Maximum number of groups.");
const MAX_TOTAL_BYTES: Key<ByteSize> =
    Key::new("max_total_bytes", "\"2GiB\"", "Approximate maximum memory of all groups and points.");
const MAX_SERIES: Key<usize> = Key::new("max_series", "100000", "Maximum number of series in a push.");
const MAX_TOTAL_SERIES: Key<usize> =
    Key::new("max_total_series", "5000000", "Maximum number of metrics in all groups.");
const MAX_LABELS: Key<usize> = Key::new("max_labels", "64", "Maximum number of labels of a series.");

const POINT_TTL: Key<Duration> =
    Key::new("point_ttl", "\"5m\"", "How long a series written as line protocol is kept after its last write.");
const MAX_POINT_SERIES: Key<usize> =
    Key::new("max_point_series", "1000000", "Maximum number of series written as line protocol.");

const OWN_KEYS: &[KeyInfo] = &[
    LISTEN.info(),
    STATE.info(),
    EXTERNAL_URL.info(),
    ROUTE_PREFIX.info(),
    ALLOWED_ORIGINS.info(),
    ALLOWED_HOSTS.info(),
    ADMIN_API.info(),
    LIFECYCLE.info(),
    FORWARD.info(),
    MAX_BODY.info(),
    MAX_BODIES.info(),
    MAX_SERIES.info(),
    MAX_LABELS.info(),
    MAX_GROUP_BYTES.info(),
    MAX_GROUP_SERIES.info(),
    MAX_GROUPS.info(),
    MAX_TOTAL_BYTES.info(),
    MAX_TOTAL_SERIES.info(),
    POINT_TTL.info(),
    MAX_POINT_SERIES.info(),
];
const ALL_KEYS: [KeyInfo; OWN_KEYS.len() + GATEWAY_KEYS.len()] = concat(&[OWN_KEYS, GATEWAY_KEYS]);

/// The settings of `[gateway]`.
pub const KEYS: &[KeyInfo] = &ALL_KEYS;

impl Settings {
    /// The settings in `section`, and those of `[nats]`.
    pub fn new(section: &mut Section<'_>, nats: Nats) -> Self {
        let external = section.optional(&EXTERNAL_URL);
        let prefix = section.optional(&ROUTE_PREFIX);
        let origins = origin_policy(section, external.as_ref());
        let external_url = external.as_ref().map(ToString::to_string);
        Settings {
            listen: section.get(&LISTEN),
            state: section.optional(&STATE),
            prefix: prefix.or(external.map(|external| external.prefix)).unwrap_or_default(),
            origins,
            external_url,
            admin_api: section.get(&ADMIN_API),
            lifecycle: section.get(&LIFECYCLE),
            max_body: section.get(&MAX_BODY).0,
            max_bodies: section.get(&MAX_BODIES).0,
            group_limits: Limits {
                group_bytes: section.get(&MAX_GROUP_BYTES).0,
                group_series: section.get(&MAX_GROUP_SERIES),
                groups: section.get(&MAX_GROUPS),
                bytes: section.get(&MAX_TOTAL_BYTES).0,
                series: section.get(&MAX_TOTAL_SERIES),
            },
            rules: Rule::all(section),
            forward: section.get(&FORWARD),
            point_ttl: section.above_zero(&POINT_TTL),
            max_point_series: section.get(&MAX_POINT_SERIES),
            push_limits: parse::Limits {
                series: section.get(&MAX_SERIES),
                labels: section.get(&MAX_LABELS),
                ..parse::Limits::default()
            },
            replication: replication::settings::Settings::new(section, nats),
        }
    }
}

fn origin_policy(section: &mut Section<'_>, external: Option<&ExternalUrl>) -> OriginPolicy {
    let mut allowed = section.get(&ALLOWED_ORIGINS);
    allowed.extend(external.map(|external| AllowedOrigin::One(external.origin.clone())));
    let mut hosts: Vec<String> = section.get(&ALLOWED_HOSTS).iter().map(|host| host.to_ascii_lowercase()).collect();
    for (index, invalid) in hosts.iter().enumerate().filter(|(_, host)| !is_host_name(host)) {
        let message = format!("expected the name of a host, without a port, found {invalid:?}");
        section.wrong_element("allowed_hosts", index, message);
    }
    if !hosts.is_empty() {
        hosts.extend(external.map(|external| external.origin.host().to_owned()));
    }
    OriginPolicy { allowed, hosts }
}
