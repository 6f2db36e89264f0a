//! A file system of its own, which may be full.

use std::io::Write;
use std::path::Path;

/// A tmpfs; root alone can mount it.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// One of 8 MiB.
    pub fn mount() -> Self {
        SmallDisk::of(8)
    }

    /// One of so many MiB.
    pub fn of(mebibytes: u32) -> Self {
        let options = format!("size={mebibytes}m");
        let folder = tempfile::tempdir().unwrap();
        super::docker::run("mount", &["-t", "tmpfs", "-o", &options, "taffrail-test", folder.path().to_str().unwrap()]);
        SmallDisk(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut filler = std::fs::File::create(self.path().join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    /// Makes room again.
    pub fn free(&self) {
        let _ = std::fs::remove_file(self.path().join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["--lazy", self.path().to_str().unwrap()]).status();
    }
}
