//! Jobs that only one of two Taffrails runs.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::servers::NatsServers;
use crate::harness::aws::{Aws, Call, Reply};
use crate::harness::{Taffrail, wait_until};

/// Whether the lease is held.
const HELD: &str = "taffrail_lease_held{lease=\"costly\"}";

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// An account with one metric.
fn account(call: &Call) -> Reply {
    Reply::Output(match call.operation.as_str() {
        "ListMetrics" => json!({"Metrics": [{"Namespace": "Shop", "MetricName": "Orders", "Dimensions": []}]}),
        "GetMetricData" => {
            let queries = call.input["MetricDataQueries"].as_array().unwrap();
            let result = |query: &Value| json!({"Id": query["Id"], "Label": "x", "Timestamps": [now() - 2], "Values": [4.0], "StatusCode": "Complete"});
            json!({"MetricDataResults": queries.iter().map(result).collect::<Vec<_>>(), "Messages": []})
        }
        "GetCallerIdentity" => json!({"Account": "111122223333", "Arn": "arn:x", "UserId": "x"}),
        _ => json!({"ResourceTagMappingList": [], "PaginationToken": ""}),
    })
}

fn config(aws: &Aws, nats: &str, key: &str, lease: &str) -> String {
    format!(
        "[collectors]\ndefault = false\n[[collectors.cloudwatch]]\nnamespace = \"Shop\"\nendpoint_url = \"{}\"\n\
         regions = [\"eu-west-1\"]\naccess_key = \"{key}\"\nsecret_key = \"s\"\nperiod = \"1s\"\ndelay = \"0s\"\n\
         window = \"1m\"\nmax_age = \"1m\"\n{lease}\n{nats}\n",
        aws.url()
    )
}

/// Starts with no credentials of this machine.
fn start(config: &str) -> Taffrail {
    let files = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"].map(|name| (name, "/dev/null"));
    let taffrail = Taffrail::start_with_environment("run", config, &["--listen", "127.0.0.1:0"], &files);
    taffrail.wait_for_log("listening on");
    taffrail
}

/// One of the Taffrails; `key` is its access key, by which its calls are known.
struct Replica<'a> {
    aws: &'a Aws,
    key: &'static str,
    taffrail: Taffrail,
}

impl<'a> Replica<'a> {
    fn start(aws: &'a Aws, nats: &str, key: &'static str) -> Replica<'a> {
        Replica { aws, key, taffrail: start(&config(aws, nats, key, "lease = \"costly\"")) }
    }

    /// Waits until it holds the lease, or does not, and exposes the metrics accordingly.
    fn wait_until_held(&self, is_held: bool) {
        wait_until(&format!("{} with a lease that is held: {is_held}", self.key), || {
            let exposition = self.taffrail.get("/metrics");
            let held = exposition.sample(HELD)?;
            let has_data = exposition.text().contains("\naws_shop_orders_average{");
            let has_target = exposition.text().contains("\ntaffrail_cloudwatch_up{");
            assert_eq!(exposition.sample("node_scrape_collector_success{collector=\"cloudwatch\"}"), Some(1.0));
            (held == f64::from(u8::from(is_held)) && has_data == is_held && has_target == is_held).then_some(())
        });
    }

    fn calls(&self) -> usize {
        self.aws.calls("GetMetricData").iter().filter(|call| call.access_key == self.key).count()
    }

    /// Waits until it has requested data a few times more.
    fn wait_for_calls(&self) {
        let before = self.calls();
        wait_until("calls", || (self.calls() >= before + 3).then_some(()));
    }
}

#[test]
fn replicas_request_what_costs_money_once() {
    let (servers, aws) = (NatsServers::start(1, ""), Aws::start(account));
    let nats = format!("[nats]\nservers = {:?}", servers.urls("nats"));
    let first = Replica::start(&aws, &nats, "first");
    first.wait_until_held(true);
    let second = Replica::start(&aws, &nats, "second");
    second.wait_until_held(false);
    first.wait_for_calls();
    assert_eq!(second.calls(), 0);
    // Takeover.
    drop(first);
    second.wait_until_held(true);
    let first = Replica::start(&aws, &nats, "third");
    first.wait_until_held(false);
    second.wait_for_calls();
    assert_eq!(first.calls(), 0);
    // A holder that is paused, and does not know that it has lost the lease.
    second.taffrail.signal(Signal::STOP);
    first.wait_until_held(true);
    second.taffrail.signal(Signal::CONT);
    second.wait_until_held(false);
    let before = second.calls();
    first.wait_for_calls();
    assert_eq!(second.calls(), before);
}

/// Without servers, nobody holds the lease: nothing is requested twice.
#[test]
fn replicas_without_servers_request_nothing() {
    let aws = Aws::start(account);
    let port = crate::harness::real::free_port();
    let nats = format!("[nats]\nservers = [\"nats://127.0.0.1:{port}\"]");
    let replica = Replica::start(&aws, &nats, "first");
    let warning = replica.taffrail.wait_for_log("the lease costly is not held yet: ");
    assert!(warning.contains("no connection to a NATS server"), "{warning}");
    replica.wait_until_held(false);
    assert_eq!(replica.calls(), 0);
    for (nats, lease, expected) in [
        ("", "lease = \"costly\"", "expected [nats] servers with it, found none"),
        (&nats[..], "lease = \"a b\"", "lease: expected a name of at most 200 letters, digits, - and _, found \"a b\""),
    ] {
        let (_folder, path) = crate::harness::config_file(&config(&aws, nats, "first", lease));
        let output = crate::harness::taffrail(&["check", "--config", &path]);
        let (_, error) = crate::harness::printed(&output);
        assert!(!output.status.success() && error.contains(expected), "{error}");
    }
}

/// A Taffrail that scrapes `target`, and runs a program that appends its name to a file and one that runs all the time, in its turn.
struct Worker {
    name: &'static str,
    runs: PathBuf,
    taffrail: Taffrail,
}

impl Worker {
    fn start(name: &'static str, runs: &Path, target: &str, nats: &str) -> Worker {
        let lease = "interval = \"100ms\"\nlease = \"costly\"\ndata_format = \"value\"";
        let run = format!("echo {name} >>{}; echo 1", runs.display());
        let config = format!(
            "[collectors]\ndefault = false\n[[collectors.prometheus]]\nname = \"paid\"\ntargets = [\"{target}\"]\n\
             interval = \"100ms\"\ntimeout = \"100ms\"\nlease = \"costly\"\n\
             [[collectors.exec]]\ncommand = [\"/bin/sh\", \"-c\", \"{run}\"]\nname_override = \"once\"\n{lease}\n\
             [[collectors.execd]]\ncommand = [\"/bin/sh\", \"-c\", \"echo 2; exec sleep 3600\"]\nname_override = \"always\"\n{lease}\n\
             {nats}\n"
        );
        Worker { name, runs: runs.to_owned(), taffrail: start(&config) }
    }

    /// Waits until it holds the lease, or does not, and exposes the results of all jobs accordingly.
    fn wait_until_held(&self, is_held: bool) {
        wait_until(&format!("{} with a lease that is held: {is_held}", self.name), || {
            let exposition = self.taffrail.get("/metrics");
            let has = |start: &str| exposition.text().lines().any(|line| line.starts_with(start));
            let shown = ["up{", "taffrail_exec_success{", "once", "taffrail_execd_up{", "always"].map(has);
            let is_shown = exposition.sample(HELD)? == f64::from(u8::from(is_held)) && shown == [is_held; 5];
            is_shown.then_some(())
        });
    }

    fn runs(&self) -> usize {
        let runs = std::fs::read_to_string(&self.runs).unwrap_or_default();
        runs.lines().filter(|line| *line == self.name).count()
    }

    /// Waits until it has run the program a few times more.
    fn wait_for_runs(&self) {
        let before = self.runs();
        wait_until("runs", || (self.runs() >= before + 3).then_some(()));
    }
}

/// All jobs with a lease, of whichever collectors, run where it is held.
#[test]
fn replicas_scrape_and_run_programs_once() {
    let (servers, target) = (NatsServers::start(1, ""), Taffrail::start("[collectors]\ndefault = false\n"));
    let folder = tempfile::tempdir().unwrap();
    let (runs, nats) = (folder.path().join("runs"), format!("[nats]\nservers = {:?}", servers.urls("nats")));
    let worker = |name| Worker::start(name, &runs, &target.addresses()[0], &nats);
    let first = worker("first");
    first.wait_until_held(true);
    let second = worker("second");
    second.wait_until_held(false);
    first.wait_for_runs();
    assert_eq!(second.runs(), 0);
    // A holder that is paused, and does not know that it has lost the lease.
    first.taffrail.signal(Signal::STOP);
    second.wait_until_held(true);
    first.taffrail.signal(Signal::CONT);
    first.wait_until_held(false);
    let before = first.runs();
    second.wait_for_runs();
    assert_eq!(first.runs(), before);
    // Takeover.
    drop(second);
    first.wait_until_held(true);
    first.wait_for_runs();
}
