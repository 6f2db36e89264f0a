//! What man pages have besides the help of their commands.

/// A term and what it means.
type Item = (&'static str, &'static str);

/// The additions to one page.
#[derive(Clone, Copy)]
pub(super) struct Page {
    /// The page, such as `taffrail-run`.
    name: &'static str,
    /// The forms of the command, with values in capitals; derived from the command if empty.
    pub(super) synopsis: &'static [&'static str],
    pub(super) exit_status: &'static [Item],
    pub(super) signals: &'static [Item],
    pub(super) environment: &'static [Item],
    pub(super) files: &'static [Item],
    /// What an example does, and its commands.
    pub(super) examples: &'static [Item],
    /// Pages other than those above and below this one.
    pub(super) see_also: &'static [&'static str],
}

/// The additions to the page of this name.
pub(super) fn of(name: &str) -> Page {
    PAGES.iter().find(|page| page.name == name).copied().unwrap_or(PLAIN)
}

/// The pages that have additions of their own.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|page| page.name)
}

const SUCCESS: Item = ("0", "Success.");
const FAILURE: Item = ("1", "Failure; the reason is on standard error.");
const USAGE: Item = ("2", "An option or argument is invalid.");
const INCOMPLETE: Item = ("3", "Something is missing in Taffrail, or needs attention; the report says what.");
const COMMANDS: &[Item] = &[SUCCESS, FAILURE, USAGE];
const MIGRATION: &[Item] = &[("0", "Nothing is missing."), FAILURE, USAGE, INCOMPLETE];
const SERVICE: &[Item] = &[
    ("0", "A signal, or a request to /-/quit, ended the process."),
    FAILURE,
    USAGE,
    ("69", "An address or a directory is in use by another process, or not permitted."),
    ("78", "The configuration, or a file that it names, is invalid."),
];

const SERVICE_SIGNALS: &[Item] = &[
    ("SIGHUP", "Reload the configuration. If it is invalid, the previous configuration stays active."),
    ("SIGTERM, SIGINT", "Complete requests in flight, send what sinks have queued, and end."),
];

const LOG_LEVEL: Item = ("TAFFRAIL_LOG_LEVEL", "The level of the log, if --log-level is not given.");
const SERVICE_ENVIRONMENT: &[Item] = &[
    LOG_LEVEL,
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "systemd is notified of the start, reloads and the end, and of being alive."),
    (
        "LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID",
        "Sockets passed by systemd. Those named gateway serve the gateway, all others serve scrapes.",
    ),
    ("JOURNAL_STREAM", "If it names standard error, log lines have priorities for the journal."),
    ("CREDENTIALS_DIRECTORY", "Files for ${credential:NAME} in the configuration, from LoadCredential=."),
    ("STATE_DIRECTORY", "The directory of the spool, unless [spool] sets one."),
];

const CONFIGURATION_FILE: Item = ("/etc/taffrail/taffrail.toml", "The configuration; see taffrail.toml(5).");
const CONFIGURATION_FOLDER: Item = ("/etc/taffrail/conf.d/*.toml", "Additional files, which override the first one.");
const FILES: &[Item] = &[CONFIGURATION_FILE, CONFIGURATION_FOLDER];
const SERVICE_FILES: &[Item] = &[
    CONFIGURATION_FILE,
    CONFIGURATION_FOLDER,
    ("/etc/default/taffrail", "Environment variables of the services, one NAME=value per line."),
    ("/var/lib/taffrail", "Queued points, and the groups of the gateway."),
    ("/run/taffrail, /run/taffrail-gateway", "Directories of the services for Unix sockets."),
];

const PLAIN: Page = Page {
    name: "",
    synopsis: &[],
    exit_status: COMMANDS,
    signals: &[],
    environment: &[],
    files: &[],
    examples: &[],
    see_also: &[],
};

const RUN_EXAMPLES: &[Item] = &[
    ("Serve scrapes on port 9100, without a configuration:", "taffrail\ncurl http://localhost:9100/metrics"),
    (
        "Run with a configuration, on the loopback interface and a Unix socket:",
        "taffrail run --config /etc/taffrail --listen localhost:9100 \\\n    --listen unix:/run/taffrail/http.sock",
    ),
    ("Log the gateway's lines in detail:", "taffrail run --config /etc/taffrail --log-level info,gateway=debug"),
    ("Reload the configuration of the service:", "systemctl reload taffrail"),
];

const PAGES: &[Page] = &[
    Page {
        name: "taffrail",
        synopsis: &["taffrail [--config FILE] [--listen ADDRESS] [--log-level LEVEL]", "taffrail COMMAND [OPTIONS]"],
        exit_status: SERVICE,
        signals: SERVICE_SIGNALS,
        environment: SERVICE_ENVIRONMENT,
        files: SERVICE_FILES,
        examples: RUN_EXAMPLES,
        ..PLAIN
    },
    Page {
        name: "taffrail-run",
        synopsis: &["taffrail run [--config FILE] [--listen ADDRESS] [--log-level LEVEL]"],
        exit_status: SERVICE,
        signals: SERVICE_SIGNALS,
        environment: SERVICE_ENVIRONMENT,
        files: SERVICE_FILES,
        examples: RUN_EXAMPLES,
        see_also: &["taffrail-check(1)"],
    },
    Page {
        name: "taffrail-gateway",
        synopsis: &["taffrail gateway [--config FILE] [--listen ADDRESS] [--state DIRECTORY]"],
        exit_status: SERVICE,
        signals: SERVICE_SIGNALS,
        environment: SERVICE_ENVIRONMENT,
        files: SERVICE_FILES,
        examples: &[(
            "Serve as a gateway for jobs of this host and of others:",
            "taffrail gateway --state /var/lib/taffrail/gateway --listen :9091 \\\n    --listen unix:/run/taffrail-gateway/gateway.sock",
        )],
        see_also: &["taffrail-push(1)"],
    },
    Page {
        name: "taffrail-push",
        synopsis: &[
            "taffrail push --job NAME [OPTIONS] -- COMMAND",
            "taffrail push --job NAME [OPTIONS] FILE",
            "taffrail push --job NAME [OPTIONS] --delete",
        ],
        exit_status: &[
            ("With a command", "The command's status, whether or not the gateway accepts the push."),
            ("126, 127", "The command cannot be executed, or is not found."),
            SUCCESS,
            FAILURE,
            USAGE,
        ],
        signals: &[(
            "SIGTERM, SIGINT, SIGHUP and others",
            "They are passed to the command; its end is reported when it has ended.",
        )],
        environment: &[
            ("TAFFRAIL_GATEWAY", "The gateway, if --url is not given."),
            ("TAFFRAIL_TOKEN", "The bearer token, if --token-file is not given."),
            ("TAFFRAIL_PASSWORD", "The password of --user, if --password-file is not given."),
        ],
        files: &[("/run/taffrail-runs, /run/user/UID/taffrail-runs", "Locks of the runs in progress on this host.")],
        examples: &[
            ("Run a job and push how it went:", "taffrail push --job backup --every 1d -- /usr/local/bin/backup --all"),
            (
                "Push the metrics in a file, which expire after two days:",
                "taffrail push --job import --ttl 2d rows.prom",
            ),
            (
                "Push over a Unix socket:",
                "taffrail push --url unix:/run/taffrail-gateway/gateway.sock --job import rows.prom",
            ),
            ("Delete a group:", "taffrail push --job import --delete"),
        ],
        see_also: &["taffrail-gateway(1)"],
    },
    Page {
        name: "taffrail-print",
        synopsis: &["taffrail print [--config FILE] [--format FORMAT] [--collector NAME]"],
        files: FILES,
        examples: &[
            ("Print the metrics of two collectors:", "taffrail print --collector cpu loadavg"),
            ("Print what is pushed to InfluxDB:", "taffrail print --config /etc/taffrail --format influx"),
        ],
        see_also: &["taffrail-collectors(1)"],
        ..PLAIN
    },
    Page {
        name: "taffrail-check",
        synopsis: &["taffrail check [--config FILE] [--quiet]"],
        exit_status: &[
            ("0", "The configuration is valid."),
            ("1", "It is not; all errors are on standard error."),
            USAGE,
        ],
        files: FILES,
        examples: &[("Check the configuration of the service:", "sudo taffrail check")],
        see_also: &["taffrail-run(1)"],
        ..PLAIN
    },
    Page {
        name: "taffrail-health",
        synopsis: &["taffrail health [--ca-file FILE] [--timeout DURATION] [URL]"],
        exit_status: &[("0", "Taffrail is healthy."), ("1", "It is not, or cannot be reached."), USAGE],
        examples: &[
            ("Check the gateway:", "taffrail health http://localhost:9091"),
            (
                "Check over a Unix socket whether Taffrail is ready:",
                "taffrail health unix:/run/taffrail/http.sock:/-/ready",
            ),
        ],
        ..PLAIN
    },
    Page {
        name: "taffrail-collectors",
        files: FILES,
        examples: &[("List the collectors of the service:", "taffrail collectors")],
        see_also: &["taffrail-print(1)"],
        ..PLAIN
    },
    Page {
        name: "taffrail-migrate",
        synopsis: &["taffrail migrate [OPTIONS]", "taffrail migrate [OPTIONS] COMMAND"],
        exit_status: MIGRATION,
        files: FILES,
        examples: &[
            ("Report what runs on this machine, and how Taffrail replaces it:", "taffrail migrate"),
            ("Translate flags:", "taffrail migrate node_exporter -- --collector.systemd --web.listen-address=:9101"),
        ],
        ..PLAIN
    },
    Page {
        name: "taffrail-migrate-verify",
        exit_status: &[("0", "There are only expected differences."), FAILURE, USAGE, ("3", "There are others.")],
        examples: &[("Compare with a running exporter:", "taffrail migrate verify http://localhost:9100/metrics")],
        ..PLAIN
    },
    Page { name: "taffrail-migrate-node_exporter", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-pushgateway", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-cadvisor", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-telegraf", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-yace", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-cloudwatch_exporter", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-blackbox_exporter", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-process-exporter", exit_status: MIGRATION, ..PLAIN },
    Page { name: "taffrail-migrate-statsd_exporter", exit_status: MIGRATION, ..PLAIN },
    #[cfg(feature = "cloudwatch")]
    Page {
        name: "taffrail-cloudwatch-plan",
        synopsis: &["taffrail cloudwatch plan [--config FILE] [--assume-metrics NUMBER]"],
        environment: &[("AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION and others", "As for all of Amazon's tools.")],
        files: FILES,
        examples: &[(
            "Estimate the cost without asking AWS:",
            "taffrail cloudwatch plan --config /etc/taffrail --assume-metrics 500",
        )],
        ..PLAIN
    },
];

/// The description of the configuration.
pub(super) const CONFIGURATION: &str = "TOML files, and directories of *.toml files in the order of their names. \
    Several files are merged in order: later values override earlier ones, lists of tables append.\n\n\
    In strings, ${VARIABLE} and ${VARIABLE:-default} are replaced by environment variables, ${file:PATH} by the content \
    of a file, and ${credential:NAME} by a credential that systemd passes with LoadCredential=.\n\n\
    An unknown key is an error; taffrail check reports all errors. A setting that is absent has its default.";

pub(super) const CONFIGURATION_FILES: &[Item] = &[
    ("/etc/taffrail/taffrail.toml", "The configuration."),
    ("/etc/taffrail/conf.d/*.toml", "Additional files, which override the first one."),
    ("/etc/default/taffrail", "Environment variables for ${VARIABLE}, one NAME=value per line."),
];

pub(super) const CONFIGURATION_EXAMPLES: &[Item] = &[
    (
        "Serve scrapes on the loopback interface and a Unix socket, and log as JSON:",
        "[http]\nlisten = [\"localhost:9100\", \"unix:/run/taffrail/http.sock\"]\n\n[log]\nlevel = \"info,gateway=debug\"\nformat = \"json\"",
    ),
    (
        "Write to InfluxDB every ten seconds, with a token from a systemd credential:",
        "[[sinks.influxdb]]\nurls = [\"http://influxdb:8086\"]\norg = \"example\"\nbucket = \"hosts\"\ntoken = \"${credential:influx-token}\"",
    ),
];
