//! Memory collectors: usage, allocators, paging, swap, pressure.

mod buddyinfo;
mod ksmd;
mod meminfo;
mod meminfo_numa;
pub(super) mod pressure;
mod slabinfo;
mod swap;
mod vmstat;
mod zoneinfo;

use super::framework::Entry;

/// Collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<buddyinfo::Buddyinfo>(),
    Entry::of::<ksmd::Ksmd>(),
    Entry::of::<meminfo::Meminfo>(),
    Entry::of::<meminfo_numa::MeminfoNuma>(),
    Entry::of::<pressure::Pressure>(),
    Entry::of::<slabinfo::Slabinfo>(),
    Entry::of::<swap::Swap>(),
    Entry::of::<vmstat::Vmstat>(),
    Entry::of::<zoneinfo::Zoneinfo>(),
];
