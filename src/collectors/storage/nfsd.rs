//! NFS server statistics.

use super::rpc::{VERSION_2, VERSION_3, keyed, put_counts, put_requests};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
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
        summary: "NFS server statistics",
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
                b"rc" => put_counts(reading, REPLY_CACHE, line, cx.problems),
                b"fh" => put_counts(reading, FILE_HANDLES, line, cx.problems),
                b"io" => put_counts(reading, IO, line, cx.problems),
                b"th" => put_counts(reading, THREAD_LINE, line, cx.problems),
                b"ra" => put_counts(reading, READ_AHEAD, line, cx.problems),
                b"net" => put_labelled(reading, &PACKETS, line, 1, &["udp", "tcp"], Some(&CONNECTIONS), cx.problems),
                b"rpc" => {
                    put_counts(reading, &[Some(RPCS)], line, cx.problems);
                    put_labelled(reading, &ERRORS, line, 2, &["fmt", "auth", "cInt"], None, cx.problems);
                }
                b"proc2" => put_requests(reading, &REQUESTS, line, "2", VERSION_2, 0, cx.problems),
                b"proc3" => put_requests(reading, &REQUESTS, line, "3", VERSION_3, 0, cx.problems),
                // Operation numbers start at 3.
                b"proc4ops" => put_requests(reading, &REQUESTS, line, "4", VERSION_4, 3, cx.problems),
                b"wdeleg_getattr" => {
                    let mut fields = line.fields();
                    fields.next();
                    let count = cx.problems.part(fields.number::<u64>("a count of requests"));
                    reading.put_some(&REQUESTS, ["WdelegGetattr", "4"], count);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds the numbers after the key and `skipped` others by label, then optionally one without label.
fn put_labelled(
    reading: &mut Gathered,
    family: &'static Family<1>,
    line: Line<'_>,
    skipped: usize,
    labels: &[&str],
    last: Option<&'static Family<0>>,
    problems: &mut Vec<ReadError>,
) {
    let mut fields = line.fields();
    fields.nth(skipped);
    for label in labels {
        reading.put_some(family, [label], problems.part(fields.optional::<u64>("a count")).flatten());
    }
    if let Some(last) = last {
        reading.put_some(last, [], problems.part(fields.optional::<u64>("a count")).flatten());
    }
}

const REPLY_HITS: Family<0> = Family::counter("node_nfsd_reply_cache_hits_total", "Reply cache hits", []);
const REPLY_MISSES: Family<0> = Family::counter("node_nfsd_reply_cache_misses_total", "Reply cache misses", []);
const REPLY_NOT_CACHED: Family<0> =
    Family::counter("node_nfsd_reply_cache_nocache_total", "Requests that need no reply cache (idempotent)", []);
const REPLY_CACHE: &[Option<Family<0>>] = &[Some(REPLY_HITS), Some(REPLY_MISSES), Some(REPLY_NOT_CACHED)];
const STALE: Family<0> = Family::counter("node_nfsd_file_handles_stale_total", "Stale file handle errors", []);
const FILE_HANDLES: &[Option<Family<0>>] = &[Some(STALE)];
const BYTES_READ: Family<0> = Family::counter("node_nfsd_disk_bytes_read_total", "Bytes read by clients", []);
const BYTES_WRITTEN: Family<0> = Family::counter("node_nfsd_disk_bytes_written_total", "Bytes written by clients", []);
const IO: &[Option<Family<0>>] = &[Some(BYTES_READ), Some(BYTES_WRITTEN)];
const THREADS: Family<0> = Family::gauge("node_nfsd_server_threads", "NFS server threads", []);
const THREAD_LINE: &[Option<Family<0>>] = &[Some(THREADS)];
const READ_AHEAD_SIZE: Family<0> =
    Family::gauge("node_nfsd_read_ahead_cache_size_blocks", "Size of the read-ahead cache in entries", []);
const READ_AHEAD_NOT_FOUND: Family<0> =
    Family::counter("node_nfsd_read_ahead_cache_not_found_total", "Read-ahead cache misses", []);
/// Cache size, hits by ten depths, misses.
const READ_AHEAD: &[Option<Family<0>>] = {
    const NONE: Option<Family<0>> = None;
    &[Some(READ_AHEAD_SIZE), NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, Some(READ_AHEAD_NOT_FOUND)]
};
const PACKETS: Family<1> =
    Family::counter("node_nfsd_packets_total", "Packets received by the NFS server, by transport", ["proto"]);
const CONNECTIONS: Family<0> = Family::counter("node_nfsd_connections_total", "TCP connections of the NFS server", []);
const ERRORS: Family<1> =
    Family::counter("node_nfsd_rpc_errors_total", "Invalid RPC calls by type of error", ["error"]);
const RPCS: Family<0> = Family::counter("node_nfsd_server_rpcs_total", "RPC calls of the NFS server", []);
const REQUESTS: Family<2> = Family::counter(
    "node_nfsd_requests_total",
    "NFS server requests by protocol version and procedure",
    ["method", "proto"],
);

/// Operations from ACCESS on: RFC 7530, section 16.
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
