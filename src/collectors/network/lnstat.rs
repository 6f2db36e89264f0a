//! Statistics of the network stack by CPU.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Device, Host, ReadError};

/// `/proc/net/stat`: lnstat(8).
pub(super) struct Lnstat {
    stat: Device,
}

impl Collector for Lnstat {
    const ABOUT: About = About {
        name: "lnstat",
        summary: "statistics of network caches and connection tracking by CPU (lnstat)",
        reads: &["/proc/net/stat/*"],
        on_by_default: Vocabularies::NONE,
        families: &[COUNTER.info()],
        may_be_absent: true,
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Lnstat { stat: Device::new(host.proc_path("net/stat")) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let names = self.stat.names();
        if names.is_empty() {
            return Err(ReadError::Absent(self.stat.path().to_owned()));
        }
        for subsystem in names {
            let Some(text) = self.stat.text(subsystem.clone(), cx.buffer) else { continue };
            let header = String::from_utf8_lossy(text.first_line().bytes()).into_owned();
            let columns: Vec<&str> = header.split_whitespace().collect();
            for (cpu, line) in text.lines().skip(1).enumerate() {
                for (name, field) in columns.iter().zip(line.fields()) {
                    let digits = std::str::from_utf8(field).ok();
                    let Some(count) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
                        cx.problems.push(line.malformed("a hexadecimal count", field));
                        break;
                    };
                    reading.put_keyed(&COUNTER, name, [&cpu.to_string(), &subsystem], count);
                }
            }
        }
        Ok(())
    }
}

const COUNTER: Family<2> =
    Family::counter("node_lnstat_KEY_total", "Counter in the file of /proc/net/stat", ["cpu", "subsystem"]);
