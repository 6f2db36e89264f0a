//! The host as one value: where its trees are mounted, and the few things that the kernel says by a system call
//! instead of a file. Collectors read through it alone, so a recorded tree is as good a host as a live one.

pub mod btrfs;
#[cfg_attr(windows, path = "calls_windows.rs")]
mod calls;
pub mod changes;
pub mod dbus;
pub mod devices;
pub mod errno;
pub mod ethtool;
pub mod file;
pub mod kernel;
pub mod links;
pub mod live;
mod may_hang;
pub mod netlink;
pub mod perf;
pub mod portable;
pub mod text;
pub mod timex;
pub mod watched;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::ask::Questions;
use errno::Errno;
use may_hang::MayHang;

pub use changes::Changes;
pub use devices::{Device, Devices};
pub use file::{Directory, HostFile, SharedFile};
pub use kernel::{FsStat, Kernel, Limits, Timestamp, Uname};
pub use live::LiveKernel;
pub use portable::Portable;
pub use text::{Line, ReadError, Text};
pub use watched::Watched;

/// Where the host's trees are, and its kernel.
#[derive(Clone)]
pub struct Host {
    roots: Roots,
    changes: Arc<Changes>,
    portable: Option<Arc<Portable>>,
    links: Arc<links::SharedLinks>,
    shared: Arc<Mutex<HashMap<PathBuf, SharedFile>>>,
    may_hang: Arc<MayHang>,
    /// What is asked by system calls: clocks, file-system sizes, the machine's name.
    pub kernel: Arc<dyn Kernel>,
}

/// The mount points of the host's trees as Taffrail sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// procfs, `/proc` on the host itself.
    pub proc: PathBuf,
    /// sysfs, `/sys` on the host itself.
    pub sys: PathBuf,
    /// The root file system; it is put before mount points and before `/etc` and `/run`, and taken off again in labels.
    pub root: PathBuf,
    /// udev's database, `/run/udev/data` on the host itself.
    pub udev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Roots { proc: "/proc".into(), sys: "/sys".into(), root: "/".into(), udev: "/run/udev/data".into() }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.roots.fmt(f)
    }
}

impl Host {
    /// A host whose trees are at `roots` and whose kernel is the running one.
    pub fn live(roots: Roots) -> Self {
        let kernel = LiveKernel::of(&roots.proc);
        let changes = if kernel.is_the_hosts().is_ok() { Changes::of_the_kernel() } else { Changes::default() };
        let may_hang = MayHang::of_the_process();
        Host { changes: Arc::new(changes), may_hang, ..Host::new(roots, Arc::new(kernel)) }
    }

    /// The host as the crate sysinfo tells of it, which does so on every system.
    pub fn portable(roots: Roots) -> Self {
        Host { portable: Some(Arc::default()), ..Host::live(roots) }
    }

    /// Who tells of the host instead of files and the kernel, if that was chosen or there is no other way.
    pub fn by_sysinfo(&self) -> Option<&Portable> {
        self.portable.as_deref()
    }

    /// A host whose trees are at `roots`, with any kernel: a recorded one in tests.
    pub fn new(roots: Roots, kernel: Arc<dyn Kernel>) -> Self {
        Host {
            roots,
            changes: Arc::default(),
            portable: None,
            links: Arc::default(),
            shared: Arc::default(),
            may_hang: Arc::default(),
            kernel,
        }
    }

    /// Whether devices or modules have come or gone.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Questions of one kind that may never be answered, of which `most` keep a thread. They are the same for all who ask
    /// this host.
    pub fn questions<Q, A>(&self, most: usize) -> Questions<Q, A>
    where
        Q: Clone + Eq + Hash + Send + Sync + 'static,
        A: Clone + Send + 'static,
    {
        self.may_hang.of_kind(most)
    }

    /// How many mounts and services are known to hang; each keeps a thread.
    pub fn hanging(&self) -> usize {
        self.may_hang.hanging()
    }

    /// A file below procfs.
    pub fn proc(&self, path: impl AsRef<Path>) -> HostFile {
        HostFile::new(self.roots.proc.join(path)).watching(&self.changes)
    }

    /// A file below procfs that several collectors read.
    pub fn shared_proc(&self, path: impl AsRef<Path>) -> SharedFile {
        // All that are shared, but for this one, are made at one go.
        let is_one_record = path.as_ref() != Path::new("vmstat");
        let path = self.proc_path(path);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(path.clone()).or_insert_with(|| SharedFile::new(path, is_one_record)).clone()
    }

    /// A file below sysfs.
    pub fn sys(&self, path: impl AsRef<Path>) -> HostFile {
        HostFile::new(self.roots.sys.join(path)).one_record().watching(&self.changes)
    }

    /// The devices in a directory below sysfs.
    pub fn devices(&self, path: impl AsRef<Path>) -> Devices {
        // What the kernel has in `fs` and `kernel` comes without an event.
        let are_announced = ["block", "bus", "class", "devices"].iter().any(|folder| path.as_ref().starts_with(folder));
        Devices::new(self.roots.sys.join(path)).watching(&self.changes, are_announced)
    }

    /// The devices in a directory below procfs, which comes with a module.
    pub fn proc_devices(&self, path: impl AsRef<Path>) -> Devices {
        Devices::new(self.roots.proc.join(path)).watching(&self.changes, false)
    }

    /// A device, by its directory below sysfs.
    pub fn device(&self, path: impl AsRef<Path>) -> Device {
        Device::new(self.roots.sys.join(path)).watching(&self.changes)
    }

    /// A file of the host's root file system, named by its path on the host.
    pub fn root(&self, path: impl AsRef<Path>) -> HostFile {
        HostFile::new(self.root_path(path))
    }

    /// A file of udev's database, such as `b8:0`.
    pub fn udev(&self, path: impl AsRef<Path>) -> HostFile {
        HostFile::new(self.roots.udev.join(path))
    }

    /// The path below procfs.
    pub fn proc_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.roots.proc.join(path)
    }

    /// The path below sysfs.
    pub fn sys_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.roots.sys.join(path)
    }

    /// The path at which Taffrail sees what the host calls `path`.
    pub fn root_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.roots.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The network interfaces by rtnetlink, as they were at `since` or later; nothing where only files tell of them.
    pub fn links(&self, since: Instant, buffer: &mut Vec<u8>) -> Option<Arc<Vec<links::Interface>>> {
        self.links.get(since, &*self.kernel, buffer).ok()
    }

    /// All that the kernel has of what `question` is after, by netlink. See [`netlink::dump`].
    ///
    /// # Errors
    /// What the kernel answers; [`ReadError::Absent`] where only files tell of the host.
    pub fn dump(
        &self,
        question: netlink::Question<'_>,
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        self.kernel.dump(question, buffer, each).map_err(|error| self.refused("netlink", error))
    }

    /// What an answer by a system call that tells of `what` means.
    pub fn refused(&self, what: &str, error: Errno) -> ReadError {
        match error {
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::NOENT => ReadError::Absent(what.into()),
            error => ReadError::Refused { what: what.to_owned(), reason: text::reason(error) },
        }
    }

    /// What the host calls the mount point that Taffrail sees at `path`: the root prefix is taken off.
    pub fn name_on_host<'p>(&self, path: &'p str) -> &'p str {
        let root = self.roots.root.to_str().unwrap_or("/").trim_end_matches('/');
        match path.strip_prefix(root) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_lose_the_root_prefix_and_nothing_else() {
        let host = Host::live(Roots { root: "/host".into(), ..Roots::default() });
        assert_eq!(host.name_on_host("/host"), "/");
        assert_eq!(host.name_on_host("/host/var"), "/var");
        assert_eq!(host.name_on_host("/hostile"), "/hostile");
        assert_eq!(host.root_path("/var"), Path::new("/host/var"));

        let plain = Host::live(Roots::default());
        assert_eq!(plain.name_on_host("/"), "/");
        assert_eq!(plain.name_on_host("/var"), "/var");
        assert_eq!(plain.root_path("/"), Path::new("/"));
    }
}
