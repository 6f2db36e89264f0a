//! Free blocks of the buddy allocator.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/buddyinfo`: mm/vmstat.c, `frag_show_print`.
pub(super) struct Buddyinfo {
    buddyinfo: HostFile,
}

impl Collector for Buddyinfo {
    const ABOUT: About = About {
        name: "buddyinfo",
        summary: "free blocks of the buddy allocator by node, zone and order; shows memory fragmentation",
        reads: &["/proc/buddyinfo"],
        on_by_default: Vocabularies::NONE,
        families: &[BLOCKS.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Buddyinfo { buddyinfo: host.proc("buddyinfo") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // "Node 0, zone   Normal      1      0 …"
        for line in self.buddyinfo.read(cx.buffer)?.lines() {
            let mut fields = line.fields();
            fields.next();
            let Some(node) = cx.problems.part(fields.required("a node")) else { continue };
            let node = String::from_utf8_lossy(node);
            fields.next();
            let Some(zone) = cx.problems.part(fields.required("a zone")) else { continue };
            let zone = String::from_utf8_lossy(zone);
            for order in 0u32.. {
                let count = match fields.optional::<u64>("a count of pieces") {
                    Ok(None) => break,
                    count => cx.problems.part(count).flatten(),
                };
                reading.put_some(&BLOCKS, [node.trim_end_matches(','), &order.to_string(), &zone], count);
            }
        }
        Ok(())
    }
}

const BLOCKS: Family<3> =
    Family::gauge("node_buddyinfo_blocks", "Free blocks of 2^size pages", ["node", "size", "zone"]);
