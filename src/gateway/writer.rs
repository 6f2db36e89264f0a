//! What is written to disk, by a thread of its own: changes as they come, and snapshots now and then.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::change::Piece;
use super::core::{Core, Unkept};
use super::record::{self, TooLong};
use super::state::{Snapshot, State};
use super::sweep::Expired;
use crate::store::{self, Finished, Log, Records};
use crate::system;

/// Writes what a [`Core`] does.
pub(super) struct Writer {
    core: Arc<Core>,
    log: Log,
    /// The snapshot that is being written.
    snapshot: Option<thread::JoinHandle<()>>,
    /// A snapshot is wanted though the log is not long: something in it is damaged.
    wants_snapshot: bool,
    pause: Pause,
    /// The batch that was written last, empty, to be filled again.
    spare: Records,
    /// Batches that the disk has refused since it took one.
    refused: u64,
}

/// When the next snapshot may be begun: after one that failed, later each time.
struct Pause {
    until: Instant,
    next: Duration,
}

impl Pause {
    /// Tests do not wait for long.
    const FIRST: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(10) };
    const LONGEST: Duration = if cfg!(test) { Self::FIRST } else { Duration::from_secs(3600) };

    fn none() -> Pause {
        Pause { until: Instant::now(), next: Self::FIRST }
    }

    fn longer(&mut self) {
        self.until = Instant::now() + self.next;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

/// What is to be written.
struct Work {
    batch: Records,
    /// Up to which position.
    position: u64,
    /// All groups as of then, if a snapshot is due.
    groups: Option<Groups>,
}

impl Writer {
    /// What writes the changes of `core` to `log`; a snapshot first, if one is wanted.
    pub(super) fn new(core: Arc<Core>, log: Log, wants_snapshot: bool) -> Writer {
        let spare = Records::default();
        Writer { core, log, snapshot: None, wants_snapshot, pause: Pause::none(), spare, refused: 0 }
    }

    /// Writes until the core is closed, and everything is written.
    pub(super) fn run(mut self) {
        while let Some(Work { mut batch, position, groups }) = self.next() {
            let written = self.log.write(&batch);
            let was_empty = batch.is_empty();
            batch.clear();
            self.spare = batch;
            match written {
                Ok(()) => {
                    if self.refused > 0 && !was_empty {
                        self.refused = 0;
                        tracing::info!("pushes are kept on disk again");
                    }
                    self.keep(position);
                    groups.into_iter().for_each(|groups| self.begin_snapshot(groups));
                }
                Err(error) => self.give_up(&error),
            }
        }
        if let Some(snapshot) = self.snapshot.take() {
            let _ = snapshot.join();
        }
    }

    fn next(&mut self) -> Option<Work> {
        let core = self.core.clone();
        let mut inner = core.lock();
        loop {
            if let Some(ended) = inner.snapshot_ended.take() {
                self.end_snapshot(ended);
            }
            if inner.is_closed && inner.batch.is_empty() {
                return None;
            }
            if !inner.batch.is_empty() || self.is_due() {
                break;
            }
            inner = match self.pause.until.checked_duration_since(Instant::now()) {
                Some(pause) if self.is_wanted() => {
                    core.wake.wait_timeout(inner, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                _ => core.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let groups = self.is_due().then(|| Groups::of(&inner.state));
        let batch = std::mem::replace(&mut inner.batch, std::mem::take(&mut self.spare));
        Some(Work { batch, position: inner.position, groups })
    }

    fn is_wanted(&self) -> bool {
        self.snapshot.is_none() && (self.wants_snapshot || self.log.is_long())
    }

    fn is_due(&self) -> bool {
        self.is_wanted() && Instant::now() >= self.pause.until
    }

    fn keep(&self, position: u64) {
        let mut inner = self.core.lock();
        let kept = inner.pending.partition_point(|pending| pending.position <= position);
        let kept: Vec<_> = inner.pending.drain(..kept).collect();
        drop(inner);
        for pending in kept {
            // Whoever asked may have gone.
            let _ = pending.answer.send(Ok(pending.done));
        }
    }

    /// Undoes everything that is not on disk, also what came after what could not be written. A log that is longer than
    /// what it says is shortened, which may be what makes room.
    fn give_up(&mut self, error: &io::Error) {
        let core = self.core.clone();
        let mut inner = core.lock();
        let undone = std::mem::take(&mut inner.pending);
        let mut answers = Vec::with_capacity(undone.len());
        for pending in undone.into_iter().rev() {
            inner.undo(pending.done);
            answers.push(pending.answer);
        }
        inner.batch = Records::default();
        let can_be_shorter = self.snapshot.is_none() && self.log.is_longer_than_its_snapshot();
        let groups = (can_be_shorter && Instant::now() >= self.pause.until).then(|| Groups::of(&inner.state));
        drop(inner);
        self.refused += 1;
        if self.refused == 1 {
            let remedy = remedy(error);
            tracing::error!("pushes cannot be kept on disk, and are answered 503 until they can: {error}; {remedy}");
        }
        let reason: Arc<str> = format!("{}; {}", error.to_string().to_lowercase(), remedy(error)).into();
        for answer in answers {
            let _ = answer.send(Err(Unkept::Disk(reason.clone())));
        }
        groups.into_iter().for_each(|groups| self.begin_snapshot(groups));
    }

    fn begin_snapshot(&mut self, groups: Groups) {
        let snapshot = match self.log.begin_snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!("no snapshot of the gateway's state can be begun; the log stays as it is: {error}");
                return self.pause.longer();
            }
        };
        let core = self.core.clone();
        let write = move || {
            // A snapshot can wait, pushes cannot.
            system::yield_to_others();
            let finished = groups.write(snapshot).inspect_err(|error| {
                tracing::error!("a snapshot of the gateway's state was given up, and the log stays as it is: {error}");
            });
            core.lock().snapshot_ended = Some(finished.ok());
            core.wake.notify_one();
        };
        match thread::Builder::new().name("gateway-snap".to_owned()).spawn(write) {
            Ok(thread) => self.snapshot = Some(thread),
            Err(_) => self.pause.longer(),
        }
    }

    fn end_snapshot(&mut self, ended: Option<Finished>) {
        // Its thread has nothing left to do.
        self.snapshot = None;
        match ended {
            Some(finished) => {
                self.log.shortened(finished);
                self.wants_snapshot = false;
                self.pause = Pause::none();
            }
            None => self.pause.longer(),
        }
    }
}

/// What to do about a disk that refuses.
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

/// All groups at one moment.
struct Groups {
    all: Snapshot,
    /// What the pushes of a group are known by, by its number; those that have none are not there.
    seen: HashMap<u32, Vec<u128>>,
    expired: Expired,
}

impl Groups {
    fn of(state: &State) -> Groups {
        let seen = state.numbered_groups().filter(|(_, group)| !group.seen.is_empty());
        let seen = seen.map(|(number, group)| (number, group.seen.iter().copied().collect()));
        Groups { all: state.snapshot(), seen: seen.collect(), expired: state.expired().clone() }
    }

    /// A record for each group, and before them one of what has ended.
    ///
    /// # Errors
    /// That something cannot be written, or is not in any group: then the snapshot does not count.
    fn write(mut self, mut snapshot: store::Snapshot) -> io::Result<Finished> {
        let mut pieces: HashMap<u32, Vec<Piece>> = HashMap::new();
        for (name, held) in &self.all.families {
            for (number, block) in held.holders.iter() {
                let piece =
                    Piece { name: name.clone(), kind: held.kind, help: held.help.clone(), block: block.clone() };
                pieces.entry(number).or_default().push(piece);
            }
        }
        let mut records = Records::default();
        let mut put = |record: Result<Vec<u8>, TooLong>| {
            records.clear();
            records.push_any(&record.map_err(io::Error::other)?);
            snapshot.write(&records)
        };
        put(record::encode_expired(&self.expired))?;
        for (number, key, times) in &self.all.groups {
            let seen = self.seen.remove(number).unwrap_or_default();
            put(record::encode_group(key, *times, &pieces.remove(number).unwrap_or_default(), &seen))?;
        }
        match pieces.len() {
            0 => snapshot.finish(),
            left => Err(io::Error::other(format!("families of {left} groups would be left out"))),
        }
    }
}
