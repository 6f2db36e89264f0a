//! The zones of memory.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Host, HostFile, ReadError};

/// `/proc/zoneinfo`: mm/vmstat.c, `zoneinfo_show_print`.
pub(super) struct Zoneinfo {
    zoneinfo: HostFile,
}

impl Collector for Zoneinfo {
    const ABOUT: About = About {
        name: "zoneinfo",
        summary: "the zones of memory: their pages, their watermarks",
        reads: &["/proc/zoneinfo"],
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 35>(&[&infos!(LINES.1), &[PROTECTION.info()]]),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Zoneinfo { zoneinfo: host.proc("zoneinfo") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let (mut node, mut zone) = (String::new(), String::new());
        for line in self.zoneinfo.read(cx.buffer)?.lines() {
            let mut fields = line.fields();
            let key = fields.next().unwrap_or_default();
            if key == b"Node" {
                // "Node 0, zone      DMA"
                node = String::from_utf8_lossy(fields.required("a node")?).trim_end_matches(',').to_owned();
                zone = String::from_utf8_lossy(fields.nth(1).unwrap_or_default()).into_owned();
                continue;
            }
            if key == b"protection:" {
                let text = String::from_utf8_lossy(line.bytes()).replace(['(', ')', ','], " ");
                for (index, number) in text.split_whitespace().skip(1).enumerate() {
                    if let Ok(pages) = number.parse::<u64>() {
                        reading.put_keyed(&PROTECTION, &index.to_string(), [&node, &zone], pages);
                    }
                }
                continue;
            }
            if let Some((_, family)) = LINES.iter().find(|(known, _)| known.as_bytes() == key) {
                reading.put_some(family, [&node, &zone], fields.optional::<u64>("a count of pages").ok().flatten());
            }
        }
        Ok(())
    }
}

const ZONE: [&str; 2] = ["node", "zone"];
const PROTECTION: Family<2> =
    Family::gauge("node_zoneinfo_protection_KEY", "Pages that are kept from allocations for that zone.", ZONE);
/// Keys with their families.
const LINES: &[(&str, Family<2>)] = &[
    ("nr_active_anon", Family::gauge("node_zoneinfo_nr_active_anon_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    (
        "nr_inactive_anon",
        Family::gauge("node_zoneinfo_nr_inactive_anon_pages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    (
        "nr_isolated_anon",
        Family::gauge("node_zoneinfo_nr_isolated_anon_pages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    ("nr_anon_pages", Family::gauge("node_zoneinfo_nr_anon_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    (
        "nr_anon_transparent_hugepages",
        Family::gauge("node_zoneinfo_nr_anon_transparent_hugepages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    ("nr_active_file", Family::gauge("node_zoneinfo_nr_active_file_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    (
        "nr_inactive_file",
        Family::gauge("node_zoneinfo_nr_inactive_file_pages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    (
        "nr_isolated_file",
        Family::gauge("node_zoneinfo_nr_isolated_file_pages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    ("nr_file_pages", Family::gauge("node_zoneinfo_nr_file_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    (
        "nr_slab_reclaimable",
        Family::gauge("node_zoneinfo_nr_slab_reclaimable_pages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    (
        "nr_slab_unreclaimable",
        Family::gauge("node_zoneinfo_nr_slab_unreclaimable_pages", "Pages of the zone: mm/vmstat.c.", ZONE),
    ),
    ("nr_mlock_stack", Family::gauge("node_zoneinfo_nr_mlock_stack_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_kernel_stack", Family::gauge("node_zoneinfo_nr_kernel_stacks", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_mapped", Family::gauge("node_zoneinfo_nr_mapped_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_dirty", Family::gauge("node_zoneinfo_nr_dirty_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_writeback", Family::gauge("node_zoneinfo_nr_writeback_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_unevictable", Family::gauge("node_zoneinfo_nr_unevictable_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_shmem", Family::gauge("node_zoneinfo_nr_shmem_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("nr_free_pages", Family::gauge("node_zoneinfo_nr_free_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("min", Family::gauge("node_zoneinfo_min_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("low", Family::gauge("node_zoneinfo_low_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("high", Family::gauge("node_zoneinfo_high_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("scanned", Family::gauge("node_zoneinfo_scanned_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("spanned", Family::gauge("node_zoneinfo_spanned_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("present", Family::gauge("node_zoneinfo_present_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    ("managed", Family::gauge("node_zoneinfo_managed_pages", "Pages of the zone: mm/vmstat.c.", ZONE)),
    (
        "nr_dirtied",
        Family::counter("node_zoneinfo_nr_dirtied_total", "Pages that the zone counted: mm/vmstat.c.", ZONE),
    ),
    (
        "nr_written",
        Family::counter("node_zoneinfo_nr_written_total", "Pages that the zone counted: mm/vmstat.c.", ZONE),
    ),
    ("numa_hit", Family::counter("node_zoneinfo_numa_hit_total", "Pages that the zone counted: mm/vmstat.c.", ZONE)),
    ("numa_miss", Family::counter("node_zoneinfo_numa_miss_total", "Pages that the zone counted: mm/vmstat.c.", ZONE)),
    (
        "numa_foreign",
        Family::counter("node_zoneinfo_numa_foreign_total", "Pages that the zone counted: mm/vmstat.c.", ZONE),
    ),
    (
        "numa_interleave",
        Family::counter("node_zoneinfo_numa_interleave_total", "Pages that the zone counted: mm/vmstat.c.", ZONE),
    ),
    (
        "numa_local",
        Family::counter("node_zoneinfo_numa_local_total", "Pages that the zone counted: mm/vmstat.c.", ZONE),
    ),
    (
        "numa_other",
        Family::counter("node_zoneinfo_numa_other_total", "Pages that the zone counted: mm/vmstat.c.", ZONE),
    ),
];
