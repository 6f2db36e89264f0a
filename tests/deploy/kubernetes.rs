//! Manifests and the chart: made by the libraries of kubectl and helm, checked against the API's schemas and the operator's
//! types.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::harness::python::{folder, python, run};
use super::rules;

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
fn check(place: &str, manifests: &str) -> usize {
    let python = python("manifests", &["kubernetes-validate==1.37.0"]);
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), manifests).unwrap();
    for version in ["1.27", "1.33", "1.37"] {
        let mut validate = python();
        validate.args(["-m", "kubernetes_validate.__main__", "--strict", "--no-warn", "--quiet", "-k", version]);
        let output = validate.arg(file.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !told.contains("ERROR"), "{place}, Kubernetes {version}: {told}");
    }
    let told = tool(&["monitors"], manifests).unwrap_or_else(|error| panic!("{place}: {error}"));
    told.split_whitespace().next().unwrap().parse().unwrap()
}

fn kinds(manifests: &str) -> Vec<&str> {
    let mut kinds: Vec<&str> = manifests.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn the_rules_for_the_operator_are_those_for_prometheus() {
    let mut made = "# Made of deploy/prometheus/rules: TAFFRAIL_BLESS=1 cargo test --test deploy\n\
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
    assert!(!stale, "{} is stale: run TAFFRAIL_BLESS=1 cargo test --test deploy", file.display());
}

#[test]
#[ignore = "needs Debian's packages golang-go and python3-pip: tests/run"]
fn with_golang_go_whose_kustomize_makes_manifests_that_kubernetes_knows() {
    let overlays = deploy().join("kubernetes/overlays");
    for (overlay, monitors, others) in [("plain", 0, 10), ("operator", 3, 10), ("full", 3, 15)] {
        let made = tool(&["kustomize", overlays.join(overlay).to_str().unwrap()], "").unwrap();
        assert_eq!(check(overlay, &made), monitors);
        assert_eq!(kinds(&made).len(), monitors + others, "{:?}", kinds(&made));
        assert_eq!(made.contains("prometheus.io/scrape"), overlay == "plain");
        // The API is asked for pods where names come from it, and nothing more is asked of it.
        assert_eq!(kinds(&made).contains(&"ClusterRole"), overlay == "full");
        assert_eq!(made.contains("automountServiceAccountToken: true"), overlay == "full");
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
    ("exporter: {enabled: false}", &["-ConfigMap", "-DaemonSet", "-Service", "-ServiceAccount"]),
    (
        "gateway: {enabled: false}",
        &["-ConfigMap", "-PodDisruptionBudget", "-Service", "-ServiceAccount", "-StatefulSet"],
    ),
    ("exporter: {podNames: true}", &["ClusterRole", "ClusterRoleBinding"]),
    ("exporter: {podNames: true, rbac: {create: false}}", &[]),
    ("exporter: {prometheus: {monitor: {enabled: true}}}", &["ServiceMonitor"]),
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
    (
        "gateway:\n  networkPolicy: {enabled: true, from: [{podSelector: {}}], egress: [{ports: [{port: 8086}]}]}\n  \
         ingress: {enabled: true, className: nginx, hosts: [g.example.org], tls: [{secretName: g, hosts: [g.example.org]}]}",
        &["Ingress", "NetworkPolicy"],
    ),
    (
        "cloudwatch: {enabled: true, podMonitor: {enabled: true},\n  serviceAccount: {annotations: {eks.amazonaws.com/role-arn: arn}}}",
        &["ConfigMap", "Deployment", "PodMonitor", "ServiceAccount"],
    ),
    (
        "prometheusRule: {enabled: true, namespace: rules}\ndashboards: {enabled: true, namespace: grafana}",
        &["ConfigMap", "ConfigMap", "ConfigMap", "ConfigMap", "ConfigMap", "PrometheusRule"],
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
    let usual =
        "ConfigMap ConfigMap DaemonSet PodDisruptionBudget Service Service ServiceAccount ServiceAccount StatefulSet";
    for (told, changes) in MATRIX {
        std::fs::write(&values, told).unwrap();
        let arguments = |verb| [verb, chart.to_str().unwrap(), values.to_str().unwrap()];
        tool(&arguments("lint"), "").unwrap_or_else(|error| panic!("{told}: {error}"));
        let made = tool(&arguments("template"), "").unwrap_or_else(|error| panic!("{told}: {error}"));
        let mut expected: Vec<&str> = usual.split(' ').collect();
        for change in *changes {
            match change.strip_prefix('-') {
                Some(gone) => drop(expected.remove(expected.iter().position(|kind| *kind == gone).unwrap())),
                None => expected.push(change),
            }
        }
        expected.sort_unstable();
        let (manifests, notes) = made.split_once("\n---\n# NOTES\n").unwrap();
        assert_eq!(kinds(manifests), expected, "{told}");
        let monitors = expected.iter().filter(|kind| kind.ends_with("Monitor") || **kind == "PrometheusRule").count();
        assert_eq!(check(told, manifests), monitors, "{told}");
        assert_eq!(notes.contains("taffrail push"), expected.contains(&"StatefulSet"), "{told}");
    }
}

#[test]
#[ignore = "needs Debian's packages golang-go and python3-pip: tests/run"]
fn with_golang_go_whose_helm_refuses_values_that_the_schema_does_not_know() {
    let chart = deploy().join("helm/taffrail");
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    for (told, named) in [
        ("exporter: {hostPid: true}", "hostPid"),
        ("gateway: {service: {port: http}}", "gateway.service.port"),
        ("image: {digest: latest}", "image.digest"),
        ("exporter: {prometheus: {podMonitor: {interval: 30}}}", "interval"),
        ("exporters: {}", "exporters"),
    ] {
        std::fs::write(&values, told).unwrap();
        let refused = tool(&["template", chart.to_str().unwrap(), values.to_str().unwrap()], "").unwrap_err();
        assert!(refused.contains(named), "{told}: {refused}");
    }
}

/// The configurations that manifests and the chart give to pods.
#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_manifests_have_configurations_that_taffrail_takes() {
    let full = deploy().join("kubernetes/overlays/full");
    let chart = deploy().join("helm/taffrail");
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    std::fs::write(&values, "exporter: {podNames: true}\ncloudwatch: {enabled: true}").unwrap();
    let rendered = [
        tool(&["kustomize", full.to_str().unwrap()], "").unwrap(),
        tool(&["template", chart.to_str().unwrap(), values.to_str().unwrap()], "").unwrap(),
    ];
    let mut checked = 0;
    for manifests in &rendered {
        for object in manifests.split("\n---\n").filter(|object| object.contains("kind: ConfigMap\n")) {
            let files = tempfile::tempdir().unwrap();
            for (index, file) in object.split(".toml: |\n").skip(1).enumerate() {
                let lines = file.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
                let text: String = lines.map(|line| format!("{}\n", line.trim_start())).collect();
                std::fs::write(files.path().join(format!("{index}.toml")), text).unwrap();
            }
            let mut check = Command::new(env!("CARGO_BIN_EXE_taffrail"));
            check.args(["check", "--config"]).arg(files.path()).env("NODE_NAME", "node-1");
            assert!(run(&mut check).contains("is sound"));
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}
