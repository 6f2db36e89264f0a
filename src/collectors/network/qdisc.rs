//! Queueing disciplines (qdiscs) of network interfaces.

use std::collections::HashMap;

use regex::Regex;

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::netlink::{self, Peer, Question, attributes, u32_at, u64_at};
use crate::host::{Host, ReadError};

/// `RTM_GETQDISC` of rtnetlink(7).
pub(super) struct Qdisc {
    wanted: Filter,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Interfaces to leave out of the families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these interfaces in the families; instead of `device_exclude`.");

impl Collector for Qdisc {
    const ABOUT: About = About {
        name: "qdisc",
        summary: "queueing disciplines (qdiscs) of network interfaces",
        reads: &["rtnetlink(7)"],
        needs: "the network namespace of the host",
        on_by_default: Vocabularies::NONE,
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info()],
        families: &[
            BYTES.info(),
            PACKETS.info(),
            DROPS.info(),
            REQUEUES.info(),
            OVERLIMITS.info(),
            LENGTH.info(),
            BACKLOG.info(),
        ],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        Qdisc { wanted: section.optional_include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const RTM_GETQDISC: u16 = 38;
        let mut roots = Vec::new();
        let request = Question { peer: Peer::Route, kind: RTM_GETQDISC, body: &[0; TCMSG] };
        cx.host.dump(request, cx.buffer, &mut |body| roots.extend(Root::read(body)))?;
        let links = cx.host.links(cx.round, cx.buffer).unwrap_or_default();
        let names: HashMap<u32, &str> =
            links.iter().map(|interface| (interface.link.index, &*interface.link.name)).collect();
        for root in roots {
            let Some(device) = names.get(&root.interface).filter(|device| self.wanted.wants(device)) else { continue };
            let labels = [*device, root.kind.as_str()];
            reading.put(&BYTES, labels, root.bytes);
            for (family, count) in [&PACKETS, &DROPS, &REQUEUES, &OVERLIMITS, &LENGTH, &BACKLOG].into_iter().zip([
                root.packets,
                root.drops,
                root.requeues,
                root.overlimits,
                root.length,
                root.backlog,
            ]) {
                reading.put(family, labels, u64::from(count));
            }
        }
        Ok(())
    }
}

/// `struct tcmsg` of include/uapi/linux/rtnetlink.h.
const TCMSG: usize = 20;

/// The root qdisc of an interface.
#[derive(Debug, Default, PartialEq)]
struct Root {
    interface: u32,
    kind: String,
    bytes: u64,
    packets: u32,
    drops: u32,
    requeues: u32,
    overlimits: u32,
    length: u32,
    backlog: u32,
}

impl Root {
    fn read(body: &[u8]) -> Option<Root> {
        const TC_H_ROOT: u32 = 0xffff_ffff;
        const TCA_KIND: u16 = 1;
        const TCA_STATS2: u16 = 7;
        let header = body.get(..TCMSG)?;
        if u32_at(header, 12) != TC_H_ROOT {
            return None;
        }
        let mut root = Root { interface: u32_at(header, 4), ..Root::default() };
        for (kind, payload) in attributes(&body[TCMSG..]) {
            match kind {
                TCA_KIND => root.kind = netlink::text(payload),
                TCA_STATS2 => root.read_stats(payload),
                _ => {}
            }
        }
        Some(root)
    }

    /// `struct gnet_stats_basic` and `gnet_stats_queue` of include/uapi/linux/gen_stats.h.
    fn read_stats(&mut self, stats: &[u8]) {
        const TCA_STATS_BASIC: u16 = 1;
        const TCA_STATS_QUEUE: u16 = 3;
        for (kind, payload) in attributes(stats) {
            match kind {
                TCA_STATS_BASIC => (self.bytes, self.packets) = (u64_at(payload, 0), u32_at(payload, 8)),
                TCA_STATS_QUEUE => {
                    let number = |index: usize| u32_at(payload, index * 4);
                    (self.length, self.backlog, self.drops) = (number(0), number(1), number(2));
                    (self.requeues, self.overlimits) = (number(3), number(4));
                }
                _ => {}
            }
        }
    }
}

const QUEUE: [&str; 2] = ["device", "kind"];
const BYTES: Family<2> = Family::counter("node_qdisc_bytes_total", "Bytes sent", QUEUE);
const PACKETS: Family<2> = Family::counter("node_qdisc_packets_total", "Packets sent", QUEUE);
const DROPS: Family<2> = Family::counter("node_qdisc_drops_total", "Packets dropped", QUEUE);
const REQUEUES: Family<2> = Family::counter("node_qdisc_requeues_total", "Packets requeued", QUEUE);
const OVERLIMITS: Family<2> = Family::counter("node_qdisc_overlimits_total", "Packets over the limit", QUEUE);
const LENGTH: Family<2> = Family::gauge("node_qdisc_current_queue_length", "Current queue length in packets", QUEUE);
const BACKLOG: Family<2> = Family::gauge("node_qdisc_backlog", "Backlog in bytes", QUEUE);

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((payload.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_message_is_read_and_a_cut_one_does_no_harm() {
        let mut body = vec![0; TCMSG];
        body[4] = 3;
        body[12..16].fill(0xff);
        body.extend(attribute(1, b"fq_codel\0"));
        let basic = [500u64.to_ne_bytes().as_slice(), &[7, 0, 0, 0]].concat();
        let queue: Vec<u8> = [1u32, 2, 3, 4, 5].iter().flat_map(|number| number.to_ne_bytes()).collect();
        body.extend(attribute(7, &[attribute(1, &basic), attribute(3, &queue)].concat()));
        let expected = Root {
            interface: 3,
            kind: "fq_codel".to_owned(),
            bytes: 500,
            packets: 7,
            length: 1,
            backlog: 2,
            drops: 3,
            requeues: 4,
            overlimits: 5,
        };
        assert_eq!(Root::read(&body), Some(expected));
        for end in 0..body.len() {
            let _ = Root::read(&body[..end]);
        }
    }
}
