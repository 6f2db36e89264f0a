//! node_exporter's flags.
//!
//! The columns of the table: the flag, what it takes, and what becomes of it.

use super::command_line::Syntax;
use super::flags::Becomes::{By, Changed, Missing, NotNeeded, Setting};
use super::flags::Takes::{Addresses, Duration, List, Number, Switch, Text, Words};
use super::flags::{Becomes, Decision, Flag, Program, Takes};
use super::output::literal;
use super::translation::{Outcome, Source, Translation};

/// node_exporter 1.12 on Linux, with the names that were renamed since 0.18.
pub static NODE_EXPORTER: Program = Program {
    name: "node_exporter",
    version: "1.12",
    syntax: Syntax::Kingpin,
    collectors: COLLECTORS,
    flags: FLAGS,
    renamed: RENAMED,
    removed: REMOVED,
};

/// Each has `--collector.NAME` and `--no-collector.NAME`, and is the collector of the same name.
#[rustfmt::skip]
const COLLECTORS: &[&str] = &[
    "arp", "bcache", "bcachefs", "bonding", "btrfs", "buddyinfo", "cgroups", "conntrack", "cpu", "cpu_vulnerabilities",
    "cpufreq", "diskstats", "dmi", "dmmultipath", "drbd", "drm", "edac", "entropy", "ethtool", "fibrechannel", "filefd",
    "filesystem", "hwmon", "infiniband", "interrupts", "ipvs", "kernel_hung", "ksmd", "lnstat", "loadavg", "logind",
    "mdadm", "meminfo", "meminfo_numa", "mountstats", "netclass", "netdev", "netstat", "network_route", "nfs", "nfsd",
    "ntp", "nvme", "nvmesubsystem", "os", "pcidevice", "perf", "powersupplyclass", "pressure", "processes", "qdisc",
    "rapl", "runit", "schedstat", "selinux", "slabinfo", "sockstat", "softirqs", "softnet", "stat", "supervisord",
    "swap", "sysctl", "systemd", "tapestats", "tcpstat", "textfile", "thermal_zone", "time", "timex", "udp_queues",
    "uname", "vmstat", "watchdog", "wifi", "xfrm", "xfs", "zfs", "zoneinfo",
];

/// All other flags.
#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    // Collectors.
    flag("collector.disable-defaults",                    Switch, By(disable_defaults)),
    flag("collector.arp.device-include",                  Text,   Setting("collectors.arp.device_include")),
    flag("collector.arp.device-exclude",                  Text,   Setting("collectors.arp.device_exclude")),
    flag("collector.arp.netlink",                         Switch, NotNeeded("netlink is used where the kernel has it")),
    flag("collector.bcache.priorityStats",                Switch, Setting("collectors.bcache.priority_stats")),
    flag("collector.cpu.guest",                           Switch, Setting("collectors.cpu.guest")),
    flag("collector.cpu.info",                            Switch, Setting("collectors.cpu.info")),
    flag("collector.cpu.info.flags-include",              Text,   By(cpu_flags)),
    flag("collector.cpu.info.bugs-include",               Text,   By(cpu_bugs)),
    flag("collector.diskstats.device-exclude",            Text,   Setting("collectors.diskstats.device_exclude")),
    flag("collector.diskstats.device-include",            Text,   Setting("collectors.diskstats.device_include")),
    flag("collector.ethtool.device-include",              Text,   Setting("collectors.ethtool.device_include")),
    flag("collector.ethtool.device-exclude",              Text,   Setting("collectors.ethtool.device_exclude")),
    flag("collector.ethtool.metrics-include",             Text,   Setting("collectors.ethtool.metrics_include")),
    flag("collector.filesystem.mount-points-exclude",     Text,   Setting("collectors.filesystem.mount_points_exclude")),
    flag("collector.filesystem.mount-points-include",     Text,   Setting("collectors.filesystem.mount_points_include")),
    flag("collector.filesystem.fs-types-exclude",         Text,   Setting("collectors.filesystem.fs_types_exclude")),
    flag("collector.filesystem.fs-types-include",         Text,   Setting("collectors.filesystem.fs_types_include")),
    flag("collector.filesystem.mount-timeout",            Duration, NotNeeded("a file system that does not respond in 200 ms is left out until it responds")),
    flag("collector.filesystem.stat-workers",             Number, NotNeeded("each file system that may hang has a thread of its own")),
    flag("collector.hwmon.chip-include",                  Text,   Setting("collectors.hwmon.chip_include")),
    flag("collector.hwmon.chip-exclude",                  Text,   Setting("collectors.hwmon.chip_exclude")),
    flag("collector.hwmon.sensor-include",                Text,   Setting("collectors.hwmon.sensor_include")),
    flag("collector.hwmon.sensor-exclude",                Text,   Setting("collectors.hwmon.sensor_exclude")),
    flag("collector.infiniband.device-include",           Text,   Setting("collectors.infiniband.device_include")),
    flag("collector.infiniband.device-exclude",           Text,   Setting("collectors.infiniband.device_exclude")),
    flag("collector.interrupts.name-include",             Text,   Setting("collectors.interrupts.name_include")),
    flag("collector.interrupts.name-exclude",             Text,   Setting("collectors.interrupts.name_exclude")),
    flag("collector.interrupts.include-zeros",            Switch, Setting("collectors.interrupts.include_zeros")),
    flag("collector.ipvs.backend-labels",                 Words,  Setting("collectors.ipvs.backend_labels")),
    flag("collector.netclass.ignored-devices",            Text,   By(|value| ignored("collectors.netclass.ignored_devices", value))),
    flag("collector.netclass.ignore-invalid-speed",       Switch, Setting("collectors.netclass.ignore_invalid_speed")),
    flag("collector.netclass.netlink",                    Switch, Changed("collectors.netclass.altnames", "netlink is used anyway; the setting adds the alternative names")),
    flag("collector.netclass_rtnl.with-stats",            Switch, NotNeeded("netdev and netclass share one request")),
    flag("collector.netdev.device-include",               Text,   Setting("collectors.netdev.device_include")),
    flag("collector.netdev.device-exclude",               Text,   Setting("collectors.netdev.device_exclude")),
    flag("collector.netdev.address-info",                 Switch, Setting("collectors.netdev.address_info")),
    flag("collector.netdev.enable-detailed-metrics",      Switch, missing("false", "use the families of the default, such as node_network_receive_errs_total")),
    flag("collector.netdev.netlink",                      Switch, NotNeeded("netlink is used where the kernel has it")),
    flag("collector.netdev.label-ifalias",                Switch, missing("false", "join with node_network_info, which has the label ifalias")),
    flag("collector.netstat.fields",                      Text,   Setting("collectors.netstat.fields")),
    flag("collector.ntp.server",                          Text,   Setting("collectors.ntp.server")),
    flag("collector.ntp.server-port",                     Number, Setting("collectors.ntp.server_port")),
    flag("collector.ntp.protocol-version",                Number, Setting("collectors.ntp.protocol_version")),
    flag("collector.ntp.server-is-local",                 Switch, Setting("collectors.ntp.server_is_local")),
    flag("collector.ntp.ip-ttl",                          Number, Setting("collectors.ntp.ip_ttl")),
    flag("collector.ntp.max-distance",                    Duration, Setting("collectors.ntp.max_distance")),
    flag("collector.ntp.local-offset-tolerance",          Duration, Setting("collectors.ntp.local_offset_tolerance")),
    flag("collector.pcidevice.idsfile",                   Text,   missing("", "node_pcidevice_info has the numbers; join them with a table of names")),
    flag("collector.pcidevice.names",                     Switch, missing("false", "node_pcidevice_info has the numbers; join them with a table of names")),
    flag("collector.perf.cpus",                           Text,   Setting("collectors.perf.cpus")),
    flag("collector.perf.tracepoint",                     List,   Setting("collectors.perf.tracepoint")),
    flag("collector.perf.disable-hardware-profilers",     Switch, Setting("collectors.perf.disable_hardware_profilers")),
    flag("collector.perf.hardware-profilers",             List,   Setting("collectors.perf.hardware_profilers")),
    flag("collector.perf.disable-software-profilers",     Switch, Setting("collectors.perf.disable_software_profilers")),
    flag("collector.perf.software-profilers",             List,   Setting("collectors.perf.software_profilers")),
    flag("collector.perf.disable-cache-profilers",        Switch, Setting("collectors.perf.disable_cache_profilers")),
    flag("collector.perf.cache-profilers",                List,   Setting("collectors.perf.cache_profilers")),
    flag("collector.powersupply.ignored-supplies",        Text,   By(|value| ignored("collectors.powersupplyclass.ignored_supplies", value))),
    flag("collector.qdisc.device-include",                Text,   Setting("collectors.qdisc.device_include")),
    flag("collector.qdisc.device-exclude",                Text,   Setting("collectors.qdisc.device_exclude")),
    flag("collector.qdisc.fixtures",                      Text,   missing("", "it is of node_exporter's own tests; leave it out")),
    flag("collector.rapl.enable-zone-label",              Switch, Setting("collectors.rapl.enable_zone_label")),
    flag("collector.runit.servicedir",                    Text,   Setting("collectors.runit.service_dir")),
    flag("collector.slabinfo.slabs-include",              Text,   Setting("collectors.slabinfo.slabs_include")),
    flag("collector.slabinfo.slabs-exclude",              Text,   By(slabs_exclude)),
    flag("collector.stat.softirq",                        Switch, Setting("collectors.stat.softirq")),
    flag("collector.supervisord.url",                     Text,   Setting("collectors.supervisord.url")),
    flag("collector.sysctl.include",                      List,   Setting("collectors.sysctl.include")),
    flag("collector.sysctl.include-info",                 List,   Setting("collectors.sysctl.include_info")),
    flag("collector.systemd.unit-include",                Text,   Setting("collectors.systemd.unit_include")),
    flag("collector.systemd.unit-exclude",                Text,   Setting("collectors.systemd.unit_exclude")),
    flag("collector.systemd.enable-task-metrics",         Switch, Setting("collectors.systemd.enable_task_metrics")),
    flag("collector.systemd.enable-restarts-metrics",     Switch, Setting("collectors.systemd.enable_restarts_metrics")),
    flag("collector.systemd.enable-start-time-metrics",   Switch, Setting("collectors.systemd.enable_start_time_metrics")),
    flag("collector.systemd.private",                     Switch, missing("false", "systemd is asked over the system bus; run a bus, or leave the flag out")),
    flag("collector.tapestats.ignored-devices",           Text,   By(|value| ignored("collectors.tapestats.ignored_devices", value))),
    flag("collector.textfile.directory",                  List,   By(directory)),
    flag("collector.vmstat.fields",                       Text,   Setting("collectors.vmstat.fields")),
    flag("collector.wifi.fixtures",                       Text,   missing("", "it is of node_exporter's own tests; leave it out")),
    // Paths.
    flag("path.procfs",                                   Text,   Setting("host.proc")),
    flag("path.sysfs",                                    Text,   Setting("host.sys")),
    flag("path.rootfs",                                   Text,   Setting("host.root")),
    flag("path.udev.data",                                Text,   Setting("host.udev")),
    // HTTP.
    flag("web.listen-address",                            Addresses, Setting("http.listen")),
    flag("web.telemetry-path",                            Text,   Setting("http.telemetry_path")),
    flag("web.max-requests",                              Number, Setting("http.max_requests")),
    flag("web.config.file",                               Text,   By(web_config_file)),
    flag("web.disable-exporter-metrics",                  Switch, By(disable_exporter_metrics)),
    flag("web.systemd-socket",                            Switch, NotNeeded("sockets of systemd are taken where it passes any: taffrail.socket")),
    // The process.
    flag("runtime.gomaxprocs",                            Number, NotNeeded("one thread reads, one serves")),
    flag("log.level",                                     Text,   By(log_level)),
    flag("log.format",                                    Text,   By(log_format)),
];

/// Earlier names, with the present ones.
const RENAMED: &[(&str, &str)] = &[
    ("collector.diskstats.ignored-devices", "collector.diskstats.device-exclude"),
    ("collector.filesystem.ignored-fs-types", "collector.filesystem.fs-types-exclude"),
    ("collector.filesystem.ignored-mount-points", "collector.filesystem.mount-points-exclude"),
    ("collector.netdev.device-blacklist", "collector.netdev.device-exclude"),
    ("collector.netdev.device-whitelist", "collector.netdev.device-include"),
    ("collector.netdev.ignored-devices", "collector.netdev.device-exclude"),
    ("collector.qdisk.device-exclude", "collector.qdisc.device-exclude"),
    ("collector.qdisk.device-include", "collector.qdisc.device-include"),
    ("collector.systemd.unit-blacklist", "collector.systemd.unit-exclude"),
    ("collector.systemd.unit-whitelist", "collector.systemd.unit-include"),
    ("web.config", "web.config.file"),
];

/// Flags of earlier releases that are gone, with what to do instead.
const REMOVED: &[(&str, &str)] = &[
    ("collector.gmond", "it is gone since 0.17; leave it out"),
    ("collector.megacli", "use the text file of storcli.py or megacli"),
    ("collectors.enabled", "name each collector with --collector.NAME"),
    ("collectors.print", "run taffrail collectors"),
];

/// Defaults of Debian's package that differ from upstream's.
const DEBIAN: &[(&str, &str)] = &[
    ("collector.diskstats.device-exclude", "^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\\d+n\\d+p)\\d+$"),
    (
        "collector.filesystem.mount-points-exclude",
        "^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    ),
    ("collector.netdev.device-exclude", "^lo$"),
    ("collector.systemd.unit-exclude", ".+\\.(automount|device|mount|scope|slice|target)"),
    ("collector.textfile.directory", "/var/lib/prometheus/node-exporter"),
];

/// Translates the flags of Debian's `prometheus-node-exporter`, which has some other defaults.
pub fn translate_debian(arguments: &[String], source: &Source) -> Translation {
    let mut translation = NODE_EXPORTER.translate(arguments, source);
    let given = |name: &str| {
        let is_it = |flag: &str| NODE_EXPORTER.flag(flag.trim_start_matches('-')).is_some_and(|flag| flag.name == name);
        translation.entries.iter().any(|entry| is_it(&entry.source.flag))
    };
    let include = |name: &str| given(name) || given(&name.replace("-exclude", "-include"));
    // Debian turns on systemd, too.
    let has = |flag: &str| translation.entries.iter().any(|entry| entry.source.flag.ends_with(flag));
    let is_chosen = has("collector.disable-defaults") || has("collector.systemd");
    let systemd = (!is_chosen).then(|| "--collector.systemd".to_owned());
    let flags = DEBIAN.iter().filter(|(name, _)| !include(name)).map(|(name, value)| format!("--{name}={value}"));
    let defaults: Vec<String> = flags.chain(systemd).collect();
    translation
        .append(NODE_EXPORTER.translate(&defaults, &Source { file: "Debian's default".into(), ..Source::default() }));
    translation
}

const fn flag(name: &'static str, takes: Takes, becomes: Becomes) -> Flag {
    Flag { name, takes, becomes }
}

const fn missing(default: &'static str, instead: &'static str) -> Becomes {
    Missing { default, instead }
}

fn disable_defaults(value: &str) -> Decision {
    // The exporter's own metrics are no collector there.
    let settings =
        vec![("collectors.default", (value != "true").to_string()), ("collectors.process.enabled", "true".into())];
    Decision { settings, outcome: Outcome::Same }
}

/// These flags turn the information on, too.
fn cpu_flags(value: &str) -> Decision {
    cpu_info("collectors.cpu.info_flags_include", value)
}

fn cpu_bugs(value: &str) -> Decision {
    cpu_info("collectors.cpu.info_bugs_include", value)
}

fn cpu_info(setting: &'static str, value: &str) -> Decision {
    match value {
        "" => Decision::none(Outcome::NotNeeded("an empty pattern is none".to_owned())),
        _ => {
            let settings = vec![(setting, literal(value)), ("collectors.cpu.info", "true".to_owned())];
            Decision { settings, outcome: Outcome::Same }
        }
    }
}

fn disable_exporter_metrics(value: &str) -> Decision {
    Decision::one("collectors.process.usage", (value != "true").to_string(), Outcome::Same)
}

/// In node_exporter, an empty one of these patterns leaves out everything; in Taffrail it is no filter.
fn ignored(setting: &'static str, value: &str) -> Decision {
    match value {
        "" => Decision::none(Outcome::Missing(
            "an empty pattern leaves out everything: turn the collector off with --no-collector.NAME".to_owned(),
        )),
        value => Decision::one(setting, literal(value), Outcome::Same),
    }
}

/// An empty pattern is the default.
fn slabs_exclude(value: &str) -> Decision {
    match value {
        "" => Decision::none(Outcome::NotNeeded("it is the default".to_owned())),
        value => Decision::one("collectors.slabinfo.slabs_exclude", literal(value), Outcome::Same),
    }
}

fn directory(value: &str) -> Decision {
    match value {
        // Without the setting, Taffrail's own directories are read.
        "" => Decision::one("collectors.textfile.directory", "[]".to_owned(), Outcome::Same),
        value => Decision::one("collectors.textfile.directory", literal(value), Outcome::Same),
    }
}

/// A file for TLS and users.
pub(super) fn web_config_file(value: &str) -> Decision {
    match value {
        "" => Decision::none(Outcome::NotNeeded("it is the default".to_owned())),
        value => Decision::one("http.web_config_file", literal(value), Outcome::Same),
    }
}

/// The level of the log.
pub(super) fn log_level(value: &str) -> Decision {
    match value {
        "info" => Decision::none(Outcome::NotNeeded("it is the default".to_owned())),
        "debug" | "warn" | "error" => Decision::one("log.level", literal(value), Outcome::Same),
        _ => Decision::none(Outcome::Missing("expected debug, info, warn or error".to_owned())),
    }
}

/// The format of the log.
pub(super) fn log_format(value: &str) -> Decision {
    match value {
        "logfmt" | "json" => Decision::one("log.format", literal(value), Outcome::Same),
        _ => Decision::none(Outcome::Missing("expected logfmt or json".to_owned())),
    }
}
