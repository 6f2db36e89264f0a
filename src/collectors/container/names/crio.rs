//! CRI-O's HTTP API (`/info`, `/containers/ID`), with one request per container.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Named;
use super::http::Http;
use super::json::{Lenient, Texts, value};
use super::labels::{Labels, add_with_kubernetes_labels};
use super::query::{Failure, FailureKind, Inventory, MAX_ENTRIES, Query};

/// Time limit of a query. It then returns a partial result.
const BUDGET: Duration = Duration::from_millis(200);

pub(super) struct Crio {
    socket: PathBuf,
    labels: Arc<Labels>,
    http: Option<Http>,
    known: HashMap<String, Container>,
    /// Known containers still to be refreshed in this round.
    stale: HashSet<String>,
}

/// Response for a container.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: Lenient<String>,
    image: Lenient<String>,
    pid: Lenient<Option<i64>>,
    labels: Texts,
}

impl Crio {
    pub(super) fn new(socket: PathBuf, labels: Arc<Labels>) -> Crio {
        Crio { socket, labels, http: None, known: HashMap::new(), stale: HashSet::new() }
    }

    pub(super) fn location(&self) -> String {
        self.socket.display().to_string()
    }

    pub(super) async fn query(&mut self, query: &Query) -> Result<Inventory, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => Http::unix(&self.socket)?,
        };
        let is_partial = !self.query_with(&http, query).await?;
        self.http = Some(http);
        let mut inventory = Inventory { is_partial, ..Inventory::default() };
        for (id, container) in &self.known {
            add_with_kubernetes_labels(&mut inventory, id, self.named(container), &container.labels);
        }
        Ok(inventory)
    }

    /// Queries wanted containers that are unknown, and in a regular round all others. Returns whether it was complete.
    async fn query_with(&mut self, http: &Http, query: &Query) -> Result<bool, Failure> {
        if query.is_regular {
            // Detects a missing server even if no container is wanted.
            http.get("/info", None).await?;
            self.stale = self.known.keys().cloned().collect();
        }
        let unknown = query.wanted.iter().filter(|id| !self.known.contains_key(*id)).cloned();
        let ids: Vec<String> = unknown.chain(self.stale.iter().cloned()).collect();
        let start = Instant::now();
        for id in ids.into_iter().filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            if start.elapsed() >= BUDGET {
                return Ok(false);
            }
            self.query_container(http, id).await?;
        }
        Ok(true)
    }

    async fn query_container(&mut self, http: &Http, id: String) -> Result<(), Failure> {
        match http.get(&format!("/containers/{id}"), None).await {
            Ok(reply) => {
                self.stale.remove(&id);
                if self.known.len() < MAX_ENTRIES {
                    self.known.insert(id, value(&reply.body));
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

    fn named(&self, container: &Container) -> Named {
        Named {
            name: container.name.text(),
            image: container.image.text(),
            labels: self.labels.of(&container.labels),
            pid: container.pid.filter(|pid| *pid > 0),
            ..Named::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::fake::{Server, block_on};

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
        let query = |is_regular| Query { wanted: wanted.clone(), is_regular, ..Query::default() };
        block_on(async {
            let inventory = crio.query(&query(false)).await.unwrap();
            let app = &inventory.containers["1a"];
            assert_eq!([&app.pod, &app.namespace, &app.container], ["web-0", "shop", "app"]);
            assert_eq!((app.name.as_str(), app.pid), ("k8s_app_web-0_shop_u_0", Some(7)));
            assert_eq!((inventory.containers.len(), inventory.pods["u"].pod.as_str()), (1, "web-0"));

            crio.query(&query(false)).await.unwrap();
            let asked = |id: &str| server.paths().iter().filter(|path| path.ends_with(id)).count();
            assert_eq!((asked("/1a"), asked("/unknown"), asked("/info")), (1, 2, 0));
            server.respond("/containers/1a", super::super::fake::Served::Status(404));
            let inventory = crio.query(&Query { is_regular: true, ..Query::default() }).await.unwrap();
            assert!(inventory.containers.is_empty(), "it has ended");
        });
    }
}
