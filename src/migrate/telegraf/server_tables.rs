//! Inputs of servers of applications, and what becomes of their options.

use super::tables::{Becomes, Row};

use Becomes::{Duration, NotNeeded, To, Unless, Urls};

/// An input of a kind of server.
#[derive(Debug)]
pub(super) struct Server {
    /// Its name, which also is that of the collector.
    pub(super) name: &'static str,
    pub(super) measurements: &'static [&'static str],
    pub(super) options: &'static [Row],
    /// The list of servers, and what it is if it is left out; empty if it may not.
    pub(super) list: &'static str,
    pub(super) default: &'static str,
}

/// The options of all, besides those of every job.
#[rustfmt::skip]
pub(super) const OPTIONS: &[Row] = &[
    ("alias",                  NotNeeded("a server is shown by its address")),
    ("username",               To("username")),
    ("password",               To("password")),
    ("response_timeout",       Duration("timeout")),
    ("timeout",                Duration("timeout")),
    ("http_proxy_url",         To("http_proxy")),
];

/// The kinds.
#[rustfmt::skip]
pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "apache", list: "urls", default: "http://localhost/server-status?auto",
        measurements: &["apache"],
        options: &[("urls", Urls("urls"))],
    },
    Server {
        name: "memcached", list: "servers", default: "localhost:11211",
        measurements: &["memcached"],
        options: &[("enable_tls", To("tls"))],
    },
    Server {
        name: "nginx", list: "urls", default: "",
        measurements: &["nginx"],
        options: &[("urls", Urls("urls"))],
    },
    Server {
        name: "phpfpm", list: "urls", default: "http://127.0.0.1/status",
        measurements: &["phpfpm"],
        options: &[
            ("urls",   Urls("urls")),
            ("format", Unless("\"status\"", "the plain page is read: remove json from the URLs; full = true reads the processes")),
        ],
    },
    Server {
        name: "redis", list: "servers", default: "localhost:6379",
        measurements: &["redis", "redis_keyspace", "redis_cmdstat", "redis_latency_percentiles_usec", "redis_errorstat", "redis_replication", "redis_commands"],
        options: &[("servers", Urls("servers")), ("tls_enable", To("tls"))],
    },
];
