//! Host name and kernel release.

use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError, Uname as Utsname};

pub(super) struct Uname {
    /// In the order of the labels, without `machine`.
    files: [HostFile; 5],
    arch: HostFile,
}

/// uname(2); for a recorded host `/proc/sys/kernel`.
#[derive(Default)]
pub(super) struct UnameReading(Utsname);

impl Collector for Uname {
    const ABOUT: About = About {
        name: "uname",
        summary: "host name, kernel release and architecture",
        reads: &["uname(2)", "/proc/sys/kernel/{domainname,arch,hostname,osrelease,ostype,version}"],
        families: &[INFO.info()],
        is_portable: true,
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
            (None, Some(utsname)) => utsname,
            (None, None) => self.read_files(cx)?,
        });
        Ok(())
    }
}

impl Uname {
    fn read_files(&mut self, cx: &mut ReadContext<'_>) -> Result<Utsname, ReadError> {
        let [domainname, hostname, osrelease, ostype, version] = &mut self.files;
        let mut read = |file: &mut HostFile| Ok(file.read(cx.buffer)?.trimmed().into_owned());
        Ok(Utsname {
            // The file exists since Linux 6.1.
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
    "Host name, kernel release and architecture from uname(2), always 1",
    ["domainname", "machine", "nodename", "release", "sysname", "version"],
);

impl Reading for UnameReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let Utsname { domainname, machine, nodename, release, sysname, version } = &self.0;
        if nodename.is_empty() {
            return;
        }
        let labels = [domainname, machine, nodename, release, sysname, version];
        out.family(&INFO).sample(labels.map(String::as_str), 1u64);
    }
}
