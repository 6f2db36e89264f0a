//! Folders and their files, which are read again when they change.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::collectors::foreign::{Family, Problems, read};
use crate::config::Globs;
use crate::host::ReadError;
use crate::system::Stamp;
use crate::system::regular_file::{ReadFailure, read_regular};

/// A file as it was read.
#[derive(Debug)]
pub(super) struct File {
    stamp: Stamp,
    pub(super) changed: SystemTime,
    pub(super) is_readable: bool,
    pub(super) families: Arc<[Family]>,
    pub(super) problems: Problems,
    /// Whether to read it again even if it has not changed.
    is_to_be_read_again: bool,
}

/// Files by path.
pub(super) type Files = BTreeMap<PathBuf, Arc<File>>;

/// The result of a scan.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) files: Files,
    /// Read errors, without the problems inside files.
    pub(super) problems: Vec<ReadError>,
    /// Paths that were skipped because they hang.
    pub(super) hung: Vec<PathBuf>,
}

/// Observes a scan in progress, so that the caller knows where it hangs.
pub(super) trait Steps {
    /// Called before a system call for this path. Returns whether to continue.
    fn asks(&self, path: &Path) -> bool;

    /// Called when the system call has returned.
    fn has_answer(&self);

    /// The result so far.
    fn found(&self, add: &mut dyn FnMut(&mut Seen));
}

/// Larger files are not read: no script writes that much.
const LARGEST: u64 = 64 << 20;

/// Scans the folders that match the patterns for `*.prom` files. Skipped paths are not accessed. Unchanged files are
/// taken from the known ones.
pub(super) fn scan(patterns: &[PathBuf], known: &Files, pass_over: &HashSet<PathBuf>, steps: &dyn Steps) -> Option<()> {
    let file_system = FileSystem { pass_over, steps };
    for pattern in patterns {
        for folder in expand(pattern, &file_system)? {
            let paths = match file_system.of(&folder, || std::fs::read_dir(&folder))? {
                None => continue,
                // Reading the entries may also hang.
                Some(Ok(entries)) => match file_system.of(&folder, || files_of(entries))? {
                    Some(paths) => paths,
                    None => continue,
                },
                Some(Err(error)) => {
                    let problem = match error.kind() {
                        ErrorKind::NotFound => ReadError::Absent(folder),
                        _ => ReadError::Unreadable { path: folder, reason: error.to_string() },
                    };
                    steps.found(&mut |seen| seen.problems.push(problem.clone()));
                    continue;
                }
            };
            for path in paths {
                if let Some(Some(file)) = file_system.of(&path, || File::scan(&path, known.get(&path)))? {
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

/// A client of the file system.
struct FileSystem<'a> {
    pass_over: &'a HashSet<PathBuf>,
    steps: &'a dyn Steps,
}

impl FileSystem<'_> {
    /// The result of `call`, which is for `path`. The inner `None` means that the path is skipped, the outer one that the scan has
    /// ended.
    fn of<T>(&self, path: &Path, call: impl FnOnce() -> T) -> Option<Option<T>> {
        if self.pass_over.contains(path) {
            self.steps.found(&mut |seen| seen.hung.push(path.to_owned()));
            return Some(None);
        }
        if !self.steps.asks(path) {
            return None;
        }
        let answer = call();
        self.steps.has_answer();
        Some(Some(answer))
    }
}

/// A file: unparsed content, or an already known result.
enum Looked {
    Known(Arc<File>),
    Read(Stamp, SystemTime, Result<Vec<u8>, ReadFailure>),
}

impl File {
    /// The file at this path, if it exists.
    fn scan(path: &Path, known: Option<&Arc<File>>) -> Option<Looked> {
        let (metadata, missing) = match path.metadata() {
            Ok(metadata) => (metadata, None),
            // A broken link is an error; a removed file is not.
            Err(reason) => (path.symlink_metadata().ok()?, Some(reason)),
        };
        let stamp = Stamp::from(&metadata);
        if let Some(known) = known.filter(|file| file.stamp == stamp && !file.is_to_be_read_again) {
            return Some(Looked::Known(known.clone()));
        }
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let content = match missing {
            None => read_regular(path, LARGEST).map_err(|error| error.reason),
            Some(reason) => Err(ReadFailure::Io(reason)),
        };
        Some(Looked::Read(stamp, changed, content))
    }
}

impl Looked {
    fn parsed(self) -> Arc<File> {
        let (stamp, changed, content) = match self {
            Looked::Known(file) => return file,
            Looked::Read(stamp, changed, content) => (stamp, changed, content),
        };
        let is_to_be_read_again = matches!(content, Err(ReadFailure::Io(_) | ReadFailure::Leased | ReadFailure::Empty));
        let (families, problems) = match content {
            Ok(bytes) => read(&bytes),
            Err(error) => {
                let mut problems = Problems::default();
                problems.add("not read", || error.to_string());
                (Vec::new(), problems)
            }
        };
        let is_readable = problems.is_empty() || !families.is_empty();
        Arc::new(File { stamp, changed, is_readable, families: families.into(), problems, is_to_be_read_again })
    }
}

/// The folders that match `pattern`; the path itself if it has no wildcards.
fn expand(pattern: &Path, file_system: &FileSystem<'_>) -> Option<Vec<PathBuf>> {
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
            let names = file_system.of(path, || names_in(path))?.unwrap_or_default();
            for path in names.into_iter().filter(|name| globs.matches(name)).map(|name| path.join(name)) {
                if file_system.of(&path, || path.is_dir())?.unwrap_or(false) {
                    below.push(path);
                }
            }
        }
        found = below;
    }
    if has_wildcard {
        // A match of a wildcard may have been removed. A folder named explicitly should exist.
        let mut there = Vec::new();
        for path in found {
            if file_system.of(&path, || path.is_dir())?.unwrap_or(false) {
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
