//! Interrupts by CPU, of the hardware's and the kernel's own: how both are named as points.

use crate::encode::point::FieldInfo;
use crate::encode::{Field, Measurement, PointWriter};

/// Interrupts of one kind.
pub(super) struct Irq {
    /// Its number, or what the kernel calls it.
    pub(super) name: String,
    /// The controller, and what fires it; or what the interrupt is.
    pub(super) kind: String,
    /// The devices.
    pub(super) devices: String,
    /// By CPU, in the order of [`Irqs::cpus`]; one for all of them where the kernel counts so.
    pub(super) counts: Vec<u64>,
}

/// All interrupts, and the CPUs that counted them.
#[derive(Default)]
pub(super) struct Irqs {
    pub(super) cpus: Vec<String>,
    pub(super) all: Vec<Irq>,
    pub(super) cpu_as_tag: bool,
}

/// The fields of both measurements.
pub(super) const FIELDS: [FieldInfo; 3] = [TOTAL.info(), OF_CPU.info(), COUNT.info()];
/// Their tags.
pub(super) const TAGS: [&str; 4] = ["cpu", "device", "irq", "type"];
const TOTAL: Field<u64> = Field::new("total", "on all CPUs");
const OF_CPU: Field<u64> = Field::new("CPUKEY", "on that CPU");
const COUNT: Field<u64> = Field::new("count", "on the CPU of the tag; with `cpu_as_tag`");

impl Irqs {
    /// Forgets the interrupts, and makes room for those of these CPUs.
    pub(super) fn start(&mut self, head: &str, cpu_as_tag: bool) {
        *self = Irqs {
            cpus: head.split_whitespace().filter_map(|cpu| cpu.strip_prefix("CPU")).map(str::to_owned).collect(),
            all: Vec::new(),
            cpu_as_tag,
        };
    }

    /// Names them as points of `measurement`.
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
