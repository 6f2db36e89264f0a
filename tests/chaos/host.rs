//! A host whose files hang and whose mounts die.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use super::harness::fuse::FuseMount;

/// Files that several collectors read, one or none.
const FILES: [&str; 8] = [
    "proc/loadavg",
    "proc/vmstat",
    "proc/meminfo",
    "proc/diskstats",
    "proc/uptime",
    "proc/pressure/cpu",
    "proc/net/netstat",
    "proc/net/sockstat",
];
const MOUNTS: u32 = 3;

/// A recorded host, of which a copy can be damaged.
pub(crate) struct Host {
    folder: tempfile::TempDir,
    mounts: Vec<FuseMount>,
}

impl Host {
    pub(crate) fn new() -> Host {
        let folder = tempfile::tempdir().unwrap();
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/debian-12-vm/after");
        let copied = Command::new("cp").arg("-a").arg(recorded.join(".")).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        let mounts: Vec<FuseMount> = (0..MOUNTS).map(|_| FuseMount::mount()).collect();
        let table = folder.path().join("proc/1/mountinfo");
        let lines: String = mounts.iter().zip(900..).map(|(mount, number)| mount.mountinfo(number)).collect();
        fs::write(&table, format!("26 1 254:0 / / rw - ext4 /dev/vda rw\n{lines}")).unwrap();
        let host = Host { folder, mounts };
        for file in FILES {
            assert!(host.path(file).is_file(), "{file}");
            fs::copy(host.path(file), host.whole(file)).unwrap();
        }
        host
    }

    /// Its section of the configuration. Mounts are where they are.
    pub(crate) fn section(&self) -> String {
        let tree = self.folder.path().display();
        format!("[host]\nproc = \"{tree}/proc\"\nsys = \"{tree}/sys\"\nroot = \"/\"\nudev = \"{tree}/udev/data\"\n")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Where a copy of a file is that stays as it was.
    fn whole(&self, file: &str) -> PathBuf {
        self.folder.path().join(file.replace('/', "-"))
    }

    /// Where the FIFO of a file is, so that it can be found when the file is another.
    fn fifo(&self, file: &str) -> PathBuf {
        self.whole(file).with_extension("fifo")
    }

    pub(crate) fn files(&self) -> usize {
        FILES.len()
    }

    pub(crate) fn mounts(&self) -> &[FuseMount] {
        &self.mounts
    }

    /// Whoever opens this file waits from now on.
    pub(crate) fn hang(&self, file: usize) {
        let (path, fifo, new) = (self.path(FILES[file]), self.fifo(FILES[file]), self.path("new"));
        if !fifo.exists() {
            mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        }
        fs::hard_link(&fifo, &new).unwrap();
        fs::rename(&new, path).unwrap();
        // rename(2) does nothing to two names of one file.
        let _ = fs::remove_file(new);
    }

    /// The file is as it was, and whoever waits reads it.
    pub(crate) fn answer(&self, file: usize) {
        let (path, whole, new) = (self.path(FILES[file]), self.whole(FILES[file]), self.path("new"));
        fs::copy(&whole, &new).unwrap();
        fs::rename(new, path).unwrap();
        self.release(file);
    }

    /// Whoever still waits for the FIFO goes on: one may have opened the file just before it was another.
    pub(crate) fn release(&self, file: usize) {
        let fifo = self.fifo(FILES[file]);
        if !fifo.exists() {
            return;
        }
        while let Ok(writer) = open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            let content = fs::read(self.whole(FILES[file])).unwrap();
            let _ = rustix::io::write(&writer, &content);
            drop(writer);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
