//! What the kernel says by system calls, as collectors ask for it.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::btrfs::Volume;
use super::errno::Errno;
use super::ethtool::Ethtool;
use super::netlink::Question;
use super::perf::{Counter, Event};
use super::timex::Timex;
use crate::system::{LocalStream, connect_within};

/// A moment, in nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment in seconds.
    pub fn seconds(self) -> f64 {
        const NANOSECONDS: i64 = 1_000_000_000;
        // Apart, for today's nanoseconds do not fit the digits of a float.
        self.0.div_euclid(NANOSECONDS) as f64 + self.0.rem_euclid(NANOSECONDS) as f64 / 1e9
    }

    /// The moment in whole milliseconds.
    pub fn milliseconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment that many whole seconds after the beginning of 1970, if it is not too far away.
    pub fn from_seconds(seconds: u64) -> Option<Timestamp> {
        i64::try_from(seconds).ok()?.checked_mul(1_000_000_000).map(Timestamp)
    }

    /// The nearest multiple of `unit`, as Telegraf rounds its timestamps.
    pub fn rounded_to(self, unit: Duration) -> Timestamp {
        let unit = i64::try_from(unit.as_nanos()).unwrap_or(i64::MAX).max(1);
        let down = self.0.rem_euclid(unit);
        Timestamp(if down * 2 >= unit { self.0 - down + unit } else { self.0 - down })
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// The size of a mounted file system, as statfs(2) gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsStat {
    /// The size of a block, in bytes.
    pub block_size: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks, those reserved for root among them.
    pub blocks_free: u64,
    /// Free blocks for everyone.
    pub blocks_available: u64,
    /// All inodes; 0 where the file system has no fixed number.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Whether the mount is read-only.
    pub read_only: bool,
}

/// What the host calls itself: uname(2).
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

/// What this process may have at the most; none where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub files: Option<u64>,
    /// Bytes of address space.
    pub address_space: Option<u64>,
}

/// The part of the host that is not files.
pub trait Kernel: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// A clock that no one sets, from any start: for elapsed times.
    fn monotonic(&self) -> Duration;

    /// The size of the file system mounted at `path`, a path as Taffrail sees it.
    ///
    /// # Errors
    /// What statfs(2) answers.
    fn statfs(&self, path: &Path) -> Result<FsStat, Errno>;

    /// The hardware's name, such as `x86_64`: uname(2), `machine`.
    fn machine(&self) -> String;

    /// The host's name: uname(2), `nodename`.
    fn hostname(&self) -> String;

    /// The size of a memory page, in bytes.
    fn page_size(&self) -> u64;

    /// What the host calls itself; nothing where only files tell of the host.
    fn uname(&self) -> Option<Uname> {
        None
    }

    /// What this process may have at the most; nothing where only files tell of the host.
    fn limits(&self) -> Option<Limits> {
        None
    }

    /// What keeps the clock right.
    ///
    /// # Errors
    /// What adjtimex(2) answers.
    fn timex(&self) -> Result<Timex, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Hands all answers to `question` to `each`; see [`dump`](super::netlink::dump).
    ///
    /// # Errors
    /// What the kernel answers; `EOPNOTSUPP` where only files tell of the host.
    fn dump(&self, question: Question<'_>, buffer: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let _ = (question, buffer, each);
        Err(Errno::OPNOTSUPP)
    }

    /// What the driver of the network interface `device` tells.
    ///
    /// # Errors
    /// What the driver answers; `EOPNOTSUPP` where only files tell of the host.
    fn ethtool(&self, device: &str) -> Result<Ethtool, Errno> {
        let _ = device;
        Err(Errno::OPNOTSUPP)
    }

    /// What the file system of Btrfs that is mounted at `mount_point`, a path as Taffrail sees it, tells of its devices.
    ///
    /// # Errors
    /// What it answers; `EOPNOTSUPP` where only files tell of the host.
    fn btrfs(&self, mount_point: &Path) -> Result<Volume, Errno> {
        let _ = mount_point;
        Err(Errno::OPNOTSUPP)
    }

    /// A counter of `event` on the CPU `cpu`, which counts from now on.
    ///
    /// # Errors
    /// What perf_event_open(2) answers; `EOPNOTSUPP` where only files tell of the host.
    fn counter(&self, event: Event, cpu: u32) -> Result<Box<dyn Counter>, Errno> {
        let _ = (event, cpu);
        Err(Errno::OPNOTSUPP)
    }

    /// A connection to the socket of a service of the host, which must take it within `patience`.
    ///
    /// # Errors
    /// What connect(2) answers; `WouldBlock` if the service has not taken it.
    fn connect(&self, socket: &Path, patience: Duration) -> io::Result<LocalStream> {
        connect_within(socket, patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rounded_to_the_nearest_unit() {
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp(1_499_999_999).rounded_to(second), Timestamp(1_000_000_000));
        assert_eq!(Timestamp(1_500_000_000).rounded_to(second), Timestamp(2_000_000_000));
        assert_eq!(Timestamp(1_795_213_214_250_000_000).seconds(), 1_795_213_214.25);
        assert_eq!(Timestamp(7).rounded_to(Duration::from_nanos(1)), Timestamp(7));
    }
}
