//! CRI-O's own API (`/info`, `/containers/ID`), which tells of containers one by one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Named;
use super::http::Http;
use super::json::{number, text};
use super::labels::{Labels, add_with_kubernetes_labels};
use super::source::{Answer, Failure, FailureKind, MAX_ENTRIES, Question};

/// How long containers are asked for before what is known by then is told.
const BUDGET: Duration = Duration::from_millis(200);

pub(super) struct Crio {
    socket: PathBuf,
    labels: Arc<Labels>,
    http: Option<Http>,
    known: HashMap<String, Value>,
    /// What is known and is yet to be asked for again in this round.
    stale: HashSet<String>,
}

impl Crio {
    pub(super) fn new(socket: PathBuf, labels: Arc<Labels>) -> Crio {
        Crio { socket, labels, http: None, known: HashMap::new(), stale: HashSet::new() }
    }

    pub(super) fn place(&self) -> String {
        self.socket.display().to_string()
    }

    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answer, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => Http::unix(&self.socket)?,
        };
        let is_partial = !self.ask_by(&http, question).await?;
        self.http = Some(http);
        let mut answer = Answer { is_partial, ..Answer::default() };
        for (id, container) in &self.known {
            let labels = container.get("labels");
            add_with_kubernetes_labels(&mut answer, id, self.named(container), labels);
        }
        Ok(answer)
    }

    /// Asks for what is wanted and unknown, and in a regular round for the rest; whether that got to its end.
    async fn ask_by(&mut self, http: &Http, question: &Question) -> Result<bool, Failure> {
        if question.is_regular {
            // Whether anybody is there is of interest also while nobody asks for a container.
            http.get("/info", None).await?;
            self.stale = self.known.keys().cloned().collect();
        }
        let unknown = question.wanted.iter().filter(|id| !self.known.contains_key(*id)).cloned();
        let ids: Vec<String> = unknown.chain(self.stale.iter().cloned()).collect();
        let start = Instant::now();
        for id in ids.into_iter().filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            if start.elapsed() >= BUDGET {
                return Ok(false);
            }
            self.ask_for(http, id).await?;
        }
        Ok(true)
    }

    async fn ask_for(&mut self, http: &Http, id: String) -> Result<(), Failure> {
        match http.get(&format!("/containers/{id}"), None).await {
            Ok(reply) => {
                self.stale.remove(&id);
                if self.known.len() < MAX_ENTRIES {
                    self.known.insert(id, sparse(&reply.body));
                }
            }
            Err(Failure { kind: FailureKind::Status(_), .. }) => {
                self.stale.remove(&id);
                self.known.remove(&id);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn named(&self, container: &Value) -> Named {
        Named {
            name: text(container, "/name"),
            image: text(container, "/image"),
            labels: self.labels.of(container.get("labels")),
            pid: number(container, "/pid").filter(|pid| *pid > 0),
            ..Named::default()
        }
    }
}

/// The answer without what is not looked at.
fn sparse(body: &str) -> Value {
    let mut container: Value = serde_json::from_str(body).unwrap_or_default();
    if let Some(fields) = container.as_object_mut() {
        fields.retain(|name, _| ["name", "image", "pid", "labels"].contains(&name.as_str()));
    }
    container
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::tests::{Server, block_on};

    const APP: &str = r#"{"name": "k8s_app_web-0_shop_u_0", "pid": 7, "image": "registry.local/app:1.2",
        "image_ref": "12ab", "created_time": 1795227867000000000, "root": "/x", "sandbox": "5a", "labels":
        {"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": "u"}, "annotations": {"io.kubernetes.container.hash": "1"}, "ip_addresses": null}"#;

    #[test]
    fn what_is_wanted_is_asked_for_once_and_what_is_known_in_each_regular_round() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("c.sock");
        let (server, mut crio) = (Server::unix(&socket), Crio::new(socket, Arc::default()));
        server.json("/info", r#"{"storage_driver": "overlay"}"#);
        server.json("/containers/1a", APP);
        server.json("/containers/odd", "[7]");
        let wanted: HashSet<String> = ["1a", "odd", "unknown", "../info"].map(str::to_owned).into();
        let question = |is_regular| Question { wanted: wanted.clone(), is_regular };
        block_on(async {
            let answer = crio.ask(&question(false)).await.unwrap();
            let app = &answer.containers["1a"];
            assert_eq!([&app.pod, &app.namespace, &app.container], ["web-0", "shop", "app"]);
            assert_eq!((app.name.as_str(), app.pid), ("k8s_app_web-0_shop_u_0", Some(7)));
            assert_eq!((answer.containers.len(), answer.pods["u"].pod.as_str()), (1, "web-0"));

            crio.ask(&question(false)).await.unwrap();
            let asked = |id: &str| server.paths().iter().filter(|path| path.ends_with(id)).count();
            assert_eq!((asked("/1a"), asked("/unknown"), asked("/info")), (1, 2, 0));
            server.answer("/containers/1a", super::super::tests::Served::Status(404));
            let answer = crio.ask(&Question { is_regular: true, ..Question::default() }).await.unwrap();
            assert!(answer.containers.is_empty(), "it has ended");
        });
    }
}
