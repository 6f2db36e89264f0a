//! A host whose files hang and whose mounts die.

use std::fs;

use crate::harness::fuse::FuseMount;
use crate::harness::hanging::{HangingFile, copied_host};

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
    files: Vec<HangingFile>,
}

impl Host {
    pub(crate) fn new() -> Host {
        let folder = copied_host();
        let mounts: Vec<FuseMount> = (0..MOUNTS).map(|_| FuseMount::mount()).collect();
        let table = folder.path().join("proc/1/mountinfo");
        let lines: String = mounts.iter().zip(900..).map(|(mount, number)| mount.mountinfo(number)).collect();
        fs::write(&table, format!("26 1 254:0 / / rw - ext4 /dev/vda rw\n{lines}")).unwrap();
        let files = FILES.iter().map(|file| HangingFile::new(folder.path(), file)).collect();
        Host { folder, mounts, files }
    }

    /// Its section of the configuration. Mounts are where they are.
    pub(crate) fn section(&self) -> String {
        let tree = self.folder.path().display();
        format!("[host]\nproc = \"{tree}/proc\"\nsys = \"{tree}/sys\"\nroot = \"/\"\nudev = \"{tree}/udev/data\"\n")
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn mounts(&self) -> &[FuseMount] {
        &self.mounts
    }

    /// A process that opens this file waits from now on.
    pub(crate) fn hang(&self, file: usize) {
        self.files[file].hang();
    }

    /// The file is as it was, and a process that waits goes on.
    pub(crate) fn answer(&self, file: usize) {
        self.files[file].answer();
    }

    /// A process that still waits for the file goes on: one may have opened it just before it was another.
    pub(crate) fn release(&self, file: usize) {
        self.files[file].release();
    }
}
