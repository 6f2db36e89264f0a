//! XFS statistics.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::family::FamilyInfo;
use crate::host::{Devices, Host, ReadError};

/// `/sys/fs/xfs/*/stats/stats`: fs/xfs/xfs_stats.c, `xfs_stats_format`.
pub(super) struct Xfs {
    file_systems: Devices,
}

impl Collector for Xfs {
    const ABOUT: About = About {
        name: "xfs",
        summary: "XFS statistics by file system",
        reads: &["/sys/fs/xfs/*/stats/stats"],
        needs: "a mounted XFS file system",
        families: &FAMILIES,
        may_be_absent: true,
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Xfs { file_systems: host.devices("fs/xfs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // `stats` has the totals of all file systems.
        for (name, device) in self.file_systems.look(|name| name != "stats")? {
            let Some(text) = device.text("stats/stats", cx.buffer) else { continue };
            for line in text.lines() {
                let mut fields = line.fields();
                let key = fields.next().unwrap_or_default();
                let Some((_, families)) = LINES.iter().find(|(known, _)| *known == key) else { continue };
                for family in *families {
                    let count = cx.problems.part(fields.optional::<u64>("a count"));
                    reading.put_some(family, [name], count.flatten());
                }
            }
        }
        Ok(())
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family<1> {
    Family::counter(name, help, ["device"])
}

/// Exported lines with the families of their columns.
const LINES: &[(&[u8], &[Family<1>])] = &[
    (
        b"extent_alloc",
        &[
            counter("node_xfs_extent_allocation_extents_allocated_total", "Extents allocated"),
            counter("node_xfs_extent_allocation_blocks_allocated_total", "Blocks allocated"),
            counter("node_xfs_extent_allocation_extents_freed_total", "Extents freed"),
            counter("node_xfs_extent_allocation_blocks_freed_total", "Blocks freed"),
        ],
    ),
    (
        b"abt",
        &[
            counter("node_xfs_allocation_btree_lookups_total", "Allocation btree lookups"),
            counter("node_xfs_allocation_btree_compares_total", "Allocation btree compares"),
            counter("node_xfs_allocation_btree_records_inserted_total", "Allocation btree records inserted"),
            counter("node_xfs_allocation_btree_records_deleted_total", "Allocation btree records deleted"),
        ],
    ),
    (
        b"blk_map",
        &[
            counter("node_xfs_block_mapping_reads_total", "Block map reads"),
            counter("node_xfs_block_mapping_writes_total", "Block map writes"),
            counter("node_xfs_block_mapping_unmaps_total", "Block map unmaps"),
            counter("node_xfs_block_mapping_extent_list_insertions_total", "Block map extent list insertions"),
            counter("node_xfs_block_mapping_extent_list_deletions_total", "Block map extent list deletions"),
            counter("node_xfs_block_mapping_extent_list_lookups_total", "Block map extent list lookups"),
            counter("node_xfs_block_mapping_extent_list_compares_total", "Block map extent list compares"),
        ],
    ),
    (
        b"bmbt",
        &[
            counter("node_xfs_block_map_btree_lookups_total", "Block map btree lookups"),
            counter("node_xfs_block_map_btree_compares_total", "Block map btree compares"),
            counter("node_xfs_block_map_btree_records_inserted_total", "Block map btree records inserted"),
            counter("node_xfs_block_map_btree_records_deleted_total", "Block map btree records deleted"),
        ],
    ),
    (
        b"dir",
        &[
            counter("node_xfs_directory_operation_lookup_total", "Directory lookups"),
            counter("node_xfs_directory_operation_create_total", "Directory entries created"),
            counter("node_xfs_directory_operation_remove_total", "Directory entries removed"),
            counter("node_xfs_directory_operation_getdents_total", "Directory getdents operations"),
        ],
    ),
    (
        b"ig",
        &[
            counter("node_xfs_inode_operation_attempts_total", "Inode cache lookups"),
            counter("node_xfs_inode_operation_found_total", "Inode cache hits"),
            counter("node_xfs_inode_operation_recycled_total", "Inodes recycled from the cache while being reclaimed"),
            counter("node_xfs_inode_operation_missed_total", "Inode cache misses"),
            counter(
                "node_xfs_inode_operation_duplicates_total",
                "Inode cache insertions that raced with another (duplicates)",
            ),
            counter("node_xfs_inode_operation_reclaims_total", "Inodes reclaimed from the cache"),
            counter("node_xfs_inode_operation_attribute_changes_total", "Inode attribute changes"),
        ],
    ),
    (
        b"rw",
        &[
            counter("node_xfs_write_calls_total", "write(2) calls"),
            counter("node_xfs_read_calls_total", "read(2) calls"),
        ],
    ),
    (
        b"vnodes",
        &[
            counter("node_xfs_vnode_active_total", "Vnodes not on free lists"),
            counter("node_xfs_vnode_allocate_total", "vn_alloc() calls"),
            counter("node_xfs_vnode_get_total", "vn_get() calls"),
            counter("node_xfs_vnode_hold_total", "vn_hold() calls"),
            counter("node_xfs_vnode_release_total", "vn_rele() calls"),
            counter("node_xfs_vnode_reclaim_total", "vn_reclaim() calls"),
            counter("node_xfs_vnode_remove_total", "vn_remove() calls"),
        ],
    ),
];
const FAMILIES: [FamilyInfo; 39] = {
    let mut infos = [LINES[0].1[0].info(); 39];
    let (mut line, mut next) = (0, 0);
    while line < LINES.len() {
        let mut column = 0;
        while column < LINES[line].1.len() {
            infos[next] = LINES[line].1[column].info();
            (column, next) = (column + 1, next + 1);
        }
        line += 1;
    }
    infos
};
