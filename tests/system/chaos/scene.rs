//! Taffrail with everything around it, and what is done to that.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use taffrail::collectors::list;

use super::host::Host;
use super::jobs::{Jobs, last_of_each};
use super::servers::{Server, numbers, silent_socket};
use super::watch::{Holds, Watch};
use crate::harness::clock::Clock;
use crate::harness::disk::SmallDisk;
use crate::harness::{Taffrail, wait_until};

/// What needs an account, or asks the running kernel for what other tests may have.
const OFF: [&str; 1] = ["cloudwatch"];
/// How many connections idle at once, at most.
const IDLE: usize = 2_000;

pub(crate) struct Scene {
    host: Host,
    disks: [SmallDisk; 2],
    clock: Clock,
    influx: Server,
    remote: Server,
    /// For the socket and the file.
    folder: tempfile::TempDir,
    taffrail: Taffrail,
    agent: SocketAddr,
    gateway: SocketAddr,
    jobs: Option<Jobs>,
    watch: Option<Watch>,
    idle: Vec<TcpStream>,
    reloads: u32,
    /// The collectors that were read, and what the process held, before anything went wrong.
    before: (BTreeSet<String>, Holds),
    events: Vec<String>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let (host, disks, clock) = (Host::new(), [SmallDisk::mount(), SmallDisk::mount()], Clock::new());
        let (influx, remote, folder) = (Server::start(), Server::start(), tempfile::tempdir().unwrap());
        silent_socket(&folder.path().join("docker.sock"));
        let config = config(&host, &disks, [influx.address, remote.address], folder.path(), 0);
        let taffrail = start(&config, &clock);
        let (agent, gateway) = addresses(&taffrail);
        let mut scene = Scene {
            before: (BTreeSet::new(), Holds::of(taffrail.pid())),
            host,
            disks,
            clock,
            influx,
            remote,
            folder,
            taffrail,
            agent,
            gateway,
            jobs: Some(Jobs::start(gateway)),
            watch: Some(Watch::start(agent, gateway)),
            idle: Vec::new(),
            reloads: 0,
            events: Vec::new(),
        };
        // Some need a second reading, and what is asked in the background its time.
        wait_until("writes", || (scene.influx.writes() > 20 && scene.remote.writes() > 20).then_some(()));
        scene.before = (scene.read(), Holds::of(scene.taffrail.pid()));
        assert!(scene.before.0.len() > 20, "{:?}", scene.before.0);
        scene
    }

    /// The collectors that are read.
    fn read(&self) -> BTreeSet<String> {
        let answer = self.taffrail.get("/metrics");
        let collector = |line: &str| {
            let labels = line.strip_prefix("node_scrape_collector_success{collector=\"")?;
            labels.strip_suffix("\"} 1").map(str::to_owned)
        };
        answer.text().lines().filter_map(collector).collect()
    }

    /// Does something, at random.
    pub(crate) fn disturb(&mut self, random: &mut fastrand::Rng) {
        let file = random.usize(..self.host.files());
        let mount = random.usize(..self.host.mounts().len());
        let disk = random.usize(..self.disks.len());
        let event = match random.u8(..100) {
            0..=14 => {
                self.host.hang(file);
                format!("file {file} hangs")
            }
            15..=34 => {
                self.host.answer(file);
                format!("file {file} answers")
            }
            35..=40 => {
                self.host.mounts()[mount].hang();
                format!("mount {mount} hangs")
            }
            41..=48 => {
                self.host.mounts()[mount].answer();
                format!("mount {mount} answers")
            }
            49..=60 => {
                let server = if random.bool() { &self.influx } else { &self.remote };
                server.confuse(random);
                "a server answers nonsense".to_owned()
            }
            61..=69 => {
                self.influx.mend();
                self.remote.mend();
                "servers answer".to_owned()
            }
            70..=73 => {
                self.disks[disk].fill();
                format!("disk {disk} is full")
            }
            74..=79 => {
                self.disks[disk].free();
                format!("disk {disk} has room")
            }
            80..=84 => {
                self.reload();
                "reload".to_owned()
            }
            85..=89 => {
                let seconds = *random.choice(&[-3600, -60, -1, 0, 1, 60, 3600]).unwrap();
                self.clock.set(seconds);
                format!("clock {seconds:+}")
            }
            90..=95 => {
                self.idle(random);
                format!("{} connections idle", self.idle.len())
            }
            _ => {
                self.idle.clear();
                "no connection idles".to_owned()
            }
        };
        self.events.push(event);
    }

    /// SIGHUP, with another tag.
    fn reload(&mut self) {
        self.reloads += 1;
        let servers = [self.influx.address, self.remote.address];
        self.taffrail.configure(&config(&self.host, &self.disks, servers, self.folder.path(), self.reloads % 2));
        self.taffrail.signal(Signal::HUP);
    }

    /// Some more connections, of which some have begun a request.
    fn idle(&mut self, random: &mut fastrand::Rng) {
        for _ in 0..500 {
            let address = if random.bool() { self.agent } else { self.gateway };
            let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { break };
            if random.bool() {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHos");
            }
            self.idle.push(stream);
        }
        let excess = self.idle.len().saturating_sub(IDLE);
        self.idle.drain(..excess);
    }

    /// Ends all that goes wrong.
    pub(crate) fn mend(&mut self) {
        (0..self.host.files()).for_each(|file| self.host.answer(file));
        self.host.mounts().iter().for_each(|mount| mount.answer());
        self.disks.iter().for_each(SmallDisk::free);
        self.influx.mend();
        self.remote.mend();
        self.clock.set(0);
        self.idle.clear();
    }

    /// What happened, to find out why it failed.
    fn reported(&self) -> String {
        format!("{:?}\n{:#?}", self.events, self.taffrail.log())
    }

    /// Whether it is as if nothing had happened.
    pub(crate) fn is_as_before(&mut self) {
        let (collectors, held) = self.before.clone();
        let lacking = || collectors.difference(&self.read()).cloned().collect::<Vec<_>>();
        // Mounts are asked again in the background, after a pause.
        wait_until(&format!("all collectors, and not without {:?}; {}", lacking(), self.reported()), || {
            (0..self.host.files()).for_each(|file| self.host.release(file));
            lacking().is_empty().then_some(())
        });
        let acknowledged = self.jobs.take().unwrap().end();
        assert!(!acknowledged.is_empty());
        self.is_delivered("InfluxDB", &acknowledged, || self.influx.stored());
        self.is_delivered("the file", &acknowledged, || self.numbers_of_files());
        let (answers, slowest) = self.watch.take().unwrap().end();
        self.is_within_bounds(&held);
        self.log_is_short();
        self.shows(&acknowledged);
        let events = self.events.len();
        println!("{answers} answers, the slowest after {slowest:?}, {} pushes, {events} events", acknowledged.len());
    }

    /// Waits until all numbers are there: what was refused is tried again after a minute.
    fn is_delivered(&self, what: &str, acknowledged: &[u64], stored: impl Fn() -> BTreeSet<u64>) {
        let missing = || -> Vec<u64> {
            let stored = stored();
            acknowledged.iter().filter(|number| !stored.contains(number)).copied().collect()
        };
        let begun = Instant::now();
        while !missing().is_empty() && begun.elapsed() < Duration::from_secs(150) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let missing = missing();
        let some = &missing[..missing.len().min(20)];
        assert!(missing.is_empty(), "{what} lacks {} numbers: {some:?} …; {}", missing.len(), self.reported());
    }

    fn numbers_of_files(&self) -> BTreeSet<u64> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("metrics.out"));
        files.flat_map(|path| numbers(&std::fs::read(path).unwrap())).collect()
    }

    fn is_within_bounds(&self, before: &Holds) {
        /// Connections of current clients, and of sinks.
        const DESCRIPTORS: usize = 40;
        const KIB: u64 = 64 << 10;
        /// What the runtime keeps for a while of threads that wrote and synced files for all at once.
        const POOL: usize = 12;
        let reported = |now: &Holds| format!("{now:?} after {before:?}; {}", self.reported());
        let process = self.taffrail.pid();
        wait_until(&format!("the threads to end: {}", reported(&Holds::of(process))), || {
            let now = Holds::of(process);
            (now.own_threads() <= before.own_threads() && now.threads.len() <= before.threads.len() + POOL)
                .then_some(())
        });
        wait_until(&format!("the descriptors to be closed: {}", reported(&Holds::of(process))), || {
            (Holds::of(process).descriptors <= before.descriptors + DESCRIPTORS).then_some(())
        });
        let now = Holds::of(process);
        assert!(now.memory <= before.memory + KIB, "{}", reported(&now));
        println!("{now:?} after {before:?}");
    }

    /// At most a line for each event, beside those of the start.
    fn log_is_short(&self) {
        const START: usize = 8;
        let lines = self.taffrail.log().len();
        let most = START + self.events.len();
        assert!(lines <= most, "{lines} lines of {} events; {}", self.events.len(), self.reported());
    }

    /// The gateway shows the last number of each group that was acknowledged, or one that came later.
    fn shows(&self, acknowledged: &[u64]) {
        let answer = crate::harness::get(&format!("http://{}/metrics", self.gateway), &[]).unwrap();
        for (job, last) in last_of_each(acknowledged) {
            let shown = answer.sample(&format!("number{{instance=\"\",job=\"{job}\"}}"));
            assert_eq!(shown, Some(last as f64), "{job}; {}", self.reported());
        }
    }

    /// What was acknowledged is there after an end without a signal.
    pub(crate) fn forgets_nothing_when_it_is_started_again(mut self) {
        let before = crate::harness::get(&format!("http://{}/metrics", self.gateway), &[]).unwrap();
        self.taffrail.signal(Signal::KILL);
        self.taffrail.wait();
        let servers = [self.influx.address, self.remote.address];
        let config = config(&self.host, &self.disks, servers, self.folder.path(), 0);
        let again = start(&config, &self.clock);
        let (_, gateway) = addresses(&again);
        let after = crate::harness::get(&format!("http://{gateway}/metrics"), &[]).unwrap();
        let numbers = |text: &str| -> BTreeSet<String> {
            text.lines().filter(|line| line.starts_with("number{")).map(str::to_owned).collect()
        };
        assert_eq!(numbers(after.text()), numbers(before.text()));
    }
}

fn start(config: &str, clock: &Clock) -> Taffrail {
    let environment = clock.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let taffrail = Taffrail::start_with_environment("run", config, &["--listen", "127.0.0.1:0"], &environment);
    taffrail.wait_for_log("listening on");
    taffrail.wait_for_log("the gateway listens on ");
    taffrail
}

fn addresses(taffrail: &Taffrail) -> (SocketAddr, SocketAddr) {
    let gateway = taffrail.wait_for_log("the gateway listens on ");
    let gateway = gateway.split_once("://").unwrap().1.parse().unwrap();
    (taffrail.addresses()[0].parse().unwrap(), gateway)
}

fn config(
    host: &Host,
    disks: &[SmallDisk; 2],
    [influx, remote]: [SocketAddr; 2],
    folder: &std::path::Path,
    tag: u32,
) -> String {
    let names: Vec<String> =
        list::names().filter(|name| !OFF.contains(name)).map(|name| format!("\"{name}\"")).collect();
    let spool = disks[0].path().join("spool");
    let state = disks[1].path().join("gateway");
    // All is read at every tick, but what waits through an outage is to fit on a small disk.
    let points = "namepass = [\"prometheus\", \"system\", \"disk\"]\n";
    let series = "namepass = [\"number\", \"node_load*\", \"node_filesystem_*\"]\n";
    let retry = "retry_min = \"50ms\"\nretry_max = \"300ms\"\ntimeout = \"1s\"\n";
    format!(
        "{}[collectors]\nenable = [{}]\n\
         [collectors.container]\ndocker_sockets = [\"{}\"]\n\
         [agent]\ninterval = \"1s\"\nflush_interval = \"200ms\"\nhostname = \"web-1\"\n[tags]\nreload = \"{tag}\"\n\
         [gateway]\nlisten = [\"127.0.0.1:0\"]\nstate = \"{}\"\n[spool]\nfolder = \"{}\"\nsize = \"3MiB\"\n\
         [[sinks.influxdb]]\nname = \"influx\"\nurls = [\"http://{influx}\"]\ndatabase = \"telegraf\"\nbuffer_size = \"64MiB\"\n{retry}{points}\
         [[sinks.remote_write]]\nname = \"remote\"\nurl = \"http://{remote}/api/v1/write\"\n{retry}{series}\
         [[sinks.file]]\nname = \"file\"\npath = \"{}\"\nretry_min = \"50ms\"\nretry_max = \"300ms\"\n{points}",
        host.section(),
        names.join(", "),
        folder.join("docker.sock").display(),
        state.display(),
        spool.display(),
        folder.join("metrics.out").display(),
    )
}
