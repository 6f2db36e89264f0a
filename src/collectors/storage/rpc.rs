//! RPC statistics shared by NFS client and server: net/sunrpc/stats.c.

use crate::collectors::framework::Problems;
use crate::collectors::framework::gathered::Gathered;
use crate::encode::Family;
use crate::host::{Line, ReadError};

/// Adds the requests of a protocol version: the line `procN COUNT …` of a file below `/proc/net/rpc`.
pub(super) fn put_requests(
    reading: &mut Gathered,
    family: &'static Family<2>,
    line: Line<'_>,
    version: &str,
    names: &[&str],
    skipped: usize,
    problems: &mut Vec<ReadError>,
) {
    let mut fields = line.fields();
    // The key and the number of procedures.
    fields.nth(1);
    for _ in 0..skipped {
        fields.next();
    }
    for name in names {
        let count = problems.part(fields.optional::<u64>("a count of requests"));
        reading.put_some(family, [name, version], count.flatten());
    }
}

/// Adds the numbers of a line, each to its family. Older kernels have fewer numbers.
pub(super) fn put_counts(
    reading: &mut Gathered,
    families: &'static [Option<Family<0>>],
    line: Line<'_>,
    problems: &mut Vec<ReadError>,
) {
    let mut fields = line.fields();
    fields.next();
    for family in families {
        let count = problems.part(fields.optional::<u64>("a count"));
        if let Some(family) = family {
            reading.put_some(family, [], count.flatten());
        }
    }
}

/// Lines with their keys.
pub(super) fn keyed<'l>(lines: impl Iterator<Item = Line<'l>>) -> impl Iterator<Item = (&'l [u8], Line<'l>)> {
    lines.filter_map(|line| Some((line.fields().next()?, line)))
}

pub(super) const VERSION_2: &[&str] = &[
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create", "Remove",
    "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];
pub(super) const VERSION_3: &[&str] = &[
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];
