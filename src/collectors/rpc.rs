//! What the client and the server of NFS tell alike: net/sunrpc/stats.c.

use super::gathered::Gathered;
use crate::encode::Family;
use crate::host::{Line, ReadError};

/// The requests of a version by their numbers: a line `procN COUNT …` of a file below `/proc/net/rpc`.
///
/// # Errors
/// That a count is none.
pub(super) fn put_requests(
    reading: &mut Gathered,
    family: &'static Family<2>,
    line: Line<'_>,
    version: &str,
    names: &[&str],
    skipped: usize,
) -> Result<(), ReadError> {
    let mut fields = line.fields();
    // The key, and how many there are.
    fields.nth(1);
    for _ in 0..skipped {
        fields.next();
    }
    for name in names {
        reading.put_some(family, [name, version], fields.optional::<u64>("a count of requests")?);
    }
    Ok(())
}

/// The numbers of a line as samples, each of its family; those that an older kernel does not have are left out.
///
/// # Errors
/// That a count is none.
pub(super) fn put_counts(
    reading: &mut Gathered,
    families: &'static [Option<Family<0>>],
    line: Line<'_>,
) -> Result<(), ReadError> {
    let mut fields = line.fields();
    fields.next();
    for family in families {
        let count = fields.optional::<u64>("a count")?;
        if let Some(family) = family {
            reading.put_some(family, [], count);
        }
    }
    Ok(())
}

/// The lines of a file with their keys.
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
