//! Files that settings name, and whether their contents have changed.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::system::Stamp;
use crate::system::regular_file::{READ_TIMEOUT, read_pem, within};

/// Files as of one moment.
#[derive(Clone, Debug)]
pub(super) struct NamedFiles(Vec<NamedFile>);

#[derive(Clone, Debug)]
struct NamedFile {
    path: PathBuf,
    /// None if it did not exist, or could not be read in time.
    stamp: Option<Stamp>,
    content: Option<[u8; 32]>,
}

impl NamedFiles {
    /// The files at `paths` as they are now. Waits for them with a timeout.
    pub(super) fn read(paths: Vec<PathBuf>) -> NamedFiles {
        let file = |path: PathBuf| {
            // Before the content, so that a write in between is found later.
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

    /// Whether the contents equal those of the `others`, of the same paths.
    pub(super) fn hold_the_same_as(&self, others: &NamedFiles) -> bool {
        self.0.iter().map(|file| file.content).eq(others.0.iter().map(|file| file.content))
    }

    /// The files as they are now, if any was written or replaced. Otherwise none is read.
    pub(super) fn changed(&self) -> Option<NamedFiles> {
        let is_changed = self.0.iter().any(|file| stamp(&file.path) != file.stamp);
        is_changed.then(|| NamedFiles::read(self.0.iter().map(|file| file.path.clone()).collect()))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let named = path.to_owned();
    within(path, READ_TIMEOUT, move || named.metadata().ok().map(|metadata| Stamp::from(&metadata))).ok().flatten()
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
