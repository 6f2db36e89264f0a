//! Memory by NUMA node.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::devices::number_in;
use crate::host::{Devices, Host, ReadError};

/// `/sys/devices/system/node/node*`: drivers/base/node.c.
pub(super) struct MeminfoNuma {
    nodes: Devices,
}

impl Collector for MeminfoNuma {
    const ABOUT: About = About {
        name: "meminfo_numa",
        summary: "memory by NUMA node",
        reads: &["/sys/devices/system/node/node*/{meminfo,numastat}"],
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 7>(&[&[MEMORY.info()], &infos!(COUNTERS.1)]),
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
                    let mut fields = line.fields().skip(2);
                    let (Some(key), Some(number)) = (fields.next(), fields.next()) else { continue };
                    let key = String::from_utf8_lossy(key).trim_end_matches([':', ')']).replace('(', "_");
                    let unit = if fields.next() == Some(b"kB") { 1024 } else { 1 };
                    let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse::<u64>().ok());
                    if let Some(number) = number {
                        reading.put_keyed(&MEMORY, &key, [node], number.saturating_mul(unit));
                    }
                }
            }
            if let Some(text) = device.text("numastat", cx.buffer) {
                for line in text.lines() {
                    let mut fields = line.fields();
                    let key = fields.next().unwrap_or_default();
                    if let Some((_, family)) = COUNTERS.iter().find(|(known, _)| known.as_bytes() == key) {
                        reading.put(family, [node], fields.number::<u64>("a count of pages")?);
                    }
                }
            }
        }
        Ok(())
    }
}

const MEMORY: Family<1> =
    Family::gauge("node_memory_numa_KEY", "Memory of the node under this name, in bytes or in huge pages.", ["node"]);
const fn counter(name: &'static str, help: &'static str) -> Family<1> {
    Family::counter(name, help, ["node"])
}
const COUNTERS: &[(&str, Family<1>)] = &[
    (
        "interleave_hit",
        counter("node_memory_numa_interleave_hit_total", "Interleaved pages that were got here as wished."),
    ),
    ("local_node", counter("node_memory_numa_local_node_total", "Pages that a process on the node got here.")),
    ("numa_foreign", counter("node_memory_numa_numa_foreign_total", "Pages that were wished here and got elsewhere.")),
    ("numa_hit", counter("node_memory_numa_numa_hit_total", "Pages that were wished and got here.")),
    ("numa_miss", counter("node_memory_numa_numa_miss_total", "Pages that were wished elsewhere and got here.")),
    ("other_node", counter("node_memory_numa_other_node_total", "Pages that a process on another node got here.")),
];
