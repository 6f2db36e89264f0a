//! The frequencies of CPUs and who governs them.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::devices::number_in;
use crate::host::{Devices, Host, ReadError};

/// `/sys/devices/system/cpu/cpu*/cpufreq`: Documentation/admin-guide/pm/cpufreq.rst.
pub(super) struct Cpufreq {
    cpus: Devices,
}

impl Collector for Cpufreq {
    const ABOUT: About = About {
        name: "cpufreq",
        summary: "frequencies of CPUs, their bounds and their governors",
        reads: &["/sys/devices/system/cpu/cpu*/cpufreq/*"],
        needs: "CONFIG_CPU_FREQ; seldom in virtual machines",
        families: &concat::<_, 8>(&[&infos!(FREQUENCIES.family), &[GOVERNOR.info()]]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Cpufreq { cpus: host.devices("devices/system/cpu") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let is_cpu = |name: &str| number_in(name, "cpu").is_some();
        for (name, device) in self.cpus.look(is_cpu)? {
            let cpu = &name["cpu".len()..];
            let current = device.string("cpufreq/scaling_governor", cx.buffer);
            reading.put_attributes(cx, device, FREQUENCIES, [cpu]);
            let (Some(current), Some(available)) =
                (current, device.string("cpufreq/scaling_available_governors", cx.buffer))
            else {
                continue;
            };
            for governor in available.split_ascii_whitespace() {
                reading.put(&GOVERNOR, [cpu, governor], governor == current);
            }
        }
        Ok(())
    }
}

const fn frequency(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    const KILOHERTZ: Unit = Unit::Times(1000);
    Attribute::gauge(file, name, help, ["cpu"], KILOHERTZ)
}

const FREQUENCIES: &[Attribute<1>] = &[
    frequency("cpufreq/cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency as the CPU tells it."),
    frequency("cpufreq/cpuinfo_avg_freq", "node_cpu_frequency_avg_hertz", "Average frequency as the CPU tells it."),
    frequency("cpufreq/cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency of the CPU."),
    frequency("cpufreq/cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency of the CPU."),
    frequency("cpufreq/scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "Frequency as the kernel set it."),
    frequency("cpufreq/scaling_min_freq", "node_cpu_scaling_frequency_min_hertz", "Lowest frequency that may be set."),
    frequency("cpufreq/scaling_max_freq", "node_cpu_scaling_frequency_max_hertz", "Highest frequency that may be set."),
];
const GOVERNOR: Family<2> =
    Family::gauge("node_cpu_scaling_governor", "Whether this governor sets the frequency.", ["cpu", "governor"]);
