//! Kubernetes itself: a kubelet (`/pods`) or the API server (`/api/v1/pods`), which both answer with a PodList.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;

use super::http::Http;
use super::json::{list, moment, number, object, text, value};
use super::labels::Labels;
use super::source::{Answer, Failure, FailureKind, MAX_ENTRIES};
use super::{Named, PodNamed};
use crate::client;
use crate::system::regular_file::{PATIENCE, read_text_within};

/// How many pods are asked for at a time.
const PAGE: usize = 500;

/// Whom to ask, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) url: Url,
    /// The node, for the API server; a kubelet knows no other.
    pub(super) node: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    /// Whether any certificate is trusted.
    pub(super) insecure: bool,
}

pub(super) struct Kubernetes {
    settings: Settings,
    labels: Arc<Labels>,
    /// The connection; a new one is made after a failure, when there may be other certificates.
    http: Option<Http>,
}

impl Kubernetes {
    pub(super) fn new(settings: Settings, labels: Arc<Labels>) -> Kubernetes {
        Kubernetes { settings, labels, http: None }
    }

    pub(super) fn place(&self) -> String {
        self.base().to_owned()
    }

    fn base(&self) -> &str {
        self.settings.url.as_str().trim_end_matches('/')
    }

    pub(super) async fn ask(&mut self) -> Result<Answer, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => self.connect()?,
        };
        let answer = self.ask_by(&http).await.map_err(|failure| self.with_remedy(failure))?;
        self.http = Some(http);
        Ok(answer)
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

    async fn ask_by(&self, http: &Http) -> Result<Answer, Failure> {
        let token = self.settings.token_file.as_deref().map(read_token).transpose()?.flatten();
        let mut answer = Answer::default();
        let mut next = String::new();
        for _ in 0..MAX_ENTRIES / PAGE {
            let reply = http.get(&self.path(&next), token.as_deref()).await?;
            next = add_pods(&mut answer, &reply.body, &self.labels)?;
            if next.is_empty() || self.settings.node.is_none() {
                break;
            }
        }
        Ok(answer)
    }

    /// The path of the page that continues at `next`.
    fn path(&self, next: &str) -> String {
        let Some(node) = &self.settings.node else { return "/pods".to_owned() };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("fieldSelector", &format!("spec.nodeName={node}")).append_pair("limit", &PAGE.to_string());
        if next.is_empty() {
            // What the server has in memory will do; otherwise it asks its database each time.
            query.append_pair("resourceVersion", "0");
        } else {
            query.append_pair("continue", next);
        }
        format!("/api/v1/pods?{}", query.finish())
    }

    fn with_remedy(&self, failure: Failure) -> Failure {
        let remedy = match (failure.kind, &self.settings.node) {
            (FailureKind::Status(401), _) => "needs a valid token in kubernetes_token_file",
            (FailureKind::Status(403), None) => "the token's account needs `get` on nodes/pods or nodes/proxy",
            (FailureKind::Status(403), Some(_)) => "the token's account needs `list` on pods in all namespaces",
            _ => return failure,
        };
        Failure { message: format!("{}; {remedy}", failure.message), ..failure }
    }
}

/// The token as it is now, for it changes; none if there is no such file.
fn read_token(path: &Path) -> Result<Option<String>, Failure> {
    /// A token is short; what is longer is not one.
    const MOST_BYTES: u64 = 64 << 10;
    match read_text_within(path, MOST_BYTES, PATIENCE) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.reason.is_absence() => Ok(None),
        Err(error) => Err(Failure::other(format!("kubernetes_token_file: {error}"))),
    }
}

/// Adds the pods of a PodList; where the next one begins, if there is more.
fn add_pods(answer: &mut Answer, body: &str, labels: &Labels) -> Result<String, Failure> {
    let fields = object(body)?;
    for pod in fields.get("items").map(|items| list(items.get())).transpose()?.unwrap_or_default() {
        add_pod(answer, &value(pod), labels);
    }
    let metadata = fields.get("metadata").map(|raw| value(raw)).unwrap_or_default();
    // Not shortened: it only makes sense whole.
    Ok(metadata.get("continue").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn add_pod(answer: &mut Answer, pod: &Value, labels: &Labels) {
    let names = PodNamed { pod: text(pod, "/metadata/name"), namespace: text(pod, "/metadata/namespace") };
    // The kubelet calls the cgroups of a static pod by its manifest's hash, and the API server the pod by another uid.
    for uid in ["/metadata/uid", "/metadata/annotations/kubernetes.io~1config.hash"] {
        answer.add_pod(&text(pod, uid), names.clone());
    }
    let labels = labels.of(pod.pointer("/metadata/labels"));
    let images = images(pod);
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for status in entries(pod.pointer(&format!("/status/{list}"))) {
            let id = text(status, "/containerID");
            let Some((_, id)) = id.split_once("://") else { continue };
            let mut named = named(status, &images);
            (named.pod, named.namespace) = (names.pod.clone(), names.namespace.clone());
            named.labels.clone_from(&labels);
            answer.add(id, named);
        }
    }
}

fn named(status: &Value, images: &HashMap<String, String>) -> Named {
    let container = text(status, "/name");
    let image = text(status, "/image");
    // The status has the image's digest alone where its tag now means another one.
    let is_name = !image.is_empty() && !image.starts_with("sha256:");
    let states = status.get("state").and_then(Value::as_object);
    Named {
        image: if is_name { image } else { images.get(&container).cloned().unwrap_or(image) },
        container,
        status: states.and_then(|states| states.keys().next().cloned()).unwrap_or_default(),
        started_at: moment(status, "/state/running/startedAt"),
        restart_count: number(status, "/restartCount"),
        ..Named::default()
    }
}

/// The images that the pod's containers were to have, by container.
fn images(pod: &Value) -> HashMap<String, String> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let containers = lists.into_iter().flat_map(|list| entries(pod.pointer(&format!("/spec/{list}"))));
    containers.map(|container| (text(container, "/name"), text(container, "/image"))).collect()
}

fn entries(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::net::TcpListener;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::collectors::container::names::tests::{Served, Server, block_on};
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

    #[test]
    fn a_pod_list_tells_containers_and_pods() {
        let labels = Labels::new(Some(Filter::default()));
        let mut answer = Answer::default();
        let body = format!(r#"{{"kind": "PodList", "metadata": {{}}, "items": [7, {{}}, {WEB}, {STATIC}]}}"#);
        assert_eq!(add_pods(&mut answer, &body, &labels).unwrap(), "");
        let expected = Named {
            image: "app:1".into(),
            pod: "web-0".into(),
            namespace: "shop".into(),
            container: "app".into(),
            labels: [("app".to_owned(), "w".to_owned())].into(),
            status: "running".into(),
            started_at: moment(&Value::from("2026-11-21T02:24:27Z"), ""),
            restart_count: Some(3),
            ..Named::default()
        };
        assert_eq!(answer.containers["1a"], expected);
        assert_eq!(answer.containers["2b"].image, "side:2");
        assert_eq!(["3c", "4d"].map(|id| answer.containers[id].container.as_str()), ["init", "debug"]);
        assert_eq!(answer.containers.len(), 4);
        for uid in ["u", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(answer.pods[uid].pod, "etcd-n");
        }
        assert_eq!(add_pods(&mut answer, r#"{"items": null, "metadata": 7}"#, &labels).unwrap(), "");
        assert!(add_pods(&mut answer, r#"{"items": {}}"#, &labels).is_err());
        assert!(add_pods(&mut answer, "[]", &labels).is_err());
    }

    #[test]
    fn the_api_server_is_asked_page_by_page_for_the_pods_of_the_node() {
        let (server, url) = Server::tcp();
        let mut source = Kubernetes::new(Settings { node: Some("n/1".into()), ..settings(&url) }, Arc::default());
        let page = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn%2F1&limit=500";
        let first = format!(r#"{{"metadata": {{"continue": "a&b"}}, "items": [{WEB}]}}"#);
        server.json(&format!("{page}&resourceVersion=0"), first);
        server.json(&format!("{page}&continue=a%26b"), format!(r#"{{"items": [{STATIC}]}}"#));
        let answer = block_on(source.ask()).unwrap();
        assert_eq!((answer.containers.len(), answer.pods.len()), (4, 3));
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
            source.ask().await.unwrap();
            std::fs::write(&token_file, "one\n").unwrap();
            source.ask().await.unwrap();
            std::fs::write(&token_file, "two").unwrap();
            source.ask().await.unwrap();
            assert_eq!(server.authorizations(), ["", "Bearer one", "Bearer two"]);
            server.answer("/pods", Served::Status(403));
            let refused = source.ask().await.unwrap_err();
            let expected = "answered 403 Forbidden; the token's account needs `get` on nodes/pods or nodes/proxy";
            assert_eq!(refused.message, expected);
            std::fs::write(&token_file, "\u{1}").unwrap();
            assert!(source.ask().await.is_err());
        });
    }

    /// The server over TLS, as 127.0.0.1, and the PEM file of the authority that signed its certificate.
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
        let [own, other, used] = ["own.pem", "other.pem", "used.pem"].map(|name| folder.path().join(name));
        let server = Server::default();
        server.json("/pods", format!(r#"{{"items": [{WEB}]}}"#));
        let url = over_tls(&server, &own);
        over_tls(&Server::default(), &other);
        std::fs::copy(&other, &used).unwrap();
        let with_file = Settings { ca_file: Some(used.clone()), ..settings(&url) };
        let insecure = Settings { insecure: true, ..with_file.clone() };
        let mut source = Kubernetes::new(with_file, Arc::default());
        block_on(async {
            let refused = source.ask().await.unwrap_err();
            assert!(refused.message.contains("certificate"), "{}", refused.message);
            std::fs::write(&used, "").unwrap();
            let empty = source.ask().await.unwrap_err();
            assert!(empty.message.ends_with("used.pem: expected certificates in PEM form, found none"), "{empty:?}");
            std::fs::copy(&own, &used).unwrap();
            assert_eq!(source.ask().await.unwrap().containers.len(), 4);
            assert_eq!(Kubernetes::new(insecure, Arc::default()).ask().await.unwrap().containers.len(), 4);
            let without = Settings { ca_file: Some(folder.path().join("absent")), ..settings(&url) };
            assert!(
                Kubernetes::new(without, Arc::default()).ask().await.is_err(),
                "the system knows no such authority"
            );
        });
    }
}
