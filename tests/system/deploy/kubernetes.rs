//! Manifests and the chart: made by the libraries of kubectl and helm, checked against the API's schemas and the operator's
//! types.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use super::rules;
use crate::harness::python::{folder, python, run};

pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// The program tests/clients/deploy.
static TOOL: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = folder("deploy");
    run(Command::new("go").args(["build", "-o", "deploy", "."]).current_dir(&folder));
    folder.join("deploy")
});

/// What it prints, or what it says against it.
pub(crate) fn tool(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(&*TOOL);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Checks manifests against the schemas of Kubernetes, strictly, and the Prometheus operator's objects against its types.
/// Gives how many of the latter there are.
fn check(origin: &str, manifests: &str) -> usize {
    let python = python("manifests", &["kubernetes-validate==1.37.0"]);
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), manifests).unwrap();
    for version in ["1.27", "1.33", "1.37"] {
        let mut validate = python();
        validate.args(["-m", "kubernetes_validate.__main__", "--strict", "--no-warn", "--quiet", "-k", version]);
        let output = validate.arg(file.path()).output().unwrap();
        let reported = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !reported.contains("ERROR"), "{origin}, Kubernetes {version}: {reported}");
    }
    let reported = tool(&["monitors"], manifests).unwrap_or_else(|error| panic!("{origin}: {error}"));
    reported.split_whitespace().next().unwrap().parse().unwrap()
}

/// What helm makes of the chart with these values, for a release in a namespace; then the notes.
pub(crate) fn template(values: &str, release: &str, namespace: &str) -> Result<String, String> {
    let chart = deploy().join("helm/taffrail");
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), values).unwrap();
    tool(&["template", chart.to_str().unwrap(), file.path().to_str().unwrap(), release, namespace], "")
}

/// The objects of manifests.
pub(crate) fn objects(manifests: &str) -> Vec<Value> {
    let manifests = manifests.split_once("\n---\n# NOTES\n").map_or(manifests, |(manifests, _)| manifests);
    let lines = tool(&["json"], manifests).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(manifests: &str) -> Vec<&str> {
    let mut kinds: Vec<&str> = manifests.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn the_rules_for_the_operator_are_those_for_prometheus() {
    let mut made = "# Made of deploy/prometheus/rules: TAFFRAIL_BLESS=1 cargo test --test system deploy\n\
                    apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: taffrail\n  \
                    namespace: taffrail\n  labels:\n    app.kubernetes.io/name: taffrail\nspec:\n  groups:\n"
        .to_owned();
    for (_, text) in rules::files(&rules::folder()) {
        let groups = text.lines().skip_while(|line| *line != "groups:").skip(1);
        groups.for_each(|line| made += &if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    }
    let file = deploy().join("kubernetes/components/operator/rules.yaml");
    if std::env::var_os("TAFFRAIL_BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let stale = std::fs::read_to_string(&file).unwrap() != made;
    assert!(!stale, "{} is stale: run TAFFRAIL_BLESS=1 cargo test --test system deploy", file.display());
}

#[test]
#[ignore = "needs Debian's packages golang-go and python3-pip: tests/run"]
fn with_golang_go_whose_kustomize_makes_manifests_that_kubernetes_knows() {
    let overlays = deploy().join("kubernetes/overlays");
    for (overlay, monitors, others) in [("plain", 0, 11), ("operator", 4, 11), ("full", 4, 14)] {
        let made = tool(&["kustomize", overlays.join(overlay).to_str().unwrap()], "").unwrap();
        assert_eq!(check(overlay, &made), monitors);
        assert_eq!(kinds(&made).len(), monitors + others, "{:?}", kinds(&made));
        assert_eq!(made.contains("prometheus.io/scrape"), overlay == "plain");
        // The exporter alone has a token.
        assert_eq!(made.matches("automountServiceAccountToken: true").count(), 1);
    }
}

#[test]
#[ignore = "needs Debian's packages golang-go and python3-pip: tests/run"]
#[should_panic(expected = "hostPid")]
fn with_golang_go_and_a_manifest_that_kubernetes_does_not_know() {
    let plain = deploy().join("kubernetes/overlays/plain");
    let made = tool(&["kustomize", plain.to_str().unwrap()], "").unwrap();
    check("misspelt", &made.replace("hostPID", "hostPid"));
}

/// Values of the chart, each with the kinds of objects that it adds to or takes from those of none.
const MATRIX: &[(&str, &[&str])] = &[
    ("{}", &[]),
    (
        "exporter: {enabled: false}",
        &["-ClusterRole", "-ClusterRoleBinding", "-ConfigMap", "-DaemonSet", "-Service", "-ServiceAccount"],
    ),
    (
        "gateway: {enabled: false}",
        &["-ConfigMap", "-PodDisruptionBudget", "-Service", "-ServiceAccount", "-StatefulSet"],
    ),
    ("exporter: {podNames: true}", &[]),
    ("exporter: {podNames: kubelet, hostNetwork: false}", &[]),
    ("exporter: {podNames: none}", &["-ClusterRole", "-ClusterRoleBinding"]),
    ("exporter: {podSizes: true}", &[]),
    ("exporter: {podNames: true, rbac: {create: false}}", &["-ClusterRole", "-ClusterRoleBinding"]),
    ("exporter: {prometheus: {monitor: {enabled: true}, inPlaceOf: [node-exporter, cadvisor]}}", &["ServiceMonitor"]),
    (
        "exporter:\n  prometheus:\n    podMonitor: {enabled: true, interval: 30s, scrapeTimeout: 10s, sampleLimit: 9000,\n      \
         additionalLabels: {release: prometheus}, metricRelabelings: [{action: labeldrop, regex: uid}]}",
        &["PodMonitor"],
    ),
    (
        "gateway:\n  serviceMonitor: {enabled: true, scheme: https, tlsConfig: {insecureSkipVerify: true},\n    \
         basicAuth: {username: {name: gw, key: user}, password: {name: gw, key: password}}}",
        &["ServiceMonitor"],
    ),
    ("gateway: {persistentVolume: {enabled: false}}", &[]),
    ("gateway: {persistentVolume: {existingClaim: old}, podDisruptionBudget: null}", &["-PodDisruptionBudget"]),
    ("gateway: {podDisruptionBudget: {minAvailable: 1}}", &[]),
    (
        "gateway:\n  networkPolicy: {enabled: true, from: [{podSelector: {}}], egress: [{ports: [{port: 8086}]}]}\n  \
         ingress: {enabled: true, className: nginx, hosts: [g.example.org], tls: [{secretName: g, hosts: [g.example.org]}]}",
        &["Ingress", "NetworkPolicy"],
    ),
    (
        "gateway:\n  replicas: 3\n  nats: {servers: [\"nats://nats-0.nats:4222\", \"tls://nats-1.nats\"], stream: groups,\n    \
         monitoring: [\"http://nats-0.nats:8222\", \"https://nats-1.nats\"]}\n  \
         networkPolicy: {enabled: true}\n  serviceMonitor: {enabled: true}",
        &["NetworkPolicy", "ServiceMonitor"],
    ),
    (
        "cloudwatch: {enabled: true, podMonitor: {enabled: true},\n  serviceAccount: {annotations: {eks.amazonaws.com/role-arn: arn}}}",
        &["ConfigMap", "Deployment", "PodMonitor", "ServiceAccount"],
    ),
    (
        "prometheusRule: {enabled: true, namespace: rules}\ndashboards: {enabled: true, namespace: grafana}",
        &[
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "ConfigMap",
            "PrometheusRule",
        ],
    ),
    (
        "global: {imageRegistry: mirror.example.org, imagePullSecrets: [{name: pull}]}\n\
         image: {digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}\n\
         nameOverride: tr\nnamespaceOverride: other\ncommonLabels: {team: ops}",
        &[],
    ),
    (
        "exporter:\n  hostNetwork: false\n  hostPID: false\n  hostRootFsMount: {enabled: false}\n  \
         service: {port: 9200, portName: http-metrics, type: NodePort}\n  \
         extraHostVolumeMounts: [{name: text, hostPath: /var/lib/text, mountPath: /text, readOnly: true}]\n  \
         env: [{name: A, value: b}]\n  config: |\n    [agent]\n    interval = \"30s\"\n  \
         tolerations: [{key: a, operator: Exists, effect: NoSchedule}]\n  podLabels: {a: b}\n  \
         sidecars: [{name: s, image: s}]\n  resources: {}\n  priorityClassName: \"\"",
        &[],
    ),
    // The further values of prometheus-node-exporter's chart, and of prometheus-pushgateway's.
    (
        "exporter:\n  env: {A: b}\n  daemonsetAnnotations: {a: b}\n  dnsPolicy: Default\n  \
         secrets: [{name: tls, mountPath: /tls}]\n  configmaps: [{name: more, mountPath: /more}]\n  \
         extraInitContainers: [{name: first, image: first}]\n  serviceAccount: {labels: {team: ops}}\n  \
         service: {type: NodePort, servicePort: 9200, nodePort: 30100, clusterIP: 10.0.0.7, ipDualStack: {enabled: true},\n    \
         externalTrafficPolicy: Local, internalTrafficPolicy: Local}\n  \
         prometheus:\n    monitor: {enabled: true, targetLabels: [team], podTargetLabels: [team], attachMetadata: {node: true},\n      \
         targetLimit: 5, labelLimit: 6, labelNameLengthLimit: 7, labelValueLengthLimit: 8, proxyUrl: \"http://proxy:3128\",\n      \
         authorization: {credentials: {name: scrape, key: token}}}",
        &["ServiceMonitor"],
    ),
    (
        "gateway:\n  hostAliases: [{ip: 127.0.0.1, hostnames: [a.local]}]\n  extraInitContainers: [{name: first, image: first}]\n  \
         service: {type: LoadBalancer, loadBalancerIP: 192.0.2.1, loadBalancerSourceRanges: [192.0.2.0/24]}\n  \
         persistentVolume: {subPath: taffrail, labels: {team: ops}}\n  \
         ingress: {enabled: true, hosts: [a.example.org],\n    \
         extraPaths: [{path: /other, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}\n  \
         serviceMonitor: {enabled: true, targetLabels: [team],\n    oauth2: {tokenUrl: \"https://a.example.org\",\n      \
         clientId: {secret: {name: a, key: id}}, clientSecret: {name: a, key: secret}}}",
        &["Ingress", "ServiceMonitor"],
    ),
    (
        "extraManifests:\n  - {apiVersion: v1, kind: Secret, metadata: {name: a}}\n  - |\n    apiVersion: v1\n    kind: Secret\n    \
         metadata: {name: \"{{ .Release.Name }}\"}",
        &["Secret", "Secret"],
    ),
];

#[test]
#[ignore = "needs Debian's packages golang-go and python3-pip: tests/run"]
fn with_golang_go_whose_helm_renders_the_chart_with_a_matrix_of_values() {
    let chart = deploy().join("helm/taffrail");
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    let usual = "ClusterRole ClusterRoleBinding ConfigMap ConfigMap DaemonSet PodDisruptionBudget Service Service \
                 ServiceAccount ServiceAccount StatefulSet";
    for (reported, changes) in MATRIX {
        std::fs::write(&values, reported).unwrap();
        tool(&["lint", chart.to_str().unwrap(), values.to_str().unwrap()], "")
            .unwrap_or_else(|error| panic!("{reported}: {error}"));
        let made = template(reported, "test", "monitoring").unwrap_or_else(|error| panic!("{reported}: {error}"));
        let mut expected: Vec<&str> = usual.split(' ').collect();
        for change in *changes {
            match change.strip_prefix('-') {
                Some(gone) => drop(expected.remove(expected.iter().position(|kind| *kind == gone).unwrap())),
                None => expected.push(change),
            }
        }
        expected.sort_unstable();
        let (manifests, notes) = made.split_once("\n---\n# NOTES\n").unwrap();
        assert_eq!(kinds(manifests), expected, "{reported}");
        let monitors = expected.iter().filter(|kind| kind.ends_with("Monitor") || **kind == "PrometheusRule").count();
        assert_eq!(check(reported, manifests), monitors, "{reported}");
        assert_eq!(notes.contains("taffrail push"), expected.contains(&"StatefulSet"), "{reported}");
        let label = "pod-security.kubernetes.io/enforce=privileged";
        assert_eq!(notes.contains(label), expected.contains(&"DaemonSet"), "{reported}");
    }
}

#[test]
#[ignore = "needs Debian's packages golang-go and python3-pip: tests/run"]
fn with_golang_go_whose_helm_refuses_values_that_the_schema_does_not_know() {
    for (reported, named) in [
        ("exporter: {podNames: proxy}", "podNames"),
        ("exporter: {podNames: null}", "podNames"),
        ("exporter: {podSizes: nodes/stats}", "podSizes"),
        ("exporter: {prometheus: {podMonitor: {scheme: null}}}", "scheme"),
        ("gateway: {service: {port: null}}", "port"),
        ("nameOverride: Foo_Bar", "nameOverride"),
        ("fullnameOverride: my.tool", "fullnameOverride"),
        ("namespaceOverride: Foo_Bar", "namespaceOverride"),
        ("dashboards: {namespace: a.b}", "namespace"),
        ("exporter: {prometheus: {inPlaceOf: [kubelet]}}", "inPlaceOf"),
        ("exporter: {hostPid: true}", "hostPid"),
        ("gateway: {service: {port: http}}", "gateway.service.port"),
        ("image: {digest: latest}", "image.digest"),
        ("exporter: {prometheus: {podMonitor: {interval: 30}}}", "interval"),
        ("exporters: {}", "exporters"),
        ("gateway: {replicas: 3}", "set gateway.nats.servers"),
        (
            "gateway: {replicas: 3, nats: {servers: [\"nats://a\"]}, persistentVolume: {existingClaim: a}}",
            "existingClaim",
        ),
        ("gateway: {nats: {servers: [\"http://a\"]}}", "gateway.nats.servers"),
        ("gateway: {nats: {monitoring: [\"nats://a\"]}}", "gateway.nats.monitoring"),
    ] {
        let refused = template(reported, "test", "monitoring").unwrap_err();
        assert!(refused.contains(named), "{reported}: {refused}");
    }
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_chart_has_names_that_kubernetes_takes() {
    let all = "cloudwatch: {enabled: true}";
    let long = "a123456789".repeat(6);
    let overridden = format!("{all}\nfullnameOverride: {long}");
    for (values, release) in [(all, &long[..53]), (&overridden, "test"), (all, "my.tool"), (all, "t")] {
        for object in objects(&template(values, release, "monitoring").unwrap()) {
            let name = object["metadata"]["name"].as_str().unwrap();
            let max = match object["kind"].as_str().unwrap() {
                // Its pods have the label controller-revision-hash: the name, and up to 11 characters.
                "StatefulSet" => 52,
                // A DNS label.
                "Service" => 63,
                _ => 253,
            };
            assert!(
                name.len() <= max && (max == 253 || !name.contains('.')),
                "{release}: {name} of {}",
                object["kind"]
            );
        }
    }
    let refused = template(all, "1st", "monitoring").unwrap_err();
    assert!(refused.contains("names of Services begin with a letter: set fullnameOverride"), "{refused}");
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_disruption_budget_has_one_bound() {
    for (values, expected) in
        [("{}", "maxUnavailable"), ("gateway: {podDisruptionBudget: {minAvailable: 1}}", "minAvailable")]
    {
        let objects = objects(&template(values, "test", "monitoring").unwrap());
        let budget = objects.iter().find(|object| object["kind"] == "PodDisruptionBudget").unwrap();
        let bounds: Vec<&String> =
            budget["spec"].as_object().unwrap().keys().filter(|key| *key != "selector").collect();
        assert_eq!(bounds, [expected]);
    }
}

/// The files of a component's ConfigMap, by name.
pub(crate) fn configuration(objects: &[Value], component: &str) -> Vec<(String, String)> {
    let is_wanted = |object: &&Value| {
        object["kind"] == "ConfigMap" && object["metadata"]["labels"]["app.kubernetes.io/component"] == component
    };
    let map = objects.iter().find(is_wanted).unwrap_or_else(|| panic!("no configuration of {component}"));
    let files = map["data"].as_object().unwrap().iter();
    files.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

/// The configurations that manifests and the chart give to pods.
#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_manifests_have_configurations_that_taffrail_takes() {
    let full = deploy().join("kubernetes/overlays/full");
    let rendered = [
        tool(&["kustomize", full.to_str().unwrap()], "").unwrap(),
        template("cloudwatch: {enabled: true}", "test", "monitoring").unwrap(),
    ];
    for manifests in &rendered {
        let objects = objects(manifests);
        for component in ["exporter", "gateway", "cloudwatch"] {
            let files = tempfile::tempdir().unwrap();
            for (name, text) in configuration(&objects, component) {
                std::fs::write(files.path().join(name), text).unwrap();
            }
            for address in ["10.0.0.1", "fd00::1"] {
                let mut check = Command::new(env!("CARGO_BIN_EXE_taffrail"));
                check.args(["check", "--config"]).arg(files.path());
                check.env("NODE_NAME", "node-1").env("NODE_IP", address);
                assert!(run(&mut check).contains("is sound"));
            }
        }
    }
}
