//! Receive backlog statistics by CPU.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/net/softnet_stat`: net/core/net-procfs.c, `softnet_seq_show`.
pub(super) struct Softnet {
    stat: HostFile,
}

impl Collector for Softnet {
    const ABOUT: About = About {
        name: "softnet",
        summary: "packets processed and dropped by the receive backlog of each CPU",
        reads: &["/proc/net/softnet_stat"],
        families: &concat::<_, 7>(&[&infos!(COUNTERS.0), &[BACKLOG.info()]]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Softnet { stat: host.proc("net/softnet_stat") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (index, line) in self.stat.read(cx.buffer)?.lines().enumerate() {
            let Some(columns) = cx.problems.part(columns(line)) else { continue };
            // Before Linux 5.10 the lines have no CPU number. They follow the order of the online CPUs.
            let cpu = columns.get(CPU).map_or(index as u64, |cpu| u64::from(*cpu)).to_string();
            for (family, column) in COUNTERS {
                reading.put_some(family, [&cpu], columns.get(*column).map(|count| u64::from(*count)));
            }
            reading.put_some(&BACKLOG, [&cpu], columns.get(BACKLOG_COLUMN).map(|count| u64::from(*count)));
        }
        Ok(())
    }
}

fn columns(line: Line<'_>) -> Result<Vec<u32>, ReadError> {
    let number = |field: &[u8]| {
        let digits = std::str::from_utf8(field).ok();
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| line.malformed("a hexadecimal count", field))
    };
    line.fields().map(number).collect()
}

const BACKLOG_COLUMN: usize = 11;
const CPU: usize = 12;

/// Families with their columns.
const COUNTERS: &[(Family<1>, usize)] = &[
    (Family::counter("node_softnet_processed_total", "Packets processed", ["cpu"]), 0),
    (Family::counter("node_softnet_dropped_total", "Packets dropped because the backlog queue was full", ["cpu"]), 1),
    (
        Family::counter(
            "node_softnet_times_squeezed_total",
            "Receive rounds that ended before the queue was empty (time squeeze)",
            ["cpu"],
        ),
        2,
    ),
    (
        Family::counter(
            "node_softnet_cpu_collision_total",
            "Collisions on the device lock while transmitting",
            ["cpu"],
        ),
        8,
    ),
    (
        Family::counter(
            "node_softnet_received_rps_total",
            "Inter-processor interrupts from RPS to process packets",
            ["cpu"],
        ),
        9,
    ),
    (Family::counter("node_softnet_flow_limit_count_total", "Times the flow limit was reached", ["cpu"]), 10),
];
const BACKLOG: Family<1> = Family::gauge("node_softnet_backlog_len", "Length of the backlog queue in packets", ["cpu"]);
