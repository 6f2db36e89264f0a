//! Plain files that seldom change.

use std::path::{Path, PathBuf};

use super::errno::Errno;
use super::file::read_once;
use super::text::{ReadError, Text};
use crate::system::Stamp;

/// A value parsed from a plain file, which is read again only when it was replaced or modified. Not for procfs and sysfs,
/// whose modification times are meaningless.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    stamp: Option<Stamp>,
    made: T,
}

impl<T: Default> Watched<T> {
    /// The file at `path`, read at the first use.
    pub fn new(path: PathBuf) -> Self {
        Watched { path, stamp: None, made: T::default() }
    }

    /// The value that `make` parses, parsed again if the file has changed.
    ///
    /// # Errors
    /// If the file cannot be read; the value is dropped then.
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
    let of_system = |error: &_| Errno::from_io_error(error).unwrap_or(Errno::IO);
    let metadata = path.metadata().map_err(|error| ReadError::io(path, of_system(&error)))?;
    Ok(Stamp::from(&metadata))
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
