//! The writer thread: it writes changes in batches, and snapshots when they are due.
//!
//! The log leaves space for the next snapshot ([`Volume`]). A batch that would use this space is replaced by a snapshot that
//! contains it. Without space for that, removals of groups go to the reserved space, so that deleting always works.

use std::io::{self, ErrorKind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::pending::{Inner, PersistError, Shared, Undone};
use super::snapshot::SnapshotContent;
use crate::log::Episode;
use crate::store::{self, Finished, Log, Records, Volume};
use crate::system;

/// Pause between two writes of a replica's copy. The stream has what it lacks, and each sync takes time from those of a NATS server
/// on the same disk, which acknowledgements wait for. Short in tests.
const COPY_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 200 });

/// The writer of one store.
pub(super) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    /// The thread of the snapshot in progress.
    snapshot: Option<thread::JoinHandle<()>>,
    /// A snapshot is needed whatever the length of the log: a record is damaged.
    wants_snapshot: bool,
    /// The volume after the last write.
    volume: Volume,
    /// A snapshot is due, and has no space.
    no_space: Episode<()>,
    backoff: Backoff,
    /// An empty buffer for the next batch.
    spare: Records,
    /// Batches that the disk has refused since the last success.
    refused: u64,
    /// Whether a replica's log lacks decided batches.
    is_copy_broken: bool,
    /// When it last wrote.
    written: Instant,
}

/// When the next snapshot may start: each failure doubles the pause.
struct Backoff {
    until: Instant,
    next: Duration,
}

impl Backoff {
    /// Short in tests.
    const FIRST: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(10) };
    const MAX: Duration = if cfg!(test) { Self::FIRST } else { Duration::from_secs(60) };

    fn none() -> Backoff {
        Backoff { until: Instant::now(), next: Self::FIRST }
    }

    fn increase(&mut self) {
        self.until = Instant::now() + self.next;
        self.next = (self.next * 2).min(Self::MAX);
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// The input of one write.
struct Work {
    batch: Records,
    /// The position of the last change in the batch.
    position: u64,
    /// Bytes of a snapshot at that position.
    live: u64,
    /// All groups at that position, if a snapshot is due.
    content: Option<SnapshotContent>,
}

impl Writer {
    /// The writer from `shared` to `log`.
    pub(super) fn new(shared: Arc<Shared>, log: Log, wants_snapshot: bool) -> Writer {
        let volume = log.volume(shared.lock().state.snapshot_bytes());
        Writer {
            shared,
            log,
            snapshot: None,
            wants_snapshot,
            volume,
            no_space: Episode::default(),
            backoff: Backoff::none(),
            spare: Records::default(),
            refused: 0,
            is_copy_broken: false,
            written: Instant::now(),
        }
    }

    /// Writes until the store is closed and all changes are written.
    pub(super) fn run(mut self) {
        while let Some(work) = self.next() {
            self.write(work);
            self.check_volume();
        }
        if let Some(snapshot) = self.snapshot.take() {
            let _ = snapshot.join();
        }
    }

    fn next(&mut self) -> Option<Work> {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        loop {
            if let Some(ended) = inner.snapshot_ended.take() {
                self.end_snapshot(ended);
            }
            self.check_copy(&mut inner);
            self.volume.live = inner.state.snapshot_bytes();
            if inner.is_closed && inner.batch.is_empty() {
                return None;
            }
            let has_work = !inner.batch.is_empty() || self.is_due();
            let pause = if has_work { self.copy_pause(&inner) } else { self.snapshot_pause() };
            inner = match pause {
                None if has_work => break,
                None => shared.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => shared.wake.wait_timeout(inner, pause).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        let content = self.is_due().then(|| SnapshotContent::of_log(&mut inner));
        if content.is_some()
            && let Some(replica) = &mut inner.replica
        {
            // The log is whole again with what follows this snapshot.
            replica.lacks_batches = false;
        }
        let batch = std::mem::replace(&mut inner.batch, std::mem::take(&mut self.spare));
        Some(Work { batch, position: inner.log_position(), live: self.volume.live, content })
    }

    /// How long a replica's copy waits for its next write.
    fn copy_pause(&self, inner: &Inner) -> Option<Duration> {
        let is_copy = inner.replica.is_some() && !inner.is_closed;
        COPY_PAUSE.checked_sub(self.written.elapsed()).filter(|pause| is_copy && !pause.is_zero())
    }

    /// How long a snapshot that is wanted waits after a failure. It is zero if the pause has ended since [`Self::is_due`] was
    /// evaluated: the wait must not be without an end then. Without space, a broken copy pauses again, see [`Self::check_copy`].
    fn snapshot_pause(&self) -> Option<Duration> {
        let left = self.backoff.left();
        let has_space = self.volume.has_space() || self.is_copy_broken;
        (self.is_wanted() && (!left.is_zero() || has_space)).then_some(left)
    }

    fn is_wanted(&self) -> bool {
        self.snapshot.is_none() && (self.wants_snapshot || self.log.needs_snapshot() || self.volume.is_due())
    }

    fn is_due(&self) -> bool {
        self.is_wanted() && self.backoff.is_over() && self.volume.has_space()
    }

    /// Updates the free space, and logs when it is too little for a snapshot.
    fn check_volume(&mut self) {
        self.volume = self.log.volume(self.volume.live);
        let Volume { live, free, .. } = self.volume;
        if self.volume.has_space() {
            if let Some(over) = self.no_space.recovered() {
                tracing::info!("there is room for a snapshot of the gateway's state again {over}");
            }
        } else if self.is_wanted() && self.no_space.fails(()) {
            let free = free.unwrap_or_default();
            tracing::warn!(
                "a snapshot of the gateway's state takes {live} bytes, and {free} are free; make room on its disk, or delete groups"
            );
        }
    }

    fn write(&mut self, Work { mut batch, position, live, content }: Work) {
        let (bytes, was_empty) = (batch.bytes().len() as u64, batch.is_empty());
        if self.log.volume(live).is_last_chance(bytes) {
            self.wait_for_snapshot();
        }
        // The snapshot may have changed the free space.
        let written = match self.log.volume(live).is_last_chance(bytes) && self.backoff.is_over() {
            true => self.replace(),
            false => self.log.write(&batch).map(|()| position).or_else(|error| self.replace_if_full(live, error)),
        };
        batch.clear();
        (self.spare, self.written) = (batch, Instant::now());
        match written {
            Ok(position) => {
                if self.refused > 0 && !was_empty && !self.is_copy_broken {
                    self.refused = 0;
                    tracing::info!("pushes are kept on disk again");
                }
                self.log.refill_reserve();
                self.acknowledge(position);
                content.into_iter().for_each(|content| self.begin_snapshot(content));
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// After a write failed for lack of space, writes a snapshot instead; returns its position.
    fn replace_if_full(&mut self, live: u64, error: io::Error) -> io::Result<u64> {
        if !store::is_out_of_space(&error) {
            return Err(error);
        }
        self.wait_for_snapshot();
        match self.log.volume(live).has_space() && self.backoff.is_over() {
            // The first error says more than the second.
            true => self.replace().map_err(|_| error),
            false => Err(error),
        }
    }

    /// Writes a snapshot of the present state, including changes that are not in the log; returns its position.
    fn replace(&mut self) -> io::Result<u64> {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        let (content, position) = (SnapshotContent::of_log(&mut inner), inner.log_position());
        inner.batch.clear();
        if let Some(replica) = &mut inner.replica {
            replica.lacks_batches = false;
        }
        drop(inner);
        let written = self.log.begin_snapshot(content.bytes()).and_then(|snapshot| content.write(snapshot));
        self.end_snapshot(written.as_ref().ok().copied());
        written.map(|_| position)
    }

    fn wait_for_snapshot(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            let _ = snapshot.join();
            let ended = self.shared.lock().snapshot_ended.take();
            self.end_snapshot(ended.flatten());
        }
    }

    fn acknowledge(&self, position: u64) {
        let mut inner = self.shared.lock();
        if let Some(replica) = &mut inner.replica {
            if !self.is_copy_broken {
                replica.persisted_up_to(position);
            }
            return;
        }
        let written = inner.take_pending(position);
        drop(inner);
        for pending in written {
            // The caller may have been dropped.
            let _ = pending.ack.send(Ok(pending.applied));
        }
    }

    /// Undoes all changes that are not on disk, including those after the failed batch. Removals are repeated if the disk is
    /// full.
    fn refuse(&mut self, error: &io::Error) {
        self.refused += 1;
        if self.shared.lock().replica.is_some() {
            return self.lose_copy(error);
        }
        if self.refused == 1 {
            let remedy = remedy(error);
            tracing::error!("pushes cannot be kept on disk, and are answered 503 until they can: {error}; {remedy}");
        }
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        let undone = inner.undo_all();
        if !store::is_out_of_space(error) {
            let is_due = self.log.needs_snapshot() && self.backoff.is_over();
            let content = is_due.then(|| SnapshotContent::of_log(&mut inner));
            drop(inner);
            reject(undone, error);
            return content.into_iter().for_each(|content| self.begin_snapshot(content));
        }
        let mut refused = Vec::new();
        for (removal, ack) in undone {
            match removal {
                Some(removal) => inner.remove_again(&removal, ack),
                None => refused.push((None, ack)),
            }
        }
        let (batch, position) = (std::mem::take(&mut inner.batch), inner.position);
        drop(inner);
        reject(refused, error);
        if !batch.is_empty() {
            self.write_from_reserve(&batch, position);
        }
    }

    /// The log of a replica lacks decided batches from now on, until a snapshot has succeeded.
    fn lose_copy(&mut self, error: &io::Error) {
        let (folder, remedy) = (self.log.folder().display(), remedy(error));
        let failure =
            format!("the copy of the groups in {folder} cannot be written: {error}; the stream has them; {remedy}");
        if self.refused == 1 {
            tracing::error!("{failure}");
        }
        if let Some(replica) = &mut self.shared.lock().replica {
            replica.failure = Some(failure);
        }
        self.is_copy_broken = true;
        self.backoff.increase();
    }

    /// Drops what a replica's log would get while it lacks earlier batches and no snapshot is being written.
    fn check_copy(&mut self, inner: &mut Inner) {
        let Some(replica) = &mut inner.replica else { return };
        self.is_copy_broken |= replica.lacks_batches;
        if !self.is_copy_broken {
            replica.failure = None;
        }
        if self.is_copy_broken && self.snapshot.is_none() {
            self.wants_snapshot = true;
            replica.lacks_batches = true;
            inner.batch.clear();
            self.volume = self.log.volume(inner.state.snapshot_bytes());
            if self.backoff.is_over() && !self.volume.has_space() {
                self.backoff.increase();
            }
        } else if !self.is_copy_broken && inner.batch.is_empty() {
            replica.persisted_up_to(replica.sequence());
        }
    }

    /// Writes removals of groups to the reserve, or else as a snapshot in its space.
    fn write_from_reserve(&mut self, batch: &Records, position: u64) {
        let written = self.log.write_from_reserve(batch).map(|()| position);
        let written = written.or_else(|_| {
            self.log.release_reserve();
            self.replace()
        });
        match written {
            Ok(position) => self.acknowledge(position),
            Err(error) => {
                let undone = self.shared.lock().undo_all();
                reject(undone, &error);
            }
        }
    }

    fn begin_snapshot(&mut self, content: SnapshotContent) {
        let snapshot = match self.log.begin_snapshot(content.bytes()) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!("no snapshot of the gateway's state can be begun; the log stays as it is: {error}");
                return self.backoff.increase();
            }
        };
        let shared = self.shared.clone();
        let write = move || {
            // Pushes have priority over a snapshot.
            system::lower_priority();
            let finished = content.write(snapshot).inspect_err(|error| {
                tracing::error!("a snapshot of the gateway's state was given up, and the log stays as it is: {error}");
            });
            shared.lock().snapshot_ended = Some(finished.ok());
            shared.wake.notify_one();
        };
        match thread::Builder::new().name("gateway-snap".to_owned()).spawn(write) {
            Ok(thread) => self.snapshot = Some(thread),
            Err(_) => self.backoff.increase(),
        }
    }

    fn end_snapshot(&mut self, ended: Option<Finished>) {
        // Its thread is done.
        self.snapshot = None;
        match ended {
            Some(finished) => {
                self.log.snapshot_finished(finished);
                self.wants_snapshot = false;
                self.is_copy_broken = false;
                self.backoff = Backoff::none();
            }
            None => self.backoff.increase(),
        }
        self.volume = self.log.volume(self.volume.live);
    }
}

/// Answers the callers of undone changes with the error.
fn reject(undone: Vec<Undone>, error: &io::Error) {
    let reason: Arc<str> = format!("{}; {}", in_a_sentence(error), remedy(error)).into();
    for (_, ack) in undone {
        let _ = ack.send(Err(PersistError::Disk(reason.clone())));
    }
}

/// An error as part of a sentence. Messages of the system start with a capital; others may start with a path.
fn in_a_sentence(error: &io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_some() { text.to_lowercase() } else { text }
}

/// The remedy for a disk that refuses writes.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room on the gateway's disk; no restart is needed"
        }
        ErrorKind::ReadOnlyFilesystem => "mount the gateway's disk for writing; no restart is needed",
        ErrorKind::PermissionDenied => "let Taffrail's user write the gateway's folder; no restart is needed",
        ErrorKind::NotFound => "its folder is made again, and what is in memory written to it; push again",
        _ => "see to the gateway's disk",
    }
}
