//! Network interface statistics.

use regex::Regex;

use super::addresses::{self, InterfaceAddress, scope};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::infos::{concat, infos};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::links::{self, Link, LinkState, Receive, Transmit};
use crate::host::portable::{self, Network};
use crate::host::{Host, HostFile, Line, ReadError, file};

pub(super) struct Netdev {
    dev: HostFile,
    in_families: Filter,
    shows_addresses: bool,
    interfaces: Filter,
    interfaces_are_named: bool,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Interfaces to leave out of the families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these interfaces in the families; instead of `device_exclude`.");
const ADDRESS_INFO: Key<bool> =
    Key::new("address_info", "false", "Addresses of interfaces: node_network_address_info.");
const INTERFACES: Key<Vec<String>> = Key::new(
    "interfaces",
    "[]",
    "Interfaces in the points, as glob patterns; by default all that are up, except loopback.",
);

/// `RTM_GETLINK` of rtnetlink(7), or `/proc/net/dev` without it.
#[derive(Default)]
pub(super) struct NetdevReading {
    interfaces: Vec<Interface>,
    addresses: Vec<InterfaceAddress>,
    /// Whether the source has bytes, packets and errors only.
    is_coarse: bool,
}

struct Interface {
    link: Link,
    wanted: Vocabularies,
    /// Mbit/s; -1 if unknown.
    speed: i64,
}

impl Collector for Netdev {
    const ABOUT: About = About {
        name: "netdev",
        summary: "network interface statistics; pushed as `net`",
        reads: &["rtnetlink(7)", "/proc/net/dev", "/sys/class/net/*/{flags,speed}"],
        needs: "the network namespace of the host",
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info(), ADDRESS_INFO.info()],
        point_keys: &[INTERFACES.info()],
        families: &concat::<_, 18>(&[&infos!(COLUMNS.0), &[ADDRESS.info()]]),
        measurements: &[NET.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = NetdevReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let in_families = section.optional_include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE);
        let mut points = section.table("points");
        Netdev {
            dev: host.proc("net/dev"),
            in_families,
            shows_addresses: section.get(&ADDRESS_INFO),
            interfaces_are_named: points.has(&INTERFACES),
            interfaces: points.globs(&INTERFACES),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut NetdevReading) -> Result<(), ReadError> {
        reading.interfaces.clear();
        reading.addresses.clear();
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(cx.wanted, reading, portable.networks());
            return Ok(());
        }
        let links: Vec<Link> = match cx.host.links(cx.round, cx.buffer) {
            Some(links) => {
                self.read_addresses(cx, reading, &links);
                links.iter().map(|interface| interface.link.clone()).collect()
            }
            None => self.read_file(cx)?,
        };
        for link in links {
            let in_families = cx.wanted.families && self.in_families.wants(&link.name);
            let in_points = cx.wanted.points && self.has_points(cx, &link);
            if in_families || in_points {
                let speed = if in_points { read_speed(cx, &link.name) } else { -1 };
                let wanted = Vocabularies { families: in_families, points: in_points };
                reading.interfaces.push(Interface { link, wanted, speed });
            }
        }
        Ok(())
    }
}

impl Netdev {
    /// Fills the reading from the interfaces of the portable backend.
    fn fill(&mut self, wanted: Vocabularies, reading: &mut NetdevReading, interfaces: Vec<portable::Network>) {
        reading.is_coarse = true;
        for Network { name, received, transmitted } in interfaces {
            let is_loopback = name == "lo" || name.strip_prefix("lo").is_some_and(|rest| rest.parse::<u32>().is_ok());
            let points = if self.interfaces_are_named { self.interfaces.wants(&name) } else { !is_loopback };
            let wanted = Vocabularies { families: self.in_families.wants(&name), points }.and(wanted);
            let ([bytes, packets, errs], name) = (received, name.into());
            let receive = Receive { bytes, packets, errs, ..Receive::default() };
            let [bytes, packets, errs] = transmitted;
            let transmit = Transmit { bytes, packets, errs, ..Transmit::default() };
            if wanted.any() {
                let link = Link { name, receive, transmit, ..Link::default() };
                reading.interfaces.push(Interface { link, wanted, speed: -1 });
            }
        }
    }

    fn read_addresses(&mut self, cx: &mut ReadContext<'_>, reading: &mut NetdevReading, links: &[links::Interface]) {
        if self.shows_addresses && cx.wanted.families {
            let addresses = addresses::read(cx, links);
            reading.addresses = cx.part(addresses).unwrap_or_default();
            reading.addresses.retain(|address| self.in_families.wants(&address.device));
        }
    }

    fn read_file(&mut self, cx: &mut ReadContext<'_>) -> Result<Vec<Link>, ReadError> {
        const HEADER_LINES: usize = 2;
        let mut links = Vec::new();
        for line in self.dev.read(cx.buffer)?.lines().skip(HEADER_LINES) {
            match read_line(line) {
                Ok(link) => links.push(link),
                Err(error) => cx.problems.push(error),
            }
        }
        Ok(links)
    }

    fn has_points(&mut self, cx: &mut ReadContext<'_>, link: &Link) -> bool {
        if self.interfaces_are_named {
            return self.interfaces.wants(&link.name);
        }
        let state = link.state.or_else(|| {
            let path = cx.host.sys_path(format!("class/net/{}/flags", link.name));
            let text = file::read_once(&path, cx.buffer).ok()?.trimmed().into_owned();
            Some(LinkState::from_flags(u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()?))
        });
        state.is_none_or(|state| state.up && !state.loopback)
    }
}

/// `/sys/class/net/*/speed`. Reading it fails for interfaces that are down.
fn read_speed(cx: &mut ReadContext<'_>, name: &str) -> i64 {
    let path = cx.host.sys_path(format!("class/net/{name}/speed"));
    let speed = file::read_once(&path, cx.buffer).ok().map(|text| text.number("Mbit/s")).transpose();
    cx.part(speed).flatten().unwrap_or(-1)
}

/// Parses a line of `/proc/net/dev`: net/core/net-procfs.c, `dev_seq_printf_stats`.
pub(in crate::collectors) fn read_line(line: Line<'_>) -> Result<Link, ReadError> {
    // An alias interface has a colon in its name. The counters follow the last colon.
    let colon =
        memchr::memrchr(b':', line.bytes()).ok_or_else(|| line.malformed("an interface with a colon", line.bytes()))?;
    let name = String::from_utf8_lossy(line.bytes()[..colon].trim_ascii()).into();
    let mut fields = line.from(colon + 1).fields();
    let mut next = || fields.number("a count");
    let receive = Receive {
        bytes: next()?,
        packets: next()?,
        errs: next()?,
        drop: next()?,
        fifo: next()?,
        frame: next()?,
        compressed: next()?,
        multicast: next()?,
        nohandler: None,
    };
    let transmit = Transmit {
        bytes: next()?,
        packets: next()?,
        errs: next()?,
        drop: next()?,
        fifo: next()?,
        colls: next()?,
        carrier: next()?,
        compressed: next()?,
    };
    Ok(Link { name, receive, transmit, ..Link::default() })
}

type Column = (Family<1>, fn(&Link) -> Option<u64>);

const fn column(name: &'static str, help: &'static str, value: fn(&Link) -> Option<u64>) -> Column {
    (Family::counter(name, help, ["device"]), value)
}

const COLUMNS: [Column; 17] = [
    column("node_network_receive_bytes_total", "Bytes received", |l| Some(l.receive.bytes)),
    column("node_network_receive_compressed_total", "Compressed packets received", |l| Some(l.receive.compressed)),
    column("node_network_receive_drop_total", "Packets dropped on receive", |l| Some(l.receive.drop)),
    column("node_network_receive_errs_total", "Receive errors", |l| Some(l.receive.errs)),
    column("node_network_receive_fifo_total", "Receive FIFO errors", |l| Some(l.receive.fifo)),
    column("node_network_receive_frame_total", "Receive frame errors (length, CRC, alignment)", |l| {
        Some(l.receive.frame)
    }),
    column("node_network_receive_multicast_total", "Multicast packets received", |l| Some(l.receive.multicast)),
    column("node_network_receive_nohandler_total", "Packets received without a protocol handler", |l| {
        l.receive.nohandler
    }),
    column("node_network_receive_packets_total", "Packets received", |l| Some(l.receive.packets)),
    column("node_network_transmit_bytes_total", "Bytes transmitted", |l| Some(l.transmit.bytes)),
    column("node_network_transmit_carrier_total", "Transmit carrier errors", |l| Some(l.transmit.carrier)),
    column("node_network_transmit_colls_total", "Collisions", |l| Some(l.transmit.colls)),
    column("node_network_transmit_compressed_total", "Compressed packets transmitted", |l| Some(l.transmit.compressed)),
    column("node_network_transmit_drop_total", "Packets dropped on transmit", |l| Some(l.transmit.drop)),
    column("node_network_transmit_errs_total", "Transmit errors", |l| Some(l.transmit.errs)),
    column("node_network_transmit_fifo_total", "Transmit FIFO errors", |l| Some(l.transmit.fifo)),
    column("node_network_transmit_packets_total", "Packets transmitted", |l| Some(l.transmit.packets)),
];
const ADDRESS: Family<4> = Family::gauge(
    "node_network_address_info",
    "Address of the interface, always 1",
    ["address", "device", "netmask", "scope"],
);

const BYTES_SENT: Field<u64> = Field::new("bytes_sent", "bytes");
const BYTES_RECV: Field<u64> = Field::new("bytes_recv", "bytes");
const PACKETS_SENT: Field<u64> = Field::new("packets_sent", "packets");
const PACKETS_RECV: Field<u64> = Field::new("packets_recv", "packets");
const ERR_IN: Field<u64> = Field::new("err_in", "receive errors");
const ERR_OUT: Field<u64> = Field::new("err_out", "transmit errors");
const DROP_IN: Field<u64> = Field::new("drop_in", "packets dropped on receive");
const DROP_OUT: Field<u64> = Field::new("drop_out", "packets dropped on transmit");
const SPEED: Field<i64> = Field::new("speed", "Mbit/s; -1 if unknown");
const NET: Measurement<1> = Measurement::new(
    "net",
    ["interface"],
    &[
        BYTES_SENT.info(),
        BYTES_RECV.info(),
        PACKETS_SENT.info(),
        PACKETS_RECV.info(),
        ERR_IN.info(),
        ERR_OUT.info(),
        DROP_IN.info(),
        DROP_OUT.info(),
        SPEED.info(),
    ],
);

impl Reading for NetdevReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let is_available = |family: &Family<1>| {
            let parts = ["_bytes_total", "_packets_total", "_errs_total"];
            !self.is_coarse || parts.iter().any(|part| family.name().ends_with(part))
        };
        for (family, value) in COLUMNS.iter().filter(|(family, _)| is_available(family)) {
            let mut samples = out.family(family);
            for interface in self.interfaces.iter().filter(|interface| interface.wanted.families) {
                if let Some(value) = value(&interface.link) {
                    samples.sample([&interface.link.name], value);
                }
            }
        }
        let mut samples = out.family(&ADDRESS);
        for InterfaceAddress { device, address, prefix } in &self.addresses {
            samples.sample([&address.to_string(), device, &prefix.to_string(), scope(*address)], 1u64);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for Interface { link, speed, .. } in self.interfaces.iter().filter(|interface| interface.wanted.points) {
            let mut point = out.point(&NET, [&link.name]);
            point.field(&BYTES_SENT, link.transmit.bytes).field(&BYTES_RECV, link.receive.bytes);
            point.field(&PACKETS_SENT, link.transmit.packets).field(&PACKETS_RECV, link.receive.packets);
            point.field(&ERR_IN, link.receive.errs).field(&ERR_OUT, link.transmit.errs);
            if self.is_coarse {
                continue;
            }
            point.field(&DROP_IN, link.receive.drop).field(&DROP_OUT, link.transmit.drop);
            point.field(&SPEED, *speed);
        }
    }
}
