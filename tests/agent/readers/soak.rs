//! Collectors that hang at random under load, and what is left of it: nothing.
//!
//! `TAFFRAIL_HANGS=300` makes it last for so many seconds; `TAFFRAIL_HANGS_SEED` is what it printed, to have the same hangs
//! again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Load, TIMEOUT, config, successes, wait_for_reading_threads};
use crate::harness::hanging::{HangingFile, copied_host};
use crate::harness::server::FakeInflux;
use crate::harness::{Taffrail, get, wait_until};

/// Files of the host that hang now and then, each with the collector that reads it.
const FILES: [(&str, &str); 6] = [
    ("loadavg", "proc/loadavg"),
    ("filefd", "proc/sys/fs/file-nr"),
    ("meminfo", "proc/meminfo"),
    ("sockstat", "proc/net/sockstat"),
    ("vmstat", "proc/vmstat"),
    ("entropy", "proc/sys/kernel/random/entropy_avail"),
];

/// What goes on at the same time until it is stopped.
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
