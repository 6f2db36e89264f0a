//! Pressure stall information (PSI) of CPU, memory, I/O and interrupts.

use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, Line, ReadError};

pub(super) struct Pressure {
    files: [HostFile; RESOURCES.len()],
}

const RESOURCES: [&str; 4] = ["cpu", "memory", "io", "irq"];

/// `/proc/pressure/*`: Documentation/accounting/psi.rst.
#[derive(Default)]
pub(super) struct PressureReading {
    /// By resource. some: at least one task stalled; full: all non-idle tasks stalled.
    stalls: [Stalls; RESOURCES.len()],
}

/// One PSI file, of the host or of a cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::collectors) struct Stalls {
    pub(in crate::collectors) some: Option<Stall>,
    pub(in crate::collectors) full: Option<Stall>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::collectors) struct Stall {
    /// Share of time stalled over the last 10, 60 and 300 seconds, in %.
    pub(in crate::collectors) averages: [f64; 3],
    pub(in crate::collectors) total_microseconds: u64,
}

impl Collector for Pressure {
    const ABOUT: About = About {
        name: "pressure",
        summary: "pressure stall information (PSI) of CPU, memory, I/O and interrupts",
        reads: &["/proc/pressure"],
        needs: "pressure stall information: Linux 4.20 with CONFIG_PSI, not booted with psi=0",
        families: &infos!(FAMILIES),
        measurements: &[PRESSURE.info()],
        ..About::PLAIN
    };
    type Reading = PressureReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Pressure { files: RESOURCES.map(|resource| host.proc(format!("pressure/{resource}")).one_record()) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut PressureReading) -> Result<(), ReadError> {
        *reading = PressureReading::default();
        let mut absent = None;
        let mut found = false;
        for (file, stalls) in self.files.iter_mut().zip(&mut reading.stalls) {
            match file.read(cx.buffer).and_then(|text| text.not_empty("some or full")) {
                Ok(text) => {
                    found = true;
                    for line in text.lines() {
                        if let Err(error) = stalls.read_line(line) {
                            cx.problems.push(error);
                        }
                    }
                }
                // The resources depend on the kernel: irq needs Linux 6.1 and CONFIG_IRQ_TIME_ACCOUNTING.
                Err(error) if error.is_absent() => absent = absent.or(Some(error)),
                Err(error) => cx.problems.push(error),
            }
        }
        absent.filter(|_| !found).map_or(Ok(()), Err)
    }
}

impl Stalls {
    pub(in crate::collectors) fn read_line(&mut self, line: Line<'_>) -> Result<(), ReadError> {
        let mut fields = line.fields();
        let kind = fields.required("some or full")?;
        let (mut averages, mut total_microseconds) = ([0.0; 3], None);
        for field in fields {
            let malformed = || line.malformed("avg10=, avg60=, avg300= or total= and a number", field);
            let text = std::str::from_utf8(field).map_err(|_| malformed())?;
            let (name, value) = text.split_once('=').ok_or_else(malformed)?;
            match name {
                "total" => total_microseconds = Some(value.parse().map_err(|_| malformed())?),
                "avg10" => averages[0] = value.parse().map_err(|_| malformed())?,
                "avg60" => averages[1] = value.parse().map_err(|_| malformed())?,
                "avg300" => averages[2] = value.parse().map_err(|_| malformed())?,
                _ => {}
            }
        }
        let total_microseconds = total_microseconds.ok_or_else(|| line.malformed("total= and a number", b""))?;
        let stall = Stall { averages, total_microseconds };
        match kind {
            b"some" => self.some = Some(stall),
            b"full" => self.full = Some(stall),
            other => return Err(line.malformed("some or full", other)),
        }
        Ok(())
    }
}

const FAMILIES: [Family<0>; 6] = [
    Family::counter("node_pressure_cpu_waiting_seconds_total", "Time in which at least one task waited for a CPU", []),
    Family::counter(
        "node_pressure_io_stalled_seconds_total",
        "Time in which all non-idle tasks were stalled on I/O",
        [],
    ),
    Family::counter("node_pressure_io_waiting_seconds_total", "Time in which at least one task was stalled on I/O", []),
    Family::counter(
        "node_pressure_irq_stalled_seconds_total",
        "Time in which all non-idle tasks were stalled by interrupts",
        [],
    ),
    Family::counter(
        "node_pressure_memory_stalled_seconds_total",
        "Time in which all non-idle tasks were stalled on memory",
        [],
    ),
    Family::counter(
        "node_pressure_memory_waiting_seconds_total",
        "Time in which at least one task was stalled on memory",
        [],
    ),
];

const TOTAL: Field<u64> = Field::new("total", "stall time since boot, in microseconds");
const AVERAGES: [Field<f64>; 3] = [
    Field::new("avg10", "% of the last 10 seconds stalled"),
    Field::new("avg60", "% of the last 60 seconds stalled"),
    Field::new("avg300", "% of the last 300 seconds stalled"),
];
const PRESSURE: Measurement<2> = Measurement::new("pressure", ["resource", "type"], &PRESSURE_FIELDS);
const PRESSURE_FIELDS: [FieldInfo; 1 + AVERAGES.len()] = concat(&[&[TOTAL.info()], &infos!(AVERAGES)]);

impl Reading for PressureReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let [cpu, memory, io, irq] = &self.stalls;
        let in_order = [cpu.some, io.full, io.some, irq.full, memory.full, memory.some];
        for (family, stall) in FAMILIES.iter().zip(in_order) {
            if let Some(stall) = stall {
                out.value(family, stall.total_microseconds as f64 / 1e6);
            }
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (resource, stalls) in RESOURCES.into_iter().zip(&self.stalls) {
            // At the host level the full line of the CPU is always zero.
            let full = stalls.full.filter(|_| resource != "cpu");
            for (kind, stall) in [("some", stalls.some), ("full", full)] {
                let Some(stall) = stall else { continue };
                let mut point = out.point(&PRESSURE, [resource, kind]);
                point.field(&TOTAL, stall.total_microseconds);
                for (field, average) in AVERAGES.iter().zip(stall.averages) {
                    point.field(field, average);
                }
            }
        }
    }
}
