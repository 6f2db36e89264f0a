//! Taffrail under Pushgateway's name: its flags, and the groups that Pushgateway persisted.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::get;
use crate::harness::http::{Reply, request};
use crate::harness::real::{Server, free_port};

/// Starts `program`, which may be a link to Taffrail, with these flags.
fn start(program: &Path, flags: &[String]) -> Server {
    let port = free_port();
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
    Server::start(command, port, "/-/ready")
}

fn put(server: &Server, path: &str, body: &str) -> Reply {
    let (address, prefix) = server.url.trim_start_matches("http://").split_once('/').unwrap_or((&server.url[7..], ""));
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    request("PUT", &format!("{prefix}{path}"), body).send(address)
}

/// A link to Taffrail of this name.
fn link(folder: &Path, name: &str) -> std::path::PathBuf {
    let link = folder.join(name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_taffrail"), &link).unwrap();
    link
}

fn run(folder: &Path, name: &str, flags: &[&str]) -> Output {
    Command::new(link(folder, name)).args(flags).output().unwrap()
}

/// The samples of pushed families, and of the markers if their times are to be equal.
fn pushed(server: &Server, with_times: bool) -> Vec<String> {
    let answer = get(&format!("{}/metrics", server.url), &[]).unwrap();
    let own = ["go_", "process_", "pushgateway_", "taffrail_"];
    let is_pushed = |line: &&str| !line.starts_with('#') && !own.iter().any(|prefix| line.starts_with(prefix));
    let is_marker = |line: &str| line.starts_with("push_time_") || line.starts_with("push_failure_time_");
    let lines = answer.text().lines().filter(is_pushed).filter(|line| with_times || !is_marker(line));
    let values = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        format!("{series} {}", value.parse::<f64>().unwrap())
    });
    let mut lines: Vec<String> = values.collect();
    lines.sort();
    lines
}

const PUSHES: [(&str, &str); 5] = [
    ("/metrics/job/a", "# HELP x Some help\n# TYPE x gauge\nx{l=\"1\"} 1.5\nx{l=\"2\"} NaN\n"),
    (
        "/metrics/job/a/instance/b",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n",
    ),
    ("/metrics/job/a/path@base64/L3Zhci90bXA", "# TYPE c counter\nc 12345678\n"),
    ("/metrics/job/%C3%BC/x/y", "# TYPE s summary\ns{quantile=\"0.5\"} 2\ns_sum 4\ns_count 3\n"),
    ("/metrics/job/empty", ""),
];

fn push_all(server: &Server) {
    for (path, body) in PUSHES {
        let answer = put(server, path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    // A refused push.
    assert_eq!(put(server, "/metrics/job/a", "x 1 1\n").status, 400);
}

#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn in_the_place_of_prometheus_pushgateway_the_same_flags_give_the_same_answers() {
    for flags in [
        &["--persistence.file=", "--web.enable-admin-api", "--web.enable-lifecycle", "--log.level=error"][..],
        &["--persistence.file=", "--web.route-prefix=/push", "--web.external-url=http://gateway.example/x/"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let prefix = if flags.iter().any(|flag| flag.contains("route-prefix")) { "/push" } else { "" };
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let programs = [link(folder.path(), "pushgateway"), "prometheus-pushgateway".into()];
        let answers = programs.map(|program| {
            let port = free_port();
            let mut command = Command::new(program);
            command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(&flags);
            let mut server = Server::start(command, port, &format!("{prefix}/-/ready"));
            server.url.push_str(prefix);
            push_all(&server);
            let status = |path: &str| put(&server, path, "").status;
            let pushed = pushed(&server, false);
            let statuses = [status("/api/v1/admin/wipe"), status("/-/quit")];
            (pushed, statuses)
        });
        let [ours, theirs] = answers;
        assert_eq!(ours, theirs, "{flags:?}");
    }
}

/// No group is lost on the day of the switch, and no time of a push.
#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn groups_that_prometheus_pushgateway_persisted_are_there_after_the_switch() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pushgateway.data");
    let flags = [format!("--persistence.file={}", file.display())];
    let theirs = start(Path::new("prometheus-pushgateway"), &flags);
    push_all(&theirs);
    let before = pushed(&theirs, true);
    theirs.end();

    let state = folder.path().join("state");
    let (state_flag, file_name) = (state.to_str().unwrap(), file.to_str().unwrap());
    let migrated = Command::new(env!("CARGO_BIN_EXE_taffrail"))
        .args(["migrate", "pushgateway", "--persistence", file_name, "--state", state_flag])
        .output()
        .unwrap();
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    let report = String::from_utf8(migrated.stderr).unwrap();
    assert!(report.contains("same        ") && report.contains(r#"{instance="b",job="a"}"#), "{report}");
    assert!(state.is_dir());

    let program = link(folder.path(), "pushgateway");
    let ours = start(&program, &flags);
    assert_eq!(pushed(&ours, true), before);
    assert_eq!(put(&ours, "/metrics/job/later", "later 1\n").status, 200);
    ours.end();
    // The file is imported once.
    let again = start(&program, &flags);
    assert!(pushed(&again, true).iter().any(|line| line.starts_with("later{")));
    again.end();
    std::fs::write(&file, b"nonsense").unwrap();
    std::fs::remove_dir_all(folder.path().join("pushgateway.data.taffrail")).unwrap();
    let refused = Command::new(&program).args(&flags).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no persistence file of Pushgateway"), "{refused:?}");
}

/// The gateways before and after the switch, compared by `taffrail migrate verify`.
#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn verify_compares_prometheus_pushgateway_with_taffrail() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--persistence.file=".to_owned()];
    let theirs = start(Path::new("prometheus-pushgateway"), &flags);
    let ours = start(&link(folder.path(), "pushgateway"), &flags);
    let verify = || {
        let (old, new) = (format!("{}/metrics", theirs.url), format!("{}/metrics", ours.url));
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        let output = command.args(["migrate", "verify", &old, "--new-url", &new]).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    push_all(&theirs);
    let (status, text) = verify();
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("missing   x, the whole family"), "{text}");
    push_all(&ours);
    let (status, text) = verify();
    assert_eq!(status, Some(0), "{text}");
}

#[test]
fn flags_without_an_equivalent_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(folder.path(), "pushgateway", &["--web.telemetry-path=/x", "--nonsense"]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("change metrics_path in Prometheus") && message.contains("no such flag"), "{message}");
    let refused = run(folder.path(), "node_exporter", &["--collector.netdev.label-ifalias", "--no-collector.nonsense"]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("node_network_info, which has the label ifalias"), "{message}");
    assert!(message.contains("--no-collector.nonsense"), "{message}");
}

#[test]
fn help_shows_the_old_flags_and_version_the_old_release() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), "prometheus-node-exporter", &["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    for flag in ["--[no-]collector.systemd\n", "--collector.textfile.directory", "--web.listen-address=ADDRESS"] {
        assert!(text.contains(flag), "{flag} in {text}");
    }
    let version = run(folder.path(), "pushgateway", &["--version"]);
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("pushgateway, version 1."), "{:?}", version.stderr);
}

/// Those without an effect are accepted, and reported.
#[test]
fn flags_without_an_effect_are_accepted_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(link(folder.path(), "pushgateway"));
    let flags = ["--no-push.disable-consistency-check", "--persistence.interval=1m"];
    let with_effect = "--log.format=json";
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
    let log = folder.path().join("log");
    command.stdout(std::process::Stdio::null());
    let script = format!(
        "exec {:?} --web.listen-address=127.0.0.1:{port} {} {with_effect} 2>{}",
        command.get_program(),
        flags.join(" "),
        log.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    Server::start(shell, port, "/-/ready").end();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("has no effect").count(), flags.len(), "{log}");
    assert!(log.lines().any(|line| line.starts_with("{\"time\":") && line.contains("the gateway listens on")), "{log}");
}

/// The samples that node_exporter's place has with these flags.
fn scraped(flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(link(folder.path(), "node_exporter"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
    let server = Server::start(command, port, "/-/healthy");
    let answer = get(&format!("{}/metrics", server.url), &[]).unwrap();
    server.end();
    answer.text().to_owned()
}

#[test]
fn an_empty_pattern_of_node_exporter_is_no_filter() {
    let text = scraped(&[
        "--collector.netdev.device-exclude=",
        "--collector.filesystem.fs-types-exclude=",
        "--collector.filesystem.mount-points-exclude=",
    ]);
    assert!(text.contains("node_network_receive_bytes_total{device=\"lo\"}"), "{text}");
    assert!(text.contains("fstype=\"proc\""), "{text}");
}

#[test]
fn node_exporters_own_build_is_there_whatever_is_off() {
    let text = scraped(&["--web.disable-exporter-metrics", "--collector.disable-defaults"]);
    assert!(text.contains("\nnode_exporter_build_info{") && !text.contains("\nprocess_cpu_seconds_total"), "{text}");
    let text = scraped(&["--collector.disable-defaults"]);
    assert!(text.contains("\nnode_exporter_build_info{") && text.contains("\nprocess_cpu_seconds_total"), "{text}");
}

#[test]
fn names_of_cpu_flags_turn_on_their_family() {
    let text = scraped(&["--collector.cpu.info.flags-include=^fpu$"]);
    assert!(text.contains("\nnode_cpu_info{"), "{text}");
}

#[test]
fn a_persistence_file_that_is_damaged_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pushgateway.data");
    std::fs::write(&file, b"nonsense").unwrap();
    let refused = run(folder.path(), "pushgateway", &[&format!("--persistence.file={}", file.display())]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("restore it from a backup, or move it away to start without its groups"), "{message}");
    assert!(file.exists());
}

/// They would be there twice next to cAdvisor.
#[test]
fn node_exporters_place_has_no_metrics_of_containers() {
    let text = scraped(&[]);
    assert!(text.contains("\nnode_load1 ") && !text.contains("\ncontainer_") && !text.contains("\nmachine_"), "{text}");
}

#[test]
fn a_gateway_without_checks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(folder.path(), "pushgateway", &["--push.disable-consistency-check"]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("answers 400, not 202") && message.contains("leave the flag out"), "{message}");
}
