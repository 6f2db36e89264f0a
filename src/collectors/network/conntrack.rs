//! Connection tracking of netfilter.

use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::Section;
use crate::encode::family::FamilyInfo;
use crate::encode::infos::{concat, infos};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, Line, ReadError};

pub(super) struct Conntrack {
    count: HostFile,
    max: HostFile,
    stat: HostFile,
}

/// `/proc/sys/net/netfilter`, and `/proc/net/stat/nf_conntrack`: net/netfilter/nf_conntrack_standalone.c,
/// `ct_cpu_seq_show`.
#[derive(Default)]
pub(super) struct ConntrackReading {
    /// Number of entries and its limit.
    entries: [Option<u64>; 2],
    /// Sums over all CPUs, in the order of [`STATS`].
    stats: Option<[u64; STATS.len()]>,
}

impl Collector for Conntrack {
    const ABOUT: About = About {
        name: "conntrack",
        summary: "connection tracking entries and statistics of netfilter",
        reads: &["/proc/sys/net/netfilter/nf_conntrack_{count,max}", "/proc/net/stat/nf_conntrack"],
        needs: "the kernel module nf_conntrack; the network namespace of the host",
        families: &concat::<FamilyInfo, 10>(&[&infos!(LIMITS), &infos!(STATS.0)]),
        measurements: &[CONNTRACK.info()],
        ..About::PLAIN
    };
    type Reading = ConntrackReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let limit = |name| host.proc(format!("sys/net/netfilter/nf_conntrack_{name}")).one_record();
        Conntrack { count: limit("count"), max: limit("max"), stat: host.proc("net/stat/nf_conntrack") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ConntrackReading) -> Result<(), ReadError> {
        *reading = ConntrackReading::default();
        let count = self.count.read(cx.buffer)?.number("a count of entries");
        let count = cx.part(count);
        let max = self.max.read(cx.buffer)?.number("the highest count of entries");
        reading.entries = [count, cx.part(max)];
        let mut sums = [0u64; STATS.len()];
        const HEADER_LINES: usize = 1;
        for line in self.stat.read(cx.buffer)?.lines().skip(HEADER_LINES) {
            add_cpu(line, &mut sums)?;
        }
        reading.stats = Some(sums);
        Ok(())
    }
}

fn add_cpu(line: Line<'_>, sums: &mut [u64; STATS.len()]) -> Result<(), ReadError> {
    for ((_, column), sum) in STATS.iter().zip(sums) {
        let field = line.fields().nth(*column).unwrap_or_default();
        let count = std::str::from_utf8(field).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        *sum = sum.wrapping_add(count.ok_or_else(|| line.malformed("a hexadecimal count", field))?);
    }
    Ok(())
}

const LIMITS: [Family<0>; 2] = [
    Family::gauge("node_nf_conntrack_entries", "Connection tracking entries", []),
    Family::gauge("node_nf_conntrack_entries_limit", "Maximum number of connection tracking entries", []),
];

const fn stat(name: &'static str, help: &'static str, column: usize) -> (Family<0>, usize) {
    (Family::gauge(name, help, []), column)
}

/// Each with its column in the file.
const STATS: [(Family<0>, usize); 8] = [
    stat("node_nf_conntrack_stat_drop", "Packets dropped because connection tracking failed", 10),
    stat("node_nf_conntrack_stat_early_drop", "Entries dropped to make room for new ones when the table was full", 11),
    stat("node_nf_conntrack_stat_found", "Successful entry lookups", 2),
    stat("node_nf_conntrack_stat_ignore", "Packets already connected to an entry", 5),
    stat("node_nf_conntrack_stat_insert", "Entries inserted", 8),
    stat("node_nf_conntrack_stat_insert_failed", "Failed entry insertions", 9),
    stat("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked", 4),
    stat("node_nf_conntrack_stat_search_restart", "Lookups restarted because the table was resized", 16),
];

const COUNT: Field<f64> = Field::new("ip_conntrack_count", "connection tracking entries");
const MAX: Field<f64> = Field::new("ip_conntrack_max", "maximum number of connection tracking entries");
const CONNTRACK: Measurement<0> = Measurement::new("conntrack", [], &[COUNT.info(), MAX.info()]);

impl Reading for ConntrackReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (family, value) in LIMITS.iter().zip(self.entries) {
            value.into_iter().for_each(|value| out.value(family, value));
        }
        for ((family, _), sum) in STATS.iter().zip(self.stats.iter().flatten()) {
            out.value(family, *sum);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&CONNTRACK, []);
        for (field, value) in [&COUNT, &MAX].into_iter().zip(self.entries) {
            value.into_iter().for_each(|value| _ = point.field(field, value as f64));
        }
    }
}
