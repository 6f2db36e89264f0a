//! What the host calls itself, and its kernel.

use super::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError};

pub(super) struct Uname {
    /// In the order of the labels, without the machine.
    files: [HostFile; 5],
    arch: HostFile,
}

/// uname(2), from `/proc/sys/kernel`, so that a recorded host keeps its name.
#[derive(Default)]
pub(super) struct UnameReading {
    domainname: String,
    machine: String,
    nodename: String,
    release: String,
    sysname: String,
    version: String,
}

impl Collector for Uname {
    const ABOUT: About = About {
        name: "uname",
        summary: "the host's name, kernel and hardware name",
        reads: &["/proc/sys/kernel/{domainname,arch,hostname,osrelease,ostype,version}"],
        families: &[INFO.info()],
        ..About::PLAIN
    };
    type Reading = UnameReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let files = ["domainname", "hostname", "osrelease", "ostype", "version"];
        Uname {
            files: files.map(|name| host.proc(format!("sys/kernel/{name}")).one_record()),
            arch: host.proc("sys/kernel/arch").one_record(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut UnameReading) -> Result<(), ReadError> {
        *reading = UnameReading::default();
        let [domainname, hostname, osrelease, ostype, version] = &mut self.files;
        let mut read = |file: &mut HostFile| Ok(file.read(cx.buffer)?.trimmed().into_owned());
        // Linux has told its architecture in a file since 6.1.
        reading.machine = read(&mut self.arch).unwrap_or_else(|_: ReadError| cx.host.kernel.machine());
        reading.nodename = read(hostname)?;
        reading.release = read(osrelease)?;
        reading.sysname = read(ostype)?;
        reading.version = read(version)?;
        reading.domainname = read(domainname)?;
        Ok(())
    }
}

const INFO: Family<6> = Family::gauge(
    "node_uname_info",
    "What uname(2) says of the host; always 1.",
    ["domainname", "machine", "nodename", "release", "sysname", "version"],
);

impl Reading for UnameReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if self.nodename.is_empty() {
            return;
        }
        let labels = [&self.domainname, &self.machine, &self.nodename, &self.release, &self.sysname, &self.version];
        out.family(&INFO).sample(labels.map(String::as_str), 1u64);
    }
}
