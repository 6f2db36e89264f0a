//! What was acknowledged is kept: over kills, on disks that are full or read-only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::{LONG_TIMEOUT, wait_until};

/// What a group may hold: nothing once it has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: Option<u32>,
    /// What was asked for and not answered.
    asked: Option<Option<u32>>,
}

/// Pushes growing numbers to a group that holds `before`, and ends it now and then, until the gateway is gone.
fn push_until_it_ends(address: &str, group: usize, before: Option<u32>, mut next: u32) -> Known {
    let mut known = Known { acknowledged: before, asked: None };
    let Ok(mut stream) = TcpStream::connect(address) else { return known };
    stream.set_read_timeout(Some(LONG_TIMEOUT)).unwrap();
    loop {
        next += 1;
        let is_end = next.is_multiple_of(7);
        let (method, body) = if is_end { ("DELETE", String::new()) } else { ("PUT", format!("x {next}\n")) };
        let request = format!(
            "{method} /metrics/job/g{group} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked = (!is_end).then_some(next);
        known.asked = Some(asked);
        if stream.write_all(request.as_bytes()).is_err() || !is_answered(&mut stream) {
            return known;
        }
        known = Known { acknowledged: asked, asked: None };
    }
}

fn is_answered(stream: &mut TcpStream) -> bool {
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    let is_success = |line: &str| line.starts_with("HTTP/1.1 200") || line.starts_with("HTTP/1.1 202");
    if reader.read_line(&mut line).is_err() || !is_success(&line) {
        return false;
    }
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == "\r\n" => return true,
            Ok(_) => {}
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_hundreds_of_kills() {
    const ROUNDS: u32 = 200;
    const GROUPS: usize = 6;
    let folder = tempfile::tempdir().unwrap();
    let mut groups = [Known::default(); GROUPS];
    let mut pushed = 0;
    for round in 0..=ROUNDS {
        let gateway = Own::keeping(folder.path(), "");
        let exposition = gateway.exposition();
        for (group, known) in groups.iter_mut().enumerate() {
            let found = crate::harness::sample(&exposition, &format!("x{{instance=\"\",job=\"g{group}\"}}"));
            let found = found.map(|value| value as u32);
            let is_sound = found == known.acknowledged || Some(found) == known.asked;
            assert!(is_sound, "round {round}, group {group}: {found:?} is there, and should be {known:?}");
            pushed += u32::from(found.is_some());
            *known = Known { acknowledged: found, asked: None };
        }
        if round == ROUNDS {
            break;
        }
        let address = gateway.address();
        let clients = groups.map(|known| known.acknowledged).into_iter().enumerate();
        let clients: Vec<_> = clients
            .map(|(group, before)| {
                let address = address.clone();
                thread::spawn(move || push_until_it_ends(&address, group, before, round * 100_000))
            })
            .collect();
        thread::sleep(Duration::from_millis(u64::from(3 + round % 29)));
        gateway.signal(Signal::KILL);
        for (known, client) in groups.iter_mut().zip(clients) {
            *known = client.join().unwrap();
        }
    }
    assert!(pushed > ROUNDS, "only {pushed} groups were there to be looked at");
}

#[test]
fn a_gateway_that_ends_in_order_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Own::keeping(folder.path(), "");
    assert_eq!(gateway.put("/metrics/job/a", "# TYPE x counter\nx 1\n").status, 200);
    let before = gateway.exposition();
    gateway.signal(Signal::TERM);
    assert!(gateway.process().wait().success());
    let again = Own::keeping(folder.path(), "");
    let pushed = |text: &str| text.lines().filter(|line| line.contains("job=")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(pushed(&again.exposition()), pushed(&before));
}

#[test]
fn a_folder_has_one_gateway_and_a_damaged_file_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Own::keeping(folder.path(), "");
    for job in ["a", "b", "c"] {
        assert_eq!(gateway.put(&format!("/metrics/job/{job}"), "x 1\n").status, 200);
    }
    let path = folder.path().to_str().unwrap();
    let second = crate::harness::taffrail(&["gateway", "--listen", "127.0.0.1:0", "--state", path]);
    assert!(!second.status.success());
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(path) && said.contains("another"), "{said}");
    gateway.signal(Signal::KILL);
    gateway.process().wait();
    // One byte of the second push is another.
    let log = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = log.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(7).position(|part| part == b"job=\"b\"").unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(&log, &bytes).unwrap();
    let gateway = Own::keeping(folder.path(), "");
    let damage = gateway.log().join("\n");
    assert!(damage.contains("damaged"), "{damage}");
    assert!(gateway.sample("x{instance=\"\",job=\"a\"}").is_some());
    let mut names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.any(|name| name.to_string_lossy().contains("damaged")));
}

#[test]
fn a_folder_that_cannot_be_used_is_said_at_once() {
    let run = crate::harness::taffrail(&["gateway", "--listen", "127.0.0.1:0", "--state", "/proc/taffrail"]);
    assert!(!run.status.success());
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(said.contains("/proc/taffrail"), "{said}");
}

/// A gateway that a shell starts; it is killed when it is dropped.
struct Shelled {
    child: Child,
    address: String,
}

impl Shelled {
    /// Runs `script`, in which `$0` is Taffrail and `$1` is `folder`.
    fn start(mut command: Command, script: &str, folder: &Path) -> Shelled {
        let script = format!("{script}; exec \"$0\" gateway --listen 127.0.0.1:0 --state \"$1\"");
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_taffrail")).arg(folder);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listens = |line: String| Some(line.split_once("the gateway listens on http://")?.1.to_owned());
        let address = lines.find_map(listens).unwrap();
        thread::spawn(move || lines.for_each(drop));
        Shelled { child, address }
    }
}

impl Gateway for Shelled {
    fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for Shelled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_disk_that_is_full_refuses_pushes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // Files may not grow over 128 KiB, which takes no root.
    let gateway = Shelled::start(Command::new("sh"), "trap '' XFSZ; ulimit -S -f 256", folder.path());
    let body = |number: u32| format!("x{{big=\"{}\"}} {number}\n", "y".repeat(4000));
    let refused_at = (0..200).find(|number| {
        let reply = gateway.put(&format!("/metrics/job/g{number}"), &body(*number));
        match reply.status {
            200 => false,
            503 => {
                assert!(reply.body.contains("cannot be kept on disk"), "{reply:?}");
                true
            }
            _ => panic!("{reply:?}"),
        }
    });
    let refused_at = refused_at.expect("the disk is never full");
    let exposition = gateway.exposition();
    let groups = |text: &str| text.lines().filter(|line| line.starts_with("x{")).count() as u32;
    assert_eq!(groups(&exposition), refused_at);
    assert!(crate::harness::sample(&exposition, "taffrail_gateway_pushes_total{outcome=\"unkept\"}").unwrap() >= 1.0);
    // There is room again.
    let pid = rustix::process::Pid::from_child(&gateway.child);
    let limit = rustix::process::Rlimit { current: None, maximum: None };
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap();
    assert_eq!(gateway.put("/metrics/job/later", "x 1\n").status, 200);
    drop(gateway);
    let again = Own::keeping(folder.path(), "");
    assert_eq!(groups(&again.exposition()), refused_at + 1);
}

/// A folder with a group of several parts that a gateway has kept, and its exposition.
fn kept(folder: &Path) -> String {
    let gateway = Own::keeping(folder, "");
    let big: String =
        (0..900).map(|number| format!("big{{n=\"{number}\",l=\"{}\"}} 1\n", "y".repeat(10_000))).collect();
    assert_eq!(gateway.put("/metrics/job/big", &big).status, 200);
    assert_eq!(gateway.put("/metrics/job/small", "x 1\n").status, 200);
    pushed(&crate::harness::http::request("GET", "/metrics", "").send(&gateway.address()).body)
}

fn pushed(exposition: &str) -> String {
    let lines = exposition.lines().filter(|line| line.contains("job="));
    lines.map(|line| format!("{line}\n")).collect()
}

fn now_pushed(gateway: &impl Gateway) -> String {
    pushed(&crate::harness::http::request("GET", "/metrics", "").send(&gateway.address()).body)
}

#[test]
fn a_gateway_starts_on_a_full_disk_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let before = kept(folder.path());
    // Files may not have a single byte.
    let gateway = Shelled::start(Command::new("sh"), "trap '' XFSZ; ulimit -S -f 0", folder.path());
    assert_eq!(now_pushed(&gateway), before);
    let refused = gateway.put("/metrics/job/more", "x 1\n");
    assert!(refused.status == 503 && refused.body.contains("cannot be kept on disk"), "{refused:?}");
    assert!(refused.body.contains("make room on the gateway's disk"), "{refused:?}");
    assert_eq!(gateway.delete("/metrics/job/small").status, 503);
    assert_eq!(now_pushed(&gateway), before);
    let pid = rustix::process::Pid::from_child(&gateway.child);
    let limit = rustix::process::Rlimit { current: None, maximum: None };
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap();
    assert_eq!(gateway.put("/metrics/job/more", "x 1\n").status, 200);
    let after = now_pushed(&gateway);
    drop(gateway);
    assert_eq!(now_pushed(&Own::keeping(folder.path(), "")), after);
}

#[test]
#[ignore = "mounts a file system, as root: tests/run"]
fn with_mount_a_gateway_starts_on_a_read_only_disk_and_goes_on_when_it_can_write() {
    let folder = tempfile::tempdir().unwrap();
    let before = kept(folder.path());
    // What is cut off cannot be put in order there.
    let torn = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let torn = torn.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
    std::fs::OpenOptions::new().append(true).open(torn).unwrap().write_all(b"\x99\0\0\0torn").unwrap();
    let gateway = on_a_mount("mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"", folder.path());
    assert_eq!(now_pushed(&gateway), before);
    let refused = gateway.put("/metrics/job/more", "x 1\n");
    assert!(refused.status == 503 && refused.body.contains("read-only file system"), "{refused:?}");
    assert!(refused.body.contains("mount the gateway's disk for writing"), "{refused:?}");
    let mut remount = Command::new("nsenter");
    let target = format!("--target={}", gateway.child.id());
    succeeds(remount.arg(target).args(["--mount", "mount", "-o", "remount,bind,rw"]).arg(folder.path()));
    assert_eq!(gateway.put("/metrics/job/more", "x 1\n").status, 200);
    let after = now_pushed(&gateway);
    drop(gateway);
    let again = Own::keeping(folder.path(), "");
    assert_eq!(now_pushed(&again), after);
    assert!(!again.log().join("\n").contains("damaged"), "{:?}", again.log());
}

#[test]
fn a_folder_that_is_taken_away_is_made_again_with_what_was_in_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let gateway = Own::keeping(&folder, "");
    for number in 0..20 {
        assert_eq!(gateway.put(&format!("/metrics/job/g{number}"), "x 1\n").status, 200);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let refused = gateway.put("/metrics/job/later", "x 1\n");
    assert!(refused.status == 503 && refused.body.contains("taken away"), "{refused:?}");
    // A path is as it is.
    assert!(refused.body.contains(folder.to_str().unwrap()), "{refused:?}");
    assert_eq!(gateway.put("/metrics/job/later", "x 1\n").status, 200);
    wait_until("a snapshot", || {
        let names = std::fs::read_dir(&folder).ok()?.map(|entry| entry.unwrap().path());
        names.into_iter().any(|path| path.extension().is_some_and(|extension| extension == "snapshot")).then_some(())
    });
    let before = now_pushed(&gateway);
    gateway.signal(Signal::KILL);
    drop(gateway);
    assert_eq!(now_pushed(&Own::keeping(&folder, "")), before);
}

#[test]
fn what_earlier_runs_wrote_is_shortened_and_nothing_that_was_begun_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = || -> u64 {
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    let body: String = (0..2000).map(|number| format!("m{{l=\"{}{number}\"}} 1\n", "z".repeat(400))).collect();
    let mut largest = 0;
    for _ in 0..8 {
        std::fs::write(folder.path().join("0000000001.unfinished"), "x").unwrap();
        let gateway = Own::keeping(folder.path(), "");
        assert!(!folder.path().join("0000000001.unfinished").exists());
        for _ in 0..6 {
            assert_eq!(gateway.put("/metrics/job/one", &body).status, 200);
        }
        // It ends when it has written everything, a snapshot that was begun too.
        let mut gateway = gateway;
        gateway.signal(Signal::TERM);
        assert!(gateway.process().wait().success());
        largest = largest.max(bytes());
    }
    // One run writes more than 5 MB of one group of 0.9 MB.
    assert!(largest < 20_000_000, "{largest} bytes for one group");
    let gateway = Own::keeping(folder.path(), "");
    assert_eq!(gateway.exposition().matches("m{").count(), 2000);
}

/// Starts a gateway in a mount namespace of its own, on a file system that `mount` makes.
fn on_a_mount(mount: &str, folder: &Path) -> Shelled {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh"]);
    Shelled::start(command, mount, folder)
}

fn succeeds(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

#[test]
#[ignore = "mounts a file system, as root: tests/run"]
fn with_mount_a_file_system_that_is_full_refuses_pushes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = on_a_mount("mount -t tmpfs -o size=256k none \"$1\"", folder.path());
    let big = format!("x{{big=\"{}\"}} 1\n", "y".repeat(8000));
    let push = |number: u32| gateway.put(&format!("/metrics/job/g{number}"), &big);
    let full = (0..200).find(|number| push(*number).status == 503).expect("the file system is never full");
    let said = push(full).body;
    assert!(said.contains("no space left on device"), "{said}");
    assert_eq!(gateway.exposition().matches("x{big").count() as u32, full);
    let target = format!("--target={}", gateway.child.id());
    let mut remount = Command::new("nsenter");
    succeeds(remount.arg(target).args(["--mount", "mount", "-o", "remount,size=8m"]).arg(folder.path()));
    wait_until("room", || (push(full).status == 200).then_some(()));
}

#[test]
#[ignore = "mounts a file system, as root: tests/run"]
fn with_mount_a_file_system_that_becomes_read_only_refuses_pushes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
    std::fs::create_dir(&mounted).unwrap();
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    succeeds(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image));
    let mount = format!("mount -o loop,errors=remount-ro {} \"$1\"", image.display());
    let gateway = on_a_mount(&mount, &mounted);
    let push = |number: u32| gateway.put(&format!("/metrics/job/g{number}"), "x 1\n");
    assert_eq!(push(1).status, 200);
    // What an error of the device would do.
    let devices = Command::new("losetup").arg("-j").arg(&image).output().unwrap().stdout;
    let devices = String::from_utf8(devices).unwrap();
    let device = devices.split(':').next().unwrap().trim_start_matches("/dev/");
    std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    let refused = push(2);
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("read-only file system"), "{refused:?}");
    assert!(gateway.sample("x{instance=\"\",job=\"g1\"}").is_some());
    assert!(gateway.sample("x{instance=\"\",job=\"g2\"}").is_none());
}

#[test]
fn a_client_that_is_slow_is_cut_off_and_in_nobodys_way() {
    let gateway = Own::start_with("[http]\nidle_timeout = \"1s\"\n", &[]);
    let mut slow = TcpStream::connect(gateway.address()).unwrap();
    slow.write_all(b"PUT /metrics/job/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx").unwrap();
    slow.set_read_timeout(Some(LONG_TIMEOUT)).unwrap();
    assert_eq!(gateway.put("/metrics/job/a", "x 1\n").status, 200);
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(!gateway.exposition().contains("slow"));
}

/// Series of so many bytes together, about.
fn body_of(name: &str, bytes: usize) -> String {
    let filler = "z".repeat(960);
    (0..bytes / 1000).map(|number| format!("{name}{{l=\"{filler}{number:09}\"}} 1\n")).collect()
}

const LIVE: usize = 3_900_000;

#[test]
#[ignore = "mounts a file system, as root: tests/run"]
fn with_mount_the_log_leaves_room_for_a_snapshot_on_a_small_file_system() {
    for (mebibytes, small) in [(24, 4_000), (12, 4_000), (11, 400_000), (24, LIVE)] {
        let folder = tempfile::tempdir().unwrap();
        let gateway = on_a_mount(&format!("mount -t tmpfs -o size={mebibytes}m none \"$1\""), folder.path());
        assert_eq!(gateway.put("/metrics/job/large", &body_of("a", LIVE)).status, 200);
        let small = body_of("b", small);
        // Much more than the file system holds, of which the last alone is live.
        for push in 0..60_000_000 / small.len().max(40_000) {
            let reply = gateway.put("/metrics/job/large/part/b", &small);
            assert_eq!(reply.status, 200, "{mebibytes} MiB, push {push}: {}", reply.body);
        }
        assert_eq!(gateway.delete("/metrics/job/large").status, 202);
    }
}

#[test]
#[ignore = "mounts a file system, as root: tests/run"]
fn with_mount_the_log_is_shortened_on_a_file_system_that_does_not_tell_what_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = on_a_mount("mount -t tmpfs -o size=0 none \"$1\"", folder.path());
    for _ in 0..20 {
        assert_eq!(gateway.put("/metrics/job/a", &body_of("a", 900_000)).status, 200);
    }
    let seen = format!("/proc/{}/root{}", gateway.child.id(), folder.path().display());
    wait_until("a snapshot", || {
        let mut entries = std::fs::read_dir(&seen).ok()?.map_while(Result::ok);
        entries.any(|entry| entry.path().extension().is_some_and(|extension| extension == "snapshot")).then_some(())
    });
}

#[test]
#[ignore = "mounts a file system, as root: tests/run"]
fn with_mount_whoever_deletes_gets_out_of_a_file_system_that_others_filled() {
    const GROUPS: usize = 300;
    let disk = crate::harness::disk::SmallDisk::of(12);
    let gateway = Own::keeping(disk.path(), "");
    let path = |group: usize| format!("/metrics/job/g{group}");
    for group in 0..GROUPS {
        assert_eq!(gateway.put(&path(group), &body_of("a", 8_000)).status, 200);
    }
    disk.fill();
    let refused = gateway.put("/metrics/job/more", &body_of("a", 8_000));
    assert!(refused.status == 503 && refused.body.contains("no space left"), "{refused:?}");
    // A client that pushes goes on, and holds no other up.
    let ends = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                gateway.put("/metrics/job/more", &body_of("a", 8_000));
            }
        });
        let answers: Vec<u16> = (0..50).map(|group| gateway.delete(&path(group)).status).collect();
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        pushing.join().unwrap();
        assert_eq!(answers, [202; 50]);
    });
    let groups =
        |gateway: &Own| (0..GROUPS).filter(|g| gateway.exposition().contains(&format!("job=\"g{g}\""))).count();
    gateway.signal(Signal::KILL);
    drop(gateway);
    let gateway = Own::keeping(disk.path(), "");
    assert_eq!(groups(&gateway), GROUPS - 50);
    // It started on a full disk, and is got out of all the same: what all groups held is free, and more can be pushed.
    let all = gateway.delete("/api/v1/groups?match%5B%5D=job%3D~%22g.*%22");
    assert_eq!(all.status, 200, "{all:?}");
    // The snapshot that frees it is written in the background.
    let push = || gateway.put("/metrics/job/more", &body_of("a", 8_000)).status;
    wait_until("a push to be accepted", || (push() == 200).then_some(()));
    gateway.signal(Signal::KILL);
    drop(gateway);
    let gateway = Own::keeping(disk.path(), "");
    assert_eq!((groups(&gateway), gateway.exposition().contains("job=\"more\"")), (0, true));
}
