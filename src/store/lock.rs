//! Whose a folder is.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::OpenError;
use crate::system;

/// Makes a folder, if it is not there, which no other process may have, and holds it until the file is closed.
///
/// # Errors
/// Why it cannot be used.
pub fn lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |what| move |reason| OpenError::Io { path: folder.to_owned(), what, reason };
    system::create_private_folder(folder).map_err(failed("cannot be made"))?;
    let mut options = OpenOptions::new();
    system::private(options.write(true).create(true).truncate(false));
    let file = options.open(folder.join("lock")).map_err(failed("the lock file cannot be made"))?;
    hold(folder, file)
}

/// The same on a disk that may take nothing: nothing comes back if there is no lock to hold, and none can be made.
///
/// # Errors
/// Why the folder cannot be used, not even to be read.
pub(super) fn lock_if_possible(folder: &Path) -> Result<Option<File>, OpenError> {
    let refused = match lock(folder) {
        Err(OpenError::Io { reason, .. }) if is_unwritable(&reason) && may_wait(folder, &reason) => reason,
        locked => return locked.map(Some),
    };
    match File::open(folder.join("lock")) {
        Ok(file) => hold(folder, file).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(_) => Err(OpenError::Io { path: folder.to_owned(), what: "the lock file cannot be made", reason: refused }),
    }
}

/// Whether an error says that a disk takes nothing for now, and not that the folder is the wrong one.
pub(super) fn is_unwritable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::PermissionDenied
    )
}

/// Where there is no folder and none may be made, permissions are the mistake.
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
