//! Stores pushes that were not accepted until a later run sends them.
//!
//! With a spool, each push is stored first and removed once the gateway has accepted it, so it follows those stored
//! earlier. One run at a time sends stored pushes: it holds the folder's lock. The folder is private: its contents
//! are sent with our credentials.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::leftovers;
use crate::system::{self, PrivateFolder, Use, is_private, private, regular_file};

/// A push request.
#[derive(Clone, Debug, PartialEq)]
pub struct PushRequest {
    /// `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// The group's URL if the push was stored by another run; otherwise the target's.
    pub url: Option<String>,
    /// Idempotency key: the same at each retry.
    pub key: String,
    /// Content type of the body; text format if empty.
    pub content_type: String,
    /// The exposition.
    pub body: Vec<u8>,
}

impl PushRequest {
    /// A push with a new random key.
    pub fn new(method: &str, body: Vec<u8>) -> PushRequest {
        let key = format!("{:032x}", fastrand::u128(..));
        PushRequest { method: method.to_owned(), url: None, key, content_type: String::new(), body }
    }
}

/// A spool folder.
#[derive(Clone, Debug)]
pub struct Spool {
    /// Its resolved path. Each operation opens it anew, as it may run in a thread with its own descriptors.
    folder: PathBuf,
}

/// The right to send what is kept; it ends when this is dropped.
#[derive(Debug)]
pub struct SpoolLock {
    _file: File,
}

/// Maximum number of stored pushes; the oldest are dropped.
const MAX_PUSHES: usize = 1000;
/// Maximum size of a stored push. Most have a few kilobytes; gateways accept 16 MiB by default.
const MAX_BYTES: u64 = 1 << 30;
const SUFFIX: &str = ".push";
const LOCK: &str = ".lock";

impl Spool {
    /// Opens the spool in `folder`, and creates it if missing.
    ///
    /// # Errors
    /// If it cannot be used: it is not private, for example.
    pub fn open(folder: &Path) -> io::Result<Spool> {
        let spool = Spool { folder: PrivateFolder::resolve(folder)? };
        // Fail now, not when a push must be stored.
        spool.lock_file()?;
        leftovers::remove(&spool.folder);
        Ok(spool)
    }

    /// Its path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn lock_file(&self) -> io::Result<File> {
        let opened = PrivateFolder::open(&self.folder)?.file(LOCK, Use::Write);
        opened.map_err(|error| io::Error::new(error.kind(), format!("{LOCK}: {error}")))
    }

    /// Takes the lock for sending; `None` while another run holds it.
    ///
    /// # Errors
    /// If it cannot be locked.
    pub fn lock(&self) -> io::Result<Option<SpoolLock>> {
        let file = self.lock_file()?;
        Ok(system::lock(&file)?.then_some(SpoolLock { _file: file }))
    }

    /// Stores a push to `url` after all others, atomically. Returns its path, and the number of oldest pushes that
    /// were dropped.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub fn store(&self, push: &PushRequest, url: &str) -> io::Result<(PathBuf, usize)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // The clock may have been set back since the last push.
        let after_last = self.list()?.last().and_then(|last| stored_at(last)).map_or(0, |last| last.as_nanos() + 1);
        // File names sort by time.
        let name = format!("{:024}-{}{SUFFIX}", now.max(after_last), push.key.get(..8).unwrap_or(&push.key));
        let path = self.folder.join(name);
        let text = json!({
            "method": push.method,
            "url": push.url.as_deref().unwrap_or(url),
            "key": push.key,
            "content_type": push.content_type,
            "body": STANDARD.encode(&push.body),
        });
        let unfinished = path.with_extension(leftovers::EXTENSION);
        let mut options = OpenOptions::new();
        let written = private(options.write(true).create_new(true)).open(&unfinished).and_then(|mut file| {
            file.write_all(text.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        });
        written.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        let kept = self.list()?;
        let excess = &kept[..kept.len().saturating_sub(MAX_PUSHES)];
        for old in excess {
            fs::remove_file(old)?;
        }
        Ok((path, excess.len()))
    }

    /// The stored pushes, oldest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.to_string_lossy().ends_with(SUFFIX));
        paths.sort();
        Ok(paths)
    }
}

/// When the push in this file was stored, since 1970.
pub fn stored_at(path: &Path) -> Option<Duration> {
    let nanoseconds: u128 = path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()?;
    Some(Duration::new(u64::try_from(nanoseconds / 1_000_000_000).ok()?, (nanoseconds % 1_000_000_000) as u32))
}

/// Reads a stored push.
///
/// # Errors
/// If the file may not be sent: another user may have written it, or it is damaged.
pub fn read(path: &Path) -> Result<PushRequest, String> {
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_symlink() {
        return Err("expected a file, found a link".to_owned());
    }
    let (bytes, metadata) =
        regular_file::read_with_metadata(path, MAX_BYTES).map_err(|error| error.reason.to_string())?;
    if !is_private(&metadata) {
        return Err("it belongs to another user, or others may write it".to_owned());
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| format!("it is damaged: {error}"))?;
    let text = |name: &str| value[name].as_str().map(str::to_owned).ok_or(format!("it is damaged: it has no {name}"));
    Ok(PushRequest {
        method: text("method")?,
        url: Some(text("url")?),
        key: text("key")?,
        content_type: text("content_type")?,
        body: STANDARD.decode(text("body")?).map_err(|error| format!("it is damaged: {error}"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("below")).unwrap();
        for body in ["x 1\n", "x 2\n"] {
            spool.store(&PushRequest::new("POST", body.into()), "http://a/metrics/job/b").unwrap();
        }
        let read: Vec<PushRequest> = spool.list().unwrap().iter().map(|path| super::read(path).unwrap()).collect();
        assert_eq!((read[0].body.as_slice(), read[1].body.as_slice()), (&b"x 1\n"[..], &b"x 2\n"[..]));
        assert_eq!(read[0].url.as_deref(), Some("http://a/metrics/job/b"));
        assert_ne!(read[0].key, read[1].key);
    }

    #[test]
    fn a_push_is_kept_behind_those_before_it_though_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (first, _) = spool.store(&PushRequest::new("POST", b"x 1\n".to_vec()), "http://a/metrics/job/b").unwrap();
        // PushRequest in the year 2255.
        let of_the_future = folder.path().join("000009000000000000000000-00000000.push");
        fs::rename(first, &of_the_future).unwrap();
        let (second, _) = spool.store(&PushRequest::new("POST", b"x 2\n".to_vec()), "http://a/metrics/job/b").unwrap();
        assert_eq!(spool.list().unwrap(), [of_the_future, second]);
    }

    #[test]
    fn one_run_at_a_time_sends_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let first = spool.lock().unwrap();
        assert!(first.is_some() && spool.lock().unwrap().is_none());
        drop(first);
        assert!(spool.lock().unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_have_written_is_not_sent() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        let (path, _) = spool.store(&PushRequest::new("POST", b"x 1\n".to_vec()), "http://a/metrics/job/b").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(spool.folder())), (0o600, 0o700));
        let link = spool.folder().join("9-link.push");
        symlink(&path, &link).unwrap();
        assert!(read(&link).unwrap_err().contains("a link"));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
        assert!(read(&path).unwrap_err().contains("may write it"));
    }
}
