//! Driver statistics and link modes of network interfaces (ethtool).

use regex::Regex;

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::ethtool::{Driver, Link};
use crate::host::{Devices, Host, ReadError};

/// `SIOCETHTOOL` of the interfaces in `/sys/class/net`.
pub(super) struct Ethtool {
    interfaces: Devices,
    wanted_devices: Filter,
    wanted_counters: Filter,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Interfaces to leave out of the families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these interfaces; instead of `device_exclude`.");
const METRICS_INCLUDE: Key<Regex> =
    Key::new("metrics_include", "'.*'", "Driver statistics to include in the families, by the driver's names.");

impl Collector for Ethtool {
    const ABOUT: About = About {
        name: "ethtool",
        summary: "driver statistics and link modes of network interfaces",
        reads: &["SIOCETHTOOL", "/sys/class/net"],
        needs: "the network namespace of the host",
        on_by_default: Vocabularies::NONE,
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info(), METRICS_INCLUDE.info()],
        families: &[
            INFO.info(),
            COUNTER.info(),
            PORT.info(),
            LINK_FAMILIES[0].speed.info(),
            LINK_FAMILIES[0].autonegotiation.info(),
            LINK_FAMILIES[0].pause.info(),
            LINK_FAMILIES[0].asymmetric_pause.info(),
            LINK_FAMILIES[1].speed.info(),
            LINK_FAMILIES[1].autonegotiation.info(),
            LINK_FAMILIES[1].pause.info(),
            LINK_FAMILIES[1].asymmetric_pause.info(),
            AUTONEGOTIATION_ENABLED.info(),
        ],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Ethtool {
            interfaces: host.devices("class/net"),
            wanted_devices: section.optional_include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE),
            wanted_counters: Filter::new(Some(section.get(&METRICS_INCLUDE)), None),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (device, _) in self.interfaces.look(|_| true)? {
            if !self.wanted_devices.wants(device) {
                continue;
            }
            let info =
                cx.host.kernel.ethtool(device).map_err(|error| cx.host.refused(&format!("ethtool {device}"), error));
            let Some(info) = cx.part(info) else { continue };
            if let Some(Driver { name, version, firmware, bus, expansion_rom }) = &info.driver {
                reading.put(&INFO, [bus, device, name, expansion_rom, firmware, version], 1u64);
            }
            for (name, count) in &info.counters {
                if self.wanted_counters.wants(name) {
                    reading.put_keyed(&COUNTER, &family_key(name), [device], *count);
                }
            }
            if let Some(link) = &info.link {
                put_link(reading, device, link);
            }
        }
        Ok(())
    }
}

fn put_link(reading: &mut Gathered, device: &str, link: &Link) {
    for (name, bit) in PORTS {
        if Link::has(&link.supported, *bit) {
            reading.put(&PORT, [device, name], 1u64);
        }
    }
    const AUTONEGOTIATION: u32 = 6;
    const PAUSE: u32 = 13;
    const ASYMMETRIC_PAUSE: u32 = 14;
    for (families, words) in LINK_FAMILIES.iter().zip([&link.supported, &link.advertised]) {
        for Mode { bit, name, megabits, duplex } in MODES {
            if Link::has(words, *bit) {
                reading.put(&families.speed, [device, duplex, name], megabits * 1_000_000 / 8);
            }
        }
        reading.put(&families.autonegotiation, [device], Link::has(words, AUTONEGOTIATION));
        reading.put(&families.pause, [device], Link::has(words, PAUSE));
        reading.put(&families.asymmetric_pause, [device], Link::has(words, ASYMMETRIC_PAUSE));
    }
    reading.put(&AUTONEGOTIATION_ENABLED, [device], link.autonegotiates);
}

/// Turns a driver's counter name into a part of a family name. Expands `rx` and `tx`, and replaces invalid characters
/// with one underscore. Counters that all drivers have end in `_total`.
fn family_key(name: &str) -> String {
    const KNOWN: [&str; 7] =
        ["rx_bytes", "rx_dropped", "rx_errors", "rx_packets", "tx_bytes", "tx_errors", "tx_packets"];
    let mut cleaned = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        cleaned.push_str(rest[..start].trim_end_matches('_'));
        cleaned.push('_');
        rest = rest[start..].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    }
    cleaned.push_str(rest);
    let lower = cleaned.trim_start_matches('_').to_lowercase();
    // node_exporter does not expand a word that is the same as the one before. Dashboards use these names.
    let mut expanded = "";
    let word = |word| {
        let (word, found) = match word {
            "rx" if expanded != "rx" => ("received", "rx"),
            "tx" if expanded != "tx" => ("transmitted", "tx"),
            other => (other, ""),
        };
        expanded = found;
        word
    };
    let words: Vec<&str> = lower.split('_').map(word).collect();
    let suffix = if KNOWN.contains(&name) { "_total" } else { "" };
    words.join("_") + suffix
}

const INFO: Family<6> = Family::gauge(
    "node_ethtool_info",
    "Driver of the interface, always 1",
    ["bus_info", "device", "driver", "expansion_rom_version", "firmware_version", "version"],
);
const COUNTER: Family<1> = Family::untyped("node_ethtool_KEY", "Driver statistic of the interface", ["device"]);
const PORT: Family<2> = Family::gauge(
    "node_network_supported_port_info",
    "Supported port type of the interface, always 1",
    ["device", "type"],
);
const AUTONEGOTIATION_ENABLED: Family<1> =
    Family::gauge("node_network_autonegotiate", "1 if autonegotiation is enabled", ["device"]);

/// Families of the supported or of the advertised link modes.
struct LinkFamilies {
    speed: Family<3>,
    autonegotiation: Family<1>,
    pause: Family<1>,
    asymmetric_pause: Family<1>,
}

const LINK_FAMILIES: [LinkFamilies; 2] = [
    LinkFamilies {
        speed: Family::gauge(
            "node_network_supported_speed_bytes",
            "Supported link mode, in bytes per second",
            ["device", "duplex", "mode"],
        ),
        autonegotiation: Family::gauge(
            "node_network_autonegotiate_supported",
            "1 if the interface supports autonegotiation",
            ["device"],
        ),
        pause: Family::gauge("node_network_pause_supported", "1 if the interface supports pause frames", ["device"]),
        asymmetric_pause: Family::gauge(
            "node_network_asymmetricpause_supported",
            "1 if the interface supports asymmetric pause frames",
            ["device"],
        ),
    },
    LinkFamilies {
        speed: Family::gauge(
            "node_network_advertised_speed_bytes",
            "Advertised link mode, in bytes per second",
            ["device", "duplex", "mode"],
        ),
        autonegotiation: Family::gauge(
            "node_network_autonegotiate_advertised",
            "1 if the interface advertises autonegotiation",
            ["device"],
        ),
        pause: Family::gauge("node_network_pause_advertised", "1 if the interface advertises pause frames", ["device"]),
        asymmetric_pause: Family::gauge(
            "node_network_asymmetricpause_advertised",
            "1 if the interface advertises asymmetric pause frames",
            ["device"],
        ),
    },
];

/// Port bits of `enum ethtool_link_mode_bit_indices`.
const PORTS: &[(&str, u32)] = &[("TP", 7), ("AUI", 8), ("MII", 9), ("FIBRE", 10), ("BNC", 11), ("Backplane", 16)];

/// A link mode.
struct Mode {
    bit: u32,
    name: &'static str,
    megabits: u64,
    duplex: &'static str,
}

const fn full(bit: u32, name: &'static str, megabits: u64) -> Mode {
    Mode { bit, name, megabits, duplex: "full" }
}

const fn half(bit: u32, name: &'static str, megabits: u64) -> Mode {
    Mode { bit, name, megabits, duplex: "half" }
}

/// Link mode bits of the same enumeration.
const MODES: &[Mode] = &[
    half(0, "10baseT", 10),
    full(1, "10baseT", 10),
    half(2, "100baseT", 100),
    full(3, "100baseT", 100),
    half(4, "1000baseT", 1000),
    full(5, "1000baseT", 1000),
    full(12, "10000baseT", 10_000),
    full(15, "2500baseX", 2500),
    full(17, "1000baseKX", 1000),
    full(18, "10000baseKX4", 10_000),
    full(19, "10000baseKR", 10_000),
    full(20, "10000baseR_FEC", 10_000),
    full(21, "20000baseMLD2", 20_000),
    full(22, "20000baseKR2", 20_000),
    full(23, "40000baseKR4", 40_000),
    full(24, "40000baseCR4", 40_000),
    full(25, "40000baseSR4", 40_000),
    full(26, "40000baseLR4", 40_000),
    full(27, "56000baseKR4", 56_000),
    full(28, "56000baseCR4", 56_000),
    full(29, "56000baseSR4", 56_000),
    full(30, "56000baseLR4", 56_000),
    full(31, "25000baseCR", 25_000),
    full(32, "25000baseKR", 25_000),
    full(33, "25000baseSR", 25_000),
    full(34, "50000baseCR2", 50_000),
    full(35, "50000baseKR2", 50_000),
    full(36, "100000baseKR4", 100_000),
    full(37, "100000baseSR4", 100_000),
    full(38, "100000baseCR4", 100_000),
    full(39, "100000baseLR4_ER4", 100_000),
    full(40, "50000baseSR2", 50_000),
    full(41, "1000baseX", 1000),
    full(42, "10000baseCR", 10_000),
    full(43, "10000baseSR", 10_000),
    full(44, "10000baseLR", 10_000),
    full(45, "10000baseLRM", 10_000),
    full(46, "10000baseER", 10_000),
    full(47, "2500baseT", 2500),
    full(48, "5000baseT", 5000),
    full(52, "50000baseKR", 50_000),
    full(53, "50000baseSR", 50_000),
    full(54, "50000baseCR", 50_000),
    full(55, "50000baseLR_ER_FR", 50_000),
    full(56, "50000baseDR", 50_000),
    full(57, "100000baseKR2", 100_000),
    full(58, "100000baseSR2", 100_000),
    full(59, "100000baseCR2", 100_000),
    full(60, "100000baseLR2_ER2_FR2", 100_000),
    full(61, "100000baseDR2", 100_000),
    full(62, "200000baseKR4", 200_000),
    full(63, "200000baseSR4", 200_000),
    full(64, "200000baseLR4_ER4_FR4", 200_000),
    full(65, "200000baseDR4", 200_000),
    full(66, "200000baseCR4", 200_000),
    full(67, "100baseT1", 100),
    full(68, "1000baseT1", 1000),
    full(69, "400000baseKR8", 400_000),
    full(70, "400000baseSR8", 400_000),
    full(71, "400000baseLR8_ER8_FR8", 400_000),
    full(72, "400000baseDR8", 400_000),
    full(73, "400000baseCR8", 400_000),
    full(75, "100000baseKR", 100_000),
    full(76, "100000baseSR", 100_000),
    full(77, "100000baseLR_ER_FR", 100_000),
    full(78, "100000baseCR", 100_000),
    full(79, "100000baseDR", 100_000),
    full(80, "200000baseKR2", 200_000),
    full(81, "200000baseSR2", 200_000),
    full(82, "200000baseLR2_ER2_FR2", 200_000),
    full(83, "200000baseDR2", 200_000),
    full(84, "200000baseCR2", 200_000),
    full(85, "400000baseKR4", 400_000),
    full(86, "400000baseSR4", 400_000),
    full(87, "400000baseLR4_ER4_FR4", 400_000),
    full(88, "400000baseDR4", 400_000),
    full(89, "400000baseCR4", 400_000),
    half(90, "100baseFX", 100),
    full(91, "100baseFX", 100),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_counters_become_names_of_families() {
        let keys = [
            ("rx_errors", "received_errors_total"),
            ("port.rx_errors", "port_received_errors"),
            ("Queue[0] AllocFails", "queue_0_allocfails"),
            ("Tx LPI entry count", "transmitted_lpi_entry_count"),
            ("[3]: tx_bytes", "3_transmitted_bytes"),
            ("     err", "err"),
            ("txq_empty", "txq_empty"),
            ("tx_tx_timeouts", "transmitted_tx_timeouts"),
        ];
        for (name, expected) in keys {
            assert_eq!(family_key(name), expected, "{name:?}");
        }
    }
}
