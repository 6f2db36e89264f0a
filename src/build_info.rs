//! Version and build of Taffrail, which agents and gateways report.

use crate::encode::{Family, FamilyWriter};

/// Architecture, operating system and version.
pub const BUILD: [&str; 3] = [std::env::consts::ARCH, std::env::consts::OS, env!("CARGO_PKG_VERSION")];

/// The family that identifies a target of Prometheus as Taffrail.
pub const FAMILY: Family<3> =
    Family::gauge("taffrail_build_info", "Version and build of Taffrail, always 1", ["arch", "os", "version"]);

/// Writes the family.
pub fn write(out: &mut FamilyWriter<'_>) {
    out.family(&FAMILY).sample(BUILD, 1u64);
}
