//! `[[inputs.smart]]` and `[[inputs.smartctl]]`: each becomes a job of the collector `smart`.

use super::read::Block;
use super::tables::{Becomes, Row};
use super::targets::EVERY_JOB;
use super::translate::{Place, Reader};
use crate::migrate::translation::Outcome;

use Becomes::{Duration, Either, NotNeeded, To, Unless};

const JOBS: &str = "collectors.smart";

/// The options of both.
#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    ("path_smartctl",          To("path")),
    ("path",                   To("path")),
    ("path_nvme",              NotNeeded("smartctl reads NVMe disks")),
    ("enable_extensions",      Unless("[]", "logs of vendors are not read; run nvme-cli by [[collectors.exec]]")),
    ("use_sudo",               To("sudo")),
    ("devices",                To("devices")),
    ("devices_include",        To("devices")),
    ("excludes",               To("exclude")),
    ("devices_exclude",        To("exclude")),
    ("nocheck",                To("nocheck")),
    ("timeout",                Duration("timeout")),
    ("attributes",             Either("measurements", "[\"smart_device\", \"smart_attribute\"]", "[\"smart_device\"]")),
    ("tag_with_device_type",   NotNeeded("device_type is a tag where it selects a disk")),
    ("read_method",            NotNeeded("devices of one name are read one after the other, of the others four at a time")),
];

const HOW: &str = "each disk is read every 5 minutes unless interval says otherwise; smartctl needs smart.conf, or files of \
                   taffrail-smart.timer: see docs/devices.md";

impl Reader {
    pub(super) fn smart(&mut self, block: &Block) {
        let head = self.head(block, Outcome::Changed(HOW.to_owned()));
        self.translation.output.element(JOBS, head);
        let is_json = block.path.last().is_some_and(|name| name == "smartctl");
        if is_json {
            self.translation.output.last_element(JOBS).set("measurements", "[\"smartctl\"]", head);
        }
        for setting in &block.settings {
            self.option(setting, &[OPTIONS, EVERY_JOB], Place::Sink(JOBS));
        }
        block.tables.iter().for_each(|table| self.whole(table, "filter in the sinks"));
        let of_json: &[&str] = &["smartctl", "smartctl_attributes", "smartctl_scsi_error_counter_log"];
        for name in if is_json { of_json } else { &["smart_device", "smart_attribute"] } {
            if !self.measurements.iter().any(|(known, _)| known == name) {
                self.measurements.push(((*name).to_owned(), head));
            }
        }
    }
}
