//! Containers as people run them: by a Docker of our own, by runc alone, or as bare cgroups; and what they need: a disk, a
//! network.
//!
//! Only root can have them. Everything ends, and leaves nothing, when it is dropped.

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cgroups::Hierarchies;
use super::{LONG_TIMEOUT, wait_until};

/// The image that all containers are made of: Busybox alone.
pub const IMAGE: &str = "taffrail-test/busybox:1";

/// Runs a program to its end, which must be a good one.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    try_run(program, arguments).unwrap_or_else(|failure| panic!("{failure}"))
}

fn try_run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{program} {arguments:?}: {}: {}", output.status, text(&output.stderr))),
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        // It may have ended.
        let _ = kill_process(pid, signal);
    }
}

/// A number that no other test of this process has.
fn unique() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// What a container's id looks like.
pub fn random_id() -> String {
    (0..64).map(|_| char::from_digit(fastrand::u32(0..16), 16).unwrap()).collect()
}

/// Makes the root of a container in `folder`: Busybox, and the folders that runc mounts on.
fn make_root(folder: &Path) {
    for name in ["bin", "dev", "proc", "sys", "data"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let busybox = folder.join("bin/busybox");
    let found = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    fs::copy(found.expect("Debian's package busybox-static"), &busybox).unwrap();
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
    let alone = try_run("chroot", &[&folder.display().to_string(), "/bin/busybox", "true"]);
    alone.unwrap_or_else(|failure| panic!("busybox is not busybox-static: {failure}"));
}

/// Unmounts what is mounted below `folder`.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| Path::new(point).starts_with(folder));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        let _ = try_run("umount", &["--lazy", point]);
    }
}

/// A Docker daemon of our own, without networks.
pub struct Docker {
    child: Child,
    folder: TempDir,
}

/// A container of Docker, or of runc alone.
pub struct Container {
    /// The id, of 64 hexadecimal digits.
    pub id: String,
    /// The path of its cgroup.
    pub cgroup: String,
    /// Its first process.
    pub pid: u32,
}

impl Docker {
    /// Starts it, and makes the image.
    pub fn start() -> Self {
        // For small images this driver does, anywhere.
        Self::start_with(Command::new("dockerd"), "vfs")
    }

    /// The same for large images, and with mounts that are shared, as systemd makes them at boot.
    pub fn start_with_shared_mounts() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "shared", "dockerd"]);
        Self::start_with(unshare, "overlay2")
    }

    fn start_with(mut command: Command, driver: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(option).arg(path(name));
        }
        command.arg("--host").arg(format!("unix://{}", path("docker.sock")));
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
        command.args(["--storage-driver", driver, "--exec-opt=native.cgroupdriver=cgroupfs"]);
        // Without a file of its own it would take the host's.
        fs::write(folder.path().join("daemon.json"), "{}").unwrap();
        command.arg("--config-file").arg(path("daemon.json"));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log).stdin(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut docker = Docker { child, folder };
        wait_until("dockerd", || {
            let ended = docker.child.try_wait().unwrap();
            assert!(ended.is_none(), "dockerd: {}", fs::read_to_string(docker.folder.path().join("log")).unwrap());
            docker.try_docker(&["version"]).ok()
        });
        docker.import();
        docker
    }

    fn import(&self) {
        let root = self.folder.path().join("root");
        make_root(&root);
        let mut tar = Command::new("tar");
        let mut tar = tar.arg("-C").arg(&root).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let mut import = self.command();
        let output = import.args(["import", "-", IMAGE]).stdin(tar.stdout.take().unwrap()).output().unwrap();
        tar.wait().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a program that sees the mounts that it sees.
    pub fn beside(&self, program: &[&str]) -> String {
        let pid = self.child.id().to_string();
        run("nsenter", &[&["--target", &pid, "--mount", "--"], program].concat())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The command line client.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host());
        command
    }

    /// Runs the command line client.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        let host = self.host();
        try_run("docker", &[&["--host", &host], arguments].concat())
    }

    /// Runs a shell's script in a new container; without options it has a network of its own, with nothing in it.
    pub fn run(&self, name: &str, options: &[&str], script: &str) -> Container {
        let network: &[&str] = match options.contains(&"--network") {
            true => &[],
            false => &["--network", "none"],
        };
        let command = [IMAGE, "/bin/busybox", "sh", "-c", script];
        let id = self.docker(&[&["run", "--detach", "--name", name], network, options, &command[..]].concat());
        let pid = self.docker(&["inspect", "--format", "{{.State.Pid}}", &id]).parse().unwrap();
        Container { cgroup: format!("/docker/{id}"), id, pid }
    }

    /// Ends a container and removes it.
    pub fn remove(&self, container: &Container) {
        self.docker(&["rm", "--force", &container.id]);
    }

    /// From here on it answers no client.
    pub fn stop_answering(&self) {
        signal(self.child.id(), Signal::STOP);
    }

    /// From here on it answers again.
    pub fn answer_again(&self) {
        signal(self.child.id(), Signal::CONT);
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.answer_again();
        if let Ok(ids) = self.try_docker(&["ps", "--all", "--quiet"]) {
            let ids: Vec<&str> = ids.lines().collect();
            if !ids.is_empty() {
                let _ = self.try_docker(&[&["rm", "--force"], &ids[..]].concat());
            }
        }
        // It ends its containerd when it is asked to end, not when it is killed.
        signal(self.child.id(), Signal::TERM);
        let start = std::time::Instant::now();
        while start.elapsed() < LONG_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        unmount_below(self.folder.path());
        remove_cgroup("/docker");
    }
}

/// The containers' own processes, and what else there is to ask them.
impl Container {
    /// Runs a program in its network.
    pub fn in_network(&self, program: &[&str]) -> String {
        let pid = self.pid.to_string();
        run("nsenter", &[&["--target", &pid, "--net", "--"], program].concat())
    }

    /// The counters of an interface of its network: bytes received and sent.
    pub fn net_dev(&self, interface: &str) -> Option<[f64; 2]> {
        net_dev(&fs::read_to_string(format!("/proc/{}/net/dev", self.pid)).unwrap(), interface)
    }
}

/// The bytes received and sent by an interface, in a text as of /proc/net/dev.
pub fn net_dev(text: &str, interface: &str) -> Option<[f64; 2]> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    Some([numbers[0], numbers[8]])
}

/// A pair of interfaces: `eth0` in a container, another end here.
pub struct Cable {
    name: String,
    /// The address in the container.
    address: String,
}

impl Cable {
    /// Connects a container; it ends with the container's network, too.
    pub fn plug(container: &Container) -> Self {
        let number = unique() % 60 * 4;
        let name = format!("tf{}v{number}", std::process::id() % 100_000);
        let inner = format!("{name}p");
        let pid = container.pid.to_string();
        // For tests of networks, and nowhere else: RFC 2544.
        let address = |host: u32| format!("198.18.{}.{}", std::process::id() % 250, number + host);
        let cable = Cable { name, address: address(2) };
        run("ip", &["link", "add", &cable.name, "type", "veth", "peer", "name", &inner]);
        run("ip", &["link", "set", &inner, "netns", &pid]);
        container.in_network(&["ip", "link", "set", &inner, "name", "eth0"]);
        container.in_network(&["ip", "address", "add", &format!("{}/30", cable.address), "dev", "eth0"]);
        container.in_network(&["ip", "link", "set", "eth0", "up"]);
        run("ip", &["address", "add", &format!("{}/30", address(1)), "dev", &cable.name]);
        run("ip", &["link", "set", &cable.name, "up"]);
        cable
    }

    /// Sends this many datagrams of 1000 bytes to the container, none of which it takes.
    pub fn send(&self, datagrams: usize) {
        for _ in 0..datagrams {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            // An earlier one may have been answered with an error.
            let _ = socket.send_to(&[b'x'; 1000], (self.address.as_str(), 9));
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // It is gone if the container is.
        let _ = try_run("ip", &["link", "delete", &self.name]);
    }
}

/// A small file system on a block device of its own.
pub struct Disk {
    /// The device, such as /dev/loop0.
    pub device: String,
    folder: TempDir,
}

impl Disk {
    /// Makes it, and mounts it on [`Disk::mount`].
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let image = image.display().to_string();
        run("mke2fs", &["-q", "-t", "ext4", &image]);
        let device = run("losetup", &["--find", "--show", &image]);
        let disk = Disk { device, folder };
        fs::create_dir(disk.mount()).unwrap();
        run("mount", &[&disk.device, &disk.mount().display().to_string()]);
        disk
    }

    /// Where it is mounted.
    pub fn mount(&self) -> PathBuf {
        self.folder.path().join("mount")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount_below(self.folder.path());
        let _ = try_run("losetup", &["--detach", &self.device]);
    }
}

/// runc alone, as containerd and CRI-O use it: its caller chooses the cgroup's path.
pub struct Runc {
    folder: TempDir,
    ids: Mutex<Vec<(String, String)>>,
}

impl Runc {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_root(&folder.path().join("root"));
        Runc { folder, ids: Mutex::default() }
    }

    fn runc(&self, arguments: &[&str]) -> Result<String, String> {
        let state = self.folder.path().join("state").display().to_string();
        try_run("runc", &[&["--root", &state], arguments].concat())
    }

    /// Runs a shell's script in a container with this id and this cgroup, with a network of its own or that of `with`.
    pub fn run(&self, id: &str, cgroup: &str, with: Option<&Container>, script: &str) -> Container {
        let bundle = self.folder.path().join(id);
        fs::create_dir(&bundle).unwrap();
        fs::write(bundle.join("config.json"), self.config(cgroup, with, script).to_string()).unwrap();
        self.ids.lock().unwrap().push((id.to_owned(), cgroup.to_owned()));
        // The container inherits the client's output, so that must be no pipe that is read to its end.
        let log = fs::File::create(bundle.join("log")).unwrap();
        let status = Command::new("runc")
            .arg("--root")
            .arg(self.folder.path().join("state"))
            .args(["run", "--detach", "--bundle"])
            .args([bundle.as_os_str(), id.as_ref()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        assert!(status.success(), "runc: {}", fs::read_to_string(bundle.join("log")).unwrap());
        let state: Value = serde_json::from_str(&self.runc(&["state", id]).unwrap()).unwrap();
        let pid = u32::try_from(state["pid"].as_u64().unwrap()).unwrap();
        Container { id: id.to_owned(), cgroup: cgroup.to_owned(), pid }
    }

    fn config(&self, cgroup: &str, with: Option<&Container>, script: &str) -> Value {
        let network = match with {
            Some(container) => json!({"type": "network", "path": format!("/proc/{}/ns/net", container.pid)}),
            None => json!({"type": "network"}),
        };
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/busybox", "sh", "-c", script],
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": {"path": self.folder.path().join("root"), "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "cgroupsPath": cgroup,
                "resources": {"memory": {"limit": 32 << 20}},
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, network],
            },
        })
    }

    /// Ends a container and removes it.
    pub fn remove(&self, id: &str) {
        self.runc(&["delete", "--force", id]).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

impl Drop for Runc {
    fn drop(&mut self) {
        for (id, cgroup) in std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = self.runc(&["delete", "--force", &id]);
            // runc leaves the folders above its own.
            for ancestor in Path::new(&cgroup).ancestors().filter(|path| path.parent().is_some()) {
                remove_cgroup(&ancestor.display().to_string());
            }
        }
        unmount_below(self.folder.path());
    }
}

/// A cgroup with a process in it that does nothing.
pub struct BareCgroup {
    path: String,
    process: Child,
}

impl BareCgroup {
    pub fn new(path: &str) -> Self {
        let process = Command::new("sleep").arg("10000").stdin(Stdio::null()).spawn().unwrap();
        let cgroup = BareCgroup { path: path.to_owned(), process };
        for folder in Hierarchies::live().folders(path) {
            fs::create_dir_all(&folder).unwrap();
            let mut procs = fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).unwrap();
            procs.write_all(cgroup.process.id().to_string().as_bytes()).unwrap();
        }
        cgroup
    }
}

impl Drop for BareCgroup {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove_cgroup(&self.path);
    }
}

/// Removes a cgroup that no process uses any more, from every hierarchy.
pub fn remove_cgroup(path: &str) {
    let mut folders = Hierarchies::live().folders(path);
    // What else runc and Docker make on version 1.
    let others = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().map_while(Result::ok);
    folders.extend(others.map(|entry| entry.path().join(path.trim_start_matches('/'))));
    for folder in folders {
        let has_children = || fs::read_dir(&folder).into_iter().flatten().flatten().any(|entry| entry.path().is_dir());
        // A process that just ended may still be in it for a moment.
        for _ in 0..50 {
            if fs::remove_dir(&folder).is_ok() || !folder.exists() || has_children() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
