//! What never answers: a mount whose server is gone, a message bus that is silent. Each costs one reading a moment, and
//! then nothing until it answers.

mod common;
mod harness;

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use harness::fuse::FuseMount;
use harness::{Answer, Taffrail, wait_until};
use taffrail::system::connect_within;

/// Sysinfo asks every mount of the machine, also those of another test.
static MOUNTS: Mutex<()> = Mutex::new(());

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
    let place = mount.display();
    let (device, kind) =
        if mount == Path::new("/") { ("/dev/sda1", "ext4") } else { ("taffrail-test", harness::fuse::TYPE) };
    let labels = format!("device=\"{device}\",device_error=\"{error}\",fstype=\"{kind}\",mountpoint=\"{place}\"");
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
    let _alone = MOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
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

    dead.iter().for_each(FuseMount::answer);
    wait_until("the threads that hung", || (askers(&taffrail) <= 1).then_some(()));
    let answer = scrape(&taffrail);
    for mount in &mounts {
        assert_eq!(of_mount(&answer, "size_bytes", mount.path(), ""), Some(4_096_000.0), "{}", answer.text());
        assert_eq!(of_mount(&answer, "device_error", mount.path(), ""), Some(0.0));
    }
    assert_eq!(answer.sample("taffrail_threads_hung"), Some(0.0));
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_a_dead_mount_holds_up_nothing_else_that_sysinfo_tells() {
    let _alone = MOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
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
    let place = mount.path().display().to_string();
    assert!(answer.text().lines().any(|line| line.starts_with("node_filesystem_size_bytes{") && line.contains(&place)));
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
        let recording = fs::read_to_string(common::recorded_host("services-and-sessions").join("after/bus")).unwrap();
        let successor = self.socket().with_file_name("successor");
        common::bus::listen(&successor, Arc::new(common::bus::read(&recording)));
        fs::rename(successor, self.socket()).unwrap();
    }

    fn start(&self) -> Taffrail {
        let tree = common::recorded_host("debian-12-vm").join("after");
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

/// Services that cannot be reached cost nobody else anything, are told of once, and are there when they answer.
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
    assert_eq!(taffrail.logged("no answer; it is asked again in the background"), 2, "{:#?}", taffrail.log());
    assert!(askers(&taffrail) <= 2 + 1);

    bus.replace();
    wait_until("the services", || {
        let answer = scrape(&taffrail);
        (["logind", "systemd"].iter().all(|service| success(&answer, service) == 1.0)).then_some(())
    });
    assert!(scrape(&taffrail).text().contains("node_systemd_unit_state{"));
    assert_eq!(taffrail.logged("answers again"), 2, "{:#?}", taffrail.log());
    assert_eq!(taffrail.log().iter().filter(|line| line.contains("failed")).count(), 2, "{:#?}", taffrail.log());
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
