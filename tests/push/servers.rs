//! Taffrail with the servers that people run it with, from Debian's packages. `tests/run` installs them and runs these.

use std::collections::BTreeMap;
use std::process::Command;

use crate::harness::real::{Server, encode, free_port, influxdb, prometheus};
use crate::harness::{Taffrail, wait_until};
use serde_json::Value;

fn post(url: &str, body: &str) -> u16 {
    ureq::post(url).config().http_status_as_error(false).build().send(body).unwrap().status().as_u16()
}

/// Creates the database `telegraf`. A server that has just started answers pings before it knows databases.
fn create_database(influxdb: &Server) {
    let created = format!("{}/query?q={}", influxdb.url, encode("CREATE DATABASE telegraf"));
    let exists = format!("{}/query?db=telegraf&q={}", influxdb.url, encode("SHOW DATABASES"));
    wait_until("the database", || {
        assert_eq!(post(&created, ""), 200);
        let answer = ureq::get(&exists).call().unwrap().body_mut().read_to_string().unwrap();
        answer.contains("[\"telegraf\"]").then_some(())
    });
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
    create_database(&influxdb);
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
    create_database(&influxdb);
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
    create_database(&first);
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
