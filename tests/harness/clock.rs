//! The clock that a process sees, which is set as a test likes: libfaketime.

use std::path::PathBuf;

/// A clock that is ahead of the true one or behind it.
pub struct Clock(tempfile::NamedTempFile);

impl Clock {
    /// The true time.
    pub fn new() -> Clock {
        let clock = Clock(tempfile::NamedTempFile::new().unwrap());
        clock.set(0);
        clock
    }

    /// So many seconds before or behind the others.
    pub fn set(&self, seconds: i64) {
        std::fs::write(self.0.path(), format!("{seconds:+}\n")).unwrap();
    }

    /// For libfaketime, which stands between a program and the C library.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let library = libfaketime().expect("Debian's package faketime");
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.path().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}
