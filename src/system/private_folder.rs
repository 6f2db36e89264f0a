//! A folder that only our user may write to, held open regardless of what happens to its path.
//!
//! Files are opened relative to its descriptor: moving it or replacing it by a link neither redirects writes nor
//! makes us read another user's files. Links in it are not followed, and only regular files are opened.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use super::{Identity, PathState, Stamp, Use, create_private_dir, identity, special_file_type, user_id};

/// A folder that only our user may write to.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
    handle: File,
    identity: Identity,
}

impl PrivateFolder {
    /// Resolves the path of a folder. The parent is created if missing; it may be a link if its owner is root or our
    /// user.
    ///
    /// # Errors
    /// If the parent cannot be used.
    pub fn resolve(path: &Path) -> io::Result<PathBuf> {
        let (above, name) = split(path)?;
        match above.symlink_metadata() {
            Ok(found) if found.is_symlink() => belongs_to_us(above, &found)?,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => create_private_dir(above)?,
            Err(error) => return Err(error),
        }
        Ok(above.canonicalize()?.join(name))
    }

    /// Opens the folder at `path`, and creates it if missing. Neither it nor its parent may be a link.
    ///
    /// # Errors
    /// If it or its parent belongs to another user or is not a folder, or if it is world-writable.
    pub fn open(path: &Path) -> io::Result<PrivateFolder> {
        let (above, _) = split(path)?;
        let look = || -> io::Result<Metadata> {
            let found = above.symlink_metadata()?;
            is_folder(above, &found)?;
            Ok(found)
        };
        let found = match look() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_private_dir(above)?;
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
        Ok(PrivateFolder { path: path.to_owned(), handle, identity: identity(&found) })
    }

    /// The path at which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of its path.
    pub fn path_state(&self) -> PathState {
        match self.path.symlink_metadata() {
            Ok(found) if identity(&found) == self.identity => PathState::Unchanged(found.modified().ok()),
            Ok(found) => PathState::Replaced(kind(&found)),
            Err(error) if error.kind() == ErrorKind::NotFound => PathState::Missing,
            Err(error) if error.kind() == ErrorKind::NotADirectory => PathState::Missing,
            // Without permission, the state is unknown.
            Err(_) => PathState::Unchanged(None),
        }
    }

    /// Opens a regular file in it.
    ///
    /// # Errors
    /// Errors of the system; or the file is not a regular one of ours.
    pub fn file(&self, name: &str, how: Use) -> io::Result<File> {
        let file = open_regular_at(self.handle.as_fd(), Path::new(name), how)?;
        belongs_to_us(&self.path.join(name), &file.metadata()?)?;
        Ok(file)
    }

    /// The stamp of the regular file of this name; `None` if there is none.
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
    /// Errors of unlinkat(2).
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// The names of its entries that are valid UTF-8.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// Waits until its entries are on disk.
    ///
    /// # Errors
    /// Errors of fsync(2).
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Moves it to another path, which must not exist.
    ///
    /// # Errors
    /// If it cannot be moved.
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
/// Errors of the system; or the file is not a regular one of ours.
pub fn open_regular(path: &Path, how: Use) -> io::Result<File> {
    open_regular_at(CWD, path, how)
}

fn open_regular_at(folder: BorrowedFd<'_>, name: &Path, how: Use) -> io::Result<File> {
    let may_be_made = matches!(how, Use::Write | Use::New);
    // Checked before opening, as opening a device may have side effects, and after, as it may have been replaced.
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => is_regular(FileType::from_raw_mode(found.st_mode as _))?,
        Err(error) if error.kind() == ErrorKind::NotFound && may_be_made => {}
        Err(error) => return Err(error.into()),
    }
    let more = match how {
        Use::Read => OFlags::RDONLY,
        Use::Write => OFlags::RDWR | OFlags::CREATE,
        Use::New => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        Use::Change => OFlags::RDWR,
    };
    let flags = more | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
    is_regular(FileType::from_raw_mode(file.metadata()?.mode() as _))?;
    Ok(file)
}

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let above = path.parent().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    above.zip(path.file_name()).ok_or_else(|| io::Error::other("expected a folder in another one"))
}

/// The owner of a folder can replace its contents.
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
    let found = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Socket => "a socket",
        _ => "a special file",
    };
    Err(io::Error::other(format!("expected a regular file, found {found}")))
}

/// The type of a file, for messages.
fn kind(found: &Metadata) -> &'static str {
    match found.file_type() {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "another folder",
        kind if kind.is_file() => "a file",
        kind => special_file_type(kind),
    }
}
