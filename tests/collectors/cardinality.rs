//! docs/cardinality.md: the number of series of each collector with its default settings, on recorded hosts.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test collectors cardinality` updates the table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::common::{Replay, collectors, exposition, read};
use crate::harness::recorded::folder;
use regex::Regex;
use taffrail::collectors::readers::Readers;
use taffrail::encode::text::Dialect;

/// Recorded hosts; the first ones have a column each.
const HOSTS: [&str; 6] =
    ["debian-12-vm", "debian-12-containers", "devices-of-a-guest", "128-cpus", "every-device", "kubelet-systemd-v2"];
const COLUMNS: usize = 3;

/// What a collector has series for, and the label that names it.
const OBJECTS: [(&str, &str, &str); 17] = [
    ("arp", "device", "interface"),
    ("btrfs", "uuid", "file system"),
    ("container", "id", "container or pod"),
    ("cpu", "cpu", "CPU"),
    ("cpufreq", "cpu", "CPU"),
    ("diskstats", "device", "disk"),
    ("edac", "controller", "memory controller"),
    ("filesystem", "mountpoint", "mount"),
    ("hwmon", "chip", "chip"),
    ("infiniband", "device", "adapter"),
    ("netclass", "device", "interface"),
    ("netdev", "device", "interface"),
    ("nvme", "device", "controller"),
    ("powersupplyclass", "power_supply", "power supply"),
    ("schedstat", "cpu", "CPU"),
    ("softnet", "cpu", "CPU"),
    ("xfs", "device", "file system"),
];

/// The series of a collector on a host.
#[derive(Default)]
struct Count {
    series: usize,
    /// Those of the object that has most.
    of_an_object: usize,
}

impl Count {
    fn of(collector: &str, text: &str) -> Count {
        let object = OBJECTS.iter().find(|(name, ..)| *name == collector);
        let label = object.map(|(_, label, _)| Regex::new(&format!(r#"[{{,]{label}="((?:[^"\\]|\\.)*)""#)).unwrap());
        let (mut series, mut by_object) = (0, BTreeMap::<_, usize>::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            series += 1;
            let found = label.as_ref().and_then(|label| label.captures(line));
            *by_object.entry(found.map(|found| found[1].to_owned())).or_default() += 1;
        }
        by_object.remove(&None);
        Count { series, of_an_object: by_object.into_values().max().unwrap_or_default() }
    }
}

#[test]
fn the_table_of_series_is_that_of_the_recorded_hosts() {
    let mut counts: BTreeMap<&str, [Count; HOSTS.len()]> = BTreeMap::new();
    for (column, host) in HOSTS.iter().enumerate() {
        let replay = Replay::new(&folder().join(host));
        replay.go_on();
        for reading in read(&Readers::new(replay.host.clone(), collectors(&replay.host, ""))) {
            let about = reading.about;
            if about.on_by_default.families {
                let text = exposition(&[reading], Dialect::Plain);
                counts.entry(about.name).or_default()[column] = Count::of(about.name, &text);
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cardinality.md");
    let page = fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- generated -->\n", "<!-- end -->\n");
    let (before, rest) = page.split_once(start).unwrap();
    let (table, after) = rest.split_once(end).unwrap();
    let generated = write_table(&counts);
    if std::env::var_os("TAFFRAIL_BLESS").is_some() {
        fs::write(&path, format!("{before}{start}{generated}{end}{after}")).unwrap();
    } else {
        assert!(
            table == generated,
            "docs/cardinality.md is stale: TAFFRAIL_BLESS=1 cargo test --test collectors cardinality"
        );
    }
}

fn write_table(counts: &BTreeMap<&str, [Count; HOSTS.len()]>) -> String {
    let columns = HOSTS[..COLUMNS].join(" | ");
    let mut out =
        format!("\n| collector | series per object | {columns} |\n| --- | --- |{}\n", " ---: |".repeat(COLUMNS));
    let mut totals = [0; COLUMNS];
    for (name, hosts) in counts {
        let series: Vec<_> = hosts[..COLUMNS].iter().map(|count| count.series).collect();
        totals.iter_mut().zip(&series).for_each(|(total, series)| *total += series);
        // Success and duration, as of every collector.
        if hosts.iter().any(|count| count.series > 2) {
            let numbers: Vec<_> = series.iter().map(ToString::to_string).collect();
            let most = hosts.iter().map(|count| count.of_an_object).max().unwrap_or_default();
            let object = OBJECTS.iter().find(|(collector, ..)| collector == name);
            let object = object.map(|(_, _, object)| format!("{most} per {object}")).unwrap_or_default();
            writeln!(out, "| `{name}` | {object} | {} |", numbers.join(" | ")).unwrap();
        }
    }
    let totals: Vec<_> = totals.iter().map(ToString::to_string).collect();
    writeln!(out, "| all | | {} |\n", totals.join(" | ")).unwrap();
    out
}
