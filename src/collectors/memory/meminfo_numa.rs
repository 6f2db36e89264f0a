//! Memory usage by NUMA node.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::{Family, Value};
use crate::host::devices::number_in;
use crate::host::{Devices, Host, ReadError};

/// `/sys/devices/system/node/node*`: drivers/base/node.c.
pub(super) struct MeminfoNuma {
    nodes: Devices,
}

impl Collector for MeminfoNuma {
    const ABOUT: About = About {
        name: "meminfo_numa",
        summary: "memory usage by NUMA node",
        reads: &["/sys/devices/system/node/node*/{meminfo,numastat}"],
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 7>(&[&[MEMORY.info()], &infos!(COUNTERS.1)]),
        may_be_absent: true,
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        MeminfoNuma { nodes: host.devices("devices/system/node") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let is_node = |name: &str| number_in(name, "node").is_some();
        for (name, device) in self.nodes.look(is_node)? {
            let node = &name["node".len()..];
            if let Some(text) = device.text("meminfo", cx.buffer) {
                // "Node 0 Active(anon):   12 kB"
                for line in text.lines() {
                    let mut fields = line.fields();
                    let Some(key) = fields.nth(2) else { continue };
                    let key = String::from_utf8_lossy(key).trim_end_matches([':', ')']).replace('(', "_");
                    match fields.number::<u64>("a number") {
                        Ok(number) => {
                            let unit = if fields.next() == Some(b"kB") { 1024 } else { 1 };
                            reading.put_keyed(&MEMORY, &key, [node], Value::product(number, unit));
                        }
                        Err(problem) => cx.problems.push(problem),
                    }
                }
            }
            if let Some(text) = device.text("numastat", cx.buffer) {
                for line in text.lines() {
                    let mut fields = line.fields();
                    let key = fields.next().unwrap_or_default();
                    if let Some((_, family)) = COUNTERS.iter().find(|(known, _)| known.as_bytes() == key) {
                        reading.put_some(family, [node], cx.problems.part(fields.number::<u64>("a count of pages")));
                    }
                }
            }
        }
        Ok(())
    }
}

const MEMORY: Family<1> = Family::gauge(
    "node_memory_numa_KEY",
    "Value of the key in meminfo of the NUMA node, in bytes or huge pages",
    ["node"],
);
const fn counter(name: &'static str, help: &'static str) -> Family<1> {
    Family::counter(name, help, ["node"])
}
const COUNTERS: &[(&str, Family<1>)] = &[
    (
        "interleave_hit",
        counter(
            "node_memory_numa_interleave_hit_total",
            "Interleaved allocations that got a page on the intended node",
        ),
    ),
    (
        "local_node",
        counter("node_memory_numa_local_node_total", "Pages allocated on the node by processes running on it"),
    ),
    (
        "numa_foreign",
        counter("node_memory_numa_numa_foreign_total", "Pages intended for the node but allocated on another node"),
    ),
    ("numa_hit", counter("node_memory_numa_numa_hit_total", "Pages intended for the node and allocated on it")),
    (
        "numa_miss",
        counter("node_memory_numa_numa_miss_total", "Pages allocated on the node but intended for another node"),
    ),
    (
        "other_node",
        counter("node_memory_numa_other_node_total", "Pages allocated on the node by processes running on other nodes"),
    ),
];
