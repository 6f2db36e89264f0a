//! Locks a folder against other processes.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{OpenError, is_out_of_space};
use crate::system::{self, Use};

/// Creates a folder if missing, and locks it until the returned file is closed.
///
/// # Errors
/// If it cannot be used.
pub fn lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |what| move |reason| OpenError::Io { path: folder.to_owned(), what, reason };
    system::create_private_dir(folder).map_err(failed("cannot be made"))?;
    let path = folder.join("lock");
    match system::open_regular(&path, Use::Write) {
        Ok(file) => hold(folder, file),
        Err(reason) => Err(OpenError::Io { path, what: "the lock file cannot be made", reason }),
    }
}

/// Like [`lock`], on a disk that may not accept writes: `None` if there is no lock file and none can be created.
///
/// # Errors
/// If the folder cannot be used.
pub(super) fn lock_if_possible(folder: &Path) -> Result<Option<File>, OpenError> {
    let refused = match lock(folder) {
        Err(OpenError::Io { reason, .. }) if is_unwritable(&reason) && may_wait(folder, &reason) => reason,
        locked => return locked.map(Some),
    };
    match system::open_regular(&folder.join("lock"), Use::Read) {
        Ok(file) => hold(folder, file).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(_) => Err(OpenError::Io { path: folder.to_owned(), what: "the lock file cannot be made", reason: refused }),
    }
}

/// Whether an error means that the disk accepts no writes for now, rather than that the folder is unusable.
pub(super) fn is_unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) || is_out_of_space(error)
}

/// If the folder does not exist and cannot be created, permissions are misconfigured.
fn may_wait(folder: &Path, reason: &io::Error) -> bool {
    reason.kind() != ErrorKind::PermissionDenied || folder.is_dir()
}

fn hold(folder: &Path, file: File) -> Result<File, OpenError> {
    let failed = |reason| OpenError::Io { path: folder.to_owned(), what: "cannot be locked", reason };
    match system::lock(&file).map_err(failed)? {
        true => Ok(file),
        false => Err(OpenError::InUse(folder.to_owned())),
    }
}
