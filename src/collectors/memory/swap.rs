//! Swap areas.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::{Family, Value};
use crate::host::text::unescape;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/swaps`: mm/swapfile.c, `swap_show`.
pub(super) struct Swap {
    swaps: HostFile,
}

impl Collector for Swap {
    const ABOUT: About = About {
        name: "swap",
        summary: "swap areas: size, usage and priority",
        reads: &["/proc/swaps"],
        on_by_default: Vocabularies::NONE,
        families: &[SIZE.info(), USED.info(), PRIORITY.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Swap { swaps: host.proc("swaps") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEADER_LINES: usize = 1;
        const KIBIBYTE: u64 = 1024;
        for line in self.swaps.read(cx.buffer)?.lines().skip(HEADER_LINES) {
            let mut fields = line.fields();
            let Some(device) = cx.problems.part(fields.required("a swap area")) else { continue };
            let device = unescape(device);
            let Some(kind) = cx.problems.part(fields.required("a type")) else { continue };
            let kind = String::from_utf8_lossy(kind);
            let labels = [device.as_str(), &kind];
            for family in [&SIZE, &USED] {
                let size = cx.problems.part(fields.number::<u64>("a size"));
                reading.put_some(family, labels, size.map(|size| Value::product(size, KIBIBYTE)));
            }
            reading.put_some(&PRIORITY, labels, cx.problems.part(fields.number::<i64>("a priority")));
        }
        Ok(())
    }
}

const AREA: [&str; 2] = ["device", "swap_type"];
const SIZE: Family<2> = Family::gauge("node_swap_size_bytes", "Size of the swap area in bytes", AREA);
const USED: Family<2> = Family::gauge("node_swap_used_bytes", "Used space of the swap area in bytes", AREA);
const PRIORITY: Family<2> =
    Family::gauge("node_swap_priority", "Priority of the swap area; areas with a higher priority are used first", AREA);
