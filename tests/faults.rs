//! Everything that can go wrong between Taffrail and its database, at random and for a while; and then every number that
//! was on disk must be in the database.
//!
//! `TAFFRAIL_FAULTS=300` makes it last for so many seconds; `TAFFRAIL_FAULTS_SEED` is what it printed, to see the same again.

mod harness;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use harness::http::request;
use harness::real::{Server, encode, free_port, influxdb};
use harness::{Taffrail, recorded_host, wait_until};
use rustix::process::Signal;

/// What the way to the server does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Connections are closed at once.
    Closed,
    /// An answer that is none of the server's.
    Answers500,
    /// Nothing is ever answered.
    Silent,
    /// The connection is cut off after some bytes of the request.
    CutOff,
    /// The request reaches the server, but its answer gets lost.
    AnswerLost,
    /// A few bytes at a time.
    Slow,
}

const FAULTS: [Fault; 7] =
    [Fault::None, Fault::Closed, Fault::Answers500, Fault::Silent, Fault::CutOff, Fault::AnswerLost, Fault::Slow];

/// Stands in the way to a server.
struct Way {
    address: SocketAddr,
    /// The number of the change, times 16, and the fault.
    state: Arc<AtomicU64>,
}

impl Way {
    fn to(port: u16) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(AtomicU64::new(0));
        let told = state.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let told = told.clone();
                thread::spawn(move || carry(near, port, &told));
            }
        });
        Way { address, state }
    }

    /// From here on; connections from before are cut off.
    fn has(&self, fault: Fault) {
        let number = FAULTS.iter().position(|known| *known == fault).unwrap() as u64;
        let change = self.state.load(SeqCst) / 16 + 1;
        self.state.store(change * 16 + number, SeqCst);
    }
}

fn carry(mut near: TcpStream, port: u16, state: &AtomicU64) {
    let begun = state.load(SeqCst);
    let fault = FAULTS[(begun % 16) as usize];
    let has_changed = || state.load(SeqCst) != begun;
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)) else { return };
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    }
    let (mut buffer, mut carried) = (vec![0; 64 << 10], 0);
    while !has_changed() && fault != Fault::Closed {
        let room = if fault == Fault::Slow { 512 } else { buffer.len() };
        match near.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(_) if fault == Fault::Silent => {}
            Ok(_) if fault == Fault::Answers500 => {
                let _ = near.write_all(b"HTTP/1.1 500 x\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops");
                break;
            }
            Ok(count) => {
                carried += count;
                if far.write_all(&buffer[..count]).is_err() || (fault == Fault::CutOff && carried > 300) {
                    break;
                }
            }
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(_) => break,
        }
        match far.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if fault == Fault::AnswerLost => break,
            Ok(count) if near.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            _ => break,
        }
    }
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}

/// Taffrail with a spool in `spool` that pushes by that way.
struct Agent {
    taffrail: Taffrail,
    gateway: String,
}

impl Agent {
    fn start(way: &Way, spool: &Path) -> Agent {
        let config = format!(
            "{}[collectors]\ndefault = false\nenable = [\"loadavg\"]\n\
             [agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\nmetric_batch_size = 20\nhostname = \"web-1\"\n\
             [gateway]\nlisten = [\"127.0.0.1:0\"]\n[spool]\nfolder = \"{}\"\nrate = 400\n\
             [[sinks.influxdb]]\nname = \"central\"\nretry_min = \"50ms\"\nretry_max = \"300ms\"\ntimeout = \"500ms\"\n\
             urls = [\"http://{}\"]\ndatabase = \"telegraf\"\n",
            recorded_host(),
            spool.display(),
            way.address
        );
        let taffrail = Taffrail::start(&config);
        let line = taffrail.wait_for_log("the gateway listens on ");
        let gateway = line.split_once("://").unwrap().1.to_owned();
        Agent { taffrail, gateway }
    }

    fn push(&self, number: u64) {
        let body = format!("number {number}\n");
        assert_eq!(request("PUT", "/metrics/job/count", body).send(&self.gateway).status, 200);
    }

    fn sample(&self, family: &str) -> f64 {
        self.taffrail.get("/metrics").sample(&format!("{family}{{sink=\"central\"}}")).unwrap()
    }
}

/// A file system of its own for the spool, which may be full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        harness::docker::run(
            "mount",
            &["-t", "tmpfs", "-o", "size=8m", "taffrail-test", folder.path().to_str().unwrap()],
        );
        SmallDisk(folder)
    }

    fn fill(&self) {
        let mut filler = std::fs::File::create(self.0.path().join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        let _ = std::fs::remove_file(self.0.path().join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["--lazy", self.0.path().to_str().unwrap()]).status();
    }
}

fn stored(influxdb: &Server) -> BTreeSet<u64> {
    let query = "SELECT \"number\" FROM \"prometheus\" WHERE \"job\" = 'count'";
    influxdb.influxql(query).iter().filter_map(|row| row["number"].as_f64()).map(|number| number as u64).collect()
}

#[test]
#[ignore = "needs Debian's packages influxdb and mount, and root: tests/run"]
fn with_mount_and_influxdb_no_number_that_was_on_disk_is_missing_whatever_went_wrong() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = setting("TAFFRAIL_FAULTS").unwrap_or(25);
    let seed = setting("TAFFRAIL_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TAFFRAIL_FAULTS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let (folder, port, disk) = (tempfile::tempdir().unwrap(), free_port(), SmallDisk::mount());
    let mut database = Some(influxdb(folder.path(), port));
    let created = format!("http://127.0.0.1:{port}/query?q={}", encode("CREATE DATABASE telegraf"));
    assert!(ureq::post(&created).send_empty().unwrap().status().is_success());
    let way = Way::to(port);
    let spool = disk.0.path().join("spool");
    let mut agent = Agent::start(&way, &spool);
    // Numbers that were pushed, and of them those that were on disk when somebody looked.
    let (mut next, mut on_disk, mut happened) = (0, BTreeSet::new(), Vec::new());
    let mut since_looked = BTreeSet::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..random.u64(1..30) {
            agent.push(next);
            since_looked.insert(next);
            next += 1;
        }
        if agent.sample("taffrail_sink_unkept_points") == 0.0 {
            on_disk.append(&mut since_looked);
        }
        let what = match random.u8(..100) {
            0..=59 => {
                let fault = *random.choice(&FAULTS).unwrap();
                way.has(fault);
                format!("{fault:?}")
            }
            60..=69 => {
                agent.taffrail.signal(Signal::KILL);
                agent.taffrail.wait();
                since_looked.clear();
                agent = Agent::start(&way, &spool);
                "Taffrail was killed".to_owned()
            }
            70..=74 => {
                agent.taffrail.signal(Signal::TERM);
                agent.taffrail.wait();
                since_looked.clear();
                agent = Agent::start(&way, &spool);
                "Taffrail was restarted".to_owned()
            }
            75..=84 => {
                // Killed, with what it had not answered.
                drop(database.take());
                thread::sleep(Duration::from_millis(random.u64(..800)));
                database = Some(influxdb(folder.path(), port));
                "the database was killed".to_owned()
            }
            85..=92 => {
                disk.fill();
                "the disk is full".to_owned()
            }
            _ => {
                disk.free();
                "the disk has room".to_owned()
            }
        };
        happened.push(what);
        thread::sleep(Duration::from_millis(random.u64(..600)));
    }
    way.has(Fault::None);
    disk.free();
    let database = database.unwrap();
    let told = format!("TAFFRAIL_FAULTS_SEED={seed}: {happened:?}\n{:#?}", agent.taffrail.log());
    wait_until(&told, || (agent.sample("taffrail_sink_queued_points") < 20.0).then_some(()));
    let missing = wait_until("the last points", || {
        // In this order: what is sent in between is there then.
        let is_all_sent = agent.sample("taffrail_sink_queued_points") == 0.0;
        let missing: Vec<u64> = on_disk.difference(&stored(&database)).copied().collect();
        (missing.is_empty() || is_all_sent).then_some(missing)
    });
    assert!(missing.is_empty(), "{missing:?} are missing of {}; {told}", on_disk.len());
    assert!(on_disk.len() as u64 > next / 4, "{} of {next} were seen on disk", on_disk.len());
    println!("{} numbers through {} faults", on_disk.len(), happened.len());
}
