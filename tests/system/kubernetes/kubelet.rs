//! Taffrail's families of containers beside the kubelet's, series by series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::{Regex, RegexSet};
use serde_json::{Value, json};

use super::node::{IMAGE, Node, kubelet};
use crate::harness::cgroups::Hierarchies;
use crate::harness::series::{Exposition, Series};
use crate::harness::{Taffrail, alone};

/// All sets, the interfaces that it leaves out, and its names.
const CONFIG: &str = r#"
[collectors]
default = false
enable = ["container"]
[collectors.container]
sets = ["cpu", "cpu_details", "memory", "memory_details", "io", "io_details", "disk", "network", "processes",
    "descriptors", "pressure", "oom", "hugetlb", "spec", "times", "info"]
interfaces_exclude = "^(lo|veth|docker|nerdctl)"
kubelet_url = "https://127.0.0.1:10250"
kubelet_insecure = true
"#;

/// A static pod with these containers, and more in its specification.
fn pod(name: &str, more: &Value, containers: &[Value]) -> Value {
    let mut spec = json!({"terminationGracePeriodSeconds": 0, "containers": containers});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

/// A container that runs a shell's script within these limits.
fn container(name: &str, limits: &Value, script: &str) -> Value {
    json!({"name": name, "image": IMAGE, "command": ["sh", "-c", script], "resources": {"limits": limits}})
}

/// Pods of each quality of service, one in the host's network, one whose container is restarted; and one of their processes runs
/// out of memory.
fn pods() -> [Value; 4] {
    const BUSY: &str = "sleep 5; tail /dev/zero; dd if=/dev/zero of=/tmp/blob bs=1M count=8; while :; do :; done";
    const SERVER: &str = "echo hello >/tmp/index.html; exec httpd -f -h /tmp -p 8080";
    const CLIENT: &str = "while :; do wget -q -O /dev/null http://127.0.0.1:8080/; sleep 1; done";
    let none = json!({});
    let mut web = container("server", &json!({"cpu": "200m", "memory": "64Mi"}), SERVER);
    web["resources"]["requests"] = json!({"cpu": "10m", "memory": "16Mi"});
    [
        pod("guaranteed", &none, &[container("busy", &json!({"cpu": "50m", "memory": "32Mi"}), BUSY)]),
        pod("burstable", &none, &[web, container("client", &none, CLIENT)]),
        pod(
            "besteffort",
            &none,
            &[container("crash", &none, "sleep 8; exit 1"), container("idle", &none, "sleep 100000")],
        ),
        pod("hostnetwork", &json!({"hostNetwork": true}), &[container("idle", &none, "sleep 100000")]),
    ]
}

/// What one of them reports at one time.
struct Reading {
    /// Seconds since the epoch.
    began: f64,
    ended: f64,
    /// Types by family.
    types: BTreeMap<String, String>,
    /// Values by series.
    samples: BTreeMap<String, Sample>,
}

struct Sample {
    value: f64,
    /// Seconds since the epoch.
    time: Option<f64>,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

impl Reading {
    fn new(node: &Node, url: &str) -> Self {
        let began = now();
        let text = node.get(url);
        let ended = now();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let types = types.map(|(family, kind)| (family.to_owned(), kind.to_owned())).collect();
        let all = Exposition::parse(&text).0.into_iter().filter(is_compared);
        let samples = all.map(|series| {
            let time = series.timestamp.map(|milliseconds| milliseconds / 1000.0);
            (key(&series), Sample { value: series.value, time })
        });
        Reading { began, ended, types, samples: samples.collect() }
    }

    fn has(&self, part: &str) -> bool {
        self.samples.keys().any(|key| key.contains(part))
    }
}

/// Whether a series is about containers, and about the host or the kubelet's pods: other containers may run here.
fn is_compared(series: &Series) -> bool {
    series.name.starts_with("container_") && (series.label("id") == "/" || series.label("id").starts_with("/kubepods"))
}

/// A name with labels that are not empty, as Taffrail has them.
fn key(series: &Series) -> String {
    let mut labels = series.labels.clone();
    labels.retain(|_, value| !value.is_empty());
    // What follows differs on purpose. A sandbox only holds the pod's network: sums over containers with an image must
    // not include it, and the network is the pod's.
    if series.label("image").starts_with("registry.k8s.io/pause") {
        labels.remove("image");
        if series.name.starts_with("container_network_") {
            labels.remove("name");
            labels.insert("id".to_owned(), series.label("id").rsplit_once('/').unwrap().0.to_owned());
        }
    }
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", series.name, labels.join(","))
}

/// A difference on purpose: a regular expression of series, and the reason.
type Known = (&'static str, &'static str);

/// What only the kubelet has.
const ONLY_THEIRS: &[Known] = &[
    ("^container_cpu_load_(d_)?average_10s", "always 0: the kubelet does not ask for it"),
    ("^container_tasks_state", "always 0: the kubelet does not ask for it"),
    ("^container_(file_descriptors|sockets)\\{id=", "0 of a cgroup that has no process of its own"),
    ("^container_(threads|threads_max|ulimits_soft)\\{id=\"/\"", "0, or those of a process that happens to be there"),
    ("^container_fs_(inodes|limit|usage).*device=\"(/dev/shm|/[^d])", "of mounts that are on no block device"),
    ("^container_fs_(io|read_s|reads_m|sector|write_s|writes_m)", "0, but of the host, where node_disk_ has these"),
    ("^container_fs_(reads|writes)(_bytes)?_total.*id=\"/\"", "as the last, and of devices without their names"),
    ("^container_blkio_device_usage_total.*id=\"/\"", "of devices without their names, with sums over operations"),
];

/// What only Taffrail has.
const ONLY_OURS: &[Known] = &[
    ("^container_cpu_cfs_burst_", "the kubelet does not read it"),
    ("^container_(fs_(reads|writes)|blkio_device).*id=\"/\"", "of devices by their names"),
    ("^container_fs_(inodes|limit|usage).*id=\"/kubepods", "of the kubelet's /stats/summary"),
    ("^container_fs_(discards|io_cost)|^container_blkio.*operation=\"Discard", "the kubelet does not read it"),
    ("^container_info", "a family of Taffrail"),
    ("^container_memory_(events|file|pg|workingset)", "since cAdvisor 0.54, which the kubelet does not have yet"),
];

/// Whose values differ.
const DIFFERS: &[Known] = &[
    ("^container_spec_memory_limit_bytes\\{id=\"/\"", "the host's memory, which is no limit"),
    ("^container_start_time_seconds", "in whole seconds, and not of the same event"),
];

/// The same with cgroups of version 1.
const DIFFERS_V1: &[Known] = &[
    ("^container_pressure_", "0: the kubelet does not look for the hierarchy that has it"),
    ("^container_memory_failures_total.*scope=\"hierarchy\"", "without those of cgroups below"),
    ("^container_processes\\{id=\"/\"", "hierarchies may differ in their processes"),
];

/// The same with cgroups of version 2.
const DIFFERS_V2: &[Known] = &[("^container_memory_(kernel_usage|failcnt)", "0: the kubelet does not read it")];

fn patterns(known: &[&[Known]]) -> RegexSet {
    RegexSet::new(known.iter().copied().flatten().map(|(pattern, _)| pattern)).unwrap()
}

/// The container that is restarted, which has an id for each start.
const RESTARTED: &str = "container=\"crash\"";

/// A series in the report: that of the restarted container whatever its id.
fn reported(key: &str) -> String {
    static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9a-f]{64}").unwrap());
    if key.contains(RESTARTED) { ID.replace_all(key, "ID").into_owned() } else { key.to_owned() }
}

/// Readings of both, of which Taffrail's is the first.
type Round = (Reading, Reading);

/// Series that only one of them has, in each round in which both have the restarted container, or others.
fn differences_of_shape(rounds: &[Round]) -> BTreeSet<String> {
    let (theirs_alone, ours_alone) = (patterns(&[ONLY_THEIRS]), patterns(&[ONLY_OURS]));
    let persistent = |is_restarted: bool| {
        let both = rounds.iter().filter(|(ours, theirs)| !is_restarted || ours.has(RESTARTED) && theirs.has(RESTARTED));
        let found = both.map(|(ours, theirs)| {
            let keys = |of: &Reading| {
                let keys = of.samples.keys().filter(|key| key.contains(RESTARTED) == is_restarted);
                keys.map(|key| reported(key)).collect::<BTreeSet<_>>()
            };
            let (ours, theirs) = (keys(ours), keys(theirs));
            let missing = theirs.difference(&ours).filter(|key| !theirs_alone.is_match(key));
            let further = ours.difference(&theirs).filter(|key| !ours_alone.is_match(key));
            let missing = missing.map(|key| format!("missing: {key}"));
            missing.chain(further.map(|key| format!("further: {key}"))).collect::<BTreeSet<_>>()
        });
        let never = || BTreeSet::from(["the restarted container in no round".to_owned()]);
        found.reduce(|all, some| &all & &some).unwrap_or_else(never)
    };
    &persistent(false) | &persistent(true)
}

/// Families of another type.
fn differences_of_types(rounds: &[Round]) -> BTreeSet<String> {
    let Some((ours, theirs)) = rounds.last() else { return BTreeSet::new() };
    let differing = ours.types.iter().filter_map(|(family, kind)| {
        let other = theirs.types.get(family).filter(|other| *other != kind && family.starts_with("container_"))?;
        Some(format!("{family} is a {other}, and here a {kind}"))
    });
    differing.collect()
}

/// Compares the kubelet's values with Taffrail's before and after the time at which the kubelet has read them.
#[derive(Default)]
struct Values {
    agreed: BTreeSet<String>,
    /// The last failure of a series.
    failed: BTreeMap<String, String>,
}

impl Values {
    fn compare(rounds: &[Round], differs: &RegexSet) -> Self {
        // The kubelet takes the time between reading two of the kernel's files.
        const INEXACT: f64 = 0.3;
        let mut values = Values::default();
        for (_, theirs) in rounds {
            for (key, sample) in theirs.samples.iter().filter(|(key, _)| !differs.is_match(key)) {
                let name = reported(key);
                if values.agreed.contains(&name) {
                    continue;
                }
                let exact = |time| (time - INEXACT, time + INEXACT);
                let (from, to) = sample.time.map_or((theirs.began, theirs.ended), exact);
                let value = |reading: &Reading| Some(reading.samples.get(key)?.value);
                let mut ours = rounds.iter().map(|(ours, _)| ours);
                let before = ours.clone().rev().filter(|reading| reading.ended <= from).find_map(value);
                let after = ours.find(|reading| reading.began >= to && value(reading).is_some()).and_then(value);
                let (Some(before), Some(after)) = (before, after) else { continue };
                // Seconds are quotients of integers, and written with different precision.
                let rounding = sample.value.abs() * 1e-12;
                if (before.min(after) - rounding..=before.max(after) + rounding).contains(&sample.value) {
                    values.failed.remove(&name);
                    values.agreed.insert(name);
                } else {
                    values.failed.insert(name, format!("{} is not between {before} and {after}", sample.value));
                }
            }
        }
        values
    }
}

/// Whether Taffrail has counted a restart of the container that is restarted, and the OOM kill in another.
fn has_counted(node: &Node, taffrail: &Taffrail) -> bool {
    let ours = Exposition::parse(&node.get(&taffrail.url("/metrics")));
    let counted = [
        ("taffrail_container_restarts_total", "besteffort-node-1", "crash"),
        ("taffrail_container_oom_events_total", "guaranteed-node-1", "busy"),
    ];
    counted.into_iter().all(|(family, pod, container)| {
        let labels = [("namespace", "shop"), ("pod", pod), ("container", container)];
        ours.value(family, &labels).is_some_and(|count| count > 0.0)
    })
}

#[test]
#[ignore = "needs Debian's packages containerd and containernetworking-plugins, and Go 1.25: tests/run"]
fn with_containerd_and_with_golang_1_25_in_full_the_kubelet_reports_the_same() {
    let kubelet = kubelet();
    let _alone = alone();
    let node = Node::start(&kubelet, &pods());
    let taffrail = Taffrail::start_beside(node.pid, CONFIG);
    let of_version = if Hierarchies::live().are_unified() { DIFFERS_V2 } else { DIFFERS_V1 };
    let differs = patterns(&[DIFFERS, of_version]);
    let mut rounds = Vec::new();
    // The kubelet reads a cgroup that does not change every 15 s, and restarts a container after ever longer pauses. A
    // gauge need be between two readings once.
    for number in 1..=200 {
        let ours = Reading::new(&node, &taffrail.url("/metrics"));
        rounds.push((ours, Reading::new(&node, "http://127.0.0.1:10255/metrics/cadvisor")));
        thread::sleep(Duration::from_millis(500));
        if number % 20 != 0 {
            continue;
        }
        let shape = &differences_of_shape(&rounds) | &differences_of_types(&rounds);
        let Values { agreed, failed } = Values::compare(&rounds, &differs);
        let is_restarted = |key: &String| key.contains(RESTARTED);
        let is_compared = agreed.len() > 400 && agreed.iter().any(is_restarted);
        if shape.is_empty() && failed.is_empty() && is_compared && has_counted(&node, &taffrail) {
            return;
        }
        let agreed = agreed.len();
        let logs = || format!("{:#?}\n{}", taffrail.log(), node.logs());
        assert!(number < 200, "{agreed} agree, but not {failed:#?}, and {shape:#?}\n{}", logs());
    }
}
