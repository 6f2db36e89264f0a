//! What the dashboard of containers shows of made-up containers.

use std::process::Command;

use serde_json::{Value, json};

use super::dashboards::{all, queries};
use crate::harness::python::run;

const ID: [&str; 2] = [
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
];

/// The families `family` (cAdvisor's) and `own` of five containers, each of which has one event.
fn series(family: &str, own: &str, values: &str) -> Vec<Value> {
    let [a, b] = ID;
    let of_events = [
        // Docker, with and without names.
        format!(r#"{own}{{job="node",instance="h1",name="web"}}"#),
        format!(r#"{family}{{job="node",instance="h1",id="/docker/{a}",name="web"}}"#),
        format!(r#"{own}{{job="node",instance="h2",name="web"}}"#),
        format!(r#"{family}{{job="node",instance="h2",id="/docker/{a}",name="web"}}"#),
        format!(r#"{own}{{job="node",instance="h2",id="/system.slice/docker-{b}.scope"}}"#),
        format!(r#"{family}{{job="node",instance="h2",id="/system.slice/docker-{b}.scope",name="{b}"}}"#),
        format!(r#"{own}{{job="node",instance="h2",id="/machine.slice/one.service"}}"#),
        // Kubernetes, by Taffrail and by the kubelet.
        format!(r#"{own}{{job="taffrail",instance="n1",namespace="s",pod="p",container="app"}}"#),
        format!(
            r#"{family}{{job="kubelet",instance="n1:10250",id="/k/{a}",name="{a}",namespace="s",pod="p",container="app"}}"#
        ),
    ];
    of_events.iter().map(|series| json!({"series": series, "values": values})).collect()
}

/// The dashboard's queries of these families, for any host, over 30 minutes.
fn asked(own: &str) -> Vec<String> {
    let containers = all().into_iter().find(|(_, path, _)| path == "prometheus/containers.json").unwrap().2;
    let queries = queries(&containers).into_iter().map(|(_, query)| query).filter(|query| query.contains(own));
    let literal = |query: String| {
        let query = query.replace("$__range", "30m").replace("$__rate_interval", "30m");
        ["$cluster", "$job", "$instance", "$namespace"].iter().fold(query, |query, name| query.replace(name, ".*"))
    };
    queries.map(literal).collect()
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_each_container_is_counted_once_and_has_a_name() {
    let names = [
        r#"{name="web on h1"}"#,
        r#"{name="web on h2"}"#,
        r#"{name="bbbbbbbbbbbb on h2"}"#,
        r#"{name="one.service on h2"}"#,
        r#"{namespace="s",pod="p",container="app"}"#,
    ];
    let mut tests = Vec::new();
    for (family, own, values) in [
        ("container_oom_events_total", "taffrail_container_oom_events_total", "0x10 1x30"),
        ("container_start_time_seconds", "taffrail_container_restarts_total", "1x10 2x30"),
    ] {
        let expected = |query: &str| match query.starts_with("sum(") {
            true => json!([{"labels": "{}", "value": names.len()}]),
            false => names.iter().map(|labels| json!({"labels": labels, "value": 1})).collect(),
        };
        let asked: Vec<Value> = asked(own)
            .iter()
            .map(|query| json!({"expr": query, "eval_time": "30m", "exp_samples": expected(query)}))
            .collect();
        assert_eq!(asked.len(), 3, "{own}");
        tests.push(json!({"interval": "1m", "input_series": series(family, own, values), "promql_expr_test": asked}));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.json");
    let whole = json!({"rule_files": [], "evaluation_interval": "1m", "tests": tests});
    std::fs::write(&file, whole.to_string()).unwrap();
    let printed = run(Command::new("promtool").args(["test", "rules"]).arg(&file));
    assert!(printed.contains("SUCCESS"), "{printed}");
}
