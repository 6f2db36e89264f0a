//! What [`super::LiveKernel`] can tell of a system that is no Unix. File systems and memory are sysinfo's to tell:
//! [`super::Portable`].

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sysinfo::System;

use super::errno::Errno;
use super::kernel::{FsStat, Limits, Uname};

/// Since it was first asked for.
pub(super) fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

pub(super) fn statfs(_: &Path) -> Result<FsStat, Errno> {
    Err(Errno::OPNOTSUPP)
}

pub(super) fn uname() -> Uname {
    Uname {
        domainname: String::new(),
        machine: System::cpu_arch(),
        nodename: System::host_name().unwrap_or_default(),
        release: System::kernel_version().unwrap_or_default(),
        sysname: "Windows".to_owned(),
        version: System::long_os_version().unwrap_or_default(),
    }
}

pub(super) fn page_size() -> u64 {
    4096
}

pub(super) fn limits() -> Option<Limits> {
    None
}
