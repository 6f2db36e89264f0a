//! CPU vulnerabilities and their mitigations.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
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
        summary: "CPU vulnerabilities and their mitigations",
        reads: &["/sys/devices/system/cpu/vulnerabilities/*"],
        on_by_default: Vocabularies::NONE,
        families: &[INFO.info()],
        may_be_absent: true,
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
            let Some(text) = self.device.text(name.clone(), cx.buffer) else { continue };
            let (state, mitigation) = state_and_mitigation(&text.trimmed());
            reading.put(&INFO, [&name, &mitigation, state], 1u64);
        }
        Ok(())
    }
}

/// Parses "Mitigation: PTI; …", "Vulnerable, IBPB: disabled" or "Not affected". Others, such as "KVM: Vulnerable", are the
/// mitigation of an unknown state, as is nothing.
fn state_and_mitigation(text: &str) -> (&'static str, String) {
    let lower = text.to_lowercase();
    if lower.starts_with("not affected") {
        return ("not affected", String::new());
    }
    match ["vulnerable", "mitigation", "unknown"].into_iter().find(|state| lower.starts_with(state)) {
        Some(state) => (state, text.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")),
        None => ("unknown", text.to_owned()),
    }
}

const INFO: Family<3> = Family::gauge(
    "node_cpu_vulnerabilities_info",
    "CPU vulnerability and its mitigation, always 1",
    ["codename", "mitigation", "state"],
);
