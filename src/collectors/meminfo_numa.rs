//! Memory by NUMA node.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
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
        families: &[MEMORY.info(), COUNTER.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        MeminfoNuma { nodes: host.devices("devices/system/node") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let is_node = |name: &str| {
            name.strip_prefix("node")
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
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
                    let key = String::from_utf8_lossy(fields.required("a name")?).into_owned();
                    reading.put_keyed(&COUNTER, &key, [node], fields.number::<u64>("a count of pages")?);
                }
            }
        }
        Ok(())
    }
}

const MEMORY: Family<1> =
    Family::gauge("node_memory_numa_KEY", "Memory of the node under this name, in bytes or in huge pages.", ["node"]);
const COUNTER: Family<1> =
    Family::counter("node_memory_numa_KEY_total", "Pages that the node counts under this name.", ["node"]);
