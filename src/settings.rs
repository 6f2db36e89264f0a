//! The whole configuration, checked: what every room says of its own settings, put together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::collectors::settings::{self as collectors, Configured};
use crate::config::document::{Environment, Value};
use crate::config::{Document, Key, KeyInfo, Problems, Section};
use crate::host::{Host, Roots};
use crate::http;
use crate::sinks::influxdb;

/// The configuration that holds where none is given; the package installs it too.
pub const BUILT_IN: &str = include_str!("../conf/taffrail.toml");

/// A checked configuration.
pub struct Settings {
    /// `[agent]`.
    pub agent: Agent,
    /// `[host]`.
    pub host: Host,
    /// `[http]`.
    pub http: http::Settings,
    /// `[collectors]`: those that are on.
    pub collectors: Vec<Configured>,
    /// `[[sinks.influxdb]]`.
    pub influxdb: Vec<influxdb::Settings>,
    /// What `[host]` and `[collectors]` say, to know at a reload whether it has changed.
    pub measured: Measured,
}

/// What the command line says instead of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where to listen, unless empty.
    pub listen: Vec<SocketAddr>,
    /// The collectors that are on, and no others, unless empty.
    pub collectors: Vec<String>,
}

/// The part of the configuration that decides what is measured.
#[derive(Clone, Debug)]
pub struct Measured([Value; 2]);

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a.same(b))
    }
}

/// `[agent]` and `[tags]`: when to push, and what every point carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Time between readings for pushing.
    pub interval: Duration,
    /// Whether readings fall on multiples of the interval.
    pub round_interval: bool,
    /// Each reading is put off by a random time up to this.
    pub collection_jitter: Duration,
    /// Time between writes.
    pub flush_interval: Duration,
    /// Each write is put off by a random time up to this.
    pub flush_jitter: Duration,
    /// Points in a write, at the most.
    pub metric_batch_size: usize,
    /// The tags of every point, `host` among them.
    pub tags: BTreeMap<String, String>,
}

const INTERVAL: Key<Duration> = Key::new("interval", "\"10s\"", "Time between readings for pushing.");
const ROUND_INTERVAL: Key<bool> =
    Key::new("round_interval", "true", "Read at multiples of the interval: at :00, :10, :20 with \"10s\".");
const COLLECTION_JITTER: Key<Duration> = Key::new(
    "collection_jitter",
    "\"0s\"",
    "Put each reading off by a random time up to this, so that many hosts do not read at once.",
);
const FLUSH_INTERVAL: Key<Duration> =
    Key::new("flush_interval", "\"10s\"", "Time between writes; a full batch is written at once.");
const FLUSH_JITTER: Key<Duration> = Key::new(
    "flush_jitter",
    "\"0s\"",
    "Put each write off by a random time up to this, so that many hosts do not write at once.",
);
const METRIC_BATCH_SIZE: Key<usize> = Key::new("metric_batch_size", "1000", "Points in a write, at the most.");
const HOSTNAME: Key<String> =
    Key::new("hostname", "\"\"", "The tag `host` of every point; the host's own name if empty.");

const PROC: Key<PathBuf> = Key::new("proc", "\"/proc\"", "Where the host's procfs is mounted.");
const SYS: Key<PathBuf> = Key::new("sys", "\"/sys\"", "Where the host's sysfs is mounted.");
const ROOT: Key<PathBuf> =
    Key::new("root", "\"/\"", "Where the host's root file system is mounted; it is taken off mount points.");
const UDEV: Key<PathBuf> = Key::new("udev", "\"/run/udev/data\"", "Where the host's udev database is.");

/// The settings of `[agent]`.
pub const AGENT_KEYS: &[KeyInfo] = &[
    INTERVAL.info(),
    ROUND_INTERVAL.info(),
    COLLECTION_JITTER.info(),
    FLUSH_INTERVAL.info(),
    FLUSH_JITTER.info(),
    METRIC_BATCH_SIZE.info(),
    HOSTNAME.info(),
];

/// The settings of `[host]`.
pub const HOST_KEYS: &[KeyInfo] = &[PROC.info(), SYS.info(), ROOT.info(), UDEV.info()];

impl Settings {
    /// Reads and checks the files and directories at `paths`, or the built-in configuration if there are none.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load(paths: &[PathBuf], overrides: &Overrides, environment: Environment<'_>) -> Result<Settings, Problems> {
        let document = match paths {
            [] => Document::parse("the built-in configuration", BUILT_IN, environment)?,
            paths => Document::load(paths, environment)?,
        };
        Settings::check(&document, overrides)
    }

    /// Checks a document.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check(document: &Document, overrides: &Overrides) -> Result<Settings, Problems> {
        Section::check(document, |root| {
            let host = Host::live(roots(&mut root.table("host")));
            let tags = root.table("tags").strings();
            let agent = agent(&mut root.table("agent"), tags, &host);
            let mut sinks = root.table("sinks");
            let influxdb = influxdb::Settings::all(&mut sinks, &agent);
            Settings {
                http: http::Settings::new(&mut root.table("http"), &overrides.listen),
                collectors: collectors::configure(&host, &overrides.collectors, &mut root.table("collectors")),
                measured: Measured([document.table("host"), document.table("collectors")]),
                agent,
                host,
                influxdb,
            }
        })
    }
}

fn roots(section: &mut Section<'_>) -> Roots {
    Roots { proc: section.get(&PROC), sys: section.get(&SYS), root: section.get(&ROOT), udev: section.get(&UDEV) }
}

fn agent(section: &mut Section<'_>, mut tags: BTreeMap<String, String>, host: &Host) -> Agent {
    let hostname = section.get(&HOSTNAME);
    let hostname = if hostname.is_empty() { host.kernel.hostname() } else { hostname };
    tags.entry("host".to_owned()).or_insert(hostname);
    Agent {
        interval: section.above_zero(&INTERVAL),
        round_interval: section.get(&ROUND_INTERVAL),
        collection_jitter: section.get(&COLLECTION_JITTER),
        flush_interval: section.above_zero(&FLUSH_INTERVAL),
        flush_jitter: section.get(&FLUSH_JITTER),
        metric_batch_size: section.get(&METRIC_BATCH_SIZE),
        tags,
    }
}
