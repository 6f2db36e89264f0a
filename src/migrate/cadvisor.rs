//! cAdvisor's flags.
//!
//! The columns of the table: the flag, what it takes, and what becomes of it.

use super::command_line::Syntax;
use super::flags::Becomes::{By, Changed, NotNeeded, Setting};
use super::flags::Takes::{Duration, Number, Switch, Text, Words};
use super::flags::{Becomes, Decision, Flag, Program, Takes};
use super::output::{literal, strings};
use super::translation::{Outcome, Source, Translation};

/// cAdvisor 0.53.
pub static CADVISOR: Program = Program {
    name: "cadvisor",
    version: "0.53",
    syntax: Syntax::Go,
    collectors: &[],
    flags: FLAGS,
    renamed: &[],
    removed: &[],
};

const NO_API: &str = "Taffrail has no API and page of containers; use the metrics, or the dashboard of containers";
const NO_STORAGE: &str = "use a push sink of Taffrail's, such as [[sinks.influxdb]] or [[sinks.remote_write]]";
const LOG: &str = "the log goes to standard error";
const AT_SCRAPE: &str = "containers are read at each scrape";

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    // Where it listens; see `listen`.
    flag("port",                                Number,   By(nothing)),
    flag("listen_ip",                           Text,     By(nothing)),
    flag("prometheus_endpoint",                 Text,     Setting("http.telemetry_path")),
    flag("url_base_prefix",                     Text,     missing("", "scrape the path of [http] telemetry_path")),
    flag("http_auth_file",                      Text,     missing("", "name the users in [[http.users]]")),
    flag("http_auth_realm",                     Text,     NotNeeded("there is no realm to choose")),
    flag("http_digest_file",                    Text,     missing("", "name the users in [[http.users]]; they use basic authentication")),
    flag("http_digest_realm",                   Text,     NotNeeded("there is no realm to choose")),
    flag("profiling",                           Switch,   NotNeeded("there is no Go to profile")),
    flag("disable_prometheus_process_metrics",  Switch,   By(process_metrics)),
    // What is shown.
    flag("docker_only",                         Switch,   By(docker_only)),
    flag("disable_root_cgroup_stats",           Switch,   By(root_cgroup)),
    flag("raw_cgroup_prefix_whitelist",         Words,    By(prefixes)),
    flag("disable_metrics",                     Text,     By(disable_metrics)),
    flag("enable_metrics",                      Text,     By(enable_metrics)),
    flag("store_container_labels",              Switch,   By(store_labels)),
    flag("whitelisted_container_labels",        Words,    Changed("collectors.container.labels", "labels of containers are on container_info, not on every series")),
    flag("env_metadata_whitelist",              Text,     missing("", "use labels of containers in place of variables")),
    flag("docker_env_metadata_whitelist",       Text,     missing("", "use labels of containers in place of variables")),
    flag("containerd_env_metadata_whitelist",   Text,     missing("", "use labels of containers in place of variables")),
    flag("application_metrics_count_limit",     Number,   missing("100", "let Prometheus scrape the application")),
    flag("collector_cert",                      Text,     missing("", "let Prometheus scrape the application")),
    flag("collector_key",                       Text,     missing("", "let Prometheus scrape the application")),
    flag("container_hints",                     Text,     missing("/etc/cadvisor/container_hints.json", "container names come from the runtime")),
    flag("perf_events_config",                  Text,     missing("", "[collectors.perf] counts events of CPUs, not of containers")),
    flag("resctrl_interval",                    Duration, missing("0", "there is no metric of resctrl")),
    flag("enable_load_reader",                  Switch,   missing("false", "use the pressure of containers: container_pressure_cpu_waiting_seconds_total")),
    // Where names come from.
    flag("docker",                              Text,     By(docker)),
    flag("docker_root",                         Text,     NotNeeded("Docker's folder is not read")),
    flag("docker-tls",                          Switch,   missing("false", "connect to Docker's socket on this host")),
    flag("docker-tls-ca",                       Text,     NotNeeded("Docker is asked over its socket")),
    flag("docker-tls-cert",                     Text,     NotNeeded("Docker is asked over its socket")),
    flag("docker-tls-key",                      Text,     NotNeeded("Docker is asked over its socket")),
    flag("podman",                              Text,     By(docker)),
    flag("containerd",                          Text,     NotNeeded("names come from containerd's task folder or the kubelet: containerd_tasks, kubelet_url")),
    flag("containerd-namespace",                Text,     NotNeeded("containers of all namespaces are shown")),
    flag("crio_client_timeout",                 Duration, NotNeeded("no source of names delays a scrape")),
    flag("mesos_agent",                         Text,     missing("127.0.0.1:5051", "Mesos is not asked for names")),
    flag("mesos_agent_timeout",                 Duration, NotNeeded("Mesos is not asked for names")),
    // How often it reads.
    flag("housekeeping_interval",               Duration, NotNeeded(AT_SCRAPE)),
    flag("max_housekeeping_interval",           Duration, NotNeeded(AT_SCRAPE)),
    flag("global_housekeeping_interval",        Duration, NotNeeded(AT_SCRAPE)),
    flag("allow_dynamic_housekeeping",          Switch,   NotNeeded(AT_SCRAPE)),
    flag("update_machine_info_interval",        Duration, NotNeeded(AT_SCRAPE)),
    flag("storage_duration",                    Duration, NotNeeded("Prometheus has the history")),
    flag("event_storage_age_limit",             Text,     NotNeeded(NO_API)),
    flag("event_storage_event_limit",           Text,     NotNeeded(NO_API)),
    flag("max_procs",                           Number,   NotNeeded("one thread reads, one serves")),
    flag("boot_id_file",                        Text,     NotNeeded("machine_* are read of procfs and sysfs")),
    flag("machine_id_file",                     Text,     NotNeeded("machine_* are read of procfs and sysfs")),
    // Where it sends.
    flag("storage_driver",                      Text,     missing("", NO_STORAGE)),
    flag("storage_driver_buffer_duration",      Duration, NotNeeded("sinks have flush_interval")),
    flag("storage_driver_db",                   Text,     missing("cadvisor", NO_STORAGE)),
    flag("storage_driver_host",                 Text,     missing("localhost:8086", NO_STORAGE)),
    flag("storage_driver_user",                 Text,     missing("root", NO_STORAGE)),
    flag("storage_driver_password",             Text,     missing("root", NO_STORAGE)),
    flag("storage_driver_secure",               Switch,   missing("false", NO_STORAGE)),
    flag("storage_driver_table",                Text,     missing("stats", NO_STORAGE)),
    flag("storage_driver_influxdb_retention_policy", Text, missing("", NO_STORAGE)),
    // The log.
    flag("add_dir_header",                      Switch,   NotNeeded(LOG)),
    flag("alsologtostderr",                     Switch,   NotNeeded(LOG)),
    flag("log_backtrace_at",                    Text,     NotNeeded(LOG)),
    flag("log_cadvisor_usage",                  Switch,   NotNeeded("the collector process has it")),
    flag("log_dir",                             Text,     NotNeeded(LOG)),
    flag("log_file",                            Text,     NotNeeded(LOG)),
    flag("log_file_max_size",                   Number,   NotNeeded(LOG)),
    flag("logtostderr",                         Switch,   NotNeeded(LOG)),
    flag("one_output",                          Switch,   NotNeeded(LOG)),
    flag("skip_headers",                        Switch,   NotNeeded(LOG)),
    flag("skip_log_headers",                    Switch,   NotNeeded(LOG)),
    flag("stderrthreshold",                     Text,     NotNeeded(LOG)),
    flag("v",                                   Number,   NotNeeded("the log has levels: taffrail run --log-level debug")),
    flag("vmodule",                             Text,     NotNeeded("the log has levels: taffrail run --log-level debug")),
];

/// Kinds of metrics that cAdvisor can turn off, with the set of Taffrail's that has them. An empty set: Taffrail has
/// none of them.
const SETS: &[(&str, &str)] = &[
    ("advtcp", ""),
    ("app", ""),
    ("cpu", "cpu"),
    ("cpu_topology", ""),
    ("cpuLoad", ""),
    ("cpuset", ""),
    ("disk", "io"),
    ("diskIO", "io"),
    ("hugetlb", "hugetlb"),
    ("memory", "memory"),
    ("memory_numa", ""),
    ("network", "network"),
    ("oom_event", "oom"),
    ("percpu", ""),
    ("perf_event", ""),
    ("pressure", "pressure"),
    ("process", "processes"),
    ("referenced_memory", ""),
    ("resctrl", ""),
    ("sched", ""),
    ("tcp", ""),
    ("udp", ""),
];

/// Sets that are on by default.
const DEFAULT_SETS: [&str; 9] = ["cpu", "memory", "io", "network", "processes", "pressure", "oom", "times", "info"];

/// Kinds that cAdvisor has off by default.
const OFF: [&str; 11] = [
    "advtcp",
    "cpu_topology",
    "cpuset",
    "hugetlb",
    "memory_numa",
    "process",
    "referenced_memory",
    "resctrl",
    "sched",
    "tcp",
    "udp",
];

/// Translates a command line. Taffrail then listens where cAdvisor does, and exports containers alone.
pub fn translate(arguments: &[String], source: &Source) -> Translation {
    let mut translation = CADVISOR.translate(arguments, source);
    let default = Source { file: "cAdvisor's default".into(), ..Source::default() };
    let value = |name: &str| {
        let entries = translation.entries.iter().enumerate();
        let mut with = entries.filter(|(_, entry)| entry.source.flag.trim_start_matches('-') == name);
        with.next_back().and_then(|(id, entry)| Some((id, entry.text.split_once(['=', ' '])?.1.to_owned())))
    };
    let (port, ip) = (value("port"), value("listen_ip"));
    let number = port.as_ref().map_or("8080", |(_, port)| port);
    let host = ip.as_ref().map_or("", |(_, ip)| ip);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = literal(&format!("{host}:{number}"));
    let entry = match ip.as_ref().or(port.as_ref()) {
        Some((id, _)) => *id,
        None => translation.add(default.clone(), "-port=8080", Outcome::Same),
    };
    translation.output.table("http").push("listen", address, entry);
    let entry = translation.add(default, "container_* and machine_* alone", Outcome::Same);
    translation.output.table("collectors").set("default", "false", entry);
    translation.output.table("collectors.container").set("enabled", "true", entry);
    translation
}

const fn flag(name: &'static str, takes: Takes, becomes: Becomes) -> Flag {
    Flag { name, takes, becomes }
}

const fn missing(default: &'static str, instead: &'static str) -> Becomes {
    Becomes::Missing { default, instead }
}

/// The setting is written together with that of another flag.
fn nothing(_: &str) -> Decision {
    Decision::none(Outcome::Same)
}

fn process_metrics(value: &str) -> Decision {
    Decision::one("collectors.process.enabled", (value != "true").to_string(), Outcome::Same)
}

fn docker_only(value: &str) -> Decision {
    let how = "containers of every runtime, not of Docker alone".to_owned();
    match value {
        "true" => {
            Decision::one("collectors.container.kinds", strings(&["host", "container", "pod"]), Outcome::Changed(how))
        }
        _ => {
            let how = "also services, scopes and slices of systemd".to_owned();
            let kinds = strings(&["host", "container", "pod", "machine", "service", "scope", "slice", "other"]);
            Decision::one("collectors.container.kinds", kinds, Outcome::Changed(how))
        }
    }
}

fn root_cgroup(value: &str) -> Decision {
    match value {
        "true" => Decision::one(
            "collectors.container.kinds",
            strings(&["container", "pod", "machine"]),
            Outcome::Changed("the root is the kind host".to_owned()),
        ),
        _ => Decision::none(Outcome::NotNeeded("it is the default".to_owned())),
    }
}

fn prefixes(value: &str) -> Decision {
    let paths: Vec<String> = value.split(',').filter(|path| !path.is_empty()).map(regex::escape).collect();
    match &paths[..] {
        [] => Decision::none(Outcome::NotNeeded("it is the default".to_owned())),
        paths => Decision::one(
            "collectors.container.path_include",
            literal(&format!("^({})", paths.join("|"))),
            Outcome::Changed("one regular expression for all prefixes".to_owned()),
        ),
    }
}

fn store_labels(value: &str) -> Decision {
    match value {
        "true" => Decision::one(
            "collectors.container.labels",
            strings(&["*"]),
            Outcome::Changed("labels of containers are on container_info, not on every series".to_owned()),
        ),
        _ => Decision::none(Outcome::NotNeeded("labels of containers are left out unless they are named".to_owned())),
    }
}

fn docker(value: &str) -> Decision {
    match value.strip_prefix("unix://") {
        Some(path) => Decision::one("collectors.container.docker_sockets", strings(&[path]), Outcome::Same),
        None => Decision::none(Outcome::Missing("connect to the runtime's socket on this host".to_owned())),
    }
}

fn disable_metrics(value: &str) -> Decision {
    let off: Vec<&str> = value.split(',').filter(|kind| !kind.is_empty()).collect();
    let on: Vec<&str> = SETS.iter().map(|(kind, _)| *kind).filter(|kind| !off.contains(kind)).collect();
    sets(&off, &on)
}

fn enable_metrics(value: &str) -> Decision {
    let on: Vec<&str> = value.split(',').filter(|kind| !kind.is_empty()).collect();
    sets(&on, &on)
}

/// The sets of the kinds that are on. `named` are those that the user wrote.
fn sets(named: &[&str], on: &[&str]) -> Decision {
    if let Some(unknown) = named.iter().find(|kind| !SETS.iter().any(|(known, _)| known == *kind)) {
        return Decision::none(Outcome::Missing(format!("cAdvisor has no metrics of the kind {unknown}")));
    }
    let set_of = |kind: &str| SETS.iter().find(|(known, _)| *known == kind).map_or("", |(_, set)| set);
    // A kind without a set is missing if it is on, unless cAdvisor has it off by default and the user only left it on.
    let absent: Vec<&str> = on
        .iter()
        .copied()
        .filter(|kind| set_of(kind).is_empty() && named.contains(kind))
        .chain(on.iter().copied().filter(|kind| OFF.contains(kind) && set_of(kind).is_empty() && !named.contains(kind)))
        .collect();
    let is_on = |set: &&&str| on.iter().any(|kind| set_of(kind) == **set) || matches!(**set, "times" | "info");
    let extra = on.iter().map(|kind| set_of(kind)).filter(|set| !set.is_empty() && !DEFAULT_SETS.contains(set));
    let chosen: Vec<&str> = DEFAULT_SETS.iter().filter(is_on).copied().chain(extra).collect();
    let outcome = match &absent[..] {
        [] => Outcome::Changed("sets that are exported, in place of kinds that are not".to_owned()),
        absent => Outcome::Missing(format!("the others are translated; there are no metrics of {}", absent.join(", "))),
    };
    Decision::one("collectors.container.sets", strings(&chosen), outcome)
}
