//! NFS client statistics by mount.

use std::collections::{BTreeMap, BTreeSet};

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/PID/mountstats`: fs/nfs/super.c, `nfs_show_stats`, and net/sunrpc/stats.c, `rpc_clnt_show_stats`.
pub(super) struct Mountstats {
    /// Of the host, readable only by root, and of Taffrail itself.
    sources: [Source; 2],
}

struct Source {
    mountstats: HostFile,
    mountinfo: HostFile,
}

impl Collector for Mountstats {
    const ABOUT: About = About {
        name: "mountstats",
        summary: "NFS client statistics by mount",
        reads: &["/proc/1/mountstats", "/proc/1/mountinfo", "/proc/self/mountstats", "/proc/self/mountinfo"],
        needs: "root, or no sandbox of the systemd unit, for the mounts of the host",
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 55>(&[
            &[AGE.info(), MOUNTPOINT.info()],
            &infos!(BYTES),
            &infos!(EVENTS.1),
            &infos!(TRANSPORT),
            &[BIND.info(), CONNECT.info(), IDLE.info()],
            &infos!(OPERATION),
        ]),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let source = |process: &str| Source {
            mountstats: host.proc(format!("{process}/mountstats")),
            mountinfo: host.proc(format!("{process}/mountinfo")),
        };
        Mountstats { sources: ["1", "self"].map(source) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let [host, local] = &mut self.sources;
        let is_readable = host.mountstats.read(cx.buffer).is_ok();
        let Source { mountstats, mountinfo } = if is_readable { host } else { local };
        let addresses = addresses(mountinfo, cx.buffer);
        let addresses = cx.part(addresses).unwrap_or_default();
        let mut exported = BTreeSet::new();
        let mut mount: Option<Mount> = None;
        for line in mountstats.read(cx.buffer)?.lines() {
            if let Some(next) = Mount::parse(line, &addresses) {
                mount = Some(next);
            } else if let Some(mount) = &mut mount
                && let Err(problem) = mount.read(line, reading, &mut exported)
            {
                cx.problems.push(problem);
            }
        }
        Ok(())
    }
}

/// Server addresses by mount point: `addr=` in the last field of mountinfo. Skips fields that are not UTF-8.
fn addresses(mountinfo: &mut HostFile, buffer: &mut Vec<u8>) -> Result<BTreeMap<String, String>, ReadError> {
    const MOUNT_POINT: usize = 4;
    let address = |line: Line<'_>| {
        let text = std::str::from_utf8(line.bytes()).ok()?;
        let point = text.split(' ').nth(MOUNT_POINT)?;
        let address = text.rsplit(' ').next()?.split(',').find_map(|option| option.strip_prefix("addr="))?;
        Some((point.to_owned(), address.to_owned()))
    };
    Ok(mountinfo.read(buffer)?.lines().filter_map(address).collect())
}

/// An NFS mount while its lines are read.
#[derive(Default)]
struct Mount {
    export: String,
    point: String,
    address: String,
    /// Transport protocol. The values before its line wait in `waiting`.
    protocol: Option<String>,
    waiting: Vec<(&'static Family<3>, f64)>,
    transports: usize,
    /// Whether another mount of the same export over the same transport was already exported.
    is_repeated: bool,
    has_operations: bool,
}

impl Mount {
    /// Parses the first line: `device SERVER:/EXPORT mounted on /POINT with fstype nfs4 statvers=1.1`.
    fn parse(line: Line<'_>, addresses: &BTreeMap<String, String>) -> Option<Mount> {
        let text = String::from_utf8_lossy(line.bytes());
        let (export, rest) = text.strip_prefix("device ")?.split_once(" mounted on ")?;
        let (point, kind) = rest.split_once(" with fstype ")?;
        // Other file systems have only this line.
        if !kind.starts_with("nfs") {
            return Some(Mount { is_repeated: true, ..Mount::default() });
        }
        let address = addresses.get(point).cloned().unwrap_or_default();
        Some(Mount { export: export.to_owned(), point: point.to_owned(), address, ..Mount::default() })
    }

    fn read(
        &mut self,
        line: Line<'_>,
        reading: &mut Gathered,
        exported: &mut BTreeSet<[String; 3]>,
    ) -> Result<(), ReadError> {
        let Some((key, rest)) = line.key_and_rest() else {
            self.has_operations |= line.bytes().trim_ascii() == b"per-op statistics";
            return Ok(());
        };
        if self.export.is_empty() || self.is_repeated {
            return Ok(());
        }
        match key {
            b"age" => self.buffer(rest, &[(0, &AGE)])?,
            b"bytes" => self.buffer(rest, &indexed(&BYTES))?,
            b"events" => self.buffer(rest, &EVENTS.each_ref().map(|(index, family)| (*index, family)))?,
            b"xprt" => self.transport(rest, reading, exported)?,
            operation if self.has_operations => self.operation(operation, rest, reading)?,
            _ => {}
        }
        Ok(())
    }

    /// Buffers numbers of a line until the transport is known.
    fn buffer(&mut self, line: Line<'_>, families: &[(usize, &'static Family<3>)]) -> Result<(), ReadError> {
        let numbers = numbers(line)?;
        // Old kernels have fewer numbers.
        let known = families.iter().filter_map(|(index, family)| Some((*family, *numbers.get(*index)?)));
        self.waiting.extend(known);
        Ok(())
    }

    /// A transport line, such as `tcp 832 0 1 0 11 6428 6428 0 12154 0 24 26 5726`.
    fn transport(
        &mut self,
        line: Line<'_>,
        reading: &mut Gathered,
        exported: &mut BTreeSet<[String; 3]>,
    ) -> Result<(), ReadError> {
        let mut fields = line.fields();
        let protocol = String::from_utf8_lossy(fields.required("a transport")?).into_owned();
        let skipped = line.bytes().len() - line.bytes().trim_ascii_start().len() + protocol.len();
        let numbers = numbers(line.from(skipped))?;
        if self.protocol.is_none() {
            self.protocol = Some(protocol.clone());
            reading.put(&MOUNTPOINT, [&self.export, &self.address, &self.point, &protocol], 1u64);
            self.is_repeated = !exported.insert([self.export.clone(), self.address.clone(), protocol.clone()]);
            let labels = [self.export.as_str(), self.address.as_str(), protocol.as_str()];
            for (family, number) in self.waiting.drain(..).filter(|_| !self.is_repeated) {
                reading.put(family, labels, number);
            }
        }
        if self.is_repeated {
            return Ok(());
        }
        // UDP is connectionless and has three columns fewer.
        let has_connections = protocol != "udp";
        let number = self.transports.to_string();
        let labels = [&self.export, &self.address, &protocol, &number].map(String::as_str);
        let mut put = |family, index: usize| {
            if let Some(value) = numbers.get(index) {
                reading.put(family, labels, *value);
            }
        };
        put(&BIND, 1);
        if has_connections {
            put(&CONNECT, 2);
            put(&IDLE, 4);
        }
        let first = if has_connections { 5 } else { 2 };
        // After the backlog queue only UDP and TCP have these columns.
        let is_counted = |index: usize| index <= 4 || protocol != "rdma";
        for (index, family) in [0, 1, 2, 4, 5, 6, 7].into_iter().zip(&TRANSPORT) {
            if is_counted(index) {
                put(family, first + index);
            }
        }
        self.transports += 1;
        Ok(())
    }

    /// An operation line, such as `READ: 1298 1298 0 207680 1210292152 6 79386 79407`.
    fn operation(&self, operation: &[u8], line: Line<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        let operation = String::from_utf8_lossy(operation);
        let protocol = self.protocol.as_deref().unwrap_or_default();
        for ((index, number), family) in numbers(line)?.into_iter().enumerate().zip(&OPERATION) {
            const MILLISECONDS: std::ops::Range<usize> = 5..8;
            let value = if MILLISECONDS.contains(&index) { number / 1000.0 } else { number };
            reading.put(family, [&self.export, &self.address, &*operation, protocol], value);
        }
        Ok(())
    }
}

fn indexed(families: &'static [Family<3>; 8]) -> [(usize, &'static Family<3>); 8] {
    std::array::from_fn(|index| (index, &families[index]))
}

fn numbers(line: Line<'_>) -> Result<Vec<f64>, ReadError> {
    let mut fields = line.fields();
    let mut numbers = Vec::new();
    while let Some(number) = fields.optional::<i128>("a number")? {
        numbers.push(number as f64);
    }
    Ok(numbers)
}

const fn mount(name: &'static str, help: &'static str) -> Family<3> {
    Family::counter(name, help, ["export", "mountaddr", "protocol"])
}

const AGE: Family<3> = mount("node_mountstats_nfs_age_seconds_total", "Age of the mount");
const MOUNTPOINT: Family<4> = Family::gauge(
    "node_mountstats_nfs_mountpoint_info",
    "NFS mount, always 1",
    ["export", "mountaddr", "mountpoint", "protocol"],
);
/// In the order of the `bytes` line.
const BYTES: [Family<3>; 8] = [
    mount("node_mountstats_nfs_read_bytes_total", "Bytes read by applications"),
    mount("node_mountstats_nfs_write_bytes_total", "Bytes written by applications"),
    mount("node_mountstats_nfs_direct_read_bytes_total", "Bytes read by applications with O_DIRECT"),
    mount("node_mountstats_nfs_direct_write_bytes_total", "Bytes written by applications with O_DIRECT"),
    mount("node_mountstats_nfs_total_read_bytes_total", "Bytes read from the server"),
    mount("node_mountstats_nfs_total_write_bytes_total", "Bytes written to the server"),
    mount("node_mountstats_nfs_read_pages_total", "Pages read by mmap()ed files"),
    mount("node_mountstats_nfs_write_pages_total", "Pages written by mmap()ed files"),
];
/// By index in the `events` line: include/linux/nfs_iostat.h, `enum nfs_stat_eventcounters`.
const EVENTS: [(usize, Family<3>); 26] = [
    (0, mount("node_mountstats_nfs_event_inode_revalidate_total", "Inode attribute revalidations")),
    (1, mount("node_mountstats_nfs_event_dnode_revalidate_total", "Directory entry revalidations")),
    (2, mount("node_mountstats_nfs_event_data_invalidate_total", "Inode data cache invalidations")),
    (3, mount("node_mountstats_nfs_event_attribute_invalidate_total", "Inode attribute cache invalidations")),
    (4, mount("node_mountstats_nfs_event_vfs_open_total", "File and directory opens")),
    (5, mount("node_mountstats_nfs_event_vfs_lookup_total", "Directory entry lookups")),
    (6, mount("node_mountstats_nfs_event_vfs_access_total", "Permission checks")),
    (7, mount("node_mountstats_nfs_event_vfs_update_page_total", "Page updates")),
    (8, mount("node_mountstats_nfs_event_vfs_read_page_total", "Single-page reads")),
    (9, mount("node_mountstats_nfs_event_vfs_read_pages_total", "Multi-page reads")),
    (10, mount("node_mountstats_nfs_event_vfs_write_page_total", "Single-page writes")),
    (11, mount("node_mountstats_nfs_event_vfs_write_pages_total", "Multi-page writes")),
    (12, mount("node_mountstats_nfs_event_vfs_getdents_total", "Directory listings (getdents)")),
    (13, mount("node_mountstats_nfs_event_vfs_setattr_total", "Attribute changes (setattr)")),
    (14, mount("node_mountstats_nfs_event_vfs_flush_total", "Flushes of pending writes, as on close")),
    (15, mount("node_mountstats_nfs_event_vfs_fsync_total", "fsync() calls")),
    (16, mount("node_mountstats_nfs_event_vfs_lock_total", "Lock requests")),
    (17, mount("node_mountstats_nfs_event_vfs_file_release_total", "Final closes of files")),
    // Index 18, congestion wait, is no longer updated by the kernel.
    (19, mount("node_mountstats_nfs_event_truncation_total", "File truncations")),
    (20, mount("node_mountstats_nfs_event_write_extension_total", "File extensions by writes beyond the end of file")),
    (21, mount("node_mountstats_nfs_event_silly_rename_total", "Silly renames: removals of open files")),
    (22, mount("node_mountstats_nfs_event_short_read_total", "Short reads: less data returned than requested")),
    (23, mount("node_mountstats_nfs_event_short_write_total", "Short writes: less data written than requested")),
    (
        24,
        mount(
            "node_mountstats_nfs_event_jukebox_delay_total",
            "Jukebox delays: NFS3ERR_JUKEBOX or NFS4ERR_DELAY from the server",
        ),
    ),
    (25, mount("node_mountstats_nfs_event_pnfs_read_total", "pNFS reads")),
    (26, mount("node_mountstats_nfs_event_pnfs_write_total", "pNFS writes")),
];

const TRANSPORT_LABELS: [&str; 4] = ["export", "mountaddr", "protocol", "transport"];
const fn transport(name: &'static str, help: &'static str) -> Family<4> {
    Family::counter(name, help, TRANSPORT_LABELS)
}

const BIND: Family<4> = transport("node_mountstats_nfs_transport_bind_total", "Bind operations of the transport");
const CONNECT: Family<4> = transport("node_mountstats_nfs_transport_connect_total", "Connections established");
const IDLE: Family<4> = Family::gauge(
    "node_mountstats_nfs_transport_idle_time_seconds",
    "Time since the last use of the transport",
    TRANSPORT_LABELS,
);
/// Columns after those of connections. The fourth, the current queue length, has no family.
const TRANSPORT: [Family<4>; 7] = [
    transport("node_mountstats_nfs_transport_sends_total", "RPC requests sent"),
    transport("node_mountstats_nfs_transport_receives_total", "RPC replies received"),
    transport(
        "node_mountstats_nfs_transport_bad_transaction_ids_total",
        "RPC replies with an unknown transaction ID (XID)",
    ),
    transport("node_mountstats_nfs_transport_backlog_queue_total", "Cumulative length of the backlog queue"),
    Family::gauge(
        "node_mountstats_nfs_transport_maximum_rpc_slots",
        "Maximum number of RPC slots used",
        TRANSPORT_LABELS,
    ),
    transport("node_mountstats_nfs_transport_sending_queue_total", "Cumulative length of the sending queue"),
    transport("node_mountstats_nfs_transport_pending_queue_total", "Cumulative length of the pending queue"),
];

const fn operation(name: &'static str, help: &'static str) -> Family<4> {
    Family::counter(name, help, ["export", "mountaddr", "operation", "protocol"])
}

/// In the order of the columns.
const OPERATION: [Family<4>; 9] = [
    operation("node_mountstats_nfs_operations_requests_total", "Requests by operation"),
    operation(
        "node_mountstats_nfs_operations_transmissions_total",
        "Transmissions by operation, including retransmissions",
    ),
    operation("node_mountstats_nfs_operations_major_timeouts_total", "Major timeouts by operation"),
    operation("node_mountstats_nfs_operations_sent_bytes_total", "Bytes sent by operation, including RPC headers"),
    operation(
        "node_mountstats_nfs_operations_received_bytes_total",
        "Bytes received by operation, including RPC headers",
    ),
    operation(
        "node_mountstats_nfs_operations_queue_time_seconds_total",
        "Time that requests were queued before transmission, by operation",
    ),
    operation(
        "node_mountstats_nfs_operations_response_time_seconds_total",
        "Time between transmission and reply, by operation",
    ),
    operation(
        "node_mountstats_nfs_operations_request_time_seconds_total",
        "Total time of requests from queueing to completion, by operation",
    ),
    operation("node_mountstats_nfs_operations_errors_total", "Requests completed with an error, by operation"),
];
