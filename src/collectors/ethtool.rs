//! What the drivers of network interfaces count and what their links can do.

use regex::Regex;

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
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

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Interfaces without families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these interfaces; instead of `device_exclude`.");
const METRICS_INCLUDE: Key<Regex> =
    Key::new("metrics_include", "'.*'", "Counters that have families, by the names that the driver gives them.");

impl Collector for Ethtool {
    const ABOUT: About = About {
        name: "ethtool",
        summary: "what drivers of network interfaces count, and what their links can do",
        reads: &["SIOCETHTOOL", "/sys/class/net"],
        needs: "the host's network namespace",
        on_by_default: Vocabularies::NONE,
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info(), METRICS_INCLUDE.info()],
        families: &[
            INFO.info(),
            COUNTER.info(),
            PORT.info(),
            CAN[0].speed.info(),
            CAN[0].autonegotiates.info(),
            CAN[0].pauses.info(),
            CAN[0].pauses_one_way.info(),
            CAN[1].speed.info(),
            CAN[1].autonegotiates.info(),
            CAN[1].pauses.info(),
            CAN[1].pauses_one_way.info(),
            AUTONEGOTIATES.info(),
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
            let told =
                cx.host.kernel.ethtool(device).map_err(|error| cx.host.refused(&format!("ethtool {device}"), error));
            let Some(told) = cx.part(told) else { continue };
            if let Some(Driver { name, version, firmware, bus, expansion_rom }) = &told.driver {
                reading.put(&INFO, [bus, device, name, expansion_rom, firmware, version], 1u64);
            }
            for (name, count) in &told.counters {
                if self.wanted_counters.wants(name) {
                    reading.put_keyed(&COUNTER, &key(name), [device], *count);
                }
            }
            if let Some(link) = &told.link {
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
    const PAUSE_ONE_WAY: u32 = 14;
    for (can, words) in CAN.iter().zip([&link.supported, &link.advertised]) {
        for Mode { bit, name, megabits, duplex } in MODES {
            if Link::has(words, *bit) {
                reading.put(&can.speed, [device, duplex, name], megabits * 1_000_000 / 8);
            }
        }
        reading.put(&can.autonegotiates, [device], Link::has(words, AUTONEGOTIATION));
        reading.put(&can.pauses, [device], Link::has(words, PAUSE));
        reading.put(&can.pauses_one_way, [device], Link::has(words, PAUSE_ONE_WAY));
    }
    reading.put(&AUTONEGOTIATES, [device], link.autonegotiates);
}

/// A driver's name for a counter as a part of a family's name: `rx` and `tx` are written out, and what cannot stand in a
/// name is one underscore. Those that every driver has are called as counters are.
fn key(name: &str) -> String {
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
    // Of the same word twice, node_exporter leaves the second as it is, and dashboards know it so.
    let mut written_out = "";
    let word = |word| {
        let (word, found) = match word {
            "rx" if written_out != "rx" => ("received", "rx"),
            "tx" if written_out != "tx" => ("transmitted", "tx"),
            other => (other, ""),
        };
        written_out = found;
        word
    };
    let words: Vec<&str> = lower.split('_').map(word).collect();
    let suffix = if KNOWN.contains(&name) { "_total" } else { "" };
    words.join("_") + suffix
}

const INFO: Family<6> = Family::gauge(
    "node_ethtool_info",
    "The driver of the interface; 1.",
    ["bus_info", "device", "driver", "expansion_rom_version", "firmware_version", "version"],
);
const COUNTER: Family<1> =
    Family::untyped("node_ethtool_KEY", "What the driver of the interface counts under this name.", ["device"]);
const PORT: Family<2> =
    Family::gauge("node_network_supported_port_info", "A kind of port that the interface has; 1.", ["device", "type"]);
const AUTONEGOTIATES: Family<1> =
    Family::gauge("node_network_autonegotiate", "Whether both sides settle the speed.", ["device"]);

/// What a link can, or offers to do.
struct Can {
    speed: Family<3>,
    autonegotiates: Family<1>,
    pauses: Family<1>,
    pauses_one_way: Family<1>,
}

const CAN: [Can; 2] = [
    Can {
        speed: Family::gauge(
            "node_network_supported_speed_bytes",
            "Bytes per second of a way in which the link can work.",
            ["device", "duplex", "mode"],
        ),
        autonegotiates: Family::gauge(
            "node_network_autonegotiate_supported",
            "Whether the interface can settle the speed with the other side.",
            ["device"],
        ),
        pauses: Family::gauge(
            "node_network_pause_supported",
            "Whether the interface can ask the other side to pause, and be asked.",
            ["device"],
        ),
        pauses_one_way: Family::gauge(
            "node_network_asymmetricpause_supported",
            "Whether the interface can do one of these without the other.",
            ["device"],
        ),
    },
    Can {
        speed: Family::gauge(
            "node_network_advertised_speed_bytes",
            "Bytes per second of a way of working that is offered to the other side.",
            ["device", "duplex", "mode"],
        ),
        autonegotiates: Family::gauge(
            "node_network_autonegotiate_advertised",
            "Whether it is offered to settle the speed.",
            ["device"],
        ),
        pauses: Family::gauge("node_network_pause_advertised", "Whether pauses are offered.", ["device"]),
        pauses_one_way: Family::gauge(
            "node_network_asymmetricpause_advertised",
            "Whether pauses of one side are offered.",
            ["device"],
        ),
    },
];

/// Bits of `enum ethtool_link_mode_bit_indices` that are ports.
const PORTS: &[(&str, u32)] = &[("TP", 7), ("AUI", 8), ("MII", 9), ("FIBRE", 10), ("BNC", 11), ("Backplane", 16)];

/// A way in which a link can work.
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

/// Bits of the same enumeration that are ways of working.
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
            assert_eq!(key(name), expected, "{name:?}");
        }
    }
}
