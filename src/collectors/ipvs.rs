//! The IP Virtual Server's connections and backends.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/net/ip_vs` and `ip_vs_stats`: net/netfilter/ipvs/ip_vs_ctl.c.
pub(super) struct Ipvs {
    stats: HostFile,
    backends: HostFile,
    /// Which of [`LABELS`] backends are told apart by.
    labels: [bool; LABELS.len()],
}

const BACKEND_LABELS: Key<Vec<String>> = Key::new(
    "backend_labels",
    "[\"local_address\", \"local_port\", \"remote_address\", \"remote_port\", \"proto\", \"local_mark\"]",
    "What backends are told apart by; those that are alike in it are added up.",
);
const LABELS: [&str; 6] = ["local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"];

/// Active and inactive connections, and weight.
type Counts = [u64; 3];

impl Collector for Ipvs {
    const ABOUT: About = About {
        name: "ipvs",
        summary: "connections of the IP Virtual Server, and its backends",
        reads: &["/proc/net/{ip_vs,ip_vs_stats}"],
        needs: "the kernel module ip_vs; root",
        keys: &[BACKEND_LABELS.info()],
        families: &[
            STATS[0].info(),
            STATS[1].info(),
            STATS[2].info(),
            STATS[3].info(),
            STATS[4].info(),
            BACKEND[0].info(),
            BACKEND[1].info(),
            BACKEND[2].info(),
        ],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let wanted = section.get(&BACKEND_LABELS);
        for label in wanted.iter().filter(|label| !LABELS.contains(&label.as_str())) {
            section.wrong("backend_labels", format!("expected some of {}, found {label:?}", LABELS.join(", ")));
        }
        Ipvs {
            stats: host.proc("net/ip_vs_stats"),
            backends: host.proc("net/ip_vs"),
            labels: LABELS.map(|label| wanted.iter().any(|wanted| wanted == label)),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEAD_LINES: usize = 2;
        let text = self.stats.read(cx.buffer)?;
        let line = text.lines().nth(HEAD_LINES).unwrap_or(text.end());
        let mut fields = line.fields();
        for family in &STATS {
            let field = fields.required("a hexadecimal count")?;
            reading.put(family, [], hex(field).ok_or_else(|| line.malformed("a hexadecimal count", field))?);
        }
        for (labels, counts) in self.read_backends(cx)? {
            let labels = labels.each_ref().map(String::as_str);
            for (family, count) in BACKEND.iter().zip(counts) {
                reading.put(family, labels, count);
            }
        }
        Ok(())
    }
}

impl Ipvs {
    fn read_backends(
        &mut self,
        cx: &mut ReadContext<'_>,
    ) -> Result<BTreeMap<[String; LABELS.len()], Counts>, ReadError> {
        let mut backends: BTreeMap<[String; LABELS.len()], Counts> = BTreeMap::new();
        let (mut proto, mut local) = (String::new(), String::new());
        for line in self.backends.read(cx.buffer)?.lines() {
            let mut fields = line.fields();
            match fields.next() {
                Some(b"TCP" | b"UDP" | b"SCTP" | b"FWM") => {
                    let mut fields = line.fields();
                    proto = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
                    local = String::from_utf8_lossy(fields.required("an address")?).into_owned();
                }
                Some(b"->") if !proto.is_empty() => {
                    let (labels, counts) = backend(line, &proto, &local)?;
                    let mut labels = labels;
                    labels
                        .iter_mut()
                        .zip(self.labels)
                        .filter(|(_, wanted)| !wanted)
                        .for_each(|(label, _)| label.clear());
                    let sums = backends.entry(labels).or_default();
                    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
                }
                _ => {}
            }
        }
        Ok(backends)
    }
}

fn backend(line: Line<'_>, proto: &str, local: &str) -> Result<([String; LABELS.len()], Counts), ReadError> {
    let mut fields = line.fields();
    fields.next();
    let remote = fields.required("an address")?;
    let place = |text: &str| address(text).ok_or_else(|| line.malformed("an address and a port", text.as_bytes()));
    let (remote_address, remote_port) = place(&String::from_utf8_lossy(remote))?;
    let (local_address, local_port, local_mark) = match proto {
        // Chosen by a firewall's mark, and not by an address.
        "FWM" => (String::new(), "0".to_owned(), local.to_owned()),
        _ => {
            let (address, port) = place(local)?;
            (address, port, String::new())
        }
    };
    fields.next();
    let weight = fields.number::<u64>("a weight")?;
    let active = fields.number::<u64>("a count of connections")?;
    let inactive = fields.number::<u64>("a count of connections")?;
    let labels = [local_address, local_mark, local_port, proto.to_owned(), remote_address, remote_port];
    Ok((labels, [active, inactive, weight]))
}

/// `C0A80016:0CEA`, or `[2001:0db8:…]:0CEA`.
fn address(text: &str) -> Option<(String, String)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[') {
        Some(inner) => IpAddr::V6(inner.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?)),
    };
    Some((address.to_string(), port.to_string()))
}

fn hex(field: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
}

const STATS: [Family<0>; 5] = [
    Family::counter("node_ipvs_connections_total", "Connections that were made.", []),
    Family::counter("node_ipvs_incoming_packets_total", "Packets that came in.", []),
    Family::counter("node_ipvs_outgoing_packets_total", "Packets that went out.", []),
    Family::counter("node_ipvs_incoming_bytes_total", "Bytes that came in.", []),
    Family::counter("node_ipvs_outgoing_bytes_total", "Bytes that went out.", []),
];
const BACKEND: [Family<6>; 3] = [
    Family::gauge("node_ipvs_backend_connections_active", "Connections to the backend that are active.", LABELS),
    Family::gauge("node_ipvs_backend_connections_inactive", "Connections to the backend that are not active.", LABELS),
    Family::gauge("node_ipvs_backend_weight", "Weight of the backend.", LABELS),
];
