//! The process itself: whatever becomes of its log, it goes on.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read, Write, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::harness::fuse::FuseMount;
use crate::harness::manager::Manager;
use crate::harness::{Answer, Taffrail, alone, get, recorded_host, status_kib, wait_until};
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
fn code_that_only_the_start_needs_is_not_resident() {
    let process = Process::start(Stdio::null());
    process.metrics();
    let of = |key| status_kib(process.child.id(), key);
    let peak = of("VmHWM");
    let after = wait_until("the release of code", || Some(of("RssFile")).filter(|after| *after < peak / 2));
    process.metrics();
    assert!(of("RssFile") > after, "the code of a scrape is mapped again");
    assert!(process.end().success());
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
    // Each reload reports all mistakes.
    let mistakes: String = (0..100).map(|n| format!("[mistake-{n}-{}]\n", "x".repeat(4000))).collect();
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

const FIFO: &str = "[tags]\na=\"${file:fifo}\"\n";

#[test]
fn reloads_hold_nothing_up_and_end_with_the_process() {
    let mut taffrail = Taffrail::start(&recorded_host());
    let fifo = taffrail.folder().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let config = recorded_host() + &FIFO.replace("file:fifo", &format!("file:{}", fifo.display()));
    taffrail.reload(&config);
    let line = taffrail.wait_for_log("expected a regular file, found a FIFO");
    assert!(line.contains("tags.a") && line.contains("/fifo"), "{line}");
    assert!(taffrail.get("/metrics").sample("node_load1").is_some());
    taffrail.reload(&recorded_host());
    for _ in 0..50 {
        taffrail.signal(Signal::HUP);
    }
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    assert!(taffrail.logged("SIGTERM: shutting down") == 1, "{:?}", taffrail.log());
}

#[test]
fn reloads_that_are_asked_for_meanwhile_are_one_and_the_last_word_counts() {
    let taffrail = Taffrail::start(&recorded_host());
    for number in 0..20 {
        taffrail.write_config(&format!("{}[collectors.loadavg]\nunknown{number} = 1\n", recorded_host()));
        taffrail.signal(Signal::HUP);
    }
    taffrail.wait_for_log("unknown19");
    taffrail.reload(&recorded_host());
    assert!(taffrail.get("/metrics").sample("node_load1").is_some());
}

#[test]
fn a_reload_with_any_number_of_mistakes_tells_of_some() {
    let taffrail = Taffrail::start(&recorded_host());
    let wrong: String = (0..30_000).map(|number| format!("key{number} = 1\n")).collect();
    taffrail.write_config(&(wrong + &recorded_host()));
    taffrail.signal(Signal::HUP);
    taffrail.wait_for_log("the configuration was not reloaded");
    assert_eq!(taffrail.logged("and 29900 more mistakes"), 1);
    assert!(taffrail.log().len() < 110, "{}", taffrail.log().len());
    taffrail.reload(&recorded_host());
}

#[test]
#[ignore = "needs root, and mounts: tests/run"]
fn with_mount_that_hangs_a_reload_holds_nothing_up() {
    let _alone = alone();
    let dead = FuseMount::mount();
    dead.hang();
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path())];
    let mut taffrail =
        Taffrail::start_with_environment("run", &recorded_host(), &["--listen", "127.0.0.1:0"], &environment);
    manager.address();
    taffrail.wait_for_log("listening on");
    taffrail.write_config(&format!("{}[tags]\na = \"${{file:{}/a}}\"\n", recorded_host(), dead.path().display()));
    taffrail.signal(Signal::HUP);
    assert!(manager.next().starts_with("RELOADING=1"));
    // It waits for the file for seconds; meanwhile all goes on, and a second reload waits for the first.
    taffrail.signal(Signal::HUP);
    for _ in 0..20 {
        assert_eq!(taffrail.get("/-/healthy").status, 200);
        assert!(taffrail.get("/metrics").sample("node_load1").is_some());
    }
    assert_eq!(taffrail.logged("reloaded"), 0, "{:?}", taffrail.log());
    assert!(manager.next().starts_with("READY=1"));
    assert!(manager.next().starts_with("RELOADING=1"));
    assert!(manager.next().starts_with("READY=1"));
    dead.answer();
    wait_until("the answer", || {
        taffrail.reload(&std::fs::read_to_string(taffrail.config()).unwrap());
        (taffrail.logged("Function not implemented") > 0).then_some(())
    });
    dead.hang();
    let before = taffrail.logged("not reloaded");
    taffrail.signal(Signal::HUP);
    taffrail.signal(Signal::TERM);
    taffrail.wait_for_log("SIGTERM: shutting down");
    while !manager.next().starts_with("STOPPING=1") {}
    wait_until("the end of its listener", || get(&taffrail.url("/-/healthy"), &[]).is_err().then_some(()));
    assert_eq!(taffrail.logged("not reloaded"), before, "it was not waited for: {:?}", taffrail.log());
    // The kernel ends no process of which a thread waits for such a mount.
    dead.answer();
    assert!(taffrail.wait().success());
}

#[test]
#[ignore = "needs root, and mounts: tests/run"]
fn with_mount_that_hangs_a_start_names_the_file_and_can_be_ended() {
    let _alone = alone();
    let dead = FuseMount::mount();
    dead.hang();
    let config =
        |name: &str| format!("{}[tags]\na = \"${{file:{}/{name}}}\"\n", recorded_host(), dead.path().display());
    let mut hanging = Taffrail::start_with(&config("a"), &["--listen", "127.0.0.1:0"]);
    hanging.wait_for_log("/a: not read within 5 s");
    let mut ended = Taffrail::start_with(&config("b"), &["--listen", "127.0.0.1:0"]);
    wait_until("a thread that reads the file", || (ended.threads() > 3).then_some(()));
    ended.signal(Signal::TERM);
    ended.wait_for_log("SIGTERM: ended before it was started");
    // The kernel ends no process of which a thread waits for such a mount.
    dead.answer();
    assert!(ended.wait().success());
    assert_eq!(hanging.wait().code(), Some(78));
}

#[test]
fn a_log_beyond_a_limit_on_files_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("taffrail.toml"), folder.path().join("log"));
    std::fs::write(&config, recorded_host()).unwrap();
    let manager = Manager::new();
    let mut command = Command::new("bash");
    // In blocks of 1024 bytes.
    command.args(["-c", "ulimit -f 1; exec \"$0\" run --listen 127.0.0.1:0 --config \"$1\" 2> \"$2\""]);
    command.arg(env!("CARGO_BIN_EXE_taffrail")).arg(&config).arg(&log);
    command.env("NOTIFY_SOCKET", manager.path()).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    let process = Process { child, address: manager.address(), config, _folder: folder };
    wait_until("lines that are dropped", || {
        process.signal(Signal::HUP);
        Some(process.dropped()).filter(|dropped| *dropped > 0.0)
    });
    assert!(process.end().success());
}

#[test]
fn what_is_printed_into_a_pipe_that_is_closed_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("taffrail.toml");
    std::fs::write(&config, recorded_host()).unwrap();
    let run = |command: &str, stdout: Stdio, stderr: Stdio| {
        let mut taffrail = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        taffrail.arg(command).arg("--config").arg(&config).stdout(stdout).stderr(stderr).status().unwrap().code()
    };
    let closed = || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    for command in ["print", "check", "collectors"] {
        assert_eq!(run(command, closed(), closed()), Some(0), "{command}");
        assert_eq!(run(command, full(), full()), Some(1), "{command}");
    }
}
