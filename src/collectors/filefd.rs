//! Open file handles of the whole host.

use super::{About, Collector, ReadContext, Reading, Since};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, ReadError};

pub(super) struct Filefd {
    file_nr: HostFile,
}

/// `/proc/sys/fs/file-nr`; its second column has been 0 since Linux 2.6.
#[derive(Default)]
pub(super) struct FilefdReading {
    counts: Option<Counts>,
}

#[derive(Clone, Copy)]
struct Counts {
    allocated: u64,
    maximum: u64,
}

impl Collector for Filefd {
    const ABOUT: About = About {
        name: "filefd",
        summary: "open file handles of the host, and their limit",
        reads: &["/proc/sys/fs/file-nr"],
        families: &[ALLOCATED.info(), MAXIMUM.info()],
        measurements: &[LINUX_SYSCTL_FS.info()],
        ..About::PLAIN
    };
    type Reading = FilefdReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Filefd { file_nr: host.proc("sys/fs/file-nr").one_record() }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut FilefdReading) -> Result<(), ReadError> {
        reading.counts = None;
        let mut fields = self.file_nr.read(cx.buffer)?.first_line().fields();
        let allocated = fields.number("the number of allocated file handles")?;
        fields.required("the number of unused file handles")?;
        let maximum = fields.number("the highest number of file handles")?;
        reading.counts = Some(Counts { allocated, maximum });
        Ok(())
    }
}

const ALLOCATED: Family<0> = Family::gauge("node_filefd_allocated", "File handles that are allocated.", []);
const MAXIMUM: Family<0> = Family::gauge("node_filefd_maximum", "File handles that may be allocated at the most.", []);

const FILE_NR: Field<u64> = Field::new("file-nr", "allocated file handles");
const FILE_MAX: Field<u64> = Field::new("file-max", "file handles that may be allocated at the most");
const LINUX_SYSCTL_FS: Measurement<0> = Measurement::new("linux_sysctl_fs", [], &[FILE_NR.info(), FILE_MAX.info()]);

impl Reading for FilefdReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if let Some(counts) = self.counts {
            out.value(&ALLOCATED, counts.allocated);
            out.value(&MAXIMUM, counts.maximum);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        if let Some(counts) = self.counts {
            out.point(&LINUX_SYSCTL_FS, []).field(&FILE_NR, counts.allocated).field(&FILE_MAX, counts.maximum);
        }
    }
}
