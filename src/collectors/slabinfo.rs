//! The kernel's own caches of objects.

use regex::Regex;

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/slabinfo`: slabinfo(5).
pub(super) struct Slabinfo {
    slabinfo: HostFile,
    wanted: Filter,
}

const SLABS_INCLUDE: Key<Regex> = Key::new("slabs_include", "'.*'", "Caches that have families.");
const SLABS_EXCLUDE: Key<Regex> = Key::optional("slabs_exclude", "Caches of these that have none.");

impl Collector for Slabinfo {
    const ABOUT: About = About {
        name: "slabinfo",
        summary: "the kernel's own caches of objects",
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
        const HEAD_LINES: usize = 2;
        for line in self.slabinfo.read(cx.buffer)?.lines().skip(HEAD_LINES) {
            let mut fields = line.fields();
            let slab = String::from_utf8_lossy(fields.required("a cache")?).into_owned();
            if !self.wanted.wants(&slab) {
                continue;
            }
            for family in &COLUMNS {
                reading.put(family, [&slab], fields.number::<u64>("a number")?);
            }
        }
        Ok(())
    }
}

/// In the order of the columns.
const COLUMNS: [Family<1>; 5] = [
    Family::gauge("node_slabinfo_active_objects", "Objects that are in use.", ["slab"]),
    Family::gauge("node_slabinfo_objects", "Objects that there is room for.", ["slab"]),
    Family::gauge("node_slabinfo_object_size_bytes", "Bytes of an object.", ["slab"]),
    Family::gauge("node_slabinfo_objects_per_slab", "Objects of a slab.", ["slab"]),
    Family::gauge("node_slabinfo_pages_per_slab", "Pages of a slab.", ["slab"]),
];
