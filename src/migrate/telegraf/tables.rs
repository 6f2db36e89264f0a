//! What becomes of Telegraf's plugins and options.
//!
//! A row has an option and what becomes of it: the setting of Taffrail with the same value (`To`), or why there is none. Options
//! that are in no row are missing.

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub enum Becomes {
    /// A setting with the same value, as `TABLE.KEY`; of a sink, as `KEY`.
    To(&'static str),
    /// A setting with the same value under another name, and the difference.
    Changed(&'static str, &'static str),
    /// A setting that is a duration.
    Duration(&'static str),
    /// A setting with the opposite value.
    Opposite(&'static str),
    /// A list of words that blanks separate.
    Words(&'static str),
    /// A list of strings, of a string or a list.
    Texts(&'static str),
    /// Templates with names of udev, which are no variables.
    Templates(&'static str),
    /// A string, of a list with one element.
    Only(&'static str),
    /// A regular expression, of a glob or of a list of globs.
    Regex(&'static str),
    /// A list of URLs; a user and password in them are settings of their own.
    Urls(&'static str),
    /// A list of paths of sockets.
    Sockets(&'static str),
    /// A limit in bytes, of one in points.
    Bytes(&'static str),
    /// Nothing, for this reason.
    NotNeeded(&'static str),
    /// Nothing; this is what to do instead.
    Missing(&'static str),
    /// Nothing if it has this value, as in the file; otherwise this is what to do instead.
    Unless(&'static str, &'static str),
    /// A setting with this value if the option is true, and with that value if it is false.
    Either(&'static str, &'static str, &'static str),
    /// A level of the log, if it is true.
    LogLevel(&'static str),
    /// A tag that sinks remove, if it is true.
    DropsTag(&'static str),
    /// Lists of collectors to turn on.
    Collects(&'static [(&'static str, &'static str)]),
}

/// An option, and what becomes of it.
pub type Row = (&'static str, Becomes);

/// An input, with the collectors that have its measurements.
#[derive(Debug)]
pub struct Input {
    /// Its name.
    pub name: &'static str,
    /// The measurements that it has here.
    pub measurements: &'static [&'static str],
    /// The collectors; filters of the input are of the first.
    pub collectors: &'static [&'static str],
    /// Its options.
    pub options: &'static [Row],
    /// What differs even without an option; empty if nothing does.
    pub differs: &'static str,
    /// Settings for options that are left out, where the defaults differ.
    pub defaults: &'static [(&'static str, &'static str, &'static str)],
}

/// An output, with the kind of sink that it becomes.
#[derive(Debug)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// The kind of sink.
    pub sink: &'static str,
    /// Its options.
    pub options: &'static [Row],
    /// Settings for options that are left out, where the defaults differ.
    pub defaults: &'static [(&'static str, &'static str, &'static str)],
}

use Becomes::{
    Bytes, Changed, Collects, DropsTag, Duration, Either, LogLevel, Missing, NotNeeded, Only, Opposite, Regex, Sockets,
    Templates, Texts, To, Unless, Urls, Words,
};

const LOG: Becomes = NotNeeded("the log goes to standard error, where the journal has it");
const NOTHING_HANGS: Becomes = NotNeeded("a collector that does not respond delays no other");
const IGNORED: Becomes = NotNeeded("it has had no effect since Telegraf 1.0");
const READ_AT_ONCE: Becomes = NotNeeded("nothing is executed");

/// `[agent]`.
#[rustfmt::skip]
pub const AGENT: &[Row] = &[
    ("interval",                  Duration("agent.interval")),
    ("round_interval",            To("agent.round_interval")),
    ("metric_batch_size",         To("agent.metric_batch_size")),
    ("metric_buffer_limit",       Bytes("buffer_size")),
    ("collection_jitter",         Duration("agent.collection_jitter")),
    ("collection_offset",         Unless("\"0s\"", "readings are at multiples of the interval; use collection_jitter")),
    ("flush_interval",            Duration("agent.flush_interval")),
    ("flush_jitter",              Duration("agent.flush_jitter")),
    ("precision",                 NotNeeded("points have the time of their tick, a multiple of the interval")),
    ("hostname",                  To("agent.hostname")),
    ("omit_hostname",             DropsTag("host")),
    ("buffer_strategy",           NotNeeded("points wait on disk where there is a spool")),
    ("buffer_directory",          Changed("spool.folder", "a new folder; points that wait in Telegraf's are not sent")),
    ("buffer_disk_sync",          NotNeeded("points are synchronised in batches")),
    ("debug",                     LogLevel("debug")),
    ("quiet",                     LogLevel("error")),
    ("logfile",                   Changed("", "the log goes to standard error and so to the journal; StandardError=append:FILE in the unit writes a file")),
    ("logtarget",                 LOG),
    ("logformat",                 LOG),
    ("log_with_timezone",         LOG),
    ("logfile_rotation_interval", LOG),
    ("logfile_rotation_max_size", LOG),
    ("logfile_rotation_max_archives", LOG),
    ("structured_log_message_key", LOG),
    ("flush_buffer_when_full",    IGNORED),
    ("utc",                       IGNORED),
    ("statefile",                 NotNeeded("no collector has a state that a file would keep")),
    ("snmp_translator",           NotNeeded("there is no SNMP")),
    ("always_include_local_tags", NotNeeded("tags of a collector's points are always sent")),
    ("always_include_global_tags", NotNeeded("[tags] are always sent")),
    ("skip_processors_after_aggregators", NotNeeded("there are no aggregators")),
    ("skip_processors_before_aggregators", NotNeeded("there are no aggregators")),
    ("logfile_rotation_max_age",  LOG),
];

/// Options that every input has. `NAME` stands for the collector.
#[rustfmt::skip]
pub const EVERY_INPUT: &[Row] = &[
    ("alias",                  NotNeeded("a collector is there once, under its name")),
    ("interval",               Duration("collectors.NAME.interval")),
    ("precision",              NotNeeded("points have the time of their tick, a multiple of the interval")),
    ("collection_jitter",      Unless("\"0s\"", "set it in [agent], for all")),
    ("collection_offset",      Unless("\"0s\"", "readings are at multiples of the interval")),
    ("log_level",              NotNeeded("the log has one level")),
    ("startup_error_behavior", NotNeeded("a collector that fails delays no start")),
    ("time_source",            NotNeeded("points have the time of their tick")),
    ("name_override",          To("collectors.NAME.points.name_override")),
    ("name_prefix",            To("collectors.NAME.points.name_prefix")),
    ("name_suffix",            To("collectors.NAME.points.name_suffix")),
    ("namepass",               To("collectors.NAME.points.namepass")),
    ("namedrop",               To("collectors.NAME.points.namedrop")),
    ("fieldinclude",           To("collectors.NAME.points.fieldinclude")),
    ("fieldpass",              To("collectors.NAME.points.fieldinclude")),
    ("pass",                   To("collectors.NAME.points.fieldinclude")),
    ("fieldexclude",           To("collectors.NAME.points.fieldexclude")),
    ("fielddrop",              To("collectors.NAME.points.fieldexclude")),
    ("drop",                   To("collectors.NAME.points.fieldexclude")),
    ("taginclude",             To("collectors.NAME.points.taginclude")),
    ("tagexclude",             To("collectors.NAME.points.tagexclude")),
    ("metricpass",             Missing("use namepass, fieldinclude and tagpass")),
];

const OF_SUPERVISORD: &str = "[collectors.supervisord] has the processes of supervisord";
const OF_WINDOWS: &str = "there are no services of Windows";

/// The name of `[[inputs.statsd]]`, whose measurements clients name.
pub const STATSD: &str = "statsd";

/// `[[inputs.procstat]]`, each of which is a group of processes.
pub const PROCSTAT: Input = Input {
    name: "procstat",
    measurements: &["procstat", "procstat_lookup"],
    collectors: &["procstat"],
    options: PROCSTAT_OPTIONS,
    differs: "a point for each group of processes of one name, with sums; single_processes = true adds one for each process; a process is in the first group that selects it",
    defaults: &[],
};

#[rustfmt::skip]
const PROCSTAT_OPTIONS: &[Row] = &[
    ("pid_file",                 Texts("pid_files")),
    ("pattern",                  Texts("patterns")),
    ("user",                     Texts("users")),
    ("process_name",             To("name")),
    ("pid_tag",                  To("single_processes")),
    ("include_systemd_children", NotNeeded("a unit has all processes of its cgroup")),
    ("pid_finder",               NotNeeded("no program is started to find processes")),
    ("cmdline_tag",              Unless("false", "the command line is a field of single processes")),
    ("mode",                     Unless("\"irix\"", "divide cpu_usage by the number of CPUs in the query")),
    ("prefix",                   Missing("use rename_fields of a sink")),
    ("supervisor_unit",          Missing(OF_SUPERVISORD)),
    ("supervisor_units",         Missing(OF_SUPERVISORD)),
    ("win_service",              Missing(OF_WINDOWS)),
];

/// `[[inputs.procstat.filter]]`.
#[rustfmt::skip]
pub const PROCSTAT_FILTER: &[Row] = &[
    ("name",             To("name")),
    ("pid_files",        Texts("pid_files")),
    ("systemd_units",    Texts("systemd_units")),
    ("patterns",         Texts("patterns")),
    ("users",            Texts("users")),
    ("executables",      Changed("executables", "of the first argument of the command line, not of the file that runs")),
    ("process_names",    Texts("process_names")),
    ("supervisor_units", Missing(OF_SUPERVISORD)),
    ("win_services",     Missing(OF_WINDOWS)),
];

/// Options that every output has, as settings of a sink.
#[rustfmt::skip]
pub const EVERY_OUTPUT: &[Row] = &[
    ("alias",                  To("name")),
    ("flush_interval",         Duration("flush_interval")),
    ("flush_jitter",           Duration("flush_jitter")),
    ("metric_batch_size",      To("metric_batch_size")),
    ("metric_buffer_limit",    Bytes("buffer_size")),
    ("log_level",              NotNeeded("the log has one level")),
    ("startup_error_behavior", NotNeeded("a sink starts without its server")),
    ("name_override",          To("name_override")),
    ("name_prefix",            To("name_prefix")),
    ("name_suffix",            To("name_suffix")),
    ("namepass",               To("namepass")),
    ("namedrop",               To("namedrop")),
    ("fieldinclude",           To("fieldinclude")),
    ("fieldpass",              To("fieldinclude")),
    ("pass",                   To("fieldinclude")),
    ("fieldexclude",           To("fieldexclude")),
    ("fielddrop",              To("fieldexclude")),
    ("drop",                   To("fieldexclude")),
    ("taginclude",             To("taginclude")),
    ("tagexclude",             To("tagexclude")),
    ("metricpass",             Missing("use namepass, fieldinclude and tagpass")),
];

const fn input(
    name: &'static str,
    measurements: &'static [&'static str],
    collectors: &'static [&'static str],
    options: &'static [Row],
) -> Input {
    Input { name, measurements, collectors, options, differs: "", defaults: &[] }
}

/// The inputs.
#[rustfmt::skip]
pub const INPUTS: &[Input] = &[
    input("conntrack", &["conntrack"], &["conntrack"], &[
        ("files",   NotNeeded("the kernel's files are known")),
        ("dirs",    NotNeeded("the kernel's files are known")),
        ("collect", Missing("only ip_conntrack_count and ip_conntrack_max are pushed; node_nf_conntrack_* are exposed")),
    ]),
    input("cpu", &["cpu"], &["cpu"], &[
        ("percpu",           To("collectors.cpu.points.percpu")),
        ("totalcpu",         To("collectors.cpu.points.totalcpu")),
        ("collect_cpu_time", To("collectors.cpu.points.collect_cpu_time")),
        ("report_active",    To("collectors.cpu.points.report_active")),
        ("core_tags",        To("collectors.cpu.points.core_tags")),
    ]),
    Input {
        differs: "cgroups of containers, pods, machines and units, with the keys of metrics.md",
        ..input("cgroup", &["cgroup"], &["container"], &[
            ("paths", Changed("", "[collectors.container] kinds and path_include choose cgroups")),
            ("files", Changed("", "the keys are those of metrics.md")),
        ])
    },
    Input {
        // Without the line, Telegraf leaves out no file system.
        defaults: &[("ignore_fs", "collectors.filesystem.points.ignore_fs", "[]")],
        ..input("disk", &["disk"], &["filesystem"], &[
            ("mount_points",      To("collectors.filesystem.points.mount_points")),
            ("mountpoints",       To("collectors.filesystem.points.mount_points")),
            ("ignore_fs",         To("collectors.filesystem.points.ignore_fs")),
            ("ignore_mount_opts", To("collectors.filesystem.points.ignore_mount_opts")),
        ])
    },
    input("diskio", &["diskio"], &["diskstats"], &[
        ("devices",            To("collectors.diskstats.points.devices")),
        ("device_tags",        To("collectors.diskstats.points.device_tags")),
        ("name_templates",     Templates("collectors.diskstats.points.name_templates")),
        ("skip_serial_number", To("collectors.diskstats.points.skip_serial_number")),
    ]),
    input("docker",
        &["docker", "docker_container_cpu", "docker_container_mem", "docker_container_net", "docker_container_blkio",
          "docker_container_status", "docker_container_health"],
        &["container"], &[
        ("endpoint",                Sockets("collectors.container.docker_sockets")),
        ("container_name_include",  Regex("collectors.container.name_include")),
        ("container_names",         Regex("collectors.container.name_include")),
        ("container_name_exclude",  Regex("collectors.container.name_exclude")),
        ("container_state_include", Unless("[]", "[collectors.docker_state] enabled = true has the states of ended containers")),
        ("container_state_exclude", Unless("[]", "[collectors.docker_state] enabled = true has the states of ended containers")),
        ("docker_label_include",    Changed("collectors.container.labels", "labels are left out unless they are named")),
        ("docker_label_exclude",    Unless("[]", "name the labels to keep in [collectors.container] labels")),
        ("perdevice_include",       To("collectors.container.points.perdevice_include")),
        // Before 1.35, Telegraf had these in place of the lists.
        ("perdevice",               Either("collectors.container.points.perdevice_include", "[\"blkio\", \"cpu\", \"network\"]", "[\"cpu\"]")),
        ("total_include",           To("collectors.container.points.total_include")),
        ("total",                   Either("collectors.container.points.total_include", "[\"blkio\", \"cpu\", \"network\"]", "[\"cpu\"]")),
        ("source_tag",              To("collectors.container.points.source_tag")),
        ("gather_services",         Unless("false", "ask Swarm's managers by another program")),
        ("tag_env",                 Unless("[]", "use labels of containers in place of variables")),
        ("storage_objects",         Unless("[]", "measure the file system of /var/lib/docker: inputs.disk")),
        ("timeout",                 NOTHING_HANGS),
        ("podman_cache_ttl",        NOTHING_HANGS),
        ("tls_ca",                  Missing("connect to Docker's socket on this host")),
        ("tls_cert",                Missing("connect to Docker's socket on this host")),
        ("tls_key",                 Missing("connect to Docker's socket on this host")),
        ("insecure_skip_verify",    Unless("false", "connect to Docker's socket on this host")),
    ]),
    input("internal", &["internal_*"], &["process"], &[
        ("collect_memstats", NotNeeded("internal_memstats has what there is without Go")),
        ("collect_gostats",  Unless("false", "there is no Go")),
        ("per_instance",     NotNeeded("each collector and sink has its own points")),
    ]),
    input("interrupts", &["interrupts", "soft_interrupts"], &["interrupts", "softirqs"], &[
        ("cpu_as_tag", To("collectors.interrupts.points.cpu_as_tag")),
    ]),
    input("kernel", &["kernel"], &["stat", "entropy"], &[
        ("collect", Collects(&[("ksm", "ksmd"), ("psi", "pressure")])),
    ]),
    input("kernel_vmstat", &["kernel_vmstat"], &["vmstat"], &[]),
    input("linux_cpu", &["linux_cpu"], &["cpufreq"], &[
        ("metrics",  To("collectors.cpufreq.points.metrics")),
        ("host_sys", Changed("host.sys", "for all collectors")),
    ]),
    input("linux_sysctl_fs", &["linux_sysctl_fs"], &["filefd"], &[]),
    input("mem", &["mem"], &["meminfo"], &[
        ("collect_extended", Unless("false", "node_memory_* have every key of the kernel's")),
    ]),
    input("net", &["net"], &["netdev", "netstat"], &[
        ("interfaces",            To("collectors.netdev.points.interfaces")),
        ("ignore_protocol_stats", NotNeeded("the points of interface=all are those that dashboards ask for; tagdrop leaves them out")),
    ]),
    // Telegraf's netstat counts sockets by state; the collector netstat has what Telegraf's nstat has.
    input("netstat", &["netstat"], &["tcpstat"], &[]),
    Input {
        // Without the line, Telegraf leaves out counters that are zero.
        defaults: &[("dump_zeros", "collectors.netstat.points.dump_zeros", "false")],
        ..input("nstat", &["nstat"], &["netstat"], &[
            ("dump_zeros",       To("collectors.netstat.points.dump_zeros")),
            ("proc_net_netstat", Unless("\"/proc/net/netstat\"", "set [host] proc")),
            ("proc_net_snmp",    Unless("\"/proc/net/snmp\"", "set [host] proc")),
            ("proc_net_snmp6",   Unless("\"/proc/net/snmp6\"", "set [host] proc")),
        ])
    },
    input("nvidia_smi", &["nvidia_smi"], &["nvidia"], &[
        ("bin_path", NotNeeded("the library of the driver is called")),
        ("timeout",  NOTHING_HANGS),
    ]),
    input("processes", &["processes"], &["processes"], &[
        ("use_sudo", READ_AT_ONCE), ("force_ps", READ_AT_ONCE), ("force_proc", READ_AT_ONCE),
    ]),
    input("sensors", &["sensors"], &["hwmon"], &[
        ("remove_numbers", To("collectors.hwmon.points.remove_numbers")),
        ("timeout",        READ_AT_ONCE),
        ("path",           READ_AT_ONCE),
    ]),
    input("swap", &["swap"], &["meminfo", "vmstat"], &[]),
    input("system", &["system"], &["loadavg"], &[
        ("include", Unless("[\"legacy\"]", "load, users, CPUs and uptime are always there; node_os_info and node_dmi_info are exposed")),
    ]),
    input("systemd_units", &["systemd_units"], &["systemd"], &[
        ("pattern",                Words("collectors.systemd.points.pattern")),
        ("unittype",               To("collectors.systemd.points.unittype")),
        ("details",                To("collectors.systemd.points.details")),
        ("collect_disabled_units", Unless("false", "units that are not loaded have no points")),
        ("scope",                  Unless("\"system\"", "units of users have no points")),
        ("subcommand",             READ_AT_ONCE),
        ("timeout",                NOTHING_HANGS),
    ]),
    input("temp", &["temp"], &["hwmon", "thermal_zone"], &[
        ("metric_format",       Unless("\"v2\"", "the names of sensors are those of v2")),
        ("add_device_tag",      To("collectors.hwmon.points.add_device_tag")),
        ("always_gather_zones", To("collectors.thermal_zone.points.always_gather_zones")),
    ]),
];

#[rustfmt::skip]
const HTTP: [Row; 19] = [
    ("timeout",              Duration("timeout")),
    ("http_proxy",           To("http_proxy")),
    ("http_proxy_url",       To("http_proxy")),
    ("use_system_proxy",     Unless("false", "name the proxy in http_proxy")),
    ("user_agent",           NotNeeded("the server does not need it; headers can set it")),
    ("content_encoding",     To("content_encoding")),
    ("tls_ca",               To("tls_ca")),
    ("tls_cert",             To("tls_cert")),
    ("tls_key",              To("tls_key")),
    ("ssl_ca",               To("tls_ca")),
    ("ssl_cert",             To("tls_cert")),
    ("ssl_key",              To("tls_key")),
    ("tls_key_pwd",          Missing("decrypt the key: openssl pkey -in KEY -out KEY")),
    ("tls_server_name",      Missing("use that name in the URL")),
    ("tls_min_version",      Unless("\"TLS12\"", "TLS 1.2 and 1.3 are spoken")),
    ("local_address",        Unless("\"\"", "the routing table chooses the address")),
    ("insecure_skip_verify", To("insecure_skip_verify")),
    ("influx_uint_support",  Unless("false", "whole numbers are signed on the wire")),
    ("influx_omit_timestamp", Unless("false", "points have timestamps")),
];

/// The options of outputs over HTTP.
pub const EVERY_HTTP: &[Row] = &HTTP;

/// The outputs.
#[rustfmt::skip]
pub const OUTPUTS: &[Output] = &[
    Output {
        name: "influxdb", sink: "influxdb",
        options: &[
            ("urls",                         Urls("urls")),
            ("url",                          Urls("urls")),
            ("database",                     To("database")),
            ("skip_database_creation",       Opposite("create_database")),
            ("retention_policy",             To("retention_policy")),
            ("write_consistency",            To("consistency")),
            ("username",                     To("username")),
            ("password",                     To("password")),
            ("database_tag",                 To("database_tag")),
            ("exclude_database_tag",         To("exclude_database_tag")),
            ("retention_policy_tag",         To("retention_policy_tag")),
            ("exclude_retention_policy_tag", To("exclude_retention_policy_tag")),
            ("udp_payload",                  Missing("send over HTTP")),
            ("precision",                    IGNORED),
        ],
        // Telegraf creates the database unless it is told not to, and has a name for it.
        defaults: &[("database", "database", "\"telegraf\""), ("skip_database_creation", "create_database", "true")],
    },
    Output {
        name: "influxdb_v2", sink: "influxdb",
        options: &[
            ("urls",               To("urls")),
            ("token",              To("token")),
            ("organization",       To("org")),
            ("bucket",             To("bucket")),
            ("bucket_tag",         To("bucket_tag")),
            ("exclude_bucket_tag", To("exclude_bucket_tag")),
            ("concurrent_writes",  NotNeeded("a backlog is sent in parallel")),
            ("ping_timeout",       NotNeeded("connections that do not respond are closed")),
            ("read_idle_timeout",  NotNeeded("connections that do not respond are closed")),
            ("rate_limit",         Missing("[spool] rate limits what is sent of a backlog")),
            ("rate_limit_period",  Missing("[spool] rate limits what is sent of a backlog")),
        ],
        defaults: &[],
    },
    Output {
        name: "influxdb_v3", sink: "influxdb",
        options: &[
            ("urls",                 To("urls")),
            ("token",                To("token")),
            ("database",             To("database")),
            ("database_tag",         To("database_tag")),
            ("exclude_database_tag", To("exclude_database_tag")),
            ("no_sync",              Unless("false", "a write is acknowledged when it is persisted")),
            ("sync",                 NotNeeded("a write is acknowledged when it is persisted")),
            ("convert_uint_to_int",  NotNeeded("whole numbers are signed on the wire")),
        ],
        defaults: &[("", "version", "3")],
    },
    Output {
        name: "file", sink: "file",
        options: &[
            ("files",                 Only("path")),
            ("data_format",           To("data_format")),
            ("json_timestamp_units",  Duration("json_timestamp_units")),
            ("rotation_interval",     Duration("rotation_interval")),
            ("rotation_max_size",     To("rotation_max_size")),
            ("rotation_max_archives", To("rotation_max_archives")),
            ("use_batch_format",      NotNeeded("lines are written in batches")),
        ],
        defaults: &[],
    },
];

/// Options of processors that need nothing, with the reason.
pub const PROCESSOR: &[(&str, &str)] = &[
    ("alias", "it is a name in Telegraf's log"),
    ("order", "names and tags of a sink are set at once"),
    ("log_level", "the log has one level"),
];

/// Plugins that do nothing, with the reason.
pub const NOT_NEEDED: &[(&str, &str)] = &[("outputs.discard", "nothing is sent there")];

/// Plugins without a counterpart, with what to do instead. A name that ends in `.` is of all plugins of the kind.
#[rustfmt::skip]
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("inputs.bcache",             "[collectors.bcache] has node_bcache_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.bond",               "[collectors.bonding] has node_bonding_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.chrony",             "[collectors.timex] and [collectors.ntp] have node_timex_* and node_ntp_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.cloudwatch",         "write a job in [[collectors.cloudwatch]]: docs/cloudwatch.md"),
    ("inputs.ethtool",            "[collectors.ethtool] has node_ethtool_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.hddtemp",            "load the kernel's module drivetemp; [collectors.hwmon] has its temperatures, as inputs.temp and inputs.sensors"),
    ("inputs.http_listener",      "[gateway] listen accepts line protocol at /write"),
    ("inputs.infiniband",         "[collectors.infiniband] has node_infiniband_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.influxdb_listener",  "[gateway] listen accepts line protocol at /write"),
    ("inputs.influxdb_v2_listener", "[gateway] listen accepts line protocol at /api/v2/write"),
    ("inputs.ipvs",               "[collectors.ipvs] has node_ipvs_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.mdstat",             "[collectors.mdadm] has node_md_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.nfsclient",          "[collectors.mountstats] has node_mountstats_nfs_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.ntpq",               "[collectors.timex] and [collectors.ntp] have node_timex_* and node_ntp_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.slab",               "[collectors.slabinfo] has node_slabinfo_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.supervisor",         "[collectors.supervisord] has node_supervisord_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.wireless",           "[collectors.wifi] has node_wifi_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.zfs",                "[collectors.zfs] has node_zfs_*; \"prometheus\" in the sink's namepass pushes them"),
    ("inputs.",                   "Taffrail has no such input; keep Telegraf for it"),
    ("outputs.cloudwatch",        "name the metrics in [[sinks.cloudwatch]]: docs/cloudwatch.md"),
    ("outputs.elasticsearch",     "[[sinks.elasticsearch]] writes documents of its own form into a data stream"),
    ("outputs.http",              "line protocol: [[sinks.influxdb]]; remote write: [[sinks.remote_write]], under the names of node_exporter"),
    ("outputs.opensearch",        "[[sinks.elasticsearch]] writes documents of its own form into a data stream"),
    ("outputs.prometheus_client", "Prometheus scrapes [http] listen, under the names of node_exporter in place of Telegraf's"),
    ("outputs.",                  "Taffrail has no such output; keep Telegraf for it"),
    ("processors.converter",      "types of fields are Telegraf's; they cannot be changed"),
    ("processors.defaults",       "set [tags], or the tags of a collector's points"),
    ("processors.override",       "use name_override and tags of a sink or of a collector's points"),
    ("processors.regex",          "use rename_tags, rename_fields and tagpass of a sink"),
    ("processors.rename",         "use rename_tags, rename_fields and name_override of a sink or of a collector's points"),
    ("processors.",               "Taffrail has no processors; use the filters of sinks, or transform in the database"),
    ("aggregators.",              "Taffrail has no aggregators; aggregate in the database"),
    ("secretstores.",             "write ${credential:NAME} or ${file:PATH} where the secret is used"),
];
