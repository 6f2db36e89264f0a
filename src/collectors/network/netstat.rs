//! Counters of network protocols.

use std::sync::Arc;

use regex::Regex;

use crate::collectors::framework::keys::{Keys, Known};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::point::FieldInfo;
use crate::encode::{FamilyWriter, Kind, Measurement, Pattern, PointWriter};
use crate::host::{Host, Line, ReadError, SharedFile, Text};

pub(super) struct Netstat {
    files: [StatFile; 3],
    fields: Regex,
    dump_zeros: bool,
}

const FIELDS: Key<Regex> = Key::new(
    "fields",
    "'^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$'",
    "Counters, as PROTOCOL_NAME, that become families. All counters are pushed.",
);
const DUMP_ZEROS: Key<bool> = Key::new("dump_zeros", "true", "Also push counters that are zero.");

/// A file and its known keys.
struct StatFile {
    name: &'static str,
    file: SharedFile,
    keys: Keys<Names>,
}

/// Name of a counter. The key is the protocol followed by the name, such as `Tcp: InSegs` or `Ip6InOctets`.
struct Names {
    /// Length of the protocol in the key, in bytes.
    protocol_ends: usize,
    in_families: bool,
}

/// Counters with their names.
type Counters = Vec<(Arc<Known<Names>>, i128)>;

/// `/proc/net/netstat`, `snmp` and `snmp6`: net/ipv4/proc.c and net/ipv6/proc.c.
#[derive(Default)]
pub(super) struct NetstatReading {
    files: Vec<(&'static str, Counters)>,
    dump_zeros: bool,
}

impl Collector for Netstat {
    const ABOUT: About = About {
        name: "netstat",
        summary: "counters of network protocols; pushed as `nstat`, and as `net` with `interface=all`",
        reads: &["/proc/net/netstat", "/proc/net/snmp", "/proc/net/snmp6"],
        needs: "the network namespace of the host",
        keys: &[FIELDS.info()],
        point_keys: &[DUMP_ZEROS.info()],
        families: &[NETSTAT.info()],
        measurements: &[NSTAT.info(), NET.info()],
        ..About::PLAIN
    };
    type Reading = NetstatReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let source = |name| StatFile { name, file: host.shared_proc(format!("net/{name}")), keys: Keys::default() };
        Netstat {
            files: ["netstat", "snmp", "snmp6"].map(source),
            fields: section.get(&FIELDS),
            dump_zeros: section.table("points").get(&DUMP_ZEROS),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut NetstatReading) -> Result<(), ReadError> {
        reading.dump_zeros = self.dump_zeros;
        let mut unused = std::mem::take(&mut reading.files).into_iter().map(|(_, values)| values);
        for source in &mut self.files {
            let text = match source.file.read(cx.round, cx.buffer) {
                Ok(text) => text,
                // Without IPv6 the file does not exist.
                Err(error) if error.is_absent() && source.name == "snmp6" => continue,
                Err(error) => {
                    cx.problems.push(error);
                    continue;
                }
            };
            let mut columns = Columns {
                keys: &mut source.keys,
                fields: &self.fields,
                all: cx.wanted.points,
                index: 0,
                values: unused.next().unwrap_or_default(),
            };
            columns.values.clear();
            if source.name == "snmp6" {
                columns.read_pairs(text, cx.problems);
            } else {
                columns.read_row_pairs(text, cx.problems);
            }
            reading.files.push((source.name, columns.values));
        }
        Ok(())
    }
}

/// The counters of one file while it is read.
struct Columns<'a> {
    keys: &'a mut Keys<Names>,
    fields: &'a Regex,
    /// Whether all counters are wanted, or only those of families.
    all: bool,
    index: usize,
    values: Counters,
}

impl Columns<'_> {
    /// Reads pairs of lines: `Tcp: InSegs OutSegs` and `Tcp: 1 2`.
    fn read_row_pairs(&mut self, text: Text<'_>, problems: &mut Vec<ReadError>) {
        let mut lines = text.lines();
        while let Some(header) = lines.next() {
            let values = lines.next().unwrap_or_else(|| text.end());
            if let Err(error) = self.read_row(header, values) {
                problems.push(error);
            }
        }
    }

    fn read_row(&mut self, header: Line<'_>, values: Line<'_>) -> Result<(), ReadError> {
        const VALUES: &str = "the values of the protocol of the line above";
        let (mut names, mut counts) = (header.fields(), values.fields());
        let protocol = names.required("a protocol")?;
        let repeated = counts.required(VALUES)?;
        if repeated != protocol {
            return Err(values.malformed(VALUES, repeated));
        }
        let protocol = protocol.strip_suffix(b":").unwrap_or(protocol);
        let mut problem = Ok(());
        for name in names {
            let Some(known) = self.wanted(protocol, name) else {
                counts.next();
                continue;
            };
            match counts.number("a count for each name in the line above") {
                Ok(count) => self.values.push((known, count)),
                Err(error) => problem = problem.and(Err(error)),
            }
        }
        problem
    }

    /// Reads lines such as `Ip6InOctets 1`. The protocol ends with the 6.
    fn read_pairs(&mut self, text: Text<'_>, problems: &mut Vec<ReadError>) {
        for line in text.lines() {
            let mut fields = line.fields();
            let Some(key) = fields.next() else { continue };
            let Some(digit) = memchr::memchr(b'6', key) else { continue };
            let (protocol, name) = key.split_at(digit + 1);
            let Some(known) = self.wanted(protocol, name) else { continue };
            match fields.number("a count") {
                Ok(count) => self.values.push((known, count)),
                Err(error) => problems.push(error),
            }
        }
    }

    /// The names of the next counter. `None` if it is not wanted.
    fn wanted(&mut self, protocol: &[u8], name: &[u8]) -> Option<Arc<Known<Names>>> {
        let make = |key: &str| Names {
            protocol_ends: String::from_utf8_lossy(protocol).len(),
            in_families: self.fields.is_match(key),
        };
        let known = self.keys.at(self.index, &[protocol, b"_", name], make);
        self.index += 1;
        (known.made.in_families || self.all).then(|| known.clone())
    }
}

const NETSTAT: Pattern = Pattern::new("node_netstat_", "", Kind::Untyped, "node_netstat_PROTOCOL_KEY")
    .help(" of /proc/net/netstat, snmp or snmp6");
const NSTAT: Measurement<1> = Measurement::new(
    "nstat",
    ["name"],
    &[FieldInfo { name: "PROTOCOLKEY", help: "each counter of the file in `name`", type_name: "integer" }],
);
const NET: Measurement<1> = Measurement::new(
    "net",
    ["interface"],
    &[FieldInfo {
        name: "protocol_key",
        help: "each counter of /proc/net/snmp in lower case, such as tcp_retranssegs; with `interface=all`",
        type_name: "integer",
    }],
);

impl Reading for NetstatReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (known, count) in self.files.iter().flat_map(|(_, values)| values) {
            if known.made.in_families {
                out.keyed(&NETSTAT, &known.key, *count);
            }
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (name, values) in &self.files {
            let mut point = out.point(&NSTAT, [name]);
            for (known, count) in values.iter().filter(|(_, count)| self.dump_zeros || *count != 0) {
                let (protocol, key) = known.key.split_at(known.made.protocol_ends);
                point.free_field::<i128>(&[protocol, &key[1..]], *count);
            }
        }
        if let Some((_, values)) = self.files.iter().find(|(name, _)| *name == "snmp") {
            let mut point = out.point(&NET, ["all"]);
            for (known, count) in values {
                point.free_field::<i128>(&[&known.key.to_ascii_lowercase()], *count);
            }
        }
    }
}
