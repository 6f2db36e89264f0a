//! Mounts that may hang.

use std::collections::HashSet;
use std::path::Path;

/// The mounts that access to a path may block on: those above it, and all remote ones, as a symbolic link may lead
/// there. After a hang, access is retried when one of them was unmounted: a dead mount that was unmounted lazily
/// blocks only the threads already waiting for it.
#[derive(Clone, Debug, Default)]
pub struct Mounts(HashSet<String>);

impl Mounts {
    /// The current mounts for `path`; empty if the system does not list them.
    pub fn of(path: &Path) -> Mounts {
        Mounts::listed(&table(), path)
    }

    /// Whether one of them was unmounted.
    pub fn any_unmounted(&self) -> bool {
        // Skip reading the mount table if there are none.
        if self.0.is_empty() {
            return false;
        }
        let now: HashSet<String> = lines(&table()).map(|mount| mount.identity()).collect();
        !self.0.is_subset(&now)
    }

    fn listed(table: &str, path: &Path) -> Mounts {
        let is_meant = |mount: &Mount<'_>| path.starts_with(mount.point) || is_remote(mount.file_system);
        Mounts(lines(table).filter(is_meant).map(|mount| mount.identity()).collect())
    }
}

#[cfg(target_os = "linux")]
fn table() -> String {
    let read = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    String::from_utf8_lossy(&read).into_owned()
}

#[cfg(not(target_os = "linux"))]
fn table() -> String {
    String::new()
}

/// A line of proc_pid_mountinfo(5).
struct Mount<'a> {
    number: &'a str,
    device: &'a str,
    point: &'a str,
    file_system: &'a str,
}

impl Mount<'_> {
    /// Unique among current mounts; ids alone are reused.
    fn identity(&self) -> String {
        format!("{} {} {}", self.number, self.device, self.point)
    }
}

fn lines(table: &str) -> impl Iterator<Item = Mount<'_>> {
    table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (number, device, point) = (fields.next()?, fields.nth(1)?, fields.nth(1)?);
        Some(Mount { number, device, point, file_system: after.split(' ').next()? })
    })
}

/// Whether a server or a user-space program backs file systems of this type.
pub fn is_remote(file_system: &str) -> bool {
    const REMOTE_TYPES: [&str; 27] = [
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse",
        "fuseblk",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "wekafs",
    ];
    file_system.starts_with("fuse.") || REMOTE_TYPES.contains(&file_system)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                         30 22 0:40 / /srv/data rw shared:1 - xfs /dev/sdb rw\n\
                         31 22 0:41 / /net rw - nfs4 server:/ rw\n\
                         32 22 0:42 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw\n";

    #[test]
    fn those_are_meant_that_a_path_may_lead_to() {
        let mut meant: Vec<String> = Mounts::listed(TABLE, Path::new("/srv/data/x")).0.into_iter().collect();
        meant.sort();
        assert_eq!(meant, ["22 8:1 /", "30 0:40 /srv/data", "31 0:41 /net"]);
    }

    #[test]
    fn a_mount_that_is_there_is_not_lost() {
        assert!(!Mounts::of(Path::new("/proc/self")).any_unmounted());
        assert!(!Mounts::default().any_unmounted());
        let gone = Mounts::listed("4000000 22 0:4000 / /net rw - nfs4 server:/ rw\n", Path::new("/x"));
        assert!(gone.any_unmounted() || !cfg!(target_os = "linux"));
    }
}
