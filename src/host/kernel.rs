//! What collectors need from system calls.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::btrfs::Volume;
use super::errno::Errno;
use super::ethtool::Ethtool;
use super::netlink::Question;
use super::perf::{Counter, Event};
use super::timex::Timex;
use crate::encode::Timestamp;
use crate::system::{LocalStream, connect_within};

/// The size of a mounted file system, as statfs(2) gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsStat {
    /// The size of a block, in bytes.
    pub block_size: u64,
    /// Total blocks.
    pub blocks: u64,
    /// Free blocks, including those reserved for root.
    pub blocks_free: u64,
    /// Blocks available to non-root users.
    pub blocks_available: u64,
    /// Total inodes; 0 if the file system has no fixed number.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Whether the mount is read-only.
    pub read_only: bool,
}

/// Names of the host: uname(2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uname {
    /// NIS domain.
    pub domainname: String,
    /// Hardware, such as `x86_64`.
    pub machine: String,
    /// The host's name.
    pub nodename: String,
    /// The kernel's release.
    pub release: String,
    /// `Linux`.
    pub sysname: String,
    /// The kernel's build.
    pub version: String,
}

/// Resource limits of this process; `None` for unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub files: Option<u64>,
    /// Bytes of address space.
    pub address_space: Option<u64>,
}

/// The host's system calls.
pub trait Kernel: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// A monotonic clock with an arbitrary start, for elapsed times.
    fn monotonic(&self) -> Duration;

    /// The size of the file system mounted at `path`, a path as Taffrail sees it.
    ///
    /// # Errors
    /// The error of statfs(2).
    fn statfs(&self, path: &Path) -> Result<FsStat, Errno>;

    /// The hardware's name, such as `x86_64`: uname(2), `machine`.
    fn machine(&self) -> String;

    /// The host's name: uname(2), `nodename`.
    fn hostname(&self) -> String;

    /// The size of a memory page, in bytes.
    fn page_size(&self) -> u64;

    /// Names of the host; `None` for a recorded host.
    fn uname(&self) -> Option<Uname> {
        None
    }

    /// Resource limits of this process; `None` for a recorded host.
    fn limits(&self) -> Option<Limits> {
        None
    }

    /// State of the clock's synchronization.
    ///
    /// # Errors
    /// The error of adjtimex(2).
    fn timex(&self) -> Result<Timex, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Hands all answers to `question` to `each`; see [`dump`](super::netlink::dump).
    ///
    /// # Errors
    /// The kernel's error; `EOPNOTSUPP` for a recorded host.
    fn dump(&self, question: Question<'_>, buffer: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let _ = (question, buffer, each);
        Err(Errno::OPNOTSUPP)
    }

    /// Data of the driver of the network interface `device`.
    ///
    /// # Errors
    /// The driver's error; `EOPNOTSUPP` for a recorded host.
    fn ethtool(&self, device: &str) -> Result<Ethtool, Errno> {
        let _ = device;
        Err(Errno::OPNOTSUPP)
    }

    /// Devices of the Btrfs mounted at `mount_point`, a path as Taffrail sees it.
    ///
    /// # Errors
    /// The error of ioctl(2); `EOPNOTSUPP` for a recorded host.
    fn btrfs(&self, mount_point: &Path) -> Result<Volume, Errno> {
        let _ = mount_point;
        Err(Errno::OPNOTSUPP)
    }

    /// Starts a counter of `event` on the CPU `cpu`.
    ///
    /// # Errors
    /// The error of perf_event_open(2); `EOPNOTSUPP` for a recorded host.
    fn counter(&self, event: Event, cpu: u32) -> Result<Box<dyn Counter>, Errno> {
        let _ = (event, cpu);
        Err(Errno::OPNOTSUPP)
    }

    /// A connection to the socket of a service of the host, which must take it within `patience`.
    ///
    /// # Errors
    /// The error of connect(2); `WouldBlock` if the service has not taken it.
    fn connect(&self, socket: &Path, patience: Duration) -> io::Result<LocalStream> {
        connect_within(socket, patience)
    }
}
