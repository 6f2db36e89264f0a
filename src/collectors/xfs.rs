//! What XFS file systems do.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
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
        summary: "what XFS file systems do",
        reads: &["/sys/fs/xfs/*/stats/stats"],
        needs: "a file system of XFS that is mounted",
        families: &FAMILIES,
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Xfs { file_systems: host.devices("fs/xfs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // Beside the file systems, what they do together.
        for (name, device) in self.file_systems.look(|name| name != "stats")? {
            let Some(text) = device.text("stats/stats", cx.buffer) else { continue };
            for line in text.lines() {
                let mut fields = line.fields();
                let key = fields.next().unwrap_or_default();
                let Some((_, families)) = LINES.iter().find(|(known, _)| *known == key) else { continue };
                for family in *families {
                    reading.put_some(family, [name], fields.optional::<u64>("a count")?);
                }
            }
        }
        Ok(())
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family<1> {
    Family::counter(name, help, ["device"])
}

/// The lines that are told of, each with its columns.
const LINES: &[(&[u8], &[Family<1>])] = &[
    (
        b"extent_alloc",
        &[
            counter(
                "node_xfs_extent_allocation_extents_allocated_total",
                "Extents and their blocks that were allocated and freed: extents allocated.",
            ),
            counter(
                "node_xfs_extent_allocation_blocks_allocated_total",
                "Extents and their blocks that were allocated and freed: blocks allocated.",
            ),
            counter(
                "node_xfs_extent_allocation_extents_freed_total",
                "Extents and their blocks that were allocated and freed: extents freed.",
            ),
            counter(
                "node_xfs_extent_allocation_blocks_freed_total",
                "Extents and their blocks that were allocated and freed: blocks freed.",
            ),
        ],
    ),
    (
        b"abt",
        &[
            counter("node_xfs_allocation_btree_lookups_total", "The trees of free space: lookups."),
            counter("node_xfs_allocation_btree_compares_total", "The trees of free space: compares."),
            counter("node_xfs_allocation_btree_records_inserted_total", "The trees of free space: records inserted."),
            counter("node_xfs_allocation_btree_records_deleted_total", "The trees of free space: records deleted."),
        ],
    ),
    (
        b"blk_map",
        &[
            counter("node_xfs_block_mapping_reads_total", "The maps of files' blocks: reads."),
            counter("node_xfs_block_mapping_writes_total", "The maps of files' blocks: writes."),
            counter("node_xfs_block_mapping_unmaps_total", "The maps of files' blocks: unmaps."),
            counter(
                "node_xfs_block_mapping_extent_list_insertions_total",
                "The maps of files' blocks: extent list insertions.",
            ),
            counter(
                "node_xfs_block_mapping_extent_list_deletions_total",
                "The maps of files' blocks: extent list deletions.",
            ),
            counter(
                "node_xfs_block_mapping_extent_list_lookups_total",
                "The maps of files' blocks: extent list lookups.",
            ),
            counter(
                "node_xfs_block_mapping_extent_list_compares_total",
                "The maps of files' blocks: extent list compares.",
            ),
        ],
    ),
    (
        b"bmbt",
        &[
            counter("node_xfs_block_map_btree_lookups_total", "The trees of files' blocks: lookups."),
            counter("node_xfs_block_map_btree_compares_total", "The trees of files' blocks: compares."),
            counter("node_xfs_block_map_btree_records_inserted_total", "The trees of files' blocks: records inserted."),
            counter("node_xfs_block_map_btree_records_deleted_total", "The trees of files' blocks: records deleted."),
        ],
    ),
    (
        b"dir",
        &[
            counter("node_xfs_directory_operation_lookup_total", "Directories: lookup."),
            counter("node_xfs_directory_operation_create_total", "Directories: create."),
            counter("node_xfs_directory_operation_remove_total", "Directories: remove."),
            counter("node_xfs_directory_operation_getdents_total", "Directories: getdents."),
        ],
    ),
    (
        b"ig",
        &[
            counter("node_xfs_inode_operation_attempts_total", "The cache of inodes: attempts."),
            counter("node_xfs_inode_operation_found_total", "The cache of inodes: found."),
            counter("node_xfs_inode_operation_recycled_total", "The cache of inodes: recycled."),
            counter("node_xfs_inode_operation_missed_total", "The cache of inodes: missed."),
            counter("node_xfs_inode_operation_duplicates_total", "The cache of inodes: duplicates."),
            counter("node_xfs_inode_operation_reclaims_total", "The cache of inodes: reclaims."),
            counter("node_xfs_inode_operation_attribute_changes_total", "The cache of inodes: attribute changes."),
        ],
    ),
    (
        b"rw",
        &[
            counter("node_xfs_write_calls_total", "Calls of write(2)."),
            counter("node_xfs_read_calls_total", "Calls of read(2)."),
        ],
    ),
    (
        b"vnodes",
        &[
            counter("node_xfs_vnode_active_total", "Inodes of the virtual file system: active."),
            counter("node_xfs_vnode_allocate_total", "Inodes of the virtual file system: allocate."),
            counter("node_xfs_vnode_get_total", "Inodes of the virtual file system: get."),
            counter("node_xfs_vnode_hold_total", "Inodes of the virtual file system: hold."),
            counter("node_xfs_vnode_release_total", "Inodes of the virtual file system: release."),
            counter("node_xfs_vnode_reclaim_total", "Inodes of the virtual file system: reclaim."),
            counter("node_xfs_vnode_remove_total", "Inodes of the virtual file system: remove."),
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
