//! Hardware collectors: sensors, power, buses, firmware.

mod dmi;
mod drm;
mod edac;
mod hwmon;
mod machine;
#[cfg(feature = "nvidia")]
mod nvidia;
mod pcidevice;
mod powersupplyclass;
mod rapl;
mod thermal_zone;
mod watchdog;

use super::framework::Entry;

/// Collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<dmi::Dmi>(),
    Entry::of::<drm::Drm>(),
    Entry::of::<edac::Edac>(),
    Entry::of::<hwmon::Hwmon>(),
    Entry::of::<machine::Machine>(),
    #[cfg(feature = "nvidia")]
    Entry::of::<nvidia::Nvidia>(),
    Entry::of::<pcidevice::Pcidevice>(),
    Entry::of::<powersupplyclass::Powersupplyclass>(),
    Entry::of::<rapl::Rapl>(),
    Entry::of::<thermal_zone::ThermalZone>(),
    Entry::of::<watchdog::Watchdog>(),
];
