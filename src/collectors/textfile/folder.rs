//! A folder's files, which are read again when they have changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::blocks::{self, Family};
use crate::config::Globs;
use crate::host::ReadError;
use crate::system::Stamp;

/// The folders that a path with wildcards stands for.
pub(super) struct Folder {
    pattern: PathBuf,
    files: BTreeMap<PathBuf, File>,
}

/// A file as it was read.
pub(super) struct File {
    stamp: Stamp,
    pub(super) changed: SystemTime,
    pub(super) is_readable: bool,
    pub(super) families: Vec<Family>,
    pub(super) problems: Vec<String>,
}

/// Larger ones are not read: nobody writes so much by a script.
const LARGEST: u64 = 64 << 20;

impl Folder {
    pub(super) fn new(pattern: PathBuf) -> Self {
        Folder { pattern, files: BTreeMap::new() }
    }

    /// The files as they were seen last.
    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, &File)> {
        self.files.iter()
    }

    /// Reads what is new, forgets what is gone, and says which folders cannot be read.
    pub(super) fn look(&mut self) -> Vec<ReadError> {
        let (mut before, mut problems) = (std::mem::take(&mut self.files), Vec::new());
        for folder in expand(&self.pattern) {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    problems.push(ReadError::Unreadable { path: folder, reason: error.to_string() });
                    continue;
                }
            };
            for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
                if path.extension().is_none_or(|extension| extension != "prom") {
                    continue;
                }
                let Ok(metadata) = path.metadata() else { continue };
                let stamp = Stamp::from(&metadata);
                let known = before.remove(&path).filter(|file| file.stamp == stamp);
                let file = known
                    .unwrap_or_else(|| File::read(&path, stamp, metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
                self.files.insert(path, file);
            }
        }
        problems
    }
}

impl File {
    fn read(path: &Path, stamp: Stamp, changed: SystemTime) -> File {
        let none = |problem: String| File {
            stamp,
            changed,
            is_readable: false,
            families: Vec::new(),
            problems: vec![problem],
        };
        if stamp.size > LARGEST {
            return none(format!("larger than {} MiB, and not read", LARGEST >> 20));
        }
        match std::fs::read(path) {
            Err(error) => none(error.to_string()),
            Ok(bytes) => {
                let (families, problems) = blocks::read(&String::from_utf8_lossy(&bytes));
                File { stamp, changed, is_readable: problems.is_empty() || !families.is_empty(), families, problems }
            }
        }
    }
}

/// The folders that `pattern` stands for; itself, if it has no wildcards.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let (mut found, mut has_wildcard) = (vec![PathBuf::new()], false);
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !text.contains(['*', '?', '[', '{']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        has_wildcard = true;
        let Ok(globs) = Globs::new(vec![text.into_owned()]) else { return Vec::new() };
        let below = |path: PathBuf| {
            let entries = std::fs::read_dir(&path).into_iter().flatten().map_while(Result::ok);
            let folders = entries.filter(|entry| entry.path().is_dir());
            let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
            let mut found: Vec<PathBuf> =
                names.filter(|name| globs.matches(name)).map(|name| path.join(name)).collect();
            found.sort();
            found
        };
        found = found.into_iter().flat_map(below).collect();
    }
    // What a pattern could mean need not be there; what is named should.
    found.retain(|path| !has_wildcard || path.is_dir());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_when_they_change_in_every_folder_that_is_meant() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a/metrics", "b/metrics", "c/other"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("a/metrics/x.prom"), "x 1\n").unwrap();
        std::fs::write(root.path().join("a/metrics/x.prom.tmp"), "y 1\n").unwrap();
        std::fs::write(root.path().join("b/metrics/y.prom"), "y 1\n").unwrap();
        let mut folder = Folder::new(root.path().join("*/metrics"));
        let names = |folder: &Folder| -> Vec<String> {
            folder.files().flat_map(|(_, file)| file.families.iter().map(|family| family.name.clone())).collect()
        };
        assert!(folder.look().is_empty());
        assert_eq!(names(&folder), ["x", "y"]);
        std::fs::write(root.path().join("a/metrics/x.prom"), "xx 1\n").unwrap();
        std::fs::remove_file(root.path().join("b/metrics/y.prom")).unwrap();
        assert!(folder.look().is_empty());
        assert_eq!(names(&folder), ["xx"]);
        assert_eq!(Folder::new(root.path().join("none")).look().len(), 1);
    }
}
