//! Storage collectors: disks, arrays, local and network file systems.

mod bcache;
mod bcachefs;
mod btrfs;
mod disk_tags;
mod diskstats;
mod dmmultipath;
mod drbd;
mod fibrechannel;
mod filesystem;
mod mdadm;
mod mountstats;
mod nfs;
mod nfsd;
mod nvme;
mod nvmesubsystem;
mod rpc;
pub(super) mod smart;
mod statfs;
mod tapestats;
mod xfs;
mod zfs;

pub(super) use self::filesystem::{DeviceSize, DeviceSizes};
use super::framework::Entry;

/// Collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<bcache::Bcache>(),
    Entry::of::<bcachefs::Bcachefs>(),
    Entry::of::<btrfs::Btrfs>(),
    Entry::of::<diskstats::Diskstats>(),
    Entry::of::<dmmultipath::Dmmultipath>(),
    Entry::of::<drbd::Drbd>(),
    Entry::of::<fibrechannel::Fibrechannel>(),
    Entry::of::<filesystem::Filesystem>(),
    Entry::of::<mdadm::Mdadm>(),
    Entry::of::<mountstats::Mountstats>(),
    Entry::of::<nfs::Nfs>(),
    Entry::of::<nfsd::Nfsd>(),
    Entry::of::<nvme::Nvme>(),
    Entry::of::<nvmesubsystem::Nvmesubsystem>(),
    Entry::of::<smart::Smart>(),
    Entry::of::<tapestats::Tapestats>(),
    Entry::of::<xfs::Xfs>(),
    Entry::of::<zfs::Zfs>(),
];
