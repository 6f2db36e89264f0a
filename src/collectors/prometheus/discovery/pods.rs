//! Targets of pods: labels of Prometheus's role `pod`, and the annotations `prometheus.io/scrape`, `port`, `path` and
//! `scheme`, which are a convention of their scrape configurations.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Group, label_name};
use crate::json::Lenient;

/// Which pods are targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All, with one target for each port.
    All,
    /// Running ones whose annotations ask for it.
    Annotated,
}

/// A list of pods, or a page of it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PodList {
    pub(super) items: Lenient<Vec<Lenient<Pod>>>,
    metadata: Lenient<ListMetadata>,
}

impl PodList {
    /// Where the next page begins; empty if there is none.
    pub(super) fn next(&self) -> String {
        self.metadata.next.0.clone()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: Lenient<String>,
}

/// A pod.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    metadata: Lenient<Metadata>,
    spec: Lenient<Spec>,
    status: Lenient<Status>,
}

type Texts = Lenient<BTreeMap<String, Lenient<String>>>;
type List<T> = Lenient<Vec<Lenient<T>>>;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Lenient<String>,
    namespace: Lenient<String>,
    uid: Lenient<String>,
    labels: Texts,
    annotations: Texts,
    deletion_timestamp: Lenient<String>,
    owner_references: List<Owner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    controller: Lenient<bool>,
    kind: Lenient<String>,
    name: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Lenient<String>,
    containers: List<Container>,
    init_containers: List<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: Lenient<String>,
    image: Lenient<String>,
    ports: List<Port>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: Lenient<String>,
    container_port: Lenient<u16>,
    protocol: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Lenient<String>,
    #[serde(rename = "podIP")]
    pod_ip: Lenient<String>,
    #[serde(rename = "hostIP")]
    host_ip: Lenient<String>,
    conditions: List<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Lenient<String>,
    status: Lenient<String>,
}

const META: &str = "__meta_kubernetes_";

/// Reads a list. A malformed pod or field is left out.
pub(super) fn read(body: &[u8]) -> Result<PodList, serde_json::Error> {
    serde_json::from_slice(body)
}

/// The targets of a pod. One without an address has none.
pub(super) fn groups(pod: &Pod, selection: Selection) -> Vec<Group> {
    let ip = &*pod.status.pod_ip;
    if ip.is_empty() {
        return Vec::new();
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    match selection {
        Selection::All => all(pod, &host),
        Selection::Annotated => annotated(pod, &host),
    }
}

/// A target for each port, and for each container without one.
fn all(pod: &Pod, host: &str) -> Vec<Group> {
    let labels = labels(pod);
    let mut groups = Vec::new();
    for (containers, is_init) in [(&pod.spec.containers, false), (&pod.spec.init_containers, true)] {
        for container in containers.iter() {
            let mut labels = labels.clone();
            let mut put = |name: &str, value: &str| drop(labels.insert(format!("{META}pod_{name}"), value.to_owned()));
            put("container_name", &container.name);
            put("container_image", &container.image);
            put("container_init", if is_init { "true" } else { "false" });
            if container.ports.is_empty() {
                groups.push(Group { targets: vec![host.to_owned()], labels });
                continue;
            }
            for port in container.ports.iter() {
                let mut labels = labels.clone();
                let mut put =
                    |name: &str, value: String| drop(labels.insert(format!("{META}pod_container_port_{name}"), value));
                put("name", port.name.0.clone());
                put("number", port.container_port.to_string());
                put("protocol", port.protocol.0.clone());
                groups.push(Group { targets: vec![format!("{host}:{}", *port.container_port)], labels });
            }
        }
    }
    groups
}

/// The targets that annotations describe, labelled with namespace and pod: at the port of the annotation, or else at
/// each TCP port that containers declare.
fn annotated(pod: &Pod, host: &str) -> Vec<Group> {
    let annotation = |name: &str| {
        let found = pod.metadata.annotations.get(&format!("prometheus.io/{name}"));
        found.map(|text| text.trim()).filter(|text| !text.is_empty())
    };
    let is_running = *pod.status.phase == "Running" && pod.metadata.deletion_timestamp.is_empty();
    if !is_running || annotation("scrape") != Some("true") {
        return Vec::new();
    }
    let mut labels = labels(pod);
    labels.insert("namespace".to_owned(), pod.metadata.namespace.0.clone());
    labels.insert("pod".to_owned(), pod.metadata.name.0.clone());
    let of_request = [("path", "__metrics_path__"), ("scheme", "__scheme__")];
    for (name, label) in of_request {
        labels.extend(annotation(name).map(|value| (label.to_owned(), value.to_owned())));
    }
    let declared = pod.spec.containers.iter().flat_map(|container| container.ports.iter());
    let tcp = declared.filter(|port| matches!(&**port.protocol, "" | "TCP") && *port.container_port != 0);
    let mut ports: Vec<String> = match annotation("port") {
        Some(port) => vec![port.to_owned()],
        None => tcp.map(|port| port.container_port.to_string()).collect(),
    };
    ports.sort();
    ports.dedup();
    match ports.is_empty() {
        true => vec![Group { targets: vec![host.to_owned()], labels }],
        false => vec![Group { targets: ports.iter().map(|port| format!("{host}:{port}")).collect(), labels }],
    }
}

/// The labels of the pod itself.
fn labels(pod: &Pod) -> BTreeMap<String, String> {
    let (metadata, status) = (&pod.metadata, &pod.status);
    let is_ready = status.conditions.iter().find(|condition| *condition.kind == "Ready");
    let controller = metadata.owner_references.iter().find(|owner| *owner.controller);
    let text = |text: Option<&Lenient<String>>| text.map_or_else(String::new, |text| text.0.clone());
    let fixed = [
        ("namespace", metadata.namespace.0.clone()),
        ("pod_name", metadata.name.0.clone()),
        ("pod_uid", metadata.uid.0.clone()),
        ("pod_ip", status.pod_ip.0.clone()),
        ("pod_host_ip", status.host_ip.0.clone()),
        ("pod_node_name", pod.spec.node_name.0.clone()),
        ("pod_phase", status.phase.0.clone()),
        ("pod_ready", text(is_ready.map(|condition| &condition.status)).to_lowercase()),
        ("pod_controller_kind", text(controller.map(|owner| &owner.kind))),
        ("pod_controller_name", text(controller.map(|owner| &owner.name))),
    ];
    let mut labels: BTreeMap<String, String> =
        fixed.into_iter().map(|(name, value)| (format!("{META}{name}"), value)).collect();
    for (kind, texts) in [("label", &metadata.labels), ("annotation", &metadata.annotations)] {
        for (name, value) in texts.iter() {
            let name = label_name(name);
            labels.insert(format!("{META}pod_{kind}_{name}"), value.0.clone());
            labels.insert(format!("{META}pod_{kind}present_{name}"), "true".to_owned());
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"kind": "PodList", "metadata": {"continue": "c"}, "items": [7, {}, {
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", "labels": {"app.kubernetes.io/name": "web"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9113", "prometheus.io/path": "/m?a=b",
                "prometheus.io/scheme": "https"},
            "ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": true}]},
        "spec": {"nodeName": "n", "containers": [
            {"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]},
            {"name": "side", "image": "side:1"}], "initContainers": [{"name": "init"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "hostIP": "192.0.2.1",
            "conditions": [{"type": "Ready", "status": "True"}]}}]}"#;

    fn targets(list: &str, selection: Selection) -> Vec<String> {
        let list = read(list.as_bytes()).unwrap();
        let groups = list.items.iter().flat_map(|pod| groups(pod, selection));
        groups.map(|group| group.targets.join(" ")).collect()
    }

    #[test]
    fn annotations_say_whether_and_how_a_pod_is_scraped() {
        let list = read(LIST.as_bytes()).unwrap();
        assert_eq!(list.next(), "c");
        let [group] = &*groups(&list.items[2], Selection::Annotated) else { panic!("expected one group") };
        assert_eq!(group.targets, ["10.0.0.1:9113"]);
        let of = |name: &str| group.labels[name].as_str();
        assert_eq!([of("__scheme__"), of("__metrics_path__")], ["https", "/m?a=b"]);
        assert_eq!([of("namespace"), of("pod")], ["shop", "web-0"]);
        let changed = |from: &str, to: &str| targets(&LIST.replace(from, to), Selection::Annotated);
        assert_eq!(changed("prometheus.io/port", "x"), ["10.0.0.1:80"]);
        assert_eq!(changed("\"podIP\": \"10.0.0.1\"", "\"podIP\": \"fd00::1\""), ["[fd00::1]:9113"]);
        for (from, to) in [
            ("scrape\": \"true\"", "scrape\": \"false\""),
            ("\"Running\"", "\"Succeeded\""),
            ("\"podIP\"", "\"x\""),
            ("\"uid\": \"u\"", "\"deletionTimestamp\": \"2026-11-21T02:24:27Z\""),
        ] {
            assert_eq!(changed(from, to), Vec::<String>::new(), "{to}");
        }
    }

    #[test]
    fn all_pods_have_the_labels_of_prometheus() {
        assert_eq!(targets(LIST, Selection::All), ["10.0.0.1:80", "10.0.0.1", "10.0.0.1"]);
        let list = read(LIST.as_bytes()).unwrap();
        let groups = groups(&list.items[2], Selection::All);
        for (name, value) in [
            ("namespace", "shop"),
            ("pod_name", "web-0"),
            ("pod_uid", "u"),
            ("pod_ip", "10.0.0.1"),
            ("pod_host_ip", "192.0.2.1"),
            ("pod_node_name", "n"),
            ("pod_phase", "Running"),
            ("pod_ready", "true"),
            ("pod_controller_kind", "StatefulSet"),
            ("pod_controller_name", "web"),
            ("pod_label_app_kubernetes_io_name", "web"),
            ("pod_labelpresent_app_kubernetes_io_name", "true"),
            ("pod_annotation_prometheus_io_port", "9113"),
            ("pod_container_name", "app"),
            ("pod_container_image", "app:1"),
            ("pod_container_init", "false"),
            ("pod_container_port_name", "http"),
            ("pod_container_port_number", "80"),
            ("pod_container_port_protocol", "TCP"),
        ] {
            assert_eq!(groups[0].labels[&format!("{META}{name}")], value, "{name}");
        }
        assert_eq!(groups[2].labels["__meta_kubernetes_pod_container_init"], "true");
        assert!(read(b"[").is_err());
    }
}
