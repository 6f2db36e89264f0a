//! States of containers by a stand-in for Docker's socket, whose events end, flood and hang.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Taffrail, wait_until};

/// What the engine says.
#[derive(Default)]
struct Engine {
    /// Containers by ID, as `/containers/ID/json` has them.
    containers: Vec<(String, String)>,
    /// The chunks of each stream of events; one ends with its sender.
    streams: Vec<Receiver<Vec<u8>>>,
    /// Whether the list is never answered.
    hangs: bool,
}

type Shared = Arc<Mutex<Engine>>;

fn listen(socket: &Path, engine: &Shared) {
    let (listener, engine) = (UnixListener::bind(socket).unwrap(), engine.clone());
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let engine = engine.clone();
            thread::spawn(move || serve(connection, &engine));
        }
    });
}

/// Answers one request.
fn serve(mut connection: UnixStream, engine: &Shared) {
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    for _header in lines.by_ref().take_while(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap().to_owned();
    if path.starts_with("/events") {
        return stream(connection, engine);
    }
    let (body, hangs) = {
        let engine = engine.lock().unwrap();
        let list = engine.containers.iter().map(|(id, _)| format!(r#"{{"Id":"{id}"}}"#)).collect::<Vec<_>>().join(",");
        let id = path.strip_prefix("/containers/").and_then(|path| path.strip_suffix("/json"));
        let found = engine.containers.iter().find(|(known, _)| Some(known.as_str()) == id);
        let body = if path.starts_with("/containers/json") {
            Some(format!("[{list}]"))
        } else {
            found.map(|(_, json)| json.clone())
        };
        (body, engine.hangs)
    };
    if hangs {
        return thread::park();
    }
    let (status, body) = body.map_or(("404 Not Found", "{}".to_owned()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = connection.write_all((head + &body).as_bytes());
}

/// Sends the chunks of the next stream until it ends.
fn stream(mut connection: UnixStream, engine: &Shared) {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    if connection.write_all(head.as_bytes()).is_err() {
        return;
    }
    let chunks = {
        let mut engine = engine.lock().unwrap();
        if engine.streams.is_empty() { channel().1 } else { engine.streams.remove(0) }
    };
    for chunk in chunks {
        let sized = [format!("{:x}\r\n", chunk.len()).into_bytes(), chunk, b"\r\n".to_vec()].concat();
        if connection.write_all(&sized).is_err() {
            return;
        }
    }
    let _ = connection.write_all(b"0\r\n\r\n");
}

fn add_stream(engine: &Shared) -> Sender<Vec<u8>> {
    let (sender, receiver) = channel();
    engine.lock().unwrap().streams.push(receiver);
    sender
}

fn container(name: &str, status: &str, exit_code: i64, health: &str) -> String {
    format!(
        r#"{{"Name":"/{name}","RestartCount":2,"Config":{{"Image":"img:1"}},"State":{{"Status":"{status}","OOMKilled":false,
        "Pid":7,"ExitCode":{exit_code},"StartedAt":"2024-05-06T07:08:09Z","FinishedAt":"0001-01-01T00:00:00Z",
        "Health":{{"Status":"{health}"}}}}}}"#
    )
}

fn set(engine: &Shared, id: &str, json: String) {
    let mut engine = engine.lock().unwrap();
    engine.containers.retain(|(known, _)| known != id);
    engine.containers.push((id.to_owned(), json));
}

fn event(action: &str, id: &str) -> Vec<u8> {
    format!("{{\"Type\":\"container\",\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{id}\"}}}}\n").into_bytes()
}

fn start(socket: impl AsRef<Path>, more: &str) -> Taffrail {
    Taffrail::start(&format!(
        "{more}[collectors]\ndefault = false\nenable = ['loadavg']\n[collectors.docker_state]\nenabled = true\nsocket = '{}'\n",
        socket.as_ref().display()
    ))
}

fn wait_for(taffrail: &Taffrail, series: &str, value: f64) {
    wait_until(series, || taffrail.get("/metrics").sample(series).filter(|found| *found == value));
}

fn folder() -> (tempfile::TempDir, PathBuf, Shared) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let engine = Shared::default();
    listen(&socket, &engine);
    (folder, socket, engine)
}

#[test]
fn states_follow_events_and_all_is_listed_again_after_their_end() {
    let (folder, socket, engine) = folder();
    let events = add_stream(&engine);
    set(&engine, "a1", container("web", "running", 0, "starting"));
    set(&engine, "b2", container("job", "exited", 3, "none"));
    let lines = folder.path().join("lines");
    let sink =
        format!("[agent]\ninterval = '50ms'\n[tags]\nhost = 'h'\n[[sinks.file]]\npath = '{}'\n", lines.display());
    let taffrail = start(&socket, &sink);
    let (web, job) =
        ("id=\"/docker/a1\",image=\"img:1\",name=\"web\"", "id=\"/docker/b2\",image=\"img:1\",name=\"job\"");
    wait_for(&taffrail, &format!("container_exitcode{{{job}}}"), 3.0);
    wait_for(&taffrail, &format!("container_state_health_status{{{web},status=\"starting\"}}"), 1.0);
    let page = taffrail.get("/metrics");
    for (series, value) in [
        (format!("container_state_status{{{job},status=\"exited\"}}"), 1.0),
        (format!("container_state_status{{{job},status=\"running\"}}"), 0.0),
        (format!("container_state_health_status{{{job},status=\"none\"}}"), 1.0),
        (format!("container_restartcount{{{web}}}"), 2.0),
        (format!("container_state_startedat{{{web}}}"), 1_714_979_289.0),
    ] {
        assert_eq!(page.sample(&series), Some(value), "{series}: {}", page.text());
    }
    let point = "docker_container_status,container_image=img:1,container_name=job,container_status=exited,host=h \
                 container_id=\"b2\",oomkilled=false,pid=7i,exitcode=3i,restart_count=2i,started_at=1714979289000000000i ";
    wait_until("a point", || {
        let text = std::fs::read_to_string(&lines).unwrap_or_default();
        assert!(!text.contains("container_name=web"), "{text}");
        text.lines().any(|line| line.starts_with(point)).then_some(())
    });
    set(&engine, "a1", container("web", "running", 0, "unhealthy"));
    events.send(event("health_status: unhealthy", "a1")).unwrap();
    wait_for(&taffrail, &format!("container_state_health_status{{{web},status=\"unhealthy\"}}"), 1.0);
    engine.lock().unwrap().containers.retain(|(id, _)| id != "b2");
    events.send(event("destroy", "b2")).unwrap();
    wait_until("its end", || {
        taffrail.get("/metrics").sample(&format!("container_exitcode{{{job}}}")).is_none().then_some(())
    });
    // Without an event, as while the engine restarts.
    set(&engine, "a1", container("web", "exited", 137, "unhealthy"));
    let _second = add_stream(&engine);
    drop(events);
    wait_for(&taffrail, &format!("container_exitcode{{{web}}}"), 137.0);
    wait_for(&taffrail, "taffrail_docker_sessions_total", 2.0);
}

#[test]
fn states_stay_while_a_proxy_ends_the_stream_of_events() {
    let (_folder, socket, engine) = folder();
    let (events, _second) = (add_stream(&engine), add_stream(&engine));
    set(&engine, "a1", container("web", "running", 0, "healthy"));
    let taffrail = start(format!("unix://{}", socket.display()), "");
    wait_for(&taffrail, "taffrail_docker_sessions_total", 1.0);
    let start = Instant::now();
    // What ends at once is a failure.
    wait_until("a session of a second", || (start.elapsed() > Duration::from_millis(1100)).then_some(()));
    drop(events);
    let series = "container_exitcode{id=\"/docker/a1\",image=\"img:1\",name=\"web\"}";
    wait_until("the second session", || {
        let page = taffrail.get("/metrics");
        assert_eq!(page.sample(series), Some(0.0), "{}", page.text());
        page.sample("taffrail_docker_sessions_total").filter(|sessions| *sessions == 2.0)
    });
    assert_eq!(taffrail.logged("the stream of events has ended"), 0, "{:#?}", taffrail.log());
}

#[test]
fn a_flood_of_events_is_joined_and_one_without_end_is_refused() {
    let (_folder, socket, engine) = folder();
    let events = add_stream(&engine);
    set(&engine, "a1", container("web", "running", 0, "healthy"));
    let taffrail = start(&socket, "");
    wait_for(&taffrail, "taffrail_docker_sessions_total", 1.0);
    let many = event("start", "a1").repeat(1000);
    for _ in 0..100 {
        events.send(many.clone()).unwrap();
    }
    set(&engine, "a1", container("web", "exited", 1, "healthy"));
    events.send(event("die", "a1")).unwrap();
    wait_for(&taffrail, "taffrail_docker_events_total", 100_001.0);
    wait_for(&taffrail, "container_exitcode{id=\"/docker/a1\",image=\"img:1\",name=\"web\"}", 1.0);
    let _second = add_stream(&engine);
    for _ in 0..3 {
        events.send(vec![b'x'; 512 << 10]).unwrap();
    }
    taffrail.wait_for_log("an event of more than 1048576 bytes");
    wait_for(&taffrail, "taffrail_docker_sessions_total", 2.0);
}

#[test]
fn an_engine_that_hangs_costs_itself() {
    let (_folder, socket, engine) = folder();
    engine.lock().unwrap().hangs = true;
    let _events = add_stream(&engine);
    let taffrail = start(&socket, "");
    let success = "node_scrape_collector_success{collector=\"docker_state\"}";
    let log = taffrail.wait_for_log("docker: ");
    assert!(log.contains(socket.to_str().unwrap()), "{log}");
    let page = taffrail.get("/metrics");
    assert_eq!(page.sample(success), Some(0.0), "{}", page.text());
    assert!(page.sample("node_load1").is_some(), "{}", page.text());
    let _second = add_stream(&engine);
    set(&engine, "a1", container("web", "exited", 5, "none"));
    engine.lock().unwrap().hangs = false;
    wait_for(&taffrail, "container_exitcode{id=\"/docker/a1\",image=\"img:1\",name=\"web\"}", 5.0);
    wait_for(&taffrail, success, 1.0);
}
