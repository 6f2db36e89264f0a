//! Taffrail with the servers that people run it with, from Debian's packages. `tests/run` installs them and runs these.

mod harness;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use harness::real::{Server, encode, free_port, influxdb, prometheus};
use harness::{Taffrail, get, wait_until};
use serde_json::Value;

fn post(url: &str, body: &str) -> u16 {
    ureq::post(url).config().http_status_as_error(false).build().send(body).unwrap().status().as_u16()
}

/// A configuration that pushes this host every second.
fn pushing(sink: &str) -> String {
    format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"500ms\"\nhostname = \"web-1\"\n\
         [[sinks.influxdb]]\nname = \"central\"\nretry_max = \"1s\"\n{sink}"
    )
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_that_scrapes_in_each_format() {
    let taffrail = Taffrail::start("");
    // It asks for OpenMetrics by itself, and for protobuf with this feature.
    for more in [&[][..], &["--enable-feature=native-histograms"]] {
        let folder = tempfile::tempdir().unwrap();
        let prometheus = prometheus(folder.path(), &[("node", &taffrail.addresses()[0])], more);
        assert_eq!(prometheus.promql("up == 1"), [1.0]);
        prometheus.promql("count_over_time(up[20s]) >= 8");
        let rates = prometheus.promql("sum by (cpu) (rate(node_cpu_seconds_total[6s]))");
        assert!(rates.iter().all(|rate| *rate > 0.2 && *rate < 1.8), "{rates:?}");
        let share = prometheus.promql("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes")[0];
        assert!(share > 0.0 && share <= 1.0, "{share}");
        let full = prometheus.promql("node_filesystem_avail_bytes{mountpoint='/'} / node_filesystem_size_bytes")[0];
        assert!((0.0..=1.0).contains(&full), "{full}");
        assert!(prometheus.promql("rate(node_network_receive_bytes_total{device='lo'}[6s])")[0] >= 0.0);
        assert_eq!(prometheus.promql("node_uname_info"), [1.0]);
        let everywhere = "arp|container|cpu|diskstats|entropy|filefd|filesystem|loadavg|machine|meminfo|netclass|netdev|netstat|os|process|selinux|\
                          sockstat|softnet|stat|textfile|time|timex|udp_queues|uname|vmstat";
        let succeeded = format!("min(node_scrape_collector_success{{collector=~'{everywhere}'}})");
        assert_eq!(prometheus.promql(&succeeded), [1.0]);
        let target = &prometheus.json("/api/v1/targets")["data"]["activeTargets"][0];
        assert_eq!((target["health"].as_str(), target["lastError"].as_str()), (Some("up"), Some("")));
        // Types come with the metadata, also for counters, whose family OpenMetrics names otherwise.
        let metadata = prometheus.json("/api/v1/targets/metadata?metric=node_load1");
        assert_eq!(metadata["data"][0]["type"], "gauge");
    }
}

#[test]
#[ignore = "needs Debian's package influxdb: tests/run"]
fn with_influxdb_that_takes_the_push() {
    let folder = tempfile::tempdir().unwrap();
    let influxdb = influxdb(folder.path(), free_port());
    assert_eq!(post(&format!("{}/query?q={}", influxdb.url, encode("CREATE DATABASE telegraf")), ""), 200);
    let _taffrail = Taffrail::start(&pushing(&format!("urls = [\"{}\"]\ndatabase = \"telegraf\"\n", influxdb.url)));

    let mean =
        |query: &str| wait_until(query, || influxdb.influxql(query).first().and_then(|row| row.get("mean")?.as_f64()));
    let idle = mean("SELECT mean(usage_idle) FROM cpu WHERE cpu = 'cpu-total'");
    assert!((0.0..=100.0).contains(&idle), "{idle}");
    assert!(mean("SELECT mean(used_percent) FROM mem") > 0.0);
    assert!(mean("SELECT mean(used_percent) FROM disk WHERE path = '/'") > 0.0);
    assert!(mean("SELECT mean(load1) FROM system WHERE host = 'web-1'") >= 0.0);
    assert!(mean("SELECT mean(tcp_insegs) FROM net WHERE interface = 'all'") > 0.0);
    assert!(mean("SELECT mean(bytes_recv) FROM net WHERE interface != 'all'") >= 0.0);

    let types: BTreeMap<String, String> = ["cpu", "mem", "disk", "net", "system"]
        .into_iter()
        .flat_map(|measurement| {
            let fields = influxdb.influxql(&format!("SHOW FIELD KEYS FROM {measurement}"));
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            fields
                .into_iter()
                .map(move |row| (format!("{measurement}.{}", text(&row["fieldKey"])), text(&row["fieldType"])))
        })
        .collect();
    for (field, kind) in [
        ("cpu.usage_idle", "float"),
        ("mem.total", "integer"),
        ("mem.used_percent", "float"),
        ("disk.inodes_free", "integer"),
        ("net.speed", "integer"),
        ("net.tcp_retranssegs", "integer"),
        ("system.n_cpus", "integer"),
        ("system.uptime", "integer"),
        ("system.uptime_format", "string"),
    ] {
        assert_eq!(types.get(field).map(String::as_str), Some(kind), "{field}");
    }
}

#[test]
#[ignore = "needs Debian's package influxdb: tests/run"]
fn with_influxdb_whose_database_a_tag_names() {
    let folder = tempfile::tempdir().unwrap();
    let influxdb = influxdb(folder.path(), free_port());
    let sink = format!(
        "urls = [\"{}\"]\ndatabase = \"telegraf\"\ncreate_database = true\n\
         database_tag = \"cpu\"\nexclude_database_tag = true\n",
        influxdb.url
    );
    let taffrail = Taffrail::start(&pushing(&sink));
    let first = |database: &str, query: &str| {
        let path = format!("/query?db={database}&q={}", encode(query));
        wait_until(query, || {
            let answer = influxdb.json(&path);
            answer["results"][0]["series"][0]["values"][0].as_array().cloned()
        })
    };
    first("cpu-total", "SELECT usage_idle FROM cpu WHERE host = 'web-1'");
    first("cpu0", "SELECT usage_idle FROM cpu WHERE host = 'web-1'");
    first("telegraf", "SELECT load1 FROM system");
    let keys = influxdb.json(&format!("/query?db=cpu0&q={}", encode("SHOW TAG KEYS FROM cpu")));
    assert_eq!(keys["results"][0]["series"][0]["values"], serde_json::json!([["host"]]));
    assert!(influxdb.influxql("SELECT usage_idle FROM cpu").is_empty());
    let dropped = "taffrail_sink_points_dropped_total{reason=\"rejected\",sink=\"central\"}";
    assert_eq!(taffrail.get("/metrics").sample(dropped), Some(0.0));
}

#[test]
#[ignore = "needs Debian's package influxdb: tests/run"]
fn with_influxdb_that_knows_a_field_by_another_type() {
    let folder = tempfile::tempdir().unwrap();
    let influxdb = influxdb(folder.path(), free_port());
    post(&format!("{}/query?q={}", influxdb.url, encode("CREATE DATABASE telegraf")), "");
    assert_eq!(post(&format!("{}/write?db=telegraf", influxdb.url), "mem total=1.5"), 204);
    let taffrail = Taffrail::start(&pushing(&format!("urls = [\"{}\"]\ndatabase = \"telegraf\"\n", influxdb.url)));

    taffrail.wait_for_log("did not take all points");
    wait_until("the other points", || influxdb.influxql("SELECT last(load1) FROM system").first().cloned());
    let dropped = "taffrail_sink_points_dropped_total{reason=\"rejected\",sink=\"central\"}";
    assert!(taffrail.get("/metrics").sample(dropped).unwrap() >= 1.0);
}

#[test]
#[ignore = "needs Debian's package influxdb: tests/run"]
fn with_influxdb_that_is_away_for_a_while() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let first = influxdb(folder.path(), port);
    post(&format!("{}/query?q={}", first.url, encode("CREATE DATABASE telegraf")), "");
    let taffrail = Taffrail::start(&pushing(&format!("urls = [\"{}\"]\ndatabase = \"telegraf\"\n", first.url)));
    let ticks = |influxdb: &Server| {
        let rows = influxdb.influxql("SELECT load1 FROM system");
        rows.iter().map(|row| row["time"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_until("two ticks", || (ticks(&first).len() >= 2).then_some(()));
    drop(first);
    taffrail.wait_for_log("a write failed");
    let queued = "taffrail_sink_queued_points{sink=\"central\"}";
    wait_until("points to wait", || (taffrail.get("/metrics").sample(queued)? > 100.0).then_some(()));

    let second = influxdb(folder.path(), port);
    wait_until("the queue to be empty", || (taffrail.get("/metrics").sample(queued)? < 100.0).then_some(()));
    let stored = ticks(&second);
    let seconds = |time: &String| time[17..19].parse::<i64>().unwrap();
    let steps = stored.windows(2).map(|pair| (seconds(&pair[1]) - seconds(&pair[0])).rem_euclid(60));
    assert!(steps.into_iter().all(|step| step == 1), "a tick is missing: {stored:?}");
}

#[test]
#[ignore = "needs Debian's package victoria-metrics: tests/run"]
fn with_victoria_metrics_that_takes_the_push() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = Command::new("victoria-metrics");
    command.arg(format!("-storageDataPath={}", folder.path().display()));
    command.arg(format!("-httpListenAddr=127.0.0.1:{port}")).arg("-search.latencyOffset=1ms");
    let victoria = Server::start(command, port, "/health");
    let sink = format!("urls = [\"{}\"]\nbucket = \"hosts\"\norg = \"o\"\ntoken = \"t\"\n", victoria.url);
    let _taffrail = Taffrail::start(&pushing(&sink));
    assert!(victoria.promql("system_load1{host='web-1'}")[0] >= 0.0);
    assert!(victoria.promql("mem_total")[0] > 0.0);
    assert!(victoria.promql("cpu_usage_idle{cpu='cpu-total'}")[0] <= 100.0);
    assert!(victoria.promql("disk_used_percent{path='/'}")[0] > 0.0);
}

/// An exposition: types by family, values by series.
#[derive(Default)]
struct Exposition {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Exposition {
    /// Parses text 0.0.4, without the labels that are newer than Debian's version: `device_error` of file systems and
    /// `rotational` of disks.
    fn parse(text: &str) -> Self {
        let mut exposition = Exposition::default();
        // A label without a value is none.
        let empty = regex::Regex::new(r#",\w+=""|\{\w+=""\}|(\{)\w+="","#).unwrap();
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (family, kind) = typed.split_once(' ').unwrap();
                exposition.types.insert(family.to_owned(), kind.to_owned());
            } else if let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
                let newer = [",rotational=\"0\"", ",rotational=\"1\""];
                let series = newer.iter().fold(series.to_owned(), |series, label| series.replace(label, ""));
                let series = empty.replace_all(&series, "$1").into_owned();
                exposition.values.insert(series, value.parse().unwrap());
            }
        }
        exposition
    }

    fn is_compared(name: &str) -> bool {
        // The last has a label more in 1.12.
        let own = ["node_scrape_", "node_exporter_", "node_network_info"];
        name.starts_with("node_") && !own.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// What Taffrail has, as node_exporter 1.12, and Debian's 1.5 has not.
const ONLY_OURS: [(&str, &str); 9] = [
    ("node_cpu_online", "a family of 1.12"),
    ("node_filesystem_mount_info", "a family of 1.12"),
    ("node_ksmd_general_profit_bytes", "a family of 1.12"),
    ("node_softnet_backlog_len", "a family of 1.12"),
    ("node_softnet_cpu_collision_total", "a family of 1.12"),
    ("node_softnet_flow_limit_count_total", "a family of 1.12"),
    ("node_softnet_received_rps_total", "a family of 1.12"),
    ("node_netstat_TcpExt_TCPOFOQueue", "among the default fields of 1.12"),
    ("node_netstat_TcpExt_TCPRcvQDrop", "among the default fields of 1.12"),
];

/// Collectors that node_exporter has not, or not by default.
const NOT_THEIRS: [&str; 15] = [
    "cloudwatch",
    "container",
    "machine",
    "process",
    "processes",
    // Later than Debian's.
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
];

/// What the reading itself changes, and by how much at most: node_exporter reads with several threads, each of which
/// runs, has files open and asks the kernel by sockets of its own while Taffrail, which reads with one, does not.
const CHANGED_BY_READING: [(&str, f64); 3] =
    [("node_filefd_allocated", 32.0), ("node_procs_running", 8.0), ("node_sockstat_sockets_used", 16.0)];

fn is_only_ours(series: &str) -> bool {
    let name = series.split('{').next().unwrap();
    ONLY_OURS.iter().any(|(known, _)| *known == name)
}

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn with_node_exporter_that_says_the_same() {
    let names = || taffrail::collectors::list::names().filter(|name| !NOT_THEIRS.contains(name));
    let enabled: Vec<String> = names().chain(["process"]).map(|name| format!("{name:?}")).collect();
    let taffrail = Taffrail::start(&format!("[collectors]\ndefault = false\nenable = [{}]\n", enabled.join(", ")));
    let port = free_port();
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--collector.disable-defaults");
    command.args(names().map(|name| format!("--collector.{name}")));
    // Debian changes these defaults; these are upstream's, and Taffrail's.
    let default = |collector: &str, key: &str| {
        let entry = taffrail::collectors::list::find(collector).unwrap();
        let key = entry.about.keys.iter().find(|known| known.name == key).unwrap();
        key.default.trim_matches('\'').to_owned()
    };
    command.arg("--collector.netdev.device-exclude=^$");
    for (collector, flag, key) in [
        ("filesystem", "mount-points-exclude", "mount_points_exclude"),
        ("filesystem", "fs-types-exclude", "fs_types_exclude"),
        ("diskstats", "device-exclude", "device_exclude"),
    ] {
        command.arg(format!("--collector.{collector}.{flag}={}", default(collector, key)));
    }
    let node_exporter = Server::start(command, port, "/metrics");

    // A gauge may go up and down between two scrapes, and a state of connections be there or not, so a series
    // need agree in one of several rounds only.
    let mut disagreeing: Option<BTreeMap<String, String>> = None;
    for _ in 0..30 {
        let scrape = |url: &str| Exposition::parse(get(url, &[]).unwrap().text());
        let before = scrape(&taffrail.url("/metrics"));
        let theirs = scrape(&format!("{}/metrics", node_exporter.url));
        let after = scrape(&taffrail.url("/metrics"));
        let mut found = disagreements(&before, &theirs, &after);
        found.extend(differences_of_shape(&theirs, &after));
        if let Some(earlier) = &disagreeing {
            found.retain(|series, _| earlier.contains_key(series));
        }
        if found.is_empty() {
            return;
        }
        disagreeing = Some(found);
    }
    panic!("not equal and not between two readings in any round: {:#?}", disagreeing.unwrap());
}

/// Label sets that only one of them has, and families whose types differ.
fn differences_of_shape(theirs: &Exposition, ours: &Exposition) -> BTreeMap<String, String> {
    for (family, kind) in theirs.types.iter().filter(|(family, _)| Exposition::is_compared(family)) {
        assert_eq!(ours.types.get(family), Some(kind), "the type of {family}");
    }
    let series = |of: &Exposition| {
        let names = of.values.keys().filter(|series| Exposition::is_compared(series) && !is_only_ours(series));
        names.cloned().collect::<Vec<_>>()
    };
    let (theirs, ours) = (series(theirs), series(ours));
    let missing = theirs.iter().filter(|series| !ours.contains(series)).map(|series| (series.clone(), "missing"));
    let further = ours.iter().filter(|series| !theirs.contains(series)).map(|series| (series.clone(), "further"));
    missing.chain(further).map(|(series, what)| (series, what.to_owned())).collect()
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

/// What node_exporter says otherwise of the host with every device, and why that is left to it.
const SAID_OTHERWISE: [(&str, &str); 11] = [
    ("node_bcache_btree_cache_size_bytes", "sizes are in powers of 1,024, also behind the point"),
    ("node_bcache_btree_read_average_duration_seconds", "the kernel's file is in microseconds, not nanoseconds"),
    ("node_bcache_bypassed_bytes_total", "as the size of the tree"),
    ("node_bcache_dirty_data_bytes", "as the size of the tree"),
    ("node_bcache_dirty_target_bytes", "as the size of the tree"),
    ("node_bcache_writeback_", "as the size of the tree"),
    ("node_btrfs_global_rsv_size_bytes", "Debian's does not read it"),
    ("node_disk_info", "the database of udev that it reads is that of the machine it runs on"),
    ("node_hwmon_temp_celsius{chip=\"nct6779\",sensor=\"temp1\"}", "of two chips with one name it makes one"),
    ("node_mountstats_nfs_transport_", "has a label more in 1.12"),
    ("node_nvme_info", "has a label more in 1.12"),
];

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn with_node_exporter_that_reads_every_device() {
    // Some of its collectors ask the kernel besides, and would tell of this machine.
    let theirs = "arp bcache btrfs buddyinfo cgroups cpufreq dmi drm edac entropy fibrechannel hwmon infiniband interrupts \
                  ipvs ksmd lnstat meminfo_numa mountstats netclass nfs nvme powersupplyclass rapl schedstat slabinfo tapestats \
                  thermal_zone udp_queues xfs zfs zoneinfo";
    let compared = compare_on("every-device", theirs, |tree| {
        // It fails altogether at a mount by RDMA, the last.
        let path = tree.join("proc/4711/mountstats");
        let mountstats = std::fs::read_to_string(&path).unwrap();
        let by_rdma = mountstats.find("device 10.0.0.9").unwrap();
        std::fs::write(path, &mountstats[..by_rdma]).unwrap();
    });
    assert!(compared > 350, "{compared}");
}

#[test]
#[ignore = "needs Debian's package prometheus-node-exporter: tests/run"]
fn with_node_exporter_that_reads_the_devices_of_a_guest() {
    let theirs = "arp bonding buddyinfo cgroups conntrack cpu diskstats dmi drbd edac entropy filefd infiniband \
                  interrupts ipvs ksmd lnstat loadavg mdadm meminfo meminfo_numa mountstats netclass netstat nfs nfsd nvme \
                  pressure schedstat slabinfo sockstat softnet stat tapestats thermal_zone udp_queues vmstat xfs zoneinfo";
    let compared = compare_on("devices-of-a-guest", theirs, |_| {});
    assert!(compared > 2000, "{compared}");
}

/// Compares what is expected of a recorded host with what these collectors of node_exporter tell of it, in a copy that
/// `prepare` may change. Gives how many series were compared.
fn compare_on(host: &str, collectors: &str, prepare: impl FnOnce(&Path)) -> usize {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(host);
    let their_host = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(host.join("after/.")).arg(their_host.path()).status().unwrap();
    assert!(copied.success());
    // It wants `self` to lead to a process.
    std::fs::rename(their_host.path().join("proc/self"), their_host.path().join("proc/4711")).unwrap();
    std::os::unix::fs::symlink("4711", their_host.path().join("proc/self")).unwrap();
    prepare(their_host.path());
    let port = free_port();
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--collector.disable-defaults");
    for (root, folder) in [("procfs", "proc"), ("sysfs", "sys"), ("rootfs", "root")] {
        command.arg(format!("--path.{root}={}", their_host.path().join(folder).display()));
    }
    command.args(collectors.split_whitespace().map(|name| format!("--collector.{name}")));
    command.args([
        "--collector.bcache.priorityStats",
        "--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\\d+n\\d+p)\\d+$",
    ]);
    let server = Server::start(command, port, "/metrics");
    let theirs = Exposition::parse(get(&format!("{}/metrics", server.url), &[]).unwrap().text());
    let ours = Exposition::parse(&std::fs::read_to_string(host.join("expected.prom")).unwrap());
    let mut differences = Vec::new();
    let mut compared = 0;
    for (series, value) in theirs.values.iter().filter(|(series, _)| Exposition::is_compared(series)) {
        if SAID_OTHERWISE.iter().any(|(start, _)| series.starts_with(start)) {
            continue;
        }
        compared += 1;
        match ours.values.get(series) {
            Some(own) if (own - value).abs() <= value.abs() * 1e-12 => {}
            // Of operations that the kernel does not tell of, node_exporter makes zeros.
            None if *value == 0.0
                && (series.starts_with("node_nfs_requests") || series.starts_with("node_nfsd_requests")) => {}
            own => differences.push(format!("{series} is {value}, and here {own:?}")),
        }
    }
    for (family, kind) in theirs.types.iter().filter(|(family, _)| Exposition::is_compared(family)) {
        assert_eq!(ours.types.get(family), Some(kind), "the type of {family}");
    }
    assert!(differences.is_empty(), "{differences:#?}");
    compared
}
