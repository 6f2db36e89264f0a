//! Options of inputs that become jobs of their own, with an interval and a clock of each target.

use super::tables::{Becomes, Row};

use Becomes::{Duration, Missing, NotNeeded, To, Unless};

const OF_SINKS: Becomes = Missing("filter in the sinks");
const RENAMED: Becomes = Missing("use name_override, name_prefix and name_suffix of a sink");
const SPREAD: Becomes = Unless("\"0s\"", "targets are spread over the interval");
const TIMED: Becomes = NotNeeded("points have the time at which their target was read");

/// The options of every such input, after its own.
#[rustfmt::skip]
pub(super) const EVERY_JOB: &[Row] = &[
    ("alias",                  NotNeeded("a job has no name")),
    ("interval",               Duration("interval")),
    ("precision",              TIMED),
    ("time_source",            TIMED),
    ("collection_jitter",      SPREAD),
    ("collection_offset",      SPREAD),
    ("log_level",              NotNeeded("the log has one level")),
    ("startup_error_behavior", NotNeeded("a target that fails delays no start")),
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
    ("metricpass",             OF_SINKS),
];

/// The options of certificates.
#[rustfmt::skip]
pub(super) const TLS: &[Row] = &[
    ("tls_ca",                   To("tls_ca")),
    ("ssl_ca",                   To("tls_ca")),
    ("tls_cert",                 To("tls_cert")),
    ("ssl_cert",                 To("tls_cert")),
    ("tls_key",                  To("tls_key")),
    ("ssl_key",                  To("tls_key")),
    ("tls_key_pwd",              Unless("\"\"", "decrypt the key: openssl pkey -in KEY -out KEY")),
    ("tls_server_name",          To("tls_server_name")),
    ("tls_min_version",          Unless("\"TLS12\"", "TLS 1.2 and 1.3 are spoken")),
    ("tls_renegotiation_method", Unless("\"never\"", "there is no renegotiation")),
    ("insecure_skip_verify",     To("insecure_skip_verify")),
];
