//! Sets of families that are on or off together, as cAdvisor has them.

use crate::config::{Key, Section};

/// One set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Cpu,
    CpuDetails,
    Memory,
    MemoryDetails,
    Io,
    IoDetails,
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

const NAMES: [(&str, Set); 15] = [
    ("cpu", Set::Cpu),
    ("cpu_details", Set::CpuDetails),
    ("memory", Set::Memory),
    ("memory_details", Set::MemoryDetails),
    ("io", Set::Io),
    ("io_details", Set::IoDetails),
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
    "[\"cpu\", \"memory\", \"io\", \"network\", \"processes\", \"pressure\", \"oom\", \"times\", \"info\"]",
    "Sets of families. There are also cpu_details (user and system time, throttled time, bursts), memory_details \
     (mapped, dirty, reclaim, faults with those below), io_details (discards, blkio), descriptors (open files and \
     sockets, which takes privileges), hugetlb, and spec (quotas, shares, limits).",
);

/// Which sets are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets(u16);

impl Sets {
    pub(super) fn from_section(section: &mut Section<'_>) -> Sets {
        let mut sets = Sets::default();
        for name in section.get(&SETS) {
            match NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, set)) => sets.0 |= 1 << *set as u16,
                None => {
                    let known = NAMES.map(|(name, _)| name).join(", ");
                    section.wrong(SETS.info().name, format!("there is no set {name:?}; there are {known}"));
                }
            }
        }
        sets
    }

    pub(super) fn has(self, set: Set) -> bool {
        self.0 & 1 << set as u16 != 0
    }
}
