//! Pushes that did not arrive, kept in a folder until a later run sends them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

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

/// How many pushes are kept; beyond them, the oldest go.
const MOST: usize = 1000;
const SUFFIX: &str = ".push";

impl Spool {
    /// The spool in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn open(folder: &Path) -> io::Result<Spool> {
        fs::create_dir_all(folder)?;
        Ok(Spool { folder: folder.to_owned() })
    }

    /// Keeps a push for `url`; it is whole or not there.
    ///
    /// # Errors
    /// Why it cannot be kept.
    pub fn keep(&self, push: &Kept, url: &str) -> io::Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // In the order of their names they are in the order of their times.
        let path = self.folder.join(format!("{since:024}-{}{SUFFIX}", &push.key[..8.min(push.key.len())]));
        let text = json!({
            "method": push.method,
            "url": push.url.as_deref().unwrap_or(url),
            "key": push.key,
            "content_type": push.content_type,
            "body": STANDARD.encode(&push.body),
        });
        let unfinished = path.with_extension("new");
        fs::write(&unfinished, text.to_string())?;
        fs::File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, &path)?;
        let kept = self.kept()?;
        for old in &kept[..kept.len().saturating_sub(MOST)] {
            fs::remove_file(old)?;
        }
        Ok(())
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

/// The push in a file; nothing if it is none.
pub fn read(path: &Path) -> Option<Kept> {
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Some(Kept {
        method: text("method")?,
        url: Some(text("url")?),
        key: text("key")?,
        content_type: text("content_type")?,
        body: STANDARD.decode(text("body")?).ok()?,
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
}
