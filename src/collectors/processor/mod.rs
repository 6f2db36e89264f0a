//! Processor collectors: CPU time, frequency, load, interrupts, perf events.

mod cpu;
mod cpu_list;
mod cpu_vulnerabilities;
mod cpufreq;
mod interrupts;
mod irqs;
mod loadavg;
mod perf;
mod schedstat;
mod softirqs;

use super::framework::Entry;

/// Collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<cpu::Cpu>(),
    Entry::of::<cpu_vulnerabilities::CpuVulnerabilities>(),
    Entry::of::<cpufreq::Cpufreq>(),
    Entry::of::<interrupts::Interrupts>(),
    Entry::of::<loadavg::Loadavg>(),
    Entry::of::<perf::Perf>(),
    Entry::of::<schedstat::Schedstat>(),
    Entry::of::<softirqs::Softirqs>(),
];
