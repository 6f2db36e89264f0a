//! What procfs-core reads below `/proc`, as the samples that Taffrail exposes for it.

mod devices;
mod kernel;

use std::collections::BTreeMap;
use std::path::Path;

use procfs_core::{ExplicitSystemInfo, ProcResult};

use self::devices::*;
use self::kernel::*;

/// A part of `/proc` that both read.
pub(super) struct Subject {
    pub(super) name: &'static str,
    /// Which samples of Taffrail's are compared.
    pub(super) is_part: fn(&str) -> bool,
    /// The samples that procfs-core gives; an error if the file is not there or malformed.
    pub(super) read: fn(&Path) -> ProcResult<Samples>,
    /// Which samples both sides must have.
    pub(super) scope: Scope,
}

/// Which samples both sides must have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All.
    Same,
    /// Taffrail's: it leaves some devices and keys out by default.
    Ours,
    /// procfs-core's: it knows the names of its fields.
    Theirs,
}

/// Samples by series, in the form of the text exposition.
pub(super) type Samples = BTreeMap<String, f64>;

const TICKS_PER_SECOND: u64 = 100;
const SYSTEM: ExplicitSystemInfo = ExplicitSystemInfo {
    boot_time_secs: 0,
    ticks_per_second: TICKS_PER_SECOND,
    page_size: 4096,
    is_little_endian: true,
};

pub(super) const SUBJECTS: [Subject; 17] = [
    Subject { name: "arp", is_part: |name| name == "node_arp_entries", read: arp, scope: Scope::Same },
    Subject { name: "cgroups", is_part: |name| name.starts_with("node_cgroups_"), read: cgroups, scope: Scope::Same },
    Subject { name: "cpuinfo", is_part: |name| name == "node_cpu_info", read: cpuinfo, scope: Scope::Same },
    Subject { name: "diskstats", is_part: is_of_disks, read: diskstats, scope: Scope::Ours },
    Subject { name: "limits", is_part: |name| name == "process_max_fds", read: limits, scope: Scope::Same },
    Subject { name: "loadavg", is_part: |name| name.starts_with("node_load"), read: loadavg, scope: Scope::Same },
    Subject { name: "meminfo", is_part: is_of_memory, read: meminfo, scope: Scope::Theirs },
    Subject {
        name: "mountinfo",
        is_part: |name| name == "node_filesystem_readonly",
        read: mountinfo,
        scope: Scope::Ours,
    },
    Subject {
        name: "mountstats",
        is_part: |name| name == "node_mountstats_nfs_age_seconds_total",
        read: mountstats,
        scope: Scope::Theirs,
    },
    Subject { name: "net/dev", is_part: is_of_interfaces, read: net_dev, scope: Scope::Ours },
    Subject { name: "net/snmp", is_part: is_of_snmp, read: snmp, scope: Scope::Ours },
    Subject { name: "net/udp", is_part: |name| name == "node_udp_queues", read: udp, scope: Scope::Same },
    Subject { name: "pressure", is_part: is_of_pressure, read: pressure, scope: Scope::Same },
    Subject { name: "processes", is_part: is_of_processes, read: processes, scope: Scope::Same },
    Subject { name: "self/stat", is_part: is_of_process, read: process, scope: Scope::Same },
    Subject { name: "stat", is_part: is_of_stat, read: stat, scope: Scope::Same },
    Subject { name: "vmstat", is_part: |name| name.starts_with("node_vmstat_"), read: vmstat, scope: Scope::Ours },
];

fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

/// The sample without labels.
fn plain(name: &str, value: f64) -> (String, f64) {
    (name.to_owned(), value)
}
