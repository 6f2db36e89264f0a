//! What the dashboard Hosts shows of one host, whose CPU time and start the test makes: the same over both databases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use super::dashboards::{self, Source};
use super::expressions::{member, with_variables};
use crate::harness::real::{Server, encode, free_port, influxdb, prometheus};
use crate::harness::{host_section, wait_until};

/// Modes of CPU time as in /proc/stat, with their share in percent. User and nice time include that of guests.
const SHARES: [(&str, u64); 10] = [
    ("user", 20),
    ("nice", 7),
    ("system", 10),
    ("idle", 30),
    ("iowait", 10),
    ("irq", 1),
    ("softirq", 2),
    ("steal", 20),
    ("guest", 5),
    ("guest_nice", 2),
];

/// A host with one CPU that divides its time by `SHARES`.
struct Host {
    root: TempDir,
    /// When it was started, in seconds since 1970.
    booted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Host {
    /// Started ten days ago.
    fn start() -> Host {
        let root = TempDir::new().unwrap();
        let proc = root.path().join("proc");
        std::fs::create_dir_all(&proc).unwrap();
        let booted = Arc::new(AtomicU64::new(now() - 10 * 86_400));
        let stop = Arc::new(AtomicBool::new(false));
        write(&proc, Duration::ZERO, booted.load(Relaxed));
        let (of_writer, until) = (booted.clone(), stop.clone());
        let writer = std::thread::spawn(move || {
            let start = Instant::now();
            while !until.load(Relaxed) {
                write(&proc, start.elapsed(), of_writer.load(Relaxed));
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Host { root, booted, stop, writer: Some(writer) }
    }

    fn config(&self) -> String {
        let host = host_section(self.root.path());
        format!("{host}[collectors]\ndefault = false\nenable = [\"cpu\", \"loadavg\", \"stat\", \"time\"]\n")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.writer.take().unwrap().join().unwrap();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn write(proc: &Path, elapsed: Duration, booted: u64) {
    let ticks: Vec<String> =
        SHARES.iter().map(|(_, share)| (elapsed.as_millis() as u64 * share / 1000).to_string()).collect();
    let ticks = ticks.join(" ");
    let stat = format!(
        "cpu  {ticks}\ncpu0 {ticks}\nintr 1\nctxt 1\nbtime {booted}\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n\
         softirq 0 0 0 0 0 0 0 0 0 0 0\n"
    );
    let uptime = format!("{}.00 1.00\n", now() - booted);
    for (name, text) in [("stat", stat), ("uptime", uptime), ("loadavg", "0.10 0.10 0.10 1/1 1\n".to_owned())] {
        let new: PathBuf = proc.join(format!(".{name}"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, proc.join(name)).unwrap();
    }
}

/// The dashboard Hosts.
fn hosts(of: Source) -> Value {
    let path = format!("{}/hosts.json", of.name());
    dashboards::all().into_iter().find(|(_, found, _)| *found == path).unwrap().2
}

/// The latest values of a panel, by legend.
fn panel(source: Source, server: &Server, kind: &str, title: &str) -> BTreeMap<String, f64> {
    let dashboard = hosts(source);
    let of_panel = |panel: &&Value| panel["type"] == kind && panel["title"] == title;
    let panel = dashboard["panels"].as_array().unwrap().iter().find(of_panel).unwrap();
    let mut values = BTreeMap::new();
    for target in panel["targets"].as_array().unwrap() {
        let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
        match source {
            Source::Prometheus => {
                let query = with_variables(source, &text("expr"));
                let answer = server.json(&format!("/api/v1/query?query={}", encode(&query)));
                for series in answer["data"]["result"].as_array().unwrap() {
                    let mode = series["metric"]["mode"].as_str().unwrap_or_default();
                    let value = series["value"][1].as_str().unwrap().parse().unwrap();
                    values.insert(text("legendFormat").replace("{{mode}}", mode), value);
                }
            }
            Source::Influxdb => {
                let query = with_variables(source, &text("query"));
                let answer = server.json(&format!("/query?db=telegraf&q={}", encode(&query)));
                let rows = answer["results"][0]["series"][0]["values"].as_array();
                if let Some(value) = rows.and_then(|rows| rows.last()?[1].as_f64()) {
                    values.insert(text("alias"), value);
                }
            }
        }
    }
    values
}

/// The answers to the query that marks reboots after `from`.
fn reboots(source: Source, server: &Server, from: u64) -> Vec<Value> {
    let annotation = &hosts(source)["annotations"]["list"][0];
    assert_eq!(annotation["name"], "Reboot");
    let text = |key: &str| annotation[key].as_str().unwrap_or_default().replace("$__from", &(from * 1000).to_string());
    let answers = match source {
        Source::Prometheus => {
            let query = encode(&with_variables(source, &text("expr")));
            server.json(&format!("/api/v1/query?query={query}"))["data"]["result"].clone()
        }
        Source::Influxdb => {
            let query = encode(&with_variables(source, &text("query")));
            server.json(&format!("/query?db=telegraf&q={query}"))["results"][0]["series"][0]["values"].clone()
        }
    };
    answers.as_array().cloned().unwrap_or_default()
}

#[test]
#[ignore = "needs Debian's packages influxdb and prometheus: tests/run"]
fn with_influxdb_and_prometheus_that_show_the_same_cpu_time_and_reboots() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let influxdb = influxdb(folders[0].path(), free_port());
    let created = ureq::post(&format!("{}/query?q={}", influxdb.url, encode("CREATE DATABASE telegraf"))).send_empty();
    assert!(created.unwrap().status().is_success());
    let host = Host::start();
    let taffrail = member("host", &host.config(), &influxdb.url);
    let prometheus = prometheus(folders[1].path(), &[("taffrail", &taffrail.addresses()[0])], &[]);
    let servers = [(Source::Prometheus, &prometheus), (Source::Influxdb, &influxdb)];
    let start = now();

    // In use is what is neither idle, nor waits, nor is stolen.
    let in_use = 1.0 - 0.30 - 0.10 - 0.20;
    let mut expected: BTreeMap<String, f64> =
        SHARES.iter().map(|(mode, share)| ((*mode).to_owned(), *share as f64 / 100.0)).collect();
    for mode in ["idle", "guest", "guest_nice"] {
        expected.remove(mode);
    }
    for (source, server) in servers {
        let is_near = |found: &f64, expected: &f64| (found - expected).abs() < 0.03;
        wait_until(&format!("{source:?} shows CPU time"), || {
            let found = panel(source, server, "gauge", "CPU");
            found.values().all(|found| is_near(found, &in_use)).then_some(())?;
            let modes = panel(source, server, "timeseries", "CPU time by mode");
            let all = expected.iter().all(|(mode, share)| modes.get(mode).is_some_and(|found| is_near(found, share)));
            (found.len() == 1 && all && modes.len() == expected.len()).then_some(())
        });
        assert_eq!(reboots(source, server, start), [] as [Value; 0], "{source:?}");
    }

    let booted = now();
    host.booted.store(booted, Relaxed);
    for (source, server) in servers {
        let marks = wait_until(&format!("{source:?} marks a reboot"), || {
            let marks = reboots(source, server, start);
            (!marks.is_empty()).then_some(marks)
        });
        assert_eq!(marks.len(), 1, "{source:?}: {marks:?}");
    }
    // Where the mark stands.
    let mark = &reboots(Source::Prometheus, &prometheus, start)[0];
    let time: f64 = mark["value"][1].as_str().unwrap().parse().unwrap();
    assert_eq!(time, (booted * 1000) as f64);
}
