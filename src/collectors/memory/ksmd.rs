//! Kernel samepage merging (KSM).

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::family::Value;
use crate::encode::infos::infos;
use crate::encode::point::FieldInfo;
use crate::encode::{FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Device, Host, ReadError};

/// `/sys/kernel/mm/ksm`: Documentation/admin-guide/mm/ksm.rst.
pub(super) struct Ksmd {
    device: Device,
}

/// The files as families, and for points the numbers of [`FIELDS`].
#[derive(Default)]
pub(super) struct KsmdReading {
    families: Gathered,
    numbers: [Option<Value>; FIELDS.len()],
}

impl Collector for Ksmd {
    const ABOUT: About = About {
        name: "ksmd",
        summary: "kernel samepage merging (KSM); pushed as `kernel`",
        reads: &["/sys/kernel/mm/ksm/*"],
        on_by_default: Vocabularies::NONE,
        families: &infos!(ATTRIBUTES.family),
        measurements: &[KERNEL.info()],
        ..About::PLAIN
    };
    type Reading = KsmdReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Ksmd { device: host.device("kernel/mm/ksm") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut KsmdReading) -> Result<(), ReadError> {
        reading.families.clear();
        reading.numbers = Default::default();
        if self.device.text("run", cx.buffer).is_none() {
            return Err(ReadError::Absent(self.device.path().to_owned()));
        }
        if cx.wanted.families {
            reading.families.put_attributes(cx, &mut self.device, ATTRIBUTES, []);
        }
        if cx.wanted.points {
            for ((file, _), number) in FIELDS.iter().zip(&mut reading.numbers) {
                *number = Unit::Signed.read(cx, &mut self.device, file);
            }
        }
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
        "Full scans of all mergeable areas",
        [],
        Unit::Plain,
    ),
    gauge(
        "general_profit",
        "node_ksmd_general_profit_bytes",
        "Memory saved by KSM minus the memory used by its metadata, in bytes",
        Unit::Signed,
    ),
    gauge(
        "merge_across_nodes",
        "node_ksmd_merge_across_nodes",
        "1 if pages of different NUMA nodes may be merged",
        Unit::Plain,
    ),
    gauge("pages_shared", "node_ksmd_pages_shared", "Shared pages in use", Unit::Plain),
    gauge("pages_sharing", "node_ksmd_pages_sharing", "Page mappings that share them: the pages saved", Unit::Plain),
    gauge("pages_to_scan", "node_ksmd_pages_to_scan", "Pages to scan before ksmd sleeps", Unit::Plain),
    gauge(
        "pages_unshared",
        "node_ksmd_pages_unshared",
        "Unique pages that are repeatedly checked for merging",
        Unit::Plain,
    ),
    gauge("pages_volatile", "node_ksmd_pages_volatile", "Pages that change too fast to be merged", Unit::Plain),
    gauge("run", "node_ksmd_run", "KSM state: 0 stopped, 1 running, 2 stopped and all pages unmerged", Unit::Plain),
    gauge("sleep_millisecs", "node_ksmd_sleep_seconds", "Time that ksmd sleeps between scans", Unit::Per(1000.0)),
];

/// Files as fields, in the kernel's units.
const FIELDS: [(&str, Field<i64>); 15] = [
    ("full_scans", Field::new("ksm_full_scans", "full scans of all mergeable areas")),
    ("general_profit", Field::new("ksm_general_profit", "bytes saved by KSM minus the memory used by its metadata")),
    ("max_page_sharing", Field::new("ksm_max_page_sharing", "maximum number of mappings that share a page")),
    ("merge_across_nodes", Field::new("ksm_merge_across_nodes", "1 if pages of different NUMA nodes may be merged")),
    ("pages_shared", Field::new("ksm_pages_shared", "shared pages in use")),
    ("pages_sharing", Field::new("ksm_pages_sharing", "page mappings that share them: the pages saved")),
    ("pages_to_scan", Field::new("ksm_pages_to_scan", "pages to scan before ksmd sleeps")),
    ("pages_unshared", Field::new("ksm_pages_unshared", "unique pages that are repeatedly checked for merging")),
    ("pages_volatile", Field::new("ksm_pages_volatile", "pages that change too fast to be merged")),
    ("run", Field::new("ksm_run", "0 stopped, 1 running, 2 stopped and all pages unmerged")),
    ("sleep_millisecs", Field::new("ksm_sleep_millisecs", "milliseconds that ksmd sleeps between scans")),
    ("stable_node_chains", Field::new("ksm_stable_node_chains", "pages that reach max_page_sharing")),
    (
        "stable_node_chains_prune_millisecs",
        Field::new("ksm_stable_node_chains_prune_millisecs", "milliseconds between scans for stale entries of chains"),
    ),
    ("stable_node_dups", Field::new("ksm_stable_node_dups", "duplicates of pages that reach max_page_sharing")),
    ("use_zero_pages", Field::new("ksm_use_zero_pages", "1 if empty pages are merged with the kernel's zero page")),
];
const FIELD_INFOS: [FieldInfo; FIELDS.len()] = infos!(FIELDS.1);
const KERNEL: Measurement<0> = Measurement::new("kernel", [], &FIELD_INFOS);

impl Reading for KsmdReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.families.families(out);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&KERNEL, []);
        for ((_, field), number) in FIELDS.iter().zip(self.numbers) {
            if let Some(Value::Signed(number)) = number {
                point.field(field, number);
            }
        }
    }
}
