//! Tape drives.

use regex::Regex;

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::infos::infos;
use crate::host::devices::number_in;
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/scsi_tape/st*/stats`: Documentation/scsi/st.rst.
pub(super) struct Tapestats {
    tapes: Devices,
    wanted: Filter,
}

const IGNORED_DEVICES: Key<Regex> = Key::new("ignored_devices", "'^$'", "Tape drives without families.");

impl Collector for Tapestats {
    const ABOUT: About = About {
        name: "tapestats",
        summary: "what tape drives read and wrote",
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
        // Beside st0 there are others for its modes, such as nst0 and st0a.
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
    Attribute::gauge("stats/in_flight", "node_tape_io_now", "Requests that are under way.", ["device"], Unit::Plain),
    counter("stats/io_ns", "node_tape_io_time_seconds_total", "Seconds that requests took.", NANOSECONDS),
    counter("stats/other_cnt", "node_tape_io_others_total", "Requests that neither read nor write.", Unit::Plain),
    counter("stats/read_byte_cnt", "node_tape_read_bytes_total", "Bytes that were read.", Unit::Plain),
    counter("stats/read_cnt", "node_tape_reads_completed_total", "Requests to read.", Unit::Plain),
    counter("stats/read_ns", "node_tape_read_time_seconds_total", "Seconds that requests to read took.", NANOSECONDS),
    counter(
        "stats/resid_cnt",
        "node_tape_residual_total",
        "Requests that read or wrote less than was asked.",
        Unit::Plain,
    ),
    counter("stats/write_byte_cnt", "node_tape_written_bytes_total", "Bytes that were written.", Unit::Plain),
    counter("stats/write_cnt", "node_tape_writes_completed_total", "Requests to write.", Unit::Plain),
    counter(
        "stats/write_ns",
        "node_tape_write_time_seconds_total",
        "Seconds that requests to write took.",
        NANOSECONDS,
    ),
];
