//! The portable backend, beside Linux's own files on the machine that runs the test: it says less, under the same names,
//! and nothing else.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use crate::harness::{Taffrail, printed, taffrail, wait_until};

/// Families with their types and the names of their labels.
fn shapes(exposition: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let label = regex::Regex::new(r#"([a-zA-Z_]+)="(?:[^"\\]|\\.)*""#).unwrap();
    let mut shapes: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for line in exposition.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            shapes.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let labels = label.captures_iter(line).map(|found| found[1].to_owned()).collect();
            shapes.get_mut(name).unwrap().1 = labels;
        }
    }
    shapes
}

const PORTABLE: &str = "[host]\nbackend = \"portable\"\n";

#[test]
fn it_tells_less_under_the_same_names() {
    let (portable, linux) = (Taffrail::start(PORTABLE), Taffrail::start(""));
    let (theirs, ours) = (linux.get("/metrics"), portable.get("/metrics"));
    let (of_linux, of_portable) = (shapes(theirs.text()), shapes(ours.text()));
    for (family, shape) in &of_portable {
        assert_eq!(of_linux.get(family), Some(shape), "{family}");
    }
    for family in [
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_load1",
        "node_filesystem_avail_bytes",
        "node_network_receive_bytes_total",
        "node_boot_time_seconds",
        "node_uname_info",
        "node_os_info",
        "process_resident_memory_bytes",
    ] {
        assert!(of_portable.contains_key(family), "{family}: {:#?}", portable.log());
    }
    assert!(of_portable.len() * 3 < of_linux.len(), "{} of {}", of_portable.len(), of_linux.len());
    // What does not change while it is read is the same.
    let mut same = 0;
    let constant = ["node_memory_MemTotal", "node_filesystem_size", "node_filesystem_readonly", "node_boot_time"];
    for line in ours.text().lines().filter(|line| constant.iter().any(|name| line.starts_with(name))) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (value, other): (f64, f64) = (value.parse().unwrap(), theirs.sample(series).unwrap_or(f64::NAN));
        assert!((value - other).abs() <= 1.0, "{series} is {value}, and {other}");
        same += 1;
    }
    assert!(same >= 3, "{same}");
}

#[test]
fn cpu_time_is_counted_up() {
    let portable = Taffrail::start(PORTABLE);
    let all = |exposition: &str| -> f64 {
        let cpus = exposition.lines().filter(|line| line.starts_with("node_cpu_seconds_total{"));
        cpus.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    let first = all(portable.get("/metrics").text());
    wait_until("CPU time to have grown", || (all(portable.get("/metrics").text()) > first + 0.2).then_some(()));
}

#[test]
fn points_have_telegrafs_names_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("taffrail.toml");
    std::fs::write(&config, format!("{PORTABLE}[agent]\ninterval = \"300ms\"\n")).unwrap();
    let output = taffrail(&["print", "--format", "influx", "--config", config.to_str().unwrap()]);
    let (points, problems) = printed(&output);
    for start in ["cpu,cpu=cpu-total,", "mem,", "swap,", "system,", "net,", "disk,"] {
        assert!(points.lines().any(|line| line.starts_with(start)), "{start}: {points}\n{problems}");
    }
    let mem = points.lines().find(|line| line.starts_with("mem,")).unwrap();
    assert!(mem.contains("used_percent=") && !mem.contains("slab="), "{mem}");
}

#[test]
fn what_it_cannot_read_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("taffrail.toml");
    std::fs::write(&config, format!("{PORTABLE}[collectors]\nenable = [\"systemd\"]\n")).unwrap();
    let (_, problems) = printed(&taffrail(&["check", "--config", config.to_str().unwrap()]));
    assert!(problems.contains("systemd is read of Linux's files"), "{problems}");
}
