//! CPU frequencies and governors.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::devices::number_in;
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/devices/system/cpu/cpu*/cpufreq`: Documentation/admin-guide/pm/cpufreq.rst.
pub(super) struct Cpufreq {
    cpus: Devices,
    points: PointSettings,
}

/// Which fields the points have.
#[derive(Clone, Copy, Debug, Default)]
struct PointSettings {
    cpufreq: bool,
    thermal: bool,
}

/// The value of the `cpu` tag, and the fields of its point.
type PointOfCpu = (String, Vec<(&'static Field<u64>, u64)>);

/// The families as read, and the points.
#[derive(Default)]
pub(super) struct CpufreqReading {
    families: Gathered,
    points: Vec<PointOfCpu>,
}

const METRICS: Key<Vec<String>> = Key::new(
    "metrics",
    "[\"cpufreq\"]",
    "Field groups of the points: `cpufreq` (frequencies), `thermal` (thermal throttling).",
);

impl Collector for Cpufreq {
    const ABOUT: About = About {
        name: "cpufreq",
        summary: "CPU frequencies, frequency limits and governors",
        reads: &["/sys/devices/system/cpu/cpu*/cpufreq/*", "/sys/devices/system/cpu/cpu*/thermal_throttle/*"],
        needs: "CONFIG_CPU_FREQ; rarely available in virtual machines",
        point_keys: &[METRICS.info()],
        measurements: &[LINUX_CPU.info()],
        families: &concat::<_, 8>(&[&infos!(FREQUENCIES.family), &[GOVERNOR.info()]]),
        ..About::PULLED
    };
    type Reading = CpufreqReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let mut points = section.table("points");
        let metrics = points.some_of(&METRICS, &["cpufreq", "thermal"]);
        let has = |wanted: &str| metrics.iter().any(|name| name == wanted);
        Cpufreq {
            cpus: host.devices("devices/system/cpu"),
            points: PointSettings { cpufreq: has("cpufreq"), thermal: has("thermal") },
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut CpufreqReading) -> Result<(), ReadError> {
        reading.families.clear();
        reading.points.clear();
        let is_cpu = |name: &str| number_in(name, "cpu").is_some();
        for (name, device) in self.cpus.look(is_cpu)? {
            let cpu = &name["cpu".len()..];
            if cx.wanted.families {
                read_families(cx, &mut reading.families, device, cpu);
            }
            if cx.wanted.points {
                reading.points.push((cpu.to_owned(), read_fields(cx, self.points, device)));
            }
        }
        Ok(())
    }
}

fn read_families(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, cpu: &str) {
    let current = device.string("cpufreq/scaling_governor", cx.buffer);
    reading.put_attributes(cx, device, FREQUENCIES, [cpu]);
    let (Some(current), Some(available)) = (current, device.string("cpufreq/scaling_available_governors", cx.buffer))
    else {
        return;
    };
    for governor in available.split_ascii_whitespace() {
        reading.put(&GOVERNOR, [cpu, governor], governor == current);
    }
}

fn read_fields(
    cx: &mut ReadContext<'_>,
    settings: PointSettings,
    device: &mut Device,
) -> Vec<(&'static Field<u64>, u64)> {
    let selected = [(&FREQUENCY_FIELDS[..], settings.cpufreq), (&THERMAL_FIELDS[..], settings.thermal)];
    let mut fields = Vec::new();
    for (file, field) in selected.into_iter().filter(|(_, is_on)| *is_on).flat_map(|(fields, _)| fields) {
        let number = device.number::<u64>(*file, cx.buffer);
        fields.extend(cx.part(number).flatten().map(|number| (field, number)));
    }
    fields
}

impl Reading for CpufreqReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.families.families(out);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (cpu, fields) in &self.points {
            let mut point = out.point(&LINUX_CPU, [cpu]);
            fields.iter().for_each(|(field, number)| {
                point.field(field, *number);
            });
        }
    }
}

const fn frequency(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    const KILOHERTZ: Unit = Unit::Times(1000);
    Attribute::gauge(file, name, help, ["cpu"], KILOHERTZ)
}

const FREQUENCIES: &[Attribute<1>] = &[
    frequency("cpufreq/cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Current CPU frequency read from the hardware"),
    frequency(
        "cpufreq/cpuinfo_avg_freq",
        "node_cpu_frequency_avg_hertz",
        "Average CPU frequency read from the hardware",
    ),
    frequency("cpufreq/cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Minimum CPU frequency of the hardware"),
    frequency("cpufreq/cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Maximum CPU frequency of the hardware"),
    frequency(
        "cpufreq/scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current CPU frequency requested by the governor",
    ),
    frequency(
        "cpufreq/scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum CPU frequency of the scaling policy",
    ),
    frequency(
        "cpufreq/scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum CPU frequency of the scaling policy",
    ),
];
const GOVERNOR: Family<2> =
    Family::gauge("node_cpu_scaling_governor", "1 if the governor is the current one", ["cpu", "governor"]);

const FREQUENCY_FIELDS: [(&str, Field<u64>); 6] = [
    ("cpufreq/scaling_cur_freq", Field::new("scaling_cur_freq", "current frequency requested by the governor, in kHz")),
    ("cpufreq/scaling_min_freq", Field::new("scaling_min_freq", "minimum frequency of the scaling policy, in kHz")),
    ("cpufreq/scaling_max_freq", Field::new("scaling_max_freq", "maximum frequency of the scaling policy, in kHz")),
    ("cpufreq/cpuinfo_cur_freq", Field::new("cpuinfo_cur_freq", "current frequency read from the hardware, in kHz")),
    ("cpufreq/cpuinfo_min_freq", Field::new("cpuinfo_min_freq", "minimum frequency of the hardware, in kHz")),
    ("cpufreq/cpuinfo_max_freq", Field::new("cpuinfo_max_freq", "maximum frequency of the hardware, in kHz")),
];
const THERMAL_FIELDS: [(&str, Field<u64>); 3] = [
    ("thermal_throttle/core_throttle_count", Field::new("throttle_count", "thermal throttle events of the core")),
    (
        "thermal_throttle/core_throttle_max_time_ms",
        Field::new("throttle_max_time", "longest thermal throttling of the core, in ms"),
    ),
    (
        "thermal_throttle/core_throttle_total_time_ms",
        Field::new("throttle_total_time", "total thermal throttling of the core, in ms"),
    ),
];
const FIELDS: [FieldInfo; 9] = concat(&[&infos!(FREQUENCY_FIELDS.1), &infos!(THERMAL_FIELDS.1)]);
const LINUX_CPU: Measurement<1> = Measurement::new("linux_cpu", ["cpu"], &FIELDS);
