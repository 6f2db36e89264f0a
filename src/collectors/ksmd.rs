//! Pages of memory that are shared as they are the same.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::infos::infos;
use crate::host::{Device, Host, ReadError};

/// `/sys/kernel/mm/ksm`: Documentation/admin-guide/mm/ksm.rst.
pub(super) struct Ksmd {
    device: Device,
}

impl Collector for Ksmd {
    const ABOUT: About = About {
        name: "ksmd",
        summary: "pages of memory that the kernel shares as they are the same",
        reads: &["/sys/kernel/mm/ksm/*"],
        on_by_default: Vocabularies::NONE,
        families: &infos!(ATTRIBUTES.family),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Ksmd { device: host.device("kernel/mm/ksm") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        if self.device.text("run", cx.buffer).is_none() {
            return Err(ReadError::Absent(self.device.path().to_owned()));
        }
        reading.put_attributes(cx, &mut self.device, ATTRIBUTES, []);
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<0> {
    Attribute::gauge(file, name, help, [], unit)
}

const ATTRIBUTES: &[Attribute<0>] = &[
    Attribute::counter(
        "full_scans",
        "node_ksmd_full_scans_total",
        "Times that everything was looked through.",
        [],
        Unit::Plain,
    ),
    gauge(
        "general_profit",
        "node_ksmd_general_profit_bytes",
        "Bytes that are saved, less what it costs.",
        Unit::Signed,
    ),
    gauge(
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        "Whether pages of different nodes are shared.",
        Unit::Plain,
    ),
    gauge("pages_shared", "node_ksmd_pages_shared", "Pages that are shared.", Unit::Plain),
    gauge("pages_sharing", "node_ksmd_pages_sharing", "Pages that are saved by it.", Unit::Plain),
    gauge("pages_to_scan", "node_ksmd_pages_to_scan", "Pages that are looked at before it sleeps.", Unit::Plain),
    gauge("pages_unshared", "node_ksmd_pages_unshared", "Pages that are like no other.", Unit::Plain),
    gauge("pages_volatile", "node_ksmd_pages_volatile", "Pages that change too fast.", Unit::Plain),
    gauge("run", "node_ksmd_run", "Whether it runs: 0 no, 1 yes, 2 undoes what it did.", Unit::Plain),
    gauge("sleep_millisecs", "node_ksmd_sleep_seconds", "Seconds that it sleeps.", Unit::Per(1000.0)),
];
