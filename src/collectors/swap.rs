//! Swap areas one by one.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/swaps`: mm/swapfile.c, `swap_show`.
pub(super) struct Swap {
    swaps: HostFile,
}

impl Collector for Swap {
    const ABOUT: About = About {
        name: "swap",
        summary: "swap areas one by one",
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
        const HEAD_LINES: usize = 1;
        const KIBIBYTE: u64 = 1024;
        for line in self.swaps.read(cx.buffer)?.lines().skip(HEAD_LINES) {
            let mut fields = line.fields();
            let device = String::from_utf8_lossy(fields.required("a swap area")?).replace("\\040", " ");
            let kind = String::from_utf8_lossy(fields.required("a type")?).into_owned();
            let labels = [device.as_str(), kind.as_str()];
            reading.put(&SIZE, labels, fields.number::<u64>("a size")?.saturating_mul(KIBIBYTE));
            reading.put(&USED, labels, fields.number::<u64>("a size")?.saturating_mul(KIBIBYTE));
            reading.put(&PRIORITY, labels, fields.number::<i64>("a priority")?);
        }
        Ok(())
    }
}

const AREA: [&str; 2] = ["device", "swap_type"];
const SIZE: Family<2> = Family::gauge("node_swap_size_bytes", "Bytes of the swap area.", AREA);
const USED: Family<2> = Family::gauge("node_swap_used_bytes", "Bytes of the swap area that are used.", AREA);
const PRIORITY: Family<2> = Family::gauge("node_swap_priority", "Which areas are used first: the higher ones.", AREA);
