//! What network interfaces are: their state, their kind, their addresses.

use regex::Regex;

use std::collections::HashMap;
use std::sync::Arc;

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::links::{Details, Interface};
use crate::host::{Device, Devices, Host, ReadError};

/// `RTM_GETLINK` of rtnetlink(7), and for what it does not tell, or where it does not answer, `/sys/class/net`:
/// Documentation/ABI/testing/sysfs-class-net.
pub(super) struct Netclass {
    in_sysfs: Devices,
    /// What rtnetlink does not tell, by interface.
    others: HashMap<Arc<str>, Other>,
    wanted: Filter,
    ignores_invalid_speed: bool,
}

/// What only files tell of an interface.
struct Other {
    device: Device,
    /// When what seldom changes was read: the number of changes, and the address.
    read_at: Option<(u64, String)>,
    /// [`SELDOM_CHANGED`].
    seldom_changed: Gathered,
    /// The flags and changes of carrier at which it had no speed to tell.
    has_no_speed_at: Option<(u64, u32, Option<u32>)>,
    is_there: bool,
}

const IGNORED_DEVICES: Key<Regex> = Key::new("ignored_devices", "'^$'", "Interfaces without families.");
const IGNORE_INVALID_SPEED: Key<bool> = Key::new(
    "ignore_invalid_speed",
    "false",
    "Leave the speed out where the kernel does not know it, instead of -125000 bytes a second.",
);

impl Collector for Netclass {
    const ABOUT: About = About {
        name: "netclass",
        summary: "network interfaces: state, kind, addresses, speed",
        reads: &["rtnetlink(7)", "/sys/class/net/*"],
        needs: "the host's network namespace",
        keys: &[IGNORED_DEVICES.info(), IGNORE_INVALID_SPEED.info()],
        families: &concat::<_, 19>(&[
            &infos!(TOLD.family),
            &infos!(SELDOM_CHANGED.family),
            &[SPEED.info(), UP.info(), INFO.info()],
        ]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Netclass {
            in_sysfs: host.devices("class/net"),
            others: HashMap::new(),
            wanted: Filter::new(None, Some(section.get(&IGNORED_DEVICES))),
            ignores_invalid_speed: section.get(&IGNORE_INVALID_SPEED),
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
            let other = self.others.entry(link.name.clone()).or_insert_with(|| Other::new(cx.host, &link.name));
            other.is_there = true;
            put_details(cx, reading, link.index, &link.name, details, &mut other.device);
            other.put_seldom_changed(cx, reading, &link.name, details);
            let (speed, duplex) = other.speed(cx, details);
            put_speed(reading, &link.name, speed, self.ignores_invalid_speed);
            let state = OPERATIONAL_STATES.get(usize::from(details.operational_state)).unwrap_or(&"unknown");
            let Details { address, broadcast, alias, flags, .. } = details;
            put_info(reading, &link.name, (*flags).into(), state, [address, broadcast, &duplex, alias]);
        }
        self.others.retain(|_, other| std::mem::take(&mut other.is_there));
    }

    fn read_sysfs(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        for (name, device) in self.in_sysfs.look(|name| name != "bonding_masters")? {
            if !self.wanted.wants(name) {
                continue;
            }
            reading.put_attributes(cx, device, TOLD, [name]);
            reading.put_attributes(cx, device, SELDOM_CHANGED, [name]);
            let speed = device.number::<i64>("speed", cx.buffer);
            put_speed(reading, name, cx.part(speed).flatten(), self.ignores_invalid_speed);
            let mut of = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [address, broadcast, duplex, alias, state, flags] =
                ["address", "broadcast", "duplex", "ifalias", "operstate", "flags"].map(&mut of);
            let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or_default();
            put_info(reading, name, flags, &state, [&address, &broadcast, &duplex, &alias]);
        }
        Ok(())
    }
}

impl Other {
    fn new(host: &Host, name: &str) -> Other {
        Other {
            device: host.device(format!("class/net/{name}")),
            read_at: None,
            seldom_changed: Gathered::default(),
            has_no_speed_at: None,
            is_there: true,
        }
    }

    /// Reads what rtnetlink does not tell again when the interface has another address, or an event was heard.
    fn put_seldom_changed(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered, name: &str, details: &Details) {
        let generation = cx.host.changes().generation();
        let is_current =
            self.read_at.as_ref().is_some_and(|(at, address)| *at == generation && *address == details.address);
        if !is_current {
            self.seldom_changed.clear();
            self.seldom_changed.put_attributes(cx, &mut self.device, SELDOM_CHANGED, [name]);
            self.read_at = Some((generation, details.address.clone()));
        }
        reading.put_all(&self.seldom_changed);
    }

    /// Mbit/s, and whether both sides may send at once. Drivers without either are not asked again and again.
    fn speed(&mut self, cx: &mut ReadContext<'_>, details: &Details) -> (Option<i64>, String) {
        let at = (cx.host.changes().generation(), details.flags, details.carrier_changes[0]);
        if details.flags & IFF_UP == 0 || self.has_no_speed_at == Some(at) {
            return (None, String::new());
        }
        let speed = self.device.number::<i64>("speed", cx.buffer);
        let speed = cx.part(speed).flatten();
        let duplex = self.device.string("duplex", cx.buffer);
        self.has_no_speed_at = (speed.is_none() && duplex.is_none()).then_some(at);
        (speed, duplex.unwrap_or_default())
    }
}

/// What rtnetlink tells, as sysfs would tell it: net/core/net-sysfs.c.
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
    let of_sysfs = details.flags & !(RUNNING | LOWER_UP | DORMANT | PROMISCUOUS | ALL_MULTICAST);
    let flags = match details.promiscuity {
        [Some(promiscuous), Some(multicast)] => {
            let set = |flag: u32, count: u32| if count > 0 { flag } else { 0 };
            Some(u64::from(of_sysfs | set(PROMISCUOUS, promiscuous) | set(ALL_MULTICAST, multicast)))
        }
        // Kernels before 6.0 tell by rtnetlink only what an administrator has set.
        _ => {
            let text = device.string("flags", cx.buffer).unwrap_or_default();
            u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
        }
    };
    let [changes, came, went] = details.carrier_changes.map(|count| count.map(u64::from));
    let told: [Option<u64>; TOLD.len()] = [
        details.has_carrier.filter(|_| is_up).map(u64::from),
        changes,
        came,
        went,
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
    for (Attribute { family, .. }, value) in TOLD.iter().zip(told) {
        reading.put_some(family, [name], value);
    }
}

fn put_speed(reading: &mut Gathered, name: &str, megabits: Option<i64>, ignores_invalid: bool) {
    if let Some(megabits) = megabits.filter(|speed| *speed >= 0 || !ignores_invalid) {
        reading.put(&SPEED, [name], megabits.saturating_mul(BYTES_OF_A_MEGABIT));
    }
}

/// `told` is the address, the broadcast address, whether both sides may send at once, and the alias.
fn put_info(reading: &mut Gathered, name: &str, flags: u64, state: &str, told: [&str; 4]) {
    let [address, broadcast, duplex, alias] = told;
    reading.put(&UP, [name], state == "up");
    let admin_state = if flags & u64::from(IFF_UP) != 0 { "up" } else { "down" };
    reading.put(&INFO, [address, admin_state, broadcast, name, duplex, alias, state], 1u64);
}

const IFF_UP: u32 = 1;
/// By their numbers: net/core/net-sysfs.c.
const OPERATIONAL_STATES: [&str; 7] = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];
const BYTES_OF_A_MEGABIT: i64 = 125_000;

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["device"], unit)
}

const fn counter(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::counter(file, name, help, ["device"], Unit::Plain)
}

/// What rtnetlink tells too, in the order of [`put_details`].
const TOLD: &[Attribute<1>] = &[
    gauge("carrier", "node_network_carrier", "Whether there is a link.", Unit::Plain),
    counter("carrier_changes", "node_network_carrier_changes_total", "Times that the link came or went."),
    counter("carrier_up_count", "node_network_carrier_up_changes_total", "Times that the link came."),
    counter("carrier_down_count", "node_network_carrier_down_changes_total", "Times that the link went."),
    gauge(
        "dormant",
        "node_network_dormant",
        "Whether it waits for something else, such as an authentication.",
        Unit::Plain,
    ),
    gauge("flags", "node_network_flags", "The interface's flags: netdevice(7).", Unit::Hex),
    gauge("ifindex", "node_network_iface_id", "The interface's number.", Unit::Plain),
    gauge(
        "iflink",
        "node_network_iface_link",
        "Number of the interface that it is linked to; its own if it is to none.",
        Unit::Signed,
    ),
    gauge(
        "link_mode",
        "node_network_iface_link_mode",
        "Whether the link depends on something else: 0 no, 1 yes.",
        Unit::Plain,
    ),
    gauge("mtu", "node_network_mtu_bytes", "Bytes of the largest packet.", Unit::Plain),
    gauge("netdev_group", "node_network_net_dev_group", "Group of interfaces that it is in.", Unit::Signed),
    gauge(
        "tx_queue_len",
        "node_network_transmit_queue_length",
        "Packets that its queue holds at the most.",
        Unit::Plain,
    ),
    gauge("type", "node_network_protocol_type", "Its hardware's type: include/uapi/linux/if_arp.h.", Unit::Plain),
];
/// What it does not.
const SELDOM_CHANGED: &[Attribute<1>] = &[
    gauge(
        "addr_assign_type",
        "node_network_address_assign_type",
        "Where the address came from: 0 permanent, 1 random, 2 another's, 3 set.",
        Unit::Plain,
    ),
    gauge("dev_id", "node_network_device_id", "Number that tells interfaces apart which share an address.", Unit::Hex),
    gauge(
        "name_assign_type",
        "node_network_name_assign_type",
        "Where the name came from: 1 the kernel by number, 2 predictable, 3 user space, 4 renamed.",
        Unit::Plain,
    ),
];
const SPEED: Family<1> = Family::gauge("node_network_speed_bytes", "Bytes that it can carry a second.", ["device"]);
const UP: Family<1> = Family::gauge("node_network_up", "Whether it is up and has a link.", ["device"]);
const INFO: Family<7> = Family::gauge(
    "node_network_info",
    "The interface; 1.",
    ["address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"],
);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::collectors::{Reading, Vocabularies};
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
        // The second reading has what the first has kept.
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

    /// Of the machine that runs the test, rtnetlink and sysfs say the same.
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
