//! The servers of Kubernetes: the kubelet, and the API server in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kubernetes::{Kubernetes, Settings};
use super::labels::Labels;
use super::query::{Failure, Inventory, Query};

/// How long a server that failed is passed over while another responds.
const PASSED_OVER: Duration = Duration::from_secs(10 * 60);

/// The kubelet needs fewer rights and does not load the API server, so it comes first.
pub(super) struct Cluster {
    servers: Vec<Server>,
}

struct Server {
    client: Kubernetes,
    /// Time of the last failure.
    failed: Option<Instant>,
}

impl Cluster {
    /// The servers, best first.
    pub(super) fn new(servers: &[Settings], labels: &Arc<Labels>) -> Cluster {
        let server =
            |settings: &Settings| Server { client: Kubernetes::new(settings.clone(), labels.clone()), failed: None };
        Cluster { servers: servers.iter().map(server).collect() }
    }

    /// Another client of the kubelet, if it is set.
    pub(super) fn kubelet(&self) -> Option<Kubernetes> {
        self.servers.iter().find_map(|server| server.client.kubelet())
    }

    pub(super) fn location(&self) -> String {
        let locations: Vec<String> = self.servers.iter().map(|server| server.client.location()).collect();
        locations.join(" or ")
    }

    /// Queries the first server that responds.
    ///
    /// # Errors
    /// No server responds: the failure of the last one, and those of the others.
    pub(super) async fn query(&mut self, query: &Query) -> Result<Inventory, Failure> {
        let is_passed_over = |server: &Server| server.failed.is_some_and(|failed| failed.elapsed() < PASSED_OVER);
        let mut failures: Vec<(usize, Failure)> = Vec::new();
        let order: Vec<usize> = (0..self.servers.len()).collect();
        let (later, first): (Vec<usize>, Vec<usize>) =
            order.into_iter().partition(|index| is_passed_over(&self.servers[*index]));
        for index in first.into_iter().chain(later) {
            let was_failing = self.servers[index].failed.is_some();
            match self.servers[index].client.query(query).await {
                Ok(inventory) => {
                    self.servers[index].failed = None;
                    self.log_change(index, was_failing, &failures);
                    return Ok(inventory);
                }
                Err(failure) => failures.push((index, failure)),
            }
        }
        Err(self.joined(failures))
    }

    /// Records which servers failed, and logs those that had not.
    fn log_change(&mut self, responds: usize, was_failing: bool, failures: &[(usize, Failure)]) {
        let location = self.servers[responds].client.location();
        if was_failing && responds == 0 {
            tracing::info!("names from {location}: it answers again");
        }
        for (index, failure) in failures {
            let server = &mut self.servers[*index];
            if server.failed.replace(Instant::now()).is_none() {
                let failed = server.client.location();
                tracing::info!("names from {failed}: {}; {location} is asked instead", failure.message);
            }
        }
    }

    fn joined(&self, mut failures: Vec<(usize, Failure)>) -> Failure {
        let Some((index, last)) = failures.pop() else { return Failure::absent() };
        if failures.is_empty() {
            return last;
        }
        failures.push((index, last.clone()));
        failures.sort_by_key(|(index, _)| *index);
        let messages = failures
            .iter()
            .map(|(index, failure)| format!("{}: {}", self.servers[*index].client.location(), failure.message));
        Failure { message: messages.collect::<Vec<_>>().join("; "), ..last }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;
    use crate::collectors::container::names::fake::{Served, Server, block_on};
    use crate::collectors::container::names::query::FailureKind;

    const PODS: &str = r#"{"items": [{"metadata": {"name": "web-0", "namespace": "shop", "uid": "u"}}]}"#;
    const API: &str = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&limit=500&resourceVersion=0";

    fn settings(url: &str, node: Option<&str>) -> Settings {
        let (url, node) = (Url::parse(url).unwrap(), node.map(str::to_owned));
        Settings { url, node, token_file: None, ca_file: None, insecure: false }
    }

    /// A kubelet and an API server, and the source that queries both.
    fn both() -> (Server, Server, Cluster) {
        let ((kubelet, kubelet_url), (api, api_url)) = (Server::tcp(), Server::tcp());
        api.json(API, PODS);
        let servers = [settings(&kubelet_url, None), settings(&api_url, Some("n"))];
        (kubelet, api, Cluster::new(&servers, &Arc::default()))
    }

    #[test]
    fn the_kubelet_is_queried_first_and_the_api_server_only_if_it_refuses() {
        let (kubelet, api, mut cluster) = both();
        kubelet.json("/pods", PODS);
        block_on(async {
            assert_eq!(cluster.query(&Query::default()).await.unwrap().pods["u"].pod, "web-0");
            assert!(api.paths().is_empty());
            for status in [401, 403, 500] {
                kubelet.respond("/pods", Served::Status(status));
                cluster.servers[0].failed = None;
                assert_eq!(cluster.query(&Query::default()).await.unwrap().pods["u"].pod, "web-0", "{status}");
            }
            assert_eq!(api.paths(), [API; 3]);
            let asked = kubelet.paths().len();
            cluster.query(&Query::default()).await.unwrap();
            assert_eq!(kubelet.paths().len(), asked, "it has just refused");
            kubelet.json("/pods", PODS);
            api.respond(API, Served::Status(503));
            assert_eq!(
                cluster.query(&Query::default()).await.unwrap().pods.len(),
                1,
                "both are asked before the query fails"
            );
        });
    }

    #[test]
    fn a_kubelet_that_closes_the_connection_is_replaced_by_the_api_server() {
        let (kubelet, _, mut cluster) = both();
        block_on(async {
            kubelet.json("/pods", PODS);
            cluster.query(&Query::default()).await.unwrap();
            kubelet.respond("/pods", Served::Close);
            assert_eq!(cluster.query(&Query::default()).await.unwrap().pods.len(), 1);
            assert!(kubelet.paths().len() > 1 && cluster.servers[0].failed.is_some());
        });
    }

    #[test]
    fn an_unreachable_kubelet_is_replaced_by_the_api_server() {
        let (_, api, cluster) = both();
        let api_settings = settings(&cluster.servers[1].client.location(), Some("n"));
        let mut cluster = Cluster::new(&[settings("http://127.0.0.1:1", None), api_settings], &Arc::default());
        block_on(async {
            assert_eq!(cluster.query(&Query::default()).await.unwrap().pods.len(), 1);
            api.respond(API, Served::Status(403));
            let failure = cluster.query(&Query::default()).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Other);
            let parts: Vec<&str> = failure.message.split("; ").collect();
            assert!(parts[0].starts_with("http://127.0.0.1:1: "), "{parts:?}");
            assert!(parts[1].ends_with("answered 403 Forbidden"), "{parts:?}");
            assert_eq!(parts[2], "the token's account needs `list` on pods in all namespaces");
        });
    }
}
