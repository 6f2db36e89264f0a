//! A recorded host, of which files can hang.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use tempfile::TempDir;

use super::recorded;

/// A copy of the recorded host, which can be changed.
pub fn copied_host() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let recorded = recorded::host("debian-12-vm").join("after/.");
    let copied = Command::new("cp").arg("-a").arg(recorded).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

/// A file of such a host. While it hangs, it is a FIFO: a process that opens it waits.
pub struct HangingFile {
    path: PathBuf,
    content: Vec<u8>,
    /// Where the FIFO is found when the file is another.
    fifo: PathBuf,
}

impl HangingFile {
    /// The file of this name in a copied host; it does not hang yet.
    pub fn new(host: &Path, name: &str) -> Self {
        let path = host.join(name);
        let content = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let fifo = host.join(name.replace('/', "-"));
        mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        HangingFile { path, content, fifo }
    }

    /// A process that opens it from now on waits.
    pub fn hang(&self) {
        let new = self.fifo.with_extension("new");
        fs::hard_link(&self.fifo, &new).unwrap();
        fs::rename(&new, &self.path).unwrap();
        // rename(2) does nothing to two names of one file.
        let _ = fs::remove_file(new);
    }

    /// The file is as it was, and a process that waits goes on, and finds that what it has opened is not read from the start.
    pub fn answer(&self) {
        let new = self.fifo.with_extension("new");
        fs::write(&new, &self.content).unwrap();
        fs::rename(new, &self.path).unwrap();
        self.release();
    }

    /// A process that still waits goes on: one may have opened the file just before it was another.
    pub fn release(&self) {
        while let Ok(writer) = open(&self.fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            let _ = rustix::io::write(&writer, &self.content);
            drop(writer);
            thread::sleep(Duration::from_millis(5));
        }
    }
}
