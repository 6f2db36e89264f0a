//! Prometheus's remote write, into those who receive it.

mod harness;

use std::path::Path;
use std::process::Command;

use harness::Taffrail;
use harness::http::request;
use harness::real::{Server, free_port, prometheus};
use rustix::process::Signal;

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
    let line = taffrail.wait_for_log("the gateway listens on ");
    let gateway = line.split_once("://").unwrap().1;
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

#[test]
fn a_configuration_without_a_server_to_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "[[sinks.remote_write]]\nurl = 'x'\ntoken = 'a'\nusername = 'b'\n[sinks.remote_write.external_labels]\n'a-b' = 'c'\n")
        .unwrap();
    let (_, told) = harness::printed(&harness::taffrail(&["check", "--config", path.to_str().unwrap()]));
    for complaint in ["expected an http or https URL, found \"x\"", "found both", "found \"a-b\""] {
        assert!(told.contains(complaint), "{complaint}: {told}");
    }
}
