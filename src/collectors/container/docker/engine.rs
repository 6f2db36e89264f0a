//! The containers of an engine, by its list and its events (Engine API, `/containers/json`, `/containers/ID/json`,
//! `/events`).
//!
//! A session subscribes to events first, then lists all containers, and inspects again those that an event names. It
//! ends with the stream of events; the next one lists all again, so that nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Response;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::collectors::container::names::http::Http;
use crate::collectors::container::names::json::{Lenient, list, value};
use crate::collectors::container::names::query::{Failure, FailureKind, MAX_ID};
use crate::encode::Timestamp;
use crate::log::Episode;

/// Bytes of events that are read without the end of a line.
const MAX_EVENT: usize = 1 << 20;
/// The time between two rounds of inspections: events in between are joined.
const ROUND: Duration = Duration::from_millis(200);
/// The time after which all containers are listed again, if no event has been missed.
const RESYNC: Duration = Duration::from_secs(300);
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// A container, as the engine describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) image: String,
    /// `running`, `exited` and others.
    pub(super) status: String,
    /// `healthy`, `unhealthy`, `starting`; empty without a health check.
    pub(super) health: String,
    pub(super) oom_killed: Option<bool>,
    pub(super) exit_code: Option<i64>,
    pub(super) restart_count: Option<i64>,
    pub(super) pid: Option<i64>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
}

/// What is known of the engine.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) containers: BTreeMap<String, Arc<State>>,
    /// Containers that are left out.
    pub(super) left_out: usize,
    /// Why there is no session; none if there is one.
    pub(super) failure: Option<String>,
    /// Whether a session was tried.
    pub(super) is_tried: bool,
    pub(super) events: u64,
    pub(super) sessions: u64,
}

/// The state, shared with the background work.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Known>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Listed {
    id: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspected {
    name: Lenient<String>,
    restart_count: Lenient<Option<i64>>,
    config: Lenient<Config>,
    state: Lenient<StateJson>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StateJson {
    status: Lenient<String>,
    #[serde(rename = "OOMKilled")]
    oom_killed: Lenient<Option<bool>>,
    pid: Lenient<Option<i64>>,
    exit_code: Lenient<Option<i64>>,
    started_at: Lenient<String>,
    finished_at: Lenient<String>,
    health: Lenient<HealthJson>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HealthJson {
    status: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Event {
    action: Lenient<String>,
    actor: Lenient<Actor>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: Lenient<String>,
}

impl State {
    fn parse(body: &str) -> State {
        let Inspected { name, restart_count, config, state } = value(body);
        State {
            name: name.text().trim_start_matches('/').to_owned(),
            image: config.image.text(),
            status: state.status.text(),
            health: Some(state.health.status.text()).filter(|health| health != "none").unwrap_or_default(),
            oom_killed: *state.oom_killed,
            exit_code: *state.exit_code,
            restart_count: *restart_count,
            pid: state.pid.filter(|pid| *pid > 0),
            started_at: state.started_at.timestamp(),
            finished_at: state.finished_at.timestamp(),
        }
    }
}

/// The containers that the events of a text name, and how many events there are. Commands in containers and their health
/// checks (`exec_*`, `top`) change no state.
fn named(text: &[u8]) -> (BTreeSet<String>, u64) {
    let (mut ids, mut count) = (BTreeSet::new(), 0);
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Event { action, actor } = value(line);
        let changes_state = !["exec_", "top", "attach", "detach", "resize", "export", "commit", "archive-path", "copy"]
            .iter()
            .any(|prefix| action.starts_with(prefix));
        if is_id(&actor.id) && changes_state {
            ids.insert(actor.id.0.clone());
            count += 1;
        }
    }
    (ids, count)
}

/// Whether it is an ID, which becomes a part of a path.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Follows the engine behind a socket forever.
pub(super) async fn follow(socket: PathBuf, max: usize, shared: Shared) {
    let (mut backoff, mut failing) = (Backoff::new(MIN_PAUSE, MAX_PAUSE), Episode::default());
    loop {
        let ended = match subscribe(&socket, max, &shared).await {
            Ok(session) => {
                backoff.reset();
                if let Some(over) = failing.recovered() {
                    tracing::info!("docker: {}: it responds again {over}", socket.display());
                }
                session.follow(max, &shared).await
            }
            Err(failure) => Err(failure),
        };
        let Err(Failure { message, .. }) = ended else { continue };
        if failing.fails(message.clone()) {
            tracing::warn!("docker: {}: {message}", socket.display());
        }
        {
            // What a container was is not what it is.
            let mut known = shared.lock();
            known.containers.clear();
            (known.failure, known.is_tried) = (Some(message), true);
        }
        sleep(backoff.pause()).await;
    }
}

/// A subscription to events.
struct Session {
    http: Http,
    events: Response,
}

/// Subscribes to events, and then lists all containers.
///
/// # Errors
/// The engine is not there, or does not respond.
async fn subscribe(socket: &Path, max: usize, shared: &Shared) -> Result<Session, Failure> {
    /// All events of containers.
    const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D";
    let http = Http::unix(socket)?;
    let events = http.stream(EVENTS).await?;
    list_all(&http, max, shared).await?;
    Ok(Session { http, events })
}

impl Session {
    /// Inspects the containers that events name, until all are to be listed again.
    ///
    /// # Errors
    /// The stream of events has ended at once, or a request has failed.
    async fn follow(mut self, max: usize, shared: &Shared) -> Result<(), Failure> {
        let start = Instant::now();
        let (resync, mut round) = (start + RESYNC, start);
        // A proxy ends streams without events. The next session shows whether the engine is still there.
        let closed = |reason| if start.elapsed() >= MIN_PAUSE { Ok(()) } else { Err(Failure::other(reason)) };
        let (mut text, mut ids): (Vec<u8>, BTreeSet<String>) = Default::default();
        loop {
            let until = if ids.is_empty() { resync } else { round };
            match timeout_at(until, self.events.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    text.extend_from_slice(&chunk);
                    let (more, count) = taken(&mut text)?;
                    ids.extend(more);
                    shared.lock().events += count;
                }
                Ok(Ok(None)) => return closed("the stream of events has ended".to_owned()),
                Ok(Err(error)) => return closed(crate::client::reason(&error)),
                Err(_) if ids.is_empty() => return Ok(()),
                Err(_) => {}
            }
            if ids.len() > max {
                return Ok(());
            }
            if !ids.is_empty() && Instant::now() >= round {
                for id in std::mem::take(&mut ids) {
                    inspect(&self.http, id, max, shared).await?;
                }
                round = Instant::now() + ROUND;
            }
        }
    }
}

/// Removes the complete lines from `text`, and returns what they name, see [`named`].
///
/// # Errors
/// A line is too long.
fn taken(text: &mut Vec<u8>) -> Result<(BTreeSet<String>, u64), Failure> {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let found = named(&text[..end]);
    text.drain(..end);
    match text.len() > MAX_EVENT {
        true => Err(Failure::other(format!("an event of more than {MAX_EVENT} bytes"))),
        false => Ok(found),
    }
}

/// Replaces all containers.
async fn list_all(http: &Http, max: usize, shared: &Shared) -> Result<(), Failure> {
    let reply = http.get("/containers/json?all=true", None).await?;
    let listed = list(&reply.body)?;
    let ids = listed.iter().map(|raw| value::<Listed>(raw.get()).id.0).filter(|id| is_id(id));
    let ids: BTreeSet<String> = ids.collect();
    let left_out = ids.len().saturating_sub(max);
    shared.lock().containers.retain(|id, _| ids.contains(id));
    for id in ids.into_iter().take(max) {
        inspect(http, id, max, shared).await?;
    }
    let mut known = shared.lock();
    (known.left_out, known.failure, known.is_tried) = (left_out, None, true);
    known.sessions += 1;
    Ok(())
}

/// Updates one container, which may be gone.
async fn inspect(http: &Http, id: String, max: usize, shared: &Shared) -> Result<(), Failure> {
    match http.get(&format!("/containers/{id}/json"), None).await {
        Ok(reply) => {
            let mut known = shared.lock();
            if known.containers.len() < max || known.containers.contains_key(&id) {
                known.containers.insert(id, Arc::new(State::parse(&reply.body)));
            }
            Ok(())
        }
        Err(Failure { kind: FailureKind::Status(404), .. }) => {
            shared.lock().containers.remove(&id);
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_name_containers_whose_state_may_have_changed() {
        let event =
            |action: &str, id: &str| format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}"}}}}"#);
        let text = [
            event("die", "a1"),
            event("exec_create: /check", "b2"),
            event("health_status: unhealthy", "c3"),
            event("start", "../info"),
            "{".to_owned(),
            String::new(),
        ]
        .join("\n");
        assert_eq!(named(text.as_bytes()), (["a1".to_owned(), "c3".to_owned()].into(), 2));
    }

    #[test]
    fn a_container_is_read_with_its_end() {
        let state = State::parse(
            r#"{"Name":"/web","RestartCount":3,"Config":{"Image":"nginx"},"State":{"Status":"exited","OOMKilled":true,
            "Pid":0,"ExitCode":137,"StartedAt":"1970-01-01T00:00:01Z","FinishedAt":"1970-01-01T00:00:02Z",
            "Health":{"Status":"none"}}}"#,
        );
        assert_eq!((state.name.as_str(), state.status.as_str(), state.health.as_str()), ("web", "exited", ""));
        assert_eq!((state.exit_code, state.oom_killed, state.pid), (Some(137), Some(true), None));
        assert_eq!(state.finished_at, Some(Timestamp(2_000_000_000)));
        assert_eq!(State::parse("["), State::default());
    }
}
