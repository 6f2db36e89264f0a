//! Prometheus's remote write, into those who receive it.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::harness::http::request;
use crate::harness::python::{folder, run};
use crate::harness::real::{Server, free_port, prometheus};
use crate::harness::{Taffrail, wait_until};
use rustix::process::Signal;
use serde_json::Value;
use taffrail::encode::parse::model::{Buckets, Histogram, Kind, Measure, Metric, Native};
use taffrail::encode::pushed::{push_family_message, push_metric_message};

fn config(server: &Server, folder: &Path, more: &str) -> String {
    format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"500ms\"\nhostname = \"web-1\"\n[tags]\nroom = \"b 12\"\n\
         [gateway]\nlisten = [\"127.0.0.1:0\"]\n[spool]\nfolder = \"{}\"\n\
         [[sinks.remote_write]]\nname = \"central\"\nretry_min = \"100ms\"\nretry_max = \"500ms\"\nurl = \"{}/api/v1/write\"\n{more}",
        folder.display(),
        server.url
    )
}

/// What any receiver has to show: the host, rates, what a job pushed, filters, and every tick through a kill.
fn receives(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let more = "namedrop = [\"node_netstat_*\"]\n[sinks.remote_write.tags]\nrack = \"7\"\n\
                [sinks.remote_write.external_labels]\ncluster = \"fra1\"\n";
    let mut taffrail = Taffrail::start(&config(server, folder.path(), more));
    let of_host = "{job=\"taffrail\",instance=\"web-1\",room=\"b 12\",rack=\"7\",cluster=\"fra1\"}";
    assert!(server.promql(&format!("node_load1{of_host}"))[0] >= 0.0);
    let gateway = &taffrail.gateway();
    assert_eq!(request("PUT", "/metrics/job/import", "rows 3\n").send(gateway).status, 200);
    assert_eq!(server.promql("rows{job=\"import\",cluster=\"fra1\"}"), [3.0]);
    let rates = server.promql("rate(node_cpu_seconds_total{mode=\"idle\"}[10s]) >= 0");
    assert!(rates.iter().all(|rate| *rate < 2.0), "{rates:?}");
    // Killed, and started again.
    taffrail.signal(Signal::KILL);
    taffrail.wait();
    let taffrail = Taffrail::start(&config(server, folder.path(), more));
    server.promql("count_over_time(node_load1[30s]) >= 8");
    let netstat = server.json("/api/v1/query?query=node_netstat_Tcp_CurrEstab");
    assert_eq!(netstat["data"]["result"].as_array().map(Vec::len), Some(0));
    let dropped = "taffrail_sink_points_dropped_total{reason=\"rejected\",sink=\"central\"}";
    assert_eq!(taffrail.get("/metrics").sample(dropped), Some(0.0));
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_that_receives_remote_write() {
    let folder = tempfile::tempdir().unwrap();
    let server = prometheus(folder.path(), &[], &["--web.enable-remote-write-receiver"]);
    receives(&server);
}

#[test]
#[ignore = "needs Debian's package victoria-metrics: tests/run"]
fn with_victoria_metrics_that_receives_remote_write() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new("victoria-metrics");
    command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    command.arg(format!("-storageDataPath={}", folder.path().display()));
    command.arg("-search.latencyOffset=0s");
    receives(&Server::start(command, port, "/health"));
}

/// Client_golang's handler, which takes 1.0 and, with `all`, 2.0 too.
struct Receiver {
    child: Child,
    url: String,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start(versions: &str) -> Receiver {
        static BUILT: Mutex<()> = Mutex::new(());
        let folder = {
            let _alone = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let folder = folder("receiver");
            run(Command::new("go").args(["build", "-o", "receiver", "."]).current_dir(&folder));
            folder
        };
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(folder.join("receiver"));
        let mut child = command.args([&address, versions]).stdout(Stdio::piped()).spawn().unwrap();
        let (lines, out) = (Arc::new(Mutex::new(Vec::new())), BufReader::new(child.stdout.take().unwrap()));
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        wait_until("the receiver", || TcpStream::connect(&address).ok());
        Receiver { child, url: format!("http://{address}"), lines }
    }

    fn requests(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// The first series of this name.
    fn series(&self, name: &str) -> Value {
        wait_until(name, || {
            let requests = self.requests();
            let mut all = requests.iter().filter_map(|request| request["series"].as_array()).flatten();
            all.find(|series| series["labels"]["__name__"] == name).cloned()
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn started(url: &str, more: &str) -> (Taffrail, String) {
    let text = format!(
        "[agent]\ninterval = \"300ms\"\nflush_interval = \"100ms\"\nhostname = \"web-1\"\n\
         [collectors]\ndefault = false\nenable = [\"loadavg\", \"cpu\"]\n\
         [gateway]\nlisten = [\"127.0.0.1:0\"]\n\
         [[sinks.remote_write]]\nname = \"central\"\nurl = \"{url}/api/v1/write\"\n{more}"
    );
    let taffrail = Taffrail::start(&text);
    let gateway = taffrail.gateway();
    (taffrail, gateway)
}

fn sent_and_rejected(taffrail: &Taffrail) -> (f64, f64) {
    let metrics = taffrail.get("/metrics");
    let sent = metrics.sample("taffrail_sink_points_sent_total{sink=\"central\"}").unwrap();
    (sent, metrics.sample("taffrail_sink_points_dropped_total{reason=\"rejected\",sink=\"central\"}").unwrap())
}

#[test]
#[ignore = "needs Go 1.25: tests/run"]
fn with_golang_1_25_a_receiver_of_2_0_gets_types_help_creation_and_native_histograms() {
    let receiver = Receiver::start("all");
    let (taffrail, gateway) = started(&receiver.url, "");
    let load = receiver.series("node_load1");
    assert_eq!((&load["type"], &load["labels"]["instance"]), (&"METRIC_TYPE_GAUGE".into(), &"web-1".into()));
    assert!(load["help"].as_str().is_some_and(|help| !help.is_empty()), "{load}");
    assert_eq!(receiver.series("node_cpu_seconds_total")["type"], "METRIC_TYPE_COUNTER");
    let text = "# TYPE rows counter\nrows_total 3\nrows_created 1500000000.5\n\
                # TYPE took histogram\ntook_bucket{le=\"1\"} 1\ntook_bucket{le=\"+Inf\"} 2\ntook_sum 5\ntook_count 2\n# EOF\n";
    let openmetrics = ("content-type", "application/openmetrics-text; version=1.0.0");
    let push = request("PUT", "/metrics/job/import", text).header(openmetrics.0, openmetrics.1);
    assert_eq!(push.send(&gateway).status, 200);
    let rows = receiver.series("rows_total");
    assert_eq!((&rows["value"], &rows["created"]), (&3.into(), &1_500_000_000_500i64.into()));
    // A job's group says whether it has an instance, and this one has none.
    assert_eq!(rows["labels"], serde_json::json!({"__name__": "rows_total", "job": "import"}));
    let bucket = receiver.series("took_bucket");
    assert_eq!((&bucket["type"], &bucket["labels"]["le"]), (&"METRIC_TYPE_HISTOGRAM".into(), &"1".into()));
    let protobuf = native_histogram();
    let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let push = request("POST", "/metrics/job/import", protobuf).header("content-type", kind);
    assert_eq!(push.send(&gateway).status, 200);
    let native = &receiver.series("native");
    assert_eq!(native["histogram"]["schema"], 3);
    assert_eq!(native["histogram"]["positive_deltas"], serde_json::json!([1, 2]));
    assert_eq!((&native["type"], &native["value"]), (&"METRIC_TYPE_HISTOGRAM".into(), &Value::Null));
    assert!(receiver.requests().iter().all(|request| request["version"] == 2));
    // What a receiver does not take is counted by what it says, and nothing else is lost or sent again.
    assert_eq!(sent_and_rejected(&taffrail).1, 0.0);
    let push = request("PUT", "/metrics/job/bad", "refused 1\ngood 2\n");
    assert_eq!(push.send(&gateway).status, 200);
    receiver.series("good");
    wait_until("the count", || (sent_and_rejected(&taffrail).1 == 1.0).then_some(()));
}

/// A family `native` with a histogram that has native buckets alone.
fn native_histogram() -> Vec<u8> {
    let positive = Buckets { spans: vec![(1, 2)], deltas: vec![1, 2], counts: Vec::new() };
    let native = Native { schema: 3, zero_threshold: 1e-9, positive, ..Native::default() };
    let histogram = Histogram { count: 4.0, sum: 5.0, buckets: Vec::new(), native: Some(native) };
    let measure = Measure::Histogram(Box::new(histogram));
    let (mut metrics, mut body) = (Vec::new(), Vec::new());
    let metric = Metric { labels: Vec::new(), measure, timestamp: None, created: None };
    push_metric_message(&mut metrics, Kind::Histogram, &metric);
    push_family_message(&mut body, "native", Kind::Histogram, "", &metrics);
    body
}

#[test]
#[ignore = "needs Go 1.25: tests/run"]
fn with_golang_1_25_a_receiver_of_1_0_alone_gets_that_and_all_of_it() {
    let receiver = Receiver::start("first");
    let (taffrail, _) = started(&receiver.url, "");
    taffrail.wait_for_log("takes remote write 1.0, and not 2.0");
    wait_until("requests", || (receiver.requests().len() > 3).then_some(()));
    assert!(receiver.requests().iter().all(|request| request["version"] == 1));
    let (sent, rejected) = sent_and_rejected(&taffrail);
    assert!(sent > 10.0 && rejected == 0.0, "{sent} {rejected}");
}

#[test]
#[ignore = "needs Go 1.25: tests/run"]
fn with_golang_1_25_a_version_that_was_asked_for_is_the_one_that_is_spoken() {
    let receiver = Receiver::start("all");
    let (_taffrail, _) = started(&receiver.url, "version = \"1.0\"\n");
    wait_until("requests", || (receiver.requests().len() > 2).then_some(()));
    assert!(receiver.requests().iter().all(|request| request["version"] == 1));
    // Refused until the settings change, and not counted as sent.
    let receiver = Receiver::start("first");
    let (taffrail, _) = started(&receiver.url, "version = \"2.0\"\n");
    let line = taffrail.wait_for_log("the server refuses writes");
    assert!(line.contains("415"), "{line}");
    assert_eq!(sent_and_rejected(&taffrail), (0.0, 0.0));
}

#[test]
fn a_configuration_without_a_server_to_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "[[sinks.remote_write]]\nurl = 'x'\ntoken = 'a'\nusername = 'b'\n[sinks.remote_write.external_labels]\n'a-b' = 'c'\n")
        .unwrap();
    let (_, reported) =
        crate::harness::printed(&crate::harness::taffrail(&["check", "--config", path.to_str().unwrap()]));
    for complaint in ["expected an http or https URL, found \"x\"", "found both", "external_labels.a-b: expected"] {
        assert!(reported.contains(complaint), "{complaint}: {reported}");
    }
}
