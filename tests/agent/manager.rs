//! Taffrail under a service manager: what it reports, and the sockets that it takes over.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use crate::harness::http::request;
use crate::harness::manager::Manager;
use crate::harness::{Taffrail, get, recorded_host, wait_until};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;

#[test]
fn a_manager_is_told_of_the_beginning_of_reloads_and_of_the_end() {
    let manager = Manager::new();
    let config =
        format!("{}\n[[sinks.influxdb]]\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"d\"\n", recorded_host());
    let environment = [("NOTIFY_SOCKET", manager.path()), ("WATCHDOG_USEC", "200000")];
    let mut taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &environment);
    let ready = manager.next();
    taffrail.wait_for_log("listening on");
    let address = taffrail.addresses()[0].clone();
    assert_eq!(ready, format!("READY=1\nSTATUS=scraped at {address}; pushes to 1\n"));
    assert_eq!(get(&format!("http://{address}/-/ready"), &[]).unwrap().status, 200, "ready is ready");
    for _ in 0..3 {
        assert_eq!(manager.next_of_any_kind(), "WATCHDOG=1\n");
    }
    taffrail.reload(&recorded_host());
    let reloading = manager.next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.next(), format!("READY=1\nSTATUS=scraped at {address}\n"));
    taffrail.signal(Signal::TERM);
    assert!(manager.next().starts_with("STOPPING=1\n"));
    assert!(taffrail.wait().success());
}

#[test]
fn a_manager_that_does_not_read_holds_nothing_up() {
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path()), ("WATCHDOG_USEC", "2000")];
    let mut taffrail =
        Taffrail::start_with_environment("run", &recorded_host(), &["--listen", "127.0.0.1:0"], &environment);
    taffrail.wait_for_log("listening on");
    for _ in 0..30 {
        taffrail.reload(&recorded_host());
        assert_eq!(taffrail.get("/-/healthy").status, 200);
    }
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
}

/// Taffrail with sockets as systemd hands them over: as descriptors from 3 on.
struct Activated(Child);

impl Activated {
    fn start(subcommand: &str, sockets: &[(&str, &dyn AsFd)]) -> Activated {
        let mut script = String::new();
        for (index, (_, socket)) in sockets.iter().enumerate() {
            fcntl_setfd(socket.as_fd(), FdFlags::empty()).unwrap();
            script += &format!("exec {}<&{}; ", index + 3, socket.as_fd().as_raw_fd());
        }
        let names = sockets.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(":");
        script += &format!(
            "export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names}; exec \"$0\" {subcommand}",
            sockets.len()
        );
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_taffrail"));
        Activated(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answers(socket: &TcpListener, path: &str, body: &str) {
    let url = format!("http://{}{path}", socket.local_addr().unwrap());
    wait_until(&url, || get(&url, &[]).ok().filter(|answer| answer.status == 200 && answer.text().contains(body)));
}

#[test]
fn sockets_of_the_manager_are_listened_on() {
    // Above those that may be overwritten while they are handed over.
    let _others: Vec<_> = (0..4).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, gateway) = (bind(), bind());
    let _agent = Activated::start("run", &[("http", &http), ("gateway", &gateway)]);
    answers(&http, "/metrics", "node_load1");
    answers(&gateway, "/api/v1/status", "success");
    let alone = bind();
    let _gateway = Activated::start("gateway", &[("taffrail.socket", &alone)]);
    answers(&alone, "/api/v1/status", "success");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sock");
    let (http, local) = (bind(), UnixListener::bind(&path).unwrap());
    let agent = Activated::start("run", &[("http", &http), ("gateway", &local)]);
    answers(&http, "/metrics", "node_load1");
    let status = request("GET", "/api/v1/status", "").send_over(&mut UnixStream::connect(&path).unwrap()).unwrap();
    assert_eq!(status.status, 200);
    drop(agent);
    assert!(path.exists(), "the manager removes it");
}
