//! System calls of [`super::LiveKernel`] on every Unix.

use std::ffi::CStr;
use std::path::Path;
use std::time::Duration;

use rustix::fs::StatVfsMountFlags;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::errno::Errno;
use super::kernel::{FsStat, Limits, Uname};

/// clock_gettime(2); on Linux `CLOCK_BOOTTIME`, which includes suspend.
pub(super) fn monotonic() -> Duration {
    #[cfg(target_os = "linux")]
    let time = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// statvfs(3).
pub(super) fn statfs(path: &Path) -> Result<FsStat, Errno> {
    let answer = rustix::fs::statvfs(path)?;
    Ok(FsStat {
        block_size: answer.f_frsize,
        blocks: answer.f_blocks,
        blocks_free: answer.f_bfree,
        blocks_available: answer.f_bavail,
        files: answer.f_files,
        files_free: answer.f_ffree,
        read_only: answer.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// uname(2).
pub(super) fn uname() -> Uname {
    let utsname = rustix::system::uname();
    let text = |text: &CStr| text.to_string_lossy().into_owned();
    Uname {
        #[cfg(target_os = "linux")]
        domainname: text(utsname.domainname()),
        #[cfg(not(target_os = "linux"))]
        domainname: String::new(),
        machine: text(utsname.machine()),
        nodename: text(utsname.nodename()),
        release: text(utsname.release()),
        sysname: text(utsname.sysname()),
        version: text(utsname.version()),
    }
}

/// sysconf(3), `_SC_PAGESIZE`.
pub(super) fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// getrlimit(2).
pub(super) fn limits() -> Option<Limits> {
    let limit = |resource| getrlimit(resource).current;
    Some(Limits { files: limit(Resource::Nofile), address_space: limit(Resource::As) })
}
