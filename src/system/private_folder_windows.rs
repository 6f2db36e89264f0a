//! A private folder, known by its path only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Identity, PathState, Stamp, Use, create_private_dir, identity};

/// A private folder.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
    identity: Identity,
}

impl PrivateFolder {
    /// The path itself.
    ///
    /// # Errors
    /// None.
    pub fn resolve(path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// Opens the folder at `path`, and creates it if missing.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(path: &Path) -> io::Result<PrivateFolder> {
        create_private_dir(path)?;
        let found = path.symlink_metadata()?;
        match found.is_dir() {
            true => Ok(PrivateFolder { path: path.to_owned(), identity: identity(&found) }),
            false => Err(io::Error::other("expected a folder, found something else")),
        }
    }

    /// The path at which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of its path.
    pub fn path_state(&self) -> PathState {
        match self.path.symlink_metadata() {
            Ok(found) if found.is_dir() && identity(&found) == self.identity => {
                PathState::Unchanged(found.modified().ok())
            }
            Ok(found) if found.is_dir() => PathState::Replaced("another folder"),
            Ok(_) => PathState::Replaced("no folder"),
            Err(error) if error.kind() == ErrorKind::NotFound => PathState::Missing,
            Err(_) => PathState::Unchanged(None),
        }
    }

    /// Opens a regular file in it.
    ///
    /// # Errors
    /// Errors of the system; or the file is not a regular one.
    pub fn file(&self, name: &str, how: Use) -> io::Result<File> {
        open_regular(&self.path.join(name), how)
    }

    /// The stamp of the regular file of this name; `None` if there is none.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let found = self.path.join(name).symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Stamp::from(&found))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// The names of its entries that are valid Unicode.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Does nothing: entries are on disk when their files are.
    ///
    /// # Errors
    /// None.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Moves it to another path, which must not exist.
    ///
    /// # Errors
    /// If it cannot be moved: open files in it prevent that.
    pub fn rename(&mut self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !matches!(self.path_state(), PathState::Unchanged(_)) {
            return Err(ErrorKind::NotFound.into());
        }
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(())
    }
}

/// Opens a regular file at any path. Parents may be links, the file may not.
///
/// # Errors
/// Errors of the system; or the file is not a regular one.
pub fn open_regular(path: &Path, how: Use) -> io::Result<File> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::other("expected a regular file, found something else"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (is_written, is_made) = (how != Use::Read, matches!(how, Use::Write | Use::New));
    OpenOptions::new().read(true).write(is_written).create(is_made).truncate(how == Use::New).open(path)
}
