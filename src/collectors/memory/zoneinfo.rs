//! Memory zones.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
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
        summary: "memory zones: page counts and watermarks",
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
                let number = cx.problems.part(fields.required("a node")).unwrap_or_default();
                node = String::from_utf8_lossy(number).trim_end_matches(',').to_owned();
                zone = String::from_utf8_lossy(fields.nth(1).unwrap_or_default()).into_owned();
                continue;
            }
            if key == b"protection:" {
                let text = String::from_utf8_lossy(line.bytes()).replace(['(', ')', ','], " ");
                for (index, number) in text.split_whitespace().skip(1).enumerate() {
                    match number.parse::<u64>() {
                        Ok(pages) => reading.put_keyed(&PROTECTION, &index.to_string(), [&node, &zone], pages),
                        Err(_) => cx.problems.push(line.malformed("counts of pages", number.as_bytes())),
                    }
                }
                continue;
            }
            if let Some((_, family)) = LINES.iter().find(|(known, _)| known.as_bytes() == key) {
                let pages = cx.problems.part(fields.optional::<i128>("a count of pages"));
                reading.put_some(family, [&node, &zone], pages.flatten());
            }
        }
        Ok(())
    }
}

const ZONE: [&str; 2] = ["node", "zone"];
const PROTECTION: Family<2> = Family::gauge(
    "node_zoneinfo_protection_KEY",
    "Protection of the zone (lowmem_reserve) against allocations for a higher zone, in pages",
    ZONE,
);
/// Keys and their families.
const LINES: &[(&str, Family<2>)] = &[
    (
        "nr_active_anon",
        Family::gauge("node_zoneinfo_nr_active_anon_pages", "Anonymous pages on the active LRU list", ZONE),
    ),
    (
        "nr_inactive_anon",
        Family::gauge("node_zoneinfo_nr_inactive_anon_pages", "Anonymous pages on the inactive LRU list", ZONE),
    ),
    (
        "nr_isolated_anon",
        Family::gauge("node_zoneinfo_nr_isolated_anon_pages", "Anonymous pages isolated from the LRU lists", ZONE),
    ),
    ("nr_anon_pages", Family::gauge("node_zoneinfo_nr_anon_pages", "Mapped anonymous pages", ZONE)),
    (
        "nr_anon_transparent_hugepages",
        Family::gauge("node_zoneinfo_nr_anon_transparent_hugepages", "Anonymous transparent huge pages", ZONE),
    ),
    ("nr_active_file", Family::gauge("node_zoneinfo_nr_active_file_pages", "File pages on the active LRU list", ZONE)),
    (
        "nr_inactive_file",
        Family::gauge("node_zoneinfo_nr_inactive_file_pages", "File pages on the inactive LRU list", ZONE),
    ),
    (
        "nr_isolated_file",
        Family::gauge("node_zoneinfo_nr_isolated_file_pages", "File pages isolated from the LRU lists", ZONE),
    ),
    ("nr_file_pages", Family::gauge("node_zoneinfo_nr_file_pages", "Page cache pages", ZONE)),
    ("nr_slab_reclaimable", Family::gauge("node_zoneinfo_nr_slab_reclaimable_pages", "Reclaimable slab pages", ZONE)),
    (
        "nr_slab_unreclaimable",
        Family::gauge("node_zoneinfo_nr_slab_unreclaimable_pages", "Unreclaimable slab pages", ZONE),
    ),
    ("nr_mlock_stack", Family::gauge("node_zoneinfo_nr_mlock_stack_pages", "Mlocked pages", ZONE)),
    ("nr_kernel_stack", Family::gauge("node_zoneinfo_nr_kernel_stacks", "Memory used by kernel stacks", ZONE)),
    ("nr_mapped", Family::gauge("node_zoneinfo_nr_mapped_pages", "Pages mapped into page tables", ZONE)),
    ("nr_dirty", Family::gauge("node_zoneinfo_nr_dirty_pages", "Dirty pages", ZONE)),
    ("nr_writeback", Family::gauge("node_zoneinfo_nr_writeback_pages", "Pages under writeback", ZONE)),
    ("nr_unevictable", Family::gauge("node_zoneinfo_nr_unevictable_pages", "Unevictable pages", ZONE)),
    ("nr_shmem", Family::gauge("node_zoneinfo_nr_shmem_pages", "Shared memory pages (shmem)", ZONE)),
    ("nr_free_pages", Family::gauge("node_zoneinfo_nr_free_pages", "Free pages", ZONE)),
    ("min", Family::gauge("node_zoneinfo_min_pages", "Minimum watermark in pages", ZONE)),
    ("low", Family::gauge("node_zoneinfo_low_pages", "Low watermark in pages", ZONE)),
    ("high", Family::gauge("node_zoneinfo_high_pages", "High watermark in pages", ZONE)),
    ("scanned", Family::gauge("node_zoneinfo_scanned_pages", "Pages scanned since the last reclaim", ZONE)),
    ("spanned", Family::gauge("node_zoneinfo_spanned_pages", "Pages spanned by the zone, including holes", ZONE)),
    ("present", Family::gauge("node_zoneinfo_present_pages", "Physical pages present in the zone", ZONE)),
    ("managed", Family::gauge("node_zoneinfo_managed_pages", "Pages managed by the buddy allocator", ZONE)),
    ("nr_dirtied", Family::counter("node_zoneinfo_nr_dirtied_total", "Pages dirtied", ZONE)),
    ("nr_written", Family::counter("node_zoneinfo_nr_written_total", "Pages written back", ZONE)),
    ("numa_hit", Family::counter("node_zoneinfo_numa_hit_total", "Pages allocated on the intended node", ZONE)),
    (
        "numa_miss",
        Family::counter("node_zoneinfo_numa_miss_total", "Pages allocated here but intended for another node", ZONE),
    ),
    (
        "numa_foreign",
        Family::counter(
            "node_zoneinfo_numa_foreign_total",
            "Pages intended for this node but allocated on another node",
            ZONE,
        ),
    ),
    (
        "numa_interleave",
        Family::counter(
            "node_zoneinfo_numa_interleave_total",
            "Interleaved pages allocated on the intended node",
            ZONE,
        ),
    ),
    (
        "numa_local",
        Family::counter(
            "node_zoneinfo_numa_local_total",
            "Pages allocated on the node of the requesting process",
            ZONE,
        ),
    ),
    (
        "numa_other",
        Family::counter(
            "node_zoneinfo_numa_other_total",
            "Pages allocated on a node other than that of the process",
            ZONE,
        ),
    ),
];
