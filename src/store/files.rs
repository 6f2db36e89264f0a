//! The files of a log and their contents.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::damage::{self, Repair};
use super::{MAGIC, MAGIC_WITH_PARTS, OpenError, Recovery, records};
use crate::system::{self, Use};

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Snapshot,
    /// A snapshot that was started and is ignored.
    Unfinished,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
}

/// The log's files in `folder`, sorted by number; other files are ignored.
pub(super) fn list(folder: &Path) -> io::Result<Vec<LogFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => Kind::Segment,
            Some("snapshot") => Kind::Snapshot,
            Some("unfinished") => Kind::Unfinished,
            _ => continue,
        };
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        found.extend(number.map(|number| LogFile { number, kind, path }));
    }
    found.sort_by_key(|file| (file.number, file.kind == Kind::Segment));
    Ok(found)
}

/// The files to replay, in order: the newest intact snapshot and everything after it. Without an intact snapshot, all
/// files: an older one may hold what a damaged snapshot lost.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn relevant(found: &[LogFile]) -> Result<Vec<&LogFile>, OpenError> {
    let mut relevant: Vec<&LogFile> = found.iter().filter(|file| file.kind != Kind::Unfinished).collect();
    // The first file is read in any case.
    for at in (1..relevant.len()).rev() {
        if relevant[at].kind == Kind::Snapshot && is_whole(relevant[at])? {
            relevant.drain(..at);
            break;
        }
    }
    Ok(relevant)
}

fn is_whole(file: &LogFile) -> Result<bool, OpenError> {
    let mut found = Recovery::default();
    replay(file, false, &mut |_| true, &mut found)?;
    Ok(found.damage.is_empty())
}

/// The result of reading a file.
pub(super) struct Read {
    /// Number of records.
    pub(super) records: usize,
    /// Bytes up to the last intact record.
    pub(super) bytes: u64,
    /// The repair that must precede all writes.
    pub(super) repair: Option<Repair>,
}

/// Passes the records of a file to `replay`. The last segment `may_be_torn`.
pub(super) fn replay(
    file: &LogFile,
    may_be_torn: bool,
    replay: &mut dyn FnMut(&[u8]) -> bool,
    recovery: &mut Recovery,
) -> Result<Read, OpenError> {
    let failed = |reason| OpenError::Io { path: file.path.clone(), what: "cannot be read", reason };
    let bytes = read(&file.path).map_err(failed)?;
    if bytes.len() < MAGIC.len() && may_be_torn && MAGIC.starts_with(&bytes) {
        recovery.torn += bytes.len() as u64;
        return Ok(Read { records: 0, bytes: 0, repair: Some(Repair::Remove(file.path.clone())) });
    }
    let same = MAGIC.len() - 1;
    let is_known = [MAGIC, MAGIC_WITH_PARTS].iter().any(|magic| bytes.starts_with(*magic));
    if bytes.get(..same) == Some(&MAGIC[..same]) && bytes.len() > same && !is_known {
        return Err(OpenError::Version(file.path.clone()));
    }
    let mut reading = Reading { count: 0, damage: Vec::new(), pending: None, has_ended: false };
    let mut at = MAGIC.len().min(bytes.len());
    if !is_known {
        reading.skip(0, at);
    }
    let (mut torn, mut finder) = (None, records::Finder::new(&bytes));
    while at < bytes.len() {
        if let Some(part) = records::part(&bytes[at..]) {
            reading.add_part(at, &part, replay);
            at += part.length;
            continue;
        }
        match finder.next(at) {
            Some(next) => {
                reading.skip(at, next);
                at = next;
            }
            None if may_be_torn => {
                torn = Some(at);
                break;
            }
            None => {
                reading.skip(at, bytes.len());
                break;
            }
        }
    }
    // Parts without a last part were torn too.
    match reading.pending.take() {
        Some((begin, _)) if may_be_torn => torn = Some(begin),
        Some((begin, _)) => reading.skip(begin, bytes.len()),
        None => {}
    }
    if file.kind == Kind::Snapshot && !reading.has_ended && reading.damage.is_empty() {
        reading.skip(bytes.len(), bytes.len());
    }
    let mut repair = torn.map(|at| Repair::CutOff(file.path.clone(), at as u64));
    recovery.torn += torn.map_or(0, |at| (bytes.len() - at) as u64);
    if !reading.damage.is_empty() {
        let quarantine = damage::describe(&file.path, &reading.damage, recovery);
        repair = Some(Repair::Quarantine { path: file.path.clone(), quarantine, then: repair.map(Box::new) });
    }
    Ok(Read { records: reading.count, bytes: torn.unwrap_or(bytes.len()) as u64, repair })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = system::open_regular(path, Use::Read)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Assembles the records of a file from their parts.
struct Reading {
    count: usize,
    /// Unreadable ranges, in order.
    damage: Vec<(usize, usize)>,
    /// An incomplete record: its offset, and the parts so far.
    pending: Option<(usize, Vec<u8>)>,
    /// Whether the end of a snapshot was found.
    has_ended: bool,
}

impl Reading {
    fn add_part(&mut self, at: usize, part: &records::Part<'_>, replay: &mut dyn FnMut(&[u8]) -> bool) {
        match (part.is_continuation, self.pending.take()) {
            (true, Some((begin, mut payload))) => {
                payload.extend_from_slice(part.payload);
                match part.continues {
                    true => self.pending = Some((begin, payload)),
                    false => self.record(begin, at + part.length, &payload, replay),
                }
            }
            // Its first part is missing.
            (true, None) => self.skip(at, at + part.length),
            (false, pending) => {
                pending.into_iter().for_each(|(begin, _)| self.skip(begin, at));
                match part.continues {
                    true => self.pending = Some((at, part.payload.to_vec())),
                    false => self.record(at, at + part.length, part.payload, replay),
                }
            }
        }
    }

    /// Replays a complete record.
    fn record(&mut self, from: usize, to: usize, payload: &[u8], replay: &mut dyn FnMut(&[u8]) -> bool) {
        // An empty record ends a snapshot.
        if payload.is_empty() {
            self.has_ended = true;
            return;
        }
        match replay(payload) {
            true => self.count += 1,
            false => self.skip(from, to),
        }
    }

    /// Marks a range as damaged, together with an incomplete record before it.
    fn skip(&mut self, from: usize, to: usize) {
        let from = self.pending.take().map_or(from, |(begin, _)| begin);
        match self.damage.last_mut() {
            Some((_, end)) if *end == from => *end = to,
            _ => self.damage.push((from, to)),
        }
    }
}

/// Removes the files that snapshot `number` replaces, and unfinished ones.
pub(super) fn remove_older(folder: &Path, number: u64) -> io::Result<()> {
    let is_old = |file: &LogFile| file.number < number || file.kind == Kind::Unfinished;
    list(folder)?.into_iter().filter(is_old).try_for_each(|file| fs::remove_file(file.path))
}
