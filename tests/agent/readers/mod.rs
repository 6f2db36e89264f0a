//! Collectors that hang, and what is left of it when the hang is over: nothing.

mod soak;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::harness::hanging::{HangingFile, copied_host};
use crate::harness::{Answer, Taffrail, get, host_section, recorded_host, wait_until};

const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Whether a collector was read.
fn is_read(scrape: &Answer, collector: &str) -> bool {
    scrape.sample(&format!("node_scrape_collector_success{{collector=\"{collector}\"}}")) == Some(1.0)
}

/// The threads that read.
fn reading_threads(taffrail: &Taffrail) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", taffrail.pid())).unwrap().flatten();
    let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
    names.filter(|name| name.trim() == "read" || name.starts_with("read-")).count()
}

fn wait_for_reading_threads(taffrail: &Taffrail, count: usize) {
    wait_until(&format!("{count} threads that read"), || (reading_threads(taffrail) == count).then_some(()));
}

/// Waits until the collector is known to hang; this request does not wait for it.
fn wait_for_hang(taffrail: &Taffrail) {
    wait_until("a collector that hangs", || {
        let scrape = taffrail.get_with("/metrics", &[(TIMEOUT, "0.1")]);
        (scrape.sample("taffrail_collectors_hung") == Some(1.0)).then_some(())
    });
}

/// A configuration with these collectors alone.
fn config(tree: &Path, collectors: &[&str], more: &str) -> String {
    format!("{}[collectors]\ndefault = false\nenable = {collectors:?}\n{more}", host_section(tree))
}

#[test]
fn a_collector_that_hung_while_two_scrapes_waited_is_there_in_the_next() {
    let host = copied_host();
    let loadavg = HangingFile::new(host.path(), "proc/loadavg");
    for _ in 0..3 {
        // Each time of a new process, for the first readings are the ones that go wrong.
        loadavg.hang();
        let taffrail = Taffrail::start(&config(host.path(), &["loadavg", "uname"], ""));
        let url = taffrail.url("/metrics");
        let scrape = |delay: u64| {
            let url = url.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(delay));
                get(&url, &[]).unwrap()
            })
        };
        // The second comes before the first has been found to hang.
        let waiting = [scrape(0), scrape(150)];
        wait_for_hang(&taffrail);
        loadavg.answer();
        for scrape in waiting {
            assert!(is_read(&scrape.join().unwrap(), "uname"));
        }
        for _ in 0..3 {
            let scrape = taffrail.get("/metrics");
            assert!(is_read(&scrape, "loadavg") && is_read(&scrape, "uname"), "{}", scrape.text());
            assert_eq!(scrape.sample("taffrail_collectors_hung"), Some(0.0));
        }
        wait_for_reading_threads(&taffrail, 1);
        assert_eq!(taffrail.logged("no answer in time"), 0, "{:#?}", taffrail.log());
    }
}

#[test]
fn what_is_known_to_hang_is_not_waited_for_again() {
    let host = copied_host();
    let files = ["proc/loadavg", "proc/sys/fs/file-nr"].map(|name| HangingFile::new(host.path(), name));
    files.iter().for_each(HangingFile::hang);
    // Waiting as long as these collectors may take would exceed the time of this test.
    let settings = "[collectors.loadavg]\ntimeout = \"10m\"\n[collectors.filefd]\ntimeout = \"10m\"\n";
    let taffrail = Taffrail::start(&config(host.path(), &["loadavg", "filefd", "uname"], settings));
    let first = taffrail.get_with("/metrics", &[(TIMEOUT, "2")]);
    assert!(is_read(&first, "uname") && !is_read(&first, "loadavg") && !is_read(&first, "filefd"));
    for _ in 0..20 {
        let scrape = taffrail.get("/metrics");
        assert!(is_read(&scrape, "uname"));
        assert_eq!(scrape.sample("taffrail_collectors_hung"), Some(2.0));
    }
    assert_eq!(reading_threads(&taffrail), 3, "one for each that hangs, and one for the others");
    files.iter().for_each(HangingFile::answer);
    let scrape = taffrail.get("/metrics");
    assert!(["loadavg", "filefd", "uname"].iter().all(|name| is_read(&scrape, name)), "{}", scrape.text());
    wait_for_reading_threads(&taffrail, 1);
}

#[test]
fn no_client_can_fill_the_log_with_its_own_impatience() {
    let host = copied_host();
    let loadavg = HangingFile::new(host.path(), "proc/loadavg");
    let taffrail =
        Taffrail::start(&config(host.path(), &["loadavg", "uname"], "[collectors.loadavg]\ntimeout = \"10m\"\n"));
    let impatient = || taffrail.get_with("/metrics", &[(TIMEOUT, "0.000001")]);
    assert!(is_read(&taffrail.get("/metrics"), "loadavg"));
    let before = taffrail.log();
    for _ in 0..100 {
        assert_eq!(impatient().status, 200);
    }
    loadavg.hang();
    for _ in 0..100 {
        let scrape = impatient();
        assert!(scrape.status == 200 && !is_read(&scrape, "loadavg"));
    }
    assert_eq!(taffrail.log(), before);
    loadavg.answer();
    assert!(is_read(&taffrail.get("/metrics"), "loadavg"));
}

#[test]
fn a_reload_leaves_no_thread_behind_when_the_hang_is_over() {
    let host = copied_host();
    let loadavg = HangingFile::new(host.path(), "proc/loadavg");
    let with = |timeout: u32| {
        config(host.path(), &["loadavg", "uname"], &format!("[collectors.loadavg]\ntimeout = \"{timeout}s\"\n"))
    };
    let taffrail = Taffrail::start(&with(600));
    assert!(is_read(&taffrail.get("/metrics"), "loadavg"));
    loadavg.hang();
    for timeout in 601..604 {
        wait_for_hang(&taffrail);
        taffrail.reload(&with(timeout));
    }
    loadavg.answer();
    let scrape = taffrail.get("/metrics");
    assert!(is_read(&scrape, "loadavg") && is_read(&scrape, "uname"), "{}", scrape.text());
    wait_for_reading_threads(&taffrail, 1);
}

/// Threads that do nothing but to take processors' time, until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn of(threads: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let stop = stop.clone();
            thread::spawn(move || while !stop.load(SeqCst) {});
        }
        Load(stop)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn slowness_is_no_hang() {
    let taffrail = Taffrail::start(&recorded_host());
    let reads: Vec<String> = successes(&taffrail.get("/metrics"));
    let before = taffrail.log();
    let load = Load::of(10 * thread::available_parallelism().map_or(2, usize::from));
    let url = taffrail.url("/metrics");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(successes(&get(&url, &[]).unwrap()), reads);
                }
            });
        }
    });
    drop(load);
    assert_eq!(taffrail.log(), before);
    wait_for_reading_threads(&taffrail, 1);
}

/// The collectors that were read, of those that this host has.
fn successes(scrape: &Answer) -> Vec<String> {
    let read = |line: &str| line.strip_prefix("node_scrape_collector_success{")?.strip_suffix(" 1").map(str::to_owned);
    scrape.text().lines().filter_map(read).collect()
}
