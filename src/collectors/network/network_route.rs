//! Routes of the host.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::netlink::{Peer, Question, attribute, attributes, ip_address, u16_at, u32_at};
use crate::host::{Host, ReadError};

/// `RTM_GETROUTE` of rtnetlink(7).
pub(super) struct NetworkRoute;

impl Collector for NetworkRoute {
    const ABOUT: About = About {
        name: "network_route",
        summary: "routes of the host",
        reads: &["rtnetlink(7)"],
        needs: "the network namespace of the host",
        on_by_default: Vocabularies::NONE,
        families: &[INFO.info(), ROUTES.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(_: &Host, _: &mut Section<'_>) -> Self {
        NetworkRoute
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const RTM_GETROUTE: u16 = 26;
        let mut routes = Vec::new();
        let request = Question { peer: Peer::Route, kind: RTM_GETROUTE, body: &[0; RTMSG] };
        cx.host.dump(request, cx.buffer, &mut |body| routes.extend(Route::read(body)))?;
        let links = cx.host.links(cx.round, cx.buffer).unwrap_or_default();
        let names: HashMap<u32, &str> =
            links.iter().map(|interface| (interface.link.index, &*interface.link.name)).collect();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for route in &routes {
            for (number, nexthop) in route.nexthops.iter().enumerate() {
                let device = names.get(&nexthop.interface).copied().unwrap_or_default();
                // The weight of a nexthop if there are several.
                let weight = if route.nexthops.len() > 1 { (nexthop.weight + 1).to_string() } else { String::new() };
                let text = |address: &Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
                let priority = route.priority.to_string();
                let gateway = text(&nexthop.gateway);
                let labels = [
                    &route.destination,
                    device,
                    &gateway,
                    &priority,
                    protocol(route.protocol),
                    &text(&route.source),
                    &weight,
                ];
                reading.put(&INFO, labels, 1u64);
                if number == 0 {
                    *counts.entry(device).or_default() += 1;
                }
            }
        }
        for (device, count) in counts {
            reading.put(&ROUTES, [device], count);
        }
        Ok(())
    }
}

/// `struct rtmsg` of include/uapi/linux/rtnetlink.h.
const RTMSG: usize = 12;

#[derive(Debug, Default)]
struct Route {
    destination: String,
    source: Option<IpAddr>,
    priority: u32,
    protocol: u8,
    nexthops: Vec<Nexthop>,
}

#[derive(Debug, Default)]
struct Nexthop {
    interface: u32,
    gateway: Option<IpAddr>,
    weight: u32,
}

impl Route {
    /// Parses a unicast route. `None` for local, broadcast and blackhole routes.
    fn read(body: &[u8]) -> Option<Route> {
        const RTN_UNICAST: u8 = 1;
        const RTA_DST: u16 = 1;
        const RTA_OIF: u16 = 4;
        const RTA_GATEWAY: u16 = 5;
        const RTA_PRIORITY: u16 = 6;
        const RTA_PREFSRC: u16 = 7;
        const RTA_MULTIPATH: u16 = 9;
        let header = body.get(..RTMSG)?;
        let (length, protocol, kind) = (header[1], header[5], header[7]);
        if kind != RTN_UNICAST {
            return None;
        }
        let mut route = Route { destination: "default".to_owned(), protocol, ..Route::default() };
        let mut single = Nexthop::default();
        for (kind, payload) in attributes(&body[RTMSG..]) {
            match kind {
                RTA_DST => {
                    if let Some(address) = ip_address(payload) {
                        route.destination = format!("{address}/{length}");
                    }
                }
                RTA_OIF => single.interface = u32_at(payload, 0),
                RTA_GATEWAY => single.gateway = ip_address(payload),
                RTA_PRIORITY => route.priority = u32_at(payload, 0),
                RTA_PREFSRC => route.source = ip_address(payload),
                RTA_MULTIPATH => route.nexthops = nexthops(payload),
                _ => {}
            }
        }
        if route.nexthops.is_empty() {
            route.nexthops.push(single);
        }
        Some(route)
    }
}

/// Parses a sequence of `struct rtnexthop`, each with its attributes.
fn nexthops(mut bytes: &[u8]) -> Vec<Nexthop> {
    const RTNEXTHOP: usize = 8;
    const RTA_GATEWAY: u16 = 5;
    let mut nexthops = Vec::new();
    while bytes.len() >= RTNEXTHOP {
        let length = u16_at(bytes, 0) as usize;
        let Some(nexthop) = bytes.get(RTNEXTHOP..length) else { break };
        let gateway = attribute(nexthop, RTA_GATEWAY).and_then(ip_address);
        nexthops.push(Nexthop { interface: u32_at(bytes, 4), gateway, weight: bytes[3].into() });
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    nexthops
}

/// Origin of a route: include/uapi/linux/rtnetlink.h, `RTPROT_*`.
fn protocol(number: u8) -> &'static str {
    match number {
        0 => "unspec",
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        10 => "mrt",
        11 => "zebra",
        12 => "bird",
        13 => "dnrouted",
        14 => "xorp",
        15 => "ntk",
        16 => "dhcp",
        17 => "mrouted",
        42 => "babel",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        _ => "unknown",
    }
}

const INFO: Family<7> = Family::gauge(
    "node_network_route_info",
    "Route, always 1",
    ["dest", "device", "gw", "priority", "proto", "src", "weight"],
);
const ROUTES: Family<1> = Family::gauge("node_network_routes", "Routes by interface", ["device"]);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_message_is_read_and_a_cut_one_does_no_harm() {
        let mut body = vec![2, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        body.extend([8, 0, 1, 0, 10, 1, 2, 0]);
        // Two nexthops: interface 2 with weight 0, interface 3 with weight 4 and a gateway.
        body.extend([28, 0, 9, 0, 8, 0, 0, 0, 2, 0, 0, 0]);
        body.extend([16, 0, 0, 4, 3, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 1]);
        let route = Route::read(&body).unwrap();
        assert_eq!((route.destination.as_str(), protocol(route.protocol)), ("10.1.2.0/24", "static"));
        let nexthops: Vec<(u32, u32, Option<IpAddr>)> =
            route.nexthops.iter().map(|nexthop| (nexthop.interface, nexthop.weight, nexthop.gateway)).collect();
        assert_eq!(nexthops, [(2, 0, None), (3, 4, Some(Ipv4Addr::new(10, 0, 0, 1).into()))]);
        for end in 0..body.len() {
            let _ = Route::read(&body[..end]);
        }
    }
}
