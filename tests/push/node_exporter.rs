//! Taffrail beside node_exporter: this host, read by both, and recorded hosts. Debian's package is an old release; the newest
//! is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::real::{Server, free_port, newest_peer};
use crate::harness::{Taffrail, get};

/// A release of node_exporter, and what Taffrail, which has 1.12's names, has beside it.
struct Release {
    program: PathBuf,
    /// Whether the package changes upstream's defaults, which are Taffrail's.
    changes_defaults: bool,
    /// Labels that it lacks.
    without_labels: &'static [&'static str],
    /// What it lacks, by a part of the series, and why.
    without: &'static [(&'static str, &'static str)],
    /// Collectors that it lacks.
    without_collectors: &'static [&'static str],
    /// What it reports otherwise of recorded hosts, by a part of the series, and why.
    differs: &'static [(&'static str, &'static str)],
    /// How it reads files where it would ask the kernel of this machine.
    reads_files: &'static [&'static str],
    /// What it cannot read of recorded hosts, and what becomes of it.
    fails_at: &'static [(&'static str, &'static str)],
}

impl Release {
    /// Debian's package: 1.5.
    fn debian() -> Release {
        Release {
            program: "prometheus-node-exporter".into(),
            changes_defaults: true,
            without_labels: &["adminstate", "rotational"],
            without: &[
                ("node_cpu_frequency_hertz", "of /proc/cpuinfo since 1.12"),
                ("node_bcachefs_", "a collector of 1.12"),
                ("node_dmmultipath_", "a collector of 1.12"),
                ("node_kernel_hung_", "a collector of 1.12"),
                ("node_watchdog_", "a collector of 1.12"),
                ("node_cpu_online", "a family of 1.12"),
                ("node_filesystem_mount_info", "a family of 1.12"),
                ("node_ksmd_general_profit_bytes", "a family of 1.12"),
                ("node_softnet_backlog_len", "a family of 1.12"),
                ("node_softnet_cpu_collision_total", "a family of 1.12"),
                ("node_softnet_flow_limit_count_total", "a family of 1.12"),
                ("node_softnet_received_rps_total", "a family of 1.12"),
                ("node_netstat_TcpExt_TCPOFOQueue", "among the default fields of 1.12"),
                ("node_netstat_TcpExt_TCPRcvQDrop", "among the default fields of 1.12"),
            ],
            without_collectors: &[
                "bcachefs",
                "cpu_vulnerabilities",
                "dmmultipath",
                "kernel_hung",
                "nvmesubsystem",
                "pcidevice",
                "softirqs",
                "swap",
                "watchdog",
                "xfrm",
            ],
            differs: &[
                ("node_btrfs_global_rsv_size_bytes", "it does not read it"),
                ("chip=\"nct6779\"", "of two chips with one name it makes one"),
                ("dataset=\"pool1/data\"", "ends a name at a space"),
                ("node_mountstats_nfs_transport_", "has a label more in 1.12"),
                ("node_nvme_info", "has a label more in 1.12"),
            ],
            reads_files: &[],
            fails_at: &[],
        }
    }

    /// The newest.
    fn newest() -> Release {
        Release {
            program: newest_peer("node_exporter"),
            changes_defaults: false,
            without_labels: &[],
            without: &[
                ("node_cpu_online", "it is there also where CPU 0 cannot be taken offline"),
                ("node_ksmd_general_profit_bytes", "it does not read it"),
                ("node_memory_", "every key of the kernel's is there, also those that it does not know"),
                ("node_pcidevice_numa_node", "-1, of a device without a node, is there too"),
            ],
            without_collectors: &[],
            differs: &[
                ("node_btrfs_global_rsv_size_bytes", "0 after a file that is missing"),
                ("chip=\"nct6779", "of two chips with one name it writes hwmonN, which depends on probing"),
                ("node_nfs_requests_total{method=\"GetDeviceInfo\"", "swapped with LayoutGet: include/linux/nfs4.h"),
                ("node_nfs_requests_total{method=\"LayoutGet\"", "swapped with GetDeviceInfo"),
            ],
            reads_files: &["--no-collector.arp.netlink"],
            fails_at: &[("sys/class/fc_host/host1", "panics without one of the counters")],
        }
    }

    /// Starts it with these collectors alone.
    fn start<'a>(&self, collectors: impl IntoIterator<Item = &'a str>, arguments: &[String]) -> Server {
        let port = free_port();
        let mut command = Command::new(&self.program);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--collector.disable-defaults");
        command.args(collectors.into_iter().map(|name| format!("--collector.{name}"))).args(arguments);
        Server::start(command, port, "/metrics")
    }
}

/// An exposition: types by family, values by series.
#[derive(Default)]
struct Exposition {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Exposition {
    /// Parses text 0.0.4, without these labels, and without those that have no value: such a label is none.
    fn parse(text: &str, without_labels: &[&str]) -> Self {
        let mut exposition = Exposition::default();
        let label = regex::Regex::new(r#"(\w+)="((?:[^"\\]|\\.)*)""#).unwrap();
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (family, kind) = typed.split_once(' ').unwrap();
                exposition.types.insert(family.to_owned(), kind.to_owned());
            } else if let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let labels = label.captures_iter(labels);
                let labels = labels.filter(|label| !label[2].is_empty() && !without_labels.contains(&&label[1]));
                let labels: Vec<String> = labels.map(|label| label[0].to_owned()).collect();
                let series =
                    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) };
                exposition.values.insert(series, value.parse().unwrap());
            }
        }
        exposition
    }

    fn is_compared(name: &str) -> bool {
        let own = ["node_scrape_", "node_exporter_"];
        name.starts_with("node_") && !is_known(name, &ONLY_THEIRS) && !own.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// Families of node_exporter that Taffrail leaves out, and why.
const ONLY_THEIRS: [(&str, &str); 1] = [("node_filesystem_purgeable_bytes", "always 0 on Linux")];

/// Where node_exporter makes 0 or -1 of what the kernel does not report, by the beginning of the series.
const MADE_UP: [&str; 4] =
    ["node_mountstats_nfs_transport_", "node_nfs_requests_total", "node_nfsd_requests_total", "node_pcidevice_"];

fn is_made_up(series: &str, value: f64) -> bool {
    (value == 0.0 || value == -1.0) && MADE_UP.iter().any(|start| series.starts_with(start))
}

/// Whether the series has one of these parts, which have reasons.
fn is_known(series: &str, known: &[(&str, &str)]) -> bool {
    known.iter().any(|(part, _)| series.contains(part))
}

/// Collectors that node_exporter has not.
#[rustfmt::skip]
const NOT_THEIRS: [&str; 19] = [
    "apache", "cloudwatch", "container", "docker_state", "exec", "execd", "file", "machine", "memcached", "nginx", "nvidia", "phpfpm",
    "probe", "process", "procstat", "prometheus", "redis", "smart", "statsd",
];

/// What the reading itself changes, and by how much at most: node_exporter reads with several threads, each of which
/// runs, has files open and asks the kernel by sockets of its own while Taffrail, which reads with one, does not.
const CHANGED_BY_READING: [(&str, f64); 3] =
    [("node_filefd_allocated", 32.0), ("node_procs_running", 8.0), ("node_sockstat_sockets_used", 16.0)];

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn with_node_exporter_that_says_the_same() {
    compare_live(&Release::debian());
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_1_25_in_full_the_newest_node_exporter_says_the_same() {
    compare_live(&Release::newest());
}

/// Compares what both report of this machine.
fn compare_live(release: &Release) {
    let is_shared = |name: &&str| !NOT_THEIRS.contains(name) && !release.without_collectors.contains(name);
    let names = || taffrail::collectors::list::names().filter(is_shared);
    let enabled: Vec<String> = names().chain(["process"]).map(|name| format!("{name:?}")).collect();
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\nenable = [{}]\n\
         [collectors.cpu]\ninfo = true\n[collectors.netdev]\naddress_info = true\n",
        enabled.join(", ")
    ));
    let mut arguments = vec!["--collector.cpu.info".to_owned(), "--collector.netdev.address-info".to_owned()];
    if release.changes_defaults {
        let default = |collector: &str, key: &str| {
            let entry = taffrail::collectors::list::find(collector).unwrap();
            let key = entry.about.keys.iter().find(|known| known.name == key).unwrap();
            key.default.trim_matches('\'').to_owned()
        };
        arguments.push("--collector.netdev.device-exclude=^$".to_owned());
        for (collector, flag, key) in [
            ("filesystem", "mount-points-exclude", "mount_points_exclude"),
            ("filesystem", "fs-types-exclude", "fs_types_exclude"),
            ("diskstats", "device-exclude", "device_exclude"),
        ] {
            arguments.push(format!("--collector.{collector}.{flag}={}", default(collector, key)));
        }
    }
    let node_exporter = release.start(names(), &arguments);

    compare_scrapes(release, &taffrail.url("/metrics"), &node_exporter.url);
}

/// Taffrail under node_exporter's name, and node_exporter, with these flags.
fn compare_drop_in(release: &Release, flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(if release.changes_defaults { "prometheus-node-exporter" } else { "node_exporter" });
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_taffrail"), &link).unwrap();
    let [ours, theirs] = [&link, &release.program].map(|program| {
        let port = free_port();
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
        Server::start(command, port, "/metrics")
    });
    compare_scrapes(release, &format!("{}/metrics", ours.url), &theirs.url);
}

const FLAGS: [&[&str]; 3] = [
    &[],
    &[
        "--collector.disable-defaults",
        "--collector.cpu",
        "--collector.cpu.info",
        // Without it, node_exporter omits node_cpu_frequency_hertz.
        "--collector.cpufreq",
        "--no-collector.cpu.guest",
        "--collector.netdev",
        "--collector.netdev.device-exclude=^eth",
        "--collector.netclass",
        "--collector.netclass.ignored-devices",
        "^eth",
        "--collector.vmstat",
        "--collector.vmstat.fields=^pg",
        "--collector.netstat",
        "--collector.netstat.fields=^Tcp_",
        "--collector.filesystem",
        "--collector.filesystem.fs-types-exclude=^(proc|sysfs|tmpfs)$",
        "--collector.sysctl",
        "--collector.sysctl.include=kernel.threads-max",
        "--collector.sysctl.include=fs.file-nr:total,current,max",
    ],
    &[
        "--no-collector.cpu",
        "--no-collector.hwmon",
        "--collector.interrupts",
        "--no-collector.interrupts.include-zeros",
        "--collector.stat.softirq",
        "--collector.processes",
        "--collector.buddyinfo",
        "--collector.diskstats.ignored-devices=^(loop|ram)",
        "--collector.netdev.device-blacklist=^lo$",
        "--web.max-requests=3",
        "--web.disable-exporter-metrics",
    ],
];

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn in_the_place_of_prometheus_node_exporter_the_same_flags_give_the_same_answer() {
    // The others are of later releases.
    FLAGS[..2].iter().for_each(|flags| compare_drop_in(&Release::debian(), flags));
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_1_25_in_full_the_newest_node_exporter_s_flags_give_the_same_answer() {
    FLAGS.iter().for_each(|flags| compare_drop_in(&Release::newest(), flags));
}

/// What `taffrail migrate verify` prints, and its status.
fn verify(url: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    let output = command.args(["migrate", "verify", url]).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A value may move twice between two scrapes, so one of several rounds counts.
#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn verify_with_golang_1_25_in_full_finds_that_the_newest_node_exporter_says_the_same() {
    let arguments = |flags: &[&str]| {
        let port = free_port();
        let mut command = Command::new(Release::newest().program);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
        Server::start(command, port, "/metrics")
    };
    let same = arguments(&[]);
    let rounds: Vec<_> = (0..10).map(|_| verify(&format!("{}/metrics", same.url))).collect();
    assert!(rounds.iter().any(|(status, _)| *status == Some(0)), "{rounds:#?}");
    assert!(rounds[0].1.contains("expected  "), "{rounds:#?}");
    let more = arguments(&["--collector.buddyinfo", "--no-collector.loadavg"]);
    let (status, text) = verify(&format!("{}/metrics", more.url));
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("missing   node_buddyinfo_blocks, the whole family"), "{text}");
    let (status, text) = verify("http://127.0.0.1:1/metrics");
    assert_eq!(status, Some(1), "{text}");
}

/// Compares scrapes until both have agreed on every series.
fn compare_scrapes(release: &Release, ours: &str, node_exporter: &str) {
    // A gauge may go up and down between two scrapes, and a state of connections be there or not, so a series
    // need agree in one of several rounds only.
    let mut disagreeing: Option<BTreeMap<String, String>> = None;
    for _ in 0..30 {
        let scrape = |url: &str| Exposition::parse(get(url, &[]).unwrap().text(), release.without_labels);
        let before = scrape(ours);
        let theirs = scrape(&format!("{}/metrics", node_exporter));
        let after = scrape(ours);
        let mut found = disagreements(&before, &theirs, &after);
        found.extend(differences_of_shape(release, &theirs, &after));
        if let Some(earlier) = &disagreeing {
            found.retain(|series, _| earlier.contains_key(series));
        }
        if found.is_empty() {
            return assert_successes(&theirs, &after);
        }
        disagreeing = Some(found);
    }
    panic!("not equal and not between two readings in any round: {:#?}", disagreeing.unwrap());
}

/// That the same collectors succeed, with and without their subject.
fn assert_successes(theirs: &Exposition, ours: &Exposition) {
    let of_collectors = theirs.values.iter().filter(|(series, _)| series.starts_with("node_scrape_collector_success"));
    let other = of_collectors.filter(|(series, value)| ours.values.get(*series) != Some(*value));
    assert_eq!(other.collect::<Vec<_>>(), [], "where node_exporter succeeds or fails, and Taffrail does not");
}

/// Label sets that only one of them has, and families whose types differ.
fn differences_of_shape(release: &Release, theirs: &Exposition, ours: &Exposition) -> BTreeMap<String, String> {
    let other_types = other_types(theirs, ours);
    let compared = |of: &Exposition| {
        let series = of.values.iter().filter(|(series, _)| Exposition::is_compared(series));
        series.map(|(series, value)| (series.clone(), *value)).collect::<BTreeMap<_, _>>()
    };
    let (theirs, ours) = (compared(theirs), compared(ours));
    let missing = theirs.iter().filter(|(series, value)| !ours.contains_key(*series) && !is_made_up(series, **value));
    let further = ours.keys().filter(|series| !theirs.contains_key(*series) && !is_known(series, release.without));
    let missing = missing.map(|(series, value)| (series.clone(), format!("missing, and there {value}")));
    missing.chain(further.map(|series| (series.clone(), "further".to_owned()))).chain(other_types).collect()
}

/// Families of another type, with both.
fn other_types(theirs: &Exposition, ours: &Exposition) -> Vec<(String, String)> {
    let both = theirs.types.iter().filter_map(|(family, kind)| Some((family, kind, ours.types.get(family)?)));
    let differing = both.filter(|(family, kind, own)| Exposition::is_compared(family) && kind != own);
    differing.map(|(family, kind, own)| (family.clone(), format!("a {kind}, and here a {own}"))).collect()
}

fn disagreements(before: &Exposition, theirs: &Exposition, after: &Exposition) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (series, value) in theirs.values.iter().filter(|(series, _)| Exposition::is_compared(series)) {
        let (Some(first), Some(last)) = (before.values.get(series), after.values.get(series)) else { continue };
        // Each counts from its own first reading on.
        if series.starts_with("node_perf_") {
            continue;
        }
        // node_exporter multiplies milliseconds by 0.001, which is not exact; Taffrail divides by 1000.
        let rounding = value.abs() * 1e-12;
        let own = CHANGED_BY_READING.iter().find(|(known, _)| series == known).map_or(0.0, |(_, most)| *most);
        let (low, high) = (first.min(*last) - rounding - own, first.max(*last) + rounding + own);
        if !(low..=high).contains(value) {
            found.insert(series.clone(), format!("{value} is not between {first} and {last}"));
        }
    }
    found
}

/// What every release reports otherwise of recorded hosts, by a part of the series, and why that is left to it.
const DIFFERS: [(&str, &str); 7] = [
    ("node_bcache_btree_cache_size_bytes", "sizes are in powers of 1,024, also behind the point"),
    ("node_bcache_btree_read_average_duration_seconds", "the kernel's file is in microseconds, not nanoseconds"),
    ("node_bcache_bypassed_bytes_total", "as the size of the tree"),
    ("node_bcache_dirty_data_bytes", "as the size of the tree"),
    ("node_bcache_dirty_target_bytes", "as the size of the tree"),
    ("node_bcache_writeback_", "as the size of the tree"),
    ("node_disk_info", "the database of udev that it reads is that of the machine it runs on"),
];

// Some of its collectors ask the kernel besides, and would report this machine; those are not compared here.

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn with_node_exporter_that_reads_every_device() {
    let compared = compare_every_device(&Release::debian());
    assert!(compared > 350, "{compared}");
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_1_25_in_full_the_newest_node_exporter_reads_every_device() {
    let compared = compare_every_device(&Release::newest());
    assert!(compared > 350, "{compared}");
}

fn compare_every_device(release: &Release) -> usize {
    let collectors = "arp bcache bcachefs btrfs buddyinfo cgroups cpu_vulnerabilities cpufreq dmi dmmultipath drm edac entropy \
                      fibrechannel hwmon infiniband interrupts ipvs kernel_hung ksmd lnstat meminfo_numa mountstats netclass nfs nvme \
                      nvmesubsystem pcidevice powersupplyclass rapl schedstat slabinfo softirqs tapestats thermal_zone udp_queues \
                      watchdog xfrm xfs zfs zoneinfo";
    compare_on(release, "every-device", collectors, |tree| {
        // It fails altogether at a mount by RDMA, the last.
        let path = tree.join("proc/4711/mountstats");
        let mountstats = std::fs::read_to_string(&path).unwrap();
        let by_rdma = mountstats.find("device 10.0.0.9").unwrap();
        std::fs::write(path, &mountstats[..by_rdma]).unwrap();
        std::fs::write(tree.join("sys/devices/system/cpu/offline"), "\n").unwrap();
    })
}

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn with_node_exporter_that_reads_the_devices_of_a_guest() {
    let compared = compare_devices_of_a_guest(&Release::debian());
    assert!(compared > 2000, "{compared}");
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_1_25_in_full_the_newest_node_exporter_reads_the_devices_of_a_guest() {
    let compared = compare_devices_of_a_guest(&Release::newest());
    assert!(compared > 2000, "{compared}");
}

fn compare_devices_of_a_guest(release: &Release) -> usize {
    let collectors = "arp bonding buddyinfo cgroups conntrack cpu diskstats dmi drbd edac entropy filefd infiniband \
                      interrupts ipvs ksmd lnstat loadavg mdadm meminfo meminfo_numa mountstats netclass netstat nfs nfsd nvme \
                      pressure schedstat slabinfo sockstat softnet stat tapestats thermal_zone udp_queues vmstat xfs zoneinfo";
    compare_on(release, "devices-of-a-guest", collectors, |_| {})
}

/// Compares what is expected of a recorded host with what these collectors of node_exporter report of it, in a copy that
/// `prepare` may change. Gives how many series were compared.
fn compare_on(release: &Release, host: &str, collectors: &str, prepare: impl FnOnce(&Path)) -> usize {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(host);
    let their_host = tempfile::tempdir().unwrap();
    let tree = crate::harness::recorded::unpacked(&host).join("after/.");
    let copied = Command::new("cp").arg("-a").arg(tree).arg(their_host.path()).status().unwrap();
    assert!(copied.success());
    // It wants `self` to lead to a process.
    std::fs::rename(their_host.path().join("proc/self"), their_host.path().join("proc/4711")).unwrap();
    std::os::unix::fs::symlink("4711", their_host.path().join("proc/self")).unwrap();
    prepare(their_host.path());
    for (path, _) in release.fails_at {
        let _ = std::fs::remove_dir_all(their_host.path().join(path));
    }
    let mut arguments = vec![
        "--collector.bcache.priorityStats".to_owned(),
        "--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\\d+n\\d+p)\\d+$".to_owned(),
    ];
    arguments.extend(release.reads_files.iter().map(|&argument| argument.to_owned()));
    for (root, folder) in [("procfs", "proc"), ("sysfs", "sys"), ("rootfs", "root")] {
        arguments.push(format!("--path.{root}={}", their_host.path().join(folder).display()));
    }
    let collectors = collectors.split_whitespace().filter(|name| !release.without_collectors.contains(name));
    let server = release.start(collectors, &arguments);
    let parse = |text: &str| Exposition::parse(text, release.without_labels);
    let theirs = parse(get(&format!("{}/metrics", server.url), &[]).unwrap().text());
    let ours = parse(&crate::harness::recorded::expected(&host, "prom"));
    let mut differences = Vec::new();
    let mut compared = 0;
    for (series, value) in theirs.values.iter().filter(|(series, _)| Exposition::is_compared(series)) {
        if is_known(series, &DIFFERS) || is_known(series, release.differs) {
            continue;
        }
        compared += 1;
        match ours.values.get(series) {
            Some(own) if (own - value).abs() <= value.abs() * 1e-12 => {}
            None if is_made_up(series, *value) => {}
            own => differences.push(format!("{series} is {value}, and here {own:?}")),
        }
    }
    differences.extend(other_types(&theirs, &ours).into_iter().map(|(family, kinds)| format!("{family} is {kinds}")));
    assert!(differences.is_empty(), "{differences:#?}");
    compared
}
