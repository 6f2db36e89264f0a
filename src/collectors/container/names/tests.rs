//! Tests of the sources together.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::directory::Directory;
use super::fake::{Served, Server, block_on, id};
use super::query::Inventory;
use super::settings::{KEYS, Paths, Settings};
use super::source::{Source, SourceKind};
use super::*;
use crate::config::Document;
use crate::host::{Host, Roots};

/// Settings without sources, with an interval of a day.
fn settings() -> Settings {
    Settings { interval: Duration::from_secs(86_400), ..Settings::default() }
}

/// Paths that the user has set.
fn given(paths: impl IntoIterator<Item = PathBuf>) -> Paths {
    Paths { all: paths.into_iter().collect(), is_default: false }
}

/// A container that any runtime may have.
fn running(id: &str) -> Running<'_> {
    Running { id, ..Running::default() }
}

/// Starts the names while the container a runs.
fn start(settings: Settings) -> Names {
    let mut names = Names::from_settings(settings);
    names.start([running(&id('a'))]);
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
    let locations: Vec<String> = settings(text).unwrap().sources().iter().map(Source::location).collect();
    assert_eq!(
        locations,
        [
            "https://127.0.0.1:10250 or https://api",
            "/host/run/d.sock",
            "/host/run/crio/crio.sock",
            "/host/run/containerd/io.containerd.runtime.v2.task",
            "/host/run/k3s/containerd/io.containerd.runtime.v2.task",
            "/host/var/log/pods",
        ]
    );
    let optional = |text: &str| {
        let sources = settings(text).unwrap().sources();
        (sources.len(), sources.iter().filter(|source| source.is_optional).count())
    };
    assert_eq!(optional(""), (7, 7), "the user has asked for none");
    assert_eq!(optional(text), (6, 4));
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
    let mut names = Names::from_settings(Settings { docker_sockets: given([socket]), ..settings() });
    assert!(names.container(&id('a')).is_none() && server.paths().is_empty());
    names.begin([running(&id('a'))]);
    until("the container is known", || name(&names, &id('a')).as_deref() == Some("web"));
    assert_ne!(names.generation(), 0);
}

#[test]
fn a_source_that_hangs_delays_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let [hanging, sound] = ["hanging.sock", "sound.sock"].map(|name| folder.path().join(name));
    let (hangs, responds) = (Server::unix(&hanging), Server::unix(&sound));
    hangs.respond("/containers/json", Served::Hang);
    responds.docker_container(&id('a'), "web");
    let names = start(Settings { docker_sockets: given([hanging, sound]), ..settings() });
    until("the container is known", || name(&names, &id('a')).is_some());
    names.want([running(&id('a'))]);
    names.shared.wait_for_all(FIRST_WAIT);
    assert_eq!(hangs.paths().len(), 1, "it was asked, and has not answered");
}

#[test]
fn a_folder_that_hangs_is_walked_by_one_thread_and_delays_nobody_else() {
    let (open, gate) = mpsc::channel::<()>();
    let (walked, walks) = mpsc::channel();
    let hanging = Directory::new("/dead".into(), "", move || {
        walked.send(()).unwrap();
        let _ = gate.recv();
        let mut inventory = Inventory::default();
        inventory.add("late", Named { name: "late".into(), ..Named::default() });
        Ok(inventory)
    });
    let quick = Directory::new("/alive".into(), "", || {
        let mut inventory = Inventory::default();
        inventory.add("quick", Named { name: "quick".into(), ..Named::default() });
        Ok(inventory)
    });
    let shared = Arc::new(Shared::new(vec!["/dead".into(), "/alive".into()], Duration::from_millis(1)));
    let source = |directory| Source { kind: SourceKind::Tasks(directory), is_optional: false };
    let sources = vec![source(hanging), source(quick)];
    shared.want(["quick"].map(running));
    let background = Background::start(sources, Vec::new(), Duration::ZERO, shared.clone());
    until("the other is known", || shared.known().containers.contains_key("quick"));
    shared.want(["late"].map(running));
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
    let mut settings = Settings { docker_sockets: given([socket.clone()]), ..settings() };
    settings.interval = Duration::from_millis(100);
    let names = start(settings);
    names.shared.wait_for_all(Duration::from_secs(60));
    assert!(names.container(&id('a')).is_none());

    let server = Server::unix(&socket);
    server.docker_container(&id('a'), "web");
    until("it is found", || name(&names, &id('a')).is_some());
    server.respond("/containers/json", Served::Status(500));
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
    let names = start(Settings { docker_sockets: given([socket]), ..settings() });
    names.shared.wait_for_all(Duration::from_secs(60));
    let lists = || server.paths().iter().filter(|path| *path == "/containers/json").count();
    assert_eq!(lists(), 1);
    until("it is asked again", || lists() >= 3);
    // The runtime reports it later than the kernel, without a reading in between.
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
    let names = start(Settings { docker_sockets: given([socket]), log_links: given([links]), ..settings() });
    until("both are known", || {
        names.container(&id('a')).is_some_and(|named| named.name == "web" && named.pod == "web-0")
    });
}

#[test]
fn an_engine_has_a_state_while_it_has_a_container_or_a_pid_file() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("d.sock");
    let server = Server::unix(&socket);
    server.docker_container(&id('a'), "web");
    server.json("/info", r#"{"NCPU": 2}"#);
    let settings = || Settings { docker_sockets: given([socket.clone()]), ..settings() };
    let names = start(settings());
    until("the engine is known", || names.engines().len() == 1);
    names.want([]);
    until("nothing is asked any more, so it has no state", || names.engines().is_empty());
    drop(names);

    std::fs::write(folder.path().join("d.pid"), "7").unwrap();
    let mut names = Names::from_settings(settings());
    names.start([]);
    until("it runs without containers", || names.engines().len() == 1);
}

#[test]
fn sizes_come_in_the_background_and_a_slow_query_for_them_delays_no_names() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("d.sock");
    let server = Server::unix(&socket);
    server.docker_container(&id('a'), "web");
    server.json("/info", "{}");
    server.respond("/containers/json?size=1", Served::Hang);
    let settings = || Settings {
        docker_sockets: given([socket.clone()]),
        sizes_interval: Duration::from_millis(10),
        wants_sizes: true,
        ..settings()
    };
    let asked = || server.paths().iter().any(|path| path.ends_with("size=1"));
    let names = start(settings());
    until("sizes are asked for", asked);
    server.docker_container(&id('b'), "db");
    names.want([running(&id('b'))]);
    until("the other is known", || name(&names, &id('b')).is_some());
    drop(names);

    server.json("/containers/json?size=1", format!(r#"[{{"Id": "{}", "SizeRw": 7}}]"#, id('a')));
    server.docker_container(&id('a'), "web");
    let names = start(settings());
    let usage = || names.sizes().iter().find_map(|sizes| sizes.containers.get(&id('a'))?.usage);
    until("sizes are known", || usage() == Some(7));
}

#[test]
fn dropping_ends_the_thread_and_closes_the_connections() {
    let folder = tempfile::tempdir().unwrap();
    let [hanging, sound] = ["hanging.sock", "sound.sock"].map(|name| folder.path().join(name));
    let (hangs, responds) = (Server::unix(&hanging), Server::unix(&sound));
    hangs.respond("/containers/json", Served::Hang);
    responds.docker_container(&id('a'), "web");
    let names = start(Settings { docker_sockets: given([hanging, sound]), ..settings() });
    until("both are asked", || hangs.has_open_connections() && name(&names, &id('a')).is_some());
    let shared = Arc::downgrade(&names.shared);
    drop(names);
    until("the thread has let go of what it shared", || shared.upgrade().is_none());
    until("the connections are closed", || !hangs.has_open_connections() && !responds.has_open_connections());
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
    shared.want(ids.iter().map(|id| running(id)));
    shared.want(ids.iter().rev().map(|id| running(id)));
    assert!(shared.wanted_count() <= query::MAX_ENTRIES);
    shared.want(["7", "x".repeat(1000).as_str()].map(running));
    assert_eq!(shared.wanted_count(), 1);
}

#[test]
fn a_report_has_a_line_for_each_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (docker, crio) = (Server::unix(&path("d.sock")), Server::unix(&path("c.sock")));
    docker.docker_container(&id('a'), "web");
    crio.json("/info", "{}");
    Server::unix(&path("refuses.sock")).respond("/containers/json", Served::Status(403));
    std::fs::create_dir_all(path("pods/shop_web-0_1")).unwrap();
    std::fs::create_dir_all(path("pods/shop_web-1_2")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    let mut names = Names::from_settings(Settings {
        docker_sockets: given(["d.sock", "absent.sock", "refuses.sock"].map(path)),
        crio_socket: given([path("c.sock")]),
        log_links: given([path("file")]),
        log_pods: given([path("pods")]),
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
    server.respond("/containers/json", Served::Endless);
    let mut docker = super::docker::Docker::new(socket, Arc::default());
    let failure = block_on(docker.query(&query::Query::default())).unwrap_err();
    assert_eq!(failure.message, "expected at most 16 MiB, found a longer answer");
}
