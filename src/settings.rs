//! The whole configuration, checked: what every room says of its own settings, put together.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::collectors::settings::{self as collectors, Configured};
use crate::config::Environment;
use crate::config::document::Value;
use crate::config::{Document, Key, KeyInfo, Problems, Section, Setting};
use crate::gateway;
use crate::host::{Host, Roots};
use crate::http;
use crate::sinks::schedule::Schedule;
use crate::{sinks, spool};

/// The configuration that holds where none is given; the package installs it too.
pub const BUILT_IN: &str = include_str!("../conf/taffrail.toml");

/// A checked configuration.
pub struct Settings {
    /// `[agent]` and `[tags]`.
    pub schedule: Schedule,
    /// `[host]`.
    pub host: Host,
    /// `[http]`.
    pub http: http::Settings,
    /// `[collectors]`: those that are on.
    pub collectors: Vec<Configured>,
    /// `[sinks]`.
    pub sinks: Vec<sinks::settings::Settings>,
    /// `[gateway]`; it is only one if it listens.
    pub gateway: gateway::settings::Settings,
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
    /// Whether there is a gateway and nothing else; then `listen` is where it listens.
    pub only_gateway: bool,
    /// Where the gateway listens, unless empty.
    pub gateway_listen: Vec<SocketAddr>,
    /// Where the gateway keeps its groups.
    pub gateway_state: Option<PathBuf>,
    /// Where the service manager lets the process keep what it needs.
    pub state_directory: Option<PathBuf>,
}

/// The part of the configuration that decides what is measured.
#[derive(Clone, Debug)]
pub struct Measured([Value; 2]);

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a.same(b))
    }
}

const PROC: Key<PathBuf> = Key::new("proc", "\"/proc\"", "Where the host's procfs is mounted.");
const SYS: Key<PathBuf> = Key::new("sys", "\"/sys\"", "Where the host's sysfs is mounted.");
const ROOT: Key<PathBuf> =
    Key::new("root", "\"/\"", "Where the host's root file system is mounted; it is taken off mount points.");
const UDEV: Key<PathBuf> = Key::new("udev", "\"/run/udev/data\"", "Where the host's udev database is.");

const BACKEND: Key<Backend> = Key::new(
    "backend",
    if cfg!(target_os = "linux") { "\"linux\"" } else { "\"portable\"" },
    "Who tells of the host: its files and its kernel, linux, or the crate sysinfo, portable, which tells less, on every system.",
);

/// Who tells of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Linux,
    Portable,
}

impl Setting for Backend {
    const EXPECTED: &'static str = if cfg!(target_os = "linux") { "linux or portable" } else { "portable" };
    const EXPECTED_LIST: &'static str = "a list of backends";

    fn from_value(value: &Value) -> Result<Self, String> {
        match String::from_value(value)?.as_str() {
            "linux" if cfg!(target_os = "linux") => Ok(Backend::Linux),
            "portable" => Ok(Backend::Portable),
            other => Err(format!("{other:?}")),
        }
    }
}

/// The settings of `[host]`.
pub const HOST_KEYS: &[KeyInfo] = &[BACKEND.info(), PROC.info(), SYS.info(), ROOT.info(), UDEV.info()];

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

    /// The same for those who read it once: the files at `paths` may be pipes.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load_once(
        paths: &[PathBuf],
        overrides: &Overrides,
        environment: Environment<'_>,
    ) -> Result<Settings, Problems> {
        match paths {
            [] => Settings::load(paths, overrides, environment),
            paths => Settings::check(&Document::load_once(paths, environment)?, overrides),
        }
    }

    /// Checks a document.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check(document: &Document, overrides: &Overrides) -> Result<Settings, Problems> {
        Section::check(document, |root| {
            let host = host(&mut root.table("host"));
            let tags = root.table("tags").strings();
            let spool = spool::Settings::new(&mut root.table("spool"), overrides.state_directory.as_deref());
            let schedule = Schedule::new(&mut root.table("agent"), tags, spool, &host);
            let sinks = sinks::settings::Settings::all(&mut root.table("sinks"), &schedule);
            let mut gateway = gateway::settings::Settings::new(&mut root.table("gateway"));
            if let Some(state) = &overrides.gateway_state {
                gateway.state = Some(state.clone());
            }
            if !overrides.gateway_listen.is_empty() {
                gateway.listen.clone_from(&overrides.gateway_listen);
            }
            let listen = if overrides.only_gateway { &[][..] } else { &overrides.listen };
            let mut settings = Settings {
                gateway,
                http: http::Settings::new(&mut root.table("http"), listen),
                collectors: collectors::configure(&host, &overrides.collectors, &mut root.table("collectors")),
                measured: Measured([document.table("host"), document.table("collectors")]),
                schedule,
                host,
                sinks,
            };
            if overrides.only_gateway {
                settings.leave_only_the_gateway(&overrides.listen);
            }
            settings
        })
    }
}

impl Settings {
    fn leave_only_the_gateway(&mut self, listen: &[SocketAddr]) {
        const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 9091);
        self.http.listen.clear();
        self.collectors.clear();
        self.sinks.clear();
        // The spool is another process's.
        self.schedule.spool.folder = None;
        if !listen.is_empty() {
            self.gateway.listen = listen.to_vec();
        } else if self.gateway.listen.is_empty() {
            self.gateway.listen.push(USUAL);
        }
    }
}

fn host(section: &mut Section<'_>) -> Host {
    let roots =
        Roots { proc: section.get(&PROC), sys: section.get(&SYS), root: section.get(&ROOT), udev: section.get(&UDEV) };
    match section.get(&BACKEND) {
        Backend::Linux => Host::live(roots),
        Backend::Portable => Host::portable(roots),
    }
}
