//! Data of network drivers by `SIOCETHTOOL`: include/uapi/linux/ethtool.h.

#[cfg(target_os = "linux")]
mod ask;

#[cfg(not(target_os = "linux"))]
use super::errno::Errno;
#[cfg(target_os = "linux")]
pub use ask::ask;

/// Data of a driver about its interface.
#[derive(Clone, Debug, Default)]
pub struct Ethtool {
    /// The driver.
    pub driver: Option<Driver>,
    /// The driver's counters by name.
    pub counters: Vec<(String, u64)>,
    /// Link settings.
    pub link: Option<Link>,
}

/// A driver: `struct ethtool_drvinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of the device's firmware.
    pub firmware: String,
    /// The device's bus address.
    pub bus: String,
    /// The version of the device's expansion ROM.
    pub expansion_rom: String,
}

/// Link settings: `struct ethtool_link_settings`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether autonegotiation is on.
    pub autonegotiates: bool,
    /// Supported modes, as bits numbered by `enum ethtool_link_mode_bit_indices`.
    pub supported: Vec<u32>,
    /// Advertised modes, likewise.
    pub advertised: Vec<u32>,
}

impl Link {
    /// Whether the bit `number` of `words` is set.
    pub fn has(words: &[u32], number: u32) -> bool {
        words.get(number as usize / 32).is_some_and(|word| word & 1 << (number % 32) != 0)
    }
}

/// Not supported on other systems.
///
/// # Errors
/// `EOPNOTSUPP`.
#[cfg(not(target_os = "linux"))]
pub fn ask(_: &str) -> Result<Ethtool, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_across_words() {
        assert!(Link::has(&[0, 1 << 3], 35));
        assert!(!Link::has(&[0, 1 << 3], 34));
        assert!(!Link::has(&[u32::MAX], 32));
    }
}
