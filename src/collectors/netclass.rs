//! What network interfaces are: their state, their kind, their addresses.

use regex::Regex;

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/net`: Documentation/ABI/testing/sysfs-class-net.
pub(super) struct Netclass {
    interfaces: Devices,
    wanted: Filter,
    ignores_invalid_speed: bool,
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
        reads: &["/sys/class/net/*"],
        needs: "the host's network namespace",
        keys: &[IGNORED_DEVICES.info(), IGNORE_INVALID_SPEED.info()],
        families: &concat::<_, 19>(&[&infos!(ATTRIBUTES.family), &[SPEED.info(), UP.info(), INFO.info()]]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Netclass {
            interfaces: host.devices("class/net"),
            wanted: Filter::new(None, Some(section.get(&IGNORED_DEVICES))),
            ignores_invalid_speed: section.get(&IGNORE_INVALID_SPEED),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.interfaces.look(|name| name != "bonding_masters")? {
            if !self.wanted.wants(name) {
                continue;
            }
            reading.put_attributes(cx, device, ATTRIBUTES, [name]);
            let speed = device.number::<i64>("speed", cx.buffer);
            if let Some(megabits) = cx.part(speed).flatten().filter(|speed| *speed >= 0 || !self.ignores_invalid_speed)
            {
                reading.put(&SPEED, [name], megabits.saturating_mul(BYTES_OF_A_MEGABIT));
            }
            let mut of = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [address, broadcast, duplex, alias, state, flags] =
                ["address", "broadcast", "duplex", "ifalias", "operstate", "flags"].map(&mut of);
            reading.put(&UP, [name], state == "up");
            const IFF_UP: u64 = 1;
            let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or_default();
            let admin_state = if flags & IFF_UP != 0 { "up" } else { "down" };
            reading.put(&INFO, [&address, admin_state, &broadcast, name, &duplex, &alias, &state], 1u64);
        }
        Ok(())
    }
}

const BYTES_OF_A_MEGABIT: i64 = 125_000;

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["device"], unit)
}

const fn counter(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::counter(file, name, help, ["device"], Unit::Plain)
}

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge(
        "addr_assign_type",
        "node_network_address_assign_type",
        "Where the address came from: 0 permanent, 1 random, 2 another's, 3 set.",
        Unit::Plain,
    ),
    gauge("carrier", "node_network_carrier", "Whether there is a link.", Unit::Plain),
    counter("carrier_changes", "node_network_carrier_changes_total", "Times that the link came or went."),
    counter("carrier_up_count", "node_network_carrier_up_changes_total", "Times that the link came."),
    counter("carrier_down_count", "node_network_carrier_down_changes_total", "Times that the link went."),
    gauge("dev_id", "node_network_device_id", "Number that tells interfaces apart which share an address.", Unit::Hex),
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
    gauge(
        "name_assign_type",
        "node_network_name_assign_type",
        "Where the name came from: 1 the kernel by number, 2 predictable, 3 user space, 4 renamed.",
        Unit::Plain,
    ),
    gauge("netdev_group", "node_network_net_dev_group", "Group of interfaces that it is in.", Unit::Signed),
    gauge(
        "tx_queue_len",
        "node_network_transmit_queue_length",
        "Packets that its queue holds at the most.",
        Unit::Plain,
    ),
    gauge("type", "node_network_protocol_type", "Its hardware's type: include/uapi/linux/if_arp.h.", Unit::Plain),
];
const SPEED: Family<1> = Family::gauge("node_network_speed_bytes", "Bytes that it can carry a second.", ["device"]);
const UP: Family<1> = Family::gauge("node_network_up", "Whether it is up and has a link.", ["device"]);
const INFO: Family<7> = Family::gauge(
    "node_network_info",
    "The interface; 1.",
    ["address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"],
);
