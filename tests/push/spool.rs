//! What becomes of points that wait on disk: kills, restarts, reloads, outages, disks that take nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::http::request;
use crate::harness::server::{FakeInflux, reply};
use crate::harness::{Taffrail, recorded_host, wait_until};
use rustix::process::Signal;

const QUEUED: &str = "taffrail_sink_queued_points{sink=\"central\"}";
const UNKEPT: &str = "taffrail_sink_unkept_points{sink=\"central\"}";

fn config(server: &FakeInflux, folder: &Path, more: &str) -> String {
    format!(
        "{}[collectors]\ndefault = false\nenable = [\"loadavg\", \"stat\"]\n\
         [agent]\ninterval = \"100ms\"\nflush_interval = \"100ms\"\nhostname = \"web-1\"\n\
         [gateway]\nlisten = [\"127.0.0.1:0\"]\n\
         [spool]\nfolder = \"{}\"\n{more}\
         [[sinks.influxdb]]\nname = \"central\"\nretry_min = \"50ms\"\nretry_max = \"100ms\"\n\
         urls = [\"{}\"]\ndatabase = \"telegraf\"\n",
        recorded_host(),
        folder.display(),
        server.url()
    )
}

/// The timestamps of the points of `system`, one for each tick.
fn ticks(lines: &[String]) -> Vec<u64> {
    let timestamp = |line: &String| line.rsplit(' ').next().unwrap().parse().unwrap();
    lines.iter().filter(|line| line.starts_with("system,")).map(timestamp).collect()
}

/// Pushes one number after the other to the gateway, which hands each to the sink as a point.
struct Numbers {
    gateway: String,
    next: u64,
}

impl Numbers {
    fn of(taffrail: &Taffrail, next: u64) -> Self {
        Numbers { gateway: taffrail.gateway(), next }
    }

    fn push(&mut self, count: u64) {
        for _ in 0..count {
            let body = format!("number {}\n", self.next);
            assert_eq!(request("PUT", "/metrics/job/count", body).send(&self.gateway).status, 200);
            self.next += 1;
        }
    }
}

/// The numbers that were stored, in the order in which they came.
fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| line.split_once(" number=")?.1.split([' ', ',']).next()?.parse().ok();
    lines.iter().filter_map(number).collect()
}

fn wait_for_queued(taffrail: &Taffrail, least: f64) -> f64 {
    wait_until("points to wait on disk", || {
        let scrape = taffrail.get("/metrics");
        let kept = scrape.sample(QUEUED)? - scrape.sample(UNKEPT)?;
        (kept >= least).then_some(kept)
    })
}

#[test]
fn what_was_measured_while_the_server_was_away_outlives_kills_and_an_end() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    let (mut kept, mut next) = (0.0, 0);
    for round in 0..4 {
        let mut taffrail = Taffrail::start(&config(&server, folder.path(), ""));
        let mut numbers = Numbers::of(&taffrail, next);
        numbers.push(50);
        next = numbers.next;
        kept = wait_for_queued(&taffrail, kept + 60.0);
        taffrail.signal(if round % 2 == 0 { Signal::KILL } else { Signal::TERM });
        taffrail.wait();
        if round % 2 == 1 {
            assert_eq!(taffrail.logged("points wait on disk for the next start"), 1, "{:#?}", taffrail.log());
            assert_eq!(taffrail.logged("lost"), 0);
        }
    }
    server.answer(|_| reply(204, ""));
    let taffrail = Taffrail::start(&config(&server, folder.path(), ""));
    wait_until("everything", || taffrail.get("/metrics").sample(QUEUED).filter(|queued| *queued < 10.0));
    let stored = server.stored();
    assert!(stored.len() as f64 >= kept, "{} of {kept}", stored.len());
    let distinct: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "no point twice");
    let mut numbers = numbers(&stored);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..next).collect::<Vec<_>>());
}

/// A push that was answered is where it was sent to: at the gateway, and on the way to every sink.
#[test]
fn what_was_pushed_reaches_the_sinks_though_all_ends_the_moment_it_is_answered() {
    const PUSHES: u64 = 10;
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    for number in 0..PUSHES {
        let mut taffrail = Taffrail::start(&config(&server, folder.path(), ""));
        Numbers::of(&taffrail, number).push(1);
        taffrail.signal(Signal::KILL);
        taffrail.wait();
    }
    server.answer(|_| reply(204, ""));
    let _taffrail = Taffrail::start(&config(&server, folder.path(), ""));
    wait_until("all numbers", || {
        let stored: BTreeSet<u64> = numbers(&server.stored()).into_iter().collect();
        (stored == (0..PUSHES).collect()).then_some(())
    });
}

#[test]
fn after_an_outage_what_is_measured_now_does_not_wait_for_what_waited() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    // A backlog of some hundred points, of which some are sent per second.
    let rate = "rate = 50\n";
    let agent = "[agent]\nmetric_batch_size = 10\n";
    let config = config(&server, folder.path(), rate).replace("[agent]\n", agent);
    let taffrail = Taffrail::start(&config);
    let mut pushed = Numbers::of(&taffrail, 0);
    pushed.push(120);
    let waited = wait_for_queued(&taffrail, 150.0);
    server.answer(|_| reply(204, ""));
    let before = server.stored().len();
    let fresh = wait_until("fresh points", || {
        let stored = server.stored();
        let ticks = ticks(&stored);
        let newest = ticks.iter().max()?;
        // The first that is stored is the oldest, which the server was asked to take again and again.
        (stored.len() > before + 20 && *newest > ticks[0] + 1_000_000_000).then_some(stored.len())
    });
    let queued = taffrail.get("/metrics").sample(QUEUED).unwrap();
    assert!(queued > waited / 4.0, "{queued} of {waited} wait yet, when {fresh} are there");
    wait_until("the backlog", || taffrail.get("/metrics").sample(QUEUED).filter(|queued| *queued < 10.0));
    let numbers = numbers(&server.stored());
    assert_eq!(numbers, (0..120).collect::<Vec<_>>(), "the backlog in its order");
}

#[test]
fn a_sink_that_is_changed_by_a_reload_goes_on_with_what_waits() {
    let away = FakeInflux::start(|_| reply(503, ""));
    let there = FakeInflux::agreeable();
    let folder = tempfile::tempdir().unwrap();
    let taffrail = Taffrail::start(&config(&away, folder.path(), ""));
    let kept = wait_for_queued(&taffrail, 30.0);
    taffrail.reload(&config(&there, folder.path(), ""));
    wait_until("everything", || Some(there.stored()).filter(|stored| stored.len() as f64 >= kept));
    let stored = there.stored();
    assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), stored.len(), "no point twice");
}

#[test]
fn a_folder_that_cannot_be_used_is_told_and_costs_nothing_but_itself() {
    let server = FakeInflux::agreeable();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let taffrail = Taffrail::start(&config(&server, &file, ""));
    taffrail.wait_for_log("points are kept in memory only");
    server.wait_for_writes(3);
    // It is tried again.
    std::fs::remove_file(&file).unwrap();
    taffrail.wait_for_log("can be used now");
    server.wait_for_writes(6);
}

#[test]
#[ignore = "needs root, to mount a small file system: tests/run"]
fn with_mount_a_full_disk_is_told_and_points_wait_in_memory() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    let mountpoint = folder.path().to_str().unwrap();
    crate::harness::docker::run("mount", &["-t", "tmpfs", "-o", "size=64k", "taffrail-test", mountpoint]);
    let _unmounted = Unmounted(mountpoint.to_owned());
    let taffrail = Taffrail::start(&config(&server, folder.path(), ""));
    let mut pushed = Numbers::of(&taffrail, 0);
    wait_until("a full disk", || {
        pushed.push(10);
        (taffrail.logged("as the disk takes none") > 0).then_some(())
    });
    pushed.push(10);
    let full = taffrail.get("/metrics");
    wait_until("points in memory", || taffrail.get("/metrics").sample(UNKEPT).filter(|unkept| *unkept > 10.0));
    assert!(full.sample(QUEUED).unwrap() > 100.0);
    server.answer(|_| reply(204, ""));
    taffrail.wait_for_log("points are kept on disk again");
    wait_until("everything", || taffrail.get("/metrics").sample(QUEUED).filter(|queued| *queued < 10.0));
    let mut numbers = numbers(&server.stored());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..pushed.next).collect::<Vec<_>>());
}

struct Unmounted(String);

impl Drop for Unmounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["--lazy", &self.0]).status();
    }
}

#[test]
fn a_spool_that_is_removed_is_told_and_made_again_and_delivery_goes_on() {
    let server = FakeInflux::agreeable();
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut taffrail = Taffrail::start(&config(&server, &spool, ""));
    server.wait_for_writes(3);
    std::fs::remove_dir_all(&spool).unwrap();
    let reported = taffrail.wait_for_log("was removed");
    assert!(reported.contains("spool/central"), "{reported}");
    let before = server.writes().len();
    server.wait_for_writes(before + 5);
    assert!(spool.join("central").is_dir());
    assert_eq!(taffrail.logged("was removed"), 1, "{:#?}", taffrail.log());
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    assert_eq!(taffrail.logged("wait on disk"), 0, "{:#?}", taffrail.log());
}

#[test]
fn what_waits_is_kept_when_the_spool_is_removed_or_replaced_while_the_server_is_away() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    let (spool, elsewhere) = (folder.path().join("spool"), folder.path().join("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    let mut taffrail = Taffrail::start(&config(&server, &spool, ""));
    let mut pushed = Numbers::of(&taffrail, 0);
    pushed.push(20);
    wait_for_queued(&taffrail, 30.0);
    std::fs::remove_dir_all(&spool).unwrap();
    taffrail.wait_for_log("was removed");
    pushed.push(20);
    wait_for_queued(&taffrail, 60.0);
    std::fs::rename(&spool, folder.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &spool).unwrap();
    taffrail.wait_for_log("it cannot be made again");
    pushed.push(20);
    wait_until("points in memory", || taffrail.get("/metrics").sample(UNKEPT).filter(|unkept| *unkept > 90.0));
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing goes through the link");
    std::fs::remove_file(&spool).unwrap();
    taffrail.wait_for_log("can be used now");
    wait_for_queued(&taffrail, 90.0);
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    server.answer(|_| reply(204, ""));
    let taffrail = Taffrail::start(&config(&server, &spool, ""));
    wait_until("everything", || taffrail.get("/metrics").sample(QUEUED).filter(|queued| *queued < 10.0));
    let mut numbers = numbers(&server.stored());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
}

/// The segment of the sink that is the largest.
fn segment(spool: &Path) -> PathBuf {
    let entries = std::fs::read_dir(spool.join("central")).unwrap().map(|entry| entry.unwrap().path());
    let segments = entries.filter(|path| path.extension().is_some_and(|extension| extension == "points"));
    segments.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[test]
fn a_file_that_is_damaged_while_points_wait_in_it_is_told_and_counted_and_delivery_goes_on() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    let taffrail = Taffrail::start(&config(&server, folder.path(), ""));
    let mut pushed = Numbers::of(&taffrail, 0);
    pushed.push(60);
    wait_for_queued(&taffrail, 70.0);
    // Zeros, from behind the first bytes to half of it.
    let file = std::fs::OpenOptions::new().write(true).open(segment(folder.path())).unwrap();
    let half = file.metadata().unwrap().len() as usize / 2;
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0; half], 8).unwrap();
    pushed.push(20);
    server.answer(|_| reply(204, ""));
    wait_until("what came later", || numbers(&server.stored()).contains(&79).then_some(()));
    wait_until("an empty queue", || taffrail.get("/metrics").sample(QUEUED).filter(|queued| *queued < 10.0));
    let damaged = "taffrail_sink_points_dropped_total{reason=\"damaged\",sink=\"central\"}";
    let damaged = taffrail.get("/metrics").sample(damaged).unwrap();
    let missing = 80 - numbers(&server.stored()).len();
    assert!(damaged >= missing as f64 && damaged > 0.0, "{damaged} are counted, and {missing} numbers are missing");
    assert_eq!(taffrail.logged("the spool is damaged"), 1, "{:#?}", taffrail.log());
}

#[test]
fn what_is_put_in_the_place_of_the_spools_own_files_is_told_once_and_its_end_too() {
    let server = FakeInflux::agreeable();
    let folder = tempfile::tempdir().unwrap();
    let (spool, other) = (folder.path().join("spool"), folder.path().join("other"));
    std::fs::write(&other, "secret").unwrap();
    let mut taffrail = Taffrail::start(&config(&server, &spool, ""));
    server.wait_for_writes(3);
    let puts: [fn(&Path, &Path); 2] =
        [|other, at| std::os::unix::fs::symlink(other, at).unwrap(), |_, at| std::fs::create_dir(at).unwrap()];
    for (round, put) in puts.into_iter().enumerate() {
        for name in ["lock", "places"] {
            let at = spool.join("central").join(name);
            std::fs::remove_file(&at).unwrap();
            put(&other, &at);
        }
        wait_until("a line", || (taffrail.logged("remove what stands there") > round).then_some(()));
        let writes = server.writes().len();
        server.wait_for_writes(writes + 10);
        for name in ["lock", "places"] {
            let at = spool.join("central").join(name);
            let _ = std::fs::remove_file(&at).or_else(|_| std::fs::remove_dir(&at));
        }
        wait_until("its end", || (taffrail.logged("is whole again") > round).then_some(()));
    }
    assert_eq!(std::fs::read(&other).unwrap(), b"secret");
    std::os::unix::fs::symlink(&other, spool.join("central/lock.new")).unwrap();
    std::fs::rename(spool.join("central/lock.new"), spool.join("central/lock")).unwrap();
    wait_until("a line", || (taffrail.logged("remove what stands there") > 2).then_some(()));
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    // Both files may have been seen one after the other.
    assert!(taffrail.logged("remove what stands there") <= 5, "{:#?}", taffrail.log());
    assert_eq!(taffrail.logged("ERROR"), taffrail.logged("remove what stands there"), "{:#?}", taffrail.log());
}

/// The same configuration, of a sink that has no name but that of its position.
fn nameless(server: &FakeInflux, folder: &Path) -> String {
    config(server, folder, "").replace("name = \"central\"\n", "")
}

#[test]
fn what_waits_for_a_server_goes_to_the_one_that_takes_its_place_at_a_restart_and_a_reload() {
    let away = FakeInflux::start(|_| reply(503, ""));
    let also_away = FakeInflux::start(|_| reply(503, ""));
    let there = FakeInflux::agreeable();
    let folder = tempfile::tempdir().unwrap();
    let mut taffrail = Taffrail::start(&nameless(&away, folder.path()));
    Numbers::of(&taffrail, 0).push(20);
    wait_until("points on disk", || {
        let scrape = taffrail.get("/metrics");
        let of = |family: &str| scrape.sample(&format!("{family}{{sink=\"influxdb:{}/telegraf\"}}", away.address));
        (of("taffrail_sink_queued_points")? > 20.0 && of("taffrail_sink_unkept_points")? == 0.0).then_some(())
    });
    taffrail.signal(Signal::KILL);
    taffrail.wait();
    let taffrail = Taffrail::start(&nameless(&also_away, folder.path()));
    let reported = taffrail.wait_for_log("are sent by this one now");
    assert!(
        reported.contains(&away.address.to_string()) && reported.contains(&also_away.address.to_string()),
        "{reported}"
    );
    Numbers::of(&taffrail, 20).push(20);
    also_away.wait_for_writes(3);
    taffrail.reload(&nameless(&there, folder.path()));
    let stored = wait_until("all numbers", || Some(there.stored()).filter(|stored| numbers(stored).len() >= 40));
    let mut numbers = numbers(&stored);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert_eq!(taffrail.get("/metrics").sample("taffrail_spool_orphaned_points"), Some(0.0));
    let folders: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
}

#[test]
fn what_waits_moves_with_the_spool_at_a_reload() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut taffrail = Taffrail::start(&config(&server, folder.path(), ""));
    Numbers::of(&taffrail, 0).push(20);
    let waited = wait_for_queued(&taffrail, 20.0);
    taffrail.reload(&config(&server, other.path(), ""));
    wait_for_queued(&taffrail, waited);
    taffrail.signal(Signal::KILL);
    taffrail.wait();
    server.answer(|_| reply(204, ""));
    let _taffrail = Taffrail::start(&config(&server, other.path(), ""));
    let stored = wait_until("all numbers", || Some(server.stored()).filter(|stored| numbers(stored).len() >= 20));
    let mut numbers = numbers(&stored);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}

#[test]
fn what_waits_is_not_sent_by_a_sink_of_another_kind_and_is_told_and_counted() {
    let server = FakeInflux::start(|_| reply(503, ""));
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut taffrail = Taffrail::start(&config(&server, &spool, ""));
    Numbers::of(&taffrail, 0).push(20);
    wait_for_queued(&taffrail, 20.0);
    let out = folder.path().join("out.prom");
    let file =
        format!("[[sinks.file]]\nname = \"central\"\ndata_format = \"prometheus\"\npath = \"{}\"\n", out.display());
    let config_of_file = config(&server, &spool, "");
    let config_of_file = format!("{}{file}", config_of_file.split_once("[[sinks.influxdb]]").unwrap().0);
    taffrail.reload(&config_of_file);
    taffrail.wait_for_log("belong to no sink");
    let orphaned = |taffrail: &Taffrail| taffrail.get("/metrics").sample("taffrail_spool_orphaned_points").unwrap();
    wait_until("the count", || (orphaned(&taffrail) >= 20.0).then_some(()));
    let text = wait_until("the file", || std::fs::read_to_string(&out).ok().filter(|text| text.contains("node_load1")));
    assert!(!text.contains("number="), "{text}");
    taffrail.signal(Signal::TERM);
    taffrail.wait();
    let mut taffrail = Taffrail::start(&config_of_file);
    let reported = taffrail.wait_for_log("which belongs to no sink");
    assert!(reported.contains("spool/central"), "{reported}");
    assert!(reported.contains("give the name \"central\" to one of [[sinks.influxdb]], or delete it"), "{reported}");
    assert!(orphaned(&taffrail) >= 20.0);
    taffrail.signal(Signal::TERM);
    taffrail.wait();
    // Under its own name and kind it is sent.
    server.answer(|_| reply(204, ""));
    let _taffrail = Taffrail::start(&config(&server, &spool, ""));
    let stored = wait_until("all numbers", || Some(server.stored()).filter(|stored| numbers(stored).len() >= 20));
    let mut numbers = numbers(&stored);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}
