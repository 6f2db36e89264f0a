//! Appending.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::settings::{Settings, Stream};
use crate::encode::lines::Lines;
use crate::sinks::kind::{Client, WriteFuture};
use crate::sinks::verdict::Verdict;
use crate::system::identity;
use crate::system::regular_file::open_to_append;

/// Appends to one sink's file.
pub(super) struct FileClient {
    settings: Settings,
    /// Shared with the write in flight, which may take as long as the reader of a pipe.
    out: Arc<Mutex<Out>>,
}

enum Out {
    Stream(Box<dyn Write + Send>),
    File { path: PathBuf, open: Option<Open> },
}

struct Open {
    file: File,
    created: SystemTime,
}

impl Client for FileClient {
    fn write<'a>(&'a mut self, lines: &'a Lines) -> WriteFuture<'a> {
        Box::pin(async move { (lines.count(), self.send_all(lines).await) })
    }
}

impl FileClient {
    pub(super) fn new(settings: &Settings) -> Self {
        let out = match (settings.stream(), settings.path.clone()) {
            (Some(Stream::Err), _) => Out::Stream(Box::new(io::stderr())),
            (Some(Stream::Out), _) | (None, None) => Out::Stream(Box::new(io::stdout())),
            (None, Some(path)) => Out::File { path, open: None },
        };
        FileClient { settings: settings.clone(), out: Arc::new(Mutex::new(out)) }
    }

    /// Writes all lines, or none: a partial write is undone.
    async fn send_all(&mut self, lines: &Lines) -> Verdict {
        let (settings, out, text) = (self.settings.clone(), self.out.clone(), self.settings.format.text(lines));
        let written = spawn_blocking(move || {
            out.lock().unwrap_or_else(PoisonError::into_inner).write(&settings, &text, SystemTime::now())
        });
        match written.await {
            Ok(Ok(())) => Verdict::Delivered,
            Ok(Err(error)) => {
                let path = self.settings.path.as_deref().unwrap_or(Path::new("stdout"));
                Verdict::later(&format!("{}: {error}", path.display()))
            }
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
}

impl Out {
    fn write(&mut self, settings: &Settings, text: &[u8], now: SystemTime) -> io::Result<()> {
        match self {
            Out::Stream(out) => {
                out.write_all(text)?;
                out.flush()
            }
            Out::File { path, open } => {
                let done = append(path, open, settings, text, now);
                if done.is_err() {
                    *open = None;
                }
                done
            }
        }
    }
}

fn append(path: &Path, open: &mut Option<Open>, settings: &Settings, text: &[u8], now: SystemTime) -> io::Result<()> {
    let mut current = match open.take() {
        Some(known) if is_at(&known.file, path) => known,
        _ => begin(path, now)?,
    };
    let mut size = current.file.metadata()?.len();
    if settings.rotation.is_due(size, current.created, now, text.len() as u64) {
        settings.rotation.rotate(path, now)?;
        current = begin(path, now)?;
        size = 0;
    }
    if let Err(error) = current.file.write_all(text) {
        // The retry would write it a second time.
        let _ = current.file.set_len(size);
        return Err(error);
    }
    *open = Some(current);
    Ok(())
}

/// Whether the path still names the file: another process may have moved it.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(ours), Ok(there)) => identity(&ours) == identity(&there),
        _ => false,
    }
}

/// Opens a file to append to. Its age counts from its creation, if the file system knows it. Only regular files are
/// opened: a FIFO may have no reader.
fn begin(path: &Path, now: SystemTime) -> io::Result<Open> {
    let file = open_to_append(path)?;
    let created = file.metadata().and_then(|metadata| metadata.created()).unwrap_or(now);
    Ok(Open { file, created })
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::super::rotation::Rotation;
    use super::*;

    fn settings(path: &Path, rotation: Rotation) -> Settings {
        Settings { path: Some(path.to_owned()), format: Format::LineProtocol, rotation }
    }

    #[test]
    fn a_file_that_was_moved_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.out");
        let settings = settings(&path, Rotation::default());
        let mut out = Out::File { path: path.clone(), open: None };
        out.write(&settings, b"a\n", SystemTime::now()).unwrap();
        out.write(&settings, b"b\n", SystemTime::now()).unwrap();
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        out.write(&settings, b"c\n", SystemTime::now()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "c\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("moved")).unwrap(), "a\nb\n");
    }

    #[test]
    fn a_file_is_rotated_before_it_gets_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.out");
        let settings = settings(&path, Rotation { size: Some(4), archives: Some(9), interval: None });
        let mut out = Out::File { path: path.clone(), open: None };
        for line in ["1\n", "2\n", "3\n"] {
            out.write(&settings, line.as_bytes(), SystemTime::now()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(out.write(&settings, b"4\n", SystemTime::now()).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_not_there_in_part() {
        let settings = settings(Path::new("/dev/full"), Rotation::default());
        let mut out = Out::File { path: "/dev/full".into(), open: None };
        assert!(out.write(&settings, b"a\n", SystemTime::now()).is_err());
    }
}
