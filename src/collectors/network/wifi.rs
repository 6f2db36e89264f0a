//! Wireless interfaces: access points, signal, traffic.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::netlink::{
    Peer, Question, attribute, attributes, text, u16_at, u32_at, u64_at, write_hardware_address,
};
use crate::host::{Host, ReadError};

/// nl80211: include/uapi/linux/nl80211.h.
pub(super) struct Wifi;

impl Collector for Wifi {
    const ABOUT: About = About {
        name: "wifi",
        summary: "wireless interfaces: access points, signal, traffic",
        reads: &["nl80211 over netlink(7)"],
        needs: "the network namespace of the host",
        on_by_default: Vocabularies::NONE,
        families: &[
            FREQUENCY.info(),
            STATION_INFO.info(),
            CONNECTED.info(),
            INACTIVE.info(),
            RECEIVE_RATE.info(),
            TRANSMIT_RATE.info(),
            SIGNAL.info(),
            COUNTS[0].1.info(),
            COUNTS[1].1.info(),
            COUNTS[2].1.info(),
            COUNTS[3].1.info(),
            COUNTS[4].1.info(),
            RECEIVE_BYTES.info(),
            TRANSMIT_BYTES.info(),
        ],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(_: &Host, _: &mut Section<'_>) -> Self {
        Wifi
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let Some(nl80211) = family(cx, "nl80211")? else {
            return Err(ReadError::Absent("nl80211".into()));
        };
        let mut interfaces: Vec<Interface> = Vec::new();
        query(cx, nl80211, GET_INTERFACE, None, &mut |body| interfaces.push(Interface::read(body)))?;
        // P2P devices have no name.
        for Interface { index, name, megahertz } in interfaces.iter().filter(|interface| !interface.name.is_empty()) {
            reading.put(&FREQUENCY, [name], u64::from(*megahertz) * 1_000_000);
            let mut bsses = Vec::new();
            let scanned = query(cx, nl80211, GET_SCAN, Some(*index), &mut |body| bsses.extend(Bss::read(body)));
            cx.part(scanned);
            for Bss { address, network, mode } in bsses {
                reading.put(&STATION_INFO, [&address, name, mode, &network], 1u64);
            }
            let listed = query(cx, nl80211, GET_STATION, Some(*index), &mut |body| put_station(reading, name, body));
            cx.part(listed);
        }
        Ok(())
    }
}

const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;
/// `struct genlmsghdr` of include/uapi/linux/genetlink.h.
const GENLMSGHDR: usize = 4;
const ATTR_IFINDEX: u16 = 3;

/// ID of a generic netlink family.
fn family(cx: &mut ReadContext<'_>, wanted: &str) -> Result<Option<u16>, ReadError> {
    const GENL_ID_CTRL: u16 = 16;
    const GETFAMILY: u8 = 3;
    const FAMILY_ID: u16 = 1;
    const FAMILY_NAME: u16 = 2;
    let mut found = None;
    query(cx, GENL_ID_CTRL, GETFAMILY, None, &mut |body| {
        let (mut number, mut name) = (0, String::new());
        for (kind, payload) in attributes(body) {
            match kind {
                FAMILY_ID => number = u16_at(payload, 0),
                FAMILY_NAME => name = text(payload),
                _ => {}
            }
        }
        if name == wanted {
            found = Some(number);
        }
    })?;
    Ok(found)
}

/// Queries a generic netlink family about one or all interfaces. Calls `each` with the attributes of each reply.
fn query(
    cx: &mut ReadContext<'_>,
    family: u16,
    command: u8,
    interface: Option<u32>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), ReadError> {
    let mut body = vec![command, 1, 0, 0];
    if let Some(interface) = interface {
        body.extend(8u16.to_ne_bytes());
        body.extend(ATTR_IFINDEX.to_ne_bytes());
        body.extend(interface.to_ne_bytes());
    }
    let request = Question { peer: Peer::Generic, kind: family, body: &body };
    cx.host.dump(request, cx.buffer, &mut |body| each(body.get(GENLMSGHDR..).unwrap_or_default()))
}

#[derive(Default)]
struct Interface {
    index: u32,
    name: String,
    megahertz: u32,
}

impl Interface {
    fn read(body: &[u8]) -> Interface {
        const ATTR_IFNAME: u16 = 4;
        const ATTR_WIPHY_FREQ: u16 = 38;
        let mut interface = Interface::default();
        for (kind, payload) in attributes(body) {
            match kind {
                ATTR_IFINDEX => interface.index = u32_at(payload, 0),
                ATTR_IFNAME => interface.name = text(payload),
                ATTR_WIPHY_FREQ => interface.megahertz = u32_at(payload, 0),
                _ => {}
            }
        }
        interface
    }
}

/// The BSS that an interface is connected to.
struct Bss {
    address: String,
    network: String,
    mode: &'static str,
}

impl Bss {
    /// Parses a BSS. `None` if the interface is not connected to it.
    fn read(body: &[u8]) -> Option<Bss> {
        const ATTR_BSS: u16 = 47;
        const BSSID: u16 = 1;
        const INFORMATION_ELEMENTS: u16 = 6;
        const STATUS: u16 = 9;
        let (mut address, mut network, mut mode) = (String::new(), String::new(), None);
        let bss = attribute(body, ATTR_BSS)?;
        for (kind, payload) in attributes(bss) {
            match kind {
                BSSID => address = hardware_address(payload),
                INFORMATION_ELEMENTS => network = network_name(payload),
                STATUS => {
                    mode = Some(match u32_at(payload, 0) {
                        0 | 1 => "client",
                        2 => "ad-hoc",
                        _ => "unknown",
                    });
                }
                _ => {}
            }
        }
        Some(Bss { address, network, mode: mode? })
    }
}

/// The SSID in the information elements of IEEE 802.11: type, length, content.
fn network_name(mut elements: &[u8]) -> String {
    const SSID: u8 = 0;
    while let [kind, length, rest @ ..] = elements {
        let Some(content) = rest.get(..usize::from(*length)) else { break };
        if *kind == SSID {
            return String::from_utf8_lossy(content).into_owned();
        }
        elements = &rest[content.len()..];
    }
    String::new()
}

fn hardware_address(bytes: &[u8]) -> String {
    let mut address = String::new();
    write_hardware_address(&mut address, bytes);
    address
}

fn put_station(reading: &mut Gathered, device: &str, body: &[u8]) {
    const ATTR_MAC: u16 = 6;
    const ATTR_STA_INFO: u16 = 21;
    const INACTIVE_TIME: u16 = 1;
    const RX_BYTES: u16 = 2;
    const TX_BYTES: u16 = 3;
    const SIGNAL_NOW: u16 = 7;
    const TX_BITRATE: u16 = 8;
    const RX_BITRATE: u16 = 14;
    const CONNECTED_TIME: u16 = 16;
    const RX_BYTES64: u16 = 23;
    const TX_BYTES64: u16 = 24;
    let (Some(address), Some(station)) = (attribute(body, ATTR_MAC), attribute(body, ATTR_STA_INFO)) else { return };
    let address = hardware_address(address);
    let labels = [device, address.as_str()];
    let info = |wanted: u16| attribute(station, wanted);
    let number = |wanted: u16| info(wanted).map(|payload| u64::from(u32_at(payload, 0)));
    reading.put_some(&CONNECTED, labels, number(CONNECTED_TIME));
    reading.put_some(&INACTIVE, labels, number(INACTIVE_TIME).map(|milliseconds| milliseconds as f64 / 1000.0));
    reading.put_some(&RECEIVE_RATE, labels, info(RX_BITRATE).map(bit_rate));
    reading.put_some(&TRANSMIT_RATE, labels, info(TX_BITRATE).map(bit_rate));
    let dbm = info(SIGNAL_NOW).and_then(|payload| payload.first()).map(|byte| i64::from(*byte as i8));
    reading.put_some(&SIGNAL, labels, dbm);
    for (kind, family) in &COUNTS {
        reading.put_some(family, labels, number(*kind));
    }
    // Old drivers have 32-bit counters only.
    for (family, long, short) in [(&RECEIVE_BYTES, RX_BYTES64, RX_BYTES), (&TRANSMIT_BYTES, TX_BYTES64, TX_BYTES)] {
        reading.put_some(family, labels, info(long).map(|payload| u64_at(payload, 0)).or_else(|| number(short)));
    }
}

/// Bit rate in bits per second. The kernel's unit is 100 kbit/s.
fn bit_rate(rate: &[u8]) -> u64 {
    const BITRATE: u16 = 1;
    const BITRATE32: u16 = 5;
    let units = attribute(rate, BITRATE32)
        .map(|payload| u32_at(payload, 0))
        .or_else(|| attribute(rate, BITRATE).map(|payload| u16_at(payload, 0).into()));
    u64::from(units.unwrap_or(0)) * 100_000
}

const STATION: [&str; 2] = ["device", "mac_address"];
const FREQUENCY: Family<1> =
    Family::gauge("node_wifi_interface_frequency_hertz", "Frequency of the interface", ["device"]);
const STATION_INFO: Family<4> = Family::gauge(
    "node_wifi_station_info",
    "Access point (BSS) of the interface, always 1",
    ["bssid", "device", "mode", "ssid"],
);
const CONNECTED: Family<2> =
    Family::counter("node_wifi_station_connected_seconds_total", "Time since the station connected", STATION);
const INACTIVE: Family<2> =
    Family::gauge("node_wifi_station_inactive_seconds", "Time since the last activity of the station", STATION);
const RECEIVE_RATE: Family<2> = Family::gauge("node_wifi_station_receive_bits_per_second", "Receive bit rate", STATION);
const TRANSMIT_RATE: Family<2> =
    Family::gauge("node_wifi_station_transmit_bits_per_second", "Transmit bit rate", STATION);
const SIGNAL: Family<2> = Family::gauge("node_wifi_station_signal_dbm", "Signal strength in dBm", STATION);
const RECEIVE_BYTES: Family<2> =
    Family::counter("node_wifi_station_receive_bytes_total", "Bytes received from the station", STATION);
const TRANSMIT_BYTES: Family<2> =
    Family::counter("node_wifi_station_transmit_bytes_total", "Bytes transmitted to the station", STATION);
/// By `enum nl80211_sta_info`.
const COUNTS: [(u16, Family<2>); 5] = [
    (9, Family::counter("node_wifi_station_received_packets_total", "Packets received from the station", STATION)),
    (10, Family::counter("node_wifi_station_transmitted_packets_total", "Packets transmitted to the station", STATION)),
    (11, Family::counter("node_wifi_station_transmit_retries_total", "Transmit retries", STATION)),
    (12, Family::counter("node_wifi_station_transmit_failed_total", "Failed transmissions", STATION)),
    (18, Family::counter("node_wifi_station_beacon_loss_total", "Beacon losses", STATION)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_among_other_elements() {
        assert_eq!(network_name(&[1, 2, 7, 7, 0, 3, b'n', b'e', b't', 5]), "net");
        assert_eq!(network_name(&[0, 9, b'c', b'u', b't']), "");
        assert_eq!(network_name(&[]), "");
    }
}
