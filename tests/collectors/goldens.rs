//! What Taffrail reports that no recorded host can show: of itself, of jobs, and what Docker says of containers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::golden::{assert_families, assert_points};
use crate::harness::real::free_port;
use crate::harness::{Taffrail, printed, recorded, recorded_host, taffrail, wait_until};
use serde_json::json;

#[test]
fn of_itself() {
    let gateway = free_port();
    let folder = tempfile::tempdir().unwrap();
    let points = folder.path().join("points");
    let config = format!(
        "{}[agent]\ninterval = \"100ms\"\nhostname = \"vm-1\"\n[collectors.loadavg]\ninterval = \"1s\"\n[collectors.meminfo]\nmax_series = 3\n\
         [[sinks.influxdb]]\nname = \"central\"\nurls = [\"http://127.0.0.1:{}\"]\ndatabase = \"d\"\n\
         [[sinks.file]]\nname = \"points\"\npath = {points:?}\nnamepass = [\"internal_*\"]\n\
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
    let written = wait_until("a tick", || {
        let text = std::fs::read_to_string(&points).unwrap_or_default();
        text.contains("reading_age_ns").then_some(text)
    });
    assert!(!written.contains("\nprometheus,"), "{written}");
    // Only the names: each value passes.
    let values = regex::Regex::new(r"=[-0-9.e]+").unwrap();
    let without_time = |line: &str| line.rsplit_once(' ').map_or_else(String::new, |(line, _)| line.to_owned());
    const LINES: [&str; 5] = [
        "internal_agent,",
        "internal_gather,host=vm-1,input=loadavg,",
        "internal_gather,host=vm-1,input=meminfo,",
        "internal_write,alias=central,",
        "internal_write,alias=points,",
    ];
    let last = |start: &&str| written.lines().rfind(|line| line.starts_with(start)).unwrap_or_default();
    let names: Vec<_> =
        LINES.iter().map(|start| values.replace_all(&without_time(last(start)), "=0").into_owned()).collect();
    assert_points("itself", &names.join("\n"), &["internal_"]);
}

#[test]
fn of_the_gateway_and_of_jobs() {
    let gateway = Own::start("");
    let address = gateway.address();
    let mut job = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    job.args(["push", "--url", &address, "--job", "backup", "--every", "1d", "--", "true"]).stdin(Stdio::null());
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
    let host = recorded::host("docker-cgroup-v1").join("after");
    let config = folder.path().join("taffrail.toml");
    let (proc, sys, root) = (host.join("proc"), host.join("sys"), folder.path());
    let settings = format!(
        "[host]\nproc = {proc:?}\nsys = {sys:?}\nroot = {root:?}\n[agent]\ninterval = \"100ms\"\nhostname = \"vm-1\"\n[collectors]\ndefault = false\nenable = [\"container\"]\n\
         [collectors.container]\ndocker_sockets = [\"/docker.sock\"]\n"
    );
    std::fs::write(&config, settings).unwrap();
    let print = |format: &str| {
        let output = taffrail(&["print", "--format", format, "--config", config.to_str().unwrap()]);
        let (reported, problems) = printed(&output);
        assert!(output.status.success(), "{problems}");
        reported
    };
    assert_families("docker", &print("prometheus"), &["container_health"]);
    // Without what passes while it is printed.
    let passing = regex::Regex::new(r",uptime_ns=\d+i| \d+$").unwrap();
    let points: String =
        print("influx").lines().map(|line| passing.replace_all(line, "").into_owned() + "\n").collect();
    assert_points("docker", &points, &["docker,", "docker_container_health,", "docker_container_status,"]);
}

#[test]
fn of_services_that_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("supervisor.sock")).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(as_supervisord(stream))));
    let ntp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = ntp.local_addr().unwrap().port();
    thread::spawn(move || as_ntp_server(&ntp));
    let running = |supervisord: &str| {
        let settings = format!(
            "[host]\nroot = {:?}\n[collectors]\ndefault = false\nenable = [\"ntp\", \"supervisord\"]\n\
             [collectors.ntp]\nserver_port = {port}\n[collectors.supervisord]\nurl = \"unix:///{supervisord}\"\n",
            folder.path()
        );
        Taffrail::start(&settings)
    };
    let taffrail = running("supervisor.sock");
    let answer = taffrail.get("/metrics");
    assert_eq!(answer.sample("node_supervisord_up{group=\"shop\",name=\"web\"}"), Some(1.0), "{:?}", taffrail.log());
    assert_eq!(answer.sample("node_ntp_stratum"), Some(2.0));
    assert_families("services", answer.text(), &["node_ntp_", "node_supervisord_"]);
    // One that takes connections and does not respond costs no scrape more than a moment.
    let silent = UnixListener::bind(folder.path().join("silent.sock")).unwrap();
    let taffrail = running("silent.sock");
    for _ in 0..3 {
        let answer = taffrail.get_with("/metrics", &[("x-prometheus-scrape-timeout-seconds", "1")]);
        assert_eq!(answer.sample("node_scrape_collector_success{collector=\"supervisord\"}"), Some(0.0));
        assert_eq!(answer.sample("node_scrape_collector_success{collector=\"ntp\"}"), Some(1.0));
    }
    assert_eq!(taffrail.log().iter().filter(|line| line.contains("collector=\"supervisord\"")).count(), 1);
    drop(silent);
}

/// supervisord's XML-RPC, as far as it is asked.
fn as_supervisord(mut stream: UnixStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"</methodCall>") {
        let mut part = [0; 1024];
        let length = stream.read(&mut part)?;
        request.extend_from_slice(&part[..length]);
    }
    let member = |name: &str, value: &str| format!("<member><name>{name}</name><value>{value}</value></member>");
    let process = [
        ("name", "<string>web</string>"),
        ("group", "<string>shop</string>"),
        ("state", "<int>20</int>"),
        ("start", "<int>1700000000</int>"),
        ("exitstatus", "<int>0</int>"),
    ];
    let process: String = process.iter().map(|(name, value)| member(name, value)).collect();
    let body = format!(
        "<?xml version='1.0'?><methodResponse><params><param><value><array><data><value><struct>{process}</struct></value>\
         </data></array></value></param></params></methodResponse>"
    );
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A server of stratum 2 that answers each request with its own time.
fn as_ntp_server(socket: &UdpSocket) {
    const SERVER_OF_VERSION_4: u8 = 4 << 3 | 4;
    let mut packet = [0; 48];
    while let Ok((_, client)) = socket.recv_from(&mut packet) {
        packet.copy_within(40..48, 24);
        packet[..2].copy_from_slice(&[SERVER_OF_VERSION_4, 2]);
        let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 2_208_988_800;
        for at in [16, 32, 40] {
            packet[at..at + 8].copy_from_slice(&(since << 32).to_be_bytes());
        }
        socket.send_to(&packet, client).unwrap();
    }
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
            "/info" => json!({
                "Name": "vm-1", "ServerVersion": "20.10.24", "NCPU": 2, "MemTotal": 1024, "NFd": 30, "NGoroutines": 40,
                "NEventsListener": 1, "Containers": 9, "ContainersRunning": 5, "ContainersStopped": 3,
                "ContainersPaused": 1, "Images": 7,
            }),
            _ => json!({
                "Config": {"Image": "nginx:1"}, "RestartCount": 4,
                "State": {"StartedAt": "2026-11-21T02:09:08.7Z", "Pid": 77, "OOMKilled": true, "ExitCode": 137},
            }),
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        writer.write_all((head + &body).as_bytes()).ok()?;
    }
}
