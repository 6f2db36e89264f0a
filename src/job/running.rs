//! Which runs of a job are under way on this host.
//!
//! Each run has a file that it holds locked as long as it lives, however it ends: the kernel takes the lock away from one
//! that is killed. So the runs of a group that are under way are those whose files are locked. What is pushed of them is
//! counted and sent under a lock of the group, so that the last word is that of the run that ends last.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::time::{Instant, sleep};

use crate::system::{create_private_folder, is_only_ours, lock, private};

/// The files of the runs of one group, which is known by its URL.
#[derive(Clone, Debug)]
pub struct Runs {
    folder: PathBuf,
    group: String,
}

/// A run that is under way as long as this lives.
#[derive(Debug)]
pub struct Running {
    path: PathBuf,
    /// Locked.
    _file: File,
}

/// The right to tell how many run.
#[derive(Debug)]
pub struct Turn(Option<File>);

impl Runs {
    /// The runs of the group at `url`, in the folder that this user has for them.
    ///
    /// # Errors
    /// That there is no such folder, or that it is not only ours.
    pub fn of(url: &str) -> io::Result<Runs> {
        Self::within(&folder(), url)
    }

    fn within(folder: &Path, url: &str) -> io::Result<Runs> {
        create_private_folder(folder)?;
        if !is_only_ours(&fs::symlink_metadata(folder)?) {
            return Err(io::Error::other(format!("{}: it belongs to another user", folder.display())));
        }
        let group: String =
            digest(&SHA256, url.as_bytes()).as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Runs { folder: folder.to_owned(), group })
    }

    /// Begins a run.
    ///
    /// # Errors
    /// That its file cannot be made.
    pub fn begin(&self) -> io::Result<Running> {
        let path = self.folder.join(format!("{}-{:016x}.run", self.group, fastrand::u64(..)));
        // Nobody sees it before it is locked.
        let unlocked = path.with_extension("new");
        let file = private(OpenOptions::new().write(true).create_new(true)).open(&unlocked)?;
        lock(&file)?;
        fs::rename(&unlocked, &path)?;
        Ok(Running { path, _file: file })
    }

    /// How many runs are under way. The files of those that were killed go.
    pub fn count(&self) -> usize {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let is_of_group = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&self.group) && name.ends_with(".run")
        };
        let is_alive = |path: &PathBuf| {
            let Ok(file) = File::open(path) else { return false };
            let is_ours = lock(&file).unwrap_or(false);
            if is_ours {
                let _ = fs::remove_file(path);
            }
            !is_ours
        };
        entries.flatten().map(|entry| entry.path()).filter(is_of_group).filter(is_alive).count()
    }

    /// The right to tell how many run; waited for while another run of the group has it, but no longer than `at_most`.
    pub async fn turn(&self, at_most: Duration) -> Turn {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let path = self.folder.join(format!("{}.turn", self.group));
        let Ok(file) = private(OpenOptions::new().write(true).create(true).truncate(false)).open(path) else {
            return Turn(None);
        };
        let until = Instant::now() + at_most;
        while let Ok(false) = lock(&file) {
            if Instant::now() >= until {
                return Turn(None);
            }
            sleep(LOOK_AGAIN).await;
        }
        Turn(Some(file))
    }
}

impl Turn {
    /// Whether nobody else tells at the same time.
    pub fn is_ours(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where a user's runs are, whatever the environment: a run of cron is to see one of a terminal. It need not outlive the
/// machine's next start.
fn folder() -> PathBuf {
    let user = crate::system::user_id();
    let of_session = PathBuf::from(format!("/run/user/{user}"));
    match user {
        0 if Path::new("/run").is_dir() => PathBuf::from("/run/taffrail-runs"),
        _ if of_session.is_dir() => of_session.join("taffrail-runs"),
        _ => std::env::temp_dir().join(format!("taffrail-runs-{user}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_overlap_are_counted_by_group_and_those_that_ended_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let runs = |url: &str| Runs::within(&folder.path().join("runs"), url).unwrap();
        let (backup, other) = (runs("http://a/metrics/job/backup"), runs("http://a/metrics/job/other"));
        assert_eq!(backup.count(), 0);
        let (first, second, _other) = (backup.begin().unwrap(), backup.begin().unwrap(), other.begin().unwrap());
        assert_eq!((backup.count(), other.count()), (2, 1));
        drop(first);
        assert_eq!(backup.count(), 1);
        // As one that was killed: its lock is gone, its file is there.
        let left = second.path.clone();
        drop(second);
        fs::write(&left, "").unwrap();
        assert_eq!((backup.count(), left.exists()), (0, false));
    }

    #[tokio::test]
    async fn one_run_at_a_time_tells_how_many_run() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::within(folder.path(), "http://a/metrics/job/backup").unwrap();
        let first = runs.turn(Duration::ZERO).await;
        assert!(first.is_ours() && !runs.turn(Duration::ZERO).await.is_ours());
        let second = runs.clone();
        let waits = tokio::spawn(async move { second.turn(Duration::from_secs(60)).await.is_ours() });
        drop(first);
        assert!(waits.await.unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(Runs::within(folder.path(), "http://a/metrics/job/b").is_err());
    }
}
