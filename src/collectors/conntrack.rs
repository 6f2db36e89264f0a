//! The connections that netfilter tracks.

use super::{About, Collector, ReadContext, Reading, Since};
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
    /// Entries, and how many there may be.
    entries: Option<(u64, u64)>,
    /// The sums of all CPUs, as [`STATS`].
    stats: Option<[u64; STATS.len()]>,
}

impl Collector for Conntrack {
    const ABOUT: About = About {
        name: "conntrack",
        summary: "the connections that netfilter tracks, and their limit",
        reads: &["/proc/sys/net/netfilter/nf_conntrack_{count,max}", "/proc/net/stat/nf_conntrack"],
        needs: "the kernel module nf_conntrack; the host's network namespace",
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
        let count = self.count.read(cx.buffer)?.number("a count of entries")?;
        let max = self.max.read(cx.buffer)?.number("the highest count of entries")?;
        reading.entries = Some((count, max));
        let mut sums = [0u64; STATS.len()];
        const HEAD_LINES: usize = 1;
        for line in self.stat.read(cx.buffer)?.lines().skip(HEAD_LINES) {
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
    Family::gauge("node_nf_conntrack_entries", "Connections that are tracked.", []),
    Family::gauge("node_nf_conntrack_entries_limit", "Connections that may be tracked at the most.", []),
];

const fn stat(name: &'static str, help: &'static str, column: usize) -> (Family<0>, usize) {
    (Family::gauge(name, help, []), column)
}

/// Each with its column in the file.
const STATS: [(Family<0>, usize); 8] = [
    stat("node_nf_conntrack_stat_drop", "Packets dropped because their connection could not be tracked.", 10),
    stat("node_nf_conntrack_stat_early_drop", "Connections dropped to make room for others.", 11),
    stat("node_nf_conntrack_stat_found", "Lookups that found a connection.", 2),
    stat("node_nf_conntrack_stat_ignore", "Packets of connections that are tracked already.", 5),
    stat("node_nf_conntrack_stat_insert", "Connections that were inserted.", 8),
    stat("node_nf_conntrack_stat_insert_failed", "Connections that could not be inserted.", 9),
    stat("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked.", 4),
    stat("node_nf_conntrack_stat_search_restart", "Lookups that began anew as the table was resized.", 16),
];

const COUNT: Field<f64> = Field::new("ip_conntrack_count", "connections that are tracked");
const MAX: Field<f64> = Field::new("ip_conntrack_max", "connections that may be tracked at the most");
const CONNTRACK: Measurement<0> = Measurement::new("conntrack", [], &[COUNT.info(), MAX.info()]);

impl Reading for ConntrackReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if let Some((count, max)) = self.entries {
            for (family, value) in LIMITS.iter().zip([count, max]) {
                out.value(family, value);
            }
        }
        for ((family, _), sum) in STATS.iter().zip(self.stats.iter().flatten()) {
            out.value(family, *sum);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        if let Some((count, max)) = self.entries {
            out.point(&CONNTRACK, []).field(&COUNT, count as f64).field(&MAX, max as f64);
        }
    }
}
