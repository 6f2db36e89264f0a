//! The whole configuration, assembled from the settings of all modules and checked.

use std::path::PathBuf;

use crate::collectors::filter;
use crate::collectors::framework::Configured;
use crate::collectors::settings as collectors;
use crate::config::Environment;
use crate::config::Value;
use crate::config::{Dependencies, Document, Key, KeyInfo, Problems, Secrets, Section, Setting, Written};
use crate::gateway;
use crate::gateway::replication::settings::NO_STATE;
use crate::host::{Host, Roots};
use crate::http::{self, ListenAddress};
use crate::nats::settings::Nats;
use crate::sinks::schedule::Schedule;
use crate::{log, sinks, spool};

/// The default configuration, which the packages install too: what most people set, all commented.
pub const BUILT_IN: &str = include_str!("../conf/taffrail.toml");

/// A checked configuration.
pub struct Settings {
    /// `[agent]` and `[tags]`.
    pub schedule: Schedule,
    /// `[host]`.
    pub host: Host,
    /// `[http]`.
    pub http: http::Settings,
    /// `[collectors]`: enabled collectors.
    pub collectors: Vec<Configured>,
    /// `[sinks]`.
    pub sinks: Vec<sinks::settings::Settings>,
    /// `[gateway]`; disabled unless it has a listening address.
    pub gateway: gateway::settings::Settings,
    /// `[log]`.
    pub log: log::Settings,
    /// The files that were read, or the built-in configuration.
    pub files: Vec<String>,
    /// The secrets of these files.
    pub secrets: Secrets,
    /// What the settings name on this machine.
    pub dependencies: Dependencies,
    /// The configuration as written, to detect changes at a reload.
    pub written: Written,
}

/// Settings of the command line and the service manager.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Listening addresses; empty: as configured.
    pub listen: Vec<ListenAddress>,
    /// Enabled collectors; empty: as configured.
    pub collectors: Vec<String>,
    /// Whether to run only a gateway, which listens on `listen`.
    pub only_gateway: bool,
    /// Listening addresses of the gateway; empty: as configured.
    pub gateway_listen: Vec<ListenAddress>,
    /// Levels of the log; none: as configured.
    pub log_levels: Option<log::Levels>,
    /// State folder of the gateway.
    pub gateway_state: Option<PathBuf>,
    /// TOML in place of the built-in configuration: the translated flags of another program.
    pub built_in: Option<String>,
    /// State directory given by the service manager.
    pub state_directory: Option<PathBuf>,
}

const PROC: Key<PathBuf> = Key::new("proc", "\"/proc\"", "Mount point of the host's procfs.");
const SYS: Key<PathBuf> = Key::new("sys", "\"/sys\"", "Mount point of the host's sysfs.");
const ROOT: Key<PathBuf> = Key::new(
    "root",
    "\"/\"",
    "Mount point of the host's root file system; the prefix is removed from reported mount points.",
);
const UDEV: Key<PathBuf> = Key::new("udev", "\"/run/udev/data\"", "Directory of the host's udev database.");

const BACKEND: Key<Backend> = Key::new(
    "backend",
    if cfg!(target_os = "linux") { "\"linux\"" } else { "\"portable\"" },
    "Source of the host's metrics: \"linux\" reads files and the kernel; \"portable\" uses the crate sysinfo, which provides less but works on every system.",
);

/// Sources of the host's data.
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
    /// All problems of the configuration.
    pub fn load(paths: &[PathBuf], overrides: &Overrides, environment: Environment<'_>) -> Result<Settings, Problems> {
        let document = match paths {
            [] => match &overrides.built_in {
                Some(flags) => Document::parse("the settings of the flags", flags, environment)?,
                None => Document::parse("the built-in configuration", BUILT_IN, environment)?,
            },
            paths => Document::load(paths, environment)?,
        };
        Settings::check(&document, overrides)
    }

    /// Like [`Settings::load`], for commands that read files once: they may be pipes.
    ///
    /// # Errors
    /// All problems of the configuration.
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
    /// All problems of the configuration.
    pub fn check(document: &Document, overrides: &Overrides) -> Result<Settings, Problems> {
        Section::check(document, |root| {
            refuse_tables_of_telegraf(root);
            let host = host(&mut root.table("host"));
            let tags = filter::tags(root.table("tags"));
            let spool = spool::Settings::new(&mut root.table("spool"), overrides.state_directory.as_deref());
            let schedule = Schedule::new(&mut root.table("agent"), tags, spool, &host);
            let sinks = sinks::settings::Settings::all(&mut root.table("sinks"), &schedule);
            let nats = Nats::new(root);
            let mut gateway_section = root.table("gateway");
            let mut gateway = gateway::settings::Settings::new(&mut gateway_section, nats.clone());
            if let Some(state) = &overrides.gateway_state {
                gateway.state = Some(state.clone());
            }
            if gateway.replication.is_some() && gateway.state.is_none() {
                gateway_section.depends("stream", || Err(NO_STATE.to_owned()));
            }
            if !overrides.gateway_listen.is_empty() {
                gateway.listen.clone_from(&overrides.gateway_listen);
            }
            let (collectors, has_leases) = collectors(&host, overrides, &mut root.table("collectors"), &nats);
            if gateway.replication.is_none() && !has_leases && nats != Nats::default() {
                root.has_no_effect(
                    "nats",
                    "it has no effect without [gateway] stream and without a job with a lease; remove it",
                );
            }
            let listen = if overrides.only_gateway { &[][..] } else { &overrides.listen };
            let mut settings = Settings {
                gateway,
                http: http::Settings::new(&mut root.table("http"), listen),
                collectors,
                log: log::Settings::new(&mut root.table("log"), overrides.log_levels.as_ref()),
                files: document.sources.iter().map(|source| source.name.clone()).collect(),
                secrets: document.secrets().clone(),
                written: Written::from(document),
                dependencies: Dependencies::default(),
                schedule,
                host,
                sinks,
            };
            if overrides.only_gateway {
                settings.keep_gateway_only(&overrides.listen);
            }
            refuse_overlaps(root, &settings, overrides);
            settings.dependencies = root.dependencies(document);
            settings
        })
    }
}

/// The collectors that are on, with the servers of their leases, and whether there are leases.
fn collectors(host: &Host, overrides: &Overrides, section: &mut Section<'_>, nats: &Nats) -> (Vec<Configured>, bool) {
    let (mut configured, mut has_leases) = (collectors::configure(host, &overrides.collectors, section), false);
    for Configured { about, collector, .. } in &mut configured {
        match collector.use_servers(nats) {
            Ok(uses) => has_leases |= uses,
            Err(reason) => section.wrong(about.name, reason),
        }
    }
    (configured, has_leases)
}

impl Settings {
    fn keep_gateway_only(&mut self, listen: &[ListenAddress]) {
        const DEFAULT_ADDRESS: ListenAddress = ListenAddress::any(9091);
        self.http.listen.clear();
        self.collectors.clear();
        self.sinks.clear();
        // The spool belongs to another process.
        self.schedule.spool.folder = None;
        if !listen.is_empty() {
            self.gateway.listen = listen.to_vec();
        } else if self.gateway.listen.is_empty() {
            self.gateway.listen.push(DEFAULT_ADDRESS);
        }
    }
}

/// Reports addresses that another one includes, as a process can listen once. Those of the command line and of the
/// service manager are checked when they are used.
fn refuse_overlaps(root: &mut Section<'_>, settings: &Settings, overrides: &Overrides) {
    let http = if overrides.listen.is_empty() { &settings.http.listen[..] } else { &[] };
    let is_given = !overrides.gateway_listen.is_empty() || overrides.only_gateway && !overrides.listen.is_empty();
    let gateway = if is_given { &[] } else { &settings.gateway.listen[..] };
    let mut earlier: Vec<(String, &ListenAddress)> = Vec::new();
    for (table, addresses) in [("http", http), ("gateway", gateway)] {
        let mut section = root.table(table);
        section.open();
        for (index, address) in addresses.iter().enumerate() {
            if let Some((name, other)) = earlier.iter().find(|(_, other)| other.overlaps(address)) {
                let message = format!("{address} is configured twice: {name} is {other}");
                section.wrong_element("listen", index, message);
            }
            earlier.push((format!("{table}.listen[{index}]"), address));
        }
    }
    for Configured { about, collector, .. } in &settings.collectors {
        for (index, address) in collector.listens() {
            if let Some((name, other)) = earlier.iter().find(|(_, other)| other.overlaps(&address)) {
                let message = format!("{address} is configured twice: {name} is {other}");
                let mut collectors = root.table("collectors");
                let mut section = collectors.open().table(about.name);
                section.open().wrong_element("listen", index, message);
            }
        }
    }
}

/// Reports tables of Telegraf among those of Taffrail.
fn refuse_tables_of_telegraf(root: &mut Section<'_>) {
    for (theirs, ours) in [("inputs", "[collectors]"), ("outputs", "[sinks]"), ("global_tags", "[tags]")] {
        if root.keys().any(|key| key == theirs) {
            let message =
                format!("Telegraf's {theirs} are {ours} here; taffrail migrate telegraf translates its files");
            root.refuse(theirs, message);
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
