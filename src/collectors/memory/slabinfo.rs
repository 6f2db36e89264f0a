//! Slab caches of the kernel.

use regex::Regex;

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/slabinfo`: slabinfo(5).
pub(super) struct Slabinfo {
    slabinfo: HostFile,
    wanted: Filter,
}

const SLABS_INCLUDE: Key<Regex> = Key::new("slabs_include", "'.*'", "Slab caches to include in the families.");
const SLABS_EXCLUDE: Key<Regex> = Key::optional("slabs_exclude", "Slab caches to leave out of the families.");

impl Collector for Slabinfo {
    const ABOUT: About = About {
        name: "slabinfo",
        summary: "slab caches of the kernel",
        reads: &["/proc/slabinfo"],
        needs: "root",
        on_by_default: Vocabularies::NONE,
        keys: &[SLABS_INCLUDE.info(), SLABS_EXCLUDE.info()],
        families: &[COLUMNS[0].info(), COLUMNS[1].info(), COLUMNS[2].info(), COLUMNS[3].info(), COLUMNS[4].info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let (include, exclude) = (section.get(&SLABS_INCLUDE), section.optional(&SLABS_EXCLUDE));
        Slabinfo { slabinfo: host.proc("slabinfo"), wanted: Filter::new(Some(include), exclude) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEADER_LINES: usize = 2;
        for line in self.slabinfo.read(cx.buffer)?.lines().skip(HEADER_LINES) {
            let mut fields = line.fields();
            let Some(slab) = cx.problems.part(fields.required("a cache")) else { continue };
            let slab = String::from_utf8_lossy(slab);
            if !self.wanted.wants(&slab) {
                continue;
            }
            for family in &COLUMNS {
                reading.put_some(family, [&slab], cx.problems.part(fields.number::<u64>("a number")));
            }
        }
        Ok(())
    }
}

/// In the order of the columns.
const COLUMNS: [Family<1>; 5] = [
    Family::gauge("node_slabinfo_active_objects", "Objects in use", ["slab"]),
    Family::gauge("node_slabinfo_objects", "Allocated objects", ["slab"]),
    Family::gauge("node_slabinfo_object_size_bytes", "Size of an object in bytes", ["slab"]),
    Family::gauge("node_slabinfo_objects_per_slab", "Objects per slab", ["slab"]),
    Family::gauge("node_slabinfo_pages_per_slab", "Pages per slab", ["slab"]),
];
