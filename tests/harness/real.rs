//! Servers that people run Taffrail with, from Debian's packages.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::python::run;
use super::{get, wait_until};

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts `command`, which listens on `port`, and waits until `ready` answers.
    pub fn start(command: Command, port: u16, ready: &str) -> Self {
        let server = Self::start_silent(command, port);
        let url = format!("{}{ready}", server.url);
        wait_until(&url, || get(&url, &[]).ok().filter(|answer| answer.status < 300));
        server
    }

    /// The same, and waits until `port` is listened on.
    pub fn start_silent(mut command: Command, port: u16) -> Self {
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let server = Server { child, url: format!("http://127.0.0.1:{port}") };
        wait_until(&server.url, || TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }

    /// Has it read its configuration again: SIGHUP.
    pub fn signal_reload(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::HUP).unwrap();
    }

    /// Has it end in its own time: SIGTERM.
    pub fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_until("the server's end", || self.child.try_wait().unwrap());
    }

    pub fn json(&self, path: &str) -> Value {
        let answer = get(&format!("{}{path}", self.url), &[]).unwrap();
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
    }

    /// The values of an instant query of PromQL, waited for.
    pub fn promql(&self, query: &str) -> Vec<f64> {
        let path = format!("/api/v1/query?query={}", encode(query));
        wait_until(query, || {
            let answer = self.json(&path);
            let values = answer["data"]["result"].as_array()?.iter();
            let values: Vec<f64> = values.filter_map(|series| series["value"][1].as_str()?.parse().ok()).collect();
            (!values.is_empty()).then_some(values)
        })
    }

    /// The rows of a query of InfluxQL, as values by column.
    pub fn influxql(&self, query: &str) -> Vec<BTreeMap<String, Value>> {
        let answer = self.json(&format!("/query?db=telegraf&q={}", encode(query)));
        let series = &answer["results"][0]["series"][0];
        let columns: Vec<String> =
            series["columns"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect();
        let rows = series["values"].as_array().into_iter().flatten();
        rows.map(|row| columns.iter().cloned().zip(row.as_array().unwrap().iter().cloned()).collect()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prometheus, which keeps its data in `folder` and scrapes each of `targets`, of which the first part is the job, every
/// second.
pub fn prometheus(folder: &Path, targets: &[(&str, &str)], more: &[&str]) -> Server {
    prometheus_at(free_port(), folder, targets, more)
}

/// The same on this port.
pub fn prometheus_at(port: u16, folder: &Path, targets: &[(&str, &str)], more: &[&str]) -> Server {
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for (job, target) in targets {
        config +=
            &format!("- {{job_name: '{job}', honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n");
    }
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(more);
    Server::start(command, port, "/-/ready")
}

/// Has a Prometheus that keeps its data in `folder` evaluate the rules in the files `rules` (a pattern) every second, and gives
/// the number of their groups.
pub fn load_rules(prometheus: &Server, folder: &Path, rules: &Path) -> usize {
    let config = folder.join("prometheus.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replacen("scrape_interval: 1s", "scrape_interval: 1s, evaluation_interval: 1s", 1);
    std::fs::write(&config, format!("{text}rule_files: ['{}']\n", rules.display())).unwrap();
    prometheus.signal_reload();
    wait_until("rules", || {
        let groups = prometheus.json("/api/v1/rules")["data"]["groups"].as_array()?.len();
        (groups > 0).then_some(groups)
    })
}

/// The program of a peer's newest release, which `peer` of benches/common builds of the Go module proxy, once, into the folder
/// that Cargo has for tests' files.
pub fn newest_peer(name: &str) -> PathBuf {
    let mut peer = Command::new("bash");
    peer.args(["-c", &format!("set -euo pipefail; . benches/common; peer {name}")]);
    peer.current_dir(env!("CARGO_MANIFEST_DIR"));
    let printed = run(peer.env("PEERS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers")));
    printed.trim_end().into()
}

/// InfluxDB 1.x, which keeps its data in `folder`.
pub fn influxdb(folder: &Path, port: u16) -> Server {
    let path = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n[meta]\ndir = \"{}\"\n\
         [data]\ndir = \"{}\"\nwal-dir = \"{}\"\n[http]\nbind-address = \"127.0.0.1:{port}\"\n",
        path("meta"),
        path("data"),
        path("wal")
    );
    std::fs::write(folder.join("influxdb.conf"), config).unwrap();
    let mut command = Command::new("influxd");
    command.arg("-config").arg(folder.join("influxdb.conf"));
    Server::start(command, port, "/ping")
}

/// A port that nothing listens on, and that no other caller is given: below those that the kernel gives to outgoing
/// connections, which may take a port between this and its use.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let start = (std::process::id() as u16).wrapping_mul(97) % COUNT;
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A text as a part of a query.
pub fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
