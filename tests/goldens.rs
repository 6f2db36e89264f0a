//! What Taffrail tells that no recorded host can show: of itself, of jobs, and what Docker says of containers.

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use harness::gateway::{Gateway, Own};
use harness::golden::{assert_families, assert_points};
use harness::real::free_port;
use harness::{Taffrail, printed, recorded_host, taffrail, wait_until};
use serde_json::json;

#[test]
fn of_itself() {
    let gateway = free_port();
    let config = format!(
        "{}[agent]\ninterval = \"100ms\"\n[collectors.loadavg]\ninterval = \"1s\"\n[collectors.meminfo]\nmax_series = 3\n\
         [[sinks.influxdb]]\nurls = [\"http://127.0.0.1:{}\"]\ndatabase = \"d\"\n\
         [gateway]\nlisten = [\"127.0.0.1:{gateway}\"]\n",
        recorded_host(),
        free_port()
    );
    let taffrail = Taffrail::start(&config);
    let exposition = wait_until("a write to have failed", || {
        let exposition = taffrail.get("/metrics").text().to_owned();
        let has_failed =
            exposition.lines().any(|line| line.starts_with("taffrail_sink_retries_total{") && !line.ends_with(" 0"));
        has_failed.then_some(exposition)
    });
    assert_families("itself", &exposition, &["taffrail_"]);
}

#[test]
fn of_the_gateway_and_of_jobs() {
    let gateway = Own::start("");
    let address = gateway.address();
    let mut job = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    job.args(["push", "--url", &address, "--job", "backup", "--", "true"]).stdin(Stdio::null());
    assert!(job.status().unwrap().success());
    assert!(gateway.put("/metrics/job/short?ttl=50ms", "rows 3\n").status < 300);
    let exposition = wait_until("the group to end", || {
        Some(gateway.exposition()).filter(|exposition| exposition.contains("expiry_timestamp_seconds{"))
    });
    assert_families("gateway", &exposition, &["taffrail_gateway_", "job_", "push_"]);
}

#[test]
fn of_containers_that_docker_knows() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer(stream)))));
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/docker-cgroup-v1/after");
    let config = folder.path().join("taffrail.toml");
    let (proc, sys, root) = (host.join("proc"), host.join("sys"), folder.path());
    let settings = format!(
        "[host]\nproc = {proc:?}\nsys = {sys:?}\nroot = {root:?}\n[agent]\ninterval = \"100ms\"\nhostname = \"vm-1\"\n[collectors]\ndefault = false\nenable = [\"container\"]\n\
         [collectors.container]\ndocker_sockets = [\"/docker.sock\"]\n"
    );
    std::fs::write(&config, settings).unwrap();
    let print = |format: &str| {
        let output = taffrail(&["print", "--format", format, "--config", config.to_str().unwrap()]);
        let (told, problems) = printed(&output);
        assert!(output.status.success(), "{problems}");
        told
    };
    assert_families("docker", &print("prometheus"), &["container_health"]);
    // Without what passes while it is printed.
    let passing = regex::Regex::new(r",uptime_ns=\d+i| \d+$").unwrap();
    let points: String =
        print("influx").lines().map(|line| passing.replace_all(line, "").into_owned() + "\n").collect();
    assert_points("docker", &points, &["docker_container_health,", "docker_container_status,"]);
}

const ID: &str = "e9085995e01e776f6ecfc107caf53791b55674dbd6ce6fab1b94f7fb14135c78";

/// Docker's API, as far as names and states need it.
fn answer(stream: UnixStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if reader.read_line(&mut request).ok()? == 0 {
                return None;
            }
        }
        let path = request.split(' ').nth(1)?;
        let body = match path {
            "/containers/json" => json!([{
                "Id": ID, "Names": ["/web"], "Image": "nginx:1", "State": "running", "Status": "Up 2 hours (unhealthy)",
                "Labels": {},
            }]),
            "/info" => json!({"Name": "vm-1", "ServerVersion": "20.10.24"}),
            _ => json!({
                "Config": {"Image": "nginx:1"}, "RestartCount": 4,
                "State": {"StartedAt": "2026-11-20T10:00:00Z", "Pid": 77, "OOMKilled": true, "ExitCode": 137},
            }),
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        writer.write_all((head + &body).as_bytes()).ok()?;
    }
}
