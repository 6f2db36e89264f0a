//! The running kernel.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::btrfs::{self, Volume};
use super::calls;
use super::errno::Errno;
use super::ethtool::{self, Ethtool};
use super::file;
use super::kernel::{FsStat, Kernel, Limits, Uname};
use super::netlink::{self, PEERS, Question, Socket};
use super::perf::{self, Counter, Event};
use super::timex::{self, Timex};
use crate::encode::Timestamp;

/// The running kernel.
#[derive(Debug, Default)]
pub struct LiveKernel {
    /// Whether the trees belong to another kernel, which system calls cannot reach.
    has_recorded_trees: bool,
    /// A socket for each peer, reused for each dump.
    sockets: Mutex<[Option<Socket>; PEERS]>,
}

impl LiveKernel {
    /// The running kernel, for a host whose procfs is at `proc`.
    pub fn of(proc: &Path) -> Self {
        LiveKernel { has_recorded_trees: !file::is_procfs(proc), ..LiveKernel::default() }
    }

    /// Requires that the trees belong to this kernel; `EOPNOTSUPP` otherwise.
    pub(super) fn is_the_hosts(&self) -> Result<(), Errno> {
        if self.has_recorded_trees { Err(Errno::OPNOTSUPP) } else { Ok(()) }
    }
}

impl Kernel for LiveKernel {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        calls::monotonic()
    }

    fn statfs(&self, path: &Path) -> Result<FsStat, Errno> {
        calls::statfs(path)
    }

    fn machine(&self) -> String {
        calls::uname().machine
    }

    fn hostname(&self) -> String {
        calls::uname().nodename
    }

    fn page_size(&self) -> u64 {
        calls::page_size()
    }

    fn uname(&self) -> Option<Uname> {
        self.is_the_hosts().ok()?;
        Some(calls::uname())
    }

    fn limits(&self) -> Option<Limits> {
        self.is_the_hosts().ok()?;
        calls::limits()
    }

    fn timex(&self) -> Result<Timex, Errno> {
        timex::read()
    }

    fn dump(&self, question: Question<'_>, buffer: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        self.is_the_hosts()?;
        let lock = || self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock()[question.peer as usize].take();
        let socket = kept.map_or_else(|| Socket::open(question.peer), Ok)?;
        netlink::dump(&socket, question, buffer, each)?;
        lock()[question.peer as usize] = Some(socket);
        Ok(())
    }

    fn ethtool(&self, device: &str) -> Result<Ethtool, Errno> {
        self.is_the_hosts()?;
        ethtool::ask(device)
    }

    fn btrfs(&self, mount_point: &Path) -> Result<Volume, Errno> {
        self.is_the_hosts()?;
        btrfs::ask(mount_point)
    }

    fn counter(&self, event: Event, cpu: u32) -> Result<Box<dyn Counter>, Errno> {
        self.is_the_hosts()?;
        perf::open(event, cpu)
    }
}
