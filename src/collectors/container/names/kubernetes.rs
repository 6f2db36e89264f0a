//! Kubernetes: a kubelet (`/pods`) or the API server (`/api/v1/pods`), which both return a PodList.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::http::Http;
use super::json::{Lenient, Texts, list, object, truncated, value};
use super::labels::Labels;
use super::query::{Failure, FailureKind, Inventory, MAX_ENTRIES, Query};
use super::{Named, OomEnd, PodNamed};
use crate::client;
use crate::client::kubernetes::{PAGE, missing_right, pods};
use crate::system::regular_file::{READ_TIMEOUT, read_text_within};

/// URL and credentials of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) url: Url,
    /// Node name for the API server. A kubelet returns its own pods only.
    pub(super) node: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    /// Whether any certificate is accepted.
    pub(super) insecure: bool,
}

pub(super) struct Kubernetes {
    settings: Settings,
    labels: Arc<Labels>,
    /// Reset after a failure, when the certificates may have changed.
    http: Option<Http>,
}

impl Kubernetes {
    pub(super) fn new(settings: Settings, labels: Arc<Labels>) -> Kubernetes {
        Kubernetes { settings, labels, http: None }
    }

    /// Another client, if it is a kubelet.
    pub(super) fn kubelet(&self) -> Option<Kubernetes> {
        self.settings.node.is_none().then(|| Kubernetes::new(self.settings.clone(), self.labels.clone()))
    }

    pub(super) fn location(&self) -> String {
        self.base().to_owned()
    }

    fn base(&self) -> &str {
        self.settings.url.as_str().trim_end_matches('/')
    }

    /// The body of another resource.
    ///
    /// # Errors
    /// Why the request failed.
    pub(super) async fn get(&mut self, path: &str, timeout: Duration) -> Result<String, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => self.connect()?,
        };
        let reply = http.get_within(path, self.token()?.as_deref(), timeout).await?;
        self.http = Some(http);
        Ok(reply.body)
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        Ok(self.settings.token_file.as_deref().map(read_token).transpose()?.flatten())
    }

    /// The pods that the query wants. A server may list those of a whole cluster.
    ///
    /// # Errors
    /// Why the request failed.
    pub(super) async fn query(&mut self, query: &Query) -> Result<Inventory, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => self.connect()?,
        };
        let inventory = self.query_with(&http, query).await.map_err(|failure| self.with_remedy(failure))?;
        self.http = Some(http);
        Ok(inventory)
    }

    fn connect(&self) -> Result<Http, Failure> {
        let mut builder = client::builder();
        let ca_file = self.settings.ca_file.as_deref().filter(|path| path.exists());
        if self.settings.insecure {
            builder = builder.tls_danger_accept_invalid_certs(true);
        } else if self.settings.url.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = ca_file {
            let tls = client::Tls { ca: Some(path.to_owned()), ..client::Tls::default() };
            builder = tls.apply(builder, true, ["kubernetes_ca_file", ""]).map_err(Failure::other)?;
        }
        Http::new(builder, self.base().to_owned())
    }

    async fn query_with(&self, http: &Http, query: &Query) -> Result<Inventory, Failure> {
        let token = self.token()?;
        let mut inventory = Inventory::default();
        let mut next = String::new();
        for _ in 0..MAX_ENTRIES / PAGE {
            let reply = http.get(&pods(self.settings.node.as_deref(), &next), token.as_deref()).await?;
            next = add_pods(&mut inventory, &reply.body, &self.labels, query)?;
            if next.is_empty() || self.settings.node.is_none() {
                break;
            }
        }
        Ok(inventory)
    }

    fn with_remedy(&self, failure: Failure) -> Failure {
        let remedy = match failure.kind {
            FailureKind::Status(401) => Some("needs a valid token in kubernetes_token_file"),
            FailureKind::Status(status) => missing_right(status, self.settings.node.is_none()),
            _ => None,
        };
        match remedy {
            Some(remedy) => Failure { message: format!("{}; {remedy}", failure.message), ..failure },
            None => failure,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    r#continue: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Lenient<Metadata>,
    spec: Lenient<Spec>,
    status: Lenient<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Lenient<String>,
    namespace: Lenient<String>,
    uid: Lenient<String>,
    annotations: Texts,
    labels: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: List<Container>,
    init_containers: List<Container>,
    ephemeral_containers: List<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: Lenient<String>,
    image: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    container_statuses: List<ContainerStatus>,
    init_container_statuses: List<ContainerStatus>,
    ephemeral_container_statuses: List<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: Lenient<String>,
    image: Lenient<String>,
    #[serde(rename = "containerID")]
    container_id: Lenient<String>,
    restart_count: Lenient<Option<i64>>,
    /// `running`, `terminated` or `waiting`, with its details.
    state: Lenient<BTreeMap<String, Lenient<StateDetails>>>,
    /// `terminated`: the end before the last restart.
    last_state: Lenient<BTreeMap<String, Lenient<StateDetails>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StateDetails {
    started_at: Lenient<String>,
    finished_at: Lenient<String>,
    reason: Lenient<String>,
    #[serde(rename = "containerID")]
    container_id: Lenient<String>,
}

type List<T> = Lenient<Vec<Lenient<T>>>;

/// Reads the current token, which is rotated. `None` without a file.
fn read_token(path: &Path) -> Result<Option<String>, Failure> {
    /// Maximum size of a token file in bytes.
    const MAX_BYTES: u64 = 64 << 10;
    match read_text_within(path, MAX_BYTES, READ_TIMEOUT) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.reason.is_absence() => Ok(None),
        Err(error) => Err(Failure::other(format!("kubernetes_token_file: {error}"))),
    }
}

/// Adds the wanted pods of a PodList. Returns the continue token of the next page.
fn add_pods(inventory: &mut Inventory, body: &str, labels: &Labels, query: &Query) -> Result<String, Failure> {
    let fields = object(body)?;
    for pod in fields.get("items").map(|items| list(items.get())).transpose()?.unwrap_or_default() {
        add_pod(inventory, &value(pod.get()), labels, query);
    }
    let metadata: ListMetadata = fields.get("metadata").map(|raw| value(raw.get())).unwrap_or_default();
    // Not truncated: an opaque token.
    Ok(metadata.r#continue.0)
}

fn add_pod(inventory: &mut Inventory, pod: &Pod, labels: &Labels, query: &Query) {
    let (metadata, status) = (&pod.metadata, &pod.status);
    // For a static pod the kubelet names cgroups by the manifest hash; the API server has another UID.
    let uids = [metadata.uid.text(), truncated(metadata.annotations.of("kubernetes.io/config.hash"))];
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let statuses = lists.into_iter().flat_map(|list| list.iter());
    let with_id = |status| Some((status_id(status)?, status));
    let containers: Vec<(&str, &ContainerStatus)> = statuses.filter_map(|status| with_id(status)).collect();
    if !query.wants_pod(&uids, containers.iter().map(|(id, _)| *id)) {
        return;
    }
    let names = PodNamed { pod: metadata.name.text(), namespace: metadata.namespace.text() };
    for uid in uids {
        inventory.add_pod(&uid, names.clone());
    }
    let (labels, images) = (labels.of(&metadata.labels), images(&pod.spec));
    for (id, status) in containers {
        let mut named = named(status, &images);
        (named.pod, named.namespace) = (names.pod.clone(), names.namespace.clone());
        named.labels.clone_from(&labels);
        inventory.add(id, named);
    }
}

/// Container ID, without the runtime before it.
fn status_id(status: &ContainerStatus) -> Option<&str> {
    status.container_id.split_once("://").map(|(_, id)| id)
}

fn named(status: &ContainerStatus, images: &HashMap<String, String>) -> Named {
    let (container, image) = (status.name.text(), status.image.text());
    // The status has only the digest if the tag has moved to another image.
    let is_name = !image.is_empty() && !image.starts_with("sha256:");
    Named {
        image: if is_name { image } else { images.get(&container).cloned().unwrap_or(image) },
        container,
        status: status.state.keys().next().cloned().unwrap_or_default(),
        started_at: status.state.get("running").and_then(|running| running.started_at.timestamp()),
        restart_count: *status.restart_count,
        oom_end: [&status.state, &status.last_state].into_iter().find_map(|state| oom_end(state)),
        ..Named::default()
    }
}

fn oom_end(state: &BTreeMap<String, Lenient<StateDetails>>) -> Option<OomEnd> {
    let ended = state.get("terminated").filter(|ended| ended.reason.0 == "OOMKilled")?;
    let id = ended.container_id.text();
    let (_, id) = id.split_once("://")?;
    Some(OomEnd { container_id: id.to_owned(), at: ended.finished_at.timestamp() })
}

/// Images in the pod specification by container.
fn images(spec: &Spec) -> HashMap<String, String> {
    let lists = [&spec.containers, &spec.init_containers, &spec.ephemeral_containers];
    let containers = lists.into_iter().flat_map(|list| list.iter());
    containers.map(|container| (container.name.text(), container.image.text())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::BufReader;
    use std::net::TcpListener;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::collectors::container::names::fake::{Served, Server, block_on};
    use crate::collectors::container::names::json::timestamp;
    use crate::config::Filter;

    const WEB: &str = r#"{"metadata": {"name": "web-0", "namespace": "shop", "uid": "6a3c1a52", "labels": {"app": "w"}},
        "spec": {"nodeName": "n", "containers": [{"name": "app", "image": "app:1"}, {"name": "side", "image": "side:2"}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "app", "image": "sha256:12", "imageID": "app@sha256:12", "containerID": "containerd://1a",
             "ready": true, "restartCount": 3, "state": {"running": {"startedAt": "2026-11-21T02:24:27Z"}}},
            {"name": "side", "containerID": "cri-o://2b", "restartCount": "x", "state": null},
            {"name": "waits", "containerID": "", "state": {"waiting": {"reason": "PodInitializing"}}}, 7],
          "initContainerStatuses": [{"name": "init", "image": "init:1", "containerID": "containerd://3c",
             "state": {"terminated": {"exitCode": 0}}}],
          "ephemeralContainerStatuses": [{"name": "debug", "image": "bb", "containerID": "containerd://4d"}]}}"#;
    const STATIC: &str = r#"{"metadata": {"name": "etcd-n", "namespace": "kube-system", "uid": "u",
        "annotations": {"kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef"}}, "status": {}}"#;

    fn settings(url: &str) -> Settings {
        Settings { url: Url::parse(url).unwrap(), node: None, token_file: None, ca_file: None, insecure: false }
    }

    /// The kubelet at the URL.
    pub(in super::super) fn kubelet(url: &str) -> Kubernetes {
        Kubernetes::new(settings(url), Arc::default())
    }

    #[test]
    fn a_pod_list_tells_containers_and_pods() {
        let labels = Labels::new(Some(Filter::default()));
        let mut inventory = Inventory::default();
        let body = format!(r#"{{"kind": "PodList", "metadata": {{}}, "items": [7, {{}}, {WEB}, {STATIC}]}}"#);
        assert_eq!(add_pods(&mut inventory, &body, &labels, &Query::default()).unwrap(), "");
        let expected = Named {
            image: "app:1".into(),
            pod: "web-0".into(),
            namespace: "shop".into(),
            container: "app".into(),
            labels: [("app".to_owned(), "w".to_owned())].into(),
            status: "running".into(),
            started_at: timestamp("2026-11-21T02:24:27Z"),
            restart_count: Some(3),
            ..Named::default()
        };
        assert_eq!(inventory.containers["1a"], expected);
        assert_eq!(inventory.containers["2b"].image, "side:2");
        assert_eq!(["3c", "4d"].map(|id| inventory.containers[id].container.as_str()), ["init", "debug"]);
        assert_eq!(inventory.containers.len(), 4);
        for uid in ["u", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(inventory.pods[uid].pod, "etcd-n");
        }
        assert_eq!(
            add_pods(&mut inventory, r#"{"items": null, "metadata": 7}"#, &labels, &Query::default()).unwrap(),
            ""
        );
        assert!(add_pods(&mut inventory, r#"{"items": {}}"#, &labels, &Query::default()).is_err());
        assert!(add_pods(&mut inventory, "[]", &labels, &Query::default()).is_err());
    }

    #[test]
    fn pods_without_a_cgroup_on_this_host_are_left_out() {
        let body = format!(r#"{{"items": [{WEB}, {STATIC}]}}"#);
        let has = |pods: &[&str], wanted: &[&str]| {
            let [pods, wanted] = [pods, wanted].map(|all| all.iter().map(|one| (*one).to_owned()).collect());
            let query = Query { wanted, pods: Some(pods), is_regular: true, ..Query::default() };
            let mut inventory = Inventory::default();
            add_pods(&mut inventory, &body, &Labels::default(), &query).unwrap();
            (inventory.containers.len(), inventory.pods.len())
        };
        assert_eq!(has(&[], &[]), (0, 0));
        assert_eq!(has(&["6a3c1a52"], &[]), (4, 1));
        assert_eq!(has(&["0123456789abcdef0123456789abcdef"], &["5e"]), (0, 2), "by the hash of a static pod");
        assert_eq!(has(&[], &["2b"]), (4, 1), "by a container whose cgroup does not name its pod");
    }

    #[test]
    fn an_end_for_lack_of_memory_has_the_id_of_the_container_that_ended() {
        let end = |reason: &str| {
            format!(
                r#"{{"terminated": {{"reason": "{reason}", "containerID": "containerd://0c",
                    "finishedAt": "2026-11-21T02:24:27Z"}}}}"#
            )
        };
        let of = |state: &str, last: &str| {
            let status = format!(
                r#"{{"items": [{{"metadata": {{"name": "p"}}, "status": {{"containerStatuses": [
                    {{"name": "c", "containerID": "containerd://1c", "state": {state}, "lastState": {last}}}]}}}}]}}"#
            );
            let mut inventory = Inventory::default();
            add_pods(&mut inventory, &status, &Labels::default(), &Query::default()).unwrap();
            inventory.containers["1c"].oom_end.clone()
        };
        let expected = OomEnd { container_id: "0c".into(), at: timestamp("2026-11-21T02:24:27Z") };
        assert_eq!(of("{}", &end("OOMKilled")), Some(expected.clone()));
        assert_eq!(of(&end("OOMKilled"), &end("Error")), Some(expected));
        assert_eq!(of(&end("Error"), "7"), None);
    }

    #[test]
    fn the_api_server_is_asked_page_by_page_for_the_pods_of_the_node() {
        let (server, url) = Server::tcp();
        let mut source = Kubernetes::new(Settings { node: Some("n/1".into()), ..settings(&url) }, Arc::default());
        let page = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn%2F1&limit=500";
        let first = format!(r#"{{"metadata": {{"continue": "a&b"}}, "items": [{WEB}]}}"#);
        server.json(&format!("{page}&resourceVersion=0"), first);
        server.json(&format!("{page}&continue=a%26b"), format!(r#"{{"items": [{STATIC}]}}"#));
        let inventory = block_on(source.query(&Query::default())).unwrap();
        assert_eq!((inventory.containers.len(), inventory.pods.len()), (4, 3));
    }

    #[test]
    fn the_token_is_read_at_each_request() {
        let (server, url) = Server::tcp();
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        let mut source =
            Kubernetes::new(Settings { token_file: Some(token_file.clone()), ..settings(&url) }, Arc::default());
        server.json("/pods", "{}");
        block_on(async {
            source.query(&Query::default()).await.unwrap();
            std::fs::write(&token_file, "one\n").unwrap();
            source.query(&Query::default()).await.unwrap();
            std::fs::write(&token_file, "two").unwrap();
            source.query(&Query::default()).await.unwrap();
            assert_eq!(server.authorizations(), ["", "Bearer one", "Bearer two"]);
            server.respond("/pods", Served::Status(403));
            let refused = source.query(&Query::default()).await.unwrap_err();
            let expected = "answered 403 Forbidden; the token's account needs `get` on nodes/pods";
            assert_eq!(refused.message, expected);
            std::fs::write(&token_file, "\u{1}").unwrap();
            assert!(source.query(&Query::default()).await.is_err());
        });
    }

    /// Serves over TLS on 127.0.0.1. Writes the CA certificate to a PEM file.
    fn over_tls(server: &Server, authority_file: &Path) -> String {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(authority_file, authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (server, config) = (server.clone(), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(tls, stream));
                server.serve_once(&mut stream);
            }
        });
        url
    }

    #[test]
    fn certificates_are_checked_unless_told_otherwise_and_read_again_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let [trusted, other, used] = ["own.pem", "other.pem", "used.pem"].map(|name| folder.path().join(name));
        let server = Server::default();
        server.json("/pods", format!(r#"{{"items": [{WEB}]}}"#));
        let url = over_tls(&server, &trusted);
        over_tls(&Server::default(), &other);
        std::fs::copy(&other, &used).unwrap();
        let with_file = Settings { ca_file: Some(used.clone()), ..settings(&url) };
        let insecure = Settings { insecure: true, ..with_file.clone() };
        let mut source = Kubernetes::new(with_file, Arc::default());
        block_on(async {
            let refused = source.query(&Query::default()).await.unwrap_err();
            assert!(refused.message.contains("certificate"), "{}", refused.message);
            std::fs::write(&used, "").unwrap();
            let empty = source.query(&Query::default()).await.unwrap_err();
            assert!(empty.message.ends_with("used.pem: expected certificates in PEM form, found none"), "{empty:?}");
            std::fs::copy(&trusted, &used).unwrap();
            assert_eq!(source.query(&Query::default()).await.unwrap().containers.len(), 4);
            assert_eq!(
                Kubernetes::new(insecure, Arc::default()).query(&Query::default()).await.unwrap().containers.len(),
                4
            );
            let without = Settings { ca_file: Some(folder.path().join("absent")), ..settings(&url) };
            assert!(
                Kubernetes::new(without, Arc::default()).query(&Query::default()).await.is_err(),
                "the system knows no such authority"
            );
        });
    }
}
