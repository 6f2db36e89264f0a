//! States of Docker's containers, ended ones too: exit codes, restarts, health, OOM kills. They have no cgroup, so the
//! collector `container` does not see them.

mod engine;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::engine::{Shared, State};
use crate::collectors::framework::background::Background;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies, write_generic_points};
use crate::config::{Key, Section};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter, Timestamp};
use crate::host::{Host, ReadError};

const SOCKET: Key<String> = Key::new(
    "socket",
    "\"/run/docker.sock\"",
    "The socket of the engine. Access to Docker's socket is equivalent to root on the host.",
);
const MAX_CONTAINERS: Key<usize> =
    Key::new("max_containers", "1000", "Maximum number of containers; the others are left out.");

/// The collector.
pub(in crate::collectors) struct Docker {
    socket: String,
    path: PathBuf,
    max: usize,
    running: Option<(Shared, Background)>,
}

impl Collector for Docker {
    const ABOUT: About = About {
        name: "docker_state",
        summary: "states of Docker's containers, ended ones too",
        reads: &["/run/docker.sock"],
        needs: "access to the socket (`docker.conf`)",
        remarks: REMARKS,
        on_by_default: Vocabularies::NONE,
        keys: &[SOCKET.info(), MAX_CONTAINERS.info()],
        families: &[
            STATUS.info(),
            HEALTH.info(),
            OOM_KILLED.info(),
            STARTED_AT.info(),
            FINISHED_AT.info(),
            RESTARTS.info(),
            EXIT_CODE.info(),
            EVENTS.info(),
            SESSIONS.info(),
        ],
        measurements: &[STATUS_POINT.info()],
        ..About::PLAIN
    };
    type Reading = DockerReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let socket = section.get(&SOCKET);
        let path = socket.strip_prefix("unix://").unwrap_or(&socket);
        if !path.starts_with('/') {
            section.wrong(SOCKET.info().name, "expected the path of a Unix socket, such as \"/run/docker.sock\"");
        }
        Docker { path: host.root_path(path), socket, max: section.get(&MAX_CONTAINERS), running: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut DockerReading) -> Result<(), ReadError> {
        let (shared, what) = (self.shared(), self.socket.clone());
        let known = shared.lock();
        let containers = known.containers.iter().map(|(id, state)| (id.clone(), state.clone())).collect();
        *reading = DockerReading { containers, events: known.events, sessions: known.sessions };
        if known.left_out > 0 {
            let reason = format!("{} containers are left out, as max_containers says", known.left_out);
            cx.problem(ReadError::Refused { what: what.clone(), reason });
        }
        match &known.failure {
            Some(reason) => Err(ReadError::Refused { what, reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn begin(&mut self, limit: Duration) {
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let (shared, start) = (self.shared(), Instant::now());
        while start.elapsed() < limit && !shared.lock().is_tried {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Docker {
    fn shared(&mut self) -> Shared {
        let (path, max) = (&self.path, self.max);
        let (shared, _) = self.running.get_or_insert_with(|| {
            let (shared, path) = (Shared::default(), path.clone());
            let followed = shared.clone();
            (shared, Background::start("docker", move || engine::follow(path, max, followed)))
        });
        shared.clone()
    }
}

const REMARKS: &str = "\
The engine is asked for all containers once, and then subscribed to its events: a change is known within a second. When the stream of \
events ends, all containers are asked for again. Points are of containers that do not run; the collector `container` has those of \
running ones. See docs/devices.md.";

/// The containers.
#[derive(Default)]
pub(in crate::collectors) struct DockerReading {
    containers: Vec<(String, Arc<State>)>,
    events: u64,
    sessions: u64,
}

const LABELS: [&str; 3] = ["id", "image", "name"];
const STATE_LABELS: [&str; 4] = ["id", "image", "name", "status"];
const STATUS: Family<4> =
    Family::gauge("container_state_status", "Whether the container is in this state", STATE_LABELS);
const HEALTH: Family<4> =
    Family::gauge("container_state_health_status", "Whether the health of the container is this", STATE_LABELS);
const OOM_KILLED: Family<3> =
    Family::gauge("container_state_oomkilled", "Whether the container's last end was an OOM kill", LABELS);
const STARTED_AT: Family<3> =
    Family::gauge("container_state_startedat", "Last start of the container, as a Unix time", LABELS);
const FINISHED_AT: Family<3> =
    Family::gauge("container_state_finishedat", "Last end of the container, as a Unix time", LABELS);
const RESTARTS: Family<3> = Family::gauge("container_restartcount", "Restarts by the engine", LABELS);
const EXIT_CODE: Family<3> = Family::gauge("container_exitcode", "Exit code of the container's last end", LABELS);
const EVENTS: Family<0> =
    Family::counter("taffrail_docker_events_total", "Events of containers that may change their state", []);
const SESSIONS: Family<0> =
    Family::counter("taffrail_docker_sessions_total", "Subscriptions to events, after each of which all is listed", []);

const STATUSES: [&str; 7] = ["created", "dead", "exited", "paused", "removing", "restarting", "running"];
const HEALTHS: [&str; 4] = ["healthy", "none", "starting", "unhealthy"];

type Plain = (Family<3>, fn(&State) -> Option<f64>);

const PLAIN: [Plain; 5] = [
    (OOM_KILLED, |state| state.oom_killed.map(|killed| u8::from(killed).into())),
    (STARTED_AT, |state| state.started_at.map(Timestamp::seconds)),
    (FINISHED_AT, |state| state.finished_at.map(Timestamp::seconds)),
    (RESTARTS, |state| state.restart_count.map(|count| count as f64)),
    (EXIT_CODE, |state| state.exit_code.map(|code| code as f64)),
];

impl DockerReading {
    fn write_own(&self, out: &mut FamilyWriter<'_>) {
        out.value(&EVENTS, self.events);
        out.value(&SESSIONS, self.sessions);
    }
}

impl Reading for DockerReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let id = |id: &str| format!("/docker/{id}");
        let health = |state: &State| if state.health.is_empty() { "none".to_owned() } else { state.health.clone() };
        let status = |state: &State| state.status.clone();
        type Of<'s> = (&'s Family<4>, &'s [&'s str], &'s dyn Fn(&State) -> String);
        let states: [Of<'_>; 2] = [(&STATUS, &STATUSES, &status), (&HEALTH, &HEALTHS, &health)];
        for (family, words, current) in states {
            let mut samples = out.family(family);
            for (container, state) in &self.containers {
                let current = current(state);
                for word in words {
                    samples.sample([&id(container), &state.image, &state.name, word], current == **word);
                }
            }
        }
        for (family, value) in &PLAIN {
            let mut samples = out.family(family);
            for (container, state) in &self.containers {
                let Some(value) = value(state) else { continue };
                samples.sample([&id(container), &state.image, &state.name], value);
            }
        }
        self.write_own(out);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        write_generic_points(|families| self.write_own(families), out);
        for (id, state) in self.containers.iter().filter(|(_, state)| state.status != "running") {
            let mut point = out.point(&STATUS_POINT, [&state.image, &state.name, &state.status]);
            point.field(&CONTAINER_ID, id).some(&POINT_OOM, state.oom_killed);
            point.some(&POINT_PID, state.pid.or(Some(0))).some(&POINT_EXIT, state.exit_code);
            point.some(&POINT_RESTARTS, state.restart_count);
            point.some(&POINT_STARTED, state.started_at.map(|at| at.0));
            point.some(&POINT_FINISHED, state.finished_at.map(|at| at.0));
        }
    }
}

const CONTAINER_ID: Field<str> = Field::new("container_id", "container ID");
const POINT_OOM: Field<bool> = Field::new("oomkilled", "whether the last end was an OOM kill");
const POINT_PID: Field<i64> = Field::new("pid", "PID of the first process; 0 without one");
const POINT_EXIT: Field<i64> = Field::new("exitcode", "last exit code");
const POINT_RESTARTS: Field<i64> = Field::new("restart_count", "restarts by the engine");
const POINT_STARTED: Field<i64> = Field::new("started_at", "last start, nanoseconds of Unix time");
const POINT_FINISHED: Field<i64> = Field::new("finished_at", "last end, nanoseconds of Unix time");
const STATUS_POINT: Measurement<3> = Measurement::new(
    "docker_container_status",
    ["container_image", "container_name", "container_status"],
    &[
        CONTAINER_ID.info(),
        POINT_OOM.info(),
        POINT_PID.info(),
        POINT_EXIT.info(),
        POINT_RESTARTS.info(),
        POINT_STARTED.info(),
        POINT_FINISHED.info(),
    ],
);
