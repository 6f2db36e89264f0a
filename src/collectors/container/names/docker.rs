//! The API of Docker (Engine API, `/containers/json`, `/containers/ID/json`, `/info`) and of what answers like it, such as
//! Podman.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::http::Http;
use super::json::{list, moment, number, shortened, text, truth, value};
use super::labels::{Labels, add_with_kubernetes_labels};
use super::source::{Answer, Failure, FailureKind, MAX_ENTRIES, MAX_ID};
use super::{Health, Named};
use crate::host::Timestamp;

/// How long details are asked for before what is known by then is told.
const DETAILS_BUDGET: Duration = Duration::from_millis(200);

/// How long the details of one container may take: some hang whose container hangs.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Docker {
    socket: PathBuf,
    labels: Arc<Labels>,
    /// The connection; a new one is made after a failure.
    http: Option<Http>,
    engine: Option<Engine>,
    details: HashMap<String, Details>,
}

/// The engine, which says the same until it is started anew.
#[derive(Default)]
struct Engine {
    /// The header `Server` of its answers, which has its version.
    server: String,
    host: Option<Arc<str>>,
    version: Option<Arc<str>>,
}

/// A container as the list has it.
struct Listed {
    id: String,
    /// State and status. The latter has the time since the start, roughly, so it also changes when the container was
    /// started again.
    status: String,
    entry: Value,
}

/// What only the question for a single container tells.
#[derive(Default)]
struct Details {
    /// The list's status when they were asked for; empty if there was no answer, and they are to be asked for again.
    status: String,
    image: String,
    started_at: Option<Timestamp>,
    pid: Option<i64>,
    oom_killed: Option<bool>,
    exit_code: Option<i64>,
    restart_count: Option<i64>,
}

impl Docker {
    pub(super) fn new(socket: PathBuf, labels: Arc<Labels>) -> Docker {
        Docker { socket, labels, http: None, engine: None, details: HashMap::new() }
    }

    pub(super) fn place(&self) -> String {
        self.socket.display().to_string()
    }

    pub(super) async fn ask(&mut self) -> Result<Answer, Failure> {
        let http = match self.http.take() {
            Some(http) => http,
            None => Http::unix(&self.socket)?,
        };
        let answer = self.ask_by(&http).await;
        match answer {
            Ok(_) => self.http = Some(http),
            Err(_) => self.engine = None,
        }
        answer
    }

    async fn ask_by(&mut self, http: &Http) -> Result<Answer, Failure> {
        let reply = http.get("/containers/json", None).await?;
        let listed: Vec<Listed> = list(&reply.body)?.into_iter().take(MAX_ENTRIES).filter_map(listed).collect();
        if self.engine.as_ref().is_none_or(|engine| engine.server != reply.server) {
            self.engine = Some(ask_engine(http, reply.server).await);
        }
        let is_partial = !self.ask_details(http, &listed).await;
        let mut answer = Answer { is_partial, ..Answer::default() };
        for listed in &listed {
            add_with_kubernetes_labels(&mut answer, &listed.id, self.named(listed), listed.entry.get("Labels"));
        }
        Ok(answer)
    }

    /// Asks for the details of what is new or has changed; whether that got to its end.
    async fn ask_details(&mut self, http: &Http, listed: &[Listed]) -> bool {
        let ids: HashSet<&str> = listed.iter().map(|listed| listed.id.as_str()).collect();
        self.details.retain(|id, _| ids.contains(id.as_str()));
        let is_known =
            |listed: &&Listed| self.details.get(&listed.id).is_some_and(|known| known.status == listed.status);
        let is_retry = |listed: &&Listed| self.details.get(&listed.id).is_some_and(|known| known.status.is_empty());
        let (retries, mut due): (Vec<_>, Vec<_>) = listed.iter().filter(|one| !is_known(one)).partition(is_retry);
        let first_retry = due.len();
        // One that hangs must not keep the others from their turn.
        due.extend(retries);
        let start = Instant::now();
        for (index, listed) in due.into_iter().enumerate() {
            if start.elapsed() >= DETAILS_BUDGET {
                return index >= first_retry;
            }
            self.details.insert(listed.id.clone(), ask_details_of(http, listed).await);
        }
        true
    }

    fn named(&self, listed: &Listed) -> Named {
        let entry = &listed.entry;
        let (nothing, engine) = (Details::default(), self.engine.as_ref());
        let details = self.details.get(&listed.id).unwrap_or(&nothing);
        let image = text(entry, "/Image");
        Named {
            name: name(entry),
            // The list has the digest alone when the tag now means another image.
            image: if details.image.is_empty() || is_digest(&details.image) { image } else { details.image.clone() },
            labels: self.labels.of(entry.get("Labels")),
            status: text(entry, "/State"),
            started_at: details.started_at,
            restart_count: details.restart_count,
            pid: details.pid,
            oom_killed: details.oom_killed,
            exit_code: details.exit_code,
            health: health(entry),
            engine_host: engine.and_then(|engine| engine.host.clone()),
            server_version: engine.and_then(|engine| engine.version.clone()),
            ..Named::default()
        }
    }
}

async fn ask_details_of(http: &Http, listed: &Listed) -> Details {
    let path = format!("/containers/{}/json", listed.id);
    let status = || listed.status.clone();
    match timeout(DETAILS_TIMEOUT, http.get(&path, None)).await {
        Ok(Ok(reply)) => details(&reply.body, status()),
        // It just ended, or may be listed and not be asked for.
        Ok(Err(Failure { kind: FailureKind::Status(_), .. })) => Details { status: status(), ..Details::default() },
        Ok(Err(_)) | Err(_) => Details::default(),
    }
}

/// Proxies that only let lists through are asked once, too.
async fn ask_engine(http: &Http, server: String) -> Engine {
    let Ok(reply) = http.get("/info", None).await else { return Engine { server, ..Engine::default() } };
    let info: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let shared = |pointer| Some(text(&info, pointer)).filter(|text| !text.is_empty()).map(Arc::from);
    Engine { server, host: shared("/Name"), version: shared("/ServerVersion") }
}

fn listed(raw: &RawValue) -> Option<Listed> {
    let entry = value(raw);
    let id = entry.get("Id")?.as_str()?.to_owned();
    // It becomes part of a path.
    let is_sound = !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let status = format!("{} {}", text(&entry, "/State"), without_health(&text(&entry, "/Status")));
    is_sound.then_some(Listed { id, status, entry })
}

fn details(body: &str, status: String) -> Details {
    let container: Value = serde_json::from_str(body).unwrap_or_default();
    Details {
        status,
        image: text(&container, "/Config/Image"),
        started_at: moment(&container, "/State/StartedAt"),
        pid: number(&container, "/State/Pid").filter(|pid| *pid > 0),
        oom_killed: truth(&container, "/State/OOMKilled"),
        exit_code: number(&container, "/State/ExitCode"),
        restart_count: number(&container, "/RestartCount"),
    }
}

/// The name that has no further slash; those of links to the container have one.
fn name(entry: &Value) -> String {
    let names = entry.get("Names").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names = names.iter().filter_map(Value::as_str).map(|name| name.strip_prefix('/').unwrap_or(name));
    shortened(names.find(|name| !name.contains('/')).unwrap_or_default())
}

fn is_digest(image: &str) -> bool {
    image.starts_with("sha256:")
}

fn without_health(status: &str) -> &str {
    status.split(" (").next().filter(|_| status.starts_with("Up")).unwrap_or(status)
}

/// Newer engines have a field for it, all have it in the status.
fn health(entry: &Value) -> Option<Health> {
    let (status, field) = (text(entry, "/Status"), text(entry, "/Health/Status"));
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
    use crate::collectors::container::names::tests::{Served, Server, block_on, id};
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
        let answer = block_on(docker.ask()).unwrap();
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
        assert_eq!(answer.containers[&a], expected);
        assert!(!answer.is_partial);
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
            block_on(docker.ask()).unwrap();
            // A connection does not outlive its runtime.
            docker.http = None;
            assert_eq!(asked(), expected, "{status}");
        }
        server.json("/containers/json", "[]");
        block_on(docker.ask()).unwrap();
        assert!(docker.details.is_empty());
        let engine = server.paths().iter().filter(|path| *path == "/info").count();
        assert_eq!(engine, 1, "the engine is the same, and let nobody ask about it");
    }

    #[test]
    fn one_whose_details_hang_keeps_no_other_from_its_turn() {
        let (_folder, server, mut docker) = docker();
        let (a, b) = (id('a'), id('b'));
        server.json("/containers/json", format!("[{},{}]", entry(&a, "Up 1 hour"), entry(&b, "Up 1 hour")));
        server.answer(&format!("/containers/{a}/json"), Served::Hang);
        server.json(&format!("/containers/{b}/json"), DETAILS);
        let (first, second) = block_on(async { (docker.ask().await.unwrap(), docker.ask().await.unwrap()) });
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
        let answer = block_on(docker.ask()).unwrap();
        let paused = Named { status: "paused".into(), ..Named::default() };
        assert_eq!((answer.containers.len(), &answer.containers["ok"]), (2, &paused));
        assert_eq!(answer.containers[&id('a')].image, "sha256:12");
        docker.http = None;
        server.json("/containers/json", "<html>");
        let failure = block_on(docker.ask()).unwrap_err();
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
        let answer = block_on(docker.ask()).unwrap();
        let (sandbox, app) = (&answer.containers["a"], &answer.containers["b"]);
        assert_eq!((sandbox.is_sandbox, sandbox.container.as_str(), sandbox.pod.as_str()), (true, "", "web-0"));
        assert_eq!((app.is_sandbox, app.container.as_str(), app.namespace.as_str()), (false, "app", "shop"));
        assert_eq!(answer.pods["u"].pod, "web-0");
    }

    #[test]
    fn a_socket_that_is_not_there_is_absent() {
        let mut docker = Docker::new("/nonexistent/d.sock".into(), Arc::default());
        assert_eq!(block_on(docker.ask()).unwrap_err(), Failure::absent());
    }
}
