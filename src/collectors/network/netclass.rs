//! Network interfaces: state, addresses, MTU, speed.

use regex::Regex;

use std::collections::HashMap;
use std::sync::Arc;

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::links::{Details, Interface};
use crate::host::{Device, Devices, Host, ReadError};

/// `RTM_GETLINK` of rtnetlink(7), and for attributes that it lacks, or without it, `/sys/class/net`:
/// Documentation/ABI/testing/sysfs-class-net.
pub(super) struct Netclass {
    devices: Devices,
    /// Attributes from sysfs by interface.
    sysfs: HashMap<Arc<str>, SysfsInterface>,
    wanted: Filter,
    ignores_invalid_speed: bool,
    shows_altnames: bool,
}

/// sysfs attributes of an interface that rtnetlink lacks.
struct SysfsInterface {
    device: Device,
    /// Generation of changes and address at the last reading of [`SYSFS_ATTRIBUTES`].
    read_at: Option<(u64, String)>,
    /// Samples of [`SYSFS_ATTRIBUTES`].
    attributes: Gathered,
    /// Generation of changes, flags and carrier changes when neither speed nor duplex was readable.
    unreadable_at: Option<(u64, u32, Option<u32>)>,
    seen: bool,
}

const IGNORED_DEVICES: Key<Regex> = Key::new("ignored_devices", "'^$'", "Interfaces to leave out of the families.");
const IGNORE_INVALID_SPEED: Key<bool> =
    Key::new("ignore_invalid_speed", "false", "Leave out an unknown speed, instead of -125000 bytes per second.");

const ALTNAMES: Key<bool> =
    Key::new("altnames", "false", "Alternative names of interfaces: node_network_altnames_info.");

impl Collector for Netclass {
    const ABOUT: About = About {
        name: "netclass",
        summary: "network interfaces: state, addresses, MTU, speed",
        reads: &["rtnetlink(7)", "/sys/class/net/*"],
        needs: "the network namespace of the host",
        keys: &[IGNORED_DEVICES.info(), IGNORE_INVALID_SPEED.info(), ALTNAMES.info()],
        families: &concat::<_, 20>(&[
            &infos!(RTNETLINK_ATTRIBUTES.family),
            &infos!(SYSFS_ATTRIBUTES.family),
            &[SPEED.info(), UP.info(), INFO.info(), ALTNAMES_INFO.info()],
        ]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Netclass {
            devices: host.devices("class/net"),
            sysfs: HashMap::new(),
            wanted: Filter::new(None, Some(section.get(&IGNORED_DEVICES))),
            ignores_invalid_speed: section.get(&IGNORE_INVALID_SPEED),
            shows_altnames: section.get(&ALTNAMES),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        match cx.host.links(cx.round, cx.buffer) {
            Some(interfaces) => self.read_links(cx, reading, &interfaces),
            None => self.read_sysfs(cx, reading)?,
        }
        Ok(())
    }
}

impl Netclass {
    fn read_links(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered, interfaces: &[Interface]) {
        for Interface { link, details } in interfaces {
            if !self.wanted.wants(&link.name) {
                continue;
            }
            let interface =
                self.sysfs.entry(link.name.clone()).or_insert_with(|| SysfsInterface::new(cx.host, &link.name));
            interface.seen = true;
            put_details(cx, reading, link.index, &link.name, details, &mut interface.device);
            interface.put_sysfs_attributes(cx, reading, &link.name, details);
            let (speed, duplex) = interface.speed(cx, details);
            put_speed(reading, &link.name, speed, self.ignores_invalid_speed);
            let state = OPERATIONAL_STATES.get(usize::from(details.operational_state)).unwrap_or(&"unknown");
            let Details { address, broadcast, alias, flags, .. } = details;
            put_info(reading, &link.name, Some((*flags).into()), state, [address, broadcast, &duplex, alias]);
            for altname in details.altnames.iter().filter(|_| self.shows_altnames) {
                reading.put(&ALTNAMES_INFO, [altname, &link.name], 1u64);
            }
        }
        self.sysfs.retain(|_, interface| std::mem::take(&mut interface.seen));
    }

    fn read_sysfs(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        for (name, device) in self.devices.look(|name| name != "bonding_masters")? {
            if !self.wanted.wants(name) {
                continue;
            }
            reading.put_attributes(cx, device, RTNETLINK_ATTRIBUTES, [name]);
            reading.put_attributes(cx, device, SYSFS_ATTRIBUTES, [name]);
            let speed = device.number::<i64>("speed", cx.buffer);
            put_speed(reading, name, cx.part(speed).flatten(), self.ignores_invalid_speed);
            let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [address, broadcast, duplex, alias, state, flags] =
                ["address", "broadcast", "duplex", "ifalias", "operstate", "flags"].map(&mut attribute);
            // Malformed flags were reported as an attribute.
            let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).ok();
            put_info(reading, name, flags, &state, [&address, &broadcast, &duplex, &alias]);
        }
        Ok(())
    }
}

impl SysfsInterface {
    fn new(host: &Host, name: &str) -> SysfsInterface {
        SysfsInterface {
            device: host.device(format!("class/net/{name}")),
            read_at: None,
            attributes: Gathered::default(),
            unreadable_at: None,
            seen: true,
        }
    }

    /// Adds the attributes that rtnetlink lacks. Reads them again after an event or a change of the address.
    fn put_sysfs_attributes(
        &mut self,
        cx: &mut ReadContext<'_>,
        reading: &mut Gathered,
        name: &str,
        details: &Details,
    ) {
        let generation = cx.host.changes().generation();
        let is_current =
            self.read_at.as_ref().is_some_and(|(at, address)| *at == generation && *address == details.address);
        if !is_current {
            self.attributes.clear();
            self.attributes.put_attributes(cx, &mut self.device, SYSFS_ATTRIBUTES, [name]);
            self.read_at = Some((generation, details.address.clone()));
        }
        reading.put_all(&self.attributes);
    }

    /// Speed in Mbit/s, and duplex. If the driver supports neither, they are read again only after a change.
    fn speed(&mut self, cx: &mut ReadContext<'_>, details: &Details) -> (Option<i64>, String) {
        let at = (cx.host.changes().generation(), details.flags, details.carrier_changes[0]);
        if details.flags & IFF_UP == 0 || self.unreadable_at == Some(at) {
            return (None, String::new());
        }
        let speed = self.device.number::<i64>("speed", cx.buffer);
        let speed = cx.part(speed).flatten();
        let duplex = self.device.string("duplex", cx.buffer);
        self.unreadable_at = (speed.is_none() && duplex.is_none()).then_some(at);
        (speed, duplex.unwrap_or_default())
    }
}

/// Adds the attributes of rtnetlink in the format of sysfs: net/core/net-sysfs.c.
fn put_details(
    cx: &mut ReadContext<'_>,
    reading: &mut Gathered,
    index: u32,
    name: &str,
    details: &Details,
    device: &mut Device,
) {
    const RUNNING: u32 = 0x40;
    const PROMISCUOUS: u32 = 0x100;
    const ALL_MULTICAST: u32 = 0x200;
    const LOWER_UP: u32 = 0x1_0000;
    const DORMANT: u32 = 0x2_0000;
    let is_up = details.flags & IFF_UP != 0;
    let visible = details.flags & !(RUNNING | LOWER_UP | DORMANT | PROMISCUOUS | ALL_MULTICAST);
    let flags = match details.promiscuity {
        [Some(promiscuous), Some(multicast)] => {
            let set = |flag: u32, count: u32| if count > 0 { flag } else { 0 };
            Some(u64::from(visible | set(PROMISCUOUS, promiscuous) | set(ALL_MULTICAST, multicast)))
        }
        // Before Linux 6.0 rtnetlink lacks the promiscuity counts, and its flags have only the bits set by user space.
        _ => Unit::Hex.read(cx, device, "flags").map(|flags| flags.as_f64() as u64),
    };
    let [changes, up, down] = details.carrier_changes.map(|count| count.map(u64::from));
    let values: [Option<u64>; RTNETLINK_ATTRIBUTES.len()] = [
        details.has_carrier.filter(|_| is_up).map(u64::from),
        changes,
        up,
        down,
        is_up.then_some(u64::from(details.flags & DORMANT != 0)),
        flags,
        Some(index.into()),
        Some(details.linked_to.unwrap_or(index).into()),
        Some(details.link_mode.into()),
        Some(details.mtu.into()),
        Some(details.group.into()),
        Some(details.queue_length.into()),
        Some(details.hardware.into()),
    ];
    for (Attribute { family, .. }, value) in RTNETLINK_ATTRIBUTES.iter().zip(values) {
        reading.put_some(family, [name], value);
    }
}

fn put_speed(reading: &mut Gathered, name: &str, megabits: Option<i64>, ignores_invalid: bool) {
    if let Some(megabits) = megabits.filter(|speed| *speed >= 0 || !ignores_invalid) {
        reading.put(&SPEED, [name], megabits.saturating_mul(BYTES_PER_MEGABIT));
    }
}

/// Adds state and info. `texts` are address, broadcast address, duplex and alias.
fn put_info(reading: &mut Gathered, name: &str, flags: Option<u64>, state: &str, texts: [&str; 4]) {
    let [address, broadcast, duplex, alias] = texts;
    reading.put(&UP, [name], state == "up");
    let admin_state = match flags {
        Some(flags) if flags & u64::from(IFF_UP) != 0 => "up",
        Some(_) => "down",
        None => "unknown",
    };
    reading.put(&INFO, [address, admin_state, broadcast, name, duplex, alias, state], 1u64);
}

const IFF_UP: u32 = 1;
/// By value: net/core/net-sysfs.c.
const OPERATIONAL_STATES: [&str; 7] = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];
const BYTES_PER_MEGABIT: i64 = 125_000;

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["device"], unit)
}

const fn counter(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::counter(file, name, help, ["device"], Unit::Plain)
}

/// Attributes that rtnetlink has too, in the order of [`put_details`].
const RTNETLINK_ATTRIBUTES: &[Attribute<1>] = &[
    gauge("carrier", "node_network_carrier", "1 if the interface has a carrier", Unit::Plain),
    counter("carrier_changes", "node_network_carrier_changes_total", "Carrier changes"),
    counter("carrier_up_count", "node_network_carrier_up_changes_total", "Carrier up changes"),
    counter("carrier_down_count", "node_network_carrier_down_changes_total", "Carrier down changes"),
    gauge(
        "dormant",
        "node_network_dormant",
        "1 if the interface is dormant, for example waiting for authentication",
        Unit::Plain,
    ),
    gauge("flags", "node_network_flags", "Interface flags (netdevice(7))", Unit::Hex),
    gauge("ifindex", "node_network_iface_id", "Interface index", Unit::Plain),
    gauge(
        "iflink",
        "node_network_iface_link",
        "Index of the linked interface; the interface's own index without one",
        Unit::Signed,
    ),
    gauge("link_mode", "node_network_iface_link_mode", "Link mode: 0 default, 1 dormant", Unit::Plain),
    gauge("mtu", "node_network_mtu_bytes", "MTU in bytes", Unit::Plain),
    gauge("netdev_group", "node_network_net_dev_group", "Network device group", Unit::Signed),
    gauge("tx_queue_len", "node_network_transmit_queue_length", "Transmit queue length in packets", Unit::Plain),
    gauge("type", "node_network_protocol_type", "Protocol type (include/uapi/linux/if_arp.h)", Unit::Plain),
];
/// Attributes that rtnetlink lacks.
const SYSFS_ATTRIBUTES: &[Attribute<1>] = &[
    gauge(
        "addr_assign_type",
        "node_network_address_assign_type",
        "Address assignment: 0 permanent, 1 random, 2 stolen, 3 set",
        Unit::Plain,
    ),
    gauge(
        "dev_id",
        "node_network_device_id",
        "Device ID of the interface; distinguishes interfaces that share an address",
        Unit::Hex,
    ),
    gauge(
        "name_assign_type",
        "node_network_name_assign_type",
        "Name assignment: 1 enumerated by the kernel, 2 predictable, 3 user space, 4 renamed",
        Unit::Plain,
    ),
];
const SPEED: Family<1> = Family::gauge("node_network_speed_bytes", "Link speed in bytes per second", ["device"]);
const UP: Family<1> = Family::gauge("node_network_up", "1 if the operational state is up", ["device"]);
const INFO: Family<7> = Family::gauge(
    "node_network_info",
    "Network interface, always 1",
    ["address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"],
);
const ALTNAMES_INFO: Family<2> =
    Family::gauge("node_network_altnames_info", "Alternative name of the interface, always 1", ["altname", "device"]);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::collectors::framework::{Reading, Vocabularies};
    use crate::config::Document;
    use crate::encode::FamilyWriter;
    use crate::encode::text::{Dialect, TextEncoder};
    use crate::host::{LiveKernel, Roots};

    fn exposition(host: &Host) -> Vec<String> {
        let document = Document::parse("test", "", &|_| None).unwrap();
        let mut netclass = Section::check(&document, |section| Netclass::new(host, section)).unwrap();
        let (mut reading, mut problems) = (Gathered::default(), Vec::new());
        let (wanted, round) = (Vocabularies::BOTH, Instant::now());
        let mut cx = ReadContext { wanted, round, host, buffer: &mut Vec::new(), problems: &mut problems };
        // The second reading uses the retained values of the first.
        for _ in 0..2 {
            netclass.read(&mut cx, &mut reading).unwrap();
        }
        assert!(problems.is_empty(), "{problems:?}");
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        reading.families(&mut FamilyWriter::new(&mut encoder));
        let text = String::from_utf8(encoder.finish()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// rtnetlink and sysfs of the machine that runs the test agree.
    #[test]
    fn both_sources_say_the_same() {
        let by_links = Host::live(Roots::default());
        let no_links = LiveKernel::of(Path::new("/none"));
        let by_files = Host::new(Roots::default(), Arc::new(no_links));
        assert!(by_links.links(Instant::now(), &mut Vec::new()).is_some());
        let (links, files) = (exposition(&by_links), exposition(&by_files));
        let only_in = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        assert_eq!(only_in(&links, &files), only_in(&files, &links));
    }
}
