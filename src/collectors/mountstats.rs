//! What mounts over NFS have asked of their servers, mount by mount.

use std::collections::{BTreeMap, BTreeSet};

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/PID/mountstats`: fs/nfs/super.c, `nfs_show_stats`, and net/sunrpc/stats.c, `rpc_clnt_show_stats`.
pub(super) struct Mountstats {
    /// The host's, which is for root alone, and those that Taffrail sees itself.
    sources: [Source; 2],
}

struct Source {
    mountstats: HostFile,
    mountinfo: HostFile,
}

impl Collector for Mountstats {
    const ABOUT: About = About {
        name: "mountstats",
        summary: "what mounts over NFS have asked of their servers",
        reads: &["/proc/1/mountstats", "/proc/1/mountinfo", "/proc/self/mountstats", "/proc/self/mountinfo"],
        needs: "root, or to be outside of the sandbox of its unit, to see the host's mounts",
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
        let [host, own] = &mut self.sources;
        let is_readable = host.mountstats.read(cx.buffer).is_ok();
        let Source { mountstats, mountinfo } = if is_readable { host } else { own };
        let addresses = addresses(mountinfo, cx.buffer)?;
        let mut told = BTreeSet::new();
        let mut mount: Option<Mount> = None;
        for line in mountstats.read(cx.buffer)?.lines() {
            if let Some(next) = Mount::of(line, &addresses) {
                mount = Some(next);
            } else if let Some(mount) = &mut mount
                && let Err(problem) = mount.read(line, reading, &mut told)
            {
                cx.problems.push(problem);
            }
        }
        Ok(())
    }
}

/// The servers' addresses by mount point: `addr=` of mountinfo's last field. What is no text is none of ours.
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

/// A mount over NFS, as far as its lines were read.
#[derive(Default)]
struct Mount {
    export: String,
    point: String,
    address: String,
    /// By what it reaches its server; what is told before that is known waits.
    protocol: Option<String>,
    waiting: Vec<(&'static Family<3>, f64)>,
    transports: usize,
    /// Whether another mount of the same export by the same way has told the same.
    is_repeated: bool,
    has_operations: bool,
}

impl Mount {
    /// The mount that a line such as `device SERVER:/EXPORT mounted on /POINT with fstype nfs4 statvers=1.1` begins.
    fn of(line: Line<'_>, addresses: &BTreeMap<String, String>) -> Option<Mount> {
        let text = String::from_utf8_lossy(line.bytes());
        let (export, rest) = text.strip_prefix("device ")?.split_once(" mounted on ")?;
        let (point, kind) = rest.split_once(" with fstype ")?;
        // Of other file systems there is this line alone.
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
        told: &mut BTreeSet<[String; 3]>,
    ) -> Result<(), ReadError> {
        let Some((key, rest)) = line.key_and_rest() else {
            self.has_operations |= line.bytes().trim_ascii() == b"per-op statistics";
            return Ok(());
        };
        if self.export.is_empty() || self.is_repeated {
            return Ok(());
        }
        match key {
            b"age" => self.wait(rest, &[(0, &AGE)])?,
            b"bytes" => self.wait(rest, &numbered(&BYTES))?,
            b"events" => self.wait(rest, &EVENTS.each_ref().map(|(place, family)| (*place, family)))?,
            b"xprt" => self.transport(rest, reading, told)?,
            operation if self.has_operations => self.operation(operation, rest, reading)?,
            _ => {}
        }
        Ok(())
    }

    /// Notes numbers of a line by their places.
    fn wait(&mut self, line: Line<'_>, families: &[(usize, &'static Family<3>)]) -> Result<(), ReadError> {
        let numbers = numbers(line)?;
        // Old kernels have fewer.
        let known = families.iter().filter_map(|(place, family)| Some((*family, *numbers.get(*place)?)));
        self.waiting.extend(known);
        Ok(())
    }

    /// A line such as `tcp 832 0 1 0 11 6428 6428 0 12154 0 24 26 5726`: one of the ways to the server.
    fn transport(
        &mut self,
        line: Line<'_>,
        reading: &mut Gathered,
        told: &mut BTreeSet<[String; 3]>,
    ) -> Result<(), ReadError> {
        let mut fields = line.fields();
        let protocol = String::from_utf8_lossy(fields.required("a transport")?).into_owned();
        let skipped = line.bytes().len() - line.bytes().trim_ascii_start().len() + protocol.len();
        let numbers = numbers(line.from(skipped))?;
        if self.protocol.is_none() {
            self.protocol = Some(protocol.clone());
            reading.put(&MOUNTPOINT, [&self.export, &self.address, &self.point, &protocol], 1u64);
            self.is_repeated = !told.insert([self.export.clone(), self.address.clone(), protocol.clone()]);
            let labels = [self.export.as_str(), self.address.as_str(), protocol.as_str()];
            for (family, number) in self.waiting.drain(..).filter(|_| !self.is_repeated) {
                reading.put(family, labels, number);
            }
        }
        if self.is_repeated {
            return Ok(());
        }
        // UDP has no connections: three columns fewer.
        let has_connections = protocol != "udp";
        let number = self.transports.to_string();
        let labels = [&self.export, &self.address, &protocol, &number].map(String::as_str);
        let mut put = |family, place: usize| {
            if let Some(value) = numbers.get(place) {
                reading.put(family, labels, *value);
            }
        };
        put(&BIND, 1);
        if has_connections {
            put(&CONNECT, 2);
            put(&IDLE, 4);
        }
        let first = if has_connections { 5 } else { 2 };
        // Behind the backlog stands what only these have in common.
        let is_counted = |place: usize| place <= 4 || protocol != "rdma";
        for (place, family) in [0, 1, 2, 4, 5, 6, 7].into_iter().zip(&TRANSPORT) {
            if is_counted(place) {
                put(family, first + place);
            }
        }
        self.transports += 1;
        Ok(())
    }

    /// A line such as `READ: 1298 1298 0 207680 1210292152 6 79386 79407`.
    fn operation(&self, operation: &[u8], line: Line<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        let operation = String::from_utf8_lossy(operation);
        let protocol = self.protocol.as_deref().unwrap_or_default();
        for ((place, number), family) in numbers(line)?.into_iter().enumerate().zip(&OPERATION) {
            const MILLISECONDS: std::ops::Range<usize> = 5..8;
            let value = if MILLISECONDS.contains(&place) { number / 1000.0 } else { number };
            reading.put(family, [&self.export, &self.address, &*operation, protocol], value);
        }
        Ok(())
    }
}

fn numbered(families: &'static [Family<3>; 8]) -> [(usize, &'static Family<3>); 8] {
    std::array::from_fn(|place| (place, &families[place]))
}

fn numbers(line: Line<'_>) -> Result<Vec<f64>, ReadError> {
    let mut fields = line.fields();
    let mut numbers = Vec::new();
    while let Some(number) = fields.optional::<i64>("a number")? {
        numbers.push(number as f64);
    }
    Ok(numbers)
}

const fn mount(name: &'static str, help: &'static str) -> Family<3> {
    Family::counter(name, help, ["export", "mountaddr", "protocol"])
}

const AGE: Family<3> = mount("node_mountstats_nfs_age_seconds_total", "Seconds since the file system was mounted.");
const MOUNTPOINT: Family<4> = Family::gauge(
    "node_mountstats_nfs_mountpoint_info",
    "Where the export is mounted; 1.",
    ["export", "mountaddr", "mountpoint", "protocol"],
);
/// In the order of the line `bytes`.
const BYTES: [Family<3>; 8] = [
    mount("node_mountstats_nfs_read_bytes_total", "Bytes that programs read."),
    mount("node_mountstats_nfs_write_bytes_total", "Bytes that programs wrote."),
    mount("node_mountstats_nfs_direct_read_bytes_total", "Bytes that programs read past the cache."),
    mount("node_mountstats_nfs_direct_write_bytes_total", "Bytes that programs wrote past the cache."),
    mount("node_mountstats_nfs_total_read_bytes_total", "Bytes that were read from the server."),
    mount("node_mountstats_nfs_total_write_bytes_total", "Bytes that were written to the server."),
    mount("node_mountstats_nfs_read_pages_total", "Pages that were read into mapped memory."),
    mount("node_mountstats_nfs_write_pages_total", "Pages that were written from mapped memory."),
];
/// By their place in the line `events`: include/linux/nfs_iostat.h, `enum nfs_stat_eventcounters`.
const EVENTS: [(usize, Family<3>); 26] = [
    (0, mount("node_mountstats_nfs_event_inode_revalidate_total", "Times that attributes were asked for again.")),
    (
        1,
        mount(
            "node_mountstats_nfs_event_dnode_revalidate_total",
            "Times that a directory's entry was asked for again.",
        ),
    ),
    (2, mount("node_mountstats_nfs_event_data_invalidate_total", "Times that a file's cached data was thrown away.")),
    (
        3,
        mount(
            "node_mountstats_nfs_event_attribute_invalidate_total",
            "Times that a file's cached attributes were thrown away.",
        ),
    ),
    (4, mount("node_mountstats_nfs_event_vfs_open_total", "Files and directories that were opened.")),
    (5, mount("node_mountstats_nfs_event_vfs_lookup_total", "Names that were looked up.")),
    (6, mount("node_mountstats_nfs_event_vfs_access_total", "Permissions that were checked.")),
    (7, mount("node_mountstats_nfs_event_vfs_update_page_total", "Pages that were changed.")),
    (8, mount("node_mountstats_nfs_event_vfs_read_page_total", "Pages that were read one at a time.")),
    (9, mount("node_mountstats_nfs_event_vfs_read_pages_total", "Times that several pages were read at once.")),
    (10, mount("node_mountstats_nfs_event_vfs_write_page_total", "Pages that were written one at a time.")),
    (11, mount("node_mountstats_nfs_event_vfs_write_pages_total", "Times that several pages were written at once.")),
    (12, mount("node_mountstats_nfs_event_vfs_getdents_total", "Times that a directory was listed.")),
    (13, mount("node_mountstats_nfs_event_vfs_setattr_total", "Times that attributes were set.")),
    (
        14,
        mount("node_mountstats_nfs_event_vfs_flush_total", "Times that what waited was written as a file was closed."),
    ),
    (15, mount("node_mountstats_nfs_event_vfs_fsync_total", "Times that a program had what waited written.")),
    (16, mount("node_mountstats_nfs_event_vfs_lock_total", "Locks that were asked for.")),
    (17, mount("node_mountstats_nfs_event_vfs_file_release_total", "Files that were closed for the last time.")),
    // 18, congestion, is no longer counted by the kernel.
    (19, mount("node_mountstats_nfs_event_truncation_total", "Files that were cut.")),
    (20, mount("node_mountstats_nfs_event_write_extension_total", "Times that writing made a file longer.")),
    (21, mount("node_mountstats_nfs_event_silly_rename_total", "Files that were removed while they were open.")),
    (22, mount("node_mountstats_nfs_event_short_read_total", "Times that the server gave less than was asked for.")),
    (23, mount("node_mountstats_nfs_event_short_write_total", "Times that the server took less than was given.")),
    (24, mount("node_mountstats_nfs_event_jukebox_delay_total", "Times that the server had to fetch what is away.")),
    (25, mount("node_mountstats_nfs_event_pnfs_read_total", "Reads by pNFS.")),
    (26, mount("node_mountstats_nfs_event_pnfs_write_total", "Writes by pNFS.")),
];

const OF_TRANSPORT: [&str; 4] = ["export", "mountaddr", "protocol", "transport"];
const fn transport(name: &'static str, help: &'static str) -> Family<4> {
    Family::counter(name, help, OF_TRANSPORT)
}

const BIND: Family<4> =
    transport("node_mountstats_nfs_transport_bind_total", "Times that a connection was set up from nothing.");
const CONNECT: Family<4> =
    transport("node_mountstats_nfs_transport_connect_total", "Times that the server was connected to.");
const IDLE: Family<4> = Family::gauge(
    "node_mountstats_nfs_transport_idle_time_seconds",
    "Seconds since anything was sent or received.",
    OF_TRANSPORT,
);
/// As they stand behind what is only of connections; the fourth, requests under way, has no family.
const TRANSPORT: [Family<4>; 7] = [
    transport("node_mountstats_nfs_transport_sends_total", "Requests that were sent."),
    transport("node_mountstats_nfs_transport_receives_total", "Answers that were received."),
    transport("node_mountstats_nfs_transport_bad_transaction_ids_total", "Answers to what nobody asked."),
    transport("node_mountstats_nfs_transport_backlog_queue_total", "Requests that waited for a slot, summed up."),
    Family::gauge("node_mountstats_nfs_transport_maximum_rpc_slots", "Most requests under way at once.", OF_TRANSPORT),
    transport("node_mountstats_nfs_transport_sending_queue_total", "Requests that waited to be sent, summed up."),
    transport("node_mountstats_nfs_transport_pending_queue_total", "Requests that waited for answers, summed up."),
];

const fn operation(name: &'static str, help: &'static str) -> Family<4> {
    Family::counter(name, help, ["export", "mountaddr", "operation", "protocol"])
}

/// In the order of an operation's line.
const OPERATION: [Family<4>; 9] = [
    operation("node_mountstats_nfs_operations_requests_total", "Requests of this kind."),
    operation("node_mountstats_nfs_operations_transmissions_total", "Times that requests were sent."),
    operation("node_mountstats_nfs_operations_major_timeouts_total", "Requests that nobody answered in time."),
    operation("node_mountstats_nfs_operations_sent_bytes_total", "Bytes that were sent, heads included."),
    operation("node_mountstats_nfs_operations_received_bytes_total", "Bytes that were received, heads included."),
    operation("node_mountstats_nfs_operations_queue_time_seconds_total", "Time that requests waited to be sent."),
    operation("node_mountstats_nfs_operations_response_time_seconds_total", "Time that requests waited for answers."),
    operation("node_mountstats_nfs_operations_request_time_seconds_total", "Time that requests took in all."),
    operation("node_mountstats_nfs_operations_errors_total", "Requests that ended with an error."),
];
