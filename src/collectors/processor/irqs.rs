//! Interrupt counts by CPU, and their points. Shared by `interrupts` and `softirqs`.

use crate::encode::point::FieldInfo;
use crate::encode::{Field, Measurement, PointWriter};

/// One interrupt.
pub(super) struct Irq {
    /// IRQ number, or the kernel's abbreviation.
    pub(super) name: String,
    /// Controller and trigger type of a device interrupt, otherwise its description.
    pub(super) kind: String,
    /// Device names.
    pub(super) devices: String,
    /// By CPU, in the order of [`Irqs::cpus`]. A single count if the kernel counts for all CPUs together.
    pub(super) counts: Vec<u64>,
}

/// All interrupts, and the CPUs with counts.
#[derive(Default)]
pub(super) struct Irqs {
    pub(super) cpus: Vec<String>,
    pub(super) all: Vec<Irq>,
    pub(super) cpu_as_tag: bool,
}

/// The fields of both measurements.
pub(super) const FIELDS: [FieldInfo; 3] = [TOTAL.info(), PER_CPU.info(), COUNT.info()];
/// The tags of both measurements.
pub(super) const TAGS: [&str; 4] = ["cpu", "device", "irq", "type"];
const TOTAL: Field<u64> = Field::new("total", "count on all CPUs");
const PER_CPU: Field<u64> = Field::new("CPUKEY", "count on that CPU");
const COUNT: Field<u64> = Field::new("count", "count on the CPU of the `cpu` tag; with `cpu_as_tag`");

impl Irqs {
    /// Clears the interrupts, and reads the CPUs from the header line.
    pub(super) fn start(&mut self, header: &str, cpu_as_tag: bool) {
        *self = Irqs {
            cpus: header.split_whitespace().filter_map(|cpu| cpu.strip_prefix("CPU")).map(str::to_owned).collect(),
            all: Vec::new(),
            cpu_as_tag,
        };
    }

    /// Writes points of `measurement`.
    pub(super) fn points(&self, measurement: &Measurement<4>, out: &mut PointWriter<'_>) {
        for Irq { name, kind, devices, counts } in &self.all {
            let by_cpu = self.cpus.iter().zip(counts);
            if self.cpu_as_tag {
                for (cpu, count) in by_cpu {
                    let tag = format!("cpu{cpu}");
                    out.point(measurement, [&tag, devices, name, kind]).field(&COUNT, *count);
                }
                continue;
            }
            let mut point = out.point(measurement, ["", devices, name, kind]);
            point.field(&TOTAL, counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count)));
            for (cpu, count) in by_cpu {
                point.free_field::<u64>(&["CPU", cpu], *count);
            }
        }
    }
}
