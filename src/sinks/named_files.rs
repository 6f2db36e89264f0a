//! Files that settings name, and whether they hold something else by now.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::system::Stamp;
use crate::system::regular_file::{PATIENCE, read_pem, within};

/// Some files as they were at one moment.
#[derive(Clone, Debug)]
pub(super) struct NamedFiles(Vec<NamedFile>);

#[derive(Clone, Debug)]
struct NamedFile {
    path: PathBuf,
    /// None if it was not there, or did not answer.
    stamp: Option<Stamp>,
    content: Option<[u8; 32]>,
}

impl NamedFiles {
    /// The files at `paths` as they are now. This waits for them, though not for ever.
    pub(super) fn read(paths: Vec<PathBuf>) -> NamedFiles {
        let file = |path: PathBuf| {
            // Before it is read: if it is written to meanwhile, it is found to have changed.
            let stamp = stamp(&path);
            let content = read_pem(&path).ok().and_then(|bytes| digest(&SHA256, &bytes).as_ref().try_into().ok());
            NamedFile { path, stamp, content }
        };
        NamedFiles(paths.into_iter().map(file).collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they hold what the `others` held, of the same paths.
    pub(super) fn hold_the_same_as(&self, others: &NamedFiles) -> bool {
        self.0.iter().map(|file| file.content).eq(others.0.iter().map(|file| file.content))
    }

    /// The files as they are now, if any was written to or replaced. As long as none was, none is read.
    pub(super) fn changed(&self) -> Option<NamedFiles> {
        let is_changed = self.0.iter().any(|file| stamp(&file.path) != file.stamp);
        is_changed.then(|| NamedFiles::read(self.0.iter().map(|file| file.path.clone()).collect()))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let named = path.to_owned();
    within(path, PATIENCE, move || named.metadata().ok().map(|metadata| Stamp::from(&metadata))).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_written_to_or_replaced_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, next) = (folder.path().join("ca.pem"), folder.path().join("next.pem"));
        std::fs::write(&path, "one").unwrap();
        let first = NamedFiles::read(vec![path.clone(), folder.path().join("none.pem")]);
        assert!(first.changed().is_none());
        std::fs::write(&next, "two").unwrap();
        std::fs::rename(&next, &path).unwrap();
        let second = first.changed().unwrap();
        assert!(!second.hold_the_same_as(&first) && second.changed().is_none());
        std::fs::write(&next, "two").unwrap();
        std::fs::rename(&next, &path).unwrap();
        let third = second.changed().unwrap();
        assert!(third.hold_the_same_as(&second));
        std::fs::remove_file(&path).unwrap();
        assert!(!third.changed().unwrap().hold_the_same_as(&third));
    }
}
