//! Virtual memory statistics.

use std::sync::Arc;

use regex::Regex;

use crate::collectors::framework::keys::{Keys, Known};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::point::FieldInfo;
use crate::encode::{FamilyWriter, Kind, Measurement, Pattern, PointWriter};
use crate::host::{Host, ReadError, SharedFile};

pub(super) struct Vmstat {
    vmstat: SharedFile,
    fields: Regex,
    keys: Keys<InFamilies>,
}

type InFamilies = bool;

const FIELDS: Key<Regex> = Key::new(
    "fields",
    "'^(oom_kill|pgpg|pswp|pg.*fault).*'",
    "Keys of /proc/vmstat that become families. All keys are pushed.",
);

/// `/proc/vmstat`: mm/vmstat.c.
#[derive(Default)]
pub(super) struct VmstatReading {
    values: Vec<(Arc<Known<InFamilies>>, i128)>,
}

impl Collector for Vmstat {
    const ABOUT: About = About {
        name: "vmstat",
        summary: "virtual memory statistics; pushed as `kernel_vmstat`",
        reads: &["/proc/vmstat"],
        keys: &[FIELDS.info()],
        families: &[VMSTAT.info()],
        measurements: &[KERNEL_VMSTAT.info()],
        ..About::PLAIN
    };
    type Reading = VmstatReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Vmstat { vmstat: host.shared_proc("vmstat"), fields: section.get(&FIELDS), keys: Keys::default() }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut VmstatReading) -> Result<(), ReadError> {
        reading.values.clear();
        let text = self.vmstat.read(cx.round, cx.buffer)?.not_empty("keys with counts")?;
        for (index, line) in text.lines().enumerate() {
            let mut fields = line.fields();
            let Some(key) = fields.next() else { continue };
            let known = self.keys.at(index, &[key], |key| self.fields.is_match(key));
            if !known.made && !cx.wanted.points {
                continue;
            }
            match fields.number("a count") {
                Ok(value) => reading.values.push((known.clone(), value)),
                Err(error) => cx.problems.push(error),
            }
        }
        Ok(())
    }
}

const VMSTAT: Pattern = Pattern::new("node_vmstat_", "", Kind::Untyped, "node_vmstat_KEY").help(" of /proc/vmstat");
const KERNEL_VMSTAT: Measurement<0> = Measurement::new(
    "kernel_vmstat",
    [],
    &[FieldInfo { name: "KEY", help: "each key of /proc/vmstat", type_name: "integer" }],
);

impl Reading for VmstatReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (known, value) in self.values.iter().filter(|(known, _)| known.made) {
            out.keyed(&VMSTAT, &known.key, *value);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&KERNEL_VMSTAT, []);
        for (known, value) in &self.values {
            point.free_field::<i128>(&[&known.key], *value);
        }
    }
}
