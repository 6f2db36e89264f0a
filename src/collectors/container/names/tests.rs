//! The sources together, and servers to ask.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::directory::Directory;
use super::settings::{KEYS, Settings};
use super::source::{Answer, Source};
use super::*;
use crate::config::Document;
use crate::host::{Host, Roots};

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An identifier of 64 digits.
pub(super) fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// What a served path is answered with.
#[derive(Clone)]
pub(super) enum Served {
    Json(String),
    Status(u16),
    /// Nothing, as long as the client waits.
    Hang,
    /// Bytes without end.
    Endless,
}

/// A server whose answers can be changed; what it has no answer for, it does not know (404).
#[derive(Clone, Default)]
pub(super) struct Server {
    answers: Arc<Mutex<HashMap<String, Served>>>,
    /// Path, and what stood in `Authorization`.
    requests: Arc<Mutex<Vec<(String, String)>>>,
    /// A connection's sender is dropped when it is closed by the client.
    connections: Arc<Mutex<Vec<Receiver<()>>>>,
}

impl Server {
    pub(super) fn unix(socket: &Path) -> Server {
        let (server, listener) = (Server::default(), UnixListener::bind(socket).unwrap());
        let served = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let reader = BufReader::new(stream.try_clone().unwrap());
                served.clone().serve(reader, stream);
            }
        });
        server
    }

    /// The server, and its URL.
    pub(super) fn tcp() -> (Server, String) {
        let (server, listener) = (Server::default(), TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let reader = BufReader::new(stream.try_clone().unwrap());
                served.clone().serve(reader, stream);
            }
        });
        (server, url)
    }

    fn serve(self, reader: impl BufRead + Send + 'static, writer: impl Write + Send + 'static) {
        let (open, closed) = mpsc::channel();
        self.connections.lock().unwrap().push(closed);
        thread::spawn(move || self.serve_connection(reader, writer, &open));
    }

    fn serve_connection(&self, mut reader: impl BufRead, mut writer: impl Write, _open: &Sender<()>) {
        while let Some((path, authorization)) = read_request(&mut reader) {
            let written = match self.served(path, authorization) {
                Served::Json(body) => writer.write_all(response(200, &body).as_bytes()),
                Served::Status(status) => writer.write_all(response(status, "").as_bytes()),
                Served::Hang => reader.read(&mut [0]).map(drop),
                Served::Endless => {
                    let _ = writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while writer.write_all(&[b'['; 1 << 16]).is_ok() {}
                    return;
                }
            };
            if written.is_err() {
                return;
            }
        }
    }

    /// Serves one request on a connection that cannot be split.
    pub(super) fn serve_once<S: std::io::Read + Write>(&self, stream: &mut BufReader<S>) {
        let Some((path, authorization)) = read_request(stream) else { return };
        if let Served::Json(body) = self.served(path, authorization) {
            let _ = stream.get_mut().write_all(response(200, &body).as_bytes());
        }
    }

    fn served(&self, path: String, authorization: String) -> Served {
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        self.requests.lock().unwrap().push((path, authorization));
        answer.unwrap_or(Served::Status(404))
    }

    pub(super) fn answer(&self, path: &str, served: Served) {
        self.answers.lock().unwrap().insert(path.to_owned(), served);
    }

    pub(super) fn json(&self, path: &str, body: impl Into<String>) {
        self.answer(path, Served::Json(body.into()));
    }

    /// The paths that were asked for.
    pub(super) fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// What stood in `Authorization` each time.
    pub(super) fn authorizations(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(_, authorization)| authorization.clone()).collect()
    }

    fn has_open_connections(&self) -> bool {
        let connections = self.connections.lock().unwrap();
        connections.iter().any(|closed| closed.try_recv() == Err(mpsc::TryRecvError::Empty))
    }

    /// A container that Docker lists by this name.
    fn docker_container(&self, id: &str, name: &str) {
        self.json("/containers/json", format!(r#"[{{"Id": "{id}", "Names": ["/{name}"], "State": "running"}}]"#));
    }
}

fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nServer: Test/1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn read_request(reader: &mut impl BufRead) -> Option<(String, String)> {
    let mut lines = reader.lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut authorization = String::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            value.clone_into(&mut authorization);
        }
    }
    Some((path, authorization))
}

/// Names without a source, which are asked for once a day.
fn settings() -> Settings {
    Settings { interval: Duration::from_secs(86_400), ..Settings::default() }
}

fn start(settings: Settings) -> Names {
    let mut names = Names::from_settings(settings);
    names.start();
    names
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "still waiting: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn name(names: &Names, id: &str) -> Option<String> {
    names.container(id).map(|named| named.name.clone())
}

#[test]
fn all_settings_are_taken_and_paths_are_the_hosts() {
    let text = r#"
        log_links = ""
        docker_sockets = ["/run/d.sock", ""]
        kubelet_url = "https://127.0.0.1:10250/"
        kubernetes_url = "https://api"
        kubernetes_node = "n 1"
        kubelet_insecure = true
        labels = ["app*"]
        names_interval = "1m"
    "#;
    let roots = Roots { root: "/host".into(), ..Roots::default() };
    let settings = |text: &str| {
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let checked =
            crate::config::Section::check(&document, |section| Settings::new(&Host::live(roots.clone()), section));
        checked.map_err(|problems| problems.lines().collect::<Vec<_>>())
    };
    let places: Vec<String> = settings(text).unwrap().sources().iter().map(Source::place).collect();
    assert_eq!(
        places,
        [
            "https://127.0.0.1:10250",
            "https://api",
            "/host/run/d.sock",
            "/host/run/crio/crio.sock",
            "/host/run/containerd/io.containerd.runtime.v2.task",
            "/host/run/k3s/containerd/io.containerd.runtime.v2.task",
            "/host/var/log/pods",
        ]
    );
    assert_eq!(settings("").unwrap().sources().len(), 7);
    let wrong = settings("kubelet_url = 'kubelet'\nlabels = ['[']\nnames_interval = '0s'").unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(!KEYS.is_empty() && KEYS.len() == Names::KEYS.len());
}

#[test]
fn nothing_is_asked_before_the_first_reading() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("d.sock");
    let server = Server::unix(&socket);
    server.docker_container(&id('a'), "web");
    let mut names = Names::from_settings(Settings { docker_sockets: vec![socket], ..settings() });
    assert!(names.container(&id('a')).is_none() && server.paths().is_empty());
    names.begin();
    until("the container is known", || name(&names, &id('a')).as_deref() == Some("web"));
    assert_ne!(names.generation(), 0);
}

#[test]
fn a_source_that_hangs_delays_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let [hanging, sound] = ["hanging.sock", "sound.sock"].map(|name| folder.path().join(name));
    let (hangs, answers) = (Server::unix(&hanging), Server::unix(&sound));
    hangs.answer("/containers/json", Served::Hang);
    answers.docker_container(&id('a'), "web");
    let mut names = start(Settings { docker_sockets: vec![hanging, sound], ..settings() });
    until("the container is known", || name(&names, &id('a')).is_some());
    names.begin();
    assert_eq!(hangs.paths().len(), 1, "it was asked, and has not answered");
}

#[test]
fn a_folder_that_hangs_is_walked_by_one_thread_and_delays_nobody_else() {
    let (open, gate) = mpsc::channel::<()>();
    let (walked, walks) = mpsc::channel();
    let hanging = Directory::new("/dead".into(), "", move || {
        walked.send(()).unwrap();
        let _ = gate.recv();
        let mut answer = Answer::default();
        answer.add("late", Named { name: "late".into(), ..Named::default() });
        Ok(answer)
    });
    let quick = Directory::new("/alive".into(), "", || {
        let mut answer = Answer::default();
        answer.add("quick", Named { name: "quick".into(), ..Named::default() });
        Ok(answer)
    });
    let shared = Arc::new(Shared::new(vec!["/dead".into(), "/alive".into()], Duration::from_millis(1)));
    let sources = vec![Source::Directory(hanging), Source::Directory(quick)];
    let background = Background::start(sources, shared.clone());
    until("the other is known", || shared.known().containers.contains_key("quick"));
    shared.want(["late"]);
    walks.recv().unwrap();
    assert!(walks.try_recv().is_err(), "no second walk while the first hangs");
    drop(open);
    until("it answers at last", || shared.known().containers.contains_key("late"));
    drop(background);
}

#[test]
fn a_source_that_comes_back_is_found_and_one_that_fails_keeps_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("d.sock");
    let mut settings = Settings { docker_sockets: vec![socket.clone()], ..settings() };
    settings.interval = Duration::from_millis(100);
    let names = start(settings);
    names.shared.wait_for_all(Duration::from_secs(60));
    assert!(names.container(&id('a')).is_none());

    let server = Server::unix(&socket);
    server.docker_container(&id('a'), "web");
    until("it is found", || name(&names, &id('a')).is_some());
    server.answer("/containers/json", Served::Status(500));
    let asked = server.paths().len();
    until("it has failed", || server.paths().len() > asked + 1);
    assert_eq!(name(&names, &id('a')).as_deref(), Some("web"));
    server.docker_container(&id('b'), "db");
    until("it answers again", || name(&names, &id('b')).is_some());
    assert!(names.container(&id('a')).is_none(), "no source knows it any more");
}

#[test]
fn what_is_wanted_is_asked_for_at_once_and_again_until_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("d.sock");
    let server = Server::unix(&socket);
    server.json("/containers/json", "[]");
    let names = start(Settings { docker_sockets: vec![socket], ..settings() });
    names.shared.wait_for_all(Duration::from_secs(60));
    let lists = || server.paths().iter().filter(|path| *path == "/containers/json").count();
    assert_eq!(lists(), 1);
    names.want([id('a').as_str()]);
    until("it is asked again", || lists() >= 3);
    // The runtime knows it later than the kernel; no reading comes in between.
    server.docker_container(&id('a'), "web");
    until("it is known", || name(&names, &id('a')).is_some());
}

#[test]
fn sources_complete_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, links) = (folder.path().join("d.sock"), folder.path().join("containers"));
    let server = Server::unix(&socket);
    server.docker_container(&id('a'), "web");
    std::fs::create_dir(&links).unwrap();
    std::fs::write(links.join(format!("web-0_shop_app-{}.log", id('a'))), "").unwrap();
    let names = start(Settings { docker_sockets: vec![socket], log_links: Some(links), ..settings() });
    until("both are known", || {
        names.container(&id('a')).is_some_and(|named| named.name == "web" && named.pod == "web-0")
    });
}

#[test]
fn dropping_ends_the_thread_and_closes_the_connections() {
    let folder = tempfile::tempdir().unwrap();
    let [hanging, sound] = ["hanging.sock", "sound.sock"].map(|name| folder.path().join(name));
    let (hangs, answers) = (Server::unix(&hanging), Server::unix(&sound));
    hangs.answer("/containers/json", Served::Hang);
    answers.docker_container(&id('a'), "web");
    let names = start(Settings { docker_sockets: vec![hanging, sound], ..settings() });
    until("both are asked", || hangs.has_open_connections() && name(&names, &id('a')).is_some());
    let shared = Arc::downgrade(&names.shared);
    drop(names);
    until("the thread has let go of what it shared", || shared.upgrade().is_none());
    until("the connections are closed", || !hangs.has_open_connections() && !answers.has_open_connections());
}

#[test]
fn a_source_that_was_waited_for_in_vain_is_not_waited_for_after_a_reload() {
    let shared = || Shared::new(vec!["a silent socket of this test".into()], Duration::ZERO);
    shared().wait_for_all(Duration::from_millis(1));
    for _ in 0..10 {
        shared().wait_for_all(Duration::from_secs(3600));
    }
}

#[test]
fn what_is_wanted_is_bounded_and_forgotten() {
    let shared = Shared::new(vec!["/none".into()], Duration::ZERO);
    let ids: Vec<String> = (0..30_000).map(|number| number.to_string()).collect();
    shared.want(ids.iter().map(String::as_str));
    shared.want(ids.iter().rev().map(String::as_str));
    assert!(shared.wanted_count() <= source::MAX_ENTRIES);
    shared.want(["7", "x".repeat(1000).as_str()]);
    assert_eq!(shared.wanted_count(), 1);
}

#[test]
fn a_report_has_a_line_for_each_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (docker, crio) = (Server::unix(&path("d.sock")), Server::unix(&path("c.sock")));
    docker.docker_container(&id('a'), "web");
    crio.json("/info", "{}");
    Server::unix(&path("refuses.sock")).answer("/containers/json", Served::Status(403));
    std::fs::create_dir_all(path("pods/shop_web-0_1")).unwrap();
    std::fs::create_dir_all(path("pods/shop_web-1_2")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    let mut names = Names::from_settings(Settings {
        docker_sockets: ["d.sock", "absent.sock", "refuses.sock"].map(path).into(),
        crio_socket: Some(path("c.sock")),
        log_links: Some(path("file")),
        log_pods: Some(path("pods")),
        ..settings()
    });
    let prefix = format!("names from {}/", folder.path().display());
    let lines: Vec<String> = names.report().iter().map(|line| line.replace(&prefix, "")).collect();
    assert_eq!(
        lines,
        [
            "d.sock: 1 container",
            "absent.sock: not on this host",
            "refuses.sock: answered 403 Forbidden",
            "c.sock: answers; it is asked for each container",
            "file: not on this host",
            "pods: 2 pods",
        ]
    );
}

#[test]
fn an_answer_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("d.sock");
    let server = Server::unix(&socket);
    server.answer("/containers/json", Served::Endless);
    let mut docker = super::docker::Docker::new(socket, Arc::default());
    let failure = block_on(docker.ask()).unwrap_err();
    assert_eq!(failure.message, "expected at most 16 MiB, found a longer answer");
}
