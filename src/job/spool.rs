//! Pushes that did not arrive, kept in a folder until a later run sends them.
//!
//! A push with a spool is put there first and taken out when the gateway has it, so that it is sent after those that
//! were kept before. One run at a time sends what is kept: it holds the folder's lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::system::{self, create_private_folder, is_only_ours, private, regular_file};

/// A push, as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// The group's URL where it is another run's; that of the target otherwise.
    pub url: Option<String>,
    /// What it is known by if it comes again.
    pub key: String,
    /// The format of the body; text if empty.
    pub content_type: String,
    /// What is pushed.
    pub body: Vec<u8>,
}

impl Kept {
    /// A push with a key of its own.
    pub fn new(method: &str, body: Vec<u8>) -> Kept {
        let key = format!("{:032x}", fastrand::u128(..));
        Kept { method: method.to_owned(), url: None, key, content_type: String::new(), body }
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

/// The right to send what is kept; it ends when this is dropped.
#[derive(Debug)]
pub struct SpoolLock {
    _file: File,
}

/// How many pushes are kept; beyond them, the oldest go.
const MAX_KEPT: usize = 1000;
/// A push is a few kilobytes as a rule; gateways take 16 MiB unless they are told otherwise.
const MAX_BYTES: u64 = 1 << 30;
const SUFFIX: &str = ".push";
const LOCK: &str = ".lock";

impl Spool {
    /// The spool in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn open(folder: &Path) -> io::Result<Spool> {
        create_private_folder(folder)?;
        let spool = Spool { folder: folder.to_owned() };
        // Whether files can be made is told now, and not when a push is to be kept.
        spool.lock_file()?;
        Ok(spool)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        private(options.create(true).truncate(false).write(true)).open(self.folder.join(LOCK))
    }

    /// The right to send what is kept; nothing while another run has it.
    ///
    /// # Errors
    /// That there can be no lock.
    pub fn lock(&self) -> io::Result<Option<SpoolLock>> {
        let file = self.lock_file()?;
        Ok(system::lock(&file)?.then_some(SpoolLock { _file: file }))
    }

    /// Keeps a push for `url`, behind all that are kept; it is whole or not there. Says where, and how many of the
    /// oldest had to go.
    ///
    /// # Errors
    /// Why it cannot be kept.
    pub fn keep(&self, push: &Kept, url: &str) -> io::Result<(PathBuf, usize)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // The clock may have been set back since the last.
        let after_last = self.kept()?.last().and_then(|last| kept_at(last)).map_or(0, |last| last.as_nanos() + 1);
        // In the order of their names they are in the order of their times.
        let name = format!("{:024}-{}{SUFFIX}", now.max(after_last), push.key.get(..8).unwrap_or(&push.key));
        let path = self.folder.join(name);
        let text = json!({
            "method": push.method,
            "url": push.url.as_deref().unwrap_or(url),
            "key": push.key,
            "content_type": push.content_type,
            "body": STANDARD.encode(&push.body),
        });
        let unfinished = path.with_extension("new");
        let mut options = OpenOptions::new();
        let written = private(options.write(true).create_new(true)).open(&unfinished).and_then(|mut file| {
            file.write_all(text.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        });
        written.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        let kept = self.kept()?;
        let beyond = &kept[..kept.len().saturating_sub(MAX_KEPT)];
        for old in beyond {
            fs::remove_file(old)?;
        }
        Ok((path, beyond.len()))
    }

    /// The files, the oldest first.
    ///
    /// # Errors
    /// That the folder cannot be read.
    pub fn kept(&self) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.to_string_lossy().ends_with(SUFFIX));
        paths.sort();
        Ok(paths)
    }
}

/// When the push in this file was kept, since 1970.
pub fn kept_at(path: &Path) -> Option<Duration> {
    let nanoseconds: u128 = path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()?;
    Some(Duration::new(u64::try_from(nanoseconds / 1_000_000_000).ok()?, (nanoseconds % 1_000_000_000) as u32))
}

/// The push in a file.
///
/// # Errors
/// Why there is none that we may send: it was written by somebody else, or is damaged.
pub fn read(path: &Path) -> Result<Kept, String> {
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_symlink() {
        return Err("expected a file, found a link".to_owned());
    }
    let (bytes, metadata) =
        regular_file::read_with_metadata(path, MAX_BYTES).map_err(|error| error.reason.to_string())?;
    if !is_only_ours(&metadata) {
        return Err("it belongs to another user, or others may write it".to_owned());
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| format!("it is damaged: {error}"))?;
    let text = |name: &str| value[name].as_str().map(str::to_owned).ok_or(format!("it is damaged: it has no {name}"));
    Ok(Kept {
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
            spool.keep(&Kept::new("POST", body.into()), "http://a/metrics/job/b").unwrap();
        }
        let read: Vec<Kept> = spool.kept().unwrap().iter().map(|path| super::read(path).unwrap()).collect();
        assert_eq!((read[0].body.as_slice(), read[1].body.as_slice()), (&b"x 1\n"[..], &b"x 2\n"[..]));
        assert_eq!(read[0].url.as_deref(), Some("http://a/metrics/job/b"));
        assert_ne!(read[0].key, read[1].key);
    }

    #[test]
    fn a_push_is_kept_behind_those_before_it_though_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (first, _) = spool.keep(&Kept::new("POST", b"x 1\n".to_vec()), "http://a/metrics/job/b").unwrap();
        // Kept in the year 2255.
        let of_the_future = folder.path().join("000009000000000000000000-00000000.push");
        fs::rename(first, &of_the_future).unwrap();
        let (second, _) = spool.keep(&Kept::new("POST", b"x 2\n".to_vec()), "http://a/metrics/job/b").unwrap();
        assert_eq!(spool.kept().unwrap(), [of_the_future, second]);
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
        let (path, _) = spool.keep(&Kept::new("POST", b"x 1\n".to_vec()), "http://a/metrics/job/b").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(spool.folder())), (0o600, 0o700));
        let link = spool.folder().join("9-link.push");
        symlink(&path, &link).unwrap();
        assert!(read(&link).unwrap_err().contains("a link"));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
        assert!(read(&path).unwrap_err().contains("may write it"));
    }
}
