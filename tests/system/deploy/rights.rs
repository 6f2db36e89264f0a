//! What manifests and the chart allow the exporter, by which names, and who gets it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::kubernetes::{configuration, deploy, objects, template, tool};

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn kustomize(folder: &Path) -> Vec<Value> {
    let made = tool(&["kustomize", folder.to_str().unwrap()], "");
    objects(&made.unwrap_or_else(|error| panic!("{}: {error}", folder.display())))
}

/// A copy of the manifests with an overlay of this text. Built in a copy, as kustomize reads nothing outside of its tree.
pub(crate) fn overlay(text: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("kubernetes");
    crate::harness::python::run(std::process::Command::new("cp").arg("-r").arg(deploy().join("kubernetes")).arg(&copy));
    let mine = copy.join("overlays/mine");
    std::fs::create_dir(&mine).unwrap();
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    std::fs::write(mine.join("kustomization.yaml"), format!("{head}{text}")).unwrap();
    kustomize(&mine)
}

fn chart(values: &str) -> Vec<Value> {
    objects(&template(values, "test", "monitoring").unwrap_or_else(|error| panic!("{values}: {error}")))
}

/// Each right of every role, as "VERB RESOURCE".
fn rights(objects: &[Value]) -> Vec<String> {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Vec::new();
    for rule in of_kind(objects, "ClusterRole").iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        assert_eq!(rule["apiGroups"], json!([""]));
        for resource in texts(&rule["resources"]) {
            rights.extend(texts(&rule["verbs"]).iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    assert!(of_kind(objects, "Role").is_empty());
    rights
}

fn exporters_pod(objects: &[Value]) -> &Value {
    let [exporter] = of_kind(objects, "DaemonSet")[..] else { panic!("not one DaemonSet") };
    &exporter["spec"]["template"]["spec"]
}

/// The collector's settings that name a server.
fn sources(objects: &[Value]) -> String {
    let files = configuration(objects, "exporter");
    let lines = files.iter().flat_map(|(_, text)| text.lines());
    let sources = lines.filter(|line| ["kubelet_", "kubernetes_url"].iter().any(|start| line.starts_with(start)));
    sources.map(|line| line.replace(' ', "")).collect::<Vec<_>>().join(" ")
}

const KUBELET: &str = r#"kubelet_url="https://${NODE_IP}:10250""#;
const ON_THE_NODE: &str = "kubelet_insecure=true";
const API: &str = r#"kubernetes_url="https://kubernetes.default.svc""#;

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_manifests_give_names_by_the_least_rights() {
    let overlays =
        ["plain", "operator", "full"].map(|name| kustomize(&deploy().join("kubernetes/overlays").join(name)));
    for objects in overlays.iter().chain([&chart("{}"), &chart("exporter: {podNames: true}")]) {
        assert_eq!(rights(objects), ["get nodes/pods", "list pods"]);
        assert_eq!(sources(objects), [KUBELET, ON_THE_NODE, API].join(" "));
        let pod = exporters_pod(objects);
        assert_eq!(pod["automountServiceAccountToken"], true);
        assert_eq!(pod["hostNetwork"], true, "without it, a request to the node's address leaves the pod's network");
        let address = json!({"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}});
        assert!(pod["containers"][0]["env"].as_array().unwrap().contains(&address));
    }
    for (values, allowed, asked) in [
        ("exporter: {podNames: kubelet}", vec!["get nodes/pods"], vec![KUBELET, ON_THE_NODE]),
        ("exporter: {podNames: api}", vec!["list pods"], vec![API]),
        // Off the node's network the kubelet must prove who it is.
        ("exporter: {hostNetwork: false}", vec!["get nodes/pods", "list pods"], vec![KUBELET, API]),
        ("exporter: {rbac: {create: false}}", vec![], vec![KUBELET, ON_THE_NODE, API]),
        (
            "exporter: {podNames: kubelet, podSizes: true}",
            vec!["get nodes/pods", "get nodes/stats"],
            vec![KUBELET, ON_THE_NODE],
        ),
    ] {
        let objects = chart(values);
        assert_eq!(rights(&objects), allowed, "{values}");
        assert_eq!(sources(&objects), asked.join(" "), "{values}");
        assert_eq!(exporters_pod(&objects)["automountServiceAccountToken"], true, "{values}");
    }
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_manifests_without_names_have_no_token() {
    let without = overlay("resources: [../../base]\ncomponents: [../../components/annotations]\n");
    for objects in [without, chart("exporter: {podNames: none}"), chart("exporter: {podNames: false}")] {
        assert!(rights(&objects).is_empty() && of_kind(&objects, "ClusterRoleBinding").is_empty());
        assert_eq!(sources(&objects), "");
        assert_eq!(exporters_pod(&objects)["automountServiceAccountToken"], false);
    }
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_manifests_give_sizes_by_one_more_right() {
    let components = "components: [../../components/pod-names, ../../components/pod-sizes]\n";
    let manifests = overlay(&format!("resources: [../../base]\n{components}"));
    for objects in [manifests, chart("exporter: {podSizes: true}")] {
        let rights: BTreeSet<String> = rights(&objects).into_iter().collect();
        assert_eq!(rights, ["get nodes/pods", "get nodes/stats", "list pods"].map(str::to_owned).into());
        assert_eq!(sources(&objects), [KUBELET, ON_THE_NODE, API].join(" "));
    }
    for source in ["api", "none"] {
        let values = format!("exporter: {{podSizes: true, podNames: {source}}}");
        let refused = template(&values, "test", "monitoring").unwrap_err();
        assert!(refused.contains("exporter.podSizes: the kubelet reports sizes"), "{refused}");
    }
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_chart_binds_no_right_to_the_default_account() {
    let refused = template("exporter: {serviceAccount: {create: false}}", "test", "monitoring").unwrap_err();
    assert!(refused.contains("exporter.serviceAccount.name: name the account"), "{refused}");
    let of_another = chart("exporter: {serviceAccount: {create: false, name: mine}}");
    assert_eq!(of_kind(&of_another, "ClusterRoleBinding")[0]["subjects"][0]["name"], "mine");
    for without_rights in ["rbac: {create: false}", "podNames: none"] {
        let values = format!("exporter: {{serviceAccount: {{create: false}}, {without_rights}}}");
        assert_eq!(exporters_pod(&chart(&values))["serviceAccountName"], "default");
    }
}

/// Checks that each binding binds a role and an account that are there. Gives the names of what has no namespace.
fn bound(objects: &[Value]) -> BTreeSet<String> {
    let accounts: Vec<&Value> = of_kind(objects, "ServiceAccount").iter().map(|account| &account["metadata"]).collect();
    let roles: Vec<&Value> = of_kind(objects, "ClusterRole").iter().map(|role| &role["metadata"]["name"]).collect();
    let mut names = BTreeSet::new();
    for binding in of_kind(objects, "ClusterRoleBinding") {
        let [subject] = &binding["subjects"].as_array().unwrap()[..] else { panic!("not one subject: {binding}") };
        let is_subject =
            |account: &&&Value| account["name"] == subject["name"] && account["namespace"] == subject["namespace"];
        let account = accounts.iter().find(is_subject).unwrap_or_else(|| panic!("nobody is bound: {binding}"));
        assert!(roles.contains(&&binding["roleRef"]["name"]), "{binding}");
        let exporter = of_kind(objects, "DaemonSet")[0];
        assert_eq!(exporter["metadata"]["namespace"], account["namespace"]);
        assert_eq!(exporter["spec"]["template"]["spec"]["serviceAccountName"], account["name"]);
        names.insert(binding["metadata"]["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 1);
    names
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_bindings_follow_the_namespace() {
    for name in ["plain", "operator", "full"] {
        bound(&kustomize(&deploy().join("kubernetes/overlays").join(name)));
    }
    let components = "components: [../../components/annotations, ../../components/pod-names]\n";
    let moved = overlay(&format!("namespace: monitoring\nresources: [../../base]\n{components}"));
    bound(&moved);
    assert_eq!(of_kind(&moved, "ClusterRoleBinding")[0]["subjects"][0]["namespace"], "monitoring");
    bound(&overlay("namespace: two\nresources: [../full]\n"));
    for objects in [&moved, &overlay("namespace: two\nresources: [../full]\n")] {
        let namespaces = of_kind(objects, "Namespace");
        assert!(namespaces.is_empty(), "an overlay takes a namespace over: {namespaces:?}");
    }
    let [one, two] = ["one", "two"]
        .map(|name| bound(&overlay(&format!("namespace: {name}\nnamePrefix: {name}-\nresources: [../full]\n"))));
    assert!(one.is_disjoint(&two));
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_releases_share_no_role() {
    let releases = [
        ("{}", "taffrail", "monitoring"),
        ("{}", "taffrail", "two"),
        ("{}", "other", "monitoring"),
        ("fullnameOverride: taffrail", "a", "three"),
        ("fullnameOverride: taffrail", "b", "four"),
        ("namespaceOverride: five", "taffrail", "monitoring"),
        ("exporter: {serviceAccount: {name: mine}}", "taffrail", "six"),
    ];
    let mut names = BTreeSet::new();
    for (values, release, namespace) in releases {
        names.extend(bound(&objects(&template(values, release, namespace).unwrap())));
    }
    assert_eq!(names.len(), releases.len(), "{names:?}");
    assert!(names.contains("monitoring:taffrail-exporter"), "{names:?}");
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_releases_share_no_object_in_a_common_namespace() {
    let values = "\
        dashboards: {enabled: true, namespace: mon}\n\
        prometheusRule: {enabled: true, namespace: mon}\n\
        exporter: {prometheus: {podMonitor: {enabled: true, namespace: mon}}}\n\
        gateway: {serviceMonitor: {enabled: true, namespace: mon}}\n\
        cloudwatch: {enabled: true, podMonitor: {enabled: true, namespace: mon}}\n";
    let mut all = BTreeSet::new();
    let releases =
        [("taffrail", "a"), ("taffrail", "b"), ("b-taffrail", "a"), ("taffrail", "a-b"), ("taffrail", "mon")];
    for (release, namespace) in releases {
        for object in objects(&template(values, release, namespace).unwrap()) {
            let metadata = &object["metadata"];
            let name = format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"]);
            assert!(all.insert(name.clone()), "two releases have {name}");
        }
    }
    assert!(all.contains(r#""PodMonitor" "mon" "a.taffrail-exporter""#), "{all:?}");
    assert!(all.contains(r#""PodMonitor" "mon" "taffrail-exporter""#), "{all:?}");
}
