//! Free memory by the size of its pieces.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
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
        summary: "free pieces of memory by node, zone and size, which tell how fragmented it is",
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
            let node = String::from_utf8_lossy(fields.required("a node")?).trim_end_matches(',').to_owned();
            fields.next();
            let zone = String::from_utf8_lossy(fields.required("a zone")?).into_owned();
            for order in 0u32.. {
                let Some(count) = fields.optional::<u64>("a count of pieces")? else { break };
                reading.put(&BLOCKS, [&node, &order.to_string(), &zone], count);
            }
        }
        Ok(())
    }
}

const BLOCKS: Family<3> = Family::gauge(
    "node_buddyinfo_blocks",
    "Free pieces of so many pages: two to the power of `size`.",
    ["node", "size", "zone"],
);
