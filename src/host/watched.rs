//! A plain file that seldom changes.

use std::path::{Path, PathBuf};

use rustix::fs;

use super::file::read_once;
use super::text::{ReadError, Text};

/// What was made of a plain file's content; the file is read again only when it is another one or was written to.
/// Not for procfs and sysfs, whose files always look new or never do.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    stamp: Option<Stamp>,
    made: T,
}

/// Device, inode, size and time of the last change.
type Stamp = (u64, u64, i64, i64, i64);

impl<T: Default> Watched<T> {
    /// The file at `path`; it is read when first asked for.
    pub fn new(path: PathBuf) -> Self {
        Watched { path, stamp: None, made: T::default() }
    }

    /// What `make` makes of the content, made anew if the file has changed.
    ///
    /// # Errors
    /// That the file cannot be read; what was made of it before is forgotten then.
    pub fn get(&mut self, buffer: &mut Vec<u8>, make: impl FnOnce(Text<'_>) -> T) -> Result<&T, ReadError> {
        let stamp = stamp_of(&self.path)?;
        if self.stamp != Some(stamp) {
            self.stamp = None;
            self.made = make(read_once(&self.path, buffer)?);
            self.stamp = Some(stamp);
        }
        Ok(&self.made)
    }
}

fn stamp_of(path: &Path) -> Result<Stamp, ReadError> {
    let stat = fs::stat(path).map_err(|error| ReadError::io(path, error))?;
    // The widths differ between systems.
    #[allow(clippy::unnecessary_cast)]
    let (device, inode) = (stat.st_dev as u64, stat.st_ino as u64);
    Ok((device, inode, stat.st_size, stat.st_mtime, stat.st_mtime_nsec as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watched = Watched::<String>::new(path.clone());
        let mut buffer = Vec::new();
        let mut times = 0;
        let mut get = |watched: &mut Watched<String>| {
            let made = watched.get(&mut buffer, |text| {
                times += 1;
                text.trimmed().into_owned()
            });
            (made.cloned().ok(), times)
        };
        assert_eq!(get(&mut watched), (None, 0));
        std::fs::write(&path, "one").unwrap();
        assert_eq!(get(&mut watched), (Some("one".into()), 1));
        assert_eq!(get(&mut watched), (Some("one".into()), 1));
        std::fs::write(&path, "three").unwrap();
        assert_eq!(get(&mut watched), (Some("three".into()), 2));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(get(&mut watched).0, None);
    }
}
