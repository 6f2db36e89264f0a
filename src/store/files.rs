//! The files of a log: which there are, and what they hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::damage::{self, Repair};
use super::{MAGIC, MAGIC_OF_PARTS, OpenError, Recovery, records};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Snapshot,
    /// A snapshot that was begun, and counts for nothing.
    Unfinished,
}

/// A file with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
}

/// The log's files in `folder`, by number; others are passed over.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Numbered>> {
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
        found.extend(number.map(|number| Numbered { number, kind, path }));
    }
    found.sort_by_key(|file| (file.number, file.kind == Kind::Segment));
    Ok(found)
}

/// What was read of a file.
pub(super) struct Read {
    /// How many records.
    pub(super) records: usize,
    /// Its bytes.
    pub(super) bytes: u64,
    /// What is to be done to it before anything else is written.
    pub(super) repair: Option<Repair>,
}

/// Hands the records of a file to `replay`. `may_be_torn` holds of the segment that was written last.
pub(super) fn replay(
    file: &Numbered,
    may_be_torn: bool,
    replay: &mut dyn FnMut(&[u8]) -> bool,
    recovery: &mut Recovery,
) -> Result<Read, OpenError> {
    let failed = |reason| OpenError::Io { path: file.path.clone(), what: "cannot be read", reason };
    let bytes = fs::read(&file.path).map_err(failed)?;
    if bytes.len() < MAGIC.len() && may_be_torn && MAGIC.starts_with(&bytes) {
        recovery.torn += bytes.len() as u64;
        return Ok(Read { records: 0, bytes: 0, repair: Some(Repair::Remove(file.path.clone())) });
    }
    let same = MAGIC.len() - 1;
    let is_known = [MAGIC, MAGIC_OF_PARTS].iter().any(|magic| bytes.starts_with(*magic));
    if bytes.get(..same) == Some(&MAGIC[..same]) && bytes.len() > same && !is_known {
        return Err(OpenError::Version(file.path.clone()));
    }
    let mut reading = Reading { count: 0, damage: Vec::new(), begun: None };
    let mut at = MAGIC.len().min(bytes.len());
    if !is_known {
        reading.pass_over(0, at);
    }
    let mut torn = None;
    while at < bytes.len() {
        if let Some(part) = records::part(&bytes[at..]) {
            reading.take(at, &part, replay);
            at += part.length;
            continue;
        }
        match records::next(&bytes[at..]) {
            Some(skipped) => {
                reading.pass_over(at, at + skipped);
                at += skipped;
            }
            None if may_be_torn => {
                torn = Some(at);
                break;
            }
            None => {
                reading.pass_over(at, bytes.len());
                break;
            }
        }
    }
    // Parts whose end is missing were cut off with it.
    match reading.begun.take() {
        Some((begin, _)) if may_be_torn => torn = Some(begin),
        Some((begin, _)) => reading.pass_over(begin, bytes.len()),
        None => {}
    }
    let mut repair = torn.map(|at| Repair::CutOff(file.path.clone(), at as u64));
    recovery.torn += torn.map_or(0, |at| (bytes.len() - at) as u64);
    if !reading.damage.is_empty() {
        let aside = damage::tell(&file.path, &reading.damage, recovery);
        repair = Some(Repair::KeepAside { path: file.path.clone(), aside, then: repair.map(Box::new) });
    }
    Ok(Read { records: reading.count, bytes: torn.unwrap_or(bytes.len()) as u64, repair })
}

/// The records of a file, as they are put together from their parts.
struct Reading {
    count: usize,
    /// From where to where nothing could be read, in order.
    damage: Vec<(usize, usize)>,
    /// The parts of a record that is not whole yet, and where it begins.
    begun: Option<(usize, Vec<u8>)>,
}

impl Reading {
    fn take(&mut self, at: usize, part: &records::Part<'_>, replay: &mut dyn FnMut(&[u8]) -> bool) {
        match (part.goes_back, self.begun.take()) {
            (true, Some((begin, mut payload))) => {
                payload.extend_from_slice(part.payload);
                match part.goes_on {
                    true => self.begun = Some((begin, payload)),
                    false => self.record(begin, at + part.length, &payload, replay),
                }
            }
            // Its beginning is missing.
            (true, None) => self.pass_over(at, at + part.length),
            (false, begun) => {
                begun.into_iter().for_each(|(begin, _)| self.pass_over(begin, at));
                match part.goes_on {
                    true => self.begun = Some((at, part.payload.to_vec())),
                    false => self.record(at, at + part.length, part.payload, replay),
                }
            }
        }
    }

    /// The record that stands from one place to another.
    fn record(&mut self, from: usize, to: usize, payload: &[u8], replay: &mut dyn FnMut(&[u8]) -> bool) {
        // The empty one ends a snapshot.
        if payload.is_empty() {
            return;
        }
        match replay(payload) {
            true => self.count += 1,
            false => self.pass_over(from, to),
        }
    }

    /// What stands there is lost, and with it what had begun before it and was not whole.
    fn pass_over(&mut self, from: usize, to: usize) {
        let from = self.begun.take().map_or(from, |(begin, _)| begin);
        match self.damage.last_mut() {
            Some((_, end)) if *end == from => *end = to,
            _ => self.damage.push((from, to)),
        }
    }
}

/// Removes what a snapshot of this number has taken the place of, and what was begun and never finished.
pub(super) fn remove_older(folder: &Path, number: u64) -> io::Result<()> {
    let is_old = |file: &Numbered| file.number < number || file.kind == Kind::Unfinished;
    list(folder)?.into_iter().filter(is_old).try_for_each(|file| fs::remove_file(file.path))
}
