//! A load whose history is kept: clients that push numbers to groups, add to sums, and scrape all replicas.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::deployment::{Deployment, LIMIT, wait_for};
use super::history::{Read, Register, Span, Write, sum_violation};
use crate::harness::{Answer, sample};

/// Groups that are registers. Two clients push to each.
const REGISTERS: usize = 3;
const CLIENTS: usize = 2;
/// Groups that are sums. A group remembers its last 64 keys: a push to it that is late must not be later than that.
const SUMS: usize = 4;

/// Pause between two requests of a client.
const PAUSE: Duration = Duration::from_millis(20);
const SUM_PAUSE: Duration = Duration::from_millis(100);
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// Acknowledged pushes to a group that show that pushes are possible.
const PROGRESS: usize = 5;

/// How long an impatient client waits for a response, and a patient one: longer than a replica takes.
const IMPATIENT: Duration = Duration::from_secs(2);
const PATIENT: Duration = Duration::from_secs(40);

/// No pooled connections: each request meets the replica that is there now.
static CLIENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
    config.timeout_connect(Some(Duration::from_secs(1))).build().into()
});

/// A request.
pub(super) struct Request<'r> {
    method: &'static str,
    path: String,
    key: Option<&'r str>,
    body: &'r str,
    timeout: Duration,
}

impl<'r> Request<'r> {
    pub(super) fn get(path: &str) -> Request<'static> {
        Request { method: "GET", path: path.to_owned(), key: None, body: "", timeout: IMPATIENT }
    }

    pub(super) fn put(group: &str, body: &'r str) -> Request<'r> {
        let path = format!("/metrics/job/{group}");
        Request { method: "PUT", path, key: None, body, timeout: PATIENT }
    }

    /// Adds to what is there.
    fn add(group: &str, key: &'r str, body: &'r str) -> Request<'r> {
        let path = format!("/metrics/job/{group}?mode=aggregate");
        Request { method: "POST", path, key: Some(key), body, timeout: IMPATIENT }
    }

    fn within(self, timeout: Duration) -> Request<'r> {
        Request { timeout, ..self }
    }

    /// Sends it; none if there is no whole response in time.
    pub(super) fn send(&self, address: &str) -> Option<Answer> {
        let url = format!("http://{address}{}", self.path);
        let mut request = ureq::http::Request::builder().method(self.method).uri(url);
        if let Some(key) = self.key {
            request = request.header("Idempotency-Key", key);
        }
        let request = CLIENT.configure_request(request.body(self.body.to_owned()).unwrap());
        let mut response = CLIENT.run(request.timeout_global(Some(self.timeout)).build()).ok()?;
        let body = response.body_mut().read_to_vec().ok()?;
        let status = response.status().as_u16();
        Some(Answer { status, content_type: String::new(), content_encoding: String::new(), body })
    }

    /// Sends a push; returns whether it is acknowledged.
    fn is_acknowledged(&self, address: &str) -> bool {
        let Some(answer) = self.send(address) else { return false };
        assert!([200, 503].contains(&answer.status), "{}: {}", answer.status, answer.text());
        answer.status == 200
    }
}

pub(super) fn get(address: &str, path: &str) -> Option<Answer> {
    Request::get(path).send(address)
}

/// Sends a push; returns whether it is acknowledged.
pub(super) fn push(address: &str, group: &str, value: u32) -> bool {
    push_within(PATIENT, address, group, value)
}

fn push_within(timeout: Duration, address: &str, group: &str, value: u32) -> bool {
    Request::put(group, &format!("# TYPE x counter\nx {value}\n")).within(timeout).is_acknowledged(address)
}

/// The series of the only sample of a group.
pub(super) fn series(group: &str) -> String {
    format!("x{{instance=\"\",job=\"{group}\"}}")
}

/// What the clients share.
struct Clients {
    name: String,
    addresses: Vec<String>,
    lives: Vec<Arc<AtomicU32>>,
    begun: Instant,
    is_over: AtomicBool,
    registers: Vec<Mutex<Register>>,
    /// Acknowledged pushes to each sum.
    sums: Vec<AtomicU32>,
    /// Milliseconds until the last response.
    longest_push: AtomicU64,
}

/// Runs until it is finished.
pub(super) struct Load {
    clients: Arc<Clients>,
    threads: Vec<JoinHandle<()>>,
}

/// The result of a load.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) acknowledged: usize,
    pub(super) unknown: usize,
    /// The longest time without an acknowledged push to a group.
    pub(super) longest_wait: Duration,
    /// The longest time that a client has waited for a response.
    pub(super) longest_push: Duration,
    /// Values that are missing, in another order, or exposed too early.
    pub(super) lost: Vec<String>,
    /// Sums that are not the number of their pushes.
    pub(super) twice: Vec<String>,
}

impl Summary {
    pub(super) fn violations(&self) -> impl Iterator<Item = &String> {
        self.lost.iter().chain(&self.twice)
    }

    /// The row of a table: fault, rounds, acknowledged, not acknowledged, lost, twice, longest wait, longest response.
    pub(super) fn row(&self, name: &str, rounds: usize) -> String {
        let Summary { acknowledged, unknown, longest_wait, longest_push, lost, twice } = self;
        let (lost, twice) = (lost.len(), twice.len());
        let [wait, push] = [longest_wait, longest_push].map(Duration::as_secs_f64);
        format!("| {name} | {rounds} | {acknowledged} | {unknown} | {lost} | {twice} | {wait:.1} s | {push:.1} s |")
    }
}

impl Load {
    /// Starts it, with groups of this name.
    pub(super) fn start(deployment: &Deployment, name: &str) -> Load {
        let clients = Arc::new(Clients {
            name: name.to_owned(),
            addresses: deployment.addresses(),
            lives: deployment.replicas.iter().map(|replica| replica.life.clone()).collect(),
            begun: Instant::now(),
            is_over: AtomicBool::new(false),
            registers: (0..REGISTERS).map(|_| Mutex::default()).collect(),
            sums: (0..SUMS).map(|_| AtomicU32::new(0)).collect(),
            longest_push: AtomicU64::new(0),
        });
        let mut threads = Vec::new();
        for client in 0..REGISTERS * CLIENTS {
            let clients = clients.clone();
            threads.push(thread::spawn(move || clients.push(client % REGISTERS, (client / REGISTERS) as u32)));
        }
        for replica in 0..deployment.replicas.len() {
            let clients = clients.clone();
            threads.push(thread::spawn(move || clients.read(replica)));
        }
        let adder = clients.clone();
        threads.push(thread::spawn(move || adder.add()));
        Load { clients, threads }
    }

    /// Waits until some pushes to each group are acknowledged that begin after this.
    pub(super) fn wait_for_progress(&self) {
        let now = self.clients.begun.elapsed();
        for register in &self.clients.registers {
            wait_for(LIMIT, "an acknowledged push", || {
                assert!(!self.threads.iter().any(JoinHandle::is_finished), "a client has failed");
                let register = register.lock().unwrap();
                let is_new = |write: &&Write| write.ended.is_some() && write.begun >= now;
                (register.writes.iter().filter(is_new).count() >= PROGRESS).then_some(())
            });
        }
    }

    /// Ends it, waits until all replicas have the same groups, and checks the history.
    pub(super) fn finish(self, deployment: &Deployment) -> Summary {
        self.clients.is_over.store(true, Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let (clients, mut summary) = (self.clients, Summary::default());
        summary.longest_push = Duration::from_millis(clients.longest_push.load(Relaxed));
        for (index, register) in clients.registers.iter().enumerate() {
            let mut register = register.lock().unwrap().clone();
            // Before the last read: it is not a part of the load.
            summary.longest_wait = summary.longest_wait.max(register.longest_wait());
            register.reads.extend(clients.agreed(deployment, &clients.register(index)));
            summary.acknowledged += register.acknowledged();
            summary.unknown += register.writes.len() - register.acknowledged();
            summary.lost.extend(register.violations());
        }
        for (index, count) in clients.sums.iter().enumerate() {
            let count = count.load(Relaxed);
            if count == 0 {
                continue;
            }
            let sum = clients.agreed(deployment, &clients.sum(index)).map_or(0, |read| read.value);
            summary.acknowledged += count as usize;
            summary.twice.extend(sum_violation(sum, count as usize));
        }
        summary
    }
}

impl Clients {
    fn register(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    fn sum(&self, index: usize) -> String {
        format!("{}-sum-{index}", self.name)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    fn any_address(&self) -> &str {
        &self.addresses[fastrand::usize(0..self.addresses.len())]
    }

    /// Pushes one number after the other to a group, each of which no other client pushes.
    fn push(&self, index: usize, client: u32) {
        let (group, mut value) = (self.register(index), client + 1);
        let timeout = if client == 0 { IMPATIENT } else { PATIENT };
        while !self.is_over() {
            let begun = self.begun.elapsed();
            let place = {
                let mut register = self.registers[index].lock().unwrap();
                register.writes.push(Write { value, begun, ended: None });
                register.writes.len() - 1
            };
            let is_acknowledged = push_within(timeout, self.any_address(), &group, value);
            let ended = self.begun.elapsed();
            match is_acknowledged {
                true => self.registers[index].lock().unwrap().writes[place].ended = Some(ended),
                false => thread::sleep(FAILURE_PAUSE),
            }
            self.longest_push.fetch_max((ended - begun).as_millis() as u64, Relaxed);
            value += CLIENTS as u32;
            thread::sleep(PAUSE);
        }
    }

    /// Adds 1 to one sum after the other, and repeats each push until it is acknowledged.
    fn add(&self) {
        for number in 0.. {
            if self.is_over() {
                return;
            }
            let (index, key) = (number % SUMS, format!("{}-{number}", self.name));
            let group = self.sum(index);
            let add = Request::add(&group, &key, "# TYPE x counter\nx 1\n");
            wait_for(LIMIT, "an acknowledged sum", || add.is_acknowledged(self.any_address()).then_some(()));
            self.sums[index].fetch_add(1, Relaxed);
            thread::sleep(SUM_PAUSE);
        }
    }

    /// Reads the groups of a replica: what it exposes, and what it has.
    fn read(&self, replica: usize) {
        let address = &self.addresses[replica];
        while !self.is_over() {
            self.observe(replica, true, || get(address, "/metrics"), 0..REGISTERS);
            for index in 0..REGISTERS {
                let path = format!("/metrics/job/{}", self.register(index));
                self.observe(replica, false, || get(address, &path), index..index + 1);
            }
            thread::sleep(PAUSE);
        }
    }

    fn observe(
        &self,
        replica: usize,
        is_exposed: bool,
        get: impl FnOnce() -> Option<Answer>,
        indices: std::ops::Range<usize>,
    ) {
        let life = self.lives[replica].load(Relaxed);
        let begun = self.begun.elapsed();
        let Some(answer) = get().filter(|answer| answer.status == 200) else { return };
        let span = Span { begun, ended: self.begun.elapsed() };
        if self.lives[replica].load(Relaxed) != life {
            return;
        }
        for index in indices {
            let Some(value) = answer.sample(&series(&self.register(index))) else { continue };
            let read = Read { at: (replica, life), value: value as u32, span, is_exposed };
            self.registers[index].lock().unwrap().reads.push(read);
        }
    }

    /// Waits until the writer exposes a value of a group, and all replicas have it; returns it.
    fn agreed(&self, deployment: &Deployment, group: &str) -> Option<Read> {
        wait_for(LIMIT, "agreement", || {
            let writer = deployment.writer();
            let begun = self.begun.elapsed();
            let value = sample(get(&self.addresses[writer], "/metrics")?.text(), &series(group))? as u32;
            let span = Span { begun, ended: self.begun.elapsed() };
            let is_agreed = deployment.replicas.iter().all(|replica| replica.value(group) == Some(value));
            let at = (writer, self.lives[writer].load(Relaxed));
            is_agreed.then_some(Some(Read { at, value, span, is_exposed: true }))
        })
    }
}
