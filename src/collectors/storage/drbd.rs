//! DRBD 8 replicated block devices.

use crate::collectors::framework::gathered::{Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Host, HostFile, ReadError};

/// `/proc/drbd` of DRBD up to 8.4: drivers/block/drbd/drbd_proc.c.
pub(super) struct Drbd {
    drbd: HostFile,
}

impl Collector for Drbd {
    const ABOUT: About = About {
        name: "drbd",
        summary: "DRBD 8 replicated block devices",
        reads: &["/proc/drbd"],
        needs: "the kernel module drbd, up to version 8.4",
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 15>(&[&infos!(NUMBERS.1), &[CONNECTED.info(), ROLE.info(), DISK_STATE.info()]]),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Drbd { drbd: host.proc("drbd") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----", followed by lines of counters.
        let mut device = String::new();
        for line in self.drbd.read(cx.buffer)?.lines() {
            for field in line.fields() {
                let Some(colon) = memchr::memchr(b':', field) else { continue };
                let (key, value) = (&field[..colon], &field[colon + 1..]);
                if value.is_empty() && key.iter().all(u8::is_ascii_digit) {
                    device = format!("drbd{}", String::from_utf8_lossy(key));
                    continue;
                }
                // The header has versions.
                if device.is_empty() {
                    continue;
                }
                if let Some((_, family, unit)) = NUMBERS.iter().find(|(known, ..)| known.as_bytes() == key) {
                    match unit.parse(value) {
                        Some(number) => reading.put(family, [&device], number),
                        None => cx.problems.push(line.malformed("a number", value)),
                    }
                    continue;
                }
                let words = String::from_utf8_lossy(value);
                match key {
                    b"cs" => reading.put(&CONNECTED, [&device], words == "Connected"),
                    b"ro" => put_both(reading, &ROLE, &device, &words, "Primary"),
                    b"ds" => put_both(reading, &DISK_STATE, &device, &words, "UpToDate"),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Adds the values of the local and the remote node: `Primary/Secondary`.
fn put_both(reading: &mut Gathered, family: &'static Family<2>, device: &str, words: &str, wanted: &str) {
    for (node, word) in ["local", "remote"].into_iter().zip(words.split('/')) {
        reading.put(family, [device, node], word == wanted);
    }
}

const fn counter(
    key: &'static str,
    name: &'static str,
    help: &'static str,
    unit: Unit,
) -> (&'static str, Family<1>, Unit) {
    (key, Family::counter(name, help, ["device"]), unit)
}

const fn gauge(
    key: &'static str,
    name: &'static str,
    help: &'static str,
    unit: Unit,
) -> (&'static str, Family<1>, Unit) {
    (key, Family::gauge(name, help, ["device"]), unit)
}

const KIBIBYTES: Unit = Unit::Times(1024);
const NUMBERS: &[(&str, Family<1>, Unit)] = &[
    counter("ns", "node_drbd_network_sent_bytes_total", "Bytes sent to the peer", KIBIBYTES),
    counter("nr", "node_drbd_network_received_bytes_total", "Bytes received from the peer", KIBIBYTES),
    counter("dw", "node_drbd_disk_written_bytes_total", "Bytes written to the local disk", KIBIBYTES),
    counter("dr", "node_drbd_disk_read_bytes_total", "Bytes read from the local disk", KIBIBYTES),
    counter("al", "node_drbd_activitylog_writes_total", "Updates of the activity log area", Unit::Plain),
    counter("bm", "node_drbd_bitmap_writes_total", "Updates of the bitmap area", Unit::Plain),
    gauge("lo", "node_drbd_local_pending", "Open requests to the local I/O subsystem", Unit::Plain),
    gauge("pe", "node_drbd_remote_pending", "Requests sent to the peer, not yet acknowledged", Unit::Plain),
    gauge(
        "ua",
        "node_drbd_remote_unacknowledged",
        "Requests received from the peer, not yet acknowledged",
        Unit::Plain,
    ),
    gauge("ap", "node_drbd_application_pending", "I/O requests from applications, not yet completed", Unit::Plain),
    gauge("ep", "node_drbd_epochs", "Epoch objects", Unit::Plain),
    gauge("oos", "node_drbd_out_of_sync_bytes", "Storage out of sync in bytes", KIBIBYTES),
];
const CONNECTED: Family<1> = Family::gauge("node_drbd_connected", "1 if the peer is connected", ["device"]);
const ROLE: Family<2> = Family::gauge("node_drbd_node_role_is_primary", "1 if the node is primary", ["device", "node"]);
const DISK_STATE: Family<2> =
    Family::gauge("node_drbd_disk_state_is_up_to_date", "1 if the disk of the node is up to date", ["device", "node"]);
