//! What the host calls itself, and its kernel.

use super::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError, Uname as Told};

pub(super) struct Uname {
    /// In the order of the labels, without the machine.
    files: [HostFile; 5],
    arch: HostFile,
}

/// uname(2), or of a recorded host what `/proc/sys/kernel` says.
#[derive(Default)]
pub(super) struct UnameReading(Told);

impl Collector for Uname {
    const ABOUT: About = About {
        name: "uname",
        summary: "the host's name, kernel and hardware name",
        reads: &["uname(2)", "/proc/sys/kernel/{domainname,arch,hostname,osrelease,ostype,version}"],
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
        *reading = UnameReading(match (cx.host.by_sysinfo(), cx.host.kernel.uname()) {
            (Some(portable), _) => portable.names().uname,
            (None, Some(told)) => told,
            (None, None) => self.read_files(cx)?,
        });
        Ok(())
    }
}

impl Uname {
    fn read_files(&mut self, cx: &mut ReadContext<'_>) -> Result<Told, ReadError> {
        let [domainname, hostname, osrelease, ostype, version] = &mut self.files;
        let mut read = |file: &mut HostFile| Ok(file.read(cx.buffer)?.trimmed().into_owned());
        Ok(Told {
            // Linux has told its architecture in a file since 6.1.
            machine: read(&mut self.arch).unwrap_or_else(|_: ReadError| cx.host.kernel.machine()),
            nodename: read(hostname)?,
            release: read(osrelease)?,
            sysname: read(ostype)?,
            version: read(version)?,
            domainname: read(domainname)?,
        })
    }
}

const INFO: Family<6> = Family::gauge(
    "node_uname_info",
    "What uname(2) says of the host; always 1.",
    ["domainname", "machine", "nodename", "release", "sysname", "version"],
);

impl Reading for UnameReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let Told { domainname, machine, nodename, release, sysname, version } = &self.0;
        if nodename.is_empty() {
            return;
        }
        let labels = [domainname, machine, nodename, release, sysname, version];
        out.family(&INFO).sample(labels.map(String::as_str), 1u64);
    }
}
