//! Taffrail in a Debian guest with systemd and cgroups of version 2, whichever the host has. QEMU emulates it, which takes
//! a minute; `tests/system/vm/scene` is what happens there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::harness::cgroups::{Fact, Hierarchies, agree_in_one_of, disagreements};
use crate::harness::docker::net_dev;
use crate::harness::series::{Exposition, Series};
use influxdb_line_protocol::{FieldValue, ParsedLine};

/// The folder with what the guest left: one boot for all tests.
static GUEST: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/vm/boot");
    let status = Command::new(script).arg(&folder).arg(env!("CARGO_BIN_EXE_taffrail")).status().unwrap();
    assert!(status.success(), "tests/system/vm/boot: {status}");
    folder.join("result")
});

const ROUNDS: usize = 5;

const BUSY: &str = "/work.slice/work-batch.slice/busy.service";
const HUNGRY: &str = "/system.slice/hungry.service";
const WRITER: &str = "/system.slice/writer.service";
const POD: &str = "/kubepods.slice/kubepods-burstable.slice/\
    kubepods-burstable-pod01234567_89ab_cdef_0123_456789abcdef.slice";

/// The containers' ids are made of one digit each.
fn id(digit: &str) -> String {
    digit.repeat(64)
}

fn docker() -> String {
    format!("/system.slice/docker-{}.scope", id("d"))
}

/// A container of the pod.
fn of_pod(digit: &str) -> String {
    format!("{POD}/cri-containerd-{}.scope", id(digit))
}

/// The cgroups that are compared with their files: services, slices, containers.
fn compared() -> Vec<String> {
    let slices = ["/work.slice", "/work.slice/work-batch.slice"];
    let named = [BUSY, HUNGRY, WRITER, POD, "/system.slice/dbus.service"];
    let containers = [docker(), of_pod("a"), of_pod("b")];
    slices.into_iter().chain(named).map(str::to_owned).chain(containers).collect()
}

fn text(name: &str) -> String {
    let path = GUEST.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What was printed, after which nothing was complained of.
fn printed(name: &str, problems: &str) -> Exposition {
    let complaints = text(problems);
    assert!(complaints.is_empty(), "{complaints}");
    let exposition = Exposition::parse(&text(name));
    assert!(exposition.succeeded("container"), "{name}: {:#?}", exposition.all("node_scrape_collector_success", &[]));
    exposition
}

fn round(number: usize) -> Exposition {
    printed(&format!("rounds/{number}/prometheus"), &format!("rounds/{number}/problems"))
}

fn facts(number: usize, when: &str, path: &str) -> Vec<Fact> {
    Hierarchies::copied(&GUEST.join(format!("rounds/{number}/{when}"))).facts(path)
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86: tests/run"]
fn with_qemu_system_x86_that_has_cgroups_of_version_2() {
    for path in compared() {
        assert!(facts(1, "before", &path).len() > 10, "{path}: {:#?}", facts(1, "before", &path));
        agree_in_one_of(ROUNDS, |number| {
            disagreements(&facts(number, "before", &path), &round(number), &facts(number, "after", &path), &path)
        });
    }
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86: tests/run"]
fn with_qemu_system_x86_that_limits_throttles_and_kills() {
    let ours = round(ROUNDS);
    let value = |family: &str, id: &str| ours.expect(family, &[("id", id)]);

    for path in [BUSY, &docker()] {
        let quota = value("container_spec_cpu_quota", path) / value("container_spec_cpu_period", path);
        assert!((quota - 0.2).abs() < 1e-9, "{path}: {quota}");
        assert!(value("container_cpu_cfs_periods_total", path) > 10.0);
    }
    assert!(value("container_cpu_cfs_throttled_periods_total", BUSY) > 10.0);
    assert!(value("container_cpu_cfs_throttled_seconds_total", BUSY) > 1.0);
    assert!(value("container_pressure_cpu_waiting_seconds_total", BUSY) > 1.0);
    // Without a quota there are no periods.
    assert_eq!(ours.value("container_cpu_cfs_periods_total", &[("id", WRITER)]), None);

    assert_eq!(value("container_oom_events_total", HUNGRY), 2.0);
    assert_eq!(value("container_oom_events_total", &docker()), 1.0);
    assert_eq!(value("container_oom_events_total", BUSY), 0.0);
    assert_eq!(value("container_spec_memory_limit_bytes", HUNGRY), f64::from(32 << 20));
    assert_eq!(value("container_spec_memory_limit_bytes", &docker()), f64::from(32 << 20));
    assert_eq!(value("container_spec_memory_limit_bytes", WRITER), 0.0);

    let disk = |family| ours.expect(family, &[("id", WRITER), ("device", "/dev/vdb")]);
    assert!(disk("container_fs_writes_bytes_total") >= f64::from(1 << 20));
    assert!(disk("container_fs_reads_bytes_total") >= f64::from(1 << 20));

    for family in ["container_start_time_seconds", "container_last_seen"] {
        // After this was written, and the start before what was seen.
        assert!(value(family, BUSY) > 1.7e9, "{family}");
    }
    assert!(value("container_start_time_seconds", BUSY) <= value("container_last_seen", BUSY));
    assert!(value("container_memory_usage_bytes", "/") > f64::from(32 << 20));
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86: tests/run"]
fn with_qemu_system_x86_whose_containers_have_names_and_networks() {
    let names = [("namespace", "shop"), ("pod", "web-1")];
    for number in 1..=ROUNDS {
        let ours = round(number);
        for series in ours.below(&of_pod("b")) {
            let labels = ["namespace", "pod", "container"].map(|label| series.label(label));
            assert_eq!(labels, ["shop", "web-1", "app"], "{series:?}");
        }
        assert!(ours.below(&of_pod("b")).count() > 10);
        let of_pod_itself = ours.all("container_memory_working_set_bytes", &[("id", POD)]);
        assert_eq!(of_pod_itself.len(), 1, "{of_pod_itself:#?}");
        assert!(names.iter().all(|(label, value)| of_pod_itself[0].label(label) == *value), "{of_pod_itself:#?}");

        // One network for the two containers of the pod, another for Docker's.
        let counters = |digit: &str, when: &str| {
            net_dev(&text(&format!("rounds/{number}/{when}/{}.net", id(digit))), "eth0").unwrap()
        };
        let families = ["container_network_receive_bytes_total", "container_network_transmit_bytes_total"];
        for (at, family) in families.into_iter().enumerate() {
            for (digit, below) in [("a", POD.to_owned()), ("d", docker())] {
                let found: Vec<_> = ours
                    .below(&below)
                    .filter(|series| series.name == family && series.label("interface") == "eth0")
                    .collect();
                assert_eq!(found.len(), 1, "{found:#?}");
                let (before, after) = (counters(digit, "before")[at], counters(digit, "after")[at]);
                assert!((before..=after).contains(&found[0].value), "{before} to {after}: {found:?}");
            }
            // Services have the host's.
            assert!(ours.all(family, &[("id", BUSY)]).is_empty());
        }
    }
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86: tests/run"]
fn with_qemu_system_x86_and_no_privileges_nothing_is_missing() {
    let keys = |exposition: &Exposition| -> BTreeSet<String> {
        let ours = exposition.0.iter();
        // The cgroups of logind and udev come and go.
        let ours = ours.filter(|series| compared().iter().any(|path| series.label("id") == path));
        ours.map(|series| series.key()).collect()
    };
    let root = printed("privileged", "privileged.problems");
    let unprivileged = printed("unprivileged", "unprivileged.problems");
    let (root_keys, unprivileged_keys) = (keys(&root), keys(&unprivileged));
    assert!(root_keys.len() > 100, "{root_keys:#?}");
    let differing: Vec<_> = root_keys.symmetric_difference(&unprivileged_keys).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(root.families("container_"), unprivileged.families("container_"));
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86: tests/run"]
fn with_qemu_system_x86_whose_units_and_containers_are_pushed() {
    // It says that it waits for its second reading, and nothing else.
    let complaints = text("influx.problems");
    assert!(complaints.lines().all(|line| line.contains("waiting")), "{complaints}");
    let points = text("influx");
    let lines: Vec<_> = influxdb_line_protocol::parse_lines(&points).map(Result::unwrap).collect();
    let number = |line: &ParsedLine<'_>, field: &str| match line.field_value(field) {
        Some(FieldValue::I64(value)) => *value as f64,
        Some(FieldValue::F64(value)) => *value,
        other => panic!("{field} is {other:?} in {line}"),
    };

    let unit = |path: &str| {
        let whole = format!("/sys/fs/cgroup{}", path.trim_end_matches('/'));
        let is_it = |line: &&ParsedLine<'_>| line.tag_value("path").is_some_and(|found| found.as_str() == whole);
        let found: Vec<_> = lines.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        found[0]
    };
    assert!(number(unit(BUSY), "cpu.stat.nr_throttled") > 10.0);
    assert!(number(unit(HUNGRY), "memory.current") > 0.0);
    assert!(number(unit("/work.slice/work-batch.slice"), "cpu.stat.usage_usec") > 1e6);
    unit("/");

    for (digit, names) in [("d", ["", "", ""]), ("b", ["shop", "web-1", "app"])] {
        let of_container = |measurement: &str| {
            let is_it = |line: &&ParsedLine<'_>| {
                line.series.measurement.as_str() == measurement
                    && matches!(line.field_value("container_id"), Some(FieldValue::String(found)) if found.as_str() == id(digit))
            };
            let found: Vec<_> = lines.iter().filter(is_it).collect();
            assert_eq!(found.len(), 1, "{measurement} of {digit}: {found:?}");
            found[0]
        };
        // The other one sleeps.
        if digit == "d" {
            assert!(number(of_container("docker_container_cpu"), "throttling_throttled_periods") > 0.0);
        }
        // Between two readings, of what the limit holds at 20.
        let percent = number(of_container("docker_container_cpu"), "usage_percent");
        assert!((0.0..=25.0).contains(&percent), "{percent}");
        assert_eq!(number(of_container("docker_container_mem"), "limit"), f64::from(32 << 20));
        assert!(number(of_container("docker_container_status"), "pid") > 1.0);
        let tags = ["io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name"];
        for (tag, name) in tags.into_iter().zip(names) {
            let found = of_container("docker_container_mem").tag_value(tag).map_or("", |value| value.as_str());
            assert_eq!(found, name, "{tag}");
        }
    }
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86: tests/run"]
fn with_qemu_system_x86_every_collector_succeeds() {
    let complaints = text("all.problems");
    assert!(complaints.is_empty(), "{complaints}");
    let all = Exposition::parse(&text("all"));
    let success = all.all("node_scrape_collector_success", &[]);
    // The others are of modules and devices that the guest has not.
    let everywhere = "arp container cpu diskstats entropy filefd filesystem loadavg machine meminfo netclass netdev netstat os \
                      pressure process selinux sockstat softnet stat textfile time timex udp_queues uname vmstat";
    let is_there = |series: &&&Series| everywhere.split_whitespace().any(|name| name == series.label("collector"));
    let success: Vec<&&Series> = success.iter().filter(is_there).collect();
    assert!(success.len() > 20 && success.iter().all(|series| series.value == 1.0), "{success:#?}");
    // As `boot` makes it.
    assert_eq!(all.expect("machine_cpu_cores", &[]), 2.0);
    let memory = all.expect("machine_memory_bytes", &[]);
    assert!(memory > 0.8 * f64::from(1 << 30) && memory <= f64::from(1 << 30), "{memory}");
}
