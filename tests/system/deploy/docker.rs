//! deploy/docker: the image, built from its Dockerfile and run as the manifests run it; and the Compose stack, as far as it
//! is files, as its images are not available everywhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::kubernetes::{deploy, tool};
use crate::harness::docker::{self, Docker};
use crate::harness::gateway::Gateway;
use crate::harness::http::request;
use crate::harness::python::run;
use crate::harness::real::free_port;
use crate::harness::series::Exposition;
use crate::harness::{alone, get, wait_until};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const IMAGE: &str = "taffrail:test";

/// What stands for the image that the Dockerfile builds in: Cargo there gives this program, or builds it if there is none.
fn import_rust(docker: &Docker, program: Option<&str>) {
    let dockerfile = std::fs::read_to_string(root().join("deploy/docker/Dockerfile")).unwrap();
    let name = dockerfile.lines().find_map(|line| line.strip_prefix("FROM ")?.strip_suffix(" AS build")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-image");
    let script = root().join("tests/system/deploy/rust-image");
    let mut tar = Command::new(script).arg(&folder).args(program).stdout(Stdio::piped()).spawn().unwrap();
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

/// Builds the image with these arguments, of this program if there is one.
fn build(docker: &Docker, program: Option<&str>, arguments: &[&str]) {
    import_rust(docker, program);
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
    let _alone = alone();
    let docker = Docker::start_with_shared_mounts();
    let arguments = ["PROFILE=dev", "FEATURES=--no-default-features"];
    build(&docker, Some(env!("CARGO_BIN_EXE_taffrail")), &arguments);
    reports_the_host(&docker);
    serves_jobs(&docker);
    has_nothing_but_the_program(&docker);
}

#[test]
#[ignore = "takes more than five minutes: TAFFRAIL_TESTS=all tests/run"]
fn with_docker_io_in_full_the_image_is_small() {
    let _alone = alone();
    let docker = Docker::start_with_shared_mounts();
    build(&docker, None, &[]);
    let size: u64 = docker.docker(&["inspect", "--format", "{{.Size}}", IMAGE]).parse().unwrap();
    println!("{size} bytes");
    assert!(size < 20_000_000, "{size}");
    reports_the_host(&docker);
}

/// The archive of a release, run as the stack of Compose runs it, on a network of its own: the ports of this machine may be
/// taken.
#[test]
#[ignore = "needs Debian's packages docker.io and debootstrap: tests/run"]
fn with_docker_io_that_loads_the_archive_whose_container_is_healthy() {
    const LOADED: &str = concat!("taffrail:", env!("CARGO_PKG_VERSION"));
    const PUSHED: &str = concat!("registry.example.org/", "taffrail:", env!("CARGO_PKG_VERSION"));
    let _alone = alone();
    let docker = Docker::start_with_shared_mounts();
    let archive = tempfile::NamedTempFile::new().unwrap();
    let mut make = Command::new(deploy().join("docker/archive"));
    run(make.args([env!("CARGO_BIN_EXE_taffrail"), LOADED]).arg(archive.path()));
    docker.docker(&["load", "--input", archive.path().to_str().unwrap()]);
    docker.docker(&["tag", LOADED, PUSHED]);

    let config = format!("{}:/etc/taffrail/stack.toml:ro", deploy().join("docker/stack.toml").display());
    let mut arguments = vec!["run", "--detach", "--name", "stack", "--network", "none", "--pid", "host", "--read-only"];
    arguments.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--env", "TAFFRAIL_HOST=/host"]);
    arguments.extend(["--volume", "/:/host:ro,rslave", "--volume", &config, "--volume", "taffrail:/var/lib/taffrail"]);
    docker.docker(&[&arguments[..], &["--health-interval", "1s", PUSHED]].concat());
    wait_until("the health check", || {
        let health = docker.docker(&["inspect", "--format", "{{.State.Health.Status}}", "stack"]);
        assert_ne!(health, "unhealthy", "{}", docker.docker(&["inspect", "stack"]));
        (health == "healthy").then_some(())
    });
    let push = ["/usr/bin/taffrail", "push", "--job", "backup", "--", "/usr/bin/taffrail", "--version"];
    docker.docker(&[&["exec", "stack"], &push[..]].concat());
    // The volume belongs to the image's user.
    let state = docker.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", "taffrail"]);
    assert!(!docker.beside(&["ls", &format!("{state}/gateway")]).is_empty());
    docker.docker(&["rm", "--force", "stack"]);
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
    let mountpoint = later.path().to_str().unwrap();
    // Where dockerd has shared mounts of its own, the host's first process, whose mounts are read, has them not.
    let mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "taffrail-test", mountpoint];
    docker::run(mount[0], &mount[1..]);
    let _unmounted = UnmountedInTheEnd(mountpoint);
    docker.beside(&mount);
    wait_until("a mount of the host's", || {
        scrape().value("node_filesystem_size_bytes", &[("mountpoint", mountpoint)]).filter(|size| *size == 4_194_304.0)
    });
    docker.docker(&["exec", "exporter", "/usr/bin/taffrail", "health", &format!("http://{listen}")]);
    docker.docker(&["rm", "--force", "exporter"]);
    docker.beside(&["umount", mountpoint]);
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

/// The Compose files, with their services, and those that have a health check of their own, as Taffrail's image has one.
const STACKS: [(&str, usize, usize); 2] = [("compose.yaml", 4, 3), ("replicas/compose.yaml", 7, 1)];

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_compose_knows_the_stacks() {
    for (name, services, checks) in STACKS {
        let path = deploy().join("docker").join(name);
        let reported = tool(&["compose", path.to_str().unwrap()], "").unwrap();
        let of = |kind: &str| reported.lines().filter_map(|line| line.strip_prefix(kind)).collect::<Vec<_>>();
        let images = of("image ");
        assert_eq!(images.len(), services, "{reported}");
        for image in images {
            let (_, tag) = image.split_once(':').unwrap_or_else(|| panic!("{image} is not pinned"));
            assert!(tag.starts_with(|c: char| c.is_ascii_digit() || c == 'v'), "{image} is not pinned");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().filter(|line| line.trim() == "healthcheck:").count(), checks);
        for file in of("file ") {
            assert!(Path::new(file).exists(), "{file}");
        }
    }
}

/// The servers' configuration is one that they accept, and the replicas' configuration names all of them.
#[test]
#[cfg(feature = "nats")]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_nats_server_accepts_the_configuration_of_the_replicas() {
    use crate::harness::real::newest_peer;
    let folder = deploy().join("docker/replicas");
    let config = folder.join("nats.conf");
    run(Command::new(newest_peer("nats-server")).arg("-t").arg("-c").arg(&config).args(["--name", "nats-1"]));
    assert!(std::fs::read_to_string(config).unwrap().contains("sync_interval: always"));
    let mut check = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    check.args(["check", "--config"]).arg(folder.join("gateway.toml")).env("TAFFRAIL_REPLICA", "gateway-1");
    run(&mut check);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (compose, gateway) = (read("compose.yaml"), read("gateway.toml"));
    for server in ["nats-1", "nats-2", "nats-3"] {
        assert!(compose.contains(&format!("\n  {server}:\n")), "{server}");
        assert!(
            gateway.contains(&format!("nats://{server}:4222")) && gateway.contains(&format!("http://{server}:8222"))
        );
    }
}

#[test]
fn the_stacks_configuration_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["taffrail.toml", "stack.toml"] {
        std::fs::copy(deploy().join("docker").join(name), folder.path().join(name)).unwrap();
    }
    let mut check = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    let reported = run(check.args(["check", "--config"]).arg(folder.path()).env("TAFFRAIL_HOST", "/host"));
    assert!(reported.contains("pushes to   influxdb"), "{reported}");
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_whose_promtool_accepts_the_configurations_of_the_stacks() {
    for name in ["prometheus.yml", "replicas/prometheus.yml"] {
        let folder = tempfile::tempdir().unwrap();
        // Where the rules are in the container.
        let text = std::fs::read_to_string(deploy().join("docker").join(name)).unwrap();
        let rules = deploy().join("prometheus/rules");
        let text = text.replace("/etc/prometheus/rules", rules.to_str().unwrap());
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, text).unwrap();
        let reported = run(Command::new("promtool").args(["check", "config"]).arg(path));
        let count = std::fs::read_dir(rules).unwrap().count();
        assert!(reported.contains(&format!("{count} rule files found")), "{reported}");
    }
}
