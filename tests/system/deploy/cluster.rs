//! A node of Kubernetes as dashboards and rules see it: Taffrail with the chart's own configuration over a recorded host, a
//! kubelet that names its pods, the series of kube-state-metrics, and a Prometheus that scrapes as the chart's monitor says.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::expressions::{ask_prometheus, unanswered};
use super::expressions_of_others::{expressions, write_rules};
use super::kubernetes::{configuration, deploy, objects, template, tool};
use super::rights::overlay;
use crate::harness::real::{Server, prometheus};
use crate::harness::server::{FakeInflux, reply, reply_of};
use crate::harness::tls::{self, TlsServer};
use crate::harness::{Taffrail, recorded};

/// A container of the recorded host `kubelet-systemd-v2`, and whose it is.
pub(crate) struct Container {
    pub(crate) namespace: &'static str,
    pub(crate) pod: &'static str,
    pub(crate) name: &'static str,
    uid: &'static str,
    id: &'static str,
    /// The kind and the name of the pod's owner.
    owner: [&'static str; 2],
}

pub(crate) const CONTAINERS: [Container; 5] = [
    Container {
        namespace: "shop",
        pod: "web-0",
        name: "app",
        uid: "8dbc5577-d0e2-4706-8787-57d52c03ddf2",
        id: "a7a1d1b1b26d8785d3cae7a3b8b137b8f08991a2412713846e58baaba5683a4c",
        owner: ["StatefulSet", "web"],
    },
    Container {
        namespace: "shop",
        pod: "web-0",
        name: "envoy",
        uid: "8dbc5577-d0e2-4706-8787-57d52c03ddf2",
        id: "5294f772ea0da9bf601d9cf7a42b3cce49ac74b8cd95d0ce6395a21fa5a03e9b",
        owner: ["StatefulSet", "web"],
    },
    Container {
        namespace: "kube-system",
        pod: "etcd-node-1",
        name: "etcd",
        uid: "7f3f9b1c2d4e5f60718293a4b5c6d7e8",
        id: "c38cbd92fce41312f3fbdce60510013b7f0d4004a03b45c8e762f98f1ed4006c",
        owner: ["Node", "node-1"],
    },
    Container {
        namespace: "kube-system",
        pod: "proxy-abc",
        name: "proxy",
        uid: "c0ffee00-1234-4abc-8def-001122334455",
        id: "1241936d4dd3aad68fe7bfbdfe854b935926bc678fc72377e15166078916227a",
        owner: ["DaemonSet", "proxy"],
    },
    Container {
        namespace: "jobs",
        pod: "batch-x7",
        name: "run",
        uid: "1b3d7a90-0a4f-4f10-9b57-5f0c2f8e6a11",
        id: "4bb24efc9641afc5ded1ca77eabb6e2fcf062d2112ccd61bd8bd6acd89180bae",
        owner: ["ReplicaSet", "batch"],
    },
];

const TOKEN: &str = "the token of the account";

/// The objects that README's own command installs, where Taffrail takes the place of node_exporter and of the kubelet's cAdvisor
/// as it says there.
fn installed() -> Vec<Value> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let part = |start: &str, end: &str| {
        let (_, behind) = readme.split_once(start).unwrap_or_else(|| panic!("README has no {start}"));
        behind.split_once(end).unwrap().0.to_owned()
    };
    let in_place_of = format!("inPlaceOf:{}", part("`inPlaceOf:", "`"));
    let values = part("--values - <<VALUES\n", "\nVALUES\n");
    let values = values.replacen("podMonitor: {", &format!("{in_place_of}, podMonitor: {{"), 1);
    objects(&template(&values, "taffrail", "taffrail").unwrap())
}

pub(crate) struct Cluster {
    pub(crate) prometheus: Server,
    node: Taffrail,
    kubelet: TlsServer,
    _state: FakeInflux,
    _folder: TempDir,
}

impl Cluster {
    /// Starts all of it. Prometheus has the recording rules in this section of other projects' expressions.
    pub(crate) fn start(rules: &str) -> Cluster {
        let folder = TempDir::new().unwrap();
        let chart = installed();
        let kubelet = kubelet();
        let node = exporter(folder.path(), &chart, kubelet.address.port());
        let state = FakeInflux::start(|_| reply_of(200, "text/plain; version=0.0.4", &kube_state_metrics()));
        let prometheus = prometheus(folder.path(), &[], &[]);
        write_rules(rules, &folder.path().join("rules.yml"));
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [folder.path().join("rules.yml")],
            "scrape_configs": [monitored(&chart, &node.addresses()[0]), {
                "job_name": "kube-state-metrics",
                "honor_labels": true,
                "static_configs": [{"targets": [state.address.to_string()]}],
            }],
        });
        std::fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        prometheus.signal_reload();
        Cluster { prometheus, node, kubelet, _state: state, _folder: folder }
    }
}

/// A kubelet with the certificate that it makes itself.
fn kubelet() -> TlsServer {
    let pods = json!({"kind": "PodList", "items": CONTAINERS.map(|container| {
        let image = format!("registry.example.org/{}:1", container.name);
        let id = format!("containerd://{}", container.id);
        let status = json!({"name": container.name, "image": image, "containerID": id, "state": {"running": {}}});
        json!({
            "metadata": {"name": container.pod, "namespace": container.namespace, "uid": container.uid},
            "spec": {"nodeName": "node-1", "containers": [{"name": container.name, "image": image}]},
            "status": {"containerStatuses": [status]},
        })
    })})
    .to_string();
    let (certificate, key, _) = tls::own_authority("node-1");
    tls::answering(certificate, key, move |asked| match (asked.target.as_str(), asked.header("authorization")) {
        ("/pods", Some(token)) if token == format!("Bearer {TOKEN}") => reply(200, &pods),
        ("/pods", _) => reply(401, ""),
        _ => reply(404, ""),
    })
}

/// Taffrail with the chart's configuration. The host, the kubelet's port and the token are the test's.
fn exporter(folder: &Path, chart: &[Value], kubelet_port: u16) -> Taffrail {
    let [(_, config)] = &configuration(chart, "exporter")[..] else { panic!("not one file") };
    let tree = recorded::host("kubelet-systemd-v2").join("after");
    let config = ["proc", "sys", "root"].iter().fold(config.clone(), |config, name| {
        config.replace(&format!("\"/host/{name}"), &format!("\"{}", tree.join(name).display()))
    });
    let config = config.replace("}:10250", &format!("}}:{kubelet_port}"));
    let (token, more) = (folder.join("token"), folder.join("more.toml"));
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::write(&more, format!("[collectors.container]\nkubernetes_token_file = {token:?}\n")).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--config", more.to_str().unwrap()];
    let environment = [("NODE_NAME", "node-1"), ("NODE_IP", "127.0.0.1")];
    let exporter = Taffrail::start_with_environment("run", &config, &arguments, &environment);
    exporter.wait_for_log("listening on");
    exporter
}

/// The scrape configuration that the operator makes of the chart's PodMonitor.
fn monitored(chart: &[Value], address: &str) -> Value {
    let is_wanted = |object: &&Value| {
        object["kind"] == "PodMonitor" && object["metadata"]["labels"]["app.kubernetes.io/component"] == "exporter"
    };
    let monitor = chart.iter().find(is_wanted).unwrap();
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let job = monitor["spec"]["selector"]["matchLabels"][monitor["spec"]["jobLabel"].as_str().unwrap()].clone();
    json!({
        "job_name": "podMonitor",
        "honor_labels": endpoint["honorLabels"],
        "static_configs": [{
            "targets": [address],
            "labels": {
                "__meta_kubernetes_pod_node_name": "node-1",
                "namespace": "monitoring",
                "pod": "taffrail-exporter-xyz",
                "container": "taffrail",
                "endpoint": endpoint["port"],
                "job": job,
            },
        }],
        "relabel_configs": relabelings(&endpoint["relabelings"]),
        "metric_relabel_configs": relabelings(&endpoint["metricRelabelings"]),
    })
}

/// The operator's names of what relabels are Prometheus's in camel case.
fn relabelings(list: &Value) -> Value {
    let renamed = |rule: &Value| {
        let rule = rule.as_object().unwrap().iter();
        let rule = rule.map(|(name, value)| {
            let name = name.replace("sourceLabels", "source_labels").replace("targetLabel", "target_label");
            (name, value.clone())
        });
        Value::Object(rule.collect())
    };
    list.as_array().unwrap().iter().map(renamed).collect()
}

/// What kube-state-metrics reports of the containers and their node, as far as dashboards and rules join it.
fn kube_state_metrics() -> String {
    let mut page = String::new();
    for Container { namespace, pod, name, owner: [kind, owner], .. } in &CONTAINERS {
        let of_pod = format!("namespace=\"{namespace}\",pod=\"{pod}\"");
        let of_container = format!("{of_pod},container=\"{name}\",node=\"node-1\"");
        // A second container of a pod has the pod's series again.
        let mut series = vec![];
        if !page.contains(&of_pod) {
            let host_network = ["Node", "DaemonSet"].contains(kind);
            let of_network = format!("node=\"node-1\",host_network=\"{host_network}\"");
            series.push((format!("kube_pod_info{{{of_pod},{of_network}}}"), "1"));
            series.push((format!("kube_pod_status_phase{{{of_pod},phase=\"Running\"}}"), "1"));
            series.push((format!("kube_pod_owner{{{of_pod},owner_kind=\"{kind}\",owner_name=\"{owner}\"}}"), "1"));
        }
        for what in ["requests", "limits"] {
            for (resource, value) in [("cpu", "0.5"), ("memory", "1e8")] {
                let labels = format!("{of_container},resource=\"{resource}\"");
                series.push((format!("kube_pod_container_resource_{what}{{{labels}}}"), value));
            }
        }
        series.iter().for_each(|(series, value)| page += &format!("{series} {value}\n"));
    }
    for what in ["allocatable", "capacity"] {
        for (resource, value) in [("cpu", "2"), ("memory", "1.6e10")] {
            page += &format!("kube_node_status_{what}{{node=\"node-1\",resource=\"{resource}\"}} {value}\n");
        }
    }
    page + "kube_replicaset_owner{namespace=\"jobs\",replicaset=\"batch\",owner_kind=\"Deployment\",owner_name=\"batch\"} 1\n"
}

#[test]
#[ignore = "needs Debian's packages golang-go and prometheus: tests/run"]
fn with_golang_go_whose_chart_leaves_no_rule_of_kubernetes_mixin_empty() {
    let cluster = Cluster::start("kubernetes-mixin rules");
    let rules = expressions("kubernetes-mixin rules").map(|rule| {
        let record = rule.record.unwrap();
        (record.to_owned(), record.to_owned())
    });
    let left = unanswered(rules.collect(), |record| ask_prometheus(&cluster.prometheus, record));
    assert!(left.is_empty(), "{} without an answer:\n{}", left.len(), left.join("\n"));

    // Each container once, on its node, with the values that the recorded host has.
    let mut expected: Vec<String> =
        CONTAINERS.iter().map(|of| format!("{}/{}/{} node-1", of.namespace, of.pod, of.name)).collect();
    expected.sort_unstable();
    let recorded = |record: &str| {
        let answer = cluster.prometheus.json(&format!("/api/v1/query?query={record}"));
        let labels = |series: &Value| {
            let text = |name: &str| series["metric"][name].as_str().unwrap_or_default().to_owned();
            format!("{}/{}/{} {}", text("namespace"), text("pod"), text("container"), text("node"))
        };
        let mut all: Vec<String> = answer["data"]["result"].as_array().unwrap().iter().map(labels).collect();
        all.sort_unstable();
        all
    };
    for rule in expressions("kubernetes-mixin rules").filter(|rule| rule.text.contains("container_")) {
        let record = rule.record.unwrap();
        if record.starts_with("node_namespace_pod_container:") {
            assert_eq!(recorded(record), expected, "{record}");
        }
    }
    let app = r#"node_namespace_pod_container:container_memory_rss{namespace="shop",container="app"}"#;
    assert_eq!(cluster.prometheus.promql(app), [30_000_000.0]);

    assert!(!cluster.kubelet.posts().is_empty());
    let warnings: Vec<String> = cluster.node.log().into_iter().filter(|line| line.contains("WARN")).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    for job in ["node-exporter", "kubelet"] {
        let family = if job == "kubelet" { "machine_memory_bytes" } else { "node_memory_MemTotal_bytes" };
        let labels = format!(r#"{family}{{job="{job}",instance="node-1",node="node-1"}}"#);
        assert_eq!(cluster.prometheus.promql(&labels).len(), 1);
    }
    // Alerts and panels join Taffrail's own families of containers with cAdvisor's.
    let labels = r#"taffrail_container_restarts_total{job="kubelet",metrics_path="/metrics/cadvisor",container="app"}"#;
    assert_eq!(cluster.prometheus.promql(labels).len(), 1);
}

#[test]
#[ignore = "needs Debian's packages golang-go and prometheus: tests/run"]
fn with_golang_go_whose_chart_leaves_no_dashboard_of_kubernetes_mixin_empty() {
    let cluster = Cluster::start("kubernetes-mixin rules");
    let values = [("cluster", ""), ("namespace", "shop"), ("pod", "web-0"), ("node", ".+")];
    let queries = expressions("kubernetes-mixin dashboard").map(|expression| {
        let query = values.iter().fold(expression.text.replace("$__rate_interval", "10s"), |query, (name, value)| {
            query.replace(&format!("\"${name}\""), &format!("\"{value}\""))
        });
        assert!(!query.contains('$'), "an unknown variable: {query}");
        (String::new(), query)
    });
    let queries: Vec<(String, String)> = queries.collect();
    assert!(queries.len() > 90, "{}", queries.len());
    let left = unanswered(queries, |query| ask_prometheus(&cluster.prometheus, query));
    assert!(left.is_empty(), "{} without an answer:\n{}", left.len(), left.join("\n"));
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_component_in_place_of_gives_the_labels_that_the_chart_gives() {
    let components = "components: [../../components/operator, ../../components/in-place-of]\n";
    let manifests = overlay(&format!("resources: [../../base]\n{components}"));
    let chart = installed();
    assert_eq!(monitored(&manifests, "node-1:9100"), monitored(&chart, "node-1:9100"));
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_cloudwatch_is_scraped_once_it_is_wanted() {
    let overlays = deploy().join("kubernetes/overlays");
    let full = objects(&tool(&["kustomize", overlays.join("full").to_str().unwrap()], "").unwrap());
    let find = |objects: &[Value], kind: &str| {
        let is_wanted = |object: &&Value| {
            object["kind"] == kind && object["metadata"]["labels"]["app.kubernetes.io/component"] == "cloudwatch"
        };
        objects.iter().find(is_wanted).unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    let (deployment, monitor) = (find(&full, "Deployment"), find(&full, "PodMonitor"));
    assert_eq!(deployment["spec"]["replicas"], 0, "AWS charges each request");
    let labels = deployment["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
    for (name, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[name], value);
    }
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["honorLabels"], true);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"], endpoint["port"]);

    let components = "components: [../../components/cloudwatch, ../../components/annotations]\n";
    let annotated = find(&overlay(&format!("resources: [../../base]\n{components}")), "Deployment");
    let annotations = &annotated["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations, &json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9100"}));
    assert_eq!(annotated["spec"]["replicas"], 1);
}
