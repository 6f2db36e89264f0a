//! The host as a value: the mount points of its trees, and its system calls. Collectors read only through it, so a recorded
//! host serves as well as a live one.

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
pub mod processes;
mod retained;
pub mod text;
pub mod timex;
pub mod watched;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::blocking::BlockingCalls;
use errno::Errno;
use may_hang::{MayHang, Of};
use retained::Retained;

pub use changes::Changes;
pub use devices::{Device, Devices};
pub use file::{Directory, HostFile, SharedFile};
pub use kernel::{FsStat, Kernel, Limits, Uname};
pub use live::LiveKernel;
pub use portable::Portable;
pub use processes::{ProcessStat, SharedProcesses};
pub use text::{Line, ReadError, Text};
pub use watched::Watched;

/// The host's trees and its kernel.
#[derive(Clone)]
pub struct Host {
    roots: Roots,
    changes: Arc<Changes>,
    portable: Option<Arc<Portable>>,
    links: Arc<links::SharedLinks>,
    processes: SharedProcesses,
    shared: Arc<Mutex<HashMap<PathBuf, SharedFile>>>,
    may_hang: Arc<MayHang>,
    /// Absent for a recorded host.
    retained: Option<Arc<Retained>>,
    /// System calls: clocks, file system sizes, names.
    pub kernel: Arc<dyn Kernel>,
}

/// The mount points of the host's trees as Taffrail sees them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Roots {
    /// procfs, `/proc` on the host itself.
    pub proc: PathBuf,
    /// sysfs, `/sys` on the host itself.
    pub sys: PathBuf,
    /// The root file system: a prefix of mount points, `/etc` and `/run` that labels omit.
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
        let (may_hang, retained) = (MayHang::of_process(), Some(Retained::of_process()));
        Host { changes: Arc::new(changes), may_hang, retained, ..Host::new(roots, Arc::new(kernel)) }
    }

    /// A host read by the crate sysinfo, which supports every system.
    pub fn portable(roots: Roots) -> Self {
        Host { portable: Some(Arc::default()), ..Host::live(roots) }
    }

    /// The portable backend, if it is used instead of files and system calls.
    pub fn by_sysinfo(&self) -> Option<&Portable> {
        self.portable.as_deref()
    }

    /// A host whose trees are at `roots`, with any kernel: a recorded one in tests.
    pub fn new(roots: Roots, kernel: Arc<dyn Kernel>) -> Self {
        Host {
            processes: SharedProcesses::new(roots.proc.join("")),
            roots,
            changes: Arc::default(),
            portable: None,
            links: Arc::default(),
            shared: Arc::default(),
            may_hang: Arc::default(),
            retained: None,
            kernel,
        }
    }

    /// Added and removed devices and modules.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Blocking calls of one kind to services, of which at most `max` occupy a thread. All callers of this host share them.
    pub fn questions<Q, A>(&self, max: usize) -> BlockingCalls<Q, A>
    where
        Q: Clone + Eq + Hash + Send + Sync + 'static,
        A: Clone + Send + 'static,
    {
        self.may_hang.of_kind(Of::Services, max)
    }

    /// As [`Host::questions`], for file systems: on threads without the process's descriptors, so requests are paths and
    /// results are values.
    pub fn questions_to_mounts<Q, A>(&self, max: usize) -> BlockingCalls<Q, A>
    where
        Q: Clone + Eq + Hash + Send + Sync + 'static,
        A: Clone + Send + 'static,
    {
        self.may_hang.of_kind(Of::Mounts, max)
    }

    /// State of a collector that outlives a reload, for counters that must not return to 0. Its first call creates it, until
    /// the process ends. Each call to a recorded host creates its own.
    pub fn retained<T: Send + 'static>(&self, new: impl FnOnce() -> T) -> Arc<Mutex<T>> {
        match &self.retained {
            Some(retained) => retained.get(&self.roots, new),
            None => Arc::new(Mutex::new(new())),
        }
    }

    /// The number of mounts and services that hang; each occupies a thread.
    pub fn hanging(&self) -> usize {
        self.may_hang.hanging()
    }

    /// A file below procfs.
    pub fn proc(&self, path: impl AsRef<Path>) -> HostFile {
        HostFile::new(self.roots.proc.join(path)).watching(&self.changes)
    }

    /// A file below procfs that several collectors read.
    pub fn shared_proc(&self, path: impl AsRef<Path>) -> SharedFile {
        // Every other shared file is generated as a whole.
        let is_one_record = path.as_ref() != Path::new("vmstat");
        let path = self.proc_path(path);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(path.clone()).or_insert_with(|| SharedFile::new(path, is_one_record)).clone()
    }

    /// The processes, read once for all collectors of a round.
    pub fn processes(&self) -> &SharedProcesses {
        &self.processes
    }

    /// A file below sysfs.
    pub fn sys(&self, path: impl AsRef<Path>) -> HostFile {
        HostFile::new(self.roots.sys.join(path)).one_record().watching(&self.changes)
    }

    /// The devices in a directory below sysfs.
    pub fn devices(&self, path: impl AsRef<Path>) -> Devices {
        // Entries in `fs` and `kernel` appear without an event.
        let are_announced = ["block", "bus", "class", "devices"].iter().any(|folder| path.as_ref().starts_with(folder));
        Devices::new(self.roots.sys.join(path)).watching(&self.changes, are_announced)
    }

    /// The devices in a directory below procfs, which appears with a module.
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

    /// The network interfaces by rtnetlink, read at `since` or later; `None` for a recorded host.
    pub fn links(&self, since: Instant, buffer: &mut Vec<u8>) -> Option<Arc<Vec<links::Interface>>> {
        self.links.get(since, &*self.kernel, buffer).ok()
    }

    /// A netlink dump. See [`netlink::dump`].
    ///
    /// # Errors
    /// The kernel's error; [`ReadError::Absent`] for a recorded host.
    pub fn dump(
        &self,
        question: netlink::Question<'_>,
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        self.kernel.dump(question, buffer, each).map_err(|error| self.refused("netlink", error))
    }

    /// The meaning of an error of a system call about `what`.
    pub fn refused(&self, what: &str, error: Errno) -> ReadError {
        match error {
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::NOENT => ReadError::Absent(what.into()),
            error => ReadError::Refused { what: what.to_owned(), reason: text::reason(error) },
        }
    }

    /// The host's name of the mount point that Taffrail sees at `path`: without the root prefix.
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
