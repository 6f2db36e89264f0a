//! Tracks the runs of a job in progress on this host.
//!
//! Each run holds a lock on a file of its own. The kernel releases the lock however the run ends, so the runs in
//! progress are those whose files are locked. Counting runs and sending reports happens under a lock of the group, so
//! that the last report is that of the run that ends last.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::time::{Instant, sleep};

use super::leftovers;
use crate::system::{Stamp, create_private_dir, is_private, lock, private};

/// Extension of the file that a run locks.
const RUN: &str = "run";
/// Extension of the file of [`ReportLock`].
const LOCK: &str = "turn";

/// The runs of one group, identified by its URL.
#[derive(Clone, Debug)]
pub struct Runs {
    folder: PathBuf,
    group: String,
}

/// A run in progress for as long as this lives.
#[derive(Debug)]
pub struct Running {
    path: PathBuf,
    /// Locked.
    _file: File,
}

/// The lock for counting and reporting runs; its file is removed at the end.
#[derive(Debug)]
pub struct ReportLock(Option<(PathBuf, File)>);

impl Runs {
    /// The runs of the group at `url`, in this user's folder.
    ///
    /// # Errors
    /// If the folder cannot be created, or is not private.
    pub fn of(url: &str) -> io::Result<Runs> {
        Self::within(&folder(), url)
    }

    pub(super) fn within(folder: &Path, url: &str) -> io::Result<Runs> {
        create_private_dir(folder)?;
        if !is_private(&fs::symlink_metadata(folder)?) {
            return Err(io::Error::other(format!("{}: it belongs to another user", folder.display())));
        }
        leftovers::remove(folder);
        remove_abandoned(folder);
        let group: String =
            digest(&SHA256, url.as_bytes()).as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Runs { folder: folder.to_owned(), group })
    }

    /// Starts a run.
    ///
    /// # Errors
    /// If its file cannot be created.
    pub fn begin(&self) -> io::Result<Running> {
        let path = self.folder.join(format!("{}-{:016x}.{RUN}", self.group, fastrand::u64(..)));
        // It gets its visible name after it is locked.
        let unlocked = path.with_extension(leftovers::EXTENSION);
        let file = private(OpenOptions::new().write(true).create_new(true)).open(&unlocked)?;
        lock(&file)?;
        fs::rename(&unlocked, &path)?;
        Ok(Running { path, _file: file })
    }

    /// Number of runs in progress. Removes the files of killed runs.
    pub fn count(&self) -> usize {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let is_of_group = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&self.group) && path.extension().is_some_and(|extension| extension == RUN)
        };
        let is_alive = |path: &PathBuf| {
            let Ok(file) = File::open(path) else { return false };
            let is_held = lock(&file).unwrap_or(false);
            if is_held {
                let _ = fs::remove_file(path);
            }
            !is_held
        };
        entries.flatten().map(|entry| entry.path()).filter(is_of_group).filter(is_alive).count()
    }

    /// Waits for the lock while another run holds it, for at most `timeout`.
    pub async fn report_lock(&self, timeout: Duration) -> ReportLock {
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let path = self.folder.join(format!("{}.{LOCK}", self.group));
        let deadline = Instant::now() + timeout;
        loop {
            let Ok(file) = private(OpenOptions::new().write(true).create(true).truncate(false)).open(&path) else {
                return ReportLock(None);
            };
            match lock(&file) {
                Ok(true) if is_at(&file, &path) => return ReportLock(Some((path, file))),
                // The last holder removed the file after it was opened here.
                Ok(true) => continue,
                Ok(false) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
                Ok(false) => return ReportLock(None),
                Err(_) => return ReportLock(Some((path, file))),
            }
        }
    }
}

impl ReportLock {
    /// Whether the lock is held.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for ReportLock {
    fn drop(&mut self) {
        // Elsewhere, a waiting run could not see that its file was removed.
        if let (Some((path, _)), true) = (&self.0, cfg!(unix)) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether this file is still the one with this name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| Stamp::from(&metadata).identity();
    match (file.metadata().map(identity), fs::metadata(path).map(identity)) {
        (Ok(file), Ok(named)) => file == named,
        _ => false,
    }
}

/// Removes the files of all groups' killed runs.
fn remove_abandoned(folder: &Path) {
    /// A younger file may be about to be locked.
    const OLD: Duration = Duration::from_secs(3600);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_ours = path.extension().is_some_and(|extension| extension == RUN || extension == LOCK);
        let is_old =
            || path.metadata().and_then(|file| file.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD));
        if is_ours && is_old() && File::open(&path).is_ok_and(|file| lock(&file).unwrap_or(false)) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The folder of a user's runs, independent of the environment: cron jobs and terminals must agree. It need not
/// survive a reboot.
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
        // Like a killed run: the file remains without a lock.
        let left = second.path.clone();
        drop(second);
        fs::write(&left, "").unwrap();
        assert_eq!((backup.count(), left.exists()), (0, false));
    }

    #[tokio::test]
    async fn one_run_at_a_time_tells_how_many_run() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::within(folder.path(), "http://a/metrics/job/backup").unwrap();
        let first = runs.report_lock(Duration::ZERO).await;
        assert!(first.is_held() && !runs.report_lock(Duration::ZERO).await.is_held());
        let second = runs.clone();
        let waits = tokio::spawn(async move { second.report_lock(Duration::from_secs(60)).await.is_held() });
        drop(first);
        assert!(waits.await.unwrap());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn locks_leave_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::within(folder.path(), "http://a/metrics/job/backup").unwrap();
        // Each waits for the one before, whose file is removed meanwhile.
        let held = runs.report_lock(Duration::ZERO).await;
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let runs = runs.clone();
                tokio::spawn(async move { runs.report_lock(Duration::from_secs(60)).await.is_held() })
            })
            .collect();
        drop(held);
        for waits in waiting {
            assert!(waits.await.unwrap());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        // Those of killed runs, of any group; not one that is held, and not others' files.
        let put = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
            file
        };
        let held = put("a.turn", 4000);
        assert!(lock(&held).unwrap());
        for (name, age) in [("b.turn", 4000), ("c-1.run", 4000), ("d.turn", 60), ("e.txt", 4000)] {
            drop(put(name, age));
        }
        Runs::within(folder.path(), "http://a/metrics/job/other").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.turn", "d.turn", "e.txt"]);
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
