//! System calls of [`super::LiveKernel`] on Windows. [`super::Portable`] provides file systems and memory.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sysinfo::System;

use super::errno::Errno;
use super::kernel::{FsStat, Limits, Uname};

/// Time since the first call.
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
