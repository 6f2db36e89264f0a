//! Everything that can go wrong between Taffrail and its database, at random and for a while; and then every number that
//! was on disk must be in the database.
//!
//! The server answers 500, or nothing, or cuts the connection, or is slow, or its answers get lost; it is killed; so is
//! Taffrail; the disk of the spool is full; the clock is set forth and back.
//!
//! `TAFFRAIL_FAULTS=300` makes it last for so many seconds; `TAFFRAIL_FAULTS_SEED` is what it printed, to see the same again.

mod database;
mod way;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::clock::Clock;
use crate::harness::disk::SmallDisk;
use crate::harness::http::request;
use crate::harness::real::free_port;
use crate::harness::{Taffrail, recorded_host, wait_until};
use database::Database;
use rustix::process::Signal;
use way::{FAULTS, Fault, Way};

/// Taffrail with a spool in a folder of its own, that pushes by that way, at a time of its own.
struct Agent {
    taffrail: Taffrail,
    gateway: String,
}

impl Agent {
    fn start(database: Database, way: &Way, spool: &Path, clock: &Clock) -> Agent {
        let config = format!(
            "{}[collectors]\ndefault = false\nenable = [\"loadavg\"]\n\
             [agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\nmetric_batch_size = 20\nhostname = \"web-1\"\n\
             [gateway]\nlisten = [\"127.0.0.1:0\"]\n[spool]\nfolder = \"{}\"\nrate = 400\n\
             {}name = \"central\"\nretry_min = \"50ms\"\nretry_max = \"300ms\"\ntimeout = \"500ms\"\n",
            recorded_host(),
            spool.display(),
            database.sink(&way.address.to_string()),
        );
        let environment = clock.environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &environment);
        taffrail.wait_for_log("listening on");
        let gateway = taffrail.gateway();
        Agent { taffrail, gateway }
    }

    /// Numbers that follow each other are of different jobs, as a database may have one value of a series in a millisecond.
    fn push(&self, number: u64) {
        let body = format!("number {number}\n");
        let path = format!("/metrics/job/count-{}", number % 40);
        assert_eq!(request("PUT", &path, body).send(&self.gateway).status, 200);
    }

    fn sample(&self, family: &str) -> f64 {
        self.taffrail.get("/metrics").sample(&format!("{family}{{sink=\"central\"}}")).unwrap()
    }
}

/// What is done to an agent and its database, at random.
struct Scene {
    database: Database,
    folder: tempfile::TempDir,
    port: u16,
    disk: SmallDisk,
    way: Way,
    clock: Clock,
    server: Option<crate::harness::real::Server>,
    agent: Agent,
    /// What the agents before this one logged.
    log: Vec<String>,
}

impl Scene {
    fn new(database: Database) -> Scene {
        let (folder, port, disk, clock) = (tempfile::tempdir().unwrap(), free_port(), SmallDisk::mount(), Clock::new());
        let server = Some(database.start(folder.path(), port));
        let way = Way::to(port);
        let agent = Agent::start(database, &way, &disk.path().join("spool"), &clock);
        Scene { database, folder, port, disk, way, clock, server, agent, log: Vec::new() }
    }

    fn restart_agent(&mut self, signal: Signal) {
        self.agent.taffrail.signal(signal);
        self.agent.taffrail.wait();
        self.log.extend(self.agent.taffrail.log());
        self.agent = Agent::start(self.database, &self.way, &self.disk.path().join("spool"), &self.clock);
    }

    /// Does something, and says what, and whether Taffrail itself was ended.
    fn disturb(&mut self, random: &mut fastrand::Rng) -> (String, bool) {
        match random.u8(..100) {
            0..=54 => {
                let fault = *random.choice(&FAULTS).unwrap();
                self.way.has(fault);
                (format!("{fault:?}"), false)
            }
            55..=64 => {
                self.restart_agent(Signal::KILL);
                ("Taffrail was killed".to_owned(), true)
            }
            65..=69 => {
                self.restart_agent(Signal::TERM);
                ("Taffrail was restarted".to_owned(), true)
            }
            70..=79 => {
                self.database.end(self.server.take().unwrap());
                thread::sleep(Duration::from_millis(random.u64(..800)));
                self.server = Some(self.database.start(self.folder.path(), self.port));
                ("the database was killed".to_owned(), false)
            }
            80..=85 => {
                self.disk.fill();
                ("the disk is full".to_owned(), false)
            }
            86..=91 => {
                self.disk.free();
                ("the disk has room".to_owned(), false)
            }
            _ if self.database.takes_any_time() => {
                let seconds = *random.choice(&[-3600, -60, -1, 0, 1, 60, 3600]).unwrap();
                self.clock.set(seconds);
                (format!("the clock was set to {seconds:+} s"), false)
            }
            _ => ("nothing".to_owned(), false),
        }
    }
}

fn no_number_is_missing(database: Database) {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = setting("TAFFRAIL_FAULTS").unwrap_or(25);
    let seed = setting("TAFFRAIL_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TAFFRAIL_FAULTS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::new(database);
    // Numbers that were pushed, and of them those that were on disk when the test looked.
    let (mut next, mut on_disk, mut happened) = (0, BTreeSet::new(), Vec::new());
    let mut since_looked = BTreeSet::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..random.u64(1..30) {
            scene.agent.push(next);
            since_looked.insert(next);
            next += 1;
        }
        if scene.agent.sample("taffrail_sink_unkept_points") == 0.0 {
            on_disk.append(&mut since_looked);
        }
        let (what, was_ended) = scene.disturb(&mut random);
        happened.push(what);
        if was_ended {
            since_looked.clear();
        }
        thread::sleep(Duration::from_millis(random.u64(..600)));
    }
    scene.way.has(Fault::None);
    scene.disk.free();
    scene.clock.set(0);
    let (agent, server) = (&scene.agent, scene.server.as_ref().unwrap());
    let reported =
        || format!("TAFFRAIL_FAULTS_SEED={seed}: {happened:?}\n{:#?}\n{:#?}", scene.log, agent.taffrail.log());
    wait_until(&reported(), || (agent.sample("taffrail_sink_queued_points") < 20.0).then_some(()));
    wait_until("the last points", || (agent.sample("taffrail_sink_queued_points") == 0.0).then_some(()));
    // Some databases show what they have a while later.
    let missing = || on_disk.difference(&database.stored(server)).copied().collect::<Vec<u64>>();
    let since = Instant::now();
    while !missing().is_empty() && since.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(200));
    }
    let missing = missing();
    assert!(missing.is_empty(), "{} are missing of {}: {missing:?}; {}", missing.len(), on_disk.len(), reported());
    assert!(on_disk.len() as u64 > next / 4, "{} of {next} were seen on disk", on_disk.len());
    println!("{} numbers through {} faults", on_disk.len(), happened.len());
}

#[test]
#[ignore = "needs Debian's packages influxdb, faketime and mount, and root: tests/run"]
fn with_mount_and_influxdb_no_number_that_was_on_disk_is_missing_whatever_went_wrong() {
    no_number_is_missing(Database::InfluxDb);
}

#[test]
#[ignore = "needs Debian's packages victoria-metrics, faketime and mount, and root: tests/run"]
fn with_mount_and_victoria_metrics_no_number_that_was_on_disk_is_missing_whatever_went_wrong() {
    no_number_is_missing(Database::VictoriaMetrics);
}

#[test]
#[ignore = "needs Debian's packages prometheus, faketime and mount, and root: tests/run"]
fn with_mount_and_prometheus_no_number_that_was_on_disk_is_missing_whatever_went_wrong() {
    no_number_is_missing(Database::Prometheus);
}
