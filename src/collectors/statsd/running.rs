//! The background work: receives lines, ends intervals, and reads the mapping file again.

use std::future::pending;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet, spawn_blocking, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::address::{Address, Transport};
use super::datagrams::{self, BATCH, Bound, Buffers, Receiver};
use super::mapping::{self, Mapping};
use super::settings::Settings;
use super::shared::Shared;
use super::streams::{self, Open};
use crate::http::socket::{self, SocketFile};
use crate::log::Episode;
use crate::system::Stamp;

/// Runs until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, settings: Arc<Settings>) {
    shared.store().configure(settings.clone());
    shared.begin(&settings.listen);
    let mut mapping = MappingFile::default();
    match &settings.mapping_file {
        Some(path) => mapping.read(path, &shared).await,
        None => shared.store().set_mapping(Mapping::default()),
    }
    let (local, open) = (LocalSet::new(), Rc::new(Open::new(&settings)));
    local.spawn_local(streams::resume(shared.clone(), open.clone(), settings.listen.clone()));
    for address in settings.listen.clone() {
        let (shared, settings) = (shared.clone(), settings.clone());
        local.spawn_local(listen(address, shared, settings, open.clone()));
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
async fn listen(address: Address, shared: Arc<Shared>, settings: Arc<Settings>, open: Rc<Open>) {
    /// While a reload ends the former listener.
    const FIRST_TRIES: usize = 20;
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const PAUSE: Duration = Duration::from_secs(10);
    let mut episode = Episode::default();
    for number in 0.. {
        let is_late = number >= FIRST_TRIES;
        let error = match serve(&address, &shared, (&settings, &open), &mut episode).await {
            Ok(()) => io::Error::other("the listener ended"),
            Err(error) => error,
        };
        if is_late || error.kind() != io::ErrorKind::AddrInUse {
            let reason = format!("cannot listen: {error}");
            let is_new = episode.fails(reason.clone());
            shared.has_failed(&address, reason);
            if is_new {
                tracing::error!("statsd: {address}: cannot listen: {error}; it is tried again");
            }
        }
        sleep(if is_late { PAUSE } else { FIRST_PAUSE }).await;
    }
}

async fn serve(
    address: &Address,
    shared: &Arc<Shared>,
    (settings, open): (&Settings, &Rc<Open>),
    episode: &mut Episode<String>,
) -> io::Result<()> {
    let has_begun = |at: &str, episode: &mut Episode<String>| {
        let over = episode.recovered().map(|over| format!(" {over}")).unwrap_or_default();
        tracing::info!("statsd: receiving on {at}{over}");
        shared.has_begun(address);
    };
    let (mut tasks, mut files) = (JoinSet::new(), Vec::new());
    match address.transport {
        Transport::Udp | Transport::Unixgram => {
            let bound = match shared.bound(address) {
                Some(bound) => bound,
                None => datagrams::bind(address, settings.socket_mode, settings.receive_buffer).await?,
            };
            for one in &bound {
                let at = one.address().map_or_else(|| address.to_string(), |address| format!("udp://{address}"));
                tasks.spawn_local(receive(one.receiver()?, one.clone(), address.transport, shared.clone()));
                has_begun(&at, episode);
                files.extend(one.file.clone());
            }
            shared.retain(address, bound);
        }
        Transport::Tcp | Transport::Unix => {
            for one in socket::bind(&address.address, None, settings.socket_mode).await? {
                let at = Address { transport: address.transport, address: one.address };
                files.extend(one.file.map(Arc::new));
                tasks.spawn_local(streams::accept(one.socket, address.clone(), shared.clone(), open.clone()));
                has_begun(&at.to_string(), episode);
            }
        }
    }
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => Ok(()),
        () = removed(&files) => {
            shared.release(address);
            Err(io::Error::new(io::ErrorKind::NotFound, "the file of the socket was removed"))
        }
    }
}

/// Waits until one of these files is gone.
async fn removed(files: &[Arc<SocketFile>]) {
    const INTERVAL: Duration = Duration::from_secs(2);
    loop {
        for file in files {
            let file = file.clone();
            if spawn_blocking(move || !file.is_there()).await.is_ok_and(|is_gone| is_gone) {
                return;
            }
        }
        match files {
            [] => pending().await,
            _ => sleep(INTERVAL).await,
        }
    }
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
                drop(store);
                shared.set_mapping_failure(None);
            }
            Err(reason) => {
                shared.set_mapping_failure(Some(format!("{reason}; the former mapping stays in use")));
            }
        }
    }
}
