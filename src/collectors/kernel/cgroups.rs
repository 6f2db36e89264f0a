//! Cgroup controllers.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/cgroups`: kernel/cgroup/cgroup-v1.c, `proc_cgroupstats_show`.
pub(super) struct Cgroups {
    cgroups: HostFile,
}

impl Collector for Cgroups {
    const ABOUT: About = About {
        name: "cgroups",
        summary: "cgroup controllers, and their numbers of cgroups",
        reads: &["/proc/cgroups"],
        on_by_default: Vocabularies::NONE,
        families: &[CGROUPS.info(), ENABLED.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Cgroups { cgroups: host.proc("cgroups") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEADER_LINES: usize = 1;
        for line in self.cgroups.read(cx.buffer)?.lines().skip(HEADER_LINES) {
            let mut fields = line.fields();
            let Some(name) = cx.problems.part(fields.required("a controller")) else { continue };
            let name = String::from_utf8_lossy(name);
            let mut number = |expected| cx.problems.part(fields.number::<u64>(expected));
            let _hierarchy = number("the number of a hierarchy");
            reading.put_some(&CGROUPS, [&name], number("a count of groups"));
            reading.put_some(&ENABLED, [&name], number("0 or 1"));
        }
        Ok(())
    }
}

const CGROUPS: Family<1> = Family::gauge("node_cgroups_cgroups", "Cgroups of the controller", ["subsys_name"]);
const ENABLED: Family<1> = Family::gauge("node_cgroups_enabled", "1 if the controller is enabled", ["subsys_name"]);
