//! Families with labels, and measurements, besides those of single lines.

use super::items;
use crate::collectors::servers::items::SERVER;
use crate::collectors::servers::outcome::TARGET;
use crate::encode::family::{FamilyInfo, Kind};
use crate::encode::infos::concat;
use crate::encode::point::{FieldInfo, MeasurementInfo};

/// Declares families, and a list of them.
macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $id: FamilyInfo =
            FamilyInfo { name: $name, kind: Kind::$kind, help: $help, labels: &[SERVER, $($label),*] };)*
        const WITH_LABELS: &[FamilyInfo] = &[
            $(FamilyInfo { name: $name, kind: Kind::$kind, help: $help, labels: &[SERVER, $($label),*] }),*
        ];
    };
}

families! {
    UP: Gauge "redis_up" [] "Whether the last query of INFO succeeded";
    START_TIME: Gauge "redis_start_time_seconds" [] "Start of the server, as a Unix time";
    INSTANCE: Gauge "redis_instance_info"
        ["role", "redis_version", "redis_build_id", "redis_mode", "os", "maxmemory_policy", "tcp_port", "run_id", "process_id"]
        "About the server";
    SLAVE_INFO: Gauge "redis_slave_info" ["master_host", "master_port", "read_only"] "About a replica";
    MASTER_LINK: Gauge "redis_master_link_up" ["master_host", "master_port"] "Whether the link to the master is up";
    MASTER_LAST_IO: Gauge "redis_master_last_io_seconds_ago" ["master_host", "master_port"]
        "Seconds since the master was heard of";
    MASTER_SYNC: Gauge "redis_master_sync_in_progress" ["master_host", "master_port"]
        "Whether the replica is being synchronised";
    SLAVE_OFFSET: Gauge "redis_slave_repl_offset" ["master_host", "master_port"] "Replication offset of the replica";
    REPLICA_OFFSET: Gauge "redis_connected_slave_offset_bytes" ["slave_ip", "slave_port", "slave_state"]
        "Replication offset of a connected replica";
    REPLICA_LAG: Gauge "redis_connected_slave_lag_seconds" ["slave_ip", "slave_port", "slave_state"]
        "Seconds since a connected replica was heard of";
    DB_KEYS: Gauge "redis_db_keys" ["db"] "Keys of a database";
    DB_KEYS_EXPIRING: Gauge "redis_db_keys_expiring" ["db"] "Keys of a database that expire";
    DB_AVG_TTL: Gauge "redis_db_avg_ttl_seconds" ["db"] "Average time to live of keys that expire";
    COMMANDS: Counter "redis_commands_total" ["cmd"] "Calls of a command";
    COMMAND_SECONDS: Counter "redis_commands_duration_seconds_total" ["cmd"] "CPU time of a command";
    COMMANDS_REJECTED: Counter "redis_commands_rejected_calls_total" ["cmd"]
        "Calls of a command that were rejected before they ran";
    COMMANDS_FAILED: Counter "redis_commands_failed_calls_total" ["cmd"] "Calls of a command that failed";
    LATENCY: Summary "redis_latency_percentiles_usec" ["cmd"] "Latency of a command in µs, by percentile";
    ERRORS: Counter "redis_errors_total" ["err"] "Error replies by their code";
    IO_THREADS: Gauge "redis_config_io_threads" [] "Configured threads for input and output";
    SLOW_LENGTH: Gauge "redis_slowlog_length" [] "Entries of the slow log";
    SLOW_LAST: Gauge "redis_slowlog_last_id" [] "Id of the last entry of the slow log";
    SLOW_DURATION: Gauge "redis_last_slow_execution_duration_seconds" [] "Duration of the last entry of the slow log";
    SPIKE_LAST: Gauge "redis_latency_spike_last" ["event_name"] "Time of the last spike of an event, as a Unix time";
    SPIKE_DURATION: Gauge "redis_latency_spike_duration_seconds" ["event_name"] "Duration of the last spike of an event";
    COMMAND_VALUE: Gauge "taffrail_redis_command_value" ["field"] "Numeric reply to a configured command";
}

/// All families.
pub(super) const FAMILIES: [FamilyInfo; WITH_LABELS.len() + items::FAMILIES.len()] =
    concat(&[WITH_LABELS, &items::FAMILIES]);

/// The percentiles of latency.
pub(super) const PERCENTILES: [&str; 3] = ["p50", "p99", "p99.9"];

const fn field(name: &'static str, type_name: &'static str, help: &'static str) -> FieldInfo {
    FieldInfo { name, help, type_name }
}
const INTEGER: &str = "integer";
const FLOAT: &str = "float";
const DERIVED: &[FieldInfo] = &[
    field("rdb_last_save_time_elapsed", INTEGER, "Seconds since the last successful dump"),
    field("keyspace_hitrate", FLOAT, "Share of look-ups that found their key, from 0 to 1"),
    field("KEY", FLOAT, "each other number of INFO, except of the section Server"),
];
const FIELDS: [FieldInfo; items::FIELDS.len() + DERIVED.len()] = concat(&[&items::FIELDS, DERIVED]);

const fn measurement(
    name: &'static str,
    tags: &'static [&'static str],
    fields: &'static [FieldInfo],
) -> MeasurementInfo {
    MeasurementInfo { name, tags, fields }
}

/// The measurements. A server at a Unix socket has the tag `socket` in place of `port` and `server`.
#[rustfmt::skip]
pub(super) const MEASUREMENTS: &[MeasurementInfo] = &[
    measurement("redis", &["port", "replication_role", "server", "socket"], &FIELDS),
    measurement("redis_keyspace", &["database", "port", "replication_role", "server", "socket"], &[
        field("keys", INTEGER, "Keys of the database"),
        field("expires", INTEGER, "Keys of the database that expire"),
        field("avg_ttl", INTEGER, "Average time to live of keys that expire, in ms"),
        field("subexpiry", INTEGER, "Keys of the database with fields that expire"),
    ]),
    measurement("redis_cmdstat", &["command", "port", "replication_role", "server", "socket"], &[
        field("calls", INTEGER, "Calls of the command"),
        field("usec", INTEGER, "CPU time of the command in µs"),
        field("usec_per_call", FLOAT, "CPU time of a call in µs"),
        field("rejected_calls", INTEGER, "Calls that were rejected before they ran"),
        field("failed_calls", INTEGER, "Calls that failed"),
    ]),
    measurement("redis_latency_percentiles_usec", &["command", "port", "replication_role", "server", "socket"], &[
        field("p50", FLOAT, "Median latency of the command in µs"),
        field("p99", FLOAT, "99th percentile of the latency in µs"),
        field("p99.9", FLOAT, "99.9th percentile of the latency in µs"),
    ]),
    measurement("redis_errorstat", &["err", "port", "replication_role", "server", "socket"], &[
        field("total", INTEGER, "Error replies with this code"),
    ]),
    measurement("redis_replication", &["port", "replica_id", "replica_ip", "replica_port", "replication_role", "server", "socket", "state"], &[
        field("offset", INTEGER, "Replication offset of the replica"),
        field("lag", INTEGER, "Seconds since the replica was heard of"),
    ]),
    measurement("redis_commands", &["port", "server", "socket"], &[
        field("KEY", "string", "each reply to a command of the settings, by its field, of the type there"),
    ]),
    TARGET,
];
