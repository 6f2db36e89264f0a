//! A folder that is ours alone, and stays the one that was opened, whatever becomes of its path.
//!
//! Files in it are found by its descriptor, and not by its path, so that nobody who moves it or puts a link in its place
//! gets what is written, or has us read what is his. Links in it are not followed, and only regular files are opened.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::{Identity, Stamp, Standing, Use, create_private_folder, identity, kind_of_special_file, user_id};

/// A folder that is ours alone.
#[derive(Debug)]
pub struct OwnFolder {
    path: PathBuf,
    handle: File,
    identity: Identity,
}

impl OwnFolder {
    /// Where the folder at `path` really is. The folder above is made if it is not there; it may be a link, if whoever made
    /// that may do what we may.
    ///
    /// # Errors
    /// Why there is no such place.
    pub fn place(path: &Path) -> io::Result<PathBuf> {
        let (above, name) = split(path)?;
        match above.symlink_metadata() {
            Ok(found) if found.is_symlink() => belongs_to_us(above, &found)?,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => create_private_folder(above)?,
            Err(error) => return Err(error),
        }
        Ok(above.canonicalize()?.join(name))
    }

    /// Opens the folder at `path`, which is made if it is not there. Neither it nor the folder above may be a link.
    ///
    /// # Errors
    /// Why it cannot be used: it, or the folder above, is another user's, or no folder; anybody may write to it.
    pub fn open(path: &Path) -> io::Result<OwnFolder> {
        let (above, _) = split(path)?;
        let look = || -> io::Result<Metadata> {
            let found = above.symlink_metadata()?;
            is_folder(above, &found)?;
            Ok(found)
        };
        let found = match look() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_private_folder(above)?;
                look()?
            }
            found => found?,
        };
        belongs_to_us(above, &found)?;
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        is_folder(path, &path.symlink_metadata()?)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let found = handle.metadata()?;
        belongs_to_us(path, &found)?;
        if found.mode() & 0o1002 == 0o002 {
            return Err(io::Error::other("everybody may write to it; take that right away: chmod o-w"));
        }
        Ok(OwnFolder { path: path.to_owned(), handle, identity: identity(&found) })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is at its path now.
    pub fn standing(&self) -> Standing {
        match self.path.symlink_metadata() {
            Ok(found) if identity(&found) == self.identity => Standing::Same(found.modified().ok()),
            Ok(found) => Standing::Other(kind(&found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Standing::Gone,
            Err(error) if error.kind() == ErrorKind::NotADirectory => Standing::Gone,
            // Whoever may not look does not know.
            Err(_) => Standing::Same(None),
        }
    }

    /// Opens a regular file in it.
    ///
    /// # Errors
    /// What the system answers, or that there is something else.
    pub fn file(&self, name: &str, how: Use) -> io::Result<File> {
        // Looked at before, for to open a device may do something; and after, for it may have become another.
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => is_regular(FileType::from_raw_mode(found.st_mode as _))?,
            Err(error) if error.kind() == ErrorKind::NotFound && how != Use::Read => {}
            Err(error) => return Err(error.into()),
        }
        let more = match how {
            Use::Read => OFlags::RDONLY,
            Use::Write => OFlags::RDWR | OFlags::CREATE,
            Use::New => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        let flags = more | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?);
        let found = file.metadata()?;
        is_regular(FileType::from_raw_mode(found.mode() as _))?;
        belongs_to_us(&self.path.join(name), &found)?;
        Ok(file)
    }

    /// The regular file that has this name; none if there is no such file.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let found = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        is_regular(FileType::from_raw_mode(found.st_mode as _)).ok()?;
        let since = Duration::new(u64::try_from(found.st_mtime).ok()?, found.st_mtime_nsec as u32);
        Some(Stamp {
            identity: (found.st_dev as _, found.st_ino as _),
            size: found.st_size as u64,
            changed: Some(UNIX_EPOCH + since),
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What unlinkat(2) answers.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// The names in it, as far as they are text.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// Waits until the names in it are on disk.
    ///
    /// # Errors
    /// What fsync(2) answers.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Gives it another path, where nothing may be.
    ///
    /// # Errors
    /// Why it stays where it is.
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

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let above = path.parent().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    above.zip(path.file_name()).ok_or_else(|| io::Error::other("expected a folder in another one"))
}

/// Whoever owns a folder can exchange what is in it.
fn belongs_to_us(path: &Path, found: &Metadata) -> io::Result<()> {
    match [0, user_id()].contains(&found.uid()) {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{} belongs to the user with the number {}, and Taffrail runs as number {}; give it another folder, or this one: chown",
            path.display(),
            found.uid(),
            user_id()
        ))),
    }
}

fn is_folder(path: &Path, found: &Metadata) -> io::Result<()> {
    match found.is_dir() {
        true => Ok(()),
        false => Err(io::Error::other(format!("expected a folder, found {}: {}", kind(found), path.display()))),
    }
}

fn is_regular(kind: FileType) -> io::Result<()> {
    match kind {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(io::Error::other("expected a regular file, found a symbolic link")),
        FileType::Directory => Err(io::Error::other("expected a regular file, found a folder")),
        _ => Err(io::Error::other("expected a regular file, found a special one")),
    }
}

/// What stands somewhere, for a message.
fn kind(found: &Metadata) -> &'static str {
    match found.file_type() {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "another folder",
        kind if kind.is_file() => "a file",
        kind => kind_of_special_file(kind),
    }
}
