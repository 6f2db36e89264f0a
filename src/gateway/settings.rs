//! `[gateway]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{ExternalUrl, Prefix};
use super::limits::Limits;
use super::origin::{Allowed, Browsers};
use super::rules::Rule;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::parse;

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The addresses to listen on; none: there is no gateway.
    pub listen: Vec<SocketAddr>,
    /// Where groups are kept; nothing: in memory alone.
    pub state: Option<PathBuf>,
    /// Below which path everything is.
    pub prefix: Prefix,
    /// What is asked of requests that come from browsers.
    pub browsers: Browsers,
    /// Whether everything may be wiped at one go.
    pub admin_api: bool,
    /// Whether the process may be ended by a request.
    pub lifecycle: bool,
    /// Bytes of a push, packed or not.
    pub max_body: usize,
    /// Bounds of what is kept.
    pub kept: Limits,
    /// What holds for certain jobs.
    pub rules: Vec<Rule>,
    /// Whether pushes go on to the push sinks.
    pub forward: bool,
    /// How long a series stays that came as line protocol and does not come again.
    pub point_ttl: Duration,
    /// Series that came as line protocol.
    pub max_point_series: usize,
    /// Bounds of one push.
    pub limits: parse::Limits,
}

const LISTEN: Key<Vec<SocketAddr>> = Key::new(
    "listen",
    "[]",
    "The addresses on which batch jobs push and Prometheus pulls, such as \"0.0.0.0:9091\"; none: no gateway.",
);
const STATE: Key<PathBuf> =
    Key::optional("state", "The folder that keeps what was pushed; without it, groups are lost when Taffrail ends.");
const EXTERNAL_URL: Key<ExternalUrl> = Key::optional(
    "external_url",
    "The URL under which browsers reach the gateway, if that is a proxy's, such as \"https://example.org/pushgateway/\".",
);
const ROUTE_PREFIX: Key<Prefix> = Key::optional(
    "route_prefix",
    "The path below which everything is answered, such as \"/pushgateway\"; by default the path of external_url. \"/\" where a proxy takes the path away.",
);
const ALLOWED_ORIGINS: Key<Vec<Allowed>> = Key::new(
    "allowed_origins",
    "[]",
    "The origins whose pages may push and delete from a browser, such as \"https://grafana.example\"; the gateway's own always may.",
);
const ALLOWED_HOSTS: Key<Vec<String>> = Key::new(
    "allowed_hosts",
    "[]",
    "The names by which the gateway may be asked, such as \"gateway.example\"; by any, if there are none. Addresses and localhost always may.",
);
const ADMIN_API: Key<bool> = Key::new(
    "admin_api",
    "false",
    "Whether PUT /api/v1/admin/wipe deletes all groups; otherwise there is no such page.",
);
const LIFECYCLE: Key<bool> = Key::new("lifecycle", "false", "Whether PUT or POST /-/quit ends Taffrail.");
const FORWARD: Key<bool> =
    Key::new("forward", "true", "Whether what is pushed goes on to the push sinks, as points of the time of the push.");
const MAX_BODY: Key<ByteSize> =
    Key::new("max_body", "\"16MiB\"", "How long a push may be, before and after it is unpacked.");
const MAX_GROUP_BYTES: Key<ByteSize> = Key::new(
    "max_group_bytes",
    "\"64MiB\"",
    "How much memory a group may take, with its names, help texts and index, about.",
);
const MAX_GROUP_SERIES: Key<usize> = Key::new("max_group_series", "200000", "How many metrics a group may have.");
const MAX_GROUPS: Key<usize> = Key::new("max_groups", "100000", "How many groups there may be.");
const MAX_TOTAL_BYTES: Key<ByteSize> =
    Key::new("max_total_bytes", "\"2GiB\"", "How much memory all groups and points together may take, about.");
const MAX_SERIES: Key<usize> = Key::new("max_series", "100000", "How many series a push may have.");
const MAX_TOTAL_SERIES: Key<usize> =
    Key::new("max_total_series", "5000000", "How many metrics there may be in all groups together.");
const MAX_LABELS: Key<usize> = Key::new("max_labels", "64", "How many labels a series may have.");

const POINT_TTL: Key<Duration> = Key::new(
    "point_ttl",
    "\"5m\"",
    "How long a series stays that was written as line protocol and is not written again.",
);
const MAX_POINT_SERIES: Key<usize> =
    Key::new("max_point_series", "1000000", "How many series that were written as line protocol there may be.");

/// The settings of `[gateway]`.
pub const KEYS: &[KeyInfo] = &[
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

impl Settings {
    /// The settings in `section`.
    pub fn new(section: &mut Section<'_>) -> Self {
        let external = section.optional(&EXTERNAL_URL);
        let prefix = section.optional(&ROUTE_PREFIX);
        let browsers = browsers(section, external.as_ref());
        Settings {
            listen: section.get(&LISTEN),
            state: section.optional(&STATE),
            prefix: prefix.or(external.map(|external| external.prefix)).unwrap_or_default(),
            browsers,
            admin_api: section.get(&ADMIN_API),
            lifecycle: section.get(&LIFECYCLE),
            max_body: section.get(&MAX_BODY).0,
            kept: Limits {
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
            limits: parse::Limits {
                series: section.get(&MAX_SERIES),
                labels: section.get(&MAX_LABELS),
                ..parse::Limits::default()
            },
        }
    }
}

fn browsers(section: &mut Section<'_>, external: Option<&ExternalUrl>) -> Browsers {
    let mut allowed = section.get(&ALLOWED_ORIGINS);
    allowed.extend(external.map(|external| Allowed::One(external.origin.clone())));
    let mut hosts: Vec<String> = section.get(&ALLOWED_HOSTS).iter().map(|host| host.to_ascii_lowercase()).collect();
    if let Some(wrong) = hosts.iter().find(|host| !is_name(host)) {
        section.wrong("allowed_hosts", format!("expected names of hosts without ports, found {wrong:?}"));
    }
    if !hosts.is_empty() {
        hosts.extend(external.map(|external| external.origin.host().to_owned()));
    }
    Browsers { allowed, hosts }
}

/// Whether this can be the name of a host.
fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}
