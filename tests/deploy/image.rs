//! The image: built by Docker from its Dockerfile, and run as the manifests run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::harness::docker::{self, Docker};
use super::harness::gateway::Gateway;
use super::harness::http::request;
use super::harness::real::free_port;
use super::harness::series::Exposition;
use super::harness::{get, wait_until};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const IMAGE: &str = "taffrail:test";

/// What stands for the image that the Dockerfile builds in.
fn import_rust(docker: &Docker) {
    let dockerfile = std::fs::read_to_string(root().join("deploy/docker/Dockerfile")).unwrap();
    let name = dockerfile.lines().find_map(|line| line.strip_prefix("FROM ")?.strip_suffix(" AS build")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-image");
    let script = root().join("tests/deploy/rust-image");
    let mut tar = Command::new(script).arg(&folder).stdout(Stdio::piped()).spawn().unwrap();
    let changes = [
        "ENV PATH=/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV CARGO_HOME=/rust/cargo",
        "ENV CARGO_NET_OFFLINE=true",
    ];
    let mut import = docker.command();
    import.args(["import"]).args(changes.iter().flat_map(|change| ["--change", change])).args(["-", name]);
    let output = import.stdin(tar.stdout.take().unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tar.wait().unwrap().success());
}

/// Builds the image with these arguments.
fn build(docker: &Docker, arguments: &[&str]) {
    import_rust(docker);
    let mut build = docker.command();
    // Debian's Docker has no other builder.
    build.env("DOCKER_BUILDKIT", "0").current_dir(root());
    build.args(["build", "--network", "none", "--file", "deploy/docker/Dockerfile", "--tag", IMAGE]);
    build.args(arguments.iter().flat_map(|argument| ["--build-arg", argument])).arg(".");
    let output = build.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
}

/// A security context as the manifests have it, and the host's network.
const CONTEXT: [&str; 9] = [
    "--detach",
    "--network",
    "host",
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--user=65534:65534",
];

#[test]
#[ignore = "needs Debian's packages docker.io and debootstrap: tests/run"]
fn with_docker_io_that_builds_the_image_which_reports_the_host() {
    let _alone = docker::alone();
    let docker = Docker::start_with_shared_mounts();
    build(&docker, &["PROFILE=dev", "FEATURES=--no-default-features"]);
    reports_the_host(&docker);
    serves_jobs(&docker);
    has_nothing_but_the_program(&docker);
}

#[test]
#[ignore = "takes more than five minutes: TAFFRAIL_TESTS=all tests/run"]
fn with_docker_io_in_full_the_image_is_small() {
    let _alone = docker::alone();
    let docker = Docker::start_with_shared_mounts();
    build(&docker, &[]);
    let size: u64 = docker.docker(&["inspect", "--format", "{{.Size}}", IMAGE]).parse().unwrap();
    println!("{size} bytes");
    assert!(size < 20_000_000, "{size}");
    reports_the_host(&docker);
}

/// As the DaemonSet of deploy/kubernetes/base/exporter.
fn reports_the_host(docker: &Docker) {
    let config = root().join("deploy/kubernetes/base/exporter/taffrail.toml");
    let mounts = [
        format!("{}:/etc/taffrail/taffrail.toml:ro", config.display()),
        "/proc:/host/proc:ro".to_owned(),
        "/sys:/host/sys:ro,rslave".to_owned(),
        "/:/host/root:ro,rslave".to_owned(),
    ];
    let listen = format!("127.0.0.1:{}", free_port());
    let mut arguments = vec!["run", "--name", "exporter", "--pid", "host", "--env", "NODE_NAME=node-1"];
    arguments.extend(CONTEXT);
    arguments.extend(mounts.iter().flat_map(|mount| ["--volume", mount]));
    arguments.extend([IMAGE, "run", "--config", "/etc/taffrail/taffrail.toml", "--listen", &listen]);
    docker.docker(&arguments);
    let scrape = || {
        let url = format!("http://{listen}/metrics");
        let text = wait_until("the container", || get(&url, &[]).ok().map(|answer| answer.text().to_owned()));
        Exposition::parse(&text)
    };

    let seen = scrape();
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().unwrap();
    assert_eq!(seen.all("node_uname_info", &[("nodename", name)]).len(), 1);
    let total = seen.expect("node_memory_MemTotal_bytes", &[]);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    assert_eq!(meminfo.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0, total);
    let size = rustix::fs::statvfs("/").unwrap();
    let root_size = seen.expect("node_filesystem_size_bytes", &[("mountpoint", "/")]);
    assert_eq!(root_size, (size.f_blocks * size.f_frsize) as f64);
    let prefixed = seen.0.iter().filter(|series| series.label("mountpoint").starts_with("/host"));
    assert_eq!(prefixed.count(), 0, "paths are the host's");
    for interface in std::fs::read_dir("/sys/class/net").unwrap() {
        let interface = interface.unwrap();
        if interface.path().join("address").exists() {
            let interface = interface.file_name().into_string().unwrap();
            assert!(!seen.all("node_network_receive_bytes_total", &[("device", &interface)]).is_empty(), "{interface}");
        }
    }
    // Of processes that do not belong to it, and of itself as a container.
    let group = format!("/docker/{}", docker.docker(&["inspect", "--format", "{{.Id}}", "exporter"]));
    assert!(seen.value("container_memory_working_set_bytes", &[("id", &group)]).is_some_and(|bytes| bytes > 0.0));
    assert!(!seen.all("node_timex_sync_status", &[]).is_empty(), "Docker's profile of system calls lets it be read");

    // What is mounted later shows too.
    let later = tempfile::tempdir_in("/var/lib").unwrap();
    let place = later.path().to_str().unwrap();
    // Where dockerd has shared mounts of its own, the host's first process, whose mounts are read, has them not.
    let mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "taffrail-test", place];
    docker::run(mount[0], &mount[1..]);
    let _unmounted = UnmountedInTheEnd(place);
    docker.beside(&mount);
    wait_until("a mount of the host's", || {
        scrape().value("node_filesystem_size_bytes", &[("mountpoint", place)]).filter(|size| *size == 4_194_304.0)
    });
    docker.docker(&["exec", "exporter", "/usr/bin/taffrail", "health", &format!("http://{listen}")]);
    docker.docker(&["rm", "--force", "exporter"]);
    docker.beside(&["umount", place]);
}

struct UnmountedInTheEnd<'p>(&'p str);

impl Drop for UnmountedInTheEnd<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

struct At(String);

impl Gateway for At {
    fn address(&self) -> String {
        self.0.clone()
    }
}

/// As the StatefulSet of deploy/kubernetes/base/gateway: its volume is for its group.
fn serves_jobs(docker: &Docker) {
    let volume = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(volume.path(), Some(65534), Some(65534)).unwrap();
    let state = format!("{}:/var/lib/taffrail", volume.path().display());
    let listen = format!("127.0.0.1:{}", free_port());
    let mut arguments = vec!["run", "--name", "gateway", "--volume", &state];
    arguments.extend(CONTEXT);
    arguments.extend([IMAGE, "gateway", "--state", "/var/lib/taffrail/gateway", "--listen", &listen]);
    docker.docker(&arguments);
    let gateway = At(listen.clone());
    let is_ready = || get(&format!("http://{listen}/-/ready"), &[]).ok().filter(|answer| answer.status == 200);
    wait_until("the gateway", is_ready);
    assert_eq!(request("PUT", "/metrics/job/backup", "rows 3\n").send(&gateway.address()).status, 200);
    docker.docker(&["kill", "gateway"]);
    docker.docker(&["start", "gateway"]);
    wait_until("the gateway", is_ready);
    let text = get(&format!("http://{listen}/metrics"), &[]).unwrap().text().to_owned();
    assert!(text.contains("\nrows{instance=\"\",job=\"backup\"} 3\n"), "{text}");
    docker.docker(&["rm", "--force", "gateway"]);
}

fn has_nothing_but_the_program(docker: &Docker) {
    docker.docker(&["create", "--name", "files", IMAGE]);
    let tar = docker.command().args(["export", "files"]).output().unwrap().stdout;
    let mut list = Command::new("tar").args(["-t"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = list.stdin.take().unwrap();
    std::thread::spawn(move || std::io::Write::write_all(&mut input, &tar));
    let listed = String::from_utf8(list.wait_with_output().unwrap().stdout).unwrap();
    let programs: Vec<PathBuf> =
        listed.lines().filter(|path| path.contains("bin/") && !path.ends_with('/')).map(PathBuf::from).collect();
    assert_eq!(programs, [PathBuf::from("usr/bin/taffrail")]);
    assert!(listed.contains("etc/ssl/certs/ca-certificates.crt"));
    assert_eq!(docker.docker(&["inspect", "--format", "{{.Config.User}}", IMAGE]), "65534:65534");
}
