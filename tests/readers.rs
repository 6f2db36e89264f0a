//! Collectors that hang, and what is left of it when the hang is over: nothing.
//!
//! `TAFFRAIL_HANGS=300` makes the soak last for so many seconds; `TAFFRAIL_HANGS_SEED` is what it printed, to have the same
//! hangs again.

mod harness;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::hanging::{HangingFile, copied_host};
use harness::server::FakeInflux;
use harness::{Answer, Taffrail, get, host_section, recorded_host, wait_until};

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

/// Waits until the collector is known to hang; whoever asks for it here does not wait for it.
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
    // Whoever waited as long as these collectors may take would not come to the end of this test.
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
struct Load(std::sync::Arc<AtomicBool>);

impl Load {
    fn of(threads: usize) -> Load {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
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

/// Files of the host that hang now and then, each with the collector that reads it.
const FILES: [(&str, &str); 6] = [
    ("loadavg", "proc/loadavg"),
    ("filefd", "proc/sys/fs/file-nr"),
    ("meminfo", "proc/meminfo"),
    ("sockstat", "proc/net/sockstat"),
    ("vmstat", "proc/vmstat"),
    ("entropy", "proc/sys/kernel/random/entropy_avail"),
];

/// What goes on at the same time until it is told to stop.
struct Soak {
    seed: u64,
    stop: AtomicBool,
    hangs: AtomicUsize,
    reloads: AtomicUsize,
}

impl Soak {
    fn goes_on(&self) -> bool {
        !self.stop.load(SeqCst)
    }

    fn random(&self, of: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_mul(1000).wrapping_add(of))
    }

    /// The file hangs for 0.1 to 3 seconds, again and again.
    fn hang(&self, file: &HangingFile, mut random: Rng) {
        while self.goes_on() {
            thread::sleep(Duration::from_millis(random.u64(0..1500)));
            file.hang();
            self.hangs.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(random.u64(100..3000)));
            file.answer();
        }
    }

    /// Scrapes of all collectors and of some, by clients with much time and with little.
    fn scrape(&self, url: &str, mut random: Rng) {
        while self.goes_on() {
            let limit = ["0.001", "0.3", "1", "10"][random.usize(..4)];
            let chosen = ["", "?collect[]=loadavg&collect[]=uname", "?exclude[]=loadavg"][random.usize(..3)];
            let answer = get(&format!("{url}{chosen}"), &[(TIMEOUT, limit)]).unwrap();
            assert_eq!(answer.status, 200);
            thread::sleep(Duration::from_millis(random.u64(0..200)));
        }
    }

    /// Reloads of a configuration with other collectors.
    fn reload(&self, taffrail: &Taffrail, config: &str, mut random: Rng) {
        while self.goes_on() {
            thread::sleep(Duration::from_millis(random.u64(1000..4000)));
            let reloads = self.reloads.fetch_add(1, SeqCst);
            taffrail.reload(&config.replace("timeout = \"5s\"", &format!("timeout = \"{}ms\"", 5000 + reloads)));
        }
    }
}

#[test]
fn soak_of_hangs_under_load_ends_with_every_collector_in_the_next_scrape() {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let seed = setting("TAFFRAIL_HANGS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TAFFRAIL_HANGS_SEED={seed}");
    let host = copied_host();
    let files = FILES.map(|(_, name)| HangingFile::new(host.path(), name));
    let influx = FakeInflux::agreeable();
    let collectors = FILES.map(|(collector, _)| collector);
    let settings = format!(
        "[collectors.loadavg]\ntimeout = \"5s\"\n[collectors.sockstat]\ntimeout = \"500ms\"\n\
         [collectors.entropy]\ninterval = \"200ms\"\n[agent]\ninterval = \"300ms\"\nflush_interval = \"1s\"\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        influx.url()
    );
    let config = config(host.path(), &collectors, &settings);
    let config = config.replace("enable = [", "enable = [\"uname\", ");
    let taffrail = Taffrail::start(&config);
    let base = successes(&taffrail.get("/metrics"));
    assert_eq!(base.len(), FILES.len() + 1, "{base:?}");

    let soak = Soak { seed, stop: AtomicBool::new(false), hangs: AtomicUsize::new(0), reloads: AtomicUsize::new(0) };
    let (begun, url) = (Instant::now(), taffrail.url("/metrics"));
    let lasts = Duration::from_secs(setting("TAFFRAIL_HANGS").unwrap_or(20));
    let load = Load::of(2 * thread::available_parallelism().map_or(2, usize::from));
    thread::scope(|scope| {
        for (file, number) in files.iter().zip(0..) {
            let soak = &soak;
            scope.spawn(move || soak.hang(file, soak.random(number)));
        }
        for number in 10..14 {
            let (soak, url) = (&soak, &url);
            scope.spawn(move || soak.scrape(url, soak.random(number)));
        }
        scope.spawn(|| soak.reload(&taffrail, &config, soak.random(20)));
        while begun.elapsed() < lasts {
            thread::sleep(Duration::from_millis(100));
        }
        soak.stop.store(true, SeqCst);
    });
    // One may have opened a file just before it was another.
    files.iter().for_each(HangingFile::release);
    let read = successes(&taffrail.get("/metrics"));
    let missing: Vec<&String> = base.iter().filter(|name| !read.contains(name)).collect();
    // What is refreshed in the background is there with the next refresh.
    assert!(missing.iter().all(|name| name.contains("entropy")), "{missing:?} {:#?}", taffrail.log());
    wait_until("the refresh in the background", || (successes(&taffrail.get("/metrics")) == base).then_some(()));
    drop(load);
    assert_eq!(taffrail.get("/metrics").sample("taffrail_collectors_hung"), Some(0.0));
    wait_for_reading_threads(&taffrail, 2);
    // A hang can begin, change to a failure, and end; those who came with a reload see it too.
    let (hangs, reloads) = (soak.hangs.load(SeqCst), soak.reloads.load(SeqCst));
    let logged = taffrail.logged("collector=");
    assert!(logged <= 3 * (hangs + reloads * FILES.len()), "{logged} lines for {hangs} hangs: {:#?}", taffrail.log());
}
