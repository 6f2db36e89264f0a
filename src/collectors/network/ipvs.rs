//! IP Virtual Server (IPVS).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/net/ip_vs` and `ip_vs_stats`: net/netfilter/ipvs/ip_vs_ctl.c.
pub(super) struct Ipvs {
    stats: HostFile,
    backends: HostFile,
    /// Selects the [`LABELS`] of the backends.
    labels: [bool; LABELS.len()],
}

const BACKEND_LABELS: Key<Vec<String>> = Key::new(
    "backend_labels",
    "[\"local_address\", \"local_port\", \"remote_address\", \"remote_port\", \"proto\", \"local_mark\"]",
    "Labels of the backends; backends with equal labels are summed.",
);
const LABELS: [&str; 6] = ["local_address", "local_mark", "local_port", "proto", "remote_address", "remote_port"];

/// Active connections, inactive connections and weight.
type Counts = [u64; 3];

impl Collector for Ipvs {
    const ABOUT: About = About {
        name: "ipvs",
        summary: "IP Virtual Server (IPVS): connections, traffic and backends",
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
        let wanted = section.some_of(&BACKEND_LABELS, &LABELS);
        Ipvs {
            stats: host.proc("net/ip_vs_stats"),
            backends: host.proc("net/ip_vs"),
            labels: LABELS.map(|label| wanted.iter().any(|wanted| wanted == label)),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEADER_LINES: usize = 2;
        let text = self.stats.read(cx.buffer)?;
        let line = text.lines().nth(HEADER_LINES).unwrap_or(text.end());
        let mut fields = line.fields();
        for family in &STATS {
            let field = fields.next().unwrap_or_default();
            let count = hex(field).ok_or_else(|| line.malformed("a hexadecimal count", field));
            reading.put_some(family, [], cx.problems.part(count));
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
                    let address = cx.problems.part(fields.required("an address")).unwrap_or_default();
                    local = String::from_utf8_lossy(address).into_owned();
                }
                Some(b"->") if !proto.is_empty() => {
                    let Some((mut labels, counts)) = cx.problems.part(backend(line, &proto, &local)) else { continue };
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
    let parse = |text: &str| address(text).ok_or_else(|| line.malformed("an address and a port", text.as_bytes()));
    let (remote_address, remote_port) = parse(&String::from_utf8_lossy(remote))?;
    let (local_address, local_port, local_mark) = match proto {
        // Selected by a firewall mark, not by an address.
        "FWM" => (String::new(), "0".to_owned(), local.to_owned()),
        _ => {
            let (address, port) = parse(local)?;
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

/// Parses `C0A80016:0CEA` or `[2001:0db8:…]:0CEA`.
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
    Family::counter("node_ipvs_connections_total", "IPVS connections", []),
    Family::counter("node_ipvs_incoming_packets_total", "Incoming packets", []),
    Family::counter("node_ipvs_outgoing_packets_total", "Outgoing packets", []),
    Family::counter("node_ipvs_incoming_bytes_total", "Incoming bytes", []),
    Family::counter("node_ipvs_outgoing_bytes_total", "Outgoing bytes", []),
];
const BACKEND: [Family<6>; 3] = [
    Family::gauge("node_ipvs_backend_connections_active", "Active connections by backend", LABELS),
    Family::gauge("node_ipvs_backend_connections_inactive", "Inactive connections by backend", LABELS),
    Family::gauge("node_ipvs_backend_weight", "Weight of the backend", LABELS),
];
