//! Machines for replicas and servers: each has networks, a disk and a clock of its own. A test has them in namespaces of its
//! own, which end with it, whatever ends it.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::clock::Clock;
use crate::harness::real::newest_peer;
use crate::harness::wait_until;

use super::deployment::Site;

/// Set in a test that runs in namespaces of its own.
const INSIDE: &str = "TAFFRAIL_TEST_NAMESPACES";

/// A link that carries 16 kB a second, and delays packets by up to 2 s when more are sent.
const SLOW_LINK: &str = "rate 128kbit burst 3000 latency 2s";

/// How long a slow disk accepts no writes, and then some.
const HELD_UP: Duration = Duration::from_millis(200);
const ACCEPTED: Duration = Duration::from_millis(5);

/// Bytes of a disk.
const DISK_BYTES: u64 = 256 << 20;

/// Runs a test in network, mount and PID namespaces of its own, by starting the test program again. Root alone can do that.
pub(super) fn in_namespaces(test: &str, scenario: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        // libfaketime leaves files there, by the numbers of processes.
        succeeds(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/dev/shm"]));
        return scenario();
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--include-ignored", "--nocapture"]);
    // Go builds it with a network.
    command.env(INSIDE, "1").env("NATS_SERVER", newest_peer("nats-server"));
    command.env("NATS_SERVER_OLDEST", newest_peer("nats-server-oldest"));
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.contains(" 1 passed"), "{test} failed in its namespaces");
}

/// The networks. A machine can be cut off from each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// Between the NATS servers, and from the replicas to them.
    Servers,
    /// Between the replicas.
    Replicas,
    /// From clients to the replicas.
    Clients,
}

impl Network {
    const ALL: [Network; 3] = [Network::Servers, Network::Replicas, Network::Clients];

    fn bridge(self) -> String {
        format!("net{}", self as u8)
    }

    fn address(self, host: usize) -> String {
        format!("10.0.{}.{host}", self as u8)
    }

    fn create(self) {
        let (bridge, address) = (self.bridge(), self.address(254));
        ip(&format!("link add {bridge} type bridge\nlink set {bridge} up\naddr add {address}/24 dev {bridge}\n"));
    }
}

pub(super) struct Machine {
    /// The last number of its addresses.
    number: usize,
    /// A process in its network namespace.
    holder: Child,
    pub(super) disk: Disk,
    clock: Option<Clock>,
    networks: Vec<Network>,
}

impl Machine {
    fn new(number: usize, folder: &Path, clock: Option<Clock>, networks: &[Network]) -> Machine {
        let holder = Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().unwrap();
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        wait_until("a network namespace", || (namespace(&holder.id().to_string()) != namespace("self")).then_some(()));
        let machine = Machine { number, disk: Disk::new(folder, number), clock, networks: networks.to_vec(), holder };
        let (mut outside, mut inside) = (String::new(), "link set lo up\n".to_owned());
        for network in networks {
            let (cable, pid, name) = (machine.cable(*network), machine.holder.id(), network.bridge());
            outside += &format!("link add {cable} type veth peer name {name} netns {pid}\nlink set {cable} up\n");
            inside += &format!("addr add {}/24 dev {name}\nlink set {name} up\n", network.address(number));
        }
        ip(&outside);
        machine.ip_inside(&inside);
        networks.iter().for_each(|network| machine.connect(*network));
        machine
    }

    fn cable(&self, network: Network) -> String {
        format!("m{}{}", self.number, network.bridge())
    }

    /// Its packets no longer arrive, and none arrive at it.
    pub(super) fn cut_off(&self, network: Network) {
        ip(&format!("link set {} nomaster\n", self.cable(network)));
    }

    pub(super) fn connect(&self, network: Network) {
        ip(&format!("link set {} master {}\n", self.cable(network), network.bridge()));
    }

    /// Its packets are late, and few at a time, in both directions, on all networks but that of the clients.
    pub(super) fn slow_down_links(&self) {
        self.shape(&format!("add DEVICE root tbf {SLOW_LINK}"));
    }

    pub(super) fn speed_up_links(&self) {
        self.shape("del DEVICE root");
    }

    fn shape(&self, command: &str) {
        for network in self.networks.iter().filter(|network| **network != Network::Clients) {
            let of = |device: String| format!("qdisc {}\n", command.replace("DEVICE", &format!("dev {device}")));
            batch(&mut Command::new("tc"), &of(self.cable(*network)));
            batch(Command::new("nsenter").arg(self.net()).arg("tc"), &of(network.bridge()));
        }
    }

    fn ip_inside(&self, commands: &str) {
        batch(Command::new("nsenter").arg(self.net()).arg("ip"), commands);
    }

    fn net(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.holder.id())
    }

    pub(super) fn site(&self) -> Site {
        let has_clients = self.networks.contains(&Network::Clients);
        let own = if has_clients { Network::Replicas } else { Network::Servers };
        let listens_on = if has_clients { "0.0.0.0".to_owned() } else { own.address(self.number) };
        let environment = self.clock.iter().flat_map(Clock::environment).collect();
        Site {
            listens_on,
            address: own.address(self.number),
            client_address: Network::Clients.address(self.number),
            folder: self.disk.mounted.clone(),
            launcher: vec!["nsenter".to_owned(), self.net()],
            environment,
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Three machines for servers, and three for replicas whose clocks are an hour apart.
pub(super) struct Machines {
    pub(super) servers: [Machine; 3],
    pub(super) replicas: [Machine; 3],
    _folder: tempfile::TempDir,
}

impl Machines {
    pub(super) fn new() -> Machines {
        let folder = tempfile::tempdir().unwrap();
        Network::ALL.into_iter().for_each(Network::create);
        let server = |index: usize| Machine::new(index + 1, folder.path(), None, &[Network::Servers]);
        let replica = |index: usize| {
            let clock = Clock::new();
            clock.set((index as i64 - 1) * 3600);
            Machine::new(index + 11, folder.path(), Some(clock), &Network::ALL)
        };
        Machines { servers: [0, 1, 2].map(server), replicas: [0, 1, 2].map(replica), _folder: folder }
    }
}

/// An ext4 file system in a file.
pub(super) struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    fn new(folder: &Path, number: usize) -> Disk {
        let [image, mounted] = ["image", "disk"].map(|kind| folder.join(format!("{kind}-{number}")));
        std::fs::create_dir(&mounted).unwrap();
        std::fs::File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        succeeds(Command::new("mke2fs").args(["-q", "-F", "-m", "0", "-t", "ext4"]).arg(&image));
        let disk = Disk { image, mounted };
        disk.mount();
        disk
    }

    /// With a long commit interval: what nobody syncs stays in memory.
    fn mount(&self) {
        succeeds(Command::new("mount").args(["-o", "loop,commit=300"]).arg(&self.image).arg(&self.mounted));
    }

    /// Leaves no room.
    pub(super) fn fill(&self) {
        let filler = std::fs::File::create(self.filler()).unwrap();
        for step in [16 << 20, 1 << 20, 64 << 10, 4 << 10] {
            while let Ok(length) = filler.metadata().map(|metadata| metadata.len())
                && rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), length, step).is_ok()
            {
            }
        }
    }

    /// Makes room again.
    pub(super) fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.mounted.join("filler")
    }

    /// Accepts writes only for moments, until the result is dropped.
    pub(super) fn slow_down(&self) -> SlowDisk {
        let (mounted, is_over) = (self.mounted.clone(), Arc::new(AtomicBool::new(false)));
        let over = is_over.clone();
        let freezer = thread::spawn(move || {
            while !over.load(Relaxed) {
                succeeds(Command::new("fsfreeze").arg("--freeze").arg(&mounted));
                thread::sleep(HELD_UP);
                succeeds(Command::new("fsfreeze").arg("--unfreeze").arg(&mounted));
                thread::sleep(ACCEPTED);
            }
        });
        SlowDisk { is_over, freezer: Some(freezer) }
    }

    /// Loses what was not synced, as a power cut does. No process may use it.
    pub(super) fn lose_power(&self) {
        // Shows that it is lost.
        let witness = self.mounted.join("witness");
        std::fs::write(&witness, [1; 8192]).unwrap();
        let copy = self.image.with_extension("copy");
        succeeds(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&copy));
        succeeds(Command::new("umount").arg(&self.mounted));
        std::fs::rename(&copy, &self.image).unwrap();
        self.mount();
        let mut kept = [0];
        let is_kept =
            std::fs::File::open(&witness).is_ok_and(|file| file.read_at(&mut kept, 0).is_ok_and(|_| kept == [1]));
        assert!(!is_kept, "what was not synced is there after a power cut");
    }
}

/// A disk is slow while this exists.
pub(super) struct SlowDisk {
    is_over: Arc<AtomicBool>,
    freezer: Option<JoinHandle<()>>,
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let result = self.freezer.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(result, Some(Ok(()))), "the disk cannot be frozen");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mounted).status();
    }
}

fn ip(commands: &str) {
    batch(&mut Command::new("ip"), commands);
}

fn batch(command: &mut Command, commands: &str) {
    let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let (status, mut error) = (child.wait().unwrap(), String::new());
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(status.success(), "{command:?}: {error}{commands}");
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
