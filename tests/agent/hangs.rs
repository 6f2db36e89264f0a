//! What never answers: a mount whose server is gone, a message bus that is silent. Each costs one reading a moment, and
//! then nothing until it answers.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::harness::fuse::FuseMount;
use crate::harness::{Answer, Taffrail, alone, wait_until};
use rustix::process::Signal;
use taffrail::system::connect_within;
use taffrail::system::regular_file::read_text_within;

/// Has mounts answer when a test ends, however it does: who waits for them in the kernel cannot be ended.
struct AnswersAtLast<'m>(&'m [FuseMount]);

impl Drop for AnswersAtLast<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(FuseMount::answer);
    }
}

/// A configuration of a host that has these mounts beside its root.
fn config(tree: &Path, mounts: &[FuseMount], more: &str) -> String {
    let mut table = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n".to_owned();
    table.extend((100..).zip(mounts).map(|(number, mount)| mount.mountinfo(number)));
    let proc = tree.join("proc/1");
    fs::create_dir_all(&proc).unwrap();
    fs::write(proc.join("mountinfo"), table).unwrap();
    let tree = tree.display();
    format!(
        "[host]\nproc = \"{tree}/proc\"\nsys = \"{tree}/sys\"\n[collectors]\ndefault = false\nenable = [\"filesystem\", \"loadavg\"]\n{more}"
    )
}

/// A scrape that Prometheus would give up after a second.
fn scrape(taffrail: &Taffrail) -> Answer {
    taffrail.get_with("/metrics", &[("X-Prometheus-Scrape-Timeout-Seconds", "1")])
}

/// The value of a family of a file system.
fn of_mount(answer: &Answer, family: &str, mount: &Path, error: &str) -> Option<f64> {
    let mountpoint = mount.display();
    let (device, kind) =
        if mount == Path::new("/") { ("/dev/sda1", "ext4") } else { ("taffrail-test", crate::harness::fuse::TYPE) };
    let labels = format!("device=\"{device}\",device_error=\"{error}\",fstype=\"{kind}\",mountpoint=\"{mountpoint}\"");
    answer.sample(&format!("node_filesystem_{family}{{{labels}}}"))
}

/// Threads that ask what may hang.
fn askers(taffrail: &Taffrail) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", taffrail.pid())).unwrap().flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| name.trim() == "ask").count()
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_dead_mounts_cost_their_own_samples_alone_until_they_answer() {
    const DEAD: usize = 10;
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let mounts: Vec<FuseMount> = (0..=DEAD).map(|_| FuseMount::mount()).collect();
    let (alive, dead) = mounts.split_last().unwrap();
    dead.iter().for_each(FuseMount::hang);
    let taffrail = Taffrail::start(&config(tree.path(), &mounts, ""));
    let _answers_at_last = AnswersAtLast(&mounts);
    for round in 0..20 {
        let answer = scrape(&taffrail);
        assert_eq!(answer.sample("node_scrape_collector_success{collector=\"filesystem\"}"), Some(1.0));
        assert!(of_mount(&answer, "size_bytes", Path::new("/"), "").is_some(), "{}", answer.text());
        assert_eq!(of_mount(&answer, "size_bytes", alive.path(), ""), Some(4_096_000.0));
        for mount in dead {
            assert_eq!(of_mount(&answer, "device_error", mount.path(), "mountpoint timeout"), Some(1.0));
            assert_eq!(of_mount(&answer, "size_bytes", mount.path(), ""), None);
            assert_eq!(mount.asked(), 1);
        }
        assert_eq!(answer.sample("taffrail_threads_hung"), Some(DEAD as f64));
        assert!(askers(&taffrail) <= DEAD + 1, "one for each that hangs, and one for the one that does not");
        if round % 5 == 4 {
            // What is known to hang is known to the new collectors.
            taffrail.reload(&config(
                tree.path(),
                &mounts,
                &format!("[collectors.filesystem]\nmax_series = 1000{round}\n"),
            ));
        }
    }
    assert_eq!(taffrail.logged("hangs"), 0, "{:#?}", taffrail.log());
    // A reload is no news.
    assert_eq!(taffrail.logged("no answer from "), 1, "{:#?}", taffrail.log());
    assert_eq!(taffrail.logged(" and 7 more;"), 1, "{:#?}", taffrail.log());

    dead.iter().for_each(FuseMount::answer);
    wait_until("the threads that hung", || (askers(&taffrail) <= 1).then_some(()));
    // On a busy machine the first responses may be late.
    let answer = wait_until("responses in time", || {
        Some(scrape(&taffrail)).filter(|answer| answer.sample("taffrail_threads_hung") == Some(0.0))
    });
    for mount in &mounts {
        assert_eq!(of_mount(&answer, "size_bytes", mount.path(), ""), Some(4_096_000.0), "{}", answer.text());
        assert_eq!(of_mount(&answer, "device_error", mount.path(), ""), Some(0.0));
    }
    assert_eq!(taffrail.logged("all mounts answer again"), 1, "{:#?}", taffrail.log());
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_a_dead_mount_holds_up_nothing_else_that_sysinfo_tells() {
    let _alone = alone();
    let mounts = [FuseMount::mount()];
    let mount = &mounts[0];
    mount.hang();
    let taffrail = Taffrail::start(
        "[host]\nbackend = \"portable\"\n[collectors]\ndefault = false\nenable = [\"cpu\", \"filesystem\", \"meminfo\", \"netdev\"]\n",
    );
    let _answers_at_last = AnswersAtLast(&mounts);
    for _ in 0..20 {
        let answer = scrape(&taffrail);
        for (collector, expected) in [("cpu", 1.0), ("filesystem", 0.0), ("meminfo", 1.0), ("netdev", 1.0)] {
            assert_eq!(success(&answer, collector), expected, "{collector}: {}", answer.text());
        }
    }
    assert_eq!(mount.asked(), 1);
    assert_eq!(taffrail.logged("no answer; it is asked again in the background"), 1, "{:#?}", taffrail.log());
    mount.answer();
    wait_until("the sizes", || (success(&scrape(&taffrail), "filesystem") == 1.0).then_some(()));
    let answer = scrape(&taffrail);
    let mountpoint = mount.path().display().to_string();
    assert!(
        answer.text().lines().any(|line| line.starts_with("node_filesystem_size_bytes{") && line.contains(&mountpoint))
    );
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_what_a_dead_mount_was_over_is_read_as_soon_as_it_is_unmounted_lazily() {
    let _alone = alone();
    let mounts = [FuseMount::mount()];
    let (mount, secret) = (&mounts[0], mounts[0].path().join("secret"));
    mount.hang();
    let directory = mount.path().display();
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\nenable = [\"textfile\"]\n[collectors.textfile]\ndirectory = [\"{directory}\"]\n"
    ));
    let _answers_at_last = AnswersAtLast(&mounts);
    let read = || read_text_within(&secret, 100, Duration::from_millis(200));
    for _ in 0..3 {
        assert_eq!(taffrail.get("/metrics").sample("node_textfile_scrape_error"), Some(1.0));
        assert!(read().is_err());
    }
    mount.detach();
    fs::write(mount.path().join("a.prom"), "below 1\n").unwrap();
    fs::write(&secret, "told").unwrap();
    // Threads that waited for the mount still wait.
    let answer = taffrail.get("/metrics");
    assert_eq!((answer.sample("below"), answer.sample("node_textfile_scrape_error")), (Some(1.0), Some(0.0)));
    assert_eq!(read().unwrap(), "told");
}

/// A message bus that is as silent as a test wants it.
struct SilentBus {
    root: tempfile::TempDir,
    connections: Arc<Mutex<Vec<UnixStream>>>,
}

impl SilentBus {
    /// One that says `first` to each connection, and then `again` now and then.
    fn that_says(first: &'static [u8], again: &'static [u8]) -> SilentBus {
        let (bus, listener) = SilentBus::bound();
        let connections = bus.connections.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                thread::spawn(move || {
                    let mut says = first;
                    while stream.write_all(says).is_ok() && !again.is_empty() {
                        says = again;
                        thread::sleep(Duration::from_millis(50));
                    }
                });
            }
        });
        bus
    }

    /// One that takes no connection, and has so many waiting that there can be no other.
    fn that_takes_nothing() -> SilentBus {
        let (bus, listener) = SilentBus::bound();
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = bus.connections.lock().unwrap();
        while let Ok(stream) = connect_within(&bus.socket(), Duration::from_millis(1)) {
            waiting.push(stream);
        }
        // It is never closed.
        std::mem::forget(listener);
        drop(waiting);
        bus
    }

    fn bound() -> (SilentBus, UnixListener) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/dbus")).unwrap();
        let bus = SilentBus { root, connections: Arc::default() };
        let listener = UnixListener::bind(bus.socket()).unwrap();
        (bus, listener)
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("run/dbus/system_bus_socket")
    }

    /// Puts one in its place that answers; connections to this one stay.
    fn replace(&self) {
        let recording =
            fs::read_to_string(crate::common::recorded_host("services-and-sessions").join("after/bus")).unwrap();
        let successor = self.socket().with_file_name("successor");
        crate::common::bus::listen(&successor, Arc::new(crate::common::bus::read(&recording)));
        fs::rename(successor, self.socket()).unwrap();
    }

    fn start(&self) -> Taffrail {
        let tree = crate::common::recorded_host("debian-12-vm").join("after");
        let (tree, root) = (tree.display(), self.root.path().display());
        Taffrail::start(&format!(
            "[host]\nproc = \"{tree}/proc\"\nsys = \"{tree}/sys\"\nroot = \"{root}\"\n{COLLECTORS}"
        ))
    }
}

const COLLECTORS: &str = "[collectors]\ndefault = false\nenable = [\"loadavg\", \"logind\", \"systemd\", \"uname\"]\n";

fn success(answer: &Answer, collector: &str) -> f64 {
    answer.sample(&format!("node_scrape_collector_success{{collector=\"{collector}\"}}")).unwrap()
}

/// Services that cannot be reached cost no other anything, are logged once, and are there when they answer.
fn is_asked_in_the_background(bus: &SilentBus) {
    let taffrail = bus.start();
    for _ in 0..50 {
        let answer = scrape(&taffrail);
        for (collector, expected) in [("loadavg", 1.0), ("logind", 0.0), ("systemd", 0.0), ("uname", 1.0)] {
            assert_eq!(success(&answer, collector), expected, "{collector}: {}", answer.text());
        }
    }
    let asked = bus.connections.lock().unwrap().len();
    assert!(asked <= 20, "{asked} connections for 50 scrapes of two services");
    // On a busy machine a collector may be late itself. That is another line, after which the first one comes again.
    let failures = || {
        let late = taffrail.logged("no answer in time");
        (taffrail.logged("no answer; it is asked again in the background"), 2..=2 + late)
    };
    let (logged, expected) = failures();
    assert!(expected.contains(&logged), "{logged}: {:#?}", taffrail.log());
    assert!(askers(&taffrail) <= 2 + 1);

    bus.replace();
    wait_until("the services", || {
        let answer = scrape(&taffrail);
        (["logind", "systemd"].iter().all(|service| success(&answer, service) == 1.0)).then_some(())
    });
    assert!(scrape(&taffrail).text().contains("node_systemd_unit_state{"));
    assert_eq!(taffrail.logged("answers again"), 2, "{:#?}", taffrail.log());
    let (logged, expected) = failures();
    assert!(expected.contains(&logged), "{logged}: {:#?}", taffrail.log());
    let late = taffrail.logged("no answer in time");
    assert!(late <= 4, "{:#?}", taffrail.log());
    let all = taffrail.log().iter().filter(|line| line.contains("failed")).count();
    assert_eq!(all, logged + late, "{:#?}", taffrail.log());
}

#[test]
fn a_bus_that_takes_connections_and_says_nothing_is_asked_in_the_background() {
    is_asked_in_the_background(&SilentBus::that_says(b"", b""));
}

#[test]
fn a_bus_that_takes_no_connection_is_asked_in_the_background() {
    is_asked_in_the_background(&SilentBus::that_takes_nothing());
}

#[test]
fn a_bus_that_says_a_byte_now_and_then_is_asked_in_the_background() {
    is_asked_in_the_background(&SilentBus::that_says(b"x", b"x"));
}

#[test]
fn a_bus_whose_services_say_nothing_is_asked_in_the_background() {
    is_asked_in_the_background(&SilentBus::that_says(b"OK 0123456789abcdef0123456789abcdef\r\n", b""));
}

/// A configuration with everything of which there may be one owner: a gateway's state, and a spool.
fn config_of_owner(tree: &Path, mounts: &[FuseMount]) -> String {
    let mountpoint = tree.display();
    let more = format!(
        "enable = [\"textfile\"]\n[collectors.textfile]\ndirectory = [\"{}\"]\n[agent]\ninterval = \"100ms\"\n[gateway]\nlisten = [\"127.0.0.1:0\"]\nstate = \"{mountpoint}/state\"\n\
         [spool]\nfolder = \"{mountpoint}/spool\"\n\
         [[sinks.influxdb]]\nname = \"central\"\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"telegraf\"\n",
        mounts[1].path().display()
    );
    config(tree, &mounts[..1], &more).replacen("\"loadavg\"]\nenable = [", "\"loadavg\", ", 1)
}

/// The next Taffrail starts as if the first, which the kernel cannot end, were not there.
fn the_next_one_starts_though_the_first_hangs(signal: Signal) {
    let _alone = alone();
    let tree = tempfile::tempdir().unwrap();
    let mounts = [FuseMount::mount(), FuseMount::mount()];
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let config = config_of_owner(tree.path(), &mounts);
    let first = Taffrail::start_with(&config, &["--listen", &address]);
    let _answers_at_last = AnswersAtLast(&mounts);
    first.wait_for_log("listening on");
    first.wait_for_log("the gateway listens on");
    mounts.iter().for_each(FuseMount::hang);
    wait_until("threads that hang", || {
        scrape(&first);
        mounts.iter().all(FuseMount::is_waited_for).then_some(())
    });
    first.signal(signal);
    // The process itself has ended, as far as it can.
    wait_until("the end", || (state_of(first.pid()) == "Z").then_some(()));
    let second = Taffrail::start_with(&config, &["--listen", &address]);
    let _answers_at_last = AnswersAtLast(&mounts);
    second.wait_for_log("listening on");
    second.wait_for_log("the gateway listens on");
    assert!(!second.log().iter().any(|line| line.contains("ERROR")), "{:#?}", second.log());
    assert_eq!(scrape(&second).sample("taffrail_sink_unkept_points{sink=\"central\"}"), Some(0.0));
    assert_eq!(state_of(first.pid()), "Z", "the first one is still there");
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_a_process_that_cannot_end_does_not_keep_its_successor_from_starting() {
    the_next_one_starts_though_the_first_hangs(Signal::TERM);
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_nor_does_one_that_was_killed() {
    the_next_one_starts_though_the_first_hangs(Signal::KILL);
}

/// The state of a process, as proc(5) says it.
fn state_of(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1[..1].to_owned()
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_a_job_whose_token_is_on_a_dead_mount_runs_and_keeps_its_status() {
    let _alone = alone();
    let mounts = [FuseMount::mount()];
    mounts[0].hang();
    let _answers_at_last = AnswersAtLast(&mounts);
    let token = mounts[0].path().join("token");
    let mut push = std::process::Command::new(env!("CARGO_BIN_EXE_taffrail"))
        .args(["push", "--url", "http://127.0.0.1:1", "--timeout", "100ms", "--job", "backup", "--token-file"])
        .arg(&token)
        .args(["--", "sh", "-c", "exit 7"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Its descriptors are closed: a reader of its output is not kept waiting.
    let mut said = String::new();
    std::io::Read::read_to_string(&mut push.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("does not answer"), "{said}");
    wait_until("its end", || (state_of(push.id()) == "Z").then_some(()));
    // The kernel reports the end when nothing waits in the mount any more.
    mounts[0].answer();
    assert_eq!(push.wait().unwrap().code(), Some(7));
}
