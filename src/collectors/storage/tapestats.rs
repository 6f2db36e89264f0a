//! Tape drives.

use regex::Regex;

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::infos::infos;
use crate::host::devices::number_in;
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/scsi_tape/st*/stats`: Documentation/scsi/st.rst.
pub(super) struct Tapestats {
    tapes: Devices,
    wanted: Filter,
}

const IGNORED_DEVICES: Key<Regex> = Key::new("ignored_devices", "'^$'", "Tape drives to leave out of the families.");

impl Collector for Tapestats {
    const ABOUT: About = About {
        name: "tapestats",
        summary: "I/O statistics of tape drives",
        reads: &["/sys/class/scsi_tape/st*/stats/*"],
        needs: "a tape drive",
        keys: &[IGNORED_DEVICES.info()],
        families: &infos!(ATTRIBUTES.family),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Tapestats {
            tapes: host.devices("class/scsi_tape"),
            wanted: Filter::new(None, Some(section.get(&IGNORED_DEVICES))),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // Other nodes, such as nst0 and st0a, are modes of the same drive.
        let is_tape = |name: &str| number_in(name, "st").is_some();
        for (name, device) in self.tapes.look(is_tape)? {
            if self.wanted.wants(name) {
                reading.put_attributes(cx, device, ATTRIBUTES, [name]);
            }
        }
        Ok(())
    }
}

const fn counter(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::counter(file, name, help, ["device"], unit)
}

const NANOSECONDS: Unit = Unit::Per(1e9);
const ATTRIBUTES: &[Attribute<1>] = &[
    Attribute::gauge("stats/in_flight", "node_tape_io_now", "I/Os in progress", ["device"], Unit::Plain),
    counter("stats/io_ns", "node_tape_io_time_seconds_total", "Time spent doing I/Os", NANOSECONDS),
    counter("stats/other_cnt", "node_tape_io_others_total", "I/Os other than reads and writes", Unit::Plain),
    counter("stats/read_byte_cnt", "node_tape_read_bytes_total", "Bytes read", Unit::Plain),
    counter("stats/read_cnt", "node_tape_reads_completed_total", "Reads completed", Unit::Plain),
    counter("stats/read_ns", "node_tape_read_time_seconds_total", "Time spent reading", NANOSECONDS),
    counter("stats/resid_cnt", "node_tape_residual_total", "I/Os with a residual: read or written short", Unit::Plain),
    counter("stats/write_byte_cnt", "node_tape_written_bytes_total", "Bytes written", Unit::Plain),
    counter("stats/write_cnt", "node_tape_writes_completed_total", "Writes completed", Unit::Plain),
    counter("stats/write_ns", "node_tape_write_time_seconds_total", "Time spent writing", NANOSECONDS),
];
