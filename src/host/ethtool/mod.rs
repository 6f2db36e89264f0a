//! What the driver of a network interface tells, by `SIOCETHTOOL`: include/uapi/linux/ethtool.h.

#[cfg(target_os = "linux")]
mod ask;

#[cfg(not(target_os = "linux"))]
use super::errno::Errno;
#[cfg(target_os = "linux")]
pub use ask::ask;

/// What a driver tells of its interface.
#[derive(Clone, Debug, Default)]
pub struct Ethtool {
    /// Who the driver is.
    pub driver: Option<Driver>,
    /// The driver's own counters, by the names that it gives them.
    pub counters: Vec<(String, u64)>,
    /// What the link can and shall do.
    pub link: Option<Link>,
}

/// Who a driver is: `struct ethtool_drvinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of the device's firmware.
    pub firmware: String,
    /// Where the device is on its bus.
    pub bus: String,
    /// The version of the device's expansion ROM.
    pub expansion_rom: String,
}

/// What a link can and shall do: `struct ethtool_link_settings`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether both sides settle the speed.
    pub autonegotiates: bool,
    /// What it can, as bits numbered by `enum ethtool_link_mode_bit_indices`.
    pub supported: Vec<u32>,
    /// What it offers to the other side, numbered alike.
    pub advertised: Vec<u32>,
}

impl Link {
    /// Whether the bit `number` of `words` is set.
    pub fn has(words: &[u32], number: u32) -> bool {
        words.get(number as usize / 32).is_some_and(|word| word & 1 << (number % 32) != 0)
    }
}

/// Other systems are not asked.
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
