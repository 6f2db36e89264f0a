//! Sets of families that are enabled together, as in cAdvisor.

use crate::config::{Key, Section};

/// A set of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Cpu,
    CpuDetails,
    Memory,
    MemoryDetails,
    Io,
    IoDetails,
    Disk,
    Network,
    Processes,
    Descriptors,
    Pressure,
    Oom,
    Hugetlb,
    Spec,
    Times,
    Info,
}

const NAMES: [(&str, Set); 16] = [
    ("cpu", Set::Cpu),
    ("cpu_details", Set::CpuDetails),
    ("memory", Set::Memory),
    ("memory_details", Set::MemoryDetails),
    ("io", Set::Io),
    ("io_details", Set::IoDetails),
    ("disk", Set::Disk),
    ("network", Set::Network),
    ("processes", Set::Processes),
    ("descriptors", Set::Descriptors),
    ("pressure", Set::Pressure),
    ("oom", Set::Oom),
    ("hugetlb", Set::Hugetlb),
    ("spec", Set::Spec),
    ("times", Set::Times),
    ("info", Set::Info),
];

pub(super) const SETS: Key<Vec<String>> = Key::new(
    "sets",
    "[\"cpu\", \"memory\", \"io\", \"disk\", \"network\", \"processes\", \"pressure\", \"oom\", \"times\", \"info\"]",
    "Sets of families. Other sets: cpu_details (user and system time, bursts), memory_details (mapped, dirty, reclaim, hierarchical faults), io_details (discards, blkio), descriptors (open files and sockets; needs privileges), hugetlb, spec (quotas, shares, limits).",
);

/// The enabled sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets(u16);

impl Sets {
    pub(super) fn from_section(section: &mut Section<'_>) -> Sets {
        let mut sets = Sets::default();
        let wanted = section.some_of(&SETS, &NAMES.map(|(name, _)| name));
        for (_, set) in NAMES.iter().filter(|(name, _)| wanted.iter().any(|wanted| wanted == name)) {
            sets.0 |= 1 << *set as u16;
        }
        sets
    }

    pub(super) fn has(self, set: Set) -> bool {
        self.0 & 1 << set as u16 != 0
    }
}
