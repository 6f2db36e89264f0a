//! What never answers: a mount whose server is gone, a message bus that is silent. Each costs one reading a moment, and
//! then nothing until it answers.

mod harness;

use std::fs;
use std::path::Path;

use harness::fuse::FuseMount;
use harness::{Answer, Taffrail, wait_until};

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

/// Threads that wait for sizes of file systems.
fn askers(taffrail: &Taffrail) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", taffrail.pid())).unwrap().flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| name.trim() == "statfs").count()
}

#[test]
#[ignore = "needs root, to mount file systems that hang: tests/run"]
fn with_mount_dead_mounts_cost_their_own_samples_alone_until_they_answer() {
    const DEAD: usize = 10;
    let tree = tempfile::tempdir().unwrap();
    let mounts: Vec<FuseMount> = (0..=DEAD).map(|_| FuseMount::mount()).collect();
    let (alive, dead) = mounts.split_last().unwrap();
    dead.iter().for_each(FuseMount::hang);
    let taffrail = Taffrail::start(&config(tree.path(), &mounts, ""));
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
}
