//! Which weaknesses the processor has, and what the kernel does about them.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Device, Host, ReadError};

/// `/sys/devices/system/cpu/vulnerabilities`: Documentation/admin-guide/hw-vuln/index.rst.
pub(super) struct CpuVulnerabilities {
    device: Device,
}

impl Collector for CpuVulnerabilities {
    const ABOUT: About = About {
        name: "cpu_vulnerabilities",
        summary: "weaknesses of the processor, and whether they are mitigated",
        reads: &["/sys/devices/system/cpu/vulnerabilities/*"],
        on_by_default: Vocabularies::NONE,
        families: &[INFO.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        CpuVulnerabilities { device: host.device("devices/system/cpu/vulnerabilities") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let names = self.device.names();
        if names.is_empty() {
            return Err(ReadError::Absent(self.device.path().to_owned()));
        }
        for name in names {
            let Some(text) = self.device.string(name.clone(), cx.buffer) else { continue };
            // "Mitigation: PTI; …", "Vulnerable: no microcode", "Not affected"
            let (state, rest) = text.split_once(": ").unwrap_or((&text, ""));
            let (state, mitigation) = match state {
                "Not affected" => ("not affected", ""),
                "Mitigation" => ("mitigation", rest),
                _ if text.starts_with("Vulnerable") => ("vulnerable", rest),
                _ => ("unknown", ""),
            };
            reading.put(&INFO, [&name, mitigation, state], 1u64);
        }
        Ok(())
    }
}

const INFO: Family<3> = Family::gauge(
    "node_cpu_vulnerabilities_info",
    "A weakness, and what is done about it; 1.",
    ["codename", "mitigation", "state"],
);
