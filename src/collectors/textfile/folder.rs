//! Folders and their files, which are read again when they have changed.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::families::{self, Family};
use crate::config::Globs;
use crate::host::ReadError;
use crate::system::Stamp;
use crate::system::regular_file::{NotRead, read_regular};

/// A file as it was read.
#[derive(Debug)]
pub(super) struct File {
    stamp: Stamp,
    pub(super) changed: SystemTime,
    pub(super) is_readable: bool,
    pub(super) families: Vec<Family>,
    pub(super) problems: Vec<String>,
    /// Whether reading it again may help, though it has not changed.
    is_to_be_read_again: bool,
}

/// Files by their paths.
pub(super) type Files = BTreeMap<PathBuf, Arc<File>>;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) files: Files,
    /// What could not be read, but for what is wrong in a file.
    pub(super) problems: Vec<ReadError>,
    /// What was passed over, as it is known to hang.
    pub(super) hanging: Vec<PathBuf>,
}

/// What is told of a look while it goes on, by which whoever waits knows where it hangs.
pub(super) trait Steps {
    /// The file system is asked about this path next; whether to go on.
    fn asks(&self, path: &Path) -> bool;

    /// The file system has answered.
    fn has_answer(&self);

    /// What was found so far.
    fn found(&self, add: &mut dyn FnMut(&mut Seen));
}

/// Larger ones are not read: nobody writes so much by a script.
const LARGEST: u64 = 64 << 20;

/// Looks at all files `*.prom` in the folders that the patterns stand for, but for the paths to be passed over, of which
/// nothing is asked. Files that have not changed are those that are known.
pub(super) fn look(patterns: &[PathBuf], known: &Files, pass_over: &HashSet<PathBuf>, steps: &dyn Steps) -> Option<()> {
    let ask = Ask { pass_over, steps };
    for pattern in patterns {
        for folder in expand(pattern, &ask)? {
            let paths = match ask.of(&folder, || std::fs::read_dir(&folder))? {
                None => continue,
                // The entries come with the asking, too.
                Some(Ok(entries)) => match ask.of(&folder, || files_of(entries))? {
                    Some(paths) => paths,
                    None => continue,
                },
                Some(Err(error)) => {
                    let problem = ReadError::Unreadable { path: folder, reason: error.to_string() };
                    steps.found(&mut |seen| seen.problems.push(problem.clone()));
                    continue;
                }
            };
            for path in paths {
                if let Some(Some(file)) = ask.of(&path, || File::look(&path, known.get(&path)))? {
                    let file = file.parsed();
                    steps.found(&mut |seen| drop(seen.files.insert(path.clone(), file.clone())));
                }
            }
        }
    }
    Some(())
}

fn files_of(entries: std::fs::ReadDir) -> Vec<PathBuf> {
    let paths = entries.map_while(Result::ok).map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "prom")).collect();
    paths.sort();
    paths
}

/// Asks the file system.
struct Ask<'a> {
    pass_over: &'a HashSet<PathBuf>,
    steps: &'a dyn Steps,
}

impl Ask<'_> {
    /// What `ask`, who asks of `path`, answers: nothing if that is to be passed over; nothing at all if the look is over.
    fn of<T>(&self, path: &Path, ask: impl FnOnce() -> T) -> Option<Option<T>> {
        if self.pass_over.contains(path) {
            self.steps.found(&mut |seen| seen.hanging.push(path.to_owned()));
            return Some(None);
        }
        if !self.steps.asks(path) {
            return None;
        }
        let answer = ask();
        self.steps.has_answer();
        Some(Some(answer))
    }
}

/// A file whose content is not parsed yet, or that is known.
enum Looked {
    Known(Arc<File>),
    Read(Stamp, SystemTime, Result<Vec<u8>, NotRead>),
}

impl File {
    /// The file at the path, if there is one.
    fn look(path: &Path, known: Option<&Arc<File>>) -> Option<Looked> {
        let metadata = path.metadata().ok()?;
        let stamp = Stamp::from(&metadata);
        if let Some(known) = known.filter(|file| file.stamp == stamp && !file.is_to_be_read_again) {
            return Some(Looked::Known(known.clone()));
        }
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Looked::Read(stamp, changed, read_regular(path, LARGEST).map_err(|error| error.reason)))
    }
}

impl Looked {
    fn parsed(self) -> Arc<File> {
        let (stamp, changed, content) = match self {
            Looked::Known(file) => return file,
            Looked::Read(stamp, changed, content) => (stamp, changed, content),
        };
        let is_to_be_read_again = matches!(content, Err(NotRead::Io(_)));
        let (families, problems) = match content {
            Ok(bytes) => families::read(&bytes),
            Err(error) => (Vec::new(), vec![error.to_string()]),
        };
        let is_readable = problems.is_empty() || !families.is_empty();
        Arc::new(File { stamp, changed, is_readable, families, problems, is_to_be_read_again })
    }
}

/// The folders that `pattern` stands for; itself, if it has no wildcards.
fn expand(pattern: &Path, ask: &Ask<'_>) -> Option<Vec<PathBuf>> {
    let (mut found, mut has_wildcard) = (vec![PathBuf::new()], false);
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[', '{']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        has_wildcard = true;
        let Ok(globs) = Globs::new(vec![text.into_owned()]) else { return Some(Vec::new()) };
        let mut below = Vec::new();
        for path in &found {
            let names = ask.of(path, || names_in(path))?.unwrap_or_default();
            for path in names.into_iter().filter(|name| globs.matches(name)).map(|name| path.join(name)) {
                if ask.of(&path, || path.is_dir())?.unwrap_or(false) {
                    below.push(path);
                }
            }
        }
        found = below;
    }
    if has_wildcard {
        // What a pattern could mean need not be there; what is named should.
        let mut there = Vec::new();
        for path in found {
            if ask.of(&path, || path.is_dir())?.unwrap_or(false) {
                there.push(path);
            }
        }
        found = there;
    }
    Some(found)
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().map_while(Result::ok);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
