//! Which cgroups the collector `container` shows, and what of them, as it is configured.

use std::collections::BTreeSet;
use std::fs;

use crate::common::{collectors, exposition, host_of, read, recorded_host};
use taffrail::collectors::readers::Readers;
use taffrail::encode::text::Dialect;

/// The exposition of a recorded node of Kubernetes by the collector `container` alone, configured with `settings`.
fn shown(settings: &str) -> String {
    let host = host_of(&recorded_host("kubelet-systemd-v2").join("after"));
    let config = format!("[collectors]\ndefault = false\nenable = [\"container\"]\n[collectors.container]\n{settings}");
    let readers = Readers::new(host.clone(), collectors(&host, &config));
    exposition(&read(&readers), Dialect::Plain)
}

/// The values of `label` in the series of `family`.
fn values(exposition: &str, family: &str, label: &str) -> BTreeSet<String> {
    let (start, before) = (format!("{family}{{"), format!("{label}=\""));
    let lines = exposition.lines().filter(|line| line.starts_with(&start));
    lines.filter_map(|line| Some(line.split_once(&before)?.1.split_once('"')?.0.to_owned())).collect()
}

fn kinds(settings: &str) -> BTreeSet<String> {
    values(&shown(settings), "container_info", "kind")
}

fn containers(settings: &str) -> BTreeSet<String> {
    let shown = values(&shown(settings), "container_info", "container");
    shown.into_iter().filter(|name| !name.is_empty()).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn kinds_are_chosen() {
    assert_eq!(kinds(""), set(["container", "host", "kubepods", "pod"]));
    assert_eq!(kinds("kinds = [\"service\", \"slice\"]"), set(["service", "slice"]));
    let all = "kinds = [\"host\", \"container\", \"pod\", \"kubepods\", \"machine\", \"service\", \"scope\", \"slice\", \"other\"]";
    assert_eq!(kinds(all), set(["container", "host", "kubepods", "other", "pod", "scope", "service", "slice"]));
}

#[test]
fn cgroups_are_chosen_by_name_namespace_and_path() {
    assert_eq!(containers(""), set(["app", "envoy", "etcd", "proxy", "run"]));
    assert_eq!(containers("namespace_include = '^shop$'"), set(["app", "envoy"]));
    assert_eq!(containers("namespace_exclude = '^kube-system$'"), set(["app", "envoy", "run"]));
    assert_eq!(containers("path_include = 'besteffort'"), set(["run"]));
    assert_eq!(containers("path_exclude = 'burstable'"), set(["proxy", "run"]));
    // No runtime reports a name or an image here.
    assert_eq!(containers("image_include = '.'"), set([]));
    assert_eq!(containers("image_exclude = '.'"), containers(""));
    assert_eq!(containers("name_include = '^[0-9a-f]{64}$'"), containers(""));
    assert_eq!(containers("depth = 3"), set(["proxy"]));
}

#[test]
fn what_is_beyond_the_limit_is_counted() {
    let all = shown("");
    let shown = shown("limit = 4");
    let value =
        |text: &str, name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
    assert_eq!(value(&shown, "taffrail_containers "), Some(4));
    let left_out = value(&shown, "taffrail_containers_left_out ");
    assert_eq!(left_out, value(&all, "taffrail_containers ").map(|count| count - 4));
    assert_eq!(value(&all, "taffrail_containers_left_out "), Some(0));
    assert_eq!(value(&all, "taffrail_cgroups "), value(&shown, "taffrail_cgroups "));
}

#[test]
fn sets_are_chosen() {
    let families = |settings: &str| -> BTreeSet<String> {
        let shown = shown(settings);
        let names = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        names.filter(|name| name.starts_with("container_")).map(str::to_owned).collect()
    };
    assert_eq!(families("sets = [\"oom\"]"), set(["container_oom_events_total"]));
    assert_eq!(families("sets = [\"times\"]"), set(["container_last_seen", "container_start_time_seconds"]));
    let by_default = families("");
    // What the rules and dashboards of kubernetes-mixin need.
    for needed in [
        "container_cpu_cfs_periods_total",
        "container_cpu_cfs_throttled_periods_total",
        "container_cpu_cfs_throttled_seconds_total",
        "container_cpu_usage_seconds_total",
        "container_fs_reads_bytes_total",
        "container_fs_reads_total",
        "container_fs_writes_bytes_total",
        "container_fs_writes_total",
        "container_memory_cache",
        "container_memory_rss",
        "container_memory_swap",
        "container_memory_usage_bytes",
        "container_memory_working_set_bytes",
        "container_network_receive_bytes_total",
        "container_network_receive_packets_dropped_total",
        "container_network_receive_packets_total",
        "container_network_transmit_bytes_total",
        "container_network_transmit_packets_dropped_total",
        "container_network_transmit_packets_total",
    ] {
        assert!(by_default.contains(needed), "{needed}");
    }
    let dropped = ["spec_", "cpu_user", "cpu_system", "mapped_file", "file_descriptors", "threads_max"];
    for family in &by_default {
        assert!(!dropped.iter().any(|part| family.contains(part)), "{family}");
    }
}

#[test]
fn interfaces_are_chosen() {
    let interfaces = |settings| values(&shown(settings), "container_network_receive_bytes_total", "interface");
    assert_eq!(interfaces(""), set(["ens5", "eth0"]));
    assert_eq!(interfaces("interfaces_exclude = '^e'"), set(["cni0", "lo", "veth1234"]));
}

/// `docker restart` makes a new cgroup at the same path, with another process. A PID may come again.
#[test]
fn a_container_that_starts_again_at_its_path_has_the_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let (proc, memory) = (folder.path().join("after/proc"), folder.path().join("after/sys/fs/cgroup/memory"));
    let cgroup = memory.join("docker").join("d".repeat(64));
    let run = |pid: u64, ticks: u64| {
        fs::create_dir_all(&cgroup).unwrap();
        fs::create_dir_all(proc.join(pid.to_string())).unwrap();
        let fields = "0 ".repeat(17);
        fs::write(proc.join(format!("{pid}/stat")), format!("{pid} (app) S 1 {fields}{ticks} 0\n")).unwrap();
        fs::write(cgroup.join("cgroup.procs"), format!("{pid}\n")).unwrap();
    };
    let stop = |pid: u64| {
        fs::remove_dir_all(proc.join(pid.to_string())).unwrap();
        fs::write(cgroup.join("cgroup.procs"), "").unwrap();
    };
    run(700, 5_000);
    fs::write(memory.join("cgroup.procs"), "1\n").unwrap();
    fs::write(proc.join("stat"), "cpu 1 2 3 4 5 6 7 8 0 0\nbtime 1700000000\n").unwrap();

    let host = host_of(&folder.path().join("after"));
    let config = "[collectors]\ndefault = false\nenable = [\"container\"]\n[collectors.container]\nsets = [\"times\"]";
    let readers = Readers::new(host.clone(), collectors(&host, config));
    let start = || {
        let text = exposition(&read(&readers), Dialect::Plain);
        let line =
            text.lines().find(|line| line.starts_with("container_start_time_seconds{") && line.contains("/docker/"));
        line.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
    };
    assert_eq!(start(), Some(1_700_000_050));
    stop(700);
    assert_eq!(start(), None);
    fs::remove_dir_all(&cgroup).unwrap();
    run(800, 9_000);
    assert_eq!(start(), Some(1_700_000_090));
    run(800, 12_000);
    assert_eq!(start(), Some(1_700_000_120));
    // Another cgroup before any reading has seen that the first is gone.
    stop(800);
    fs::remove_dir_all(&cgroup).unwrap();
    run(700, 15_000);
    assert_eq!(start(), Some(1_700_000_150));
}
