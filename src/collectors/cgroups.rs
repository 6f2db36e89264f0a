//! The controllers of control groups.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
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
        summary: "controllers of control groups, and how many groups each has",
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
        const HEAD_LINES: usize = 1;
        for line in self.cgroups.read(cx.buffer)?.lines().skip(HEAD_LINES) {
            let mut fields = line.fields();
            let name = String::from_utf8_lossy(fields.required("a controller")?).into_owned();
            let _hierarchy = fields.number::<u64>("the number of a hierarchy")?;
            reading.put(&CGROUPS, [&name], fields.number::<u64>("a count of groups")?);
            reading.put(&ENABLED, [&name], fields.number::<u64>("0 or 1")?);
        }
        Ok(())
    }
}

const CGROUPS: Family<1> = Family::gauge("node_cgroups_cgroups", "Control groups of the controller.", ["subsys_name"]);
const ENABLED: Family<1> = Family::gauge("node_cgroups_enabled", "Whether the controller is enabled.", ["subsys_name"]);
