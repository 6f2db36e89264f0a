//! Directories as sources. The walk may hang.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use super::query::{Failure, Inventory, TIMEOUT};
use crate::host::ReadError;
use crate::system::regular_file::{ReadFailure, within};

type Walk = dyn FnMut() -> Result<Inventory, ReadError> + Send;

/// A directory with names. A separate thread walks it. While a walk hangs no other is started, even after a reload.
pub(super) struct Directory {
    path: PathBuf,
    /// Remedy for a permission error.
    remedy: &'static str,
    walk: Arc<Mutex<Walk>>,
}

impl Directory {
    pub(super) fn new(
        path: PathBuf,
        remedy: &'static str,
        walk: impl FnMut() -> Result<Inventory, ReadError> + Send + 'static,
    ) -> Directory {
        Directory { path, remedy, walk: Arc::new(Mutex::new(walk)) }
    }

    pub(super) fn location(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) async fn query(&mut self) -> Result<Inventory, Failure> {
        let (path, walk) = (self.path.clone(), self.walk.clone());
        let walk = move || (*walk.lock().unwrap_or_else(PoisonError::into_inner))();
        let walked = spawn_blocking(move || within(&path, TIMEOUT, walk)).await;
        match walked {
            Ok(Ok(inventory)) => inventory.map_err(|error| self.failure(&error)),
            Ok(Err(ReadFailure::NoAnswer(_) | ReadFailure::StillNoAnswer)) => {
                Err(Failure::other("no answer in time; its file system hangs"))
            }
            Ok(Err(_)) | Err(_) => Err(Failure::other("the walk was broken off")),
        }
    }

    fn failure(&self, error: &ReadError) -> Failure {
        if error.is_absent() {
            return Failure::absent();
        }
        let message = error.to_string();
        let without_location = message.strip_prefix(&format!("{}: ", self.location())).unwrap_or(&message);
        let is_refused = matches!(error, ReadError::Unreadable { reason, .. } if reason == "permission denied");
        let remedy = if is_refused { self.remedy } else { "" };
        Failure::other(format!("{without_location}{remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::fake::block_on;

    #[test]
    fn a_refusal_says_where_and_what_helps() {
        let reported = |path: &'static str, reason: &'static str| {
            let walk = move || Err(ReadError::Unreadable { path: path.into(), reason: reason.to_owned() });
            let mut directory = Directory::new("/run/tasks".into(), "; needs root", walk);
            block_on(directory.query()).unwrap_err().message
        };
        assert_eq!(reported("/run/tasks", "permission denied"), "cannot be read: permission denied; needs root");
        let below = "/run/tasks/moby: cannot be read: permission denied; needs root";
        assert_eq!(reported("/run/tasks/moby", "permission denied"), below);
        assert_eq!(reported("/run/tasks", "input/output error"), "cannot be read: input/output error");
    }
}
