//! What this host's NFS server was asked for.

use super::gathered::Gathered;
use super::rpc::{VERSION_2, VERSION_3, keyed, put_counts, put_requests};
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/net/rpc/nfsd`: fs/nfsd/stats.c.
pub(super) struct Nfsd {
    rpc: HostFile,
}

impl Collector for Nfsd {
    const ABOUT: About = About {
        name: "nfsd",
        summary: "requests to this host's NFS server",
        reads: &["/proc/net/rpc/nfsd"],
        needs: "the kernel module nfsd",
        families: &[
            REPLY_HITS.info(),
            REPLY_MISSES.info(),
            REPLY_NOT_CACHED.info(),
            STALE.info(),
            BYTES_READ.info(),
            BYTES_WRITTEN.info(),
            THREADS.info(),
            READ_AHEAD_SIZE.info(),
            READ_AHEAD_NOT_FOUND.info(),
            PACKETS.info(),
            CONNECTIONS.info(),
            ERRORS.info(),
            RPCS.info(),
            REQUESTS.info(),
        ],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Nfsd { rpc: host.proc("net/rpc/nfsd") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (key, line) in keyed(self.rpc.read(cx.buffer)?.lines()) {
            match key {
                b"rc" => put_counts(reading, REPLY_CACHE, line)?,
                b"fh" => put_counts(reading, FILE_HANDLES, line)?,
                b"io" => put_counts(reading, IO, line)?,
                b"th" => put_counts(reading, THREAD_LINE, line)?,
                b"ra" => put_counts(reading, READ_AHEAD, line)?,
                b"net" => put_labelled(reading, &PACKETS, line, 1, &["udp", "tcp"], Some(&CONNECTIONS))?,
                b"rpc" => {
                    put_counts(reading, &[Some(RPCS)], line)?;
                    put_labelled(reading, &ERRORS, line, 2, &["fmt", "auth", "cInt"], None)?;
                }
                b"proc2" => put_requests(reading, &REQUESTS, line, "2", VERSION_2, 0)?,
                b"proc3" => put_requests(reading, &REQUESTS, line, "3", VERSION_3, 0)?,
                // Operations are numbered from 3.
                b"proc4ops" => put_requests(reading, &REQUESTS, line, "4", VERSION_4, 3)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The numbers behind the key and `skipped` others, by label; then perhaps one without.
fn put_labelled(
    reading: &mut Gathered,
    family: &'static Family<1>,
    line: Line<'_>,
    skipped: usize,
    labels: &[&str],
    last: Option<&'static Family<0>>,
) -> Result<(), ReadError> {
    let mut fields = line.fields();
    fields.nth(skipped);
    for label in labels {
        reading.put_some(family, [label], fields.optional::<u64>("a count")?);
    }
    if let Some(last) = last {
        reading.put_some(last, [], fields.optional::<u64>("a count")?);
    }
    Ok(())
}

const REPLY_HITS: Family<0> =
    Family::counter("node_nfsd_reply_cache_hits_total", "Requests that were answered before.", []);
const REPLY_MISSES: Family<0> =
    Family::counter("node_nfsd_reply_cache_misses_total", "Requests that were not answered before.", []);
const REPLY_NOT_CACHED: Family<0> =
    Family::counter("node_nfsd_reply_cache_nocache_total", "Requests whose answers need not be kept.", []);
const REPLY_CACHE: &[Option<Family<0>>] = &[Some(REPLY_HITS), Some(REPLY_MISSES), Some(REPLY_NOT_CACHED)];
const STALE: Family<0> =
    Family::counter("node_nfsd_file_handles_stale_total", "Requests for files that are not there any more.", []);
const FILE_HANDLES: &[Option<Family<0>>] = &[Some(STALE)];
const BYTES_READ: Family<0> = Family::counter("node_nfsd_disk_bytes_read_total", "Bytes that were read.", []);
const BYTES_WRITTEN: Family<0> = Family::counter("node_nfsd_disk_bytes_written_total", "Bytes that were written.", []);
const IO: &[Option<Family<0>>] = &[Some(BYTES_READ), Some(BYTES_WRITTEN)];
const THREADS: Family<0> = Family::gauge("node_nfsd_server_threads", "Threads of the server.", []);
const THREAD_LINE: &[Option<Family<0>>] = &[Some(THREADS)];
const READ_AHEAD_SIZE: Family<0> =
    Family::gauge("node_nfsd_read_ahead_cache_size_blocks", "Entries of the read-ahead cache.", []);
const READ_AHEAD_NOT_FOUND: Family<0> = Family::counter(
    "node_nfsd_read_ahead_cache_not_found_total",
    "Requests that were not in the read-ahead cache.",
    [],
);
/// The size, ten depths at which something was found, and how often nothing was.
const READ_AHEAD: &[Option<Family<0>>] = {
    const NONE: Option<Family<0>> = None;
    &[Some(READ_AHEAD_SIZE), NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, Some(READ_AHEAD_NOT_FOUND)]
};
const PACKETS: Family<1> = Family::counter("node_nfsd_packets_total", "Packets that came in.", ["proto"]);
const CONNECTIONS: Family<0> = Family::counter("node_nfsd_connections_total", "Connections by TCP.", []);
const ERRORS: Family<1> =
    Family::counter("node_nfsd_rpc_errors_total", "Calls that were wrong, by what was wrong.", ["error"]);
const RPCS: Family<0> = Family::counter("node_nfsd_server_rpcs_total", "Calls of remote procedures.", []);
const REQUESTS: Family<2> =
    Family::counter("node_nfsd_requests_total", "Requests by version and procedure.", ["method", "proto"]);

/// The operations from ACCESS on: RFC 7530, section 16.
const VERSION_4: &[&str] = &[
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "PutPubFH",
    "PutRootFH",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];
