//! Kernel collectors: processes, clocks, limits, sysctls, versions.

mod cgroups;
mod entropy;
mod filefd;
mod kernel_hung;
mod os;
pub(super) mod process;
mod processes;
mod procstat;
mod selinux;
mod stat;
mod sysctl;
mod time;
mod timex;
mod uname;

use super::framework::Entry;

/// Collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<cgroups::Cgroups>(),
    Entry::of::<entropy::Entropy>(),
    Entry::of::<filefd::Filefd>(),
    Entry::of::<kernel_hung::KernelHung>(),
    Entry::of::<os::Os>(),
    Entry::of::<process::Process>(),
    Entry::of::<processes::Processes>(),
    Entry::of::<procstat::Procstat>(),
    Entry::of::<selinux::Selinux>(),
    Entry::of::<stat::Stat>(),
    Entry::of::<sysctl::Sysctl>(),
    Entry::of::<time::Time>(),
    Entry::of::<timex::Timex>(),
    Entry::of::<uname::Uname>(),
];
