//! SMART: the health of disks, as smartctl reads it, under the names of smartctl_exporter and of Telegraf's
//! `inputs.smart` and `inputs.smartctl`.
//!
//! smartctl runs in the background, or a timer of root runs it and Taffrail reads the files that it writes
//! ([`background`]). The exit status of smartctl is data: a disk that fails is one that was read.

mod background;
mod families;
mod json;
mod points;
mod report;
mod run;
mod settings;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::background::{Entry, Running, Shared};
use self::points::State;
use self::settings::{Job, Measurements};
use crate::collectors::framework::arrivals::Cursor;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies, write_generic_points};
use crate::config::Section;
use crate::encode::family::FamilyInfo;
use crate::encode::infos::concat;
use crate::encode::{Family, FamilyWriter, PointWriter, Timestamp};
use crate::host::{Host, ReadError};

/// The collector.
pub(super) struct Smart {
    jobs: Vec<Arc<Job>>,
    running: Option<Running>,
}

impl Collector for Smart {
    const ABOUT: About = About {
        name: "smart",
        summary: "health of disks, by smartctl or by files with its output",
        reads: &["smartctl --json", "the files"],
        needs: "smartmontools 7.0 or later, with the rights to open disks (`smart.conf`), or files that a timer of root \
                writes (`taffrail-smart.timer`)",
        remarks: REMARKS,
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        is_portable: true,
        keys: settings::KEYS,
        families: &FAMILIES,
        measurements: points::MEASUREMENTS,
        ..About::PLAIN
    };
    type Reading = SmartReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let jobs = section.tables("smart").iter_mut().map(|table| Arc::new(Job::new(host, table))).collect();
        Smart { jobs, running: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut SmartReading) -> Result<(), ReadError> {
        let shared = self.running().shared();
        let mut state = shared.lock();
        for (what, reason) in state.failures() {
            cx.problem(ReadError::Refused { what, reason });
        }
        *reading = SmartReading {
            newest: state.newest().cloned().collect(),
            devices: state.devices(),
            read: cx.wanted.points.then(|| (shared.clone(), state.log.read())),
        };
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let jobs = self.jobs.len();
        self.running().shared().wait(jobs, limit);
    }

    fn report(&mut self) -> Vec<String> {
        self.jobs.iter().map(|job| job.summary()).collect()
    }
}

impl Smart {
    fn running(&mut self) -> &Running {
        self.running.get_or_insert_with(|| Running::start(&self.jobs))
    }
}

const DEVICES: Family<0> = Family::gauge("smartctl_devices", "Devices that are configured or were found", []);
const SUCCESS: Family<1> =
    Family::gauge("taffrail_smart_success", "Whether the device was read, or is in a low-power mode", ["device"]);
const ASLEEP: Family<1> =
    Family::gauge("taffrail_smart_asleep", "Whether the device was left alone in a low-power mode", ["device"]);
const AGE: Family<1> =
    Family::gauge("taffrail_smart_result_age_seconds", "Time since the device was last read", ["device"]);
const OWN: [FamilyInfo; 4] = [DEVICES.info(), SUCCESS.info(), ASLEEP.info(), AGE.info()];
const FAMILIES: [FamilyInfo; families::FAMILIES.len() + OWN.len()] = concat(&[&families::FAMILIES, &OWN]);

/// What the devices said last.
#[derive(Default)]
pub(super) struct SmartReading {
    newest: Vec<Arc<Entry>>,
    devices: usize,
    /// All results, and the position to read up to.
    read: Option<(Shared, Arc<Cursor>)>,
}

impl SmartReading {
    fn write_own(&self, out: &mut FamilyWriter<'_>) {
        let mut samples = out.family(&SUCCESS);
        self.newest.iter().for_each(|entry| samples.sample([&entry.label], entry.error.is_none()));
        drop(samples);
        let mut samples = out.family(&ASLEEP);
        self.newest.iter().for_each(|entry| samples.sample([&entry.label], entry.is_asleep));
        drop(samples);
        let (mut samples, now) = (out.family(&AGE), Timestamp::from(SystemTime::now()));
        for entry in self.newest.iter().filter(|entry| entry.report.is_some()) {
            samples.sample([&entry.label], (now.seconds() - entry.read_at.seconds()).max(0.0));
        }
    }
}

impl Reading for SmartReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        out.value(&DEVICES, self.devices as u64);
        self.write_own(out);
        let reports = self.newest.iter().filter_map(|entry| Some((&*entry.label, &**entry.report.as_ref()?)));
        families::write(&reports.collect::<Vec<_>>(), out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        write_generic_points(|families| self.write_own(families), out);
        let mut write = |entries: &[Arc<Entry>]| {
            for entry in entries {
                let Some(report) = &entry.report else { continue };
                let (power, is_asleep, exit_status) = (&*entry.power, entry.is_asleep, entry.exit_status);
                points::write(entry.at, State { report, power, is_asleep, exit_status }, entry.measurements, out);
            }
        };
        let Some((shared, to)) = &self.read else { return };
        let before = since.and_then(|since| since.previous.read.as_ref());
        match before.filter(|(of, _)| of.is_same(shared)) {
            Some((_, from)) => {
                let batches = shared.lock().log.between(Some(from), to);
                batches.iter().for_each(|entries| write(entries));
            }
            None => write(&self.newest),
        }
    }
}

const REMARKS: &str = "\
Each device is read at its interval in the background, and never because of a scrape. Devices of one name, such as those \
behind a controller, are read one after the other; of the others, four at a time. The bits of smartctl's exit status are \
values: only bits 0 and 1 mean that a device was not read, and then its series are gone and `taffrail_smart_success` is 0.

A disk in standby is not woken. Its last values remain, with their age, and `taffrail_smart_asleep` is 1. docs/devices.md \
compares with smartctl_exporter and Telegraf.";

/// Reads output of smartctl, and writes it in both vocabularies; for the fuzz target.
#[doc(hidden)]
pub fn read_output(output: &[u8], families: &mut FamilyWriter<'_>, points: &mut PointWriter<'_>) {
    let _ = report::scanned(output);
    let (report, is_asleep) = match report::Reply::parse(output) {
        Ok(report::Reply::Data(report)) => (report, false),
        Ok(report::Reply::Asleep(report, _)) => (report, true),
        Err(_) => return,
    };
    self::families::write(&[(&report.label(), &report)], families);
    let all = Measurements { smart_device: true, smart_attribute: true, smartctl: true };
    let state = State { report: &report, power: "", is_asleep, exit_status: 0 };
    self::points::write(Timestamp(0), state, all, points);
}
