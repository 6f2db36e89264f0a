//! `[[collectors.smart]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::json::{Device, Text};
use super::run::Smartctl;
use crate::collectors::framework::globs;
use crate::config::{Globs, Key, KeyInfo, Section};
use crate::host::Host;

const PATH: Key<String> = Key::new("path", "\"smartctl\"", "The program, by its path or by its name in PATH.");
const SUDO: Key<bool> =
    Key::new("sudo", "false", "Runs it by `sudo -n`, which needs a line in sudoers, and `exec.conf` for the service.");
const DEVICES: Key<Vec<String>> = Key::new(
    "devices",
    "[]",
    "Devices, such as \"/dev/sda\", or with a type \"/dev/bus/0 -d megaraid,1\". Without any, those of `smartctl --scan`.",
);
const EXCLUDE: Key<Globs> = Key::new("exclude", "[]", "Devices of the scan that are left out, as glob patterns.");
const FILES: Key<Vec<String>> = Key::new(
    "files",
    "[]",
    "Files with the output of `smartctl --json`, as named on the host, which are read in place of running smartctl. Each may be \
     a glob pattern.",
);
const INTERVAL: Key<Duration> = Key::new("interval", "\"5m\"", "How often a device or a file is read.");
const RESCAN_INTERVAL: Key<Duration> = Key::new("rescan_interval", "\"10m\"", "Interval of `smartctl --scan`.");
const TIMEOUT: Key<Duration> = Key::new("timeout", "\"30s\"", "How long smartctl may run for a device.");
const NOCHECK: Key<String> = Key::new(
    "nocheck",
    "\"standby\"",
    "The power mode in which a disk is left alone: never, sleep, standby or idle, each with the ones before it.",
);
const LOGS: Key<Vec<String>> = Key::new(
    "logs",
    "[\"error\"]",
    "Logs that are read, as for `smartctl --log`: error, selftest, devstat, sataphy, scterc, scttempsts and others.",
);
const MEASUREMENTS: Key<Vec<String>> = Key::new(
    "measurements",
    "[\"smart_device\"]",
    "The points: smart_device and smart_attribute of Telegraf's `inputs.smart`, and smartctl, with attributes and SCSI errors, of \
     `inputs.smartctl`.",
);

/// The settings of a job.
pub(super) const KEYS: &[KeyInfo] = &[
    PATH.info(),
    SUDO.info(),
    DEVICES.info(),
    EXCLUDE.info(),
    FILES.info(),
    INTERVAL.info(),
    RESCAN_INTERVAL.info(),
    TIMEOUT.info(),
    NOCHECK.info(),
    LOGS.info(),
    MEASUREMENTS.info(),
];

/// Which measurements are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measurements {
    pub(super) smart_device: bool,
    pub(super) smart_attribute: bool,
    pub(super) smartctl: bool,
}

/// Where the reports of a job come from.
#[derive(Debug)]
pub(super) enum Source {
    /// smartctl, for these devices; without any, for those of a scan.
    Program { smartctl: Smartctl, devices: Vec<Device>, exclude: Globs, rescan_interval: Duration },
    /// Files, as configured and as Taffrail sees them.
    Files(Vec<(String, PathBuf)>),
}

/// An element of the list.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) interval: Duration,
    pub(super) measurements: Measurements,
}

impl Job {
    pub(super) fn new(host: &Host, section: &mut Section<'_>) -> Job {
        let files = section.get(&FILES);
        let smartctl = Smartctl {
            path: section.get(&PATH),
            sudo: section.get(&SUDO),
            nocheck: one_of(section, &NOCHECK, &["never", "sleep", "standby", "idle"]),
            logs: section.get(&LOGS),
            timeout: section.above_zero(&TIMEOUT),
        };
        if smartctl.path.is_empty() || smartctl.path.starts_with('-') {
            section.wrong("path", format!("expected a program, found {:?}", smartctl.path));
        }
        let devices = devices(section);
        let (exclude, rescan_interval) = (section.get(&EXCLUDE), section.above_zero(&RESCAN_INTERVAL));
        let source = if files.is_empty() {
            Source::Program { smartctl, devices, exclude, rescan_interval }
        } else {
            if !devices.is_empty() {
                section.wrong("files", "expected either this or devices, found both");
            }
            Source::Files(checked(host, section, files))
        };
        Job { source, interval: section.above_zero(&INTERVAL), measurements: measurements(section) }
    }

    /// The job in a few words.
    pub(super) fn summary(&self) -> String {
        let every = humantime::format_duration(self.interval);
        match &self.source {
            Source::Files(files) => {
                let files: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
                format!("{}, every {every}", files.join(", "))
            }
            Source::Program { smartctl, devices, .. } if devices.is_empty() => {
                format!("devices of {} --scan, every {every}", smartctl.path)
            }
            Source::Program { smartctl, devices, .. } => {
                format!("{} devices by {}, every {every}", devices.len(), smartctl.path)
            }
        }
    }
}

/// Splits `NAME -d TYPE`, as in Telegraf, and `NAME;TYPE`, as in smartctl_exporter.
fn devices(section: &mut Section<'_>) -> Vec<Device> {
    let mut devices = Vec::new();
    for (index, text) in section.get(&DEVICES).into_iter().enumerate() {
        let (name, of_type) = text.split_once(" -d ").or_else(|| text.split_once(';')).unwrap_or((text.as_str(), ""));
        let (name, of_type) = (name.trim(), of_type.trim());
        if !name.starts_with('/') || of_type.starts_with('-') || of_type.contains(char::is_whitespace) {
            let expected = "expected a device such as \"/dev/sda\" or \"/dev/bus/0 -d megaraid,1\"";
            section.wrong_element("devices", index, format!("{expected}, found {text:?}"));
        }
        devices.push(Device { name: Text(name.to_owned()), r#type: Text(of_type.to_owned()), ..Device::default() });
    }
    devices
}

fn checked(host: &Host, section: &Section<'_>, files: Vec<String>) -> Vec<(String, PathBuf)> {
    for (index, file) in files.iter().enumerate() {
        if !file.starts_with('/') {
            section.wrong_element("files", index, format!("expected a path from the root, found {file:?}"));
        } else if let Err(what) = globs::check(file) {
            section.wrong_element("files", index, what);
        }
    }
    files.into_iter().map(|file| (file.clone(), host.root_path(&file))).collect()
}

fn measurements(section: &mut Section<'_>) -> Measurements {
    let mut measurements = Measurements::default();
    for (index, name) in section.get(&MEASUREMENTS).iter().enumerate() {
        match name.as_str() {
            "smart_device" => measurements.smart_device = true,
            "smart_attribute" => measurements.smart_attribute = true,
            "smartctl" => measurements.smartctl = true,
            _ => {
                let expected = "expected smart_device, smart_attribute or smartctl";
                section.wrong_element("measurements", index, format!("{expected}, found {name:?}"));
            }
        }
    }
    measurements
}

/// A setting that is one of `words`.
fn one_of(section: &mut Section<'_>, key: &Key<String>, words: &[&str]) -> String {
    let word = section.get(key);
    if !words.contains(&word.as_str()) {
        section.wrong(key.info().name, format!("expected one of {}, found {word:?}", words.join(", ")));
    }
    word
}
