//! The databases that numbers are pushed to, and asked for them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::real::{Server, encode, influxdb, prometheus_at};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Database {
    InfluxDb,
    VictoriaMetrics,
    Prometheus,
}

impl Database {
    pub(crate) fn start(self, folder: &Path, port: u16) -> Server {
        match self {
            Database::InfluxDb => {
                let server = influxdb(folder, port);
                let created = format!("{}/query?q={}", server.url, encode("CREATE DATABASE telegraf"));
                assert!(ureq::post(&created).send_empty().unwrap().status().is_success());
                server
            }
            Database::VictoriaMetrics => {
                let mut command = Command::new("victoria-metrics");
                command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
                command.arg(format!("-storageDataPath={}", folder.display()));
                command.args(["-search.latencyOffset=0s", "-retentionPeriod=100y"]);
                Server::start(command, port, "/health")
            }
            Database::Prometheus => prometheus_at(port, folder, &[], &["--web.enable-remote-write-receiver"]),
        }
    }

    /// The section of a sink for the server at `address`.
    pub(crate) fn sink(self, address: &str) -> String {
        match self {
            Database::InfluxDb => {
                format!("[[sinks.influxdb]]\nurls = [\"http://{address}\"]\ndatabase = \"telegraf\"\n")
            }
            Database::VictoriaMetrics | Database::Prometheus => {
                format!("[[sinks.remote_write]]\nurl = \"http://{address}/api/v1/write\"\n")
            }
        }
    }

    /// Whether it takes what is older than what it has.
    pub(crate) fn takes_any_time(self) -> bool {
        self != Database::Prometheus
    }

    /// Ends the server: as if the power were cut, if it promises that what it has acknowledged is there then.
    pub(crate) fn end(self, server: Server) {
        match self {
            // Its documentation: up to five seconds of data are in memory alone.
            Database::VictoriaMetrics => server.end(),
            Database::InfluxDb | Database::Prometheus => drop(server),
        }
    }

    /// The numbers that are there.
    pub(crate) fn stored(self, server: &Server) -> BTreeSet<u64> {
        let number =
            |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).map(|number| number as u64);
        match self {
            Database::InfluxDb => {
                let query = "SELECT \"number\" FROM \"prometheus\" WHERE \"job\" =~ /count/";
                server.influxql(query).iter().filter_map(|row| number(&row["number"])).collect()
            }
            Database::VictoriaMetrics => {
                let path = "/api/v1/export?reduce_mem_usage=1&match[]=number&end=9000000000";
                let answer = crate::harness::get(&format!("{}{path}", server.url), &[]).unwrap();
                let lines = answer.text();
                let series = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
                series
                    .flat_map(|series| series["values"].as_array().cloned().unwrap())
                    .filter_map(|value| number(&value))
                    .collect()
            }
            Database::Prometheus => {
                let answer = server.json("/api/v1/query?query=number%5B1h%5D");
                let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
                let values = series.iter().flat_map(|series| series["values"].as_array().cloned().unwrap());
                values.filter_map(|pair| number(&pair[1])).collect()
            }
        }
    }
}
