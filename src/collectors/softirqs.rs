//! Software interrupts by CPU and kind.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/softirqs`: fs/proc/softirqs.c.
pub(super) struct Softirqs {
    softirqs: HostFile,
}

impl Collector for Softirqs {
    const ABOUT: About = About {
        name: "softirqs",
        summary: "software interrupts by CPU and kind",
        reads: &["/proc/softirqs"],
        on_by_default: Vocabularies::NONE,
        families: &[FUNCTIONS.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Softirqs { softirqs: host.proc("softirqs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEAD_LINES: usize = 1;
        for line in self.softirqs.read(cx.buffer)?.lines().skip(HEAD_LINES) {
            let Some((kind, counts)) = line.key_and_rest() else { continue };
            let kind = String::from_utf8_lossy(kind).into_owned();
            let mut fields = counts.fields();
            for cpu in 0u32.. {
                let Some(count) = fields.optional::<u64>("a count of interrupts")? else { break };
                reading.put(&FUNCTIONS, [&cpu.to_string(), &kind], count);
            }
        }
        Ok(())
    }
}

const FUNCTIONS: Family<2> =
    Family::counter("node_softirqs_functions_total", "Software interrupts that were handled.", ["cpu", "type"]);
