//! The process itself: whatever becomes of its log, it goes on.

mod harness;

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read, Write, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};

use harness::manager::Manager;
use harness::{Answer, get, recorded_host, wait_until};
use rustix::process::{Pid, Signal, kill_process};

const DROPPED: &str = "taffrail_log_lines_dropped_total";

/// Taffrail with a standard error of the test's choice; it is known by its manager where it listens.
struct Process {
    child: Child,
    address: String,
    config: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    fn start(stderr: impl Into<Stdio>) -> Process {
        let (manager, folder) = (Manager::new(), tempfile::tempdir().unwrap());
        let config = folder.path().join("taffrail.toml");
        std::fs::write(&config, recorded_host()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(&config);
        command.env("NOTIFY_SOCKET", manager.path()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().unwrap();
        Process { child, address: manager.address(), config, _folder: folder }
    }

    fn metrics(&self) -> Answer {
        let answer = get(&format!("http://{}/metrics", self.address), &[]).unwrap();
        assert_eq!(answer.status, 200);
        answer
    }

    fn dropped(&self) -> f64 {
        self.metrics().sample(DROPPED).unwrap()
    }

    fn wait_for_dropped(&self, least: f64) {
        wait_until("lines that are dropped", || Some(self.dropped()).filter(|dropped| *dropped >= least));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Ends it, and waits.
    fn end(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_until("the end of Taffrail", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_on_a_full_disk_ends_nothing_and_is_counted() {
    let process = Process::start(OpenOptions::new().write(true).open("/dev/full").unwrap());
    process.wait_for_dropped(1.0);
    process.signal(Signal::HUP);
    process.wait_for_dropped(2.0);
    assert!(process.end().success());
}

#[test]
fn a_log_that_is_closed_ends_nothing() {
    let mut command = Command::new("bash");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("taffrail.toml");
    std::fs::write(&config, recorded_host()).unwrap();
    let manager = Manager::new();
    command.args(["-c", "exec \"$0\" run --listen 127.0.0.1:0 --config \"$1\" 2>&-", env!("CARGO_BIN_EXE_taffrail")]);
    command.arg(&config).env("NOTIFY_SOCKET", manager.path()).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    let process = Process { child, address: manager.address(), config, _folder: folder };
    process.metrics();
    process.signal(Signal::HUP);
    assert!(process.end().success());
}

#[test]
fn a_log_whose_reader_has_gone_ends_nothing_and_is_counted() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let process = Process::start(writer);
    process.wait_for_dropped(1.0);
    assert!(process.end().success());
}

/// Fills a pipe to the last byte.
fn fill(writer: &File) {
    rustix::io::ioctl_fionbio(writer, true).unwrap();
    while (&*writer).write(&[b'.'; 4096]).is_ok() {}
    while (&*writer).write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(writer, false).unwrap();
}

/// Reads on until `text` has come, and says what has.
fn read_until(reader: &mut PipeReader, text: &str) -> String {
    let mut came = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = reader.read(&mut buffer).unwrap();
        assert!(count > 0, "{text:?} did not come");
        came.extend_from_slice(&buffer[..count]);
        let so_far = String::from_utf8_lossy(&came);
        if so_far.contains(text) {
            return so_far.into_owned();
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let (mut reader, writer) = pipe().unwrap();
    let filler = File::from(std::os::fd::OwnedFd::from(writer.try_clone().unwrap()));
    fill(&filler);
    drop(filler);
    let process = Process::start(writer);
    // Each reload tells of as many mistakes as there are.
    let mistakes: String = (0..2000).map(|n| format!("[mistake-{n}-{}]\n", "x".repeat(100))).collect();
    std::fs::write(&process.config, mistakes).unwrap();
    wait_until("lines that are dropped", || {
        process.signal(Signal::HUP);
        Some(process.dropped()).filter(|dropped| *dropped > 0.0)
    });
    assert!(process.metrics().sample("node_load1").is_some());
    read_until(&mut reader, "listening on");
    read_until(&mut reader, "lines of the log could not be written, and were dropped");
    assert!(process.end().success());
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_it_from_ending() {
    let (_reader, writer) = pipe().unwrap();
    let filler = File::from(std::os::fd::OwnedFd::from(writer.try_clone().unwrap()));
    fill(&filler);
    drop(filler);
    assert!(Process::start(writer).end().success());
}
