//! The expressions of other projects' dashboards and rules, asked of a Prometheus that scrapes Taffrail beside the exporter that
//! they were written for: what one answers the other answers.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::expressions::unanswered;
use crate::harness::Taffrail;
use crate::harness::real::{Server, encode, free_port, load_rules, newest_peer, prometheus};

const EXPRESSIONS: &str = include_str!("expressions-of-others.txt");

/// What each exporter reports of itself: there must be an answer, but with other labels.
const OF_ITSELF: [&str; 2] = ["node_exporter_build_info", "node_scrape_collector_"];

/// Collectors that Node Exporter Full asks to be enabled.
const MORE_COLLECTORS: [&str; 4] = ["interrupts", "processes", "systemd", "tcpstat"];

/// An expression, and the name of the series that it records, if it is a rule.
pub(crate) struct Expression {
    pub(crate) record: Option<&'static str>,
    pub(crate) text: &'static str,
}

/// The expressions in the sections whose names begin with `start`.
pub(crate) fn expressions(start: &str) -> impl Iterator<Item = Expression> {
    let sections = EXPRESSIONS.split("\n== ").skip(1).filter(move |section| section.starts_with(start));
    let lines = sections.flat_map(|section| section.lines().skip(1).filter(|line| !line.is_empty()));
    lines.map(|line| match line.split_once(" = ") {
        Some((record, text)) => Expression { record: Some(record), text },
        None => Expression { record: None, text: line },
    })
}

/// The file of the recording rules in the section `name`, over all jobs.
pub(crate) fn write_rules(name: &str, path: &Path) {
    let rule = |expression: Expression| {
        let text = expression.text.replace(r#"job="$job""#, r#"job=~".+""#);
        json!({"record": expression.record.unwrap(), "expr": text})
    };
    let rules: Vec<Value> = expressions(name).map(rule).collect();
    // YAML is a superset of JSON.
    std::fs::write(path, json!({"groups": [{"name": "rules", "rules": rules}]}).to_string()).unwrap();
}

/// An exporter, scraped under a job of its own.
struct Target {
    job: &'static str,
    address: String,
}

impl Target {
    /// The series of an answer about it, by their labels without the target's.
    fn ask(&self, prometheus: &Server, expression: &str) -> Result<BTreeSet<String>, String> {
        let address = self.address.as_str();
        let values =
            [("instance", address), ("node", address), ("job", self.job), ("cluster", ".*"), ("diskdevices", ".*")];
        let query = expression.replace("$__rate_interval", "10s").replace(r#"cluster="$cluster""#, r#"cluster="""#);
        let query = values
            .iter()
            .fold(query, |query, (name, value)| query.replace(&format!("\"${name}\""), &format!("\"{value}\"")));
        assert!(!query.contains('$'), "an unknown variable: {query}");
        let answer = prometheus.json(&format!("/api/v1/query?query={}", encode(&query)));
        let labels = |series: &Value| {
            let mut labels = series["metric"].clone();
            for name in ["job", "instance"] {
                labels.as_object_mut().unwrap().remove(name);
            }
            labels.to_string()
        };
        let series = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        Ok(series.iter().map(labels).collect())
    }
}

/// The expressions to which both never gave equal answers. Readings differ in time, so that each is asked again for a while.
fn disagreeing(prometheus: &Server, theirs: &Target, ours: &Target) -> Vec<String> {
    let of_hosts = expressions("node-").chain(expressions("kubernetes-mixin hosts"));
    let queries = of_hosts.map(|expression| (theirs.job.to_owned(), expression.text.to_owned()));
    unanswered(queries.collect(), |expression| {
        let (theirs, ours) = (theirs.ask(prometheus, expression)?, ours.ask(prometheus, expression)?);
        let is_equal = theirs == ours;
        let is_of_itself = OF_ITSELF.iter().any(|name| expression.contains(name));
        if is_equal || is_of_itself && !theirs.is_empty() && !ours.is_empty() {
            return Ok(());
        }
        let missing: Vec<&String> = theirs.difference(&ours).take(3).collect();
        let further: Vec<&String> = ours.difference(&theirs).take(3).collect();
        Err(format!("{} series, and here {}: without {missing:?}, with {further:?}", theirs.len(), ours.len()))
    })
}

#[test]
fn expressions_of_others_are_read() {
    assert_eq!(expressions("node-mixin rules").filter(|rule| rule.record.is_some()).count(), 15);
    assert!(expressions("node-exporter-full").count() > 200);
    assert!(expressions("node-exporter-full").all(|expression| expression.record.is_none()));
}

#[test]
#[ignore = "needs Debian's packages prometheus and golang-go: tests/run"]
fn with_golang_1_25_in_full_dashboards_for_node_exporter_show_the_same() {
    let program = newest_peer("node_exporter");
    let flags = MORE_COLLECTORS.map(|name| format!("--collector.{name}"));
    let start = |flags: &[String]| {
        let port = free_port();
        let mut command = Command::new(&program);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
        (Server::start(command, port, "/metrics"), format!("127.0.0.1:{port}"))
    };
    let theirs = [start(&[]), start(&flags)];
    let ours = [Taffrail::start(""), Taffrail::start(&format!("[collectors]\nenable = {MORE_COLLECTORS:?}\n"))];
    let target = |job, address: &str| Target { job, address: address.to_owned() };
    let pairs = [
        (target("node", &theirs[0].1), target("taffrail", &ours[0].addresses()[0])),
        (target("node-more", &theirs[1].1), target("taffrail-more", &ours[1].addresses()[0])),
    ];
    let targets: Vec<(&str, &str)> =
        pairs.iter().flat_map(|(a, b)| [(a.job, a.address.as_str()), (b.job, b.address.as_str())]).collect();
    let folder = TempDir::new().unwrap();
    let rules = folder.path().join("rules.yml");
    write_rules("node-mixin rules", &rules);
    let prometheus = prometheus(folder.path(), &targets, &[]);
    assert_eq!(load_rules(&prometheus, folder.path(), &rules), 1);
    for (theirs, ours) in &pairs {
        // Both have been scraped twice, and the rules evaluated, once the last rule has an answer.
        for target in [theirs, ours] {
            let recorded = format!(r#"instance_device:node_disk_io_time_seconds:rate5m{{job="{}"}}"#, target.job);
            prometheus.promql(&recorded);
        }
        let left = disagreeing(&prometheus, theirs, ours);
        assert!(left.is_empty(), "{} with other answers:\n{}", left.len(), left.join("\n"));
    }
}
