//! A folder that is ours, as far as its path tells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Identity, Stamp, Standing, Use, create_private_folder, identity};

/// A folder that is ours.
#[derive(Debug)]
pub struct OwnFolder {
    path: PathBuf,
    identity: Identity,
}

impl OwnFolder {
    /// The path itself.
    ///
    /// # Errors
    /// None.
    pub fn place(path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// Opens the folder at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(path: &Path) -> io::Result<OwnFolder> {
        create_private_folder(path)?;
        let found = path.symlink_metadata()?;
        match found.is_dir() {
            true => Ok(OwnFolder { path: path.to_owned(), identity: identity(&found) }),
            false => Err(io::Error::other("expected a folder, found something else")),
        }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is at its path now.
    pub fn standing(&self) -> Standing {
        match self.path.symlink_metadata() {
            Ok(found) if found.is_dir() && identity(&found) == self.identity => Standing::Same(found.modified().ok()),
            Ok(found) if found.is_dir() => Standing::Other("another folder"),
            Ok(_) => Standing::Other("no folder"),
            Err(error) if error.kind() == ErrorKind::NotFound => Standing::Gone,
            Err(_) => Standing::Same(None),
        }
    }

    /// Opens a regular file in it.
    ///
    /// # Errors
    /// What the system answers, or that there is something else.
    pub fn file(&self, name: &str, how: Use) -> io::Result<File> {
        let path = self.path.join(name);
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::other("expected a regular file, found something else"));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let is_written = how != Use::Read;
        OpenOptions::new().read(true).write(is_written).create(is_written).truncate(how == Use::New).open(path)
    }

    /// The regular file that has this name; none if there is no such file.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let found = self.path.join(name).symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Stamp::from(&found))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Why it stays.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// The names in it, as far as they are text.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Nothing: names are on disk when their files are.
    ///
    /// # Errors
    /// None.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives it another path, where nothing may be.
    ///
    /// # Errors
    /// Why it stays where it is: files in it that are open keep it there.
    pub fn rename(&mut self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !matches!(self.standing(), Standing::Same(_)) {
            return Err(ErrorKind::NotFound.into());
        }
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(())
    }
}
