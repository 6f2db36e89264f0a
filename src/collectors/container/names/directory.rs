//! Walking a folder that may hang.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::source::{Answer, Failure, TIMEOUT};
use crate::host::ReadError;

type Walk = dyn FnMut() -> Result<Answer, ReadError> + Send;

/// A folder that tells names. It is walked by a thread of its own, and as long as that hangs, by no other.
pub(super) struct Directory {
    path: PathBuf,
    /// What helps against a refusal.
    remedy: &'static str,
    walk: Arc<Mutex<Walk>>,
    walking: Option<JoinHandle<Result<Answer, ReadError>>>,
}

impl Directory {
    pub(super) fn new(
        path: PathBuf,
        remedy: &'static str,
        walk: impl FnMut() -> Result<Answer, ReadError> + Send + 'static,
    ) -> Directory {
        Directory { path, remedy, walk: Arc::new(Mutex::new(walk)), walking: None }
    }

    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) async fn ask(&mut self) -> Result<Answer, Failure> {
        let walk = self.walk.clone();
        let walking = self.walking.get_or_insert_with(|| {
            spawn_blocking(move || {
                let mut walk = walk.lock().unwrap_or_else(PoisonError::into_inner);
                (*walk)()
            })
        });
        let Ok(walked) = timeout(TIMEOUT, walking).await else {
            return Err(Failure::other("no answer in time; its file system hangs"));
        };
        self.walking = None;
        match walked {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_) => Err(Failure::other("the walk was broken off")),
        }
    }

    fn failure(&self, error: &ReadError) -> Failure {
        if error.is_absent() {
            return Failure::absent();
        }
        let message = error.to_string();
        let without_place = message.strip_prefix(&format!("{}: ", self.place())).unwrap_or(&message);
        let is_refused = matches!(error, ReadError::Unreadable { reason, .. } if reason == "permission denied");
        let remedy = if is_refused { self.remedy } else { "" };
        Failure::other(format!("{without_place}{remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::tests::block_on;

    #[test]
    fn a_refusal_says_where_and_what_helps() {
        let told = |path: &'static str, reason: &'static str| {
            let walk = move || Err(ReadError::Unreadable { path: path.into(), reason: reason.to_owned() });
            let mut directory = Directory::new("/run/tasks".into(), "; needs root", walk);
            block_on(directory.ask()).unwrap_err().message
        };
        assert_eq!(told("/run/tasks", "permission denied"), "cannot be read: permission denied; needs root");
        let below = "/run/tasks/moby: cannot be read: permission denied; needs root";
        assert_eq!(told("/run/tasks/moby", "permission denied"), below);
        assert_eq!(told("/run/tasks", "input/output error"), "cannot be read: input/output error");
    }
}
