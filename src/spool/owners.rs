//! Which folder of the spool belongs to which sink.
//!
//! A folder is called as its sink, and holds a file `sink` that says whose it is. Where a sink got another name, because it
//! was given one or sends to another place, what waits goes on in its successor: the one sink of the same kind that has no
//! folder yet; or of as many as there are such folders, the one that stands where it stood. Where there is doubt, nothing is
//! moved.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::disk::Disk;
use super::queue::{Bounds, Lane};
use super::segments;
use crate::encode::remote::record::Record;
use crate::store::OpenError;
use crate::system::{OwnFolder, Use};

/// The file that says whose a folder is.
const FILE: &str = "sink";

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Points of line protocol.
    Points,
    /// Series of remote write.
    Series,
}

/// A sink, as the spool knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// What it is called.
    pub name: String,
    /// Its kind, as in `[[sinks.KIND]]`.
    pub kind: String,
    /// What it holds.
    pub held: Held,
    /// How many of its kind stand before it in the configuration.
    pub position: usize,
}

impl Owner {
    /// Whether one can send what waits for the other.
    fn is_like(&self, other: &Owner) -> bool {
        (self.kind == other.kind) && (self.held == other.held)
    }

    fn text(&self) -> String {
        let held = if self.held == Held::Points { "points" } else { "series" };
        let (name, kind, position) = (&self.name, &self.kind, self.position);
        json!({"name": name, "kind": kind, "holds": held, "position": position}).to_string()
    }

    fn parse(text: &str) -> Option<Owner> {
        let told: serde_json::Value = serde_json::from_str(text).ok()?;
        let held = match told["holds"].as_str()? {
            "points" => Held::Points,
            "series" => Held::Series,
            _ => return None,
        };
        let position = usize::try_from(told["position"].as_u64()?).ok()?;
        Some(Owner { name: told["name"].as_str()?.to_owned(), kind: told["kind"].as_str()?.to_owned(), held, position })
    }

    /// Says in a folder that it is this sink's.
    pub(super) fn mark(&self, folder: &OwnFolder) {
        let text = self.text();
        if read(folder).as_deref() != Some(&text)
            && let Ok(file) = folder.file(FILE, Use::New)
        {
            // Without it, a folder's name says the same of most.
            let _ = crate::system::write_all_at(&file, text.as_bytes(), 0);
        }
    }
}

fn read(folder: &OwnFolder) -> Option<String> {
    let file = folder.file(FILE, Use::Read).ok()?;
    let mut bytes = [0; 4096];
    let length = crate::system::read_up_to(&file, &mut bytes, 0).ok()?;
    String::from_utf8(bytes[..length].to_vec()).ok()
}

/// What is known of whose a folder is, or a sink that ran.
#[derive(Clone, Debug)]
pub struct Former {
    name: String,
    kind: Option<String>,
    held: Option<Held>,
    position: Option<usize>,
}

impl From<&Owner> for Former {
    fn from(owner: &Owner) -> Former {
        let Owner { name, kind, held, position } = owner.clone();
        Former { name, kind: Some(kind), held: Some(held), position: Some(position) }
    }
}

impl Former {
    fn may_go_on_in(&self, owner: &Owner) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == owner.kind) && self.held.is_none_or(|held| held == owner.held)
    }
}

/// Of each of the `owners`, which of those before it succeeds.
pub fn successions(formers: &[Former], owners: &[Owner]) -> Vec<Option<usize>> {
    let mut of: Vec<Option<usize>> = owners
        .iter()
        .map(|owner| formers.iter().position(|former| former.name == owner.name && former.may_go_on_in(owner)))
        .collect();
    let heirs: Vec<usize> = (0..owners.len()).filter(|owner| of[*owner].is_none()).collect();
    let left: Vec<usize> = (0..formers.len()).filter(|former| !of.contains(&Some(*former))).collect();
    for heir in &heirs {
        let rivals: Vec<usize> = heirs.iter().copied().filter(|other| owners[*other].is_like(&owners[*heir])).collect();
        let could_be = |former: &usize, heir: usize| formers[*former].may_go_on_in(&owners[heir]);
        let candidates: Vec<usize> = left.iter().copied().filter(|former| could_be(former, *heir)).collect();
        // One that could go on in another kind too is not for certain.
        let is_certain = |former: &usize| heirs.iter().all(|other| rivals.contains(other) || !could_be(former, *other));
        if candidates.len() != rivals.len() || !candidates.iter().all(is_certain) {
            continue;
        }
        let stands_there = |former: &&usize| formers[**former].position == Some(owners[*heir].position);
        let mut there = candidates.iter().filter(stands_there);
        of[*heir] = match (candidates.as_slice(), there.next(), there.next()) {
            ([only], ..) => Some(*only),
            (_, Some(former), None) => Some(*former),
            _ => None,
        };
    }
    of
}

/// A folder with points that belongs to no sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Where it is.
    pub folder: PathBuf,
    /// Points that wait there.
    pub points: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A folder that was found.
struct Found {
    folder: PathBuf,
    former: Former,
    points: u64,
    bytes: u64,
    is_adopted: bool,
}

/// The spool, for as long as it is looked through.
pub struct Folders<'a> {
    root: &'a Path,
    /// The kinds that there are.
    kinds: &'a [&'a str],
    bounds: Bounds,
}

impl<'a> Folders<'a> {
    /// The spool in `root`, of sinks of these kinds.
    pub fn new(root: &'a Path, kinds: &'a [&'a str], bounds: Bounds) -> Self {
        Folders { root, kinds, bounds }
    }

    /// The folder of each of the `owners`, into which what waits for them was moved, where there is no doubt; not for those
    /// that are `running`. Tells the log of that, and gives the folders with points that belong to nobody.
    pub fn settle(&self, owners: &[Owner], running: &[bool]) -> (Vec<PathBuf>, Vec<Orphan>) {
        let folders: Vec<PathBuf> = owners.iter().map(|owner| self.folder_of(owner)).collect();
        let mut found = self.unowned(&folders);
        if !found.is_empty() {
            // Who has points of its own is nobody's successor.
            let is_heir = |index: &usize| !running[*index] && self.is_free(&folders[*index]);
            let heirs: Vec<usize> = (0..owners.len()).filter(is_heir).collect();
            let formers: Vec<Former> = found.iter().map(|found| found.former.clone()).collect();
            let waiting: Vec<Owner> = heirs.iter().map(|heir| owners[*heir].clone()).collect();
            for (heir, former) in heirs.iter().zip(successions(&formers, &waiting)) {
                let Some(former) = former else { continue };
                found[former].is_adopted = adopt(&found[former], &owners[*heir], &folders[*heir]);
            }
        }
        let orphans = found.into_iter().filter(|found| !found.is_adopted);
        (folders, orphans.map(|Found { folder, points, bytes, .. }| Orphan { folder, points, bytes }).collect())
    }

    /// The folder that is called as a sink, unless that one holds what it cannot send.
    fn folder_of(&self, owner: &Owner) -> PathBuf {
        let plain = plain_folder(self.root, &owner.name);
        let is_others = self.whose(&plain).is_some_and(|former| !former.may_go_on_in(owner));
        if is_others { self.root.join(encoded(&format!("{}={}", owner.name, owner.kind))) } else { plain }
    }

    /// Folders with points, but for these, and those that another process has.
    fn unowned(&self, known: &[PathBuf]) -> Vec<Found> {
        let Ok(entries) = fs::read_dir(self.root) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path()).filter(|path| !known.contains(path));
        let mut found: Vec<Found> =
            paths.filter_map(|path| self.look(&path)).filter(|found| found.points > 0).collect();
        found.sort_by(|one, other| one.folder.cmp(&other.folder));
        found
    }

    /// Whether what waits for another can be moved to `folder`: nothing waits there.
    fn is_free(&self, folder: &Path) -> bool {
        match folder.symlink_metadata() {
            Err(_) => true,
            Ok(_) => self.look(folder).is_some_and(|found| found.points == 0),
        }
    }

    /// Whose a folder is, as far as it says; nothing if it is none of the spool's.
    fn whose(&self, folder: &Path) -> Option<Former> {
        if !is_queues(folder) {
            return None;
        }
        let place = OwnFolder::place(folder).and_then(|place| OwnFolder::open(&place)).ok()?;
        match read(&place).and_then(|text| Owner::parse(&text)) {
            Some(owner) => Some(Former::from(&owner)),
            None => self.look(folder).map(|found| found.former),
        }
    }

    /// What a folder holds; nothing if it is none of the spool's, or in use.
    fn look(&self, folder: &Path) -> Option<Found> {
        if !is_queues(folder) {
            return None;
        }
        let place = OwnFolder::place(folder).ok()?;
        let (mut disk, _) = match Disk::open(&place, self.bounds) {
            Ok(opened) => opened,
            Err(OpenError::InUse(_)) => return None,
            Err(error) => {
                tracing::warn!("a folder of the spool cannot be looked into: {error}");
                return None;
            }
        };
        let name = decoded(folder.file_name()?.to_str()?)?;
        let (points, bytes) = disk.waiting();
        let former = match read(disk.own_folder()).and_then(|text| Owner::parse(&text)) {
            Some(owner) => Former { name, ..Former::from(&owner) },
            None => self.guess(name, &mut disk),
        };
        Some(Found { folder: folder.to_owned(), former, points, bytes, is_adopted: false })
    }

    /// Whose a folder is that says nothing of it, as those of earlier versions: sinks without a name were called by their
    /// kind and place.
    fn guess(&self, name: String, disk: &mut Disk) -> Former {
        let kind = self.kinds.iter().find(|kind| name.strip_prefix(**kind).is_some_and(|rest| rest.starts_with(':')));
        let mut first = || {
            [Lane::Backlog, Lane::Fresh]
                .into_iter()
                .find_map(|lane| Some(disk.front(lane, 1).0).filter(|lines| !lines.is_empty()))
        };
        let held = first().map(|lines| match lines.iter().next().and_then(Record::read) {
            Some(_) => Held::Series,
            None => Held::Points,
        });
        Former { name, kind: kind.map(|kind| (*kind).to_owned()), held, position: None }
    }
}

/// The folder that is called as a sink.
pub fn plain_folder(root: &Path, name: &str) -> PathBuf {
    root.join(encoded(name))
}

fn is_queues(folder: &Path) -> bool {
    folder.join("places").is_file() && folder.symlink_metadata().is_ok_and(|at| at.is_dir())
}

/// Gives what was found to its new owner, and says whether it has it.
fn adopt(found: &Found, owner: &Owner, to: &Path) -> bool {
    let (from, sink) = (&found.folder, &owner.name);
    match rename(from, to) {
        Ok(()) => {
            let (points, former) = (found.points, &found.former.name);
            tracing::info!(sink, "{points} points that waited for the sink {former:?} are sent by this one now");
            true
        }
        Err(error) => {
            tracing::error!(sink, "{}: cannot become {}: {error}", from.display(), to.display());
            false
        }
    }
}

/// Lets `to`, in which nothing waits, be `from`.
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.symlink_metadata().is_ok() {
        for entry in fs::read_dir(to)?.flatten() {
            let name = entry.file_name();
            if ["places", "lock", FILE].iter().any(|known| name == *known) || segments::is_name(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        fs::remove_dir(to)?;
    }
    fs::rename(from, to)
}

/// A name as a folder's: what may not be in a file's name is written as `%XX`.
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut encoded = String::new();
    for (index, byte) in name.bytes().enumerate() {
        match is_plain(byte) && !(index == 0 && byte == b'.') {
            true => encoded.push(byte.into()),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The name that a folder was called after.
fn decoded(folder: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = folder;
    while let Some((plain, code)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(code.get(..2)?, 16).ok()?);
        rest = &code[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
