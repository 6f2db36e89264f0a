//! Inputs of servers of applications, and what becomes of their options.

use super::tables::{Becomes, Row};

use Becomes::{Duration, Missing, NotNeeded, To, Unless, Urls};

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

const OF_SINKS: Becomes = Missing("filter in the sinks");
const RENAMED: Becomes = Missing("use name_override, name_prefix and name_suffix of a sink");

/// The options of all.
#[rustfmt::skip]
pub(super) const OPTIONS: &[Row] = &[
    ("alias",                  NotNeeded("a server is shown by its address")),
    ("interval",               Duration("interval")),
    ("precision",              NotNeeded("points have the time of the query")),
    ("collection_jitter",      Unless("\"0s\"", "servers are spread over the interval")),
    ("collection_offset",      Unless("\"0s\"", "servers are spread over the interval")),
    ("log_level",              NotNeeded("the log has one level")),
    ("startup_error_behavior", NotNeeded("a server that fails delays no start")),
    ("time_source",            NotNeeded("points have the time of the query")),
    ("name_override",          RENAMED),
    ("name_prefix",            RENAMED),
    ("name_suffix",            RENAMED),
    ("namepass",               OF_SINKS),
    ("namedrop",               OF_SINKS),
    ("fieldinclude",           OF_SINKS),
    ("fieldpass",              OF_SINKS),
    ("fieldexclude",           OF_SINKS),
    ("fielddrop",              OF_SINKS),
    ("taginclude",             OF_SINKS),
    ("tagexclude",             OF_SINKS),
    ("tls_ca",                 To("tls_ca")),
    ("ssl_ca",                 To("tls_ca")),
    ("tls_cert",               To("tls_cert")),
    ("ssl_cert",               To("tls_cert")),
    ("tls_key",                To("tls_key")),
    ("ssl_key",                To("tls_key")),
    ("tls_key_pwd",            Missing("decrypt the key: openssl pkey -in KEY -out KEY")),
    ("tls_server_name",        To("tls_server_name")),
    ("tls_min_version",        Unless("\"TLS12\"", "TLS 1.2 and 1.3 are spoken")),
    ("insecure_skip_verify",   To("insecure_skip_verify")),
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
        measurements: &["redis", "redis_keyspace", "redis_cmdstat", "redis_latency_percentiles_usec", "redis_errorstat", "redis_replication"],
        options: &[("servers", Urls("servers")), ("tls_enable", To("tls"))],
    },
];
