//! Interrupts by CPU and device.

use regex::Regex;

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/interrupts`: kernel/irq/proc.c, `show_interrupts`.
pub(super) struct Interrupts {
    interrupts: HostFile,
    wanted: Filter,
    has_zeros: bool,
}

const NAME_EXCLUDE: Key<Regex> = Key::optional("name_exclude", "Interrupts without families.");
const NAME_INCLUDE: Key<Regex> = Key::optional("name_include", "Only these interrupts; instead of `name_exclude`.");
const INCLUDE_ZEROS: Key<bool> = Key::new("include_zeros", "true", "Also what never happened.");

impl Collector for Interrupts {
    const ABOUT: About = About {
        name: "interrupts",
        summary: "interrupts by CPU and device",
        reads: &["/proc/interrupts"],
        on_by_default: Vocabularies::NONE,
        keys: &[NAME_EXCLUDE.info(), NAME_INCLUDE.info(), INCLUDE_ZEROS.info()],
        families: &[INTERRUPTS.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Interrupts {
            interrupts: host.proc("interrupts"),
            wanted: section.optional_include_or_exclude(&NAME_INCLUDE, &NAME_EXCLUDE),
            has_zeros: section.get(&INCLUDE_ZEROS),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let text = self.interrupts.read(cx.buffer)?;
        // The head names the CPUs that are online: "CPU0 CPU2".
        let head = String::from_utf8_lossy(text.first_line().bytes()).into_owned();
        let cpus: Vec<&str> = head.split_whitespace().filter_map(|cpu| cpu.strip_prefix("CPU")).collect();
        for line in text.lines().skip(1) {
            let Some((kind, rest)) = line.key_and_rest() else { continue };
            let kind = String::from_utf8_lossy(kind).into_owned();
            if self.wanted.wants(&kind) {
                read_line(reading, &kind, rest, &cpus, self.has_zeros)?;
            }
        }
        Ok(())
    }
}

fn read_line(
    reading: &mut Gathered,
    kind: &str,
    line: Line<'_>,
    cpus: &[&str],
    has_zeros: bool,
) -> Result<(), ReadError> {
    let mut fields = line.fields();
    let mut counts = Vec::with_capacity(cpus.len());
    for _ in cpus {
        match fields.clone().next() {
            Some(field) if field.iter().all(u8::is_ascii_digit) => counts.push(fields.number::<u64>("a count")?),
            _ => break,
        }
    }
    // One number for all CPUs: errors.
    if counts.len() < cpus.len() {
        return Ok(());
    }
    let words: Vec<String> = fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    // Behind the counts of a device there are its controller, what fires it, and its names; of others, what they are.
    let is_of_device = kind.bytes().all(|byte| byte.is_ascii_digit());
    let (info, devices) = match words.split_first() {
        Some((controller, rest)) if is_of_device => (controller.clone(), rest.join(" ")),
        _ => (words.join(" "), String::new()),
    };
    for (cpu, count) in cpus.iter().zip(counts) {
        if count > 0 || has_zeros {
            reading.put(&INTERRUPTS, [cpu, &devices, &info, kind], count);
        }
    }
    Ok(())
}

const INTERRUPTS: Family<4> =
    Family::counter("node_interrupts_total", "Interrupts that the CPU handled.", ["cpu", "devices", "info", "type"]);
