//! Taffrail on a host with containers: a real Docker, runc, cgroups that come and go. `tests/run` installs them and runs
//! these, which only root can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::cgroups::{Hierarchies, agree_in_one_of, disagreements};
use crate::harness::docker::{
    BareCgroup, Cable, Container, Disk, Docker, IMAGE, Runc, net_dev, random_id, remove_cgroup,
};
use crate::harness::series::Exposition;
use crate::harness::{Taffrail, alone, printed, status_kib, wait_until};

/// Everything that is compared with the kernel's files.
const SETS: &str = "sets = [\"cpu\", \"cpu_details\", \"memory\", \"io\", \"network\", \"processes\", \"pressure\", \
    \"oom\", \"times\", \"info\", \"spec\"]\n";

/// A configuration with the names that the Docker behind `socket` knows, if there is one.
fn config(socket: Option<&Path>, more: &str) -> String {
    let sockets = socket.map(|path| format!("\"{}\"", path.display())).unwrap_or_default();
    format!(
        "[collectors]\nenable = [\"container\"]\n[collectors.container]\n{SETS}docker_sockets = [{sockets}]\n{more}"
    )
}

fn scrape(taffrail: &Taffrail) -> Exposition {
    let answer = taffrail.get("/metrics?collect[]=container");
    assert_eq!(answer.status, 200, "{}", answer.text());
    Exposition::parse(answer.text())
}

/// A scrape in which nothing failed.
#[track_caller]
fn good_scrape(taffrail: &Taffrail) -> Exposition {
    let exposition = scrape(taffrail);
    assert!(exposition.succeeded("container"), "{:#?}", taffrail.log());
    exposition
}

/// Waits until the containers are there, with these names.
fn wait_for_names(taffrail: &Taffrail, containers: &[(&Container, &str)]) {
    wait_until("the containers' names", || {
        let ours = good_scrape(taffrail);
        let is_there = |(container, name): &(&Container, &str)| {
            ours.value("container_last_seen", &[("id", &container.cgroup), ("name", name)]).is_some()
        };
        containers.iter().all(is_there).then_some(())
    });
}

fn seconds_since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A busy loop that also writes to and reads from its disk.
const BUSY: &str = "while :; do
    busybox dd if=/dev/zero of=/data/blob bs=64k count=16 oflag=direct
    busybox dd if=/data/blob of=/dev/null bs=64k iflag=direct
    i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done
done 2>/dev/null";

/// A container with limits and a disk. Accounting of reads and writes begins with a limit for the device, on kernels that
/// have it on demand.
fn run_busy(docker: &Docker, disk: &Disk) -> Container {
    let limit = format!("{}:1gb", disk.device);
    let volume = format!("{}:/data", disk.mount().display());
    let (writes, reads) = (["--device-write-bps", &limit], ["--device-read-bps", &limit]);
    let limits = ["--cpus", "0.2", "--memory", "64m", "--pids-limit", "20", "--volume", &volume];
    docker.run("busy", &[&limits[..], &writes[..], &reads[..]].concat(), BUSY)
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_that_limits_a_busy_container() {
    let _alone = alone();
    let (docker, disk) = (Docker::start(), Disk::new());
    let created = seconds_since_epoch();
    let busy = run_busy(&docker, &disk);
    let taffrail = Taffrail::start(&config(Some(&docker.socket()), ""));
    wait_for_names(&taffrail, &[(&busy, "busy")]);
    let id = ("id", busy.cgroup.as_str());
    wait_until("throttling, and bytes on the disk", || {
        let ours = good_scrape(&taffrail);
        let written = ours.value("container_fs_writes_bytes_total", &[id, ("device", &disk.device)])?;
        let throttled = ours.value("container_cpu_cfs_throttled_periods_total", &[id])?;
        (written > 1e6 && throttled > 3.0).then_some(())
    });

    let hierarchies = Hierarchies::live();
    agree_in_one_of(40, |_| {
        let before = hierarchies.facts(&busy.cgroup);
        assert!(before.len() > 12, "{before:#?}");
        let ours = good_scrape(&taffrail);
        disagreements(&before, &ours, &hierarchies.facts(&busy.cgroup), &busy.cgroup)
    });

    let earliest = seconds_since_epoch().floor();
    let ours = good_scrape(&taffrail);
    let seen = ours.expect("container_last_seen", &[id]);
    assert!(seen >= earliest && seen <= seconds_since_epoch(), "{seen}");
    let started = ours.expect("container_start_time_seconds", &[id]);
    assert!(started >= created.floor() - 1.0 && started <= seconds_since_epoch(), "{started}");
    assert_eq!(ours.expect("container_spec_memory_limit_bytes", &[id]), f64::from(64 << 20));
    let quota = ours.expect("container_spec_cpu_quota", &[id]) / ours.expect("container_spec_cpu_period", &[id]);
    assert!((quota - 0.2).abs() < 1e-9, "{quota}");
}

/// What `docker stats` says of a container: CPU in percent, bytes of memory, bytes read and written, processes.
struct Stats {
    cpu: f64,
    memory: f64,
    io: [f64; 2],
    pids: f64,
}

fn docker_stats(docker: &Docker, id: &str) -> Stats {
    let format = "{{.CPUPerc}} / {{.MemUsage}} / {{.BlockIO}} / {{.PIDs}}";
    let line = docker.docker(&["stats", "--no-stream", "--format", format, id]);
    let fields: Vec<f64> = line.split(" / ").map(quantity).collect();
    let [cpu, memory, _, read, written, pids] = fields[..] else { panic!("{line}") };
    Stats { cpu, memory, io: [read, written], pids }
}

/// A number with a unit, as Docker prints them.
fn quantity(text: &str) -> f64 {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let unit = match &text[end..] {
        "" | "B" | "%" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1048576.0,
        "GiB" => 1073741824.0,
        other => panic!("the unit {other:?} of {text}"),
    };
    text[..end].parse::<f64>().unwrap() * unit
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_whose_stats_say_the_same() {
    let _alone = alone();
    let (docker, disk) = (Docker::start(), Disk::new());
    let busy = run_busy(&docker, &disk);
    let taffrail = Taffrail::start(&config(Some(&docker.socket()), ""));
    wait_for_names(&taffrail, &[(&busy, "busy")]);
    let (id, device) = (("id", busy.cgroup.as_str()), ("device", disk.device.as_str()));

    agree_in_one_of(5, |_| {
        let cpu = |ours: &Exposition| ours.expect("container_cpu_usage_seconds_total", &[id, ("cpu", "total")]);
        let (first, start) = (good_scrape(&taffrail), Instant::now());
        let theirs = docker_stats(&docker, &busy.id);
        thread::sleep(Duration::from_secs(2));
        let last = good_scrape(&taffrail);
        let percent = (cpu(&last) - cpu(&first)) / start.elapsed().as_secs_f64() * 100.0;

        let mut found = BTreeMap::new();
        let mut compare = |what: &str, low: f64, value: f64, high: f64| {
            if !(low..=high).contains(&value) {
                found.insert(what.to_owned(), format!("{value} is not between {low} and {high}"));
            }
        };
        // Both are averages over a second or three of what the limit holds at 20.
        compare("percent of a CPU", percent - 5.0, theirs.cpu, percent + 5.0);
        // Docker rounds to four digits in units of 1024, three in those of 1000.
        for (family, value, digits) in [
            ("container_fs_reads_bytes_total", theirs.io[0], 0.005),
            ("container_fs_writes_bytes_total", theirs.io[1], 0.005),
        ] {
            let of = |ours: &Exposition| ours.expect(family, &[id, device]);
            compare(family, of(&first) * (1.0 - digits), value, of(&last) * (1.0 + digits));
        }
        // The kernel charges 64 pages at a time for each CPU, and gives them back when it likes.
        let charged_ahead = (64 * 4096 * thread::available_parallelism().unwrap().get()) as f64;
        for (family, value, slack) in [
            ("container_memory_working_set_bytes", theirs.memory, charged_ahead),
            ("container_threads", theirs.pids, 0.0),
        ] {
            let (one, other) = (first.expect(family, &[id]), last.expect(family, &[id]));
            compare(family, one.min(other) - slack, value, one.max(other) + slack);
        }
        found
    });
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_whose_container_lives_on_after_oom_kills() {
    let _alone = alone();
    let docker = Docker::start();
    // A child is killed at each line that is sent.
    let script = "exec </data/fifo; while read line; do busybox tail /dev/zero; echo killed; done";
    let pipe = tempfile::tempdir().unwrap();
    let fifo = pipe.path().join("fifo");
    crate::harness::docker::run("mkfifo", &[&fifo.display().to_string()]);
    let volume = format!("{}:/data", pipe.path().display());
    let hungry = docker.run("hungry", &["--memory", "20m", "--volume", &volume], script);
    let mut order = fs::OpenOptions::new().write(true).open(&fifo).unwrap();

    let taffrail = Taffrail::start(&config(Some(&docker.socket()), ""));
    wait_for_names(&taffrail, &[(&hungry, "hungry")]);
    let hierarchies = Hierarchies::live();
    for kills in 0..=2 {
        if kills > 0 {
            order.write_all(b"go on\n").unwrap();
        }
        wait_until("the kill", || (docker.docker(&["logs", &hungry.id]).lines().count() == kills).then_some(()));
        let said = hierarchies.oom_kills(&hungry.cgroup).unwrap();
        assert!(said >= kills as f64, "{said}");
        let ours = good_scrape(&taffrail);
        assert_eq!(ours.expect("container_oom_events_total", &[("id", &hungry.cgroup)]), said);
    }
    // Docker itself does not know.
    assert_eq!(
        docker.docker(&["inspect", "--format", "{{.State.OOMKilled}} {{.State.Running}}", &hungry.id]),
        "false true"
    );
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_that_reports_what_its_layers_hold() {
    let _alone = alone();
    let docker = Docker::start();
    let script = "busybox dd if=/dev/zero of=/blob bs=1k count=5000; exec busybox sleep 10000";
    let full = docker.run("full", &[], script);
    let empty = docker.run("empty", &[], "exec busybox sleep 10000");
    let taffrail =
        Taffrail::start(&config(Some(&docker.socket()), "sizes_interval = \"1s\"\n").replace("\"io\"", "\"disk\""));
    let usage =
        |container: &Container| good_scrape(&taffrail).value("container_fs_usage_bytes", &[("id", &container.cgroup)]);
    let held = 5000.0 * 1024.0;
    wait_until("the size of the layer", || usage(&full).filter(|usage| (held..2.0 * held).contains(usage)));
    assert!(usage(&empty).is_some_and(|usage| usage < held / 2.0));
    let ours = good_scrape(&taffrail);
    for root in ours.all("container_fs_limit_bytes", &[("id", "/")]) {
        assert!(root.label("device").starts_with("/dev/") && root.value > 0.0, "{root:?}");
    }
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_whose_containers_share_networks() {
    let _alone = alone();
    let docker = Docker::start();
    let sleep = "busybox sleep 10000";
    let first = docker.run("first", &[], sleep);
    let second = docker.run("second", &["--network", "container:first"], sleep);
    let third = docker.run("third", &["--network", "host"], sleep);
    let fourth = docker.run("fourth", &[], sleep);
    let (cable, _other) = (Cable::plug(&first), Cable::plug(&fourth));
    let taffrail = Taffrail::start(&config(Some(&docker.socket()), ""));
    wait_for_names(&taffrail, &[(&first, "first"), (&second, "second"), (&third, "third"), (&fourth, "fourth")]);

    let (mut owners, mut received) = (BTreeSet::new(), 0.0);
    for round in 1..=5 {
        cable.send(100);
        let before = first.net_dev("eth0").unwrap();
        let ours = good_scrape(&taffrail);
        let after = first.net_dev("eth0").unwrap();
        let eth0 =
            |family, container: &Container| ours.value(family, &[("id", &container.cgroup), ("interface", "eth0")]);
        let families = ["container_network_receive_bytes_total", "container_network_transmit_bytes_total"];
        for (at, family) in families.into_iter().enumerate() {
            let counted = [eth0(family, &first), eth0(family, &second)];
            assert_eq!(counted.iter().flatten().count(), 1, "{family} of a shared network: {counted:?}");
            owners.insert(counted[0].is_some());
            let value = counted.into_iter().flatten().next().unwrap();
            assert!(
                (before[at]..=after[at]).contains(&value),
                "{family}: {value} is not between {before:?}, {after:?}"
            );
            assert!(eth0(family, &fourth).is_some());
            // What the host's network carries is the host's.
            assert!(ours.all(family, &[("id", &third.cgroup)]).is_empty());
            // Nor is there any of the loopback's.
            assert!(ours.all(family, &[("interface", "lo")]).iter().all(|series| series.label("id") == "/"));
        }
        received = ours
            .0
            .iter()
            .filter(|series| series.name == families[0] && series.label("interface") == "eth0")
            .filter(|series| [&first.cgroup, &second.cgroup].contains(&&series.label("id").to_owned()))
            .map(|series| series.value)
            .sum();
        assert!(received >= f64::from(round) * 100.0 * 1000.0, "{received} in round {round}");
    }
    assert_eq!(owners.len(), 1, "the owner of a shared network changes");
    let host = net_dev(&fs::read_to_string("/proc/1/net/dev").unwrap(), "lo");
    assert!(host.is_some() && received > 0.0);

    // When its owner is gone, what shares it has it.
    docker.remove(&first);
    wait_until("the network to be the second's", || {
        let ours = good_scrape(&taffrail);
        ours.value("container_network_receive_bytes_total", &[("id", &second.cgroup), ("interface", "eth0")])
    });
}

/// Once PIDs have wrapped, a container's children have lower PIDs than its init process, and cgroup v1 lists them first.
#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_whose_pids_wrap_and_whose_container_restarts() {
    let _alone = alone();
    let docker = Docker::start();
    let container = docker.run("forker", &[], "while :; do busybox true; done");
    let _cable = Cable::plug(&container);
    let id = [("id", container.cgroup.as_str())];
    let start = |taffrail: &Taffrail| good_scrape(taffrail).value("container_start_time_seconds", &id);
    let taffrail = Taffrail::start(&config(None, ""));
    let started = start(&taffrail);
    assert!(started.is_some());

    // As if they had wrapped.
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    let before = fs::read_to_string(LAST_PID).unwrap();
    fs::write(LAST_PID, "400").unwrap();
    let fresh = Taffrail::start(&config(None, ""));
    for _ in 0..40 {
        for taffrail in [&taffrail, &fresh] {
            let ours = good_scrape(taffrail);
            assert_eq!(ours.value("container_start_time_seconds", &id), started);
            let [id] = id;
            assert!(ours.value("container_network_receive_bytes_total", &[id, ("interface", "eth0")]).is_some());
        }
    }
    fs::write(LAST_PID, before.trim()).unwrap();

    // The names are those of before the restart.
    let named = Taffrail::start(&config(Some(&docker.socket()), "names_interval = \"1h\"\n"));
    wait_for_names(&named, &[(&container, "forker")]);
    thread::sleep(Duration::from_secs(3));
    let before = seconds_since_epoch();
    docker.docker(&["restart", "--time", "0", &container.id]);
    for taffrail in [&taffrail, &named] {
        let started = wait_until("the restarted container", || start(taffrail));
        assert!((before - 1.5..=seconds_since_epoch()).contains(&started), "{started} is not after {before}");
    }
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_whose_socket_is_there_absent_or_hanging() {
    let _alone = alone();
    let docker = Docker::start();
    let web = docker.run("web.1", &["--label", "app=\"quoted\""], "busybox sleep 10000");
    let id = ("id", web.cgroup.as_str());

    let absent = Taffrail::start(&config(Some(Path::new("/does/not/exist.sock")), ""));
    let ours = good_scrape(&absent);
    // Whatever stands for its name then.
    assert!(ours.expect("container_memory_usage_bytes", &[id, ("image", "")]) > 0.0);
    assert!(ours.below(&web.cgroup).count() > 10);
    drop(absent);

    let taffrail = Taffrail::start(&config(Some(&docker.socket()), ""));
    wait_for_names(&taffrail, &[(&web, "web.1")]);
    let ours = good_scrape(&taffrail);
    let named: Vec<_> = ours.below(&web.cgroup).collect();
    assert!(named.len() > 10 && named.iter().all(|series| series.label("name") == "web.1"), "{named:#?}");
    assert!(named.iter().all(|series| series.label("image") == IMAGE), "{named:#?}");

    docker.stop_answering();
    // It appears while no runtime can report its name.
    let unknown = format!("/docker/{}", random_id());
    let new = BareCgroup::new(&unknown);
    for _ in 0..3 {
        let ours = good_scrape(&taffrail);
        assert!(ours.expect("container_memory_usage_bytes", &[id, ("name", "web.1"), ("image", IMAGE)]) > 0.0);
        assert!(ours.value("container_processes", &[("id", &unknown)]) == Some(1.0));
    }
    drop(new);
    docker.answer_again();
    let api = docker.run("api", &[], "busybox sleep 10000");
    wait_for_names(&taffrail, &[(&web, "web.1"), (&api, "api")]);
}

/// What an agent holds: open files, threads, and KiB of memory.
fn holdings(taffrail: &Taffrail) -> (Vec<String>, Vec<String>, u64) {
    let process = PathBuf::from(format!("/proc/{}", taffrail.pid()));
    let entries = |folder: &str| fs::read_dir(process.join(folder)).unwrap().flatten().map(|entry| entry.path());
    // They may end in the meantime.
    let files = entries("fd").filter_map(|path| Some(fs::read_link(path).ok()?.display().to_string()));
    let threads = entries("task").filter_map(|path| fs::read_to_string(path.join("comm")).ok());
    (files.collect(), threads.collect(), status_kib(taffrail.pid(), "RssAnon"))
}

/// Starts and removes containers: one with runc for four bare cgroups, which are quicker.
fn churn(runc: &Runc, parent: &str, rounds: usize) {
    for _ in 0..rounds {
        let bare: Vec<_> = (0..4).map(|_| BareCgroup::new(&format!("{parent}/{}", random_id()))).collect();
        let id = random_id();
        runc.run(&id, &format!("{parent}/{id}"), None, "busybox sleep 10000");
        drop(bare);
        runc.remove(&id);
    }
}

/// Starts and removes 200 containers while it is scraped without a pause; gives the cgroups that were ever seen.
fn churn_under_scrapes(runc: &Runc, parent: &str, taffrail: &Taffrail) -> BTreeSet<String> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                // Good, whatever ends meanwhile.
                let ours = good_scrape(taffrail);
                seen.extend(ours.below(parent).map(|series| series.label("id").to_owned()));
            }
            seen
        });
        let churned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| churn(runc, parent, 40)));
        done.store(true, Ordering::Relaxed);
        churned.unwrap();
        scraper.join().unwrap()
    })
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_or_runc_alone_while_containers_come_and_go() {
    let _alone = alone();
    let runc = Runc::new();
    let parent = format!("/taffrail-churn-{}", std::process::id());
    let taffrail = Taffrail::start(&config(None, ""));
    // What is made once, when it is first needed, is there after the first time.
    churn_under_scrapes(&runc, &parent, &taffrail);
    let (files, threads, memory) = holdings(&taffrail);
    let seen = churn_under_scrapes(&runc, &parent, &taffrail);
    remove_cgroup(&parent);
    assert!(seen.len() > 40, "only {} of 200 were ever seen", seen.len());

    let ours = good_scrape(&taffrail);
    let left: Vec<_> = ours.below(&parent).collect();
    assert!(left.is_empty(), "{left:#?}");
    // The server may still have the last scrape's connection, and files of what is gone until the next round.
    let mut after = holdings(&taffrail);
    for _ in 0..50 {
        if after.0.len() <= files.len() && after.1.len() <= threads.len() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
        good_scrape(&taffrail);
        after = holdings(&taffrail);
    }
    assert!(after.0.len() <= files.len(), "{:#?}, before {files:#?}", after.0);
    assert!(after.1.len() <= threads.len(), "{:?}, before {threads:?}", after.1);
    assert!(after.2 <= memory + 4096, "{} KiB, {memory} before", after.2);
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_or_runc_alone_pods_have_their_names() {
    let _alone = alone();
    let (runc, logs, pods) = (Runc::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let uid = "0b3f7a52-1c1e-4a57-9a9d-6c3f1f0e2d4b";
    let pod = format!("/kubepods/burstable/pod{uid}");
    let [sandbox_id, app_id, alone_id] = [random_id(), random_id(), random_id()];
    let sleep = "busybox sleep 10000";
    let pause = "printf pause >/proc/self/comm; while :; do busybox sleep 10000; done";
    let sandbox = runc.run(&sandbox_id, &format!("{pod}/{sandbox_id}"), None, pause);
    let app = runc.run(&app_id, &format!("{pod}/{app_id}"), Some(&sandbox), sleep);
    // Of guaranteed quality, and without a log.
    let other = runc.run(&alone_id, &format!("/kubepods/pod{}/{alone_id}", "7".repeat(32)), None, sleep);
    let _cable = Cable::plug(&sandbox);
    let log = format!("web-1_shop_app-{app_id}.log");
    let pod_logs = pods.path().join(format!("shop_web-1_{uid}"));
    fs::create_dir_all(pod_logs.join("app")).unwrap();
    symlink(pod_logs.join("app/0.log"), logs.path().join(log)).unwrap();
    fs::write(logs.path().join("no-log-of-a-container.log"), "").unwrap();

    let taffrail = Taffrail::start(&config(
        None,
        &format!("log_links = \"{}\"\nlog_pods = \"{}\"\n", logs.path().display(), pods.path().display()),
    ));
    let names = [("namespace", "shop"), ("pod", "web-1"), ("container", "app")];
    wait_until("the pod's name", || {
        let ours = good_scrape(&taffrail);
        ours.value("container_last_seen", &[&names[..], &[("id", app.cgroup.as_str())]].concat())
    });

    let hierarchies = Hierarchies::live();
    for container in [&sandbox, &app, &other] {
        agree_in_one_of(40, |_| {
            let before = hierarchies.facts(&container.cgroup);
            assert!(before.len() > 8, "{before:#?}");
            let ours = good_scrape(&taffrail);
            disagreements(&before, &ours, &hierarchies.facts(&container.cgroup), &container.cgroup)
        });
    }
    let ours = good_scrape(&taffrail);
    for series in ours.below(&app.cgroup) {
        assert!(names.iter().all(|(label, value)| series.label(label) == *value), "{series:?}");
    }
    // The pod is a cgroup of its own, which is no container.
    let of_pod = ours.all("container_memory_usage_bytes", &[("id", &pod)]);
    assert_eq!(of_pod.len(), 1, "{of_pod:?}");
    let labels = ["namespace", "pod", "container"].map(|label| of_pod[0].label(label));
    assert_eq!(labels, ["shop", "web-1", ""]);
    assert_eq!(ours.expect("container_memory_usage_bytes", &[("id", &app.cgroup)]).fract(), 0.0);
    assert!(ours.value("container_processes", &[("id", &other.cgroup), ("pod", "")]).is_some());
    // The network is the pod's: there once, with the pod's names.
    let eth0 = ours.all("container_network_receive_bytes_total", &[("interface", "eth0")]);
    let eth0: Vec<_> = eth0.into_iter().filter(|series| series.label("id").starts_with(&pod)).collect();
    assert_eq!(eth0.len(), 1, "{eth0:#?}");
    assert_eq!((eth0[0].label("namespace"), eth0[0].label("pod")), ("shop", "web-1"));
}

/// Prints what the collector reports, as the user that `before` changes to.
fn print(before: &[&str], binary: &Path, config: &Path) -> Exposition {
    let mut command = Command::new(before[0]);
    command
        .args(&before[1..])
        .arg(binary)
        .args(["print", "--collector", "container", "machine", "--config"])
        .arg(config);
    let output = command.output().unwrap();
    let (text, problems) = printed(&output);
    assert!(output.status.success(), "{before:?}: {problems}");
    Exposition::parse(&text)
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_and_no_privileges_nothing_is_missing() {
    let _alone = alone();
    let (docker, disk) = (Docker::start(), Disk::new());
    let busy = run_busy(&docker, &disk);
    let _cable = Cable::plug(&busy);
    let shared = docker.run("shared", &["--network", "container:busy"], "busybox sleep 10000");
    let host = docker.run("host", &["--network", "host"], "busybox sleep 10000");
    wait_until("bytes on the disk", || {
        let writes = "container_fs_writes_bytes_total";
        let facts = format!("{:?}", Hierarchies::live().facts(&busy.cgroup));
        facts.contains(writes).then_some(())
    });

    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (binary, file) = (folder.path().join("taffrail"), folder.path().join("taffrail.toml"));
    fs::copy(env!("CARGO_BIN_EXE_taffrail"), &binary).unwrap();
    // Only root and its group may ask Docker.
    fs::write(&file, config(None, "")).unwrap();

    let ids = [&busy.cgroup, &shared.cgroup, &host.cgroup];
    let keys = |exposition: &Exposition| -> BTreeSet<String> {
        let ours = exposition.0.iter().filter(|series| series.name.starts_with("container_"));
        ours.filter(|series| ids.iter().any(|id| series.label("id") == *id)).map(|series| series.key()).collect()
    };
    let root = print(&["env"], &binary, &file);
    let unprivileged =
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let unprivileged = print(&unprivileged, &binary, &file);
    assert!(root.succeeded("container") && unprivileged.succeeded("container"));
    assert!(keys(&root).len() > 30, "{:#?}", keys(&root));
    let (root_keys, unprivileged_keys) = (keys(&root), keys(&unprivileged));
    let differing: Vec<_> = root_keys.symmetric_difference(&unprivileged_keys).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(root.families("container_"), unprivileged.families("container_"));
    assert!(!root.families("machine_").is_empty());
    assert_eq!(root.families("machine_"), unprivileged.families("machine_"));
}

#[test]
#[ignore = "needs Debian's package docker.io: tests/run"]
fn with_docker_io_whose_events_say_how_containers_end() {
    let _alone = alone();
    let docker = Docker::start();
    let ended = |name: &str, options: &[&str], script: &str| {
        let command = ["run", "--detach", "--network", "none", "--name", name];
        docker.docker(&[&command[..], options, &[IMAGE, "/bin/busybox", "sh", "-c", script]].concat());
    };
    ended("ends", &[], "exit 3");
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\n[collectors.docker_state]\nenabled = true\nsocket = \"{}\"\n",
        docker.socket().display()
    ));
    let value = |family: &str, name: &str, status: &[(&str, &str)]| {
        let page = Exposition::parse(taffrail.get("/metrics").text());
        page.value(family, &[&[("name", name)], status].concat())
    };
    let wait_for = |family: &str, name: &str, status: &str, expected: f64| {
        let status: &[(&str, &str)] = if status.is_empty() { &[] } else { &[("status", status)] };
        wait_until(&format!("{family} of {name}"), || value(family, name, status).filter(|found| *found == expected));
    };
    wait_for("container_exitcode", "ends", "", 3.0);
    wait_for("container_state_status", "ends", "exited", 1.0);
    ended("again", &["--restart", "on-failure:2"], "exit 1");
    wait_for("container_restartcount", "again", "", 2.0);
    // A health check is run by /bin/sh, which the image lacks.
    let script = "busybox ln -s busybox /bin/sh; busybox touch /well; while :; do busybox sleep 1; done";
    let check = ["--health-cmd", "busybox test -e /well", "--health-interval", "1s", "--health-retries", "1"];
    ended("checked", &check, script);
    wait_for("container_state_health_status", "checked", "healthy", 1.0);
    docker.docker(&["exec", "checked", "/bin/busybox", "rm", "/well"]);
    wait_for("container_state_health_status", "checked", "unhealthy", 1.0);
    docker.docker(&["kill", "checked"]);
    wait_for("container_exitcode", "checked", "", 137.0);
    docker.docker(&["rm", "checked"]);
    wait_until("its end", || value("container_exitcode", "checked", &[]).is_none().then_some(()));
    let page = taffrail.get("/metrics");
    assert_eq!(page.sample("taffrail_docker_sessions_total"), Some(1.0), "{}", page.text());
}
