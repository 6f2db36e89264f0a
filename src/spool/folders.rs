//! Maps sinks to folders of the spool.
//!
//! A folder is named after its sink and holds a file `sink` with the sink's identity. When a sink was renamed, or its
//! address changed, its waiting points pass to its successor: the only sink of that kind without a folder; or, if
//! there are as many such sinks as such folders, the one at the same position in the configuration. In doubt, nothing
//! moves.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::disk::Disk;
use super::segments;
use super::types::{Limits, SubQueue};
use crate::encode::remote::record::Record;
use crate::store::OpenError;
use crate::system::{PrivateFolder, Use};

/// The file with the identity of a folder's sink.
const FILE: &str = "sink";

/// What a queue contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Points in line protocol.
    Points,
    /// Series of remote write.
    Series,
}

/// Identity of a sink in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkId {
    /// Its name.
    pub name: String,
    /// Its kind, as in `[[sinks.KIND]]`.
    pub kind: String,
    /// What its queue contains.
    pub held: Content,
    /// Number of sinks of its kind before it in the configuration.
    pub position: usize,
}

impl SinkId {
    /// Whether each can send the other's points.
    fn is_compatible_with(&self, other: &SinkId) -> bool {
        (self.kind == other.kind) && (self.held == other.held)
    }

    /// Its folder name if another kind already uses the plain one.
    fn second_folder(&self) -> String {
        folder_name(&format!("{}={}", self.name, self.kind))
    }

    fn text(&self) -> String {
        let held = if self.held == Content::Points { "points" } else { "series" };
        let (name, kind, position) = (&self.name, &self.kind, self.position);
        json!({"name": name, "kind": kind, "holds": held, "position": position}).to_string()
    }

    fn parse(text: &str) -> Option<SinkId> {
        let parsed: serde_json::Value = serde_json::from_str(text).ok()?;
        let held = match parsed["holds"].as_str()? {
            "points" => Content::Points,
            "series" => Content::Series,
            _ => return None,
        };
        let position = usize::try_from(parsed["position"].as_u64()?).ok()?;
        Some(SinkId {
            name: parsed["name"].as_str()?.to_owned(),
            kind: parsed["kind"].as_str()?.to_owned(),
            held,
            position,
        })
    }

    /// Writes the identity file into its folder.
    pub(super) fn mark(&self, folder: &PrivateFolder) {
        let text = self.text();
        if read(folder).as_deref() != Some(&text)
            && let Ok(file) = folder.file(FILE, Use::New)
        {
            // If this fails, the folder's name still identifies most sinks.
            let _ = crate::system::write_all_at(&file, text.as_bytes(), 0);
        }
    }
}

fn read(folder: &PrivateFolder) -> Option<String> {
    let file = folder.file(FILE, Use::Read).ok()?;
    let mut bytes = [0; 4096];
    let length = crate::system::read_up_to(&file, &mut bytes, 0).ok()?;
    String::from_utf8(bytes[..length].to_vec()).ok()
}

/// A sink of an earlier run or configuration, as far as it is known.
#[derive(Clone, Debug)]
pub struct PreviousSink {
    name: String,
    kind: Option<String>,
    held: Option<Content>,
    position: Option<usize>,
}

impl From<&SinkId> for PreviousSink {
    fn from(owner: &SinkId) -> PreviousSink {
        let SinkId { name, kind, held, position } = owner.clone();
        PreviousSink { name, kind: Some(kind), held: Some(held), position: Some(position) }
    }
}

impl PreviousSink {
    fn can_continue_as(&self, owner: &SinkId) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == owner.kind) && self.held.is_none_or(|held| held == owner.held)
    }
}

/// For each of `owners`, the index of the previous sink that it succeeds.
pub fn match_successors(previous: &[PreviousSink], owners: &[SinkId]) -> Vec<Option<usize>> {
    let mut matched: Vec<Option<usize>> = owners
        .iter()
        .map(|owner| previous.iter().position(|former| former.name == owner.name && former.can_continue_as(owner)))
        .collect();
    let successors: Vec<usize> = (0..owners.len()).filter(|owner| matched[*owner].is_none()).collect();
    let unmatched: Vec<usize> = (0..previous.len()).filter(|former| !matched.contains(&Some(*former))).collect();
    for successor in &successors {
        let peers: Vec<usize> =
            successors.iter().copied().filter(|other| owners[*other].is_compatible_with(&owners[*successor])).collect();
        let could_be = |former: &usize, successor: usize| previous[*former].can_continue_as(&owners[successor]);
        let candidates: Vec<usize> = unmatched.iter().copied().filter(|former| could_be(former, *successor)).collect();
        // A previous sink that could also match another kind is ambiguous.
        let is_certain =
            |former: &usize| successors.iter().all(|other| peers.contains(other) || !could_be(former, *other));
        if candidates.len() != peers.len() || !candidates.iter().all(is_certain) {
            continue;
        }
        let has_same_position = |former: &&usize| previous[**former].position == Some(owners[*successor].position);
        let mut at_position = candidates.iter().filter(has_same_position);
        matched[*successor] = match (candidates.as_slice(), at_position.next(), at_position.next()) {
            ([only], ..) => Some(*only),
            (_, Some(former), None) => Some(*former),
            _ => None,
        };
    }
    matched
}

/// A folder with points that belongs to no sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its path.
    pub folder: PathBuf,
    /// The name of its former sink.
    pub name: String,
    /// The kind of its former sink, if known.
    pub kind: Option<String>,
    /// Waiting points.
    pub points: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A folder that was found.
struct Found {
    folder: PathBuf,
    former: PreviousSink,
    points: u64,
    bytes: u64,
    is_adopted: bool,
}

/// The folders of the spool.
pub struct Folders<'a> {
    root: &'a Path,
    /// All kinds of sinks.
    kinds: &'a [&'a str],
    limits: Limits,
}

impl<'a> Folders<'a> {
    /// The spool in `root`, for sinks of these kinds.
    pub fn new(root: &'a Path, kinds: &'a [&'a str], limits: Limits) -> Self {
        Folders { root, kinds, limits }
    }

    /// Returns the folder of each of `owners`, and the folders with points that belong to no sink. Moves a previous
    /// sink's points to its successor where that is unambiguous and the successor is not `running`, and logs it.
    pub fn assign(&self, owners: &[SinkId], running: &[bool]) -> (Vec<PathBuf>, Vec<Orphan>) {
        let folders: Vec<PathBuf> = owners.iter().map(|owner| self.folder_of(owner)).collect();
        let mut found = self.orphaned(&folders);
        if !found.is_empty() {
            // A sink with points of its own succeeds no other.
            let may_succeed = |index: &usize| !running[*index] && self.is_free(&folders[*index]);
            let successors: Vec<usize> = (0..owners.len()).filter(may_succeed).collect();
            let previous: Vec<PreviousSink> = found.iter().map(|found| found.former.clone()).collect();
            let waiting: Vec<SinkId> = successors.iter().map(|successor| owners[*successor].clone()).collect();
            for (successor, former) in successors.iter().zip(match_successors(&previous, &waiting)) {
                let Some(former) = former else { continue };
                found[former].is_adopted = adopt(&found[former], &owners[*successor], &folders[*successor]);
            }
        }
        let orphans = found.into_iter().filter(|found| !found.is_adopted);
        let orphan = |Found { folder, former, points, bytes, .. }| {
            let PreviousSink { name, kind, .. } = former;
            Orphan { folder, name, kind, points, bytes }
        };
        (folders, orphans.map(orphan).collect())
    }

    /// The folder named after a sink, or its second folder if that one holds what the sink cannot send.
    fn folder_of(&self, owner: &SinkId) -> PathBuf {
        let plain = plain_folder(self.root, &owner.name);
        let is_others = self.owner_of(&plain).is_some_and(|former| !former.can_continue_as(owner));
        if is_others { self.root.join(owner.second_folder()) } else { plain }
    }

    /// Folders with points, except `known` ones and those locked by another process.
    fn orphaned(&self, known: &[PathBuf]) -> Vec<Found> {
        let Ok(entries) = fs::read_dir(self.root) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path()).filter(|path| !known.contains(path));
        let mut found: Vec<Found> =
            paths.filter_map(|path| self.inspect(&path)).filter(|found| found.points > 0).collect();
        found.sort_by(|one, other| one.folder.cmp(&other.folder));
        found
    }

    /// Whether points can be moved to `folder`: no point waits there.
    fn is_free(&self, folder: &Path) -> bool {
        match folder.symlink_metadata() {
            Err(_) => true,
            Ok(_) => self.inspect(folder).is_some_and(|found| found.points == 0),
        }
    }

    /// The recorded or inferred sink of a folder; `None` if it is not a queue's.
    fn owner_of(&self, folder: &Path) -> Option<PreviousSink> {
        if !is_queues(folder) {
            return None;
        }
        let resolved = PrivateFolder::resolve(folder).and_then(|resolved| PrivateFolder::open(&resolved)).ok()?;
        match read(&resolved).and_then(|text| SinkId::parse(&text)) {
            Some(owner) => Some(PreviousSink::from(&owner)),
            None => self.inspect(folder).map(|found| found.former),
        }
    }

    /// The contents of a folder; `None` if it is not a queue's, or in use.
    fn inspect(&self, folder: &Path) -> Option<Found> {
        if !is_queues(folder) {
            return None;
        }
        let resolved = PrivateFolder::resolve(folder).ok()?;
        let mut disk = match Disk::open_for_inspection(&resolved, self.limits) {
            Ok(opened) => opened,
            Err(OpenError::InUse(_)) => return None,
            Err(error) => {
                tracing::warn!("a folder of the spool cannot be looked into: {error}");
                return None;
            }
        };
        let called = folder.file_name()?.to_str()?;
        let (points, bytes) = disk.waiting();
        let former = match read(disk.folder_handle()).and_then(|text| SinkId::parse(&text)) {
            Some(owner) if [folder_name(&owner.name), owner.second_folder()].iter().any(|name| name == called) => {
                PreviousSink::from(&owner)
            }
            Some(owner) => PreviousSink { name: decoded(called)?, ..PreviousSink::from(&owner) },
            None => self.infer(decoded(called)?, &mut disk),
        };
        Some(Found { folder: folder.to_owned(), former, points, bytes, is_adopted: false })
    }

    /// Infers the sink of a folder without an identity file, as of earlier versions: unnamed sinks were called KIND:ADDRESS.
    fn infer(&self, name: String, disk: &mut Disk) -> PreviousSink {
        let kind = self.kinds.iter().find(|kind| name.strip_prefix(**kind).is_some_and(|rest| rest.starts_with(':')));
        let mut first = || {
            [SubQueue::Backlog, SubQueue::Fresh]
                .into_iter()
                .find_map(|lane| Some(disk.front(lane, 1).0).filter(|lines| !lines.is_empty()))
        };
        let held = first().map(|lines| match lines.iter().flat_map(Record::all).next() {
            Some(_) => Content::Series,
            None => Content::Points,
        });
        PreviousSink { name, kind: kind.map(|kind| (*kind).to_owned()), held, position: None }
    }
}

/// The folder named after a sink.
pub fn plain_folder(root: &Path, name: &str) -> PathBuf {
    root.join(folder_name(name))
}

fn is_queues(folder: &Path) -> bool {
    folder.join("places").is_file() && folder.symlink_metadata().is_ok_and(|at| at.is_dir())
}

/// Passes a folder to its new owner, and returns whether it worked.
fn adopt(found: &Found, owner: &SinkId, to: &Path) -> bool {
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

/// Renames `from` to `to`, in which no point waits.
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

/// The folder name of a sink. A name that is too long is truncated, and ends in `~` and its checksum; no other name
/// has a `~`.
fn folder_name(name: &str) -> String {
    /// The limit of most file systems.
    const MAX_NAME_BYTES: usize = 255;
    let encoded = encoded(name);
    if encoded.len() <= MAX_NAME_BYTES {
        return encoded;
    }
    let sum = format!("~{:016x}", checksum(name));
    format!("{}{sum}", &encoded[..MAX_NAME_BYTES - sum.len()])
}

/// FNV-1a, 64 bits: the same in every version.
fn checksum(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Encodes a name as a folder name: characters that may be illegal become `%XX`.
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

/// Decodes the name of a folder.
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
