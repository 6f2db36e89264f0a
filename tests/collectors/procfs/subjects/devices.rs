//! Disks, mounts and the network.

use std::fs;
use std::path::Path;

use procfs_core::net::{ArpEntries, InterfaceDeviceStatus, Snmp, UdpNetEntries};
use procfs_core::process::{MountInfos, MountStats};
use procfs_core::{DiskStats, FromRead, FromReadSI, ProcResult};

use super::{SYSTEM, Samples, series};

pub(super) fn arp(proc: &Path) -> ProcResult<Samples> {
    let mut samples = Samples::new();
    for entry in ArpEntries::from_file(proc.join("net/arp"))?.0 {
        *samples.entry(series("node_arp_entries", &[("device", &entry.device)])).or_default() += 1.0;
    }
    Ok(samples)
}

pub(super) fn is_of_disks(name: &str) -> bool {
    name.starts_with("node_disk_")
        && !["info", "ata_", "device_mapper", "filesystem"]
            .iter()
            .any(|part| name["node_disk_".len()..].starts_with(part))
}

pub(super) fn diskstats(proc: &Path) -> ProcResult<Samples> {
    const SECTOR: f64 = 512.0;
    let mut samples = Samples::new();
    for disk in DiskStats::from_file(proc.join("diskstats"))?.0 {
        let count = |count: u64| Some(count as f64);
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        let values = [
            ("reads_completed_total", count(disk.reads)),
            ("reads_merged_total", count(disk.merged)),
            ("read_bytes_total", Some(disk.sectors_read as f64 * SECTOR)),
            ("read_time_seconds_total", Some(seconds(disk.time_reading))),
            ("writes_completed_total", count(disk.writes)),
            ("writes_merged_total", count(disk.writes_merged)),
            ("written_bytes_total", Some(disk.sectors_written as f64 * SECTOR)),
            ("write_time_seconds_total", Some(seconds(disk.time_writing))),
            ("io_now", count(disk.in_progress)),
            ("io_time_seconds_total", Some(seconds(disk.time_in_progress))),
            ("io_time_weighted_seconds_total", Some(seconds(disk.weighted_time_in_progress))),
            ("discards_completed_total", disk.discards.and_then(count)),
            ("discards_merged_total", disk.discards_merged.and_then(count)),
            ("discarded_sectors_total", disk.sectors_discarded.and_then(count)),
            ("discard_time_seconds_total", disk.time_discarding.map(seconds)),
            ("flush_requests_total", disk.flushes.and_then(count)),
            ("flush_requests_time_seconds_total", disk.time_flushing.map(seconds)),
        ];
        for (name, value) in values {
            let series = series(&format!("node_disk_{name}"), &[("device", &disk.name)]);
            samples.extend(value.map(|value| (series, value)));
        }
    }
    Ok(samples)
}

pub(super) fn mountinfo(proc: &Path) -> ProcResult<Samples> {
    let of_init = proc.join("1/mountinfo");
    let mounts = MountInfos::from_file(if of_init.exists() { of_init } else { proc.join("self/mountinfo") })?;
    let samples = mounts.iter().map(|mount| {
        let is_read_only = mount.mount_options.contains_key("ro") || mount.super_options.contains_key("ro");
        let labels = [
            ("device", mount.mount_source.as_deref().unwrap_or("none")),
            ("device_error", ""),
            ("fstype", &mount.fs_type),
            ("mountpoint", mount.mount_point.to_str().unwrap()),
        ];
        (series("node_filesystem_readonly", &labels), f64::from(u8::from(is_read_only)))
    });
    Ok(samples.collect())
}

/// Each mount by itself: one that procfs-core refuses costs it the file.
pub(super) fn mountstats(proc: &Path) -> ProcResult<Samples> {
    let of_init = proc.join("1/mountstats");
    let text = fs::read_to_string(if of_init.exists() { of_init } else { proc.join("self/mountstats") })?;
    let mut samples = Samples::new();
    for mount in text.split_inclusive("\n\n").flat_map(|mount| MountStats::from_read(mount.as_bytes())) {
        for mount in mount.0 {
            let Some(statistics) = mount.statistics else { continue };
            let export = mount.device.unwrap_or_default();
            let address = export.split(':').next().unwrap_or_default();
            let protocol = statistics.opts.iter().find_map(|option| option.strip_prefix("proto=")).unwrap_or_default();
            let labels = [("export", &*export), ("mountaddr", address), ("protocol", protocol)];
            samples.insert(series("node_mountstats_nfs_age_seconds_total", &labels), statistics.age.as_secs_f64());
        }
    }
    Ok(samples)
}

/// What has one meaning in `/proc/net/dev` and in rtnetlink.
const OF_INTERFACES: [&str; 8] = [
    "node_network_receive_bytes_total",
    "node_network_receive_packets_total",
    "node_network_receive_errs_total",
    "node_network_receive_multicast_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_packets_total",
    "node_network_transmit_errs_total",
    "node_network_transmit_colls_total",
];

pub(super) fn is_of_interfaces(name: &str) -> bool {
    OF_INTERFACES.contains(&name)
}

pub(super) fn net_dev(proc: &Path) -> ProcResult<Samples> {
    let mut samples = Samples::new();
    for interface in InterfaceDeviceStatus::from_file(proc.join("net/dev"))?.0.into_values() {
        let values = [
            interface.recv_bytes,
            interface.recv_packets,
            interface.recv_errs,
            interface.recv_multicast,
            interface.sent_bytes,
            interface.sent_packets,
            interface.sent_errs,
            interface.sent_colls,
        ];
        let device = [("device", interface.name.as_str())];
        samples.extend(OF_INTERFACES.iter().zip(values).map(|(name, value)| (series(name, &device), value as f64)));
    }
    Ok(samples)
}

pub(super) fn is_of_snmp(name: &str) -> bool {
    ["Icmp_", "Ip_", "Tcp_", "Udp_"]
        .iter()
        .any(|table| name.strip_prefix("node_netstat_").is_some_and(|rest| rest.starts_with(table)))
}

pub(super) fn snmp(proc: &Path) -> ProcResult<Samples> {
    let snmp = Snmp::from_file(proc.join("net/snmp"))?;
    let values = [
        ("Icmp_InErrors", snmp.icmp_in_errors),
        ("Icmp_InMsgs", snmp.icmp_in_msgs),
        ("Icmp_OutMsgs", snmp.icmp_out_msgs),
        ("Ip_Forwarding", snmp.ip_forwarding.to_u8().into()),
        ("Tcp_ActiveOpens", snmp.tcp_active_opens),
        ("Tcp_CurrEstab", snmp.tcp_curr_estab),
        ("Tcp_InErrs", snmp.tcp_in_errs),
        ("Tcp_InSegs", snmp.tcp_in_segs),
        ("Tcp_OutRsts", snmp.tcp_out_rsts),
        ("Tcp_OutSegs", snmp.tcp_out_segs),
        ("Tcp_PassiveOpens", snmp.tcp_passive_opens),
        ("Tcp_RetransSegs", snmp.tcp_retrans_segs),
        ("Udp_InDatagrams", snmp.udp_in_datagrams),
        ("Udp_InErrors", snmp.udp_in_errors),
        ("Udp_NoPorts", snmp.udp_no_ports),
        ("Udp_OutDatagrams", snmp.udp_out_datagrams),
        ("Udp_RcvbufErrors", snmp.udp_rcvbuf_errors),
        ("Udp_SndbufErrors", snmp.udp_sndbuf_errors),
    ];
    Ok(values.into_iter().map(|(name, value)| (format!("node_netstat_{name}"), value as f64)).collect())
}

pub(super) fn udp(proc: &Path) -> ProcResult<Samples> {
    let mut samples = Samples::new();
    for (file, version) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let sockets = UdpNetEntries::from_file(proc.join(file), &SYSTEM)?.0;
        for (queue, sum) in [
            ("tx", sockets.iter().map(|socket| f64::from(socket.tx_queue)).sum()),
            ("rx", sockets.iter().map(|socket| f64::from(socket.rx_queue)).sum()),
        ] {
            samples.insert(series("node_udp_queues", &[("ip", version), ("queue", queue)]), sum);
        }
    }
    Ok(samples)
}
