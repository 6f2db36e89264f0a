//! Interrupts by CPU and device.

use regex::Regex;

use super::irqs::{self, Irq, Irqs};
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::{Family, FamilyWriter, Measurement, PointWriter};
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/interrupts`: kernel/irq/proc.c, `show_interrupts`.
pub(super) struct Interrupts {
    interrupts: HostFile,
    wanted: Filter,
    has_zeros: bool,
    cpu_as_tag: bool,
}

/// Content of `/proc/interrupts`.
#[derive(Default)]
pub(super) struct InterruptsReading {
    irqs: Irqs,
    has_zeros: bool,
}

const NAME_EXCLUDE: Key<Regex> = Key::optional("name_exclude", "Interrupts to leave out of the families.");
const NAME_INCLUDE: Key<Regex> = Key::optional("name_include", "Only these interrupts; instead of `name_exclude`.");
const INCLUDE_ZEROS: Key<bool> = Key::new("include_zeros", "true", "Also interrupts with a count of zero.");
pub(super) const CPU_AS_TAG: Key<bool> =
    Key::new("cpu_as_tag", "false", "A point for each CPU, with the CPU as a tag, instead of a field for each.");

impl Collector for Interrupts {
    const ABOUT: About = About {
        name: "interrupts",
        summary: "interrupts by CPU and device",
        reads: &["/proc/interrupts"],
        on_by_default: Vocabularies::NONE,
        keys: &[NAME_EXCLUDE.info(), NAME_INCLUDE.info(), INCLUDE_ZEROS.info()],
        point_keys: &[CPU_AS_TAG.info()],
        families: &[INTERRUPTS.info()],
        measurements: &[POINTS.info()],
        ..About::PLAIN
    };
    type Reading = InterruptsReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Interrupts {
            interrupts: host.proc("interrupts"),
            wanted: section.optional_include_or_exclude(&NAME_INCLUDE, &NAME_EXCLUDE),
            has_zeros: section.get(&INCLUDE_ZEROS),
            cpu_as_tag: section.table("points").get(&CPU_AS_TAG),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut InterruptsReading) -> Result<(), ReadError> {
        *reading = InterruptsReading { has_zeros: self.has_zeros, ..InterruptsReading::default() };
        let text = self.interrupts.read(cx.buffer)?.not_empty("a header of CPUs")?;
        // The header lists the online CPUs: "CPU0 CPU2".
        reading.irqs.start(&String::from_utf8_lossy(text.first_line().bytes()), self.cpu_as_tag);
        for line in text.lines().skip(1) {
            let Some((name, rest)) = line.key_and_rest() else { continue };
            let name = String::from_utf8_lossy(name).into_owned();
            if self.wanted.wants(&name) {
                let irq = read_line(name, rest, reading.irqs.cpus.len());
                reading.irqs.all.extend(cx.problems.part(irq));
            }
        }
        Ok(())
    }
}

fn read_line(name: String, line: Line<'_>, cpus: usize) -> Result<Irq, ReadError> {
    let mut fields = line.fields();
    // ERR and MIS have a single count; a device interrupt has one for each CPU.
    let is_device = name.bytes().all(|byte| byte.is_ascii_digit());
    let mut counts = Vec::with_capacity(cpus);
    for _ in 0..cpus {
        match fields.clone().next() {
            Some(field) if is_device || field.iter().all(u8::is_ascii_digit) => counts.push(fields.number("a count")?),
            _ => break,
        }
    }
    let words: Vec<String> = fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    // Counts of a device interrupt are followed by controller, trigger and device names; other counts by a description.
    let (kind, devices) = match words.split_first() {
        Some((controller, rest)) if is_device => (controller.clone(), rest.join(" ")),
        _ => (words.join(" "), String::new()),
    };
    Ok(Irq { name, kind, devices, counts })
}

const INTERRUPTS: Family<4> =
    Family::counter("node_interrupts_total", "Interrupts serviced by the CPU", ["cpu", "devices", "info", "type"]);
const POINTS: Measurement<4> = Measurement::new("interrupts", irqs::TAGS, &irqs::FIELDS);

impl Reading for InterruptsReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut samples = out.family(&INTERRUPTS);
        // ERR and MIS have one count for all CPUs and are not exported.
        let per_cpu = self.irqs.all.iter().filter(|irq| irq.counts.len() == self.irqs.cpus.len());
        for Irq { name, kind, devices, counts } in per_cpu {
            for (cpu, count) in self.irqs.cpus.iter().zip(counts).filter(|(_, count)| self.has_zeros || **count > 0) {
                samples.sample([cpu, devices, kind, name], *count);
            }
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.irqs.points(&POINTS, out);
    }
}
