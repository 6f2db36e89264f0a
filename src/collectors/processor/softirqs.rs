//! Softirqs by CPU and type.

use super::interrupts::CPU_AS_TAG;
use super::irqs::{self, Irq, Irqs};
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter, Measurement, PointWriter};
use crate::host::{Host, HostFile, ReadError};

/// `/proc/softirqs`: fs/proc/softirqs.c.
pub(super) struct Softirqs {
    softirqs: HostFile,
    cpu_as_tag: bool,
}

/// Content of `/proc/softirqs`.
#[derive(Default)]
pub(super) struct SoftirqsReading {
    irqs: Irqs,
}

impl Collector for Softirqs {
    const ABOUT: About = About {
        name: "softirqs",
        summary: "softirqs by CPU and type; pushed as `soft_interrupts`",
        reads: &["/proc/softirqs"],
        on_by_default: Vocabularies::NONE,
        point_keys: &[CPU_AS_TAG.info()],
        families: &[FUNCTIONS.info()],
        measurements: &[POINTS.info()],
        ..About::PLAIN
    };
    type Reading = SoftirqsReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Softirqs { softirqs: host.proc("softirqs"), cpu_as_tag: section.table("points").get(&CPU_AS_TAG) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut SoftirqsReading) -> Result<(), ReadError> {
        reading.irqs = Irqs::default();
        let text = self.softirqs.read(cx.buffer)?.not_empty("a header of CPUs")?;
        reading.irqs.start(&String::from_utf8_lossy(text.first_line().bytes()), self.cpu_as_tag);
        for line in text.lines().skip(1) {
            let Some((name, rest)) = line.key_and_rest() else { continue };
            let mut fields = rest.fields();
            // The counts of a line belong to the CPUs by their order.
            let counts: Result<Vec<u64>, _> =
                std::iter::from_fn(|| fields.optional("a count of interrupts").transpose()).collect();
            let Some(counts) = cx.problems.part(counts) else { continue };
            let name = String::from_utf8_lossy(name).into_owned();
            reading.irqs.all.push(Irq { name, kind: String::new(), devices: String::new(), counts });
        }
        Ok(())
    }
}

const FUNCTIONS: Family<2> =
    Family::counter("node_softirqs_functions_total", "Softirqs serviced by the CPU", ["cpu", "type"]);
const POINTS: Measurement<4> = Measurement::new("soft_interrupts", irqs::TAGS, &irqs::FIELDS);

impl Reading for SoftirqsReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut samples = out.family(&FUNCTIONS);
        for Irq { name, counts, .. } in &self.irqs.all {
            for (cpu, count) in self.irqs.cpus.iter().zip(counts) {
                samples.sample([cpu, name], *count);
            }
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.irqs.points(&POINTS, out);
    }
}
