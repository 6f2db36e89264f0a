//! Every expression of the dashboards and rules, asked of real databases that Taffrail feeds.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::bus;
use super::dashboards::{self, Source};
use super::{rules, stand_ins};
use crate::harness::aws::{Aws, Reply};
use crate::harness::gateway::Gateway;
use crate::harness::http::request;
use crate::harness::real::{Server, encode, free_port, influxdb, load_rules, prometheus};
use crate::harness::server::FakeInflux;
use crate::harness::tls::own_authority;
use crate::harness::{LONG_TIMEOUT, Taffrail, host_section, recorded};

/// What no database can have here, and why.
const NOT_HERE: [(&str, &str); 12] = [
    ("average_response_ms", "it needs net.ipv4.ping_group_range"),
    ("container_health_state", "only a Docker engine has it"),
    ("container_state_", "only a Docker engine has it"),
    ("container_restartcount", "only a Docker engine has it"),
    ("container_exitcode", "only a Docker engine has it"),
    ("docker_container_status\" WHERE", "only a Docker engine has it"),
    ("DCGM_FI_DEV_", "no GPU here"),
    ("\"nvidia_smi\" WHERE", "no GPU here"),
    ("taffrail_lease_held", "only replicas have it"),
    ("taffrail_gateway_role", "only replicas have it"),
    ("taffrail_gateway_stream_", "only replicas have it"),
    ("taffrail_cloudwatch_metrics_deferred_total", "a job without a budget puts nothing off"),
];

fn is_not_here(query: &str) -> bool {
    NOT_HERE.iter().any(|(name, _)| query.contains(name))
}

/// Hosts, live and recorded, jobs and an account of AWS: all that dashboards and rules are about.
struct Fleet {
    members: Vec<(&'static str, Taffrail)>,
    gateway: String,
    _aws: Aws,
    _sink: FakeInflux,
    _root: TempDir,
}

const EVERY_SET: &str = "[collectors.container]\nsets = [\"cpu\", \"memory\", \"io\", \"network\", \"processes\", \
                         \"pressure\", \"oom\", \"times\", \"info\", \"spec\"]\n";

const ENVIRONMENT: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "AKIATEST"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
];

impl Fleet {
    /// All of them push to `influxdb`, or to a server that takes everything.
    fn start(influxdb: Option<&Server>) -> Fleet {
        let sink = FakeInflux::agreeable();
        let url = influxdb.map_or_else(|| sink.url(), |influxdb| influxdb.url.clone());
        let aws = Aws::start(|call| Reply::Output(answer(call)));
        let recorded = |name: &str| host_section(&recorded::host(name).join("after"));
        let cloudwatch = format!(
            "[collectors]\ndefault = false\n[[collectors.cloudwatch]]\nnamespace = \"AWS/EC2\"\n\
             endpoint_url = \"{}\"\nregions = [\"eu-west-1\"]\nperiod = \"1s\"\ndelay = \"0s\"\nwindow = \"1m\"\n\
             max_age = \"1m\"\n",
            aws.url()
        );
        let gateway = "[gateway]\nlisten = [\"127.0.0.1:0\"]\n[collectors.loadavg]\ninterval = \"1s\"\n\
                       [[collectors.procstat.groups]]\nname = \"own\"\nprocess_names = [\"taffrail\"]\n"
            .to_owned();
        let root = TempDir::new().unwrap();
        let services = services(root.path(), &recorded::host("services-and-sessions").join("after/bus"));
        let members = [
            ("services", services),
            ("live", gateway),
            ("containers", recorded("debian-12-containers") + EVERY_SET),
            ("arrays", recorded("raid-and-bonds")),
            ("devices", recorded("every-device")),
            ("cloudwatch", cloudwatch),
            ("probes", probes(root.path(), &url)),
            ("statsd", stand_ins::STATSD.to_owned()),
            ("servers", stand_ins::servers()),
            ("disks", stand_ins::disks(root.path())),
        ];
        let members: Vec<(&str, Taffrail)> =
            members.into_iter().map(|(name, config)| (name, member(name, &config, &url))).collect();
        let (_, statsd) = members.iter().find(|(name, _)| *name == "statsd").unwrap();
        stand_ins::send_samples(statsd);
        let live = members.iter().find(|(name, _)| *name == "live").unwrap();
        let line = live.1.wait_for_log("the gateway listens on ");
        let gateway = line.split_once("://").unwrap().1.to_owned();
        Fleet { members, gateway, _aws: aws, _sink: sink, _root: root }
    }

    /// Jobs that succeed, fail, push what is refused, and expire.
    fn run_jobs(&self) {
        let url = format!("http://{}", self.gateway);
        for (job, program) in [("backup", "true"), ("report", "false")] {
            let mut push = Command::new(env!("CARGO_BIN_EXE_taffrail"));
            push.args(["push", "--url", &url, "--job", job, "--every", "7d", "--", program]);
            let status = push.status().unwrap();
            assert_eq!(status.success(), program == "true");
        }
        let gateway = At(self.gateway.clone());
        let push = |target: &str, body: &str| request("PUT", target, body).send(&gateway.address()).status;
        assert_eq!(push("/metrics/job/sound", "# TYPE rows gauge\nrows 1\n"), 200);
        assert_eq!(push("/metrics/job/refused", "rows_read 1\n"), 200);
        assert_eq!(push("/metrics/job/refused", "# TYPE rows counter\nrows 1\n"), 400);
        assert_eq!(push("/metrics/job/short?ttl=1s", "shards 1\n"), 200);
    }

    fn targets(&self) -> Vec<(&'static str, String)> {
        let own = self.members.iter().map(|(name, taffrail)| {
            let job = if *name == "live" { "taffrail" } else { name };
            (job, taffrail.addresses()[0].clone())
        });
        own.chain([("gateway", self.gateway.clone())]).collect()
    }
}

/// A host of nothing but a recorded message bus, and a folder for text files.
fn services(root: &Path, recording: &Path) -> String {
    let run = root.join("run/dbus");
    std::fs::create_dir_all(&run).unwrap();
    let recording = std::fs::read_to_string(recording).unwrap();
    bus::listen(&run.join("system_bus_socket"), Arc::new(bus::read(&recording)));
    format!(
        "[host]\nroot = {root:?}\n[collectors]\ndefault = false\nenable = [\"systemd\", \"textfile\"]\n\
         [collectors.systemd]\nenable_restarts_metrics = true\n[collectors.textfile]\ndirectory = [\"/\"]\n"
    )
}

/// Probes of a server, and of a certificate in a file.
fn probes(root: &Path, url: &str) -> String {
    let certificate = root.join("certificate.pem");
    std::fs::write(&certificate, own_authority("a.example").2).unwrap();
    let address = url.trim_start_matches("http://");
    let probe = |prober: &str, target: &str| {
        format!("[[collectors.probe]]\nprober = \"{prober}\"\ninterval = \"1s\"\ntargets = [\"{target}\"]\n")
    };
    let web = probe("http", url) + &probe("tcp", address);
    let others = probe("icmp", "127.0.0.1") + &probe("x509", &certificate.display().to_string());
    format!("[collectors]\ndefault = false\n{web}{others}")
}

struct At(String);

impl Gateway for At {
    fn address(&self) -> String {
        self.0.clone()
    }
}

pub(super) fn member(name: &str, config: &str, influxdb: &str) -> Taffrail {
    let sink = format!("[[sinks.influxdb]]\nname = \"central\"\nurls = [\"{influxdb}\"]\ndatabase = \"telegraf\"\n");
    let agent = format!("[agent]\ninterval = \"1s\"\nflush_interval = \"500ms\"\nhostname = \"{name}\"\n");
    let config = format!("{agent}{config}{sink}");
    let taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &ENVIRONMENT);
    taffrail.wait_for_log("listening on");
    taffrail
}

fn answer(call: &crate::harness::aws::Call) -> Value {
    let metric = json!({"Namespace": "AWS/EC2", "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "InstanceId", "Value": "i-0"}]});
    match call.operation.as_str() {
        "ListMetrics" => json!({"Metrics": [metric]}),
        "GetMetricData" => {
            let end = call.input["EndTime"].as_f64().unwrap_or_default() as i64;
            let result = |query: &Value| json!({"Id": query["Id"], "Timestamps": [end - 2], "Values": [1.5], "StatusCode": "Complete"});
            let queries = call.input["MetricDataQueries"].as_array().into_iter().flatten();
            json!({"MetricDataResults": queries.map(result).collect::<Vec<_>>()})
        }
        "GetResources" => json!({"ResourceTagMappingList": [], "PaginationToken": ""}),
        _ => json!({"Account": "111122223333"}),
    }
}

/// A query with Grafana's variables put in, as "All" and the last minutes are.
pub(super) fn with_variables(source: Source, query: &str) -> String {
    let choices = match source {
        Source::Prometheus => {
            [("$__rate_interval", "10s"), ("$__range", "1m"), ("$metric", "aws_ec2_cpuutilization_average")]
        }
        Source::Influxdb => {
            [("$timeFilter", "time > now() - 5m"), ("$__interval", "1s"), ("$metric", "cloudwatch_aws_ec2")]
        }
    };
    let mut query = query.replace(r#"="$instance""#, r#"=~"$instance""#);
    let names = ["$instance", "$namespace", "$name", "$module", "$group", "$cwjob", "$job", "$batch", "$cluster"];
    let field = [("$field", "cpu_utilization_average")];
    for (variable, value) in choices.into_iter().chain(field).chain(names.map(|name| (name, ".*"))) {
        query = query.replace(variable, value);
    }
    let without_groups = query.replace("$/", "").replace("$1$2$3", "").replace(r#""$1""#, "");
    assert!(!without_groups.contains('$'), "an unknown variable: {query}");
    query
}

/// Asks each of `queries`, again and again until it has an answer, and gives those that never had one with the last answer.
pub(super) fn unanswered(queries: Vec<(String, String)>, ask: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
    let start = std::time::Instant::now();
    let mut left: Vec<(String, String)> = queries.into_iter().filter(|(_, query)| !is_not_here(query)).collect();
    loop {
        let mut answers = Vec::new();
        left.retain(|(origin, query)| match ask(query) {
            Ok(()) => false,
            Err(answer) => {
                answers.push(format!("{origin}: {query}: {answer}"));
                true
            }
        });
        if left.is_empty() || start.elapsed() > LONG_TIMEOUT {
            return answers;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

pub(crate) fn ask_prometheus(prometheus: &Server, query: &str) -> Result<(), String> {
    let answer = prometheus.json(&format!("/api/v1/query?query={}", encode(query)));
    match answer["data"]["result"].as_array() {
        Some(series) if !series.is_empty() => Ok(()),
        _ => Err(answer.to_string()),
    }
}

fn queries_of(source: Source) -> Vec<(String, String)> {
    let of = |(_, path, dashboard): (Source, String, Value)| {
        let queries = dashboards::queries(&dashboard).into_iter();
        queries.map(move |(title, query)| (format!("{path}, {title}"), with_variables(source, &query)))
    };
    dashboards::all().into_iter().filter(|(of, ..)| *of == source).flat_map(of).collect()
}

/// The selectors in `expression`, such as `up{job="a"}`, without ranges and modifiers.
fn selectors(expression: &str) -> Vec<String> {
    /// Each is followed by a list of labels, not of arguments.
    const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        if next == '[' {
            rest = after(rest, ']');
        } else if next == '"' {
            rest = after(&rest[1..], '"');
        } else if next.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_of_name(next) || next == '{' {
            let (name, behind) = rest.split_at(rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()));
            let behind_space = behind.trim_start();
            if BEFORE_LABELS.contains(&name) {
                rest = if behind_space.starts_with('(') { after(behind_space, ')') } else { behind };
            } else if OPERATORS.contains(&name) || ["(", "by ", "without "].iter().any(|s| behind_space.starts_with(s))
            {
                rest = behind;
            } else {
                let matchers = if behind.starts_with('{') { end_of_matchers(behind) } else { 0 };
                found.push(format!("{name}{}", &behind[..matchers]));
                rest = &behind[matchers..];
            }
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
    found
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// The length of `{…}` at the start of `text`, whose strings may hold braces.
fn end_of_matchers(text: &str) -> usize {
    let (mut in_string, mut escaped) = (false, false);
    for (position, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '}' if !in_string => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn selectors_are_told_from_functions_labels_and_numbers() {
    let expression = r#"sum by (job) (rate(a_total{b="}"}[5m])) / on (x) group_left () c > 1e3 or time() - d{e=~"\"f"} offset 5m unless label_replace({g="h"}, "i", "", "j", "k{2}")"#;
    assert_eq!(selectors(expression), [r#"a_total{b="}"}"#, "c", r#"d{e=~"\"f"}"#, r#"{g="h"}"#]);
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_that_has_all_that_dashboards_and_rules_refer_to() {
    let fleet = Fleet::start(None);
    fleet.run_jobs();
    let folder = TempDir::new().unwrap();
    let targets = fleet.targets();
    let targets: Vec<(&str, &str)> = targets.iter().map(|(job, target)| (*job, target.as_str())).collect();
    let rules = rules::folder().join("*.yaml");
    let prometheus = prometheus(folder.path(), &targets, &[]);
    let loaded = load_rules(&prometheus, folder.path(), &rules);
    assert_eq!(loaded, rules::groups().len());

    let dashboards = queries_of(Source::Prometheus);
    // What a rule selects must be there, whether the rule holds or not.
    let selected = rules::all().into_iter().flat_map(|rule| {
        let origin = format!("{} of {}", rule.name, rule.file);
        selectors(&rule.expression).into_iter().map(move |selector| (origin.clone(), selector))
    });
    let mut queries = dashboards;
    queries.extend(selected);
    let left = unanswered(queries, |query| ask_prometheus(&prometheus, query));
    assert!(left.is_empty(), "{} without an answer:\n{}", left.len(), left.join("\n"));
    for group in prometheus.json("/api/v1/rules")["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_ne!(rule["health"], "err", "{rule}");
        }
    }
}

#[test]
#[ignore = "needs Debian's package influxdb: tests/run"]
fn with_influxdb_that_has_all_that_dashboards_refer_to() {
    let folder = TempDir::new().unwrap();
    let influxdb = influxdb(folder.path(), free_port());
    let created = ureq::post(&format!("{}/query?q={}", influxdb.url, encode("CREATE DATABASE telegraf"))).send_empty();
    assert!(created.unwrap().status().is_success());
    let fleet = Fleet::start(Some(&influxdb));
    fleet.run_jobs();
    let left = unanswered(queries_of(Source::Influxdb), |query| {
        let answer = influxdb.json(&format!("/query?db=telegraf&q={}", encode(query)));
        match answer["results"][0]["series"].as_array() {
            Some(series) if !series.is_empty() => Ok(()),
            _ => Err(answer.to_string()),
        }
    });
    assert!(left.is_empty(), "{} without an answer:\n{}", left.len(), left.join("\n"));
}
