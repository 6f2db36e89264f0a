//! The API of Docker (Engine API, `/containers/json`, `/containers/ID/json`, `/info`) and of compatible engines, such
//! as Podman.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::http::Http;
use super::json::{Lenient, Texts, list, truncated, value};
use super::labels::{Labels, add_with_kubernetes_labels};
use super::query::{Failure, FailureKind, Inventory, MAX_ENTRIES, MAX_ID, Query};
use super::sizes::SizeSource;
use super::{EngineState, Health, Named};
use crate::encode::Timestamp;

/// Time limit for details in a query. It then returns a partial result.
const DETAILS_BUDGET: Duration = Duration::from_millis(200);

/// Timeout for the details of one container. The request may hang if the container hangs.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Docker {
    socket: PathBuf,
    labels: Arc<Labels>,
    /// Whether it is Podman, which runs only while it is queried.
    is_podman: bool,
    /// Reset after a failure.
    http: Option<Http>,
    engine: Option<Engine>,
    details: HashMap<String, Details>,
}

/// Minimum time between two queries of an engine's state.
const ENGINE_INTERVAL: Duration = Duration::from_secs(5);

/// The engine, as of the last query.
struct Engine {
    /// `Server` header of the responses, which contains the version.
    server: String,
    /// Absent if the query failed.
    state: Option<Arc<EngineState>>,
    queried: Instant,
}

impl Engine {
    /// Whether to query it again. A failure is not retried, as some proxies allow only the list.
    fn is_due(&self, server: &str) -> bool {
        self.server != server || (self.state.is_some() && self.queried.elapsed() >= ENGINE_INTERVAL)
    }
}

/// An entry of the container list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    id: Lenient<String>,
    names: Lenient<Vec<Lenient<Option<String>>>>,
    image: Lenient<String>,
    state: Lenient<String>,
    status: Lenient<String>,
    health: Lenient<EntryHealth>,
    labels: Texts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct EntryHealth {
    status: Lenient<String>,
}

/// Response for a single container.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspected {
    config: Lenient<Config>,
    state: Lenient<State>,
    restart_count: Lenient<Option<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    started_at: Lenient<String>,
    pid: Lenient<Option<i64>>,
    #[serde(rename = "OOMKilled")]
    oom_killed: Lenient<Option<bool>>,
    exit_code: Lenient<Option<i64>>,
}

/// Response about the engine.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Info {
    name: Lenient<String>,
    server_version: Lenient<String>,
    #[serde(rename = "NCPU")]
    cpus: Lenient<Option<i64>>,
    mem_total: Lenient<Option<i64>>,
    n_fd: Lenient<Option<i64>>,
    n_goroutines: Lenient<Option<i64>>,
    n_events_listener: Lenient<Option<i64>>,
    containers: Lenient<Option<i64>>,
    containers_running: Lenient<Option<i64>>,
    containers_stopped: Lenient<Option<i64>>,
    containers_paused: Lenient<Option<i64>>,
    images: Lenient<Option<i64>>,
}

/// A container in the list.
struct Listed {
    id: String,
    /// State and status. The status includes the rounded uptime, so it also changes after a restart.
    status: String,
    entry: Entry,
}

/// Fields that only the request for a single container returns.
#[derive(Default)]
struct Details {
    /// Status in the list at the time of the request. Empty after a failed request, which is retried.
    status: String,
    /// Its cgroup at the time of the request. 0 if unknown.
    cgroup: u64,
    image: String,
    started_at: Option<Timestamp>,
    pid: Option<i64>,
    oom_killed: Option<bool>,
    exit_code: Option<i64>,
    restart_count: Option<i64>,
}

impl Docker {
    pub(super) fn new(socket: PathBuf, labels: Arc<Labels>) -> Docker {
        let file = socket.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
        let is_podman = file.starts_with(b"podman");
        Docker { socket, labels, is_podman, http: None, engine: None, details: HashMap::new() }
    }

    /// Whether it is Podman: by the socket's name until the first response.
    pub(super) fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// The source of sizes.
    pub(super) fn sizes(&self) -> SizeSource {
        SizeSource::Docker { socket: self.socket.clone(), is_podman: self.is_podman }
    }

    /// Whether it is the engine of a user.
    pub(super) fn is_rootless(&self) -> bool {
        self.socket.to_string_lossy().contains("/run/user/")
    }

    /// Whether the engine's PID file is beside its socket. It exists while the engine runs.
    pub(super) fn has_pid_file(&self) -> bool {
        !self.is_podman && self.socket.with_extension("pid").exists()
    }

    pub(super) fn location(&self) -> String {
        self.socket.display().to_string()
    }

    pub(super) async fn query(&mut self, query: &Query) -> Result<Inventory, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => Http::unix(&self.socket)?,
        };
        let inventory = self.query_with(&http, query).await;
        match inventory {
            Ok(_) => self.http = Some(http),
            Err(_) => self.engine = None,
        }
        inventory
    }

    async fn query_with(&mut self, http: &Http, query: &Query) -> Result<Inventory, Failure> {
        let reply = http.get("/containers/json", None).await?;
        if !reply.server.is_empty() {
            self.is_podman = reply.server.starts_with("Libpod");
        }
        let listed: Vec<Listed> = list(&reply.body)?.into_iter().take(MAX_ENTRIES).filter_map(listed).collect();
        if self.engine.as_ref().is_none_or(|engine| engine.is_due(&reply.server)) {
            self.engine = Some(query_engine(http, reply.server).await);
        }
        let is_partial = !self.query_details(http, &listed, &query.cgroups).await;
        let engine = self.engine.as_ref().and_then(|engine| engine.state.clone());
        let mut inventory = Inventory { engine, is_partial, ..Inventory::default() };
        for listed in &listed {
            add_with_kubernetes_labels(&mut inventory, &listed.id, self.named(listed), &listed.entry.labels);
        }
        Ok(inventory)
    }

    /// Requests the details of containers that are new, changed or in another cgroup. Returns whether it was complete.
    async fn query_details(&mut self, http: &Http, listed: &[Listed], cgroups: &HashMap<String, u64>) -> bool {
        let ids: HashSet<&str> = listed.iter().map(|listed| listed.id.as_str()).collect();
        self.details.retain(|id, _| ids.contains(id.as_str()));
        let cgroup = |listed: &Listed| cgroups.get(&listed.id).copied().unwrap_or(0);
        let is_current = |known: &Details, cgroup| cgroup == 0 || known.cgroup == cgroup;
        let is_known = |listed: &&Listed| {
            let known = self.details.get(&listed.id);
            known.is_some_and(|known| known.status == listed.status && is_current(known, cgroup(listed)))
        };
        let is_retry = |listed: &&Listed| self.details.get(&listed.id).is_some_and(|known| known.status.is_empty());
        let (retries, mut due): (Vec<_>, Vec<_>) = listed.iter().filter(|one| !is_known(one)).partition(is_retry);
        let first_retry = due.len();
        // Retries come last, so that a container that hangs does not block the others.
        due.extend(retries);
        let start = Instant::now();
        for (index, listed) in due.into_iter().enumerate() {
            if start.elapsed() >= DETAILS_BUDGET {
                return index >= first_retry;
            }
            let details = Details { cgroup: cgroup(listed), ..query_details_of(http, listed).await };
            self.details.insert(listed.id.clone(), details);
        }
        true
    }

    fn named(&self, listed: &Listed) -> Named {
        let entry = &listed.entry;
        let (nothing, engine) = (Details::default(), self.engine.as_ref().and_then(|engine| engine.state.as_deref()));
        let text = |of: fn(&EngineState) -> &Arc<str>| engine.map(of).filter(|text| !text.is_empty()).cloned();
        let details = self.details.get(&listed.id).unwrap_or(&nothing);
        let image = entry.image.text();
        Named {
            name: name(entry),
            // The list has only the digest if the tag has moved to another image.
            image: if details.image.is_empty() || is_digest(&details.image) { image } else { details.image.clone() },
            labels: self.labels.of(&entry.labels),
            status: entry.state.text(),
            started_at: details.started_at,
            restart_count: details.restart_count,
            pid: details.pid,
            oom_killed: details.oom_killed,
            exit_code: details.exit_code,
            health: health(entry),
            engine_host: text(|engine| &engine.host),
            server_version: text(|engine| &engine.version),
            ..Named::default()
        }
    }
}

async fn query_details_of(http: &Http, listed: &Listed) -> Details {
    let path = format!("/containers/{}/json", listed.id);
    let status = || listed.status.clone();
    match timeout(DETAILS_TIMEOUT, http.get(&path, None)).await {
        Ok(Ok(reply)) => details(&reply.body, status()),
        // The container has ended, or the proxy allows the list only.
        Ok(Err(Failure { kind: FailureKind::Status(_), .. })) => Details { status: status(), ..Details::default() },
        Ok(Err(_)) | Err(_) => Details::default(),
    }
}

async fn query_engine(http: &Http, server: String) -> Engine {
    let reply = http.get("/info", None).await.ok();
    Engine { server, state: reply.map(|reply| Arc::new(engine_state(&reply.body))), queried: Instant::now() }
}

fn engine_state(body: &str) -> EngineState {
    let info: Info = value(body);
    EngineState {
        host: info.name.text().into(),
        version: info.server_version.text().into(),
        cpus: *info.cpus,
        memory_bytes: *info.mem_total,
        file_descriptors: *info.n_fd,
        goroutines: *info.n_goroutines,
        event_listeners: *info.n_events_listener,
        containers: *info.containers,
        running: *info.containers_running,
        stopped: *info.containers_stopped,
        paused: *info.containers_paused,
        images: *info.images,
    }
}

fn listed(raw: &RawValue) -> Option<Listed> {
    let entry: Entry = value(raw.get());
    let id = entry.id.0.clone();
    // The ID becomes part of a path.
    let is_valid = !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let status = format!("{} {}", entry.state.text(), without_health(&entry.status.text()));
    is_valid.then_some(Listed { id, status, entry })
}

fn details(body: &str, status: String) -> Details {
    let Inspected { config, state, restart_count } = value(body);
    Details {
        cgroup: 0,
        status,
        image: config.image.text(),
        started_at: state.started_at.timestamp(),
        pid: state.pid.filter(|pid| *pid > 0),
        oom_killed: *state.oom_killed,
        exit_code: *state.exit_code,
        restart_count: *restart_count,
    }
}

/// The name without a further slash. Names with one are links to the container.
fn name(entry: &Entry) -> String {
    let names = entry.names.iter().filter_map(|name| name.as_deref());
    let mut names = names.map(|name| name.strip_prefix('/').unwrap_or(name));
    truncated(names.find(|name| !name.contains('/')).unwrap_or_default())
}

fn is_digest(image: &str) -> bool {
    image.starts_with("sha256:")
}

fn without_health(status: &str) -> &str {
    status.split(" (").next().filter(|_| status.starts_with("Up")).unwrap_or(status)
}

/// Recent engines have a field, all have it in the status.
fn health(entry: &Entry) -> Option<Health> {
    let (status, field) = (entry.status.text(), entry.health.status.text());
    let is = |word: &str, in_status: &str| field == word || status.ends_with(in_status);
    let all = [
        (Health::Healthy, is("healthy", "(healthy)")),
        (Health::Unhealthy, is("unhealthy", "(unhealthy)")),
        (Health::Starting, is("starting", "(health: starting)")),
    ];
    all.into_iter().find(|(_, is)| *is).map(|(health, _)| health)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::fake::{Served, Server, block_on, id};
    use crate::config::Filter;

    fn docker() -> (tempfile::TempDir, Server, Docker) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("d.sock");
        let labels = Labels::new(Some(Filter::from_globs(&["app".to_owned()]).unwrap()));
        let server = Server::unix(&socket);
        (folder, server, Docker::new(socket, Arc::new(labels)))
    }

    fn entry(id: &str, status: &str) -> String {
        format!(
            r#"{{"Id": "{id}", "Names": ["/db/alias", "/web"], "Image": "sha256:12", "ImageID": "sha256:12",
                "Command": "/app", "Created": 1795227867, "Ports": [], "State": "running", "Status": "{status}",
                "Labels": {{"app": "shop", "other": "x"}}, "HostConfig": {{"NetworkMode": "none"}}, "Mounts": []}}"#
        )
    }

    const DETAILS: &str = r#"{"Created": "2026-11-21T02:24:27.788581876Z", "Path": "/app", "RestartCount": 2,
        "State": {"Status": "running", "Running": true, "OOMKilled": false, "Pid": 3625, "ExitCode": 0, "Error": "",
        "StartedAt": "2026-11-21T02:24:27.946113322Z", "FinishedAt": "0001-01-01T00:00:00Z"},
        "Image": "sha256:12", "Name": "/web", "Config": {"Hostname": "a", "Image": "shop:1"}}"#;

    #[test]
    fn the_list_the_details_and_the_engine_make_a_container() {
        let (_folder, server, mut docker) = docker();
        let a = id('a');
        server.json("/containers/json", format!("[{}]", entry(&a, "Up 4 seconds (healthy)")));
        server.json(&format!("/containers/{a}/json"), DETAILS);
        server.json("/info", r#"{"Name": "node-1", "ServerVersion": "20.10.24", "NCPU": 2}"#);
        let inventory = block_on(docker.query(&Query::default())).unwrap();
        let expected = Named {
            name: "web".into(),
            image: "shop:1".into(),
            labels: [("app".to_owned(), "shop".to_owned())].into(),
            status: "running".into(),
            started_at: Some(Timestamp(1_795_227_867_946_113_322)),
            restart_count: Some(2),
            pid: Some(3625),
            oom_killed: Some(false),
            exit_code: Some(0),
            health: Some(Health::Healthy),
            engine_host: Some("node-1".into()),
            server_version: Some("20.10.24".into()),
            ..Named::default()
        };
        assert_eq!(inventory.containers[&a], expected);
        assert!(!inventory.is_partial);
    }

    #[test]
    fn details_are_asked_for_again_when_the_status_has_changed() {
        let (_folder, server, mut docker) = docker();
        let path = format!("/containers/{}/json", id('a'));
        let asked = || server.paths().iter().filter(|asked| **asked == path).count();
        server.json(&path, DETAILS);
        for (status, expected) in [
            ("Up 5 minutes", 1),
            ("Up 5 minutes (unhealthy)", 1),
            ("Up 5 minutes", 1),
            ("Up 2 seconds", 2),
            ("Up 2 seconds (health: starting)", 2),
        ] {
            server.json("/containers/json", format!("[{}]", entry(&id('a'), status)));
            block_on(docker.query(&Query::default())).unwrap();
            // A connection is bound to its runtime.
            docker.http = None;
            assert_eq!(asked(), expected, "{status}");
        }
        server.json("/containers/json", "[]");
        block_on(docker.query(&Query::default())).unwrap();
        assert!(docker.details.is_empty());
        let engine = server.paths().iter().filter(|path| *path == "/info").count();
        assert_eq!(engine, 1, "the engine is the same, and let nobody ask about it");
    }

    #[test]
    fn details_are_asked_for_again_in_another_cgroup_of_the_container() {
        let (_folder, server, mut docker) = docker();
        let path = format!("/containers/{}/json", id('a'));
        server.json("/containers/json", format!("[{}]", entry(&id('a'), "Up")));
        server.json(&path, DETAILS);
        for (cgroup, expected) in [(7, 1), (7, 1), (8, 2), (0, 2), (8, 2)] {
            let query = Query { cgroups: [(id('a'), cgroup)].into(), ..Query::default() };
            block_on(docker.query(&query)).unwrap();
            docker.http = None;
            assert_eq!(server.paths().iter().filter(|asked| **asked == path).count(), expected, "{cgroup}");
        }
    }

    #[test]
    fn one_whose_details_hang_keeps_no_other_from_its_turn() {
        let (_folder, server, mut docker) = docker();
        let (a, b) = (id('a'), id('b'));
        server.json("/containers/json", format!("[{},{}]", entry(&a, "Up 1 hour"), entry(&b, "Up 1 hour")));
        server.respond(&format!("/containers/{a}/json"), Served::Hang);
        server.json(&format!("/containers/{b}/json"), DETAILS);
        let (first, second) = block_on(async {
            (docker.query(&Query::default()).await.unwrap(), docker.query(&Query::default()).await.unwrap())
        });
        assert!(first.is_partial && first.containers[&a].name == "web");
        assert_eq!((second.containers[&b].pid, second.containers[&a].pid), (Some(3625), None));
    }

    #[test]
    fn what_is_odd_costs_itself() {
        let (_folder, server, mut docker) = docker();
        let odd = r#"7, {}, {"Id": 1}, {"Id": "../info"}, {"Id": "ok", "Names": 3, "Labels": [], "State": "paused"}"#;
        server.json("/containers/json", format!("[{odd},{}]", entry(&id('a'), "\\u00fc (healthy")));
        server.json("/containers/ok/json", "[");
        server
            .json(&format!("/containers/{}/json", id('a')), r#"{"State": {"Pid": "1", "StartedAt": 5}, "Config": 0}"#);
        let inventory = block_on(docker.query(&Query::default())).unwrap();
        let paused = Named { status: "paused".into(), ..Named::default() };
        assert_eq!((inventory.containers.len(), &inventory.containers["ok"]), (2, &paused));
        assert_eq!(inventory.containers[&id('a')].image, "sha256:12");
        docker.http = None;
        server.json("/containers/json", "<html>");
        let failure = block_on(docker.query(&Query::default())).unwrap_err();
        assert_eq!(failure.message, "expected a JSON list: expected value at line 1 column 1");
    }

    #[test]
    fn labels_of_kubernetes_tell_pods_and_sandboxes() {
        let (_folder, server, mut docker) = docker();
        let labels = |container: &str, more: &str| {
            format!(
                r#"{{"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop",
                    "io.kubernetes.pod.uid": "u", "io.kubernetes.container.name": "{container}"{more}}}"#
            )
        };
        let (sandbox, app) = (labels("POD", r#", "io.kubernetes.docker.type": "podsandbox""#), labels("app", ""));
        let list = format!(r#"[{{"Id": "a", "Labels": {sandbox}}}, {{"Id": "b", "Labels": {app}}}]"#);
        server.json("/containers/json", list);
        let inventory = block_on(docker.query(&Query::default())).unwrap();
        let (sandbox, app) = (&inventory.containers["a"], &inventory.containers["b"]);
        assert_eq!((sandbox.is_sandbox, sandbox.container.as_str(), sandbox.pod.as_str()), (true, "", "web-0"));
        assert_eq!((app.is_sandbox, app.container.as_str(), app.namespace.as_str()), (false, "app", "shop"));
        assert_eq!(inventory.pods["u"].pod, "web-0");
    }

    #[test]
    fn a_socket_that_is_not_there_is_absent() {
        let mut docker = Docker::new("/nonexistent/d.sock".into(), Arc::default());
        assert_eq!(block_on(docker.query(&Query::default())).unwrap_err(), Failure::absent());
    }
}
