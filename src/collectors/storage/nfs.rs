//! NFS client RPC statistics.

use super::rpc::{VERSION_2, VERSION_3, keyed, put_counts, put_requests};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/net/rpc/nfs`: net/sunrpc/stats.c, `rpc_proc_show`.
pub(super) struct Nfs {
    rpc: HostFile,
}

impl Collector for Nfs {
    const ABOUT: About = About {
        name: "nfs",
        summary: "NFS client RPC statistics",
        reads: &["/proc/net/rpc/nfs"],
        needs: "the kernel module nfs",
        families: &[
            PACKETS.info(),
            CONNECTIONS.info(),
            RPCS.info(),
            RETRANSMISSIONS.info(),
            REFRESHES.info(),
            REQUESTS.info(),
        ],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Nfs { rpc: host.proc("net/rpc/nfs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (key, line) in keyed(self.rpc.read(cx.buffer)?.lines()) {
            match key {
                b"net" => {
                    let mut fields = line.fields();
                    // The key and the total number of packets.
                    fields.nth(1);
                    for protocol in ["udp", "tcp"] {
                        let count = cx.problems.part(fields.optional::<u64>("a count of packets"));
                        reading.put_some(&PACKETS, [protocol], count.flatten());
                    }
                    let count = cx.problems.part(fields.optional::<u64>("a count of connections"));
                    reading.put_some(&CONNECTIONS, [], count.flatten());
                }
                b"rpc" => put_counts(reading, RPC, line, cx.problems),
                b"proc2" => put_requests(reading, &REQUESTS, line, "2", VERSION_2, 0, cx.problems),
                b"proc3" => put_requests(reading, &REQUESTS, line, "3", VERSION_3, 0, cx.problems),
                b"proc4" => put_requests(reading, &REQUESTS, line, "4", VERSION_4, 0, cx.problems),
                _ => {}
            }
        }
        Ok(())
    }
}

const PACKETS: Family<1> = Family::counter(
    "node_nfs_packets_total",
    "Packets sent and received by the NFS client, by transport",
    ["protocol"],
);
const CONNECTIONS: Family<0> = Family::counter("node_nfs_connections_total", "TCP connections of the NFS client", []);
const RPCS: Family<0> = Family::counter("node_nfs_rpcs_total", "RPC calls of the NFS client", []);
const RETRANSMISSIONS: Family<0> =
    Family::counter("node_nfs_rpc_retransmissions_total", "RPC retransmissions of the NFS client", []);
const REFRESHES: Family<0> = Family::counter(
    "node_nfs_rpc_authentication_refreshes_total",
    "RPC authentication refreshes of the NFS client",
    [],
);
const RPC: &[Option<Family<0>>] = &[Some(RPCS), Some(RETRANSMISSIONS), Some(REFRESHES)];
const REQUESTS: Family<2> = Family::counter(
    "node_nfs_requests_total",
    "NFS client requests by protocol version and procedure",
    ["method", "proto"],
);

/// In the kernel's order: include/linux/nfs4.h, `NFSPROC4_CLNT_*`.
const VERSION_4: &[&str] = &[
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "LayoutGet",
    "GetDeviceInfo",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
    "Copy",
    "OffloadCancel",
    "LookupP",
    "LayoutError",
    "CopyNotify",
    "GetXAttr",
    "SetXAttr",
    "ListXAttrs",
    "RemoveXAttr",
    "ReadPlus",
];
