//! Those who scrape and probe all along, and what the process holds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::status_kib;

/// Prometheus's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Those who ask again and again.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    slowest: Arc<Mutex<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Two who scrape the agent, one who scrapes the gateway, and one who asks whether all is well.
    pub(crate) fn start(agent: SocketAddr, gateway: SocketAddr) -> Watch {
        let mut watch =
            Watch { stop: Arc::default(), answered: Arc::default(), slowest: Arc::default(), threads: Vec::new() };
        watch.ask(format!("http://{agent}/metrics"), Duration::from_millis(150));
        watch.ask(format!("http://{agent}/metrics"), Duration::from_millis(370));
        watch.ask(format!("http://{agent}/-/healthy"), Duration::from_millis(230));
        watch.ask(format!("http://{gateway}/metrics"), Duration::from_millis(310));
        watch
    }

    fn ask(&mut self, url: String, pause: Duration) {
        let (stop, answered, slowest) = (self.stop.clone(), self.answered.clone(), self.slowest.clone());
        let ask = move || {
            while !stop.load(SeqCst) {
                let begun = Instant::now();
                let status = get(&url);
                assert_eq!(status, Ok(200), "{url} after {:?}", begun.elapsed());
                let mut slowest = slowest.lock().unwrap();
                *slowest = begun.elapsed().max(*slowest);
                drop(slowest);
                answered.fetch_add(1, SeqCst);
                thread::sleep(pause);
            }
        };
        self.threads.push(thread::spawn(ask));
    }

    /// Everybody was answered all along. How many answers there were, and how long the slowest took.
    pub(crate) fn end(self) -> (usize, Duration) {
        self.stop.store(true, SeqCst);
        for thread in self.threads {
            thread.join().expect("every request is answered within its timeout");
        }
        let slowest = *self.slowest.lock().unwrap();
        (self.answered.load(SeqCst), slowest)
    }
}

/// The status of an answer that is there, whole, within the timeout of the scrape.
fn get(url: &str) -> Result<u16, String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build().into();
    let request = agent.get(url).header("X-Prometheus-Scrape-Timeout-Seconds", TIMEOUT.as_secs().to_string());
    let mut response = request.call().map_err(|error| error.to_string())?;
    response.body_mut().with_config().limit(64 << 20).read_to_vec().map_err(|error| error.to_string())?;
    Ok(response.status().as_u16())
}

/// What a process holds.
#[derive(Clone, Debug)]
pub(crate) struct Holds {
    pub(crate) descriptors: usize,
    /// Their names.
    pub(crate) threads: Vec<String>,
    /// Resident, in KiB.
    pub(crate) memory: u64,
}

impl Holds {
    /// How many threads there are but for those of the runtime.
    pub(crate) fn own_threads(&self) -> usize {
        self.threads.iter().filter(|name| *name != "tokio-rt-worker").count()
    }

    pub(crate) fn of(process: u32) -> Holds {
        let entries = |what: &str| std::fs::read_dir(format!("/proc/{process}/{what}")).unwrap().flatten();
        // One may end at this moment.
        let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).ok();
        let threads = entries("task").filter_map(name).map(|name| name.trim().to_owned()).collect();
        Holds { descriptors: entries("fd").count(), threads, memory: status_kib(process, "RssAnon") }
    }
}
