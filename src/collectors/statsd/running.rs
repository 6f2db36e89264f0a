//! The background work: receives lines, ends intervals, and reads the mapping file again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncReadExt;
use tokio::task::{JoinSet, LocalSet, spawn_blocking, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::address::{Address, Transport};
use super::counts::Limit;
use super::datagrams::{self, BATCH, Bound, Buffers, Receiver};
use super::intervals::Flushed;
use super::mapping::{self, Mapping};
use super::settings::Settings;
use super::store::Store;
use crate::collectors::framework::arrivals::{Cursor, Log};
use crate::collectors::framework::lines::Lines;
use crate::encode::Timestamp;
use crate::http::socket::{self, ListenSocket, Socket};
use crate::log::Episode;
use crate::system::Stamp;

/// Points retained for a sink that does not read.
const MAX_POINTS: usize = 200_000;
/// How long points are aggregated before a sink has read.
const FIRST_READINGS: Duration = Duration::from_secs(60);

/// The points of all intervals, until each sink has them.
pub(super) type Arrivals = Mutex<Log<Flushed>>;

/// What the background work and the readings share. It outlives reloads.
pub(super) struct Shared {
    store: Mutex<Store>,
    pub(super) arrivals: Arc<Arrivals>,
    /// Sockets of datagrams.
    bound: Mutex<BTreeMap<Address, Vec<Bound>>>,
    connections: AtomicUsize,
    status: Mutex<Status>,
}

/// What readings report.
#[derive(Debug, Default)]
struct Status {
    /// Addresses that cannot be listened on, and why.
    failures: BTreeMap<Address, String>,
    mapping: Option<String>,
    /// The addresses that were tried.
    tried: usize,
    /// Retains the first points for sinks that have not read yet.
    first: Option<(Instant, Arc<Cursor>)>,
}

impl Shared {
    pub(super) fn new(settings: Arc<Settings>) -> Shared {
        let mut log = Log::new(MAX_POINTS);
        let first = Some((Instant::now(), log.cursor()));
        Shared {
            store: Mutex::new(Store::new(settings)),
            arrivals: Arc::new(Mutex::new(log)),
            bound: Mutex::default(),
            connections: AtomicUsize::new(0),
            status: Mutex::new(Status { first, ..Status::default() }),
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Whether `count` addresses have been tried.
    pub(super) fn has_tried(&self, count: usize) -> bool {
        self.status().tried >= count
    }

    /// What does not work.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let status = self.status();
        let addresses = status.failures.iter().map(|(address, reason)| (address.to_string(), reason.clone()));
        addresses.chain(status.mapping.iter().map(|reason| ("mapping_file".to_owned(), reason.clone()))).collect()
    }

    fn flush(&self) {
        let has_readers = {
            let mut status = self.status();
            status.first.take_if(|(since, _)| since.elapsed() > FIRST_READINGS);
            status.first.is_some()
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = self.store();
        store.set_points(has_readers || arrivals.is_read());
        let flushed = store.flush(at, Instant::now());
        let weight = flushed.iter().map(Flushed::weight).sum();
        store.counts.dropped_points += arrivals.push_weighing(flushed, weight) as u64;
    }
}

/// Runs until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, settings: Arc<Settings>) {
    shared.store().configure(settings.clone());
    shared.bound.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, _| settings.listen.contains(address));
    {
        let mut status = shared.status();
        *status = Status { first: status.first.take(), ..Status::default() };
    }
    let mut mapping = MappingFile::default();
    match &settings.mapping_file {
        Some(path) => mapping.read(path, &shared).await,
        None => shared.store().set_mapping(Mapping::default()),
    }
    let local = LocalSet::new();
    for address in settings.listen.clone() {
        let (shared, settings) = (shared.clone(), settings.clone());
        local.spawn_local(listen(address, shared, settings));
    }
    let flush = async {
        let mut ticks = interval(settings.flush_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            shared.flush();
        }
    };
    let follow = async {
        /// How often the time of the file is compared.
        const INTERVAL: Duration = Duration::from_secs(5);
        while let Some(path) = &settings.mapping_file {
            sleep(INTERVAL).await;
            mapping.read(path, &shared).await;
        }
    };
    local.run_until(async { tokio::join!(flush, follow) }).await;
}

/// Listens on an address, and tries again while it cannot.
async fn listen(address: Address, shared: Arc<Shared>, settings: Arc<Settings>) {
    /// While a reload ends the former listener.
    const FIRST_TRIES: usize = 20;
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const PAUSE: Duration = Duration::from_secs(10);
    let mut episode = Episode::default();
    for number in 0.. {
        let is_late = number >= FIRST_TRIES;
        let error = match serve(&address, &shared, &settings, &mut episode).await {
            Ok(()) => io::Error::other("the listener ended"),
            Err(error) => error,
        };
        if is_late || error.kind() != io::ErrorKind::AddrInUse {
            let reason = format!("cannot listen: {error}");
            let is_new = episode.fails(reason.clone());
            let mut status = shared.status();
            if status.failures.insert(address.clone(), reason).is_none() {
                status.tried += 1;
            }
            if is_new {
                tracing::error!("statsd: {address}: cannot listen: {error}; tried again every 10 s");
            }
        }
        sleep(if is_late { PAUSE } else { FIRST_PAUSE }).await;
    }
}

async fn serve(
    address: &Address,
    shared: &Arc<Shared>,
    settings: &Settings,
    episode: &mut Episode<String>,
) -> io::Result<()> {
    let has_begun = |at: &str, episode: &mut Episode<String>| {
        let over = episode.recovered().map(|over| format!(" {over}")).unwrap_or_default();
        tracing::info!("statsd: receiving on {at}{over}");
        let mut status = shared.status();
        if status.failures.remove(address).is_none() {
            status.tried += 1;
        }
    };
    let mut tasks = JoinSet::new();
    match address.transport {
        Transport::Udp | Transport::Unixgram => {
            let known = shared.bound.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
            let bound = match known {
                Some(bound) => bound,
                None => datagrams::bind(address, settings.socket_mode, settings.receive_buffer).await?,
            };
            for one in &bound {
                let at = one.address().map_or_else(|| address.to_string(), |address| format!("udp://{address}"));
                tasks.spawn_local(receive(one.receiver()?, one.clone(), address.transport, shared.clone()));
                has_begun(&at, episode);
            }
            shared.bound.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone(), bound);
        }
        Transport::Tcp | Transport::Unix => {
            let mut files = Vec::new();
            for one in socket::bind(&address.address, None, settings.socket_mode).await? {
                let at = Address { transport: address.transport, address: one.address };
                files.extend(one.file);
                let (max, line) = (settings.max_connections, settings.limits.line);
                tasks.spawn_local(accept(one.socket, shared.clone(), (max, line)));
                has_begun(&at.to_string(), episode);
            }
            while tasks.join_next().await.is_some() {}
            drop(files);
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Receives datagrams until the socket fails.
async fn receive(receiver: Receiver, bound: Bound, transport: Transport, shared: Arc<Shared>) {
    /// Datagrams that arrive within this time are received at once: a call for each would take most of the time.
    const COALESCE: Duration = Duration::from_millis(1);
    let (mut buffers, mut is_busy) = (Buffers::new(), false);
    while receiver.readable().await.is_ok() {
        // The thread has nothing else to do but receive. One that is late must not wait.
        if !is_busy {
            thread::sleep(COALESCE);
        }
        is_busy = false;
        loop {
            let received = {
                let (mut store, now) = (shared.store(), Instant::now());
                let received = receiver.receive(&mut buffers, &mut |bytes| store.take(bytes, now));
                let Ok(received) = received else { break };
                match transport {
                    Transport::Unixgram | Transport::Unix => store.counts.unix_packets += received.count as u64,
                    Transport::Udp | Transport::Tcp => store.counts.udp_packets += received.count as u64,
                }
                if let Some(count) = received.drops {
                    store.counts.udp_drops += bound.new_drops(count);
                }
                received
            };
            if received.count < BATCH {
                break;
            }
            is_busy = true;
            yield_now().await;
        }
    }
}

async fn accept(listener: ListenSocket, shared: Arc<Shared>, (max, line): (usize, usize)) {
    /// When the process has no descriptors left.
    const PAUSE: Duration = Duration::from_millis(100);
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        match accepted {
            Err(_) => {
                shared.store().counts.connection_errors += 1;
                sleep(PAUSE).await;
            }
            Ok(_) if shared.connections() >= max => {
                let mut store = shared.store();
                store.counts.connection_errors += 1;
                store.refuse_by(Limit::Connections);
            }
            Ok(stream) => {
                shared.store().counts.connections += 1;
                let open = Open::new(shared.clone());
                tasks.spawn_local(read(stream, open, line));
            }
        }
    }
}

/// An open connection.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Rc<Open> {
        shared.connections.fetch_add(1, Relaxed);
        Rc::new(Open(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// Reads the lines of a connection until it ends.
async fn read(mut stream: Socket, open: Rc<Open>, max_line: usize) {
    const BUFFER: usize = 16 << 10;
    let (shared, mut lines, mut buffer) = (&open.0, Lines::new(max_line), vec![0; BUFFER]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => {
                let (mut store, now) = (shared.store(), Instant::now());
                let too_long = lines.push(&buffer[..count], &mut |text| store.take(text, now));
                (0..too_long).for_each(|_| store.refuse_long_line());
            }
            Err(_) => {
                shared.store().counts.connection_errors += 1;
                break;
            }
        }
    }
    let (mut store, now) = (shared.store(), Instant::now());
    lines.end(&mut |text| store.take(text, now));
}

/// The mapping file, as it was read last.
#[derive(Default)]
struct MappingFile {
    stamp: Option<Stamp>,
    is_known: bool,
}

impl MappingFile {
    /// Reads the file if it has changed. While it is invalid, the former mapping stays.
    async fn read(&mut self, path: &Path, shared: &Shared) {
        let (of, known) = (path.to_owned(), self.is_known.then_some(self.stamp));
        let read = spawn_blocking(move || {
            let stamp = std::fs::metadata(&of).ok().as_ref().map(Stamp::from);
            (known != Some(stamp)).then(|| (stamp, mapping::read(&of)))
        });
        let Ok(Some((stamp, read))) = read.await else { return };
        let is_first = !std::mem::replace(&mut self.is_known, true);
        self.stamp = stamp;
        let mut store = shared.store();
        store.counts.reloads[usize::from(read.is_err())] += u64::from(!is_first);
        match read {
            Ok(mapping) => {
                store.set_mapping(mapping);
                shared.status().mapping = None;
            }
            Err(reason) => shared.status().mapping = Some(format!("{reason}; the former mapping stays in use")),
        }
    }
}
